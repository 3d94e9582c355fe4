/* Names as typed, and what of them a certificate is held against. */
#include <string.h>

#include "support/unit.h"
#include "transport/tls/identity.h"

struct row {
    const char *name;
    const char *typed;
    const char *text; /* NULL: refused */
    bool is_literal;
};

static const struct row rows[] = {
    {"a name", "localhost", "localhost", false},
    {"a name with dots", "chat.example.com", "chat.example.com", false},
    {"a trailing dot", "chat.example.com.", "chat.example.com", false},
    {"digits and hyphens", "a-1.xn--bcher-kva.example", "a-1.xn--bcher-kva.example", false},
    {"an underscore", "my_host", "my_host", false},
    {"IPv4", "127.0.0.1", "127.0.0.1", true},
    {"IPv4 in fewer parts", "127.1", "127.0.0.1", true},
    {"IPv4 with a trailing dot is a name", "127.0.0.1.", "127.0.0.1", false},
    {"IPv6", "::1", "::1", true},
    {"IPv6 in brackets", "[::1]", "::1", true},
    {"IPv6 with a zone", "fe80::1%eth0", "fe80::1", true},
    {"IPv6 with a zone in brackets", "[fe80::1%2]", "fe80::1", true},
    {"IPv4 in brackets", "[127.0.0.1]", "127.0.0.1", true},
    {"a percent sign in a name", "host%eth0", "host%eth0", false},
    {"empty", "", NULL, false},
    {"empty brackets", "[]", NULL, false},
    {"a dot", ".", NULL, false},
    {"a leading dot", ".example.com", NULL, false},
    {"a space", "local host", NULL, false},
    {"a control character", "local\nhost", NULL, false},
    {"other letters",
     "b\xc3\xbc"
     "cher.example",
     NULL, false},
};

static void test_parse(void **state)
{
    const struct row *row = *state;
    struct tlsmsg_error err = {.code = TLSMSG_OK};
    struct server_name name;
    enum tlsmsg_code code = server_name_parse(row->typed, &name, &err);

    if (row->text == NULL) {
        assert_int_equal(code, TLSMSG_ERR_CONFIG);
        assert_int_equal(err.code, TLSMSG_ERR_CONFIG);
        assert_non_null(strstr(err.text, "server name"));
        assert_null(strchr(err.text, '\n'));
        return;
    }
    assert_int_equal(code, TLSMSG_OK);
    assert_string_equal(name.text, row->text);
    assert_int_equal(name.is_literal, row->is_literal);
}

static void test_lengths(void **state)
{
    char typed[400];
    struct server_name name;
    size_t len;

    (void)state;
    for (len = 1; len < sizeof(typed); len++) {
        memset(typed, 'a', len);
        typed[len] = '\0';
        assert_int_equal(server_name_parse(typed, &name, NULL),
                         len <= 253 ? TLSMSG_OK : TLSMSG_ERR_CONFIG);
    }
}

int main(void)
{
    static const struct CMUnitTest tests[] = {cmocka_unit_test(test_lengths)};
    int failed = cmocka_run_group_tests(tests, NULL, NULL);

    RUN_ROWS(failed, test_parse, rows);
    return failed;
}
