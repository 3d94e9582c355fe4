/* See sandbox.h. User first, then the rules, then a look back at the files of a reload: only then it
 * meets what a reload will meet, the other user's rights, root's without its capabilities, and the
 * rules. */
#include "app/server/sandbox.h"

#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <pwd.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "app/server/kernel_abi.h"
#include "app/server/landlock.h"
#include "app/server/syscall_filter.h"
#include "base/build.h"
#include "base/error.h"
#include "base/escape.h"
#include "store/store.h"

#define NAME_SHOWN_MAX 256

static bool add_path(const char **list, size_t *n, const char *path)
{
    if (path == NULL) {
        return true;
    }
    if (*n == SANDBOX_PATHS_MAX) {
        return false;
    }
    list[(*n)++] = path;
    return true;
}

bool sandbox_may_read(struct sandbox *sandbox, const char *path)
{
    return add_path(sandbox->read, &sandbox->read_count, path);
}

bool sandbox_may_write(struct sandbox *sandbox, const char *path)
{
    return add_path(sandbox->write, &sandbox->write_count, path);
}

bool sandbox_restricts_files(void)
{
    return BUILD_HAS_SANDBOX && landlock_abi() >= 1;
}

static const char *describe_network(const struct sandbox *sandbox, long abi)
{
    if (abi < 4) {
        return "; this kernel lacks network rules";
    }
    if (!sandbox->connects) {
        return ", no new TCP ports or connections";
    }
    return sandbox->reach->any_port ? ", no new TCP ports"
                                    : ", no new TCP ports, connections to the store's ports alone";
}

/* Gives up all capabilities; a process that has none already is content. */
static bool drop_capabilities(void)
{
    struct capability_header header = {.version = CAPABILITY_VERSION_3};
    const struct capability_data data[2] = {0};

    return syscall(SYS_capset, &header, data) == 0;
}

enum tlsmsg_code sandbox_restrict(const struct sandbox *sandbox, char *held, size_t cap,
                                  struct tlsmsg_error *err)
{
    long abi;

    if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) != 0) {
        return error_set(err, TLSMSG_ERR_SYSTEM, errno, "cannot give up new privileges");
    }
    if (!drop_capabilities()) {
        return error_set(err, TLSMSG_ERR_SYSTEM, errno, "cannot give up capabilities");
    }
    /* Keys are in this memory: no core file of it, and nobody of the same user reads it. */
    if (prctl(PR_SET_DUMPABLE, 0, 0, 0, 0) != 0) {
        return error_set(err, TLSMSG_ERR_SYSTEM, errno, "cannot forbid core files");
    }
    abi = landlock_abi();
    if (abi < 1) {
        (void)snprintf(held, cap,
                       "sandbox: no new privileges, no capabilities; this kernel has no "
                       "Landlock, so files and network are not restricted");
        return TLSMSG_OK;
    }
    (void)snprintf(held, cap,
                   "sandbox: no new privileges, no capabilities, files restricted (Landlock ABI "
                   "%ld)%s%s",
                   abi, describe_network(sandbox, abi),
                   abi >= 6 ? ", no signals or abstract sockets outside" : "");
    return landlock_enter(sandbox, abi, err);
}

/* ---- all of it */

/* Becomes another user for good: groups, group, user, and no way back. */
static enum tlsmsg_code become(const char *user, struct tlsmsg_error *err)
{
    const struct passwd *entry;
    char name[256];

    errno = 0;
    entry = getpwnam(user);
    if (entry == NULL) {
        return error_set(err, TLSMSG_ERR_CONFIG, errno, "no such user '%s'",
                         escape_name(name, sizeof(name), user));
    }
    if (initgroups(user, entry->pw_gid) != 0 ||
        setresgid(entry->pw_gid, entry->pw_gid, entry->pw_gid) != 0 ||
        setresuid(entry->pw_uid, entry->pw_uid, entry->pw_uid) != 0) {
        return error_set(err, TLSMSG_ERR_SYSTEM, errno, "cannot become user '%s'",
                         escape_name(name, sizeof(name), user));
    }
    /* A password file of PostgreSQL's is looked for there. */
    (void)setenv("HOME", entry->pw_dir, 1);
    /* The way back must be gone, whatever the kernel's idea of the calls above was. */
    if (entry->pw_uid != 0 && (setuid(0) == 0 || seteuid(0) == 0)) {
        return error_set(err, TLSMSG_ERR_SYSTEM, 0, "still root after becoming user '%s'",
                         escape_name(name, sizeof(name), user));
    }
    return TLSMSG_OK;
}

/* The first file that a reload reads and this process can't, with errno; or NULL. */
static const char *find_unreadable(const struct sandbox *sandbox)
{
    for (size_t i = 0; i < sandbox->read_count; i++) {
        int fd = open(sandbox->read[i], O_RDONLY | O_CLOEXEC | O_NONBLOCK);

        if (fd < 0) {
            return sandbox->read[i];
        }
        (void)close(fd);
    }
    return NULL;
}

void sandbox_print_roots_own(const struct sandbox *sandbox, char *out, size_t cap)
{
    size_t used = 0;

    out[0] = '\0';
    for (size_t i = 0; i < sandbox->read_count; i++) {
        char shown[NAME_SHOWN_MAX];
        struct stat info;

        if (stat(sandbox->read[i], &info) != 0 || info.st_uid != 0 ||
            (info.st_mode & (info.st_gid == 0 ? 004 : 044)) != 0) {
            continue;
        }
        (void)escape_name(shown, sizeof(shown), sandbox->read[i]);
        if (used + strlen(shown) + sizeof("'', , ...") > cap) {
            (void)snprintf(out + used, cap - used, ", ...");
            break;
        }
        used += (size_t)snprintf(out + used, cap - used, "%s'%s'", used > 0 ? ", " : "", shown);
    }
}

enum tlsmsg_code sandbox_check_user(const char *user, struct tlsmsg_options *options,
                                    struct tlsmsg_error *err)
{
    char shown[NAME_SHOWN_MAX];
    const struct passwd *entry;

    if (user == NULL) {
        return TLSMSG_OK;
    }
    errno = 0;
    entry = getpwnam(user);
    if (entry == NULL) {
        return error_set(err, TLSMSG_ERR_CONFIG, 0, "--user: there is no user '%s'",
                         escape_name(shown, sizeof(shown), user));
    }
    if (geteuid() != 0 && geteuid() != entry->pw_uid) {
        return error_set(err, TLSMSG_ERR_CONFIG, 0,
                         "--user: only root can become user '%s' (start as root, or leave --user "
                         "out)",
                         escape_name(shown, sizeof(shown), user));
    }
    if (geteuid() != entry->pw_uid) {
        tlsmsg_options_set_owner(options, entry->pw_uid, entry->pw_gid);
    }
    return TLSMSG_OK;
}

static void look_back(const char *user, const struct sandbox *sandbox,
                      struct sandbox_report *report)
{
    const char *path = find_unreadable(sandbox);
    char file[NAME_SHOWN_MAX];
    char shown[NAME_SHOWN_MAX / 2];
    int cause = errno;

    report->warning[0] = '\0';
    if (path == NULL) {
        return;
    }
    (void)escape_name(file, sizeof(file), path);
    if (user != NULL) {
        (void)snprintf(report->warning, sizeof(report->warning),
                       "a reload will fail: user '%s' cannot read '%s': %s",
                       escape_name(shown, sizeof(shown), user), file, strerror(cause));
    } else {
        (void)snprintf(report->warning, sizeof(report->warning),
                       "a reload will fail: without root's privileges '%s' cannot be read again: "
                       "%s",
                       file, strerror(cause));
    }
}

/* Last, for looking back needs nothing of it. */
static enum tlsmsg_code filter_calls(bool connects, struct sandbox_report *report,
                                     struct tlsmsg_error *err)
{
    size_t len = strlen(report->held);
    int failed = syscall_filter_install(connects);

    if (failed != 0 && failed != ENOSYS) {
        return error_set(err, TLSMSG_ERR_SYSTEM, failed, "cannot filter system calls");
    }
    (void)snprintf(report->held + len, sizeof(report->held) - len, "%s",
                   failed == 0 ? ", system calls filtered (seccomp)"
                               : "; system calls are not filtered (seccomp is not to be had)");
    return TLSMSG_OK;
}

enum tlsmsg_code sandbox_enter(const char *user, const struct sandbox *sandbox,
                               struct sandbox_report *report, struct tlsmsg_error *err)
{
    enum tlsmsg_code code = TLSMSG_OK;

    if (user != NULL && geteuid() == 0) {
        code = become(user, err);
    }
    if (code != TLSMSG_OK) {
        return code;
    }
    if (BUILD_HAS_SANDBOX) {
        code = sandbox_restrict(sandbox, report->held, sizeof(report->held), err);
    } else {
        (void)snprintf(report->held, sizeof(report->held),
                       "sandbox: none in this build, which is made for finding errors");
    }
    if (code == TLSMSG_OK) {
        look_back(user, sandbox, report);
    }
    return code == TLSMSG_OK && BUILD_HAS_SANDBOX ? filter_calls(sandbox->connects, report, err)
                                                  : code;
}
