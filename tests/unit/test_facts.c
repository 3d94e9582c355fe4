/* The facts of a connection: a table for people, lines with the program's name for logs. */
#include "support/unit.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "app/facts.h"

#define DAY_S 86400
#define NOW ((int64_t)20000 * DAY_S) /* 2024-10-04 */

static char *text;

static const char *print(const struct facts *facts, bool styled)
{
    size_t len = 0;
    FILE *out;

    free(text);
    text = NULL;
    out = open_memstream(&text, &len);
    assert_non_null(out);
    facts_print(facts, "p", styled, out);
    assert_int_equal(fclose(out), 0);
    return text;
}

static int tear_down(void **state)
{
    (void)state;
    free(text);
    text = NULL;
    return 0;
}

static struct facts tls_facts(int64_t days)
{
    return (struct facts){
        .address = "127.0.0.1:1",
        .tls = {.version = "TLSv1.3", .cipher = "TLS_X"},
        .certificate = {.subject = "CN=a",
                        .names = "a, b",
                        .pin = "sha256//p",
                        .not_after_unix_s = NOW + days * DAY_S},
        .has_certificate = true,
        .now_unix_s = NOW,
    };
}

static void test_lines(void **state)
{
    struct facts facts = tls_facts(10);

    (void)state;
    assert_string_equal(print(&facts, false), "p: address: 127.0.0.1:1\n"
                                              "p: version: TLSv1.3\n"
                                              "p: cipher: TLS_X\n"
                                              "p: resumed: no\n"
                                              "p: certificate: CN=a\n"
                                              "p: names: a, b\n"
                                              "p: expires: 2024-10-14, 10 days left\n"
                                              "p: pin: sha256//p\n");
    facts.tls.group = "X25519";
    facts.tls.resumed = true;
    facts.has_certificate = false;
    assert_string_equal(print(&facts, false), "p: address: 127.0.0.1:1\n"
                                              "p: version: TLSv1.3\n"
                                              "p: cipher: TLS_X\n"
                                              "p: group: X25519\n"
                                              "p: resumed: yes\n");
}

static void test_table(void **state)
{
    struct facts facts = tls_facts(30);

    (void)state;
    assert_string_equal(print(&facts, true), "\033[1m127.0.0.1:1\033[0m\n"
                                             "  version      TLSv1.3\n"
                                             "  cipher       TLS_X\n"
                                             "  resumed      no\n"
                                             "  certificate  CN=a\n"
                                             "  names        a, b\n"
                                             "  expires      2024-11-03, 30 days left\n"
                                             "  pin          sha256//p\n");
    facts = tls_facts(29);
    assert_non_null(strstr(print(&facts, true), "\033[33m2024-11-02, 29 days left\033[0m\n"));
    facts = tls_facts(-2);
    assert_non_null(strstr(print(&facts, true), "\033[31m2024-10-02, 2 days ago\033[0m\n"));
}

static void test_plaintext(void **state)
{
    const struct facts facts = {.address = "a\033[m:1"};

    (void)state;
    assert_string_equal(print(&facts, false), "p: address: a\\x1b[m:1\n"
                                              "p: transport: plaintext, not encrypted\n");
    assert_string_equal(print(&facts, true), "\033[1ma\\x1b[m:1\033[0m\n"
                                             "  transport    \033[33mplaintext, not "
                                             "encrypted\033[0m\n");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_teardown(test_lines, tear_down),
        cmocka_unit_test_teardown(test_table, tear_down),
        cmocka_unit_test_teardown(test_plaintext, tear_down),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
