/* Each step into the sandbox: which come in which order, what is said of them, and that nothing follows
 * one that failed. The kernel and the list of users are the test's; tests that try what is left do so in
 * children (test_sandbox.c, test_sandbox_enter.c). */
#include "support/unit.h"

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
#include "app/server/sandbox.h"
#include "app/server/syscall_filter.h"
#include "base/build.h"
#include "base/error.h"
#include "store/store.h"

/* ---- the kernel's place */

static struct {
    long abi;
    uid_t euid;
    const char *fails; /* the step that does, with EPERM */
    int filter;        /* what comes of it: an errno, or 0 */
    bool leads_back;   /* by setuid(2) */
    bool leads_aside;  /* by seteuid(2) */
    char steps[512];   /* those that were taken, each behind a blank */
    uid_t owner_uid;
    gid_t owner_gid;
} kernel;

static struct passwd somebody;
static char user_name[] = "some\nbody";
static char user_home[] = "/home/somebody";

/* Whether it fails. */
static int step(const char *format, ...) __attribute__((format(printf, 1, 2)));

static int step(const char *format, ...)
{
    size_t len = strlen(kernel.steps);
    va_list args;

    va_start(args, format);
    kernel.steps[len] = ' ';
    (void)vsnprintf(kernel.steps + len + 1, sizeof(kernel.steps) - len - 1, format, args);
    va_end(args);
    if (kernel.fails == NULL || strcmp(kernel.steps + len + 1, kernel.fails) != 0) {
        return 0;
    }
    errno = EPERM;
    return -1;
}

int __wrap_prctl(int option, ...);
long __wrap_syscall(long number, ...);
long __wrap_landlock_abi(void);
enum tlsmsg_code __wrap_landlock_enter(const struct sandbox *sandbox, long abi,
                                       struct tlsmsg_error *err);
int __wrap_syscall_filter_install(bool connects);
uid_t __wrap_geteuid(void);
struct passwd *__wrap_getpwnam(const char *name);
int __wrap_initgroups(const char *name, gid_t gid);
int __wrap_setresgid(gid_t real, gid_t effective, gid_t saved);
int __wrap_setresuid(uid_t real, uid_t effective, uid_t saved);
int __wrap_setuid(uid_t uid);
int __wrap_seteuid(uid_t uid);
void __wrap_tlsmsg_options_set_owner(struct tlsmsg_options *options, uid_t uid, gid_t gid);

int __wrap_prctl(int option, ...)
{
    va_list args;
    int value;

    va_start(args, option);
    value = va_arg(args, int);
    va_end(args);
    assert_true(option == PR_SET_NO_NEW_PRIVS || option == PR_SET_DUMPABLE);
    return step("%s=%d", option == PR_SET_DUMPABLE ? "core" : "no-privileges", value);
}

long __wrap_syscall(long number, ...)
{
    static const struct capability_data none[2];
    const struct capability_header *header;
    va_list args;

    assert_int_equal(number, SYS_capset);
    va_start(args, number);
    header = va_arg(args, const struct capability_header *);
    assert_int_equal(header->version, CAPABILITY_VERSION_3);
    assert_int_equal(header->pid, 0);
    assert_memory_equal(va_arg(args, const void *), none, sizeof(none));
    va_end(args);
    return step("capabilities");
}

long __wrap_landlock_abi(void)
{
    return kernel.abi;
}

enum tlsmsg_code __wrap_landlock_enter(const struct sandbox *sandbox, long abi,
                                       struct tlsmsg_error *err)
{
    (void)sandbox;
    return step("landlock%ld", abi) == 0 ? TLSMSG_OK
                                         : error_set(err, TLSMSG_ERR_SYSTEM, EPERM, "no Landlock");
}

int __wrap_syscall_filter_install(bool connects)
{
    (void)step("filter%d", connects);
    return kernel.filter;
}

uid_t __wrap_geteuid(void)
{
    return kernel.euid;
}

struct passwd *__wrap_getpwnam(const char *name)
{
    assert_string_equal(name, user_name);
    if (step("user") == 0) {
        return &somebody;
    }
    errno = EIO;
    return NULL;
}

int __wrap_initgroups(const char *name, gid_t gid)
{
    assert_string_equal(name, user_name);
    return step("groups%u", (unsigned)gid);
}

int __wrap_setresgid(gid_t real, gid_t effective, gid_t saved)
{
    assert_true(real == effective && effective == saved);
    return step("gid%u", (unsigned)real);
}

int __wrap_setresuid(uid_t real, uid_t effective, uid_t saved)
{
    assert_true(real == effective && effective == saved);
    return step("uid%u", (unsigned)real);
}

int __wrap_setuid(uid_t uid)
{
    (void)step("back%u", (unsigned)uid);
    return kernel.leads_back ? 0 : -1;
}

int __wrap_seteuid(uid_t uid)
{
    (void)step("aside%u", (unsigned)uid);
    return kernel.leads_aside ? 0 : -1;
}

void __wrap_tlsmsg_options_set_owner(struct tlsmsg_options *options, uid_t uid, gid_t gid)
{
    (void)options;
    (void)step("owner");
    kernel.owner_uid = uid;
    kernel.owner_gid = gid;
}

/* ---- files, by name: "0640 of 0:5" for one of that mode, user and group */

int __wrap_stat(const char *path, struct stat *is);
/* With files of any size glibc's stat(2) has the second name. */
int __wrap_stat64(const char *path, struct stat *is);

int __wrap_stat(const char *path, struct stat *is)
{
    unsigned mode;
    unsigned uid;
    unsigned gid;

    memset(is, 0, sizeof(*is));
    if (sscanf(path, "%o of %u:%u", &mode, &uid, &gid) != 3) {
        errno = ENOENT;
        return -1;
    }
    is->st_mode = (mode_t)(S_IFREG | mode);
    is->st_uid = uid;
    is->st_gid = gid;
    return 0;
}

int __wrap_stat64(const char *path, struct stat *is)
{
    return __wrap_stat(path, is);
}

static int begin(void **state)
{
    (void)state;
    memset(&kernel, 0, sizeof(kernel));
    kernel.abi = 7;
    somebody =
        (struct passwd){.pw_name = user_name, .pw_uid = 1000, .pw_gid = 100, .pw_dir = user_home};
    return setenv("HOME", "/root", 1);
}

static void assert_error(const struct tlsmsg_error *err, enum tlsmsg_code code, int sys_errno,
                         const char *text)
{
    assert_int_equal(err->code, code);
    assert_int_equal(err->sys_errno, sys_errno);
    assert_string_equal(err->text, text);
}

/* ---- what the process gives up */

#define PRIVILEGES "sandbox: no new privileges, no capabilities"
#define RESTRICTED PRIVILEGES ", files restricted (Landlock ABI "
#define STEPS " no-privileges=1 capabilities core=0"

static const struct restricting {
    const char *name;
    long abi;
    bool connects;
    bool any_port;
    const char *held;
    const char *steps;
} restricting[] = {
    {"no Landlock", -1, false, false,
     PRIVILEGES "; this kernel has no Landlock, so files and network are not restricted", STEPS},
    {"Landlock switched off", 0, true, false,
     PRIVILEGES "; this kernel has no Landlock, so files and network are not restricted", STEPS},
    {"files", 1, false, false, RESTRICTED "1); this kernel lacks network rules",
     STEPS " landlock1"},
    {"files, and it connects", 3, true, false, RESTRICTED "3); this kernel lacks network rules",
     STEPS " landlock3"},
    {"network", 4, false, true, RESTRICTED "4), no new TCP ports or connections",
     STEPS " landlock4"},
    {"to any port", 4, true, true, RESTRICTED "4), no new TCP ports", STEPS " landlock4"},
    {"to some ports", 5, true, false,
     RESTRICTED "5), no new TCP ports, connections to the store's ports alone", STEPS " landlock5"},
    {"scopes", 6, false, false,
     RESTRICTED "6), no new TCP ports or connections, no signals or abstract sockets outside",
     STEPS " landlock6"},
};

static void test_restricting(void **state)
{
    const struct restricting *row = *state;
    const struct store_reach reach = {.any_port = row->any_port};
    const struct sandbox sandbox = {.connects = row->connects, .reach = &reach};
    char held[384] = "";

    (void)begin(NULL);
    kernel.abi = row->abi;
    assert_int_equal(sandbox_restrict(&sandbox, held, sizeof(held), NULL), TLSMSG_OK);
    assert_string_equal(held, row->held);
    assert_string_equal(kernel.steps, row->steps);
    assert_int_equal(sandbox_restricts_files(), BUILD_HAS_SANDBOX && row->abi >= 1);
}

static void test_nothing_follows_a_step_that_failed(void **state)
{
    static const struct {
        const char *step;
        const char *text;
    } steps[] = {
        {"no-privileges=1", "cannot give up new privileges: Operation not permitted"},
        {"capabilities", "cannot give up capabilities: Operation not permitted"},
        {"core=0", "cannot forbid core files: Operation not permitted"},
        {"landlock7", "no Landlock: Operation not permitted"},
    };
    const struct sandbox sandbox = {.connects = false};
    char held[384];

    (void)state;
    for (size_t i = 0; i < COUNT_OF(steps); i++) {
        struct tlsmsg_error err = {.code = TLSMSG_OK};

        (void)begin(NULL);
        kernel.fails = steps[i].step;
        assert_int_equal(sandbox_restrict(&sandbox, held, sizeof(held), &err), TLSMSG_ERR_SYSTEM);
        assert_error(&err, TLSMSG_ERR_SYSTEM, EPERM, steps[i].text);
        assert_string_equal(strstr(kernel.steps, steps[i].step), steps[i].step);
    }
}

/* ---- all of it */

#define BECOMING " user groups100 gid100 uid1000 back0 aside0"
#define ALL (BUILD_HAS_SANDBOX ? STEPS " landlock7 filter0" : "")
#define HELD                                                                                       \
    RESTRICTED "7), no new TCP ports or connections, no signals or abstract sockets outside"

static enum tlsmsg_code enter(const char *user, struct sandbox_report *report,
                              struct tlsmsg_error *err)
{
    static const struct sandbox sandbox;

    memset(report, 'x', sizeof(*report));
    return sandbox_enter(user, &sandbox, report, err);
}

static void test_entering(void **state)
{
    static const struct {
        const char *user;
        uid_t euid;
        uid_t uid;
        const char *first; /* steps */
        const char *home;
    } rows[] = {
        {NULL, 0, 1000, "", "/root"},
        {user_name, 0, 1000, BECOMING, user_home},
        {user_name, 1000, 1000, "", "/root"},
        {user_name, 0, 0, " user groups100 gid100 uid0", user_home},
    };
    struct sandbox_report report;
    char steps[512];

    (void)state;
    for (size_t i = 0; i < COUNT_OF(rows); i++) {
        (void)begin(NULL);
        kernel.euid = rows[i].euid;
        somebody.pw_uid = rows[i].uid;
        assert_int_equal(enter(rows[i].user, &report, NULL), TLSMSG_OK);
        (void)snprintf(steps, sizeof(steps), "%s%s", rows[i].first, ALL);
        assert_string_equal(kernel.steps, steps);
        assert_string_equal(getenv("HOME"), rows[i].home);
        assert_string_equal(report.warning, "");
        assert_string_equal(report.held,
                            BUILD_HAS_SANDBOX
                                ? HELD ", system calls filtered (seccomp)"
                                : "sandbox: none in this build, which is made for finding errors");
    }
}

static void test_becoming_that_fails(void **state)
{
    static const struct {
        const char *step;
        bool leads_back;
        bool leads_aside;
        enum tlsmsg_code code;
        int sys_errno;
        const char *text;
    } rows[] = {
        {"user", false, false, TLSMSG_ERR_CONFIG, EIO,
         "no such user 'some\\nbody': Input/output error"},
        {"groups100", false, false, TLSMSG_ERR_SYSTEM, EPERM,
         "cannot become user 'some\\nbody': Operation not permitted"},
        {"gid100", false, false, TLSMSG_ERR_SYSTEM, EPERM,
         "cannot become user 'some\\nbody': Operation not permitted"},
        {"uid1000", false, false, TLSMSG_ERR_SYSTEM, EPERM,
         "cannot become user 'some\\nbody': Operation not permitted"},
        {"back0", true, false, TLSMSG_ERR_SYSTEM, 0,
         "still root after becoming user 'some\\nbody'"},
        {"aside0", false, true, TLSMSG_ERR_SYSTEM, 0,
         "still root after becoming user 'some\\nbody'"},
    };
    struct sandbox_report report;

    (void)state;
    for (size_t i = 0; i < COUNT_OF(rows); i++) {
        struct tlsmsg_error err = {.code = TLSMSG_OK};

        (void)begin(NULL);
        kernel.fails = rows[i].step;
        kernel.leads_back = rows[i].leads_back;
        kernel.leads_aside = rows[i].leads_aside;
        assert_int_equal(enter(user_name, &report, &err), rows[i].code);
        assert_error(&err, rows[i].code, rows[i].sys_errno, rows[i].text);
        assert_string_equal(strstr(kernel.steps, rows[i].step), rows[i].step);
    }
}

static void test_entering_that_fails(void **state)
{
    struct tlsmsg_error err = {.code = TLSMSG_OK};
    struct sandbox_report report;

    (void)state;
    if (!BUILD_HAS_SANDBOX) {
        skip();
    }
    kernel.fails = "core=0";
    assert_int_equal(enter(NULL, &report, &err), TLSMSG_ERR_SYSTEM);
    assert_string_equal(kernel.steps, STEPS);

    (void)begin(NULL);
    tlsmsg_error_clear(&err);
    kernel.filter = EACCES;
    assert_int_equal(enter(NULL, &report, &err), TLSMSG_ERR_SYSTEM);
    assert_error(&err, TLSMSG_ERR_SYSTEM, EACCES, "cannot filter system calls: Permission denied");

    (void)begin(NULL);
    kernel.filter = ENOSYS;
    assert_int_equal(enter(NULL, &report, NULL), TLSMSG_OK);
    assert_string_equal(report.held,
                        HELD "; system calls are not filtered (seccomp is not to be had)");
}

/* A look back, which keeps nothing open, be it the first descriptor. */
static void test_looking_back(void **state)
{
    struct sandbox sandbox = {.connects = true,
                              .reach = &(const struct store_reach){.any_port = true}};
    struct sandbox_report report;
    int saved = dup(STDIN_FILENO);

    (void)state;
    assert_true(sandbox_may_read(&sandbox, "/dev/null"));
    assert_true(sandbox_may_read(&sandbox, "/dev/zero"));
    assert_int_equal(close(STDIN_FILENO), 0);
    assert_int_equal(sandbox_enter(NULL, &sandbox, &report, NULL), TLSMSG_OK);
    assert_int_equal(fcntl(STDIN_FILENO, F_GETFD), -1);
    assert_int_equal(dup2(saved, STDIN_FILENO), STDIN_FILENO);
    (void)close(saved);
    assert_string_equal(report.warning, "");
    assert_string_equal(kernel.steps, BUILD_HAS_SANDBOX ? STEPS " landlock7 filter1" : "");

    assert_true(sandbox_may_read(&sandbox, "/nowhere/a\nkey"));
    assert_true(sandbox_may_read(&sandbox, "/nowhere/other"));
    assert_int_equal(sandbox_enter(NULL, &sandbox, &report, NULL), TLSMSG_OK);
    assert_string_equal(
        report.warning,
        "a reload will fail: without root's privileges '/nowhere/a\\nkey' cannot be "
        "read again: No such file or directory");
    assert_int_equal(sandbox_enter(user_name, &sandbox, &report, NULL), TLSMSG_OK);
    assert_string_equal(report.warning,
                        "a reload will fail: user 'some\\nbody' cannot read '/nowhere/a\\nkey': No "
                        "such file or directory");
}

static void test_looking_back_at_all_that_there_may_be(void **state)
{
    struct sandbox sandbox = {.connects = false};
    struct sandbox_report report;

    (void)state;
    while (sandbox_may_read(&sandbox, "/dev/null")) {
    }
    assert_int_equal(sandbox.read_count, SANDBOX_PATHS_MAX);
    assert_int_equal(sandbox_enter(NULL, &sandbox, &report, NULL), TLSMSG_OK);
    assert_string_equal(report.warning, "");
}

/* ---- before anything is opened */

static void test_checking_the_user(void **state)
{
    static const struct {
        uid_t euid;
        uid_t uid;
        bool is_told; /* whose the process will be */
        const char *text;
    } rows[] = {
        {0, 1000, true, NULL},
        {0, 0, false, NULL},
        {1000, 1000, false, NULL},
        {1001, 1000, false,
         "--user: only root can become user 'some\\nbody' (start as root, or leave --user out)"},
    };

    (void)state;
    for (size_t i = 0; i < COUNT_OF(rows); i++) {
        enum tlsmsg_code code = rows[i].text == NULL ? TLSMSG_OK : TLSMSG_ERR_CONFIG;
        struct tlsmsg_error err = {.code = TLSMSG_OK};

        (void)begin(NULL);
        kernel.euid = rows[i].euid;
        somebody.pw_uid = rows[i].uid;
        assert_int_equal(sandbox_check_user(user_name, NULL, &err), code);
        assert_error(&err, code, 0, rows[i].text == NULL ? "" : rows[i].text);
        assert_string_equal(kernel.steps, rows[i].is_told ? " user owner" : " user");
        assert_int_equal(kernel.owner_uid, rows[i].is_told ? 1000 : 0);
        assert_int_equal(kernel.owner_gid, rows[i].is_told ? 100 : 0);
    }
}

static void assert_roots_own(const char *const *files, size_t count, size_t cap, const char *text)
{
    struct sandbox sandbox = {.connects = false};
    char out[256] = "?";

    for (size_t i = 0; i < count; i++) {
        assert_true(sandbox_may_read(&sandbox, files[i]));
    }
    sandbox_print_roots_own(&sandbox, out, cap);
    assert_string_equal(out, text);
}

static void test_roots_own(void **state)
{
    static const char *const none[] = {"missing",     "0600 of 7:0", "0604 of 0:0",
                                       "0640 of 0:5", "0644 of 0:5", "0604 of 0:5"};
    static const char *const some[] = {"0600 of 0:0", "missing",     "0640 of 0:0",
                                       "0600 of 0:5", "0604 of 0:0", "0400 of 0:0\n"};
    static const char *const two[] = {"0600 of 0:0", "0600 of 0:5", "0640 of 0:0"};

    (void)state;
    assert_roots_own(none, 0, 256, "");
    assert_roots_own(none, COUNT_OF(none), 256, "");
    assert_roots_own(some, COUNT_OF(some), 256,
                     "'0600 of 0:0', '0640 of 0:0', '0600 of 0:5', '0400 of 0:0\\n'");
    /* Each needs room for its quotes, a comma, and what says that there are more. */
    assert_roots_own(two, 2, 13 + 11 + 10, "'0600 of 0:0', '0600 of 0:5'");
    assert_roots_own(two, 2, 13 + 11 + 9, "'0600 of 0:0', ...");
    assert_roots_own(two, 3, 13 + 11 + 9, "'0600 of 0:0', ...");
}

#define TEST(test) cmocka_unit_test_setup(test, begin)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(test_nothing_follows_a_step_that_failed),
        TEST(test_entering),
        TEST(test_becoming_that_fails),
        TEST(test_entering_that_fails),
        TEST(test_looking_back),
        TEST(test_looking_back_at_all_that_there_may_be),
        TEST(test_checking_the_user),
        TEST(test_roots_own),
    };
    int failed = cmocka_run_group_tests(tests, NULL, NULL);

    RUN_ROWS(failed, test_restricting, restricting);
    return failed;
}
