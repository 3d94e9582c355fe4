/* See kernel_rules.h. */
#include "support/kernel_rules.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "support/unit.h"

struct kernel_rules kernel;

ssize_t __real_readlink(const char *path, char *out, size_t cap);
ssize_t __wrap_readlink(const char *path, char *out, size_t cap);
long __wrap_syscall(long number, ...);

ssize_t __wrap_readlink(const char *path, char *out, size_t cap)
{
    if (strcmp(path, "/etc/resolv.conf") != 0) {
        return __real_readlink(path, out, cap);
    }
    if (kernel.resolv_conf == NULL) {
        errno = EINVAL;
        return -1;
    }
    assert_true(strlen(kernel.resolv_conf) < cap);
    memcpy(out, kernel.resolv_conf, strlen(kernel.resolv_conf));
    return (ssize_t)strlen(kernel.resolv_conf);
}

static void note(const char *format, ...) __attribute__((format(printf, 1, 2)));

static void note(const char *format, ...)
{
    size_t room = sizeof(kernel.rules) - kernel.len;
    va_list args;
    int len;

    va_start(args, format);
    len = vsnprintf(kernel.rules + kernel.len, room, format, args);
    va_end(args);
    assert_true(len >= 0 && (size_t)len < room);
    kernel.len += (size_t)len;
}

static void note_path_rule(const struct landlock_path_rule *rule)
{
    static const struct {
        char letter;
        uint64_t right;
    } letters[] = {{'r', LL_READ_FILE}, {'d', LL_READ_DIR},    {'w', LL_WRITE_FILE},
                   {'m', LL_MAKE_REG},  {'x', LL_REMOVE_FILE}, {'t', LL_TRUNCATE}};
    size_t root_len = strlen(kernel.root);
    uint64_t left = rule->allowed;
    char link[64];
    char path[PATH_MAX];
    ssize_t len;

    for (size_t i = 0; i < COUNT_OF(letters); i++) {
        if ((left & letters[i].right) != 0) {
            note("%c", letters[i].letter);
            left &= ~letters[i].right;
        }
    }
    assert_int_equal(left, 0);
    (void)snprintf(link, sizeof(link), "/proc/self/fd/%d", rule->parent_fd);
    len = __real_readlink(link, path, sizeof(path) - 1);
    assert_true(len > 0);
    path[len] = '\0';
    if (strncmp(path, kernel.root, root_len) == 0) {
        note(" @%s\n", path + root_len);
    } else {
        note(" %s\n", path);
    }
}

static void add_rule(int type, const void *from)
{
    if (type == LANDLOCK_PATH_BENEATH) {
        struct landlock_path_rule rule;

        memcpy(&rule, from, sizeof(rule));
        note_path_rule(&rule);
    } else {
        struct landlock_port_rule rule;

        assert_int_equal(type, LANDLOCK_NET_PORT);
        memcpy(&rule, from, sizeof(rule));
        assert_int_equal(rule.allowed, LL_NET_CONNECT_TCP);
        note("port %" PRIu64 "\n", rule.port);
    }
}

static long create_ruleset(va_list args)
{
    const void *attributes = va_arg(args, const void *);
    int fd;

    if (attributes == NULL) {
        assert_int_equal(va_arg(args, int), 0);
        assert_int_equal(va_arg(args, int), LANDLOCK_VERSION_FLAG);
        return kernel.abi;
    }
    kernel.made_size = va_arg(args, size_t);
    assert_true(kernel.made_size <= sizeof(kernel.made));
    memcpy(&kernel.made, attributes, kernel.made_size);
    assert_int_equal(va_arg(args, int), 0);
    kernel.ruleset = open("/dev/null", O_RDONLY | O_CLOEXEC);
    if (kernel.fd_from > 0) {
        fd = fcntl(kernel.ruleset, F_DUPFD_CLOEXEC, kernel.fd_from);
        (void)close(kernel.ruleset);
        kernel.ruleset = fd;
    }
    return kernel.ruleset;
}

long __wrap_syscall(long number, ...)
{
    long result = 0;
    va_list args;

    if (++kernel.calls == kernel.fails_at) {
        errno = EPERM;
        return -1;
    }
    va_start(args, number);
    if (number == LANDLOCK_CREATE_RULESET) {
        result = create_ruleset(args);
    } else if (number == LANDLOCK_ADD_RULE) {
        int ruleset = va_arg(args, int);
        int type = va_arg(args, int);

        assert_int_equal(ruleset, kernel.ruleset);
        add_rule(type, va_arg(args, const void *));
        assert_int_equal(va_arg(args, int), 0);
    } else {
        assert_int_equal(number, LANDLOCK_RESTRICT_SELF);
        assert_int_equal(va_arg(args, int), kernel.ruleset);
        assert_int_equal(va_arg(args, int), 0);
        kernel.restricted++;
    }
    va_end(args);
    return result;
}

void kernel_forget(void)
{
    kernel.calls = 0;
    kernel.restricted = 0;
    kernel.ruleset = -1;
    kernel.len = 0;
    kernel.rules[0] = '\0';
    memset(&kernel.made, 0, sizeof(kernel.made));
}
