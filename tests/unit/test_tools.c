/* The scripts' names in texts: the installed ones only where the program is an installed one. */
#include "support/unit.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/tools.h"

static const char *program; /* where this one is said to be; "": nobody tells, NULL: the truth */

ssize_t __real_readlink(const char *path, char *out, size_t cap);
ssize_t __wrap_readlink(const char *path, char *out, size_t cap);

ssize_t __wrap_readlink(const char *path, char *out, size_t cap)
{
    if (program == NULL) {
        return __real_readlink(path, out, cap);
    }
    assert_string_equal(path, "/proc/self/exe");
    assert_true(strlen(program) <= cap);
    memcpy(out, program, strlen(program)); /* without an end */
    errno = ENOENT;
    return program[0] == '\0' ? -1 : (ssize_t)strlen(program);
}

/* The names are found once, so each place has a process of its own. */
static const char *certs_of(const char *place)
{
    int status = 0;
    pid_t child = fork();

    assert_true(child >= 0);
    if (child == 0) {
        program = place;
        _exit(strcmp(tools()->certs, "tlsmsg-certs") == 0 ? 1 : 0);
    }
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_true(WIFEXITED(status));
    return WEXITSTATUS(status) == 1 ? "installed" : "in the tree";
}

static void test_by_where_the_program_is(void **state)
{
    (void)state;
    assert_string_equal(certs_of(TLSMSG_BINDIR "/tlsmsg-client"), "installed");
    assert_string_equal(certs_of("/nowhere/tlsmsg-client"), "in the tree");
    assert_string_equal(certs_of(""), "in the tree");
}

/* The tests run in the build folder. */
static void test_in_the_tree(void **state)
{
    (void)state;
    assert_string_equal(tools()->certs, "scripts/gen-certs.sh");
    assert_string_equal(tools()->makes_cert, "scripts/gen-certs.sh makes one");
    assert_string_equal(tools()->makes_crl, "scripts/gen-certs.sh crl makes one");
    assert_string_equal(tools()->makes_ticket_keys, "scripts/rotate-ticket-keys.sh makes one");
    assert_ptr_equal(tools(), tools());
}

static void test_configured_folder(void **state)
{
    char changed[] = TLSMSG_BINDIR;
    char client[sizeof(changed) + 32];

    (void)state;
    assert_true(tools_are_installed(TLSMSG_BINDIR "/tlsmsg-client"));
    assert_true(tools_are_installed(TLSMSG_BINDIR "/tlsmsg-client (deleted)"));
    assert_false(tools_are_installed(TLSMSG_BINDIR "x/tlsmsg-client"));
    assert_false(tools_are_installed(TLSMSG_BINDIR "/x/tlsmsg-client"));
    changed[sizeof(changed) - 2] ^= 1;
    (void)snprintf(client, sizeof(client), "%s/tlsmsg-client", changed);
    assert_false(tools_are_installed(client));
    assert_false(tools_are_installed("tlsmsg-client"));
    assert_false(tools_are_installed(""));
}

static void test_moved_tree(void **state)
{
    char folder[] = "/tmp/tlsmsg-tools-XXXXXX";
    char server[sizeof(folder) + 32];
    char beside[sizeof(folder) + 32];
    int fd;

    (void)state;
    assert_non_null(mkdtemp(folder));
    (void)snprintf(server, sizeof(server), "%s/tlsmsg-server", folder);
    (void)snprintf(beside, sizeof(beside), "%s/tlsmsg-certs", folder);
    assert_false(tools_are_installed(server));
    fd = open(beside, O_WRONLY | O_CREAT | O_CLOEXEC, 0755);
    assert_true(fd >= 0);
    (void)close(fd);
    assert_true(tools_are_installed(server));
    assert_int_equal(unlink(beside), 0);
    assert_int_equal(rmdir(folder), 0);
}

static void test_long_path(void **state)
{
    char path[8192];

    (void)state;
    memset(path, 'a', sizeof(path));
    path[0] = '/';
    path[sizeof(path) - 2] = '/';
    path[sizeof(path) - 1] = '\0';
    assert_false(tools_are_installed(path));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_by_where_the_program_is),
        cmocka_unit_test(test_in_the_tree),
        cmocka_unit_test(test_configured_folder),
        cmocka_unit_test(test_moved_tree),
        cmocka_unit_test(test_long_path),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
