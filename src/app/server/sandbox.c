/* See sandbox.h. User first, then the rules, then a look back at the files of a reload: only then it
 * meets what a reload will meet, the other user's rights, root's without its capabilities, and the
 * rules. */
#include "app/server/sandbox.h"

#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <limits.h>
#include <pwd.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "app/server/kernel_abi.h"
#include "base/build.h"
#include "base/error.h"
#include "base/escape.h"

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

static uint64_t handled_fs(long abi)
{
    uint64_t rights = LL_ABI1_ALL;

    rights |= abi >= 2 ? LL_REFER : 0;
    rights |= abi >= 3 ? LL_TRUNCATE : 0;
    rights |= abi >= 5 ? LL_IOCTL_DEV : 0;
    return rights;
}

/* Allows rights beneath a directory. One that isn't there allows nothing, which is not a failure. */
static bool allow_directory(int ruleset, const char *directory, uint64_t rights)
{
    struct landlock_path_rule rule = {.allowed = rights};
    bool ok;

    rule.parent_fd = open(directory, O_PATH | O_DIRECTORY | O_CLOEXEC);
    if (rule.parent_fd < 0) {
        return true;
    }
    ok = syscall(LANDLOCK_ADD_RULE, ruleset, LANDLOCK_PATH_BENEATH, &rule, 0) == 0;
    (void)close(rule.parent_fd);
    return ok;
}

/* Cuts a path to its directory. */
static void to_directory(char *path)
{
    char *slash = strrchr(path, '/');

    if (slash == NULL) {
        memcpy(path, ".", sizeof("."));
    } else if (slash == path) {
        path[1] = '\0';
    } else {
        *slash = '\0';
    }
}

/* Allows rights in the directory that a path names, and in the one it resolves to. */
static bool allow_file(int ruleset, const char *path, uint64_t rights)
{
    char directory[PATH_MAX];
    char resolved[PATH_MAX];
    bool ok;

    if (snprintf(directory, sizeof(directory), "%s", path) >= (int)sizeof(directory)) {
        return false;
    }
    to_directory(directory);
    ok = allow_directory(ruleset, directory, rights);
    if (ok && realpath(path, resolved) != NULL) {
        to_directory(resolved);
        ok = allow_directory(ruleset, resolved, rights);
    }
    return ok;
}

static bool allow_all(const struct sandbox *sandbox, int ruleset, uint64_t handled)
{
    const uint64_t write_rights =
        (LL_READ_FILE | LL_WRITE_FILE | LL_MAKE_REG | LL_REMOVE_FILE | LL_TRUNCATE) & handled;

    for (size_t i = 0; i < sandbox->read_count; i++) {
        if (!allow_file(ruleset, sandbox->read[i], LL_READ_FILE)) {
            return false;
        }
    }
    for (size_t i = 0; i < sandbox->write_count; i++) {
        if (!allow_file(ruleset, sandbox->write[i], write_rights)) {
            return false;
        }
    }
    return sandbox->store == NULL ||
           allow_file(ruleset, sandbox->store, write_rights | (LL_READ_DIR & handled));
}

/* An older kernel takes only as much of the structure as it knows. */
static size_t ruleset_size(long abi)
{
    if (abi >= 6) {
        return sizeof(struct landlock_ruleset);
    }
    return abi >= 4 ? 2 * sizeof(uint64_t) : sizeof(uint64_t);
}

static enum tlsmsg_code enter_landlock(const struct sandbox *sandbox, long abi,
                                       struct tlsmsg_error *err)
{
    const struct landlock_ruleset rules = {
        .handled_fs = handled_fs(abi),
        .handled_net = abi >= 4 ? LL_NET_BIND_TCP | LL_NET_CONNECT_TCP : 0,
        .scoped = abi >= 6 ? LL_SCOPE_ABSTRACT_UNIX | LL_SCOPE_SIGNAL : 0,
    };
    int ruleset = (int)syscall(LANDLOCK_CREATE_RULESET, &rules, ruleset_size(abi), 0);
    bool ok = ruleset >= 0 && allow_all(sandbox, ruleset, rules.handled_fs) &&
              syscall(LANDLOCK_RESTRICT_SELF, ruleset, 0) == 0;
    int saved = errno;

    if (ruleset >= 0) {
        (void)close(ruleset);
    }
    return ok ? TLSMSG_OK
              : error_set(err, TLSMSG_ERR_SYSTEM, saved, "cannot enter the Landlock sandbox");
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
    abi = syscall(LANDLOCK_CREATE_RULESET, NULL, 0, LANDLOCK_VERSION_FLAG);
    if (abi < 1) {
        (void)snprintf(held, cap,
                       "sandbox: no new privileges, no capabilities; this kernel has no "
                       "Landlock, so files and network are not restricted");
        return TLSMSG_OK;
    }
    (void)snprintf(
        held, cap,
        "sandbox: no new privileges, no capabilities, files restricted (Landlock ABI "
        "%ld)%s%s",
        abi, abi >= 4 ? ", no new TCP ports or connections" : "; this kernel lacks network rules",
        abi >= 6 ? ", no signals or abstract sockets outside" : "");
    return enter_landlock(sandbox, abi, err);
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

enum tlsmsg_code sandbox_check_user(const char *user, struct tlsmsg_error *err)
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
    return code;
}
