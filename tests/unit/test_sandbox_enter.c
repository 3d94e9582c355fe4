/* What a server gives up before it serves, tried in children: none of it can be taken back. */
#include "support/unit.h"

#include <fcntl.h>
#include <pwd.h>
#include <stdio.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "app/server/sandbox.h"
#include "base/build.h"
#include "support/test_folder.h"

/* Whoever is there on every system and is not root. */
#define OTHER_USER "nobody"

enum child_result { CHILD_OK, CHILD_WRONG, CHILD_SKIPPED };

static char secret[TEST_PATH_MAX];

static int in_child(enum child_result (*what)(void))
{
    int status = 0;
    pid_t child = fork();

    assert_true(child >= 0);
    if (child == 0) {
        _exit((int)what());
    }
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_true(WIFEXITED(status));
    return WEXITSTATUS(status);
}

static void run_in_child(enum child_result (*what)(void))
{
    int result = in_child(what);

    if (result == CHILD_SKIPPED) {
        skip();
    }
    assert_int_equal(result, CHILD_OK);
}

static enum child_result says(const struct tlsmsg_error *err, enum tlsmsg_code code,
                              const char *text)
{
    return err->code == code && strcmp(err->text, text) == 0 ? CHILD_OK : CHILD_WRONG;
}

static void test_no_user_is_always_good(void **state)
{
    (void)state;
    assert_int_equal(sandbox_check_user(NULL, NULL, NULL), TLSMSG_OK);
}

static void test_unknown_user(void **state)
{
    struct tlsmsg_error err = {.code = TLSMSG_OK};

    (void)state;
    assert_int_equal(sandbox_check_user("no\nbody", NULL, &err), TLSMSG_ERR_CONFIG);
    assert_string_equal(err.text, "--user: there is no user 'no\\nbody'");
    assert_int_equal(err.sys_errno, 0);
}

static void test_own_user(void **state)
{
    const struct passwd *own = getpwuid(geteuid());
    struct tlsmsg_options *options = NULL;

    (void)state;
    if (own == NULL) {
        skip();
    }
    assert_int_equal(tlsmsg_options_new(TLSMSG_ROLE_SERVER, &options, NULL), TLSMSG_OK);
    assert_int_equal(sandbox_check_user(own->pw_name, options, NULL), TLSMSG_OK);
    tlsmsg_options_free(options);
}

static enum child_result check_root_as_other(void)
{
    struct tlsmsg_error err = {.code = TLSMSG_OK};

    if (geteuid() == 0 && setuid(65534) != 0) {
        return CHILD_SKIPPED;
    }
    (void)sandbox_check_user("root", NULL, &err);
    return says(&err, TLSMSG_ERR_CONFIG,
                "--user: only root can become user 'root' (start as root, or leave --user out)");
}

static void test_only_root_becomes_another(void **state)
{
    (void)state;
    run_in_child(check_root_as_other);
}

static enum child_result enter_as_other(void)
{
    static struct sandbox sandbox;
    struct sandbox_report report;
    const struct passwd *other = getpwnam(OTHER_USER);

    if (geteuid() != 0 || other == NULL) {
        return CHILD_SKIPPED;
    }
    if (sandbox_enter(OTHER_USER, &sandbox, &report, NULL) != TLSMSG_OK) {
        return CHILD_WRONG;
    }
    return geteuid() == other->pw_uid && getuid() == other->pw_uid && getegid() == other->pw_gid &&
                   setuid(0) != 0 && getgroups(0, NULL) <= 1 && report.warning[0] == '\0'
               ? CHILD_OK
               : CHILD_WRONG;
}

static void test_becomes_the_user(void **state)
{
    (void)state;
    run_in_child(enter_as_other);
}

/* One that went between the check and now. */
static enum child_result enter_as_nobody_known(void)
{
    static struct sandbox sandbox;
    struct sandbox_report report;
    struct tlsmsg_error err = {.code = TLSMSG_OK};

    if (geteuid() != 0) {
        return CHILD_SKIPPED;
    }
    (void)sandbox_enter("no-such-user-here", &sandbox, &report, &err);
    return says(&err, TLSMSG_ERR_CONFIG, "no such user 'no-such-user-here'");
}

static void test_a_user_who_has_gone(void **state)
{
    (void)state;
    run_in_child(enter_as_nobody_known);
}

/* The sandbox holds, or the build has none and the line says so. */
static enum child_result enter_and_look(void)
{
    static struct sandbox sandbox;
    struct sandbox_report report;
    bool held;

    if (sandbox_enter(NULL, &sandbox, &report, NULL) != TLSMSG_OK) {
        return CHILD_WRONG;
    }
    held = prctl(PR_GET_NO_NEW_PRIVS, 0, 0, 0, 0) == 1 && prctl(PR_GET_DUMPABLE, 0, 0, 0, 0) == 0;
    if (!BUILD_HAS_SANDBOX) {
        return !held && strncmp(report.held, "sandbox: none", 13) == 0 ? CHILD_OK : CHILD_WRONG;
    }
    return held && strncmp(report.held, "sandbox: no new privileges, no capabilities", 43) == 0
               ? CHILD_OK
               : CHILD_WRONG;
}

/* The first one that is out of reach is named. */
static enum child_result enter_without_a_file(void)
{
    static struct sandbox sandbox;
    struct sandbox_report report;

    if (!sandbox_may_read(&sandbox, "/dev/null") || !sandbox_may_read(&sandbox, NULL) ||
        !sandbox_may_read(&sandbox, "/nowhere/key") ||
        sandbox_enter(NULL, &sandbox, &report, NULL) != TLSMSG_OK) {
        return CHILD_WRONG;
    }
    return strcmp(report.warning,
                  "a reload will fail: without root's privileges '/nowhere/key' cannot be read "
                  "again: No such file or directory") == 0
               ? CHILD_OK
               : CHILD_WRONG;
}

static void test_a_missing_file_is_named(void **state)
{
    (void)state;
    run_in_child(enter_without_a_file);
}

static void test_enters_the_sandbox(void **state)
{
    (void)state;
    run_in_child(enter_and_look);
}

/* A file that root alone may read is out of reach afterwards, and the warning says to whom. */
static enum child_result enter_beside_a_secret(void)
{
    static struct sandbox sandbox;
    struct sandbox_report report;
    char wanted[512];

    if (geteuid() != 0 || getpwnam(OTHER_USER) == NULL) {
        return CHILD_SKIPPED;
    }
    if (!sandbox_may_read(&sandbox, secret) ||
        sandbox_enter(OTHER_USER, &sandbox, &report, NULL) != TLSMSG_OK) {
        return CHILD_WRONG;
    }
    (void)snprintf(wanted, sizeof(wanted),
                   "a reload will fail: user '" OTHER_USER "' cannot read '%s': Permission denied",
                   secret);
    return strcmp(report.warning, wanted) == 0 ? CHILD_OK : CHILD_WRONG;
}

/* Root without its capabilities reads no file of others that shuts it report. */
static enum child_result enter_as_bare_root(void)
{
    static struct sandbox sandbox;
    struct sandbox_report report;

    if (geteuid() != 0 || !BUILD_HAS_SANDBOX || chown(secret, 65534, 65534) != 0) {
        return CHILD_SKIPPED;
    }
    if (!sandbox_may_read(&sandbox, secret) ||
        sandbox_enter(NULL, &sandbox, &report, NULL) != TLSMSG_OK) {
        return CHILD_WRONG;
    }
    return strncmp(report.warning, "a reload will fail: without root's privileges '", 47) == 0
               ? CHILD_OK
               : CHILD_WRONG;
}

static void with_secret(enum child_result (*what)(void))
{
    struct test_folder folder;
    int result;
    int fd;

    test_folder_make(&folder);
    (void)test_folder_file(&folder, "secret", secret);
    fd = open(secret, O_WRONLY | O_CREAT, 0600);
    assert_true(fd >= 0);
    (void)close(fd);
    /* The folder is open to all: the file's own mode decides. */
    assert_int_equal(chmod(folder.path, 0755), 0);
    result = in_child(what);
    test_folder_remove(&folder);
    if (result == CHILD_SKIPPED) {
        skip();
    }
    assert_int_equal(result, CHILD_OK);
}

static void test_files_out_of_the_users_reach(void **state)
{
    (void)state;
    with_secret(enter_beside_a_secret);
}

static void test_files_out_of_bare_roots_reach(void **state)
{
    (void)state;
    with_secret(enter_as_bare_root);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_no_user_is_always_good),
        cmocka_unit_test(test_unknown_user),
        cmocka_unit_test(test_own_user),
        cmocka_unit_test(test_only_root_becomes_another),
        cmocka_unit_test(test_becomes_the_user),
        cmocka_unit_test(test_a_user_who_has_gone),
        cmocka_unit_test(test_enters_the_sandbox),
        cmocka_unit_test(test_a_missing_file_is_named),
        cmocka_unit_test(test_files_out_of_the_users_reach),
        cmocka_unit_test(test_files_out_of_bare_roots_reach),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
