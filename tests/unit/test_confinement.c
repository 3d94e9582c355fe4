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

#include "app/confinement.h"
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
    assert_int_equal(confinement_check(NULL, NULL), TLSMSG_OK);
}

static void test_unknown_user(void **state)
{
    struct tlsmsg_error err = {.code = TLSMSG_OK};

    (void)state;
    assert_int_equal(confinement_check("no\nbody", &err), TLSMSG_ERR_CONFIG);
    assert_string_equal(err.text, "--user: there is no user 'no\\nbody'");
    assert_int_equal(err.sys_errno, 0);
}

static void test_own_user(void **state)
{
    const struct passwd *own = getpwuid(geteuid());

    (void)state;
    if (own == NULL) {
        skip();
    }
    assert_int_equal(confinement_check(own->pw_name, NULL), TLSMSG_OK);
}

static enum child_result check_root_as_other(void)
{
    struct tlsmsg_error err = {.code = TLSMSG_OK};

    if (geteuid() == 0 && setuid(65534) != 0) {
        return CHILD_SKIPPED;
    }
    (void)confinement_check("root", &err);
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
    struct confinement out;
    const struct passwd *other = getpwnam(OTHER_USER);

    if (geteuid() != 0 || other == NULL) {
        return CHILD_SKIPPED;
    }
    if (confinement_enter(OTHER_USER, &sandbox, &out, NULL) != TLSMSG_OK) {
        return CHILD_WRONG;
    }
    return geteuid() == other->pw_uid && getuid() == other->pw_uid && getegid() == other->pw_gid &&
                   setuid(0) != 0 && out.warning[0] == '\0'
               ? CHILD_OK
               : CHILD_WRONG;
}

static void test_becomes_the_user(void **state)
{
    (void)state;
    run_in_child(enter_as_other);
}

/* The sandbox holds, or the build has none and the line says so. */
static enum child_result enter_and_look(void)
{
    static struct sandbox sandbox;
    struct confinement out;
    bool held;

    if (confinement_enter(NULL, &sandbox, &out, NULL) != TLSMSG_OK) {
        return CHILD_WRONG;
    }
    held = prctl(PR_GET_NO_NEW_PRIVS, 0, 0, 0, 0) == 1 && prctl(PR_GET_DUMPABLE, 0, 0, 0, 0) == 0;
    if (!confinement_has_sandbox) {
        return !held && strncmp(out.held, "sandbox: none", 13) == 0 ? CHILD_OK : CHILD_WRONG;
    }
    return held && strncmp(out.held, "sandbox: no new privileges, no capabilities", 43) == 0
               ? CHILD_OK
               : CHILD_WRONG;
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
    struct confinement out;
    char wanted[512];

    if (geteuid() != 0 || getpwnam(OTHER_USER) == NULL) {
        return CHILD_SKIPPED;
    }
    if (!sandbox_may_read(&sandbox, secret) ||
        confinement_enter(OTHER_USER, &sandbox, &out, NULL) != TLSMSG_OK) {
        return CHILD_WRONG;
    }
    (void)snprintf(wanted, sizeof(wanted),
                   "a reload will fail: user '" OTHER_USER "' cannot read '%s': Permission denied",
                   secret);
    return strcmp(out.warning, wanted) == 0 ? CHILD_OK : CHILD_WRONG;
}

/* Root without its capabilities reads no file of others that shuts it out. */
static enum child_result enter_as_bare_root(void)
{
    static struct sandbox sandbox;
    struct confinement out;

    if (geteuid() != 0 || !confinement_has_sandbox || chown(secret, 65534, 65534) != 0) {
        return CHILD_SKIPPED;
    }
    if (!sandbox_may_read(&sandbox, secret) ||
        confinement_enter(NULL, &sandbox, &out, NULL) != TLSMSG_OK) {
        return CHILD_WRONG;
    }
    return strncmp(out.warning, "a reload will fail: without root's privileges '", 47) == 0
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
        cmocka_unit_test(test_enters_the_sandbox),
        cmocka_unit_test(test_files_out_of_the_users_reach),
        cmocka_unit_test(test_files_out_of_bare_roots_reach),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
