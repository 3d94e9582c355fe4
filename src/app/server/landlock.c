/* See landlock.h. A rule is on a folder and holds for all below it; there is none that takes away. */
#include "app/server/landlock.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "app/server/kernel_abi.h"
#include "base/error.h"
#include "base/file.h"
#include "store/store.h"

#define DNS_PORT 53
#define LL_OUTPUT (LL_WRITE_FILE | LL_MAKE_REG | LL_REMOVE_FILE)

long landlock_abi(void)
{
    return syscall(LANDLOCK_CREATE_RULESET, NULL, 0, LANDLOCK_VERSION_FLAG);
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

/* Whether a folder is one among many that a system has in one place: a home, /var/lib. */
static bool is_one_of_many(const char *folder)
{
    static const char *const above[] = {"/home/", "/usr/", "/var/", "/run/user/"};

    for (size_t i = 0; i < sizeof(above) / sizeof(above[0]); i++) {
        size_t len = strlen(above[i]);

        if (strncmp(folder, above[i], len) == 0 && strchr(folder + len, '/') == NULL) {
            return true;
        }
    }
    return false;
}

/* Folders above which nothing may be read for being above: all of a system, or of a person. */
static bool is_wide(const char *folder)
{
    const char *home = getenv("HOME");

    return strchr(folder + 1, '/') == NULL || (home != NULL && strcmp(folder, home) == 0) ||
           is_one_of_many(folder);
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

/* Whether a folder is the system's, or somebody's home: nobody makes that anew. */
static bool is_lasting(const char *folder)
{
    static const char *const names[] = {"/",     "/dev", "/etc", "/home", "/media", "/mnt", "/opt",
                                        "/root", "/run", "/srv", "/tmp",  "/usr",   "/var"};

    for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
        if (strcmp(folder, names[i]) == 0) {
            return true;
        }
    }
    return is_one_of_many(folder);
}

/* Allows rights in the nearest folder that lasts, and is there. */
static bool allow_lasting(int ruleset, char folder[PATH_MAX], uint64_t rights)
{
    while (!is_lasting(folder) || (access(folder, F_OK) != 0 && folder[1] != '\0')) {
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
    return allow_lasting(ruleset, named, rights) && allow_lasting(ruleset, led, rights);
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

enum tlsmsg_code landlock_enter(const struct sandbox *sandbox, long abi, struct tlsmsg_error *err)
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
