/* The scripts' names in texts: the installed ones only where the program is an installed one. */
#include "support/unit.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/tools.h"

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
    char program[sizeof(changed) + 32];

    (void)state;
    assert_true(tools_are_installed(TLSMSG_BINDIR "/tlsmsg-client"));
    assert_true(tools_are_installed(TLSMSG_BINDIR "/tlsmsg-client (deleted)"));
    assert_false(tools_are_installed(TLSMSG_BINDIR "x/tlsmsg-client"));
    assert_false(tools_are_installed(TLSMSG_BINDIR "/x/tlsmsg-client"));
    changed[sizeof(changed) - 2] ^= 1;
    (void)snprintf(program, sizeof(program), "%s/tlsmsg-client", changed);
    assert_false(tools_are_installed(program));
    assert_false(tools_are_installed("tlsmsg-client"));
    assert_false(tools_are_installed(""));
}

static void test_moved_tree(void **state)
{
    char folder[] = "/tmp/tlsmsg-tools-XXXXXX";
    char program[sizeof(folder) + 32];
    char beside[sizeof(folder) + 32];
    int fd;

    (void)state;
    assert_non_null(mkdtemp(folder));
    (void)snprintf(program, sizeof(program), "%s/tlsmsg-server", folder);
    (void)snprintf(beside, sizeof(beside), "%s/tlsmsg-certs", folder);
    assert_false(tools_are_installed(program));
    fd = open(beside, O_WRONLY | O_CREAT | O_CLOEXEC, 0755);
    assert_true(fd >= 0);
    (void)close(fd);
    assert_true(tools_are_installed(program));
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
        cmocka_unit_test(test_in_the_tree),
        cmocka_unit_test(test_configured_folder),
        cmocka_unit_test(test_moved_tree),
        cmocka_unit_test(test_long_path),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
