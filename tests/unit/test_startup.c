/* Exit codes: every code of the library in every phase. What stands on a command line: the title,
 * and passwords. */
#include "support/unit.h"

#include <stdlib.h>
#include <string.h>

#include "app/startup.h"
#include "support/failmalloc.h"

static const struct row {
    const char *name;
    enum tlsmsg_code code;
    enum exit_code starting;
    enum exit_code connecting;
    enum exit_code talking;
} rows[] = {
    {"ok", TLSMSG_OK, 0, 0, 0},
    {"out of memory", TLSMSG_ERR_NOMEM, 1, 1, 1},
    {"system", TLSMSG_ERR_SYSTEM, 1, 3, 6},
    {"configuration", TLSMSG_ERR_CONFIG, 2, 2, 2},
    {"refused, unreachable, unknown", TLSMSG_ERR_CONNECT, 1, 3, 6},
    {"no handshake", TLSMSG_ERR_HANDSHAKE, 1, 3, 6},
    {"no TLS there", TLSMSG_ERR_NOT_TLS, 1, 3, 6},
    {"TLS at a plaintext client", TLSMSG_ERR_IS_TLS, 1, 3, 6},
    {"untrusted", TLSMSG_ERR_UNTRUSTED, 1, 4, 4},
    {"refused us", TLSMSG_ERR_REFUSED, 1, 5, 5},
    {"truncated", TLSMSG_ERR_TRUNCATED, 1, 3, 6},
    {"reset", TLSMSG_ERR_RESET, 1, 3, 6},
    {"timeout", TLSMSG_ERR_TIMEOUT, 1, 3, 6},
    {"protocol", TLSMSG_ERR_PROTOCOL, 1, 3, 6},
    {"invalid UTF-8", TLSMSG_ERR_UTF8, 1, 3, 6},
    {"closed while a reply is due", TLSMSG_ERR_CLOSED, 1, 3, 6},
    {"another key than on first use", TLSMSG_ERR_KEY_CHANGED, 1, 4, 4},
    {"no tlsmsg/1 there", TLSMSG_ERR_NOT_NUMBERED, 1, 3, 6},
    {"ended by a BYE", TLSMSG_ERR_BYE, 1, 6, 6},
    {"a code of a later library", (enum tlsmsg_code)1000, 1, 1, 1},
};

static void test_code(void **state)
{
    const struct row *row = *state;

    assert_int_equal(exit_code_for(row->code, EXIT_WHILE_STARTING), row->starting);
    assert_int_equal(exit_code_for(row->code, EXIT_WHILE_CONNECTING), row->connecting);
    assert_int_equal(exit_code_for(row->code, EXIT_WHILE_TALKING), row->talking);
}

/* As the kernel lays a command line: a word behind the other. One that is elsewhere is left alone. */
static void test_title(void **state)
{
    static const char words[] = "server\0--cert\0x.crt";
    static const char titled[sizeof(words)] = "keeper-of-files";
    char line[sizeof(words)];
    char copy[] = "hidden";
    char *argv[] = {line, line + 7, copy, line + 14, NULL};

    (void)state;
    memcpy(line, words, sizeof(line));
    startup_set_title(argv, "keeper-of-files");
    assert_memory_equal(line, titled, sizeof(line));
    assert_string_equal(copy, "hidden");
    memcpy(line, words, sizeof(line));
    startup_set_title(argv, "a title that is longer than the line");
    assert_string_equal(line, "a title that is lon");
}

/* ---- passwords */

static const struct password {
    const char *name;
    const char *value;
    bool holds;
} passwords[] = {
    {"nothing", NULL, false},
    {"a file", "/var/lib/store", false},
    {"a file with a colon and an at", "a:b@c", false},
    {"words", "host=h password=p", true},
    {"words without", "host=h user=u", false},
    {"a URI", "postgresql://u:p@h/d", true},
    {"a URI with a user alone", "postgresql://u@h/d", false},
    {"a URI with a port alone", "postgresql://h:5432/d", false},
    {"a URI with a user and a port", "postgresql://u@h:5432/d", false},
    {"a URI with a parameter", "postgresql://u@h/d?password=p", true},
};

static void test_password(void **state)
{
    const struct password *row = *state;

    assert_int_equal(startup_holds_password(row->value), row->holds);
}

static void test_a_password_is_hidden(void **state)
{
    char first[] = "program";
    char second[] = "--store=postgresql://u:p@h/d";
    char third[] = "--quiet";
    char *argv[] = {first, second, third, NULL};
    char *copy = startup_hide_password(argv, second + 8);

    (void)state;
    assert_string_equal(copy, "postgresql://u:p@h/d");
    assert_string_equal(first, "program");
    assert_string_equal(second, "--store=********************");
    assert_string_equal(third, "--quiet");
    free(copy);
}

static void test_what_is_not_to_be_hidden(void **state)
{
    char first[] = "--store=postgresql://u@h/d";
    char second[] = "postgresql://u:p@h/d";
    char *argv[] = {first, second, NULL};

    (void)state;
    assert_null(startup_hide_password(argv, first + 8));
    assert_null(startup_hide_password(argv, NULL));
    assert_null(startup_hide_password(argv, "postgresql://u:p@elsewhere/d"));
    assert_string_equal(first, "--store=postgresql://u@h/d");
    assert_string_equal(second, "postgresql://u:p@h/d");
    failmalloc_at(1);
    assert_null(startup_hide_password(argv, second)); /* without memory it stays as it is */
    failmalloc_at(0);
    assert_string_equal(second, "postgresql://u:p@h/d");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_title),
        cmocka_unit_test(test_a_password_is_hidden),
        cmocka_unit_test(test_what_is_not_to_be_hidden),
    };
    int failed = cmocka_run_group_tests(tests, NULL, NULL);

    RUN_ROWS(failed, test_password, passwords);

    RUN_ROWS(failed, test_code, rows);
    return failed;
}
