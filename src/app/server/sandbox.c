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
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "app/server/kernel_abi.h"
#include "app/server/syscall_filter.h"
#include "base/build.h"
#include "base/error.h"
#include "base/escape.h"
#include "base/file.h"
#include "store/store.h"

#define NAME_SHOWN_MAX 256
#define DNS_PORT 53
#define LL_OUTPUT (LL_WRITE_FILE | LL_MAKE_REG | LL_REMOVE_FILE)

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

static long landlock_abi(void)
{
    return syscall(LANDLOCK_CREATE_RULESET, NULL, 0, LANDLOCK_VERSION_FLAG);
}

bool sandbox_restricts_files(void)
{
    return BUILD_HAS_SANDBOX && landlock_abi() >= 1;
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

/* ---- files that are read again: a reload follows the usual ways of replacing them */

/* Folders above which nothing may be read for being above: all of a system, or of a person. */
static bool is_wide(const char *folder)
{
    static const char *const wide[] = {"/home/", "/usr/", "/var/", "/run/user/"};
    const char *home = getenv("HOME");

    if (strchr(folder + 1, '/') == NULL || (home != NULL && strcmp(folder, home) == 0)) {
        return true;
    }
    for (size_t i = 0; i < sizeof(wide) / sizeof(wide[0]); i++) {
        size_t len = strlen(wide[i]);

        if (strncmp(folder, wide[i], len) == 0 && strchr(folder + len, '/') == NULL) {
            return true;
        }
    }
    return false;
}

/* Allows reading in a folder, and beside it in the one above. */
static bool allow_folder(int ruleset, const char *folder)
{
    char resolved[PATH_MAX];

    if (realpath(folder, resolved) == NULL) {
        return true;
    }
    if (!allow_directory(ruleset, resolved, LL_READ_FILE)) {
        return false;
    }
    to_directory(resolved);
    return is_wide(resolved) || allow_directory(ruleset, resolved, LL_READ_FILE);
}

/* Allows what the links on the way to a path lead to, whether folders or the file itself. */
static bool allow_links(int ruleset, const char *path, int depth)
{
    char part[PATH_MAX];
    char target[PATH_MAX];
    const char *slash = path;

    while (slash != NULL && depth < FILE_LINKS_MAX) {
        slash = strchr(slash + 1, '/');
        (void)snprintf(part, sizeof(part), "%.*s",
                       (int)(slash != NULL ? (size_t)(slash - path) : strlen(path)), path);
        if (!file_follow(part, target)) {
            continue;
        }
        if (slash != NULL && !allow_folder(ruleset, target)) {
            return false;
        }
        if (slash == NULL) {
            (void)snprintf(part, sizeof(part), "%s", target);
            to_directory(part);
            if (!allow_folder(ruleset, part)) {
                return false;
            }
        }
        if (!allow_links(ruleset, target, depth + 1)) {
            return false;
        }
    }
    return true;
}

/* The path from the root on; false where it is too long. */
static bool from_root(const char *path, char whole[PATH_MAX])
{
    char here[PATH_MAX];

    if (path[0] == '/') {
        return snprintf(whole, PATH_MAX, "%s", path) < PATH_MAX;
    }
    return getcwd(here, sizeof(here)) != NULL &&
           snprintf(whole, PATH_MAX, "%s/%s", here, path) < PATH_MAX;
}

static bool allow_again(int ruleset, const char *path)
{
    char whole[PATH_MAX];
    char folder[PATH_MAX];

    if (!from_root(path, whole)) {
        return false;
    }
    (void)snprintf(folder, sizeof(folder), "%s", whole);
    to_directory(folder);
    return allow_folder(ruleset, folder) && allow_links(ruleset, whole, 0);
}

/* ---- files that are written: their folder may come later, or be made anew */

/* Allows rights in the folder that stays, whatever happens below it: one of a system's or a person's
 * own, as is_wide has them. */
static bool allow_above(int ruleset, char folder[PATH_MAX], uint64_t rights)
{
    struct stat is;

    while (!is_wide(folder) || (stat(folder, &is) != 0 && folder[1] != '\0')) {
        to_directory(folder);
    }
    return allow_directory(ruleset, folder, rights);
}

/* Allows a file to be made, whichever folders on its way are made anew: by its name, and where that
 * leads today, as far as it is there. */
static bool allow_anew(int ruleset, const char *path, uint64_t rights)
{
    char named[PATH_MAX];
    char led[PATH_MAX] = "/";
    struct stat is;

    if (!from_root(path, named)) {
        return false;
    }
    /* A link may lead to a file that is yet to be made. */
    while (realpath(named, led) == NULL && !file_follow(named, led) && named[1] != '\0') {
        to_directory(named);
    }
    if (stat(led, &is) != 0 || !S_ISDIR(is.st_mode)) {
        to_directory(led);
    }
    (void)from_root(path, named);
    to_directory(named);
    return allow_above(ruleset, named, rights) && allow_above(ruleset, led, rights);
}

static bool allow_outputs(const struct sandbox *sandbox, int ruleset, uint64_t handled)
{
    bool ok = true;

    for (size_t i = 0; i < sandbox->write_count && ok; i++) {
        switch (sandbox->writes) {
        case SANDBOX_WRITES_IN_FOLDERS:
            ok = allow_file(ruleset, sandbox->write[i], LL_OUTPUT & handled);
            break;
        case SANDBOX_WRITES_ANEW:
            ok = allow_anew(ruleset, sandbox->write[i], LL_OUTPUT & handled);
            break;
        case SANDBOX_WRITES_NOTHING:
            break;
        }
    }
    return ok;
}

/* ---- a store that is reached over the network */

/* Allows reading one file as it is now, or all of a directory. */
static bool allow_one(int ruleset, const char *path)
{
    struct landlock_path_rule rule = {.allowed = LL_READ_FILE};
    bool ok;

    rule.parent_fd = open(path, O_PATH | O_CLOEXEC);
    if (rule.parent_fd < 0) {
        return true;
    }
    ok = syscall(LANDLOCK_ADD_RULE, ruleset, LANDLOCK_PATH_BENEATH, &rule, 0) == 0;
    (void)close(rule.parent_fd);
    return ok;
}

/* What the C library reads to find an address: names, and the modules that know some. */
static bool allow_lookups(int ruleset)
{
    static const char *const paths[] = {
        "/etc/resolv.conf", "/etc/hosts",    "/etc/host.conf", "/etc/nsswitch.conf",
        "/etc/gai.conf",    "/etc/services", "/etc/passwd",    "/etc/ld.so.cache",
        "/usr/lib",         "/usr/lib64",    "/lib",           "/lib64"};
    size_t i;

    for (i = 0; i < sizeof(paths) / sizeof(paths[0]); i++) {
        if (!allow_one(ruleset, paths[i])) {
            return false;
        }
    }
    return allow_links(ruleset, paths[0], 0);
}

static bool allow_ports(int ruleset, const struct store_reach *reach)
{
    struct landlock_port_rule rule = {.allowed = LL_NET_CONNECT_TCP};
    size_t i;

    for (i = 0; i < reach->port_count; i++) {
        rule.port = reach->ports[i];
        if (syscall(LANDLOCK_ADD_RULE, ruleset, LANDLOCK_NET_PORT, &rule, 0) != 0) {
            return false;
        }
    }
    rule.port = DNS_PORT; /* an answer too long for a datagram */
    return syscall(LANDLOCK_ADD_RULE, ruleset, LANDLOCK_NET_PORT, &rule, 0) == 0;
}

/* Files in a folder of a person's or a system's are allowed one by one, and not after they were
 * replaced; a folder of their own is allowed with what comes into it. */
static bool allow_reach(const struct store_reach *reach, int ruleset, uint64_t net)
{
    char folder[PATH_MAX];
    bool ok = allow_lookups(ruleset);
    size_t i;

    for (i = 0; i < reach->file_count && ok; i++) {
        (void)snprintf(folder, sizeof(folder), "%s", reach->files[i]);
        to_directory(folder);
        ok = is_wide(folder) ? allow_one(ruleset, reach->files[i])
                             : allow_again(ruleset, reach->files[i]);
    }
    return ok && ((net & LL_NET_CONNECT_TCP) == 0 || allow_ports(ruleset, reach));
}

static uint64_t handled_net(const struct sandbox *sandbox, long abi)
{
    uint64_t rights = LL_NET_BIND_TCP;

    rights |= sandbox->connects && sandbox->reach->any_port ? 0 : LL_NET_CONNECT_TCP;
    return abi >= 4 ? rights : 0;
}

static bool allow_all(const struct sandbox *sandbox, int ruleset, uint64_t handled, uint64_t net)
{
    const uint64_t store_rights = (LL_OUTPUT | LL_READ_FILE | LL_READ_DIR | LL_TRUNCATE) & handled;

    for (size_t i = 0; i < sandbox->read_count; i++) {
        if (!allow_again(ruleset, sandbox->read[i])) {
            return false;
        }
    }
    if (!allow_outputs(sandbox, ruleset, handled)) {
        return false;
    }
    if (sandbox->connects && !allow_reach(sandbox->reach, ruleset, net)) {
        return false;
    }
    return sandbox->store == NULL || allow_file(ruleset, sandbox->store, store_rights);
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
        .handled_net = handled_net(sandbox, abi),
        .scoped = abi >= 6 ? LL_SCOPE_ABSTRACT_UNIX | LL_SCOPE_SIGNAL : 0,
    };
    int ruleset = (int)syscall(LANDLOCK_CREATE_RULESET, &rules, ruleset_size(abi), 0);
    bool ok = ruleset >= 0 && allow_all(sandbox, ruleset, rules.handled_fs, rules.handled_net) &&
              syscall(LANDLOCK_RESTRICT_SELF, ruleset, 0) == 0;
    int saved = errno;

    if (ruleset >= 0) {
        (void)close(ruleset);
    }
    return ok ? TLSMSG_OK
              : error_set(err, TLSMSG_ERR_SYSTEM, saved, "cannot enter the Landlock sandbox");
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
    for (size_t i = 0; i < sandbox->read_count && used < cap; i++) {
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
