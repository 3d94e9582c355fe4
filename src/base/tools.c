/* See tools.h. */
#include "base/tools.h"

#include <limits.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#define INSTALLED_NAME "tlsmsg-certs"

static const struct tools in_tree = {
    .certs = "scripts/gen-certs.sh",
    .makes_cert = "scripts/gen-certs.sh makes one",
    .makes_crl = "scripts/gen-certs.sh crl makes one",
    .makes_ticket_keys = "scripts/rotate-ticket-keys.sh makes one",
};

static const struct tools installed = {
    .certs = INSTALLED_NAME,
    .makes_cert = INSTALLED_NAME " makes one",
    .makes_crl = INSTALLED_NAME " crl makes one",
    .makes_ticket_keys = "tlsmsg-ticket-keys makes one",
};

bool tools_are_installed(const char *program_path)
{
    const char *slash = strrchr(program_path, '/');
    char beside[PATH_MAX];
    size_t dir_len;
    int len;

    if (slash == NULL) {
        return false;
    }
    dir_len = (size_t)(slash - program_path);
    if (dir_len == strlen(TLSMSG_BINDIR) && memcmp(program_path, TLSMSG_BINDIR, dir_len) == 0) {
        return true;
    }
    len = snprintf(beside, sizeof(beside), "%.*s/" INSTALLED_NAME, (int)dir_len, program_path);
    return len > 0 && (size_t)len < sizeof(beside) && access(beside, X_OK) == 0;
}

static const struct tools *find(void)
{
    char path[PATH_MAX];
    ssize_t len = readlink("/proc/self/exe", path, sizeof(path) - 1);

    if (len < 0) {
        return &in_tree;
    }
    path[len] = '\0';
    return tools_are_installed(path) ? &installed : &in_tree;
}

const struct tools *tools(void)
{
    /* Found once; two threads that find it at once find the same. */
    static const struct tools *_Atomic found;
    const struct tools *now = atomic_load_explicit(&found, memory_order_relaxed);

    if (now == NULL) {
        now = find();
        atomic_store_explicit(&found, now, memory_order_relaxed);
    }
    return now;
}
