/* The rules that the sandbox gives the kernel, written down in the kernel's place: for each kernel, for
 * each kind of file, and where one of them is refused. */
#include "support/unit.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "app/server/landlock.h"
#include "base/file.h"
#include "store/store.h"
#include "support/kernel_rules.h"

#define NEWEST 7 /* the ABI of a kernel that has all the rules */

/* "@" in the paths below; lies in a folder that is one of many. */
static char root[PATH_MAX];
static char single[] = "/var/tlsmsg-landlock-XXXXXX"; /* "#": a file that root alone can make */
static bool has_single;

/* ---- files */

static const char *whole(const char *path, char out[PATH_MAX])
{
    bool is_ours = path[0] == '@';
    int len;

    if (path[0] == '#') {
        return single;
    }
    len = snprintf(out, PATH_MAX, "%s%s", is_ours ? root : "", is_ours ? path + 1 : path);
    assert_in_range(len, 0, PATH_MAX - 1);
    return out;
}

static void make_folder(const char *name)
{
    char path[PATH_MAX];

    assert_int_equal(mkdir(whole(name, path), 0700), 0);
}

static void make_file(const char *name)
{
    char path[PATH_MAX];
    int fd = open(whole(name, path), O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);

    assert_true(fd >= 0);
    (void)close(fd);
}

static void make_link(const char *name, const char *target)
{
    char path[PATH_MAX];
    char leads_to[PATH_MAX];

    assert_int_equal(symlink(whole(target, leads_to), whole(name, path)), 0);
}

static int set_up(void)
{
    static const char *const folders[] = {"@/own",   "@/own/in", "@/out",     "@/db",
                                          "@/links", "@/home",   "@/home/sub"};
    static const char *const files[] = {"@/own/in/cert", "@/out/metrics", "@/db/store",
                                        "@/home/.pgpass"};
    char made[] = "/var/tmp/tlsmsg-landlock-XXXXXX";
    int fd = mkstemp(single);

    has_single = fd >= 0 && close(fd) == 0;
    assert_non_null(mkdtemp(made));
    assert_non_null(realpath(made, root));
    for (size_t i = 0; i < COUNT_OF(folders); i++) {
        make_folder(folders[i]);
    }
    for (size_t i = 0; i < COUNT_OF(files); i++) {
        make_file(files[i]);
    }
    make_link("@/current", "own/in");
    make_link("@/links/cert", "../own/in/cert");
    make_link("@/links/far", "@/links/cert");
    make_link("@/links/loop", "loop");
    make_link("@/links/store", "../db/store");
    make_link("@/links/gone", "/tmp/tlsmsg-no-such/file");
    return chdir(root) == 0 ? unsetenv("HOME") : -1;
}

static int tear_down(void)
{
    char command[PATH_MAX + 64];

    (void)snprintf(command, sizeof(command), "rm -rf '%s' '%s'", root, single);
    return chdir("/") == 0 ? system(command) : -1;
}

static int begin(void **state)
{
    (void)state;
    kernel = (struct kernel_rules){.root = root};
    return unsetenv("HOME");
}

/* ---- entering */

/* The least descriptor that is free: the same afterwards where none was left open. */
static int next_fd(void)
{
    int fd = open("/dev/null", O_RDONLY | O_CLOEXEC);

    assert_int_equal(close(fd), 0);
    return fd;
}

static enum tlsmsg_code enter(const struct sandbox *sandbox, long abi, struct tlsmsg_error *err)
{
    int free_fd = next_fd();
    enum tlsmsg_code code;

    kernel_forget();
    code = landlock_enter(sandbox, abi, err);
    assert_int_equal(next_fd(), free_fd);
    assert_true(kernel.ruleset < 0 || fcntl(kernel.ruleset, F_GETFD) == -1);
    return code;
}

static void assert_rules(const struct sandbox *sandbox, long abi, const char *rules)
{
    assert_int_equal(enter(sandbox, abi, NULL), TLSMSG_OK);
    assert_string_equal(kernel.rules, rules);
    assert_int_equal(kernel.restricted, 1);
}

/* ---- what a kernel takes */

static void test_version(void **state)
{
    (void)state;
    kernel.abi = 5;
    assert_int_equal(landlock_abi(), 5);
    kernel.abi = -1;
    assert_int_equal(landlock_abi(), -1);
}

static void test_each_kernel(void **state)
{
    static const uint64_t all = LL_ABI1_ALL;
    static const uint64_t net = LL_NET_BIND_TCP | LL_NET_CONNECT_TCP;
    static const uint64_t scopes = LL_SCOPE_ABSTRACT_UNIX | LL_SCOPE_SIGNAL;
    const struct {
        size_t size;
        struct landlock_ruleset made;
        const char *store;
    } rows[] = {
        {8, {all, 0, 0}, "rdwmx @/db\nrdwmx @/db\n"},
        {8, {all | LL_REFER, 0, 0}, "rdwmx @/db\nrdwmx @/db\n"},
        {8, {all | LL_REFER | LL_TRUNCATE, 0, 0}, "rdwmxt @/db\nrdwmxt @/db\n"},
        {16, {all | LL_REFER | LL_TRUNCATE, net, 0}, "rdwmxt @/db\nrdwmxt @/db\n"},
        {16, {all | LL_REFER | LL_TRUNCATE | LL_IOCTL_DEV, net, 0}, "rdwmxt @/db\nrdwmxt @/db\n"},
        {24,
         {all | LL_REFER | LL_TRUNCATE | LL_IOCTL_DEV, net, scopes},
         "rdwmxt @/db\nrdwmxt @/db\n"},
        {24,
         {all | LL_REFER | LL_TRUNCATE | LL_IOCTL_DEV, net, scopes},
         "rdwmxt @/db\nrdwmxt @/db\n"},
    };
    char store[PATH_MAX];
    struct sandbox sandbox = {.store = whole("@/db/store", store)};

    (void)state;
    for (size_t i = 0; i < COUNT_OF(rows); i++) {
        assert_rules(&sandbox, (long)i + 1, rows[i].store);
        assert_int_equal(kernel.made_size, rows[i].size);
        assert_memory_equal(&kernel.made, &rows[i].made, sizeof(kernel.made));
    }
}

/* ---- files */

static const struct row {
    const char *name;
    const char *read;
    const char *write;
    enum sandbox_writes writes;
    const char *store;
    const char *home;
    const char *rules;
} rows[] = {
    {"a file that is read", .read = "@/own/in/cert", .rules = "r @/own/in\nr @/own\n"},
    {"below a wide folder", .read = "@/cert", .rules = "r @\n"},
    {"in the root", .read = "/tlsmsg-no-such", .rules = "r /\n"},
    {"in a home", .read = "@/home/sub/x", .home = "@/home", .rules = "r @/home/sub\n"},
    {"in another home", .read = "@/home/sub/x", .home = "@", .rules = "r @/home/sub\nr @/home\n"},
    {"from the folder of the start", .read = "own/in/cert", .rules = "r @/own/in\nr @/own\n"},
    {"in the folder of the start", .read = "cert", .rules = "r @\n"},
    {"in a folder that is not there", .read = "@/missing/cert", .rules = ""},
    {"a link", .read = "@/links/cert", .rules = "r @/links\nr @\nr @/own/in\nr @/own\n"},
    {"a link to a link", .read = "@/links/far",
     .rules = "r @/links\nr @\nr @/links\nr @\nr @/own/in\nr @/own\n"},
    {"in a linked folder", .read = "@/current/cert",
     .rules = "r @/own/in\nr @/own\nr @/own/in\nr @/own\n"},

    {"a file that is written", .write = "@/out/metrics", .rules = "wmx @/out\nwmx @/out\n"},
    {"one to be made", .write = "@/out/new", .rules = "wmx @/out\n"},
    {"one to be made here", .write = "new", .rules = "wmx @\n"},
    {"one to be made in the root", .write = "/tlsmsg-no-such", .rules = "wmx /\n"},
    {"behind a link", .write = "@/links/store", .rules = "wmx @/links\nwmx @/db\n"},
    {"in no folder", .write = "@/missing/new", .rules = ""},
    {"by another process", .write = "@/out/metrics", .writes = SANDBOX_WRITES_NOTHING, .rules = ""},

    {"anew", .write = "@/out/metrics", .writes = SANDBOX_WRITES_ANEW,
     .rules = "wmx /var/tmp\nwmx /var/tmp\n"},
    {"anew: later", .write = "@/later/new/metrics", .writes = SANDBOX_WRITES_ANEW,
     .rules = "wmx /var/tmp\nwmx /var/tmp\n"},
    {"anew: from the folder of the start", .write = "later/metrics", .writes = SANDBOX_WRITES_ANEW,
     .rules = "wmx /var/tmp\nwmx /var/tmp\n"},
    {"anew: a file of a wide folder", .write = "#", .writes = SANDBOX_WRITES_ANEW,
     .rules = "wmx /var\nwmx /var\n"},
    {"anew: later in a system's", .write = "/tmp/tlsmsg-no-such", .writes = SANDBOX_WRITES_ANEW,
     .rules = "wmx /tmp\nwmx /tmp\n"},
    {"anew: one of many that is not there", .write = "/var/tlsmsg-no-such/x",
     .writes = SANDBOX_WRITES_ANEW, .rules = "wmx /var\nwmx /var\n"},
    {"anew: in the root", .write = "/tlsmsg-no-such/new", .writes = SANDBOX_WRITES_ANEW,
     .rules = "wmx /\nwmx /\n"},
    {"anew: behind a link to nowhere", .write = "@/links/gone", .writes = SANDBOX_WRITES_ANEW,
     .rules = "wmx /var/tmp\nwmx /tmp\n"},

    {"a store", .store = "@/db/store", .rules = "rdwmxt @/db\nrdwmxt @/db\n"},
    {"a store behind a link", .store = "@/links/store", .rules = "rdwmxt @/links\nrdwmxt @/db\n"},
    {"a store to be made", .store = "@/db/new", .rules = "rdwmxt @/db\n"},
    {"all in order", .read = "@/own/in/cert", .write = "@/out/new", .store = "@/db/new",
     .rules = "r @/own/in\nr @/own\nwmx @/out\nrdwmxt @/db\n"},
};

static void fill(struct sandbox *sandbox, const struct row *row, char paths[3][PATH_MAX])
{
    *sandbox = (struct sandbox){.writes = row->writes};
    assert_true(sandbox_may_read(sandbox, row->read ? whole(row->read, paths[0]) : NULL));
    assert_true(sandbox_may_write(sandbox, row->write ? whole(row->write, paths[1]) : NULL));
    sandbox->store = row->store != NULL ? whole(row->store, paths[2]) : NULL;
}

static void test_files(void **state)
{
    const struct row *row = *state;
    char paths[3][PATH_MAX];
    char home[PATH_MAX];
    struct sandbox sandbox;

    if (row->write != NULL && row->write[0] == '#' && !has_single) {
        skip();
    }
    (void)begin(NULL);
    if (row->home != NULL) {
        assert_int_equal(setenv("HOME", whole(row->home, home), 1), 0);
    }
    fill(&sandbox, row, paths);
    assert_rules(&sandbox, NEWEST, row->rules);
}

static void test_links_in_a_circle_are_given_up(void **state)
{
    char path[PATH_MAX];
    struct sandbox sandbox = {.connects = false};
    size_t lines = 0;

    (void)state;
    assert_true(sandbox_may_read(&sandbox, whole("@/links/loop", path)));
    assert_int_equal(enter(&sandbox, NEWEST, NULL), TLSMSG_OK);
    for (const char *at = kernel.rules; (at = strchr(at, '\n')) != NULL; at++) {
        lines++;
    }
    /* Two folders of its own, and two each time that it is followed. */
    assert_int_equal(lines, 2 + 2 * FILE_LINKS_MAX);
}

/* ---- a store that is reached over the network */

/* The rules for looking a name up. Returns where what follows is to be put. */
static size_t put_lookups(char *out, size_t cap)
{
    static const char *const paths[] = {
        "/etc/resolv.conf", "/etc/hosts",    "/etc/host.conf", "/etc/nsswitch.conf",
        "/etc/gai.conf",    "/etc/services", "/etc/passwd",    "/etc/ld.so.cache",
        "/usr/lib",         "/usr/lib64",    "/lib",           "/lib64"};
    char is[PATH_MAX];
    size_t len = 0;

    for (size_t i = 0; i < COUNT_OF(paths); i++) {
        if (realpath(paths[i], is) != NULL) {
            len += (size_t)snprintf(out + len, cap - len, "r %s\n", is);
        }
    }
    return len;
}

static void test_reach(void **state)
{
    char paths[3][PATH_MAX];
    char linked[PATH_MAX];
    char wanted[4096];
    struct store_reach reach = {.file_count = 3, .ports = {5432, 5433}, .port_count = 2};
    const struct sandbox sandbox = {.connects = true, .reach = &reach};
    size_t len = put_lookups(wanted, sizeof(wanted));
    static const char *const files[] = {"@/own/in/key", "@/home/.pgpass", "@/home/.none"};

    (void)state;
    for (size_t i = 0; i < COUNT_OF(files); i++) {
        (void)whole(files[i], paths[i]);
        reach.files[i] = paths[i];
    }
    assert_int_equal(setenv("HOME", whole("@/home", linked), 1), 0);
    (void)snprintf(wanted + len, sizeof(wanted) - len,
                   "r @/own/in\nr @/own\nr @/home/.pgpass\nport 5432\nport 5433\nport 53\n");
    assert_rules(&sandbox, NEWEST, wanted);
    assert_int_equal(kernel.made.handled_net, LL_NET_BIND_TCP | LL_NET_CONNECT_TCP);

    /* A service manager's resolver has its file elsewhere. */
    kernel.resolv_conf = whole("@/own/resolv.conf", linked);
    reach.file_count = 0;
    (void)snprintf(wanted + len, sizeof(wanted) - len,
                   "r @/own\nr @\nport 5432\nport 5433\nport 53\n");
    assert_rules(&sandbox, NEWEST, wanted);

    kernel.resolv_conf = NULL;
    wanted[len] = '\0';
    assert_rules(&sandbox, 3, wanted);
    reach.any_port = true;
    assert_rules(&sandbox, NEWEST, wanted);
    assert_int_equal(kernel.made.handled_net, LL_NET_BIND_TCP);
}

/* Who connects nowhere may connect to no port, whatever its reach says. */
static void test_no_reach(void **state)
{
    struct store_reach reach = {.any_port = true, .port_count = 1, .ports = {5432}};
    const struct sandbox sandbox = {.reach = &reach};

    (void)state;
    assert_rules(&sandbox, NEWEST, "");
    assert_int_equal(kernel.made.handled_net, LL_NET_BIND_TCP | LL_NET_CONNECT_TCP);
}

/* The first descriptor is one like others where stdin is closed. */
static void test_descriptor_zero(void **state)
{
    const struct row row = {"", .read = "own/in/cert", .store = "@/db/store"};
    struct store_reach reach = {.file_count = 0};
    struct sandbox sandbox;
    char paths[3][PATH_MAX];
    char wanted[4096];
    int saved = dup(STDIN_FILENO);

    (void)state;
    assert_true(saved >= 0);
    fill(&sandbox, &row, paths);
    sandbox.connects = true;
    sandbox.reach = &reach;
    (void)snprintf(wanted, sizeof(wanted), "r @/own/in\nr @/own\n");
    (void)put_lookups(wanted + strlen(wanted), sizeof(wanted) - strlen(wanted));
    (void)strncat(wanted, "port 53\nrdwmxt @/db\nrdwmxt @/db\n",
                  sizeof(wanted) - strlen(wanted) - 1);
    assert_int_equal(close(STDIN_FILENO), 0);
    for (kernel.fd_from = 0; kernel.fd_from <= 64; kernel.fd_from += 64) {
        assert_rules(&sandbox, NEWEST, wanted);
    }
    assert_int_equal(dup2(saved, STDIN_FILENO), STDIN_FILENO);
    assert_int_equal(close(saved), 0);
}

/* ---- where a rule can't be given, nothing is entered */

static void assert_refused(const struct sandbox *sandbox, int sys_errno)
{
    struct tlsmsg_error err = {.code = TLSMSG_OK};
    char wanted[128];

    (void)snprintf(wanted, sizeof(wanted), "cannot enter the Landlock sandbox: %s",
                   strerror(sys_errno));
    assert_int_equal(enter(sandbox, NEWEST, &err), TLSMSG_ERR_SYSTEM);
    assert_int_equal(err.code, TLSMSG_ERR_SYSTEM);
    assert_int_equal(err.sys_errno, sys_errno);
    assert_string_equal(err.text, wanted);
    assert_int_equal(kernel.restricted, 0);
}

static void test_each_call_that_fails_is_the_last(void **state)
{
    static const struct row made[] = {
        {"", .read = "@/links/far", .write = "@/links/store", .store = "@/links/store"},
        {"", .read = "@/current/cert", .write = "@/links/gone", .writes = SANDBOX_WRITES_ANEW},
    };
    char paths[3][PATH_MAX];
    char files[2][PATH_MAX];
    char home[PATH_MAX];
    struct store_reach reach = {.file_count = 2, .ports = {5432}, .port_count = 1};
    struct sandbox sandbox;

    (void)state;
    reach.files[0] = (char *)(uintptr_t)whole("@/home/.pgpass", files[0]);
    reach.files[1] = (char *)(uintptr_t)whole("@/own/in/key", files[1]);
    kernel.resolv_conf = "../own/resolv.conf";
    assert_int_equal(setenv("HOME", whole("@/home", home), 1), 0);
    for (size_t i = 0; i < COUNT_OF(made); i++) {
        unsigned calls;

        fill(&sandbox, &made[i], paths);
        sandbox.connects = true;
        sandbox.reach = &reach;
        kernel.fails_at = 0;
        assert_int_equal(enter(&sandbox, NEWEST, NULL), TLSMSG_OK);
        calls = kernel.calls;
        for (kernel.fails_at = 1; kernel.fails_at <= calls; kernel.fails_at++) {
            assert_refused(&sandbox, EPERM);
            assert_int_equal(kernel.calls, kernel.fails_at);
        }
    }
}

static void test_paths_that_are_too_long(void **state)
{
    static char path[PATH_MAX + 8];
    struct sandbox sandboxes[] = {
        {.read = {path}, .read_count = 1},
        {.write = {path}, .write_count = 1},
        {.write = {path}, .write_count = 1, .writes = SANDBOX_WRITES_ANEW},
        {.store = path},
    };

    (void)state;
    memset(path, 'x', sizeof(path) - 1);
    for (size_t slash = 0; slash < 2; slash++) {
        path[0] = slash > 0 ? '/' : 'x';
        for (size_t i = 0; i < COUNT_OF(sandboxes); i++) {
            assert_int_equal(enter(&sandboxes[i], NEWEST, NULL), TLSMSG_ERR_SYSTEM);
            assert_int_equal(kernel.calls, 1);
        }
    }
}

static void test_no_folder_of_the_start(void **state)
{
    struct sandbox read = {.read = {"cert"}, .read_count = 1};
    struct sandbox write = {.write = {"metrics"}, .write_count = 1, .writes = SANDBOX_WRITES_ANEW};
    char gone[PATH_MAX];

    (void)state;
    make_folder("@/gone");
    assert_int_equal(chdir(whole("@/gone", gone)), 0);
    assert_int_equal(rmdir(gone), 0);
    assert_refused(&read, ENOENT);
    assert_refused(&write, ENOENT);
    assert_int_equal(chdir(root), 0);
}

#define TEST(test) cmocka_unit_test_setup(test, begin)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(test_version),
        TEST(test_each_kernel),
        TEST(test_links_in_a_circle_are_given_up),
        TEST(test_descriptor_zero),
        TEST(test_reach),
        TEST(test_no_reach),
        TEST(test_each_call_that_fails_is_the_last),
        TEST(test_paths_that_are_too_long),
        TEST(test_no_folder_of_the_start),
    };
    int failed;

    if (set_up() != 0) {
        return 1;
    }
    failed = cmocka_run_group_tests(tests, NULL, NULL);
    RUN_ROWS(failed, test_files, rows);
    return tear_down() != 0 || failed != 0;
}
