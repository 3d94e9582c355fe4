/* What is known of a server: of a connection as a table for people and as lines for logs, of a probe
 * the words, the days, the colours, and a JSON line that nothing can forge. */
#include "support/unit.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "app/client/report.h"

#define DAY 86400
#define NOW (20000 * (int64_t)DAY)

static char *text; /* of the report printed last */

static int tear_down(void **state)
{
    (void)state;
    free(text);
    text = NULL;
    return 0;
}

static const char *print(const struct report *report, bool json, bool colour)
{
    size_t len = 0;
    FILE *out;

    free(text);
    text = NULL;
    out = open_memstream(&text, &len);
    assert_non_null(out);
    if (json) {
        assert_true(report_print_json(report, out));
    } else {
        report_print_screen(report, colour, out);
    }
    assert_int_equal(fclose(out), 0);
    return text;
}

static const char *print_connection(const struct report *report, bool styled)
{
    size_t len = 0;
    FILE *out;

    free(text);
    text = NULL;
    out = open_memstream(&text, &len);
    assert_non_null(out);
    report_print_connection(report, "p", styled, out);
    assert_int_equal(fclose(out), 0);
    return text;
}

static struct report good_report(void)
{
    return (struct report){
        .address = "127.0.0.1:1",
        .tls = {.version = "TLSv1.3", .cipher = "TLS_X", .group = "X25519"},
        .chain = {{.subject = "CN=a",
                   .issuer = "CN=b",
                   .names = "a, b",
                   .pin = "sha256//p",
                   .not_before_unix_s = NOW - DAY,
                   .not_after_unix_s = NOW + 10 * DAY}},
        .count = 1,
        .trust = "its name holds",
        .exit = EXIT_DONE,
        .now_unix_s = NOW,
    };
}

static void test_days_left(void **state)
{
    (void)state;
    assert_int_equal(report_days_left(NOW + DAY, NOW), 1);
    assert_int_equal(report_days_left(NOW + DAY - 1, NOW), 0);
    assert_int_equal(report_days_left(NOW, NOW), 0);
    assert_int_equal(report_days_left(NOW - 1, NOW), -1);
    assert_int_equal(report_days_left(NOW - DAY, NOW), -1);
    assert_int_equal(report_days_left(NOW - DAY - 1, NOW), -2);
}

static void test_results(void **state)
{
    static const struct {
        enum exit_code exit;
        const char *word;
    } words[] = {{EXIT_DONE, "trusted"},    {EXIT_UNTRUSTED, "untrusted"},
                 {EXIT_REFUSED, "refused"}, {EXIT_NO_CONNECTION, "failed"},
                 {EXIT_CUT, "failed"},      {EXIT_OTHER, "failed"}};
    size_t i;

    (void)state;
    for (i = 0; i < sizeof(words) / sizeof(words[0]); i++) {
        struct report report = {.exit = words[i].exit};

        assert_string_equal(report_result(&report), words[i].word);
    }
}

static void test_detail_leaves_the_address_out(void **state)
{
    struct report report = good_report();

    (void)state;
    assert_string_equal(report_detail(&report), "its name holds");
    report.exit = EXIT_UNTRUSTED;
    report.error = (struct tlsmsg_error){.text = "127.0.0.1:1: no"};
    assert_string_equal(report_detail(&report), "no");
    report.error = (struct tlsmsg_error){.text = "127.0.0.1:12: no"};
    assert_string_equal(report_detail(&report), "127.0.0.1:12: no");
    report.address = NULL;
    assert_string_equal(report_detail(&report), "127.0.0.1:12: no");
}

static void test_json(void **state)
{
    struct report report = good_report();

    (void)state;
    assert_string_equal(
        print(&report, true, false),
        "{\"time\":\"2024-10-04T00:00:00.000Z\",\"address\":\"127.0.0.1:1\","
        "\"tls\":{\"version\":\"TLSv1.3\",\"cipher\":\"TLS_X\",\"group\":\"X25519\"},"
        "\"pin\":\"sha256//p\",\"chain\":[{\"subject\":\"CN=a\",\"issuer\":\"CN=b\","
        "\"names\":\"a, b\",\"pin\":\"sha256//p\",\"not_before\":\"2024-10-03T00:00:00.000Z\","
        "\"not_after\":\"2024-10-14T00:00:00.000Z\",\"days_left\":10}],"
        "\"result\":\"trusted\",\"detail\":\"its name holds\",\"exit\":0}\n");
}

static void test_json_of_nothing(void **state)
{
    struct report report = {.exit = EXIT_NO_CONNECTION,
                            .error = {.text = "say \"no\"\n{\"exit\":0}"}};

    (void)state;
    assert_string_equal(print(&report, true, false),
                        "{\"time\":\"1970-01-01T00:00:00.000Z\",\"result\":\"failed\","
                        "\"detail\":\"say \\\"no\\\"\\n{\\\"exit\\\":0}\",\"exit\":3}\n");
}

static void test_text(void **state)
{
    struct report report = good_report();

    (void)state;
    assert_non_null(strstr(print(&report, false, false), "valid       2024-10-03 to 2024-10-14, "
                                                         "10 days left\n"));
    assert_null(strchr(text, '\033'));
    assert_non_null(strstr(print(&report, false, true), "\033[33m10 days left\033[0m\n"));
    assert_non_null(strstr(text, "\033[32mtrusted\033[0m: its name holds\n"));

    report.chain[0].not_after_unix_s = NOW - 1;
    report.exit = EXIT_UNTRUSTED;
    (void)strcpy(report.error.text, "expired");
    assert_non_null(strstr(print(&report, false, true), "\033[31mexpired 1 days ago\033[0m\n"));
    assert_non_null(strstr(text, "\033[31muntrusted\033[0m: expired\n"));

    report.chain[0].not_before_unix_s = NOW + 1;
    assert_non_null(strstr(print(&report, false, false), ", not yet\n"));
}

static void test_text_of_a_chain(void **state)
{
    struct report report = good_report();

    (void)state;
    report.chain[1] = report.chain[0];
    (void)strcpy(report.chain[1].subject, "CN=b");
    (void)strcpy(report.chain[1].names, "no name");
    report.chain[2] = report.chain[0];
    report.chain[2].not_before_unix_s = NOW;
    report.chain[2].not_after_unix_s = NOW;
    report.count = 3;
    report.tls.protocol = "tlsmsg/1";
    assert_string_equal(print(&report, false, false),
                        "127.0.0.1:1\n"
                        "  version       TLSv1.3\n"
                        "  cipher        TLS_X\n"
                        "  group         X25519\n"
                        "  protocol      tlsmsg/1\n"
                        "  certificate   CN=a\n"
                        "    names       a, b\n"
                        "    issuer      CN=b\n"
                        "    valid       2024-10-03 to 2024-10-14, 10 days left\n"
                        "  sent issuer   CN=b\n"
                        "    issuer      CN=b\n"
                        "    valid       2024-10-03 to 2024-10-14, 10 days left\n"
                        "  sent issuer   CN=a\n"
                        "    names       a, b\n"
                        "    issuer      CN=b\n"
                        "    valid       2024-10-04 to 2024-10-04, 0 days left\n"
                        "  pin           sha256//p\n"
                        "  verification  trusted: its name holds\n");
    (void)strcpy(report.chain[0].names, "no name");
    report.count = 1;
    assert_non_null(strstr(print(&report, false, false), "    names       no name\n"));
    assert_null(strstr(print(&report, true, false), "\"names\""));
}

static const struct end {
    const char *name;
    int64_t days;
    const char *shown; /* by a connection, with its colour */
} certificate_ends[] = {
    {"today", 0, "\033[33m2024-10-04, 0 days left\033[0m\n"},
    {"soon", 29, "\033[33m2024-11-02, 29 days left\033[0m\n"},
    {"later", 30, "2024-11-03, 30 days left\n"},
    {"over", -1, "\033[31m2024-10-03, 1 days ago\033[0m\n"},
};

static struct report connection(int64_t days);

static void test_days(void **state)
{
    const struct end *row = *state;
    struct report report = connection(row->days);
    char line[128];

    (void)snprintf(line, sizeof(line), "  expires      %s", row->shown);
    assert_non_null(strstr(print_connection(&report, true), line));
}

static void test_text_of_a_failed_handshake(void **state)
{
    struct report report = {
        .address = "127.0.0.1:1", .exit = EXIT_NO_CONNECTION, .error = {.text = "no TLS there"}};

    (void)state;
    assert_string_equal(print(&report, false, false), "127.0.0.1:1\n"
                                                      "  version       not agreed on\n"
                                                      "  cipher        not agreed on\n"
                                                      "  group         not agreed on\n"
                                                      "  certificate   none was seen\n"
                                                      "  verification  failed: no TLS there\n");
}

static struct report connection(int64_t days)
{
    return (struct report){
        .address = "127.0.0.1:1",
        .tls = {.version = "TLSv1.3", .cipher = "TLS_X"},
        .chain = {{.subject = "CN=a",
                   .names = "a, b",
                   .pin = "sha256//p",
                   .not_after_unix_s = NOW + days * DAY}},
        .count = 1,
        .now_unix_s = NOW,
    };
}

static void test_connection_in_lines(void **state)
{
    struct report report = connection(10);

    (void)state;
    assert_string_equal(print_connection(&report, false), "p: address: 127.0.0.1:1\n"
                                                          "p: version: TLSv1.3\n"
                                                          "p: cipher: TLS_X\n"
                                                          "p: resumed: no\n"
                                                          "p: certificate: CN=a\n"
                                                          "p: names: a, b\n"
                                                          "p: expires: 2024-10-14, 10 days left\n"
                                                          "p: pin: sha256//p\n");
    report.tls.group = "X25519";
    report.tls.resumed = true;
    report.count = 0;
    assert_string_equal(print_connection(&report, false), "p: address: 127.0.0.1:1\n"
                                                          "p: version: TLSv1.3\n"
                                                          "p: cipher: TLS_X\n"
                                                          "p: group: X25519\n"
                                                          "p: resumed: yes\n");
}

static void test_connection_in_a_table(void **state)
{
    struct report report = connection(30);

    (void)state;
    assert_string_equal(print_connection(&report, true), "\033[1m127.0.0.1:1\033[0m\n"
                                                         "  version      TLSv1.3\n"
                                                         "  cipher       TLS_X\n"
                                                         "  resumed      no\n"
                                                         "  certificate  CN=a\n"
                                                         "  names        a, b\n"
                                                         "  expires      2024-11-03, 30 days left\n"
                                                         "  pin          sha256//p\n");
    report = connection(29);
    assert_non_null(
        strstr(print_connection(&report, true), "\033[33m2024-11-02, 29 days left\033[0m\n"));
    report = connection(-2);
    assert_non_null(
        strstr(print_connection(&report, true), "\033[31m2024-10-02, 2 days ago\033[0m\n"));
}

static void test_plaintext_connection(void **state)
{
    const struct report report = {.address = "a\033[m:1"};

    (void)state;
    assert_string_equal(print_connection(&report, false),
                        "p: address: a\\x1b[m:1\n"
                        "p: transport: plaintext, not encrypted\n");
    assert_string_equal(print_connection(&report, true), "\033[1ma\\x1b[m:1\033[0m\n"
                                                         "  transport    \033[33mplaintext, not "
                                                         "encrypted\033[0m\n");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_days_left),
        cmocka_unit_test(test_results),
        cmocka_unit_test(test_detail_leaves_the_address_out),
        cmocka_unit_test_teardown(test_json, tear_down),
        cmocka_unit_test_teardown(test_json_of_nothing, tear_down),
        cmocka_unit_test_teardown(test_text_of_a_chain, tear_down),
        cmocka_unit_test_teardown(test_text, tear_down),
        cmocka_unit_test_teardown(test_text_of_a_failed_handshake, tear_down),
        cmocka_unit_test_teardown(test_connection_in_lines, tear_down),
        cmocka_unit_test_teardown(test_connection_in_a_table, tear_down),
        cmocka_unit_test_teardown(test_plaintext_connection, tear_down),
    };
    int failed = cmocka_run_group_tests(tests, NULL, NULL);

    RUN_ROWS(failed, test_days, certificate_ends);
    return failed + tear_down(NULL);
}
