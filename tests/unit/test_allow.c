/* The allow list: which identities a name stands for, and what is no name. */
#include <stdio.h>
#include <string.h>

#include "support/glob_text.h"
#include "support/tls_ends.h"
#include "support/unit.h"
#include "transport/tls/identity.h"
#include "transport/tls/load.h"

static struct tls_files files;

/* A server's options with a client CA and one value of --allow or --allow-file. */
static struct tlsmsg_options *options_with(enum tlsmsg_option option, const char *value)
{
    return tls_options(&files, TLSMSG_ROLE_SERVER, TLSMSG_OPT_CLIENT_CA, "ca.crt", option, value,
                       TLSMSG_OPT_COUNT);
}

static struct load_report report;

static enum tlsmsg_code load(struct tlsmsg_options *options, struct allow_list **list,
                             struct tlsmsg_error *err)
{
    struct tls_settings settings;
    enum tlsmsg_code code;

    options_tls(options, &settings);
    load_report_fini(&report);
    code = allow_load(&settings, list, &report, err);
    tlsmsg_options_free(options);
    return code;
}

struct match {
    const char *name;
    const char *allowed;
    const char *identity;
    bool holds;
};

static const struct match matches[] = {
    {"a common name", "CN=alice", "CN=alice", true},
    {"a common name in other case", "CN=alice", "CN=Alice", false},
    {"a longer common name", "CN=alice", "CN=alice2", false},
    {"a shorter common name", "CN=alice", "CN=alic", false},
    {"a wildcard in a common name", "CN=*", "CN=alice", false},
    {"another type", "CN=a.example", "DNS:a.example", false},
    {"a URI", "URI:spiffe://x/a", "URI:spiffe://x/a", true},
    {"a URI in other case", "URI:spiffe://x/a", "URI:spiffe://X/a", false},
    {"a wildcard in a URI", "URI:*.x", "URI:a.x", false},
    {"an e-mail address", "email:a@example.org", "email:a@example.org", true},
    {"an e-mail address in other case", "email:a@example.org", "email:A@example.org", false},
    {"a wildcard in an e-mail address", "email:*.org", "email:a@example.org", false},
    {"a DNS name", "DNS:a.example", "DNS:a.example", true},
    {"a DNS name in other case", "DNS:a.Example", "DNS:A.eXample", true},
    {"a name below a DNS name", "DNS:example", "DNS:a.example", false},
    {"a DNS wildcard", "DNS:*.example.org", "DNS:a.example.org", true},
    {"a DNS wildcard in other case", "DNS:*.example.ORG", "DNS:A.EXAMPLE.org", true},
    {"a DNS wildcard for the domain itself", "DNS:*.example.org", "DNS:example.org", false},
    {"a DNS wildcard for two labels", "DNS:*.example.org", "DNS:a.b.example.org", false},
    {"a DNS wildcard for an empty label", "DNS:*.example.org", "DNS:.example.org", false},
    {"a DNS wildcard for a longer domain", "DNS:*.example.org", "DNS:a.example.org.evil", false},
    {"a DNS wildcard for no label", "DNS:*.org", "DNS:org", false},
    {"a partial DNS wildcard", "DNS:a*.example.org", "DNS:ab.example.org", false},
    {"a DNS wildcard further in", "DNS:a.*.org", "DNS:a.example.org", false},
    {"the wildcard as identity", "DNS:a.example.org", "DNS:*.example.org", false},
    {"no identity", "CN=alice", NULL, false},
    {"an empty identity", "CN=alice", "", false},
    {"Chinese", "CN=\xe4\xbd\xa0\xe5\xa5\xbd", "CN=\xe4\xbd\xa0\xe5\xa5\xbd", true},
    {"a backslash", "CN=CORP\\nancy", "CN=CORP\\nancy", true},
    {"a line's end for its escape", "CN=CORP\\nancy", "CN=CORP\nancy", false},
    {"a zero width space", "CN=alice", "CN=alice\xe2\x80\x8b", false},
};

static void test_match(void **state)
{
    const struct match *row = *state;
    struct allow_list *list;

    assert_int_equal(load(options_with(TLSMSG_OPT_ALLOW, row->allowed), &list, NULL), TLSMSG_OK);
    assert_int_equal(allow_holds(list, row->identity), row->holds);
    allow_free(list);
}

struct refusal {
    const char *name;
    const char *text;
    const char *says; /* '*' is any bytes; NULL: it is taken */
};

#define LINE(number, name) "allow file '*', line " number ": '" name "'"
#define NOT_ONE " is not an identity (CN=..., DNS:..., email:... or URI:...)"
#define UNSEEN " begins or ends with a blank, or with what can't be seen; try: the name without it"

static const struct refusal refusals[] = {
    {"no type", "alice", LINE("1", "alice") NOT_ONE},
    {"a type alone", "CN=", LINE("1", "CN=") NOT_ONE},
    {"a type in other case", "cn=alice", LINE("1", "cn=alice") NOT_ONE},
    {"an unknown type", "IP:127.0.0.1", LINE("1", "IP:127.0.0.1") NOT_ONE},
    {"a blank before", " CN=alice", LINE("1", " CN=alice") NOT_ONE},
    {"invalid UTF-8", "CN=\xff", LINE("1", "CN=\\xff") NOT_ONE},
    {"invalid UTF-8 within",
     "CN=a\xff"
     "b",
     LINE("1", "CN=a\\xffb") NOT_ONE},
    {"a control character", "CN=a\x1b", LINE("1", "CN=a\\x1b") NOT_ONE},
    {"one within",
     "CN=a\x1b"
     "c",
     LINE("1", "CN=a\\x1bc") NOT_ONE},
    {"the last of C0",
     "CN=a\x1f"
     "c",
     LINE("1", "CN=a\\x1fc") NOT_ONE},
    {"DEL",
     "CN=a\x7f"
     "c",
     LINE("1", "CN=a\\x7fc") NOT_ONE},
    {"one of C1", "CN=a\xc2\x85", LINE("1", "CN=a\\u0085") NOT_ONE},
    {"the last of C1",
     "CN=a\xc2\x9f"
     "c",
     LINE("1", "CN=a\\u009fc") NOT_ONE},
    {"what can't be seen",
     "\xe2\x80\x8b"
     "CN=a",
     LINE("1", "\\u200bCN=a") NOT_ONE},
    {"a blank that is none of ASCII behind", "CN=a\xc2\xa0", LINE("1", "CN=a\\u00a0") UNSEEN},
    {"a blank that is none of ASCII before",
     "CN=\xe3\x80\x80"
     "a",
     LINE("1", "CN=\\u3000a") UNSEEN},
    {"a zero width space behind", "CN=a\xe2\x80\x8b", LINE("1", "CN=a\\u200b") UNSEEN},
    {"a byte order mark behind", "CN=a\xef\xbb\xbf", LINE("1", "CN=a\\ufeff") UNSEEN},
    {"a tag behind", "CN=a\xf3\xa0\x81\x81", LINE("1", "CN=a\\U000e0041") UNSEEN},
    {"a blank behind the type", "CN= a", LINE("1", "CN= a") UNSEEN},
    {"files put together, each with a mark",
     "\xef\xbb\xbf"
     "CN=bob\n\xef\xbb\xbf"
     "CN=alice\n",
     NULL},
    {"lines that end in CR alone", "CN=alice\rCN=bob\r",
     "allow file '*' ends its lines in CR alone; try: tr '\\r' '\\n' <'*' >FILE"},
    {"the second line", "CN=alice\nbob\n", LINE("2", "bob") NOT_ONE},
    {"after a comment", "# people\n\nbob\n", LINE("3", "bob") NOT_ONE},
    {"the first of several", "bob\n\ncarol\n", LINE("1", "bob") NOT_ONE},
    {"nothing", "", NULL},
    {"comments only", "# nobody\n\n", NULL},
    {"lines that end in CR LF", "CN=alice\r\nCN=bob\r\n", NULL},
    {"no end of the last line", "CN=bob\nCN=alice", NULL},
};

static const char *write_file(const void *data, size_t len)
{
    static char path[TEST_PATH_MAX];
    FILE *out = fopen(test_folder_file(&files.folder, "allowed", path), "wb");

    assert_non_null(out);
    assert_int_equal(fwrite(data, 1, len, out), len);
    assert_int_equal(fclose(out), 0);
    return path;
}

static void test_file(void **state)
{
    const struct refusal *row = *state;
    const char *path = write_file(row->text, strlen(row->text));
    struct tlsmsg_error err = {.code = TLSMSG_OK};
    struct allow_list *list;

    if (row->says == NULL) {
        assert_int_equal(load(options_with(TLSMSG_OPT_ALLOW_FILE, path), &list, &err), TLSMSG_OK);
        /* An empty list is a list: nobody may talk. */
        assert_non_null(list);
        assert_int_equal(allow_holds(list, "CN=alice"), strstr(row->text, "CN=alice") != NULL);
        assert_false(allow_holds(list, "CN=mallory"));
        allow_free(list);
        return;
    }
    assert_int_equal(load(options_with(TLSMSG_OPT_ALLOW_FILE, path), &list, &err),
                     TLSMSG_ERR_CONFIG);
    assert_null(list);
    expect_text("the refusal", row->says, err.text);
    assert_int_equal(err.code, TLSMSG_ERR_CONFIG);
    assert_int_equal(err.sys_errno, 0);
}

static void test_a_zero_byte_in_a_file(void **state)
{
    static const char data[] = "CN=alice\0.evil\n";
    struct tlsmsg_error err = {.code = TLSMSG_OK};
    struct allow_list *list;

    (void)state;
    assert_int_equal(
        load(options_with(TLSMSG_OPT_ALLOW_FILE, write_file(data, sizeof(data) - 1)), &list, &err),
        TLSMSG_ERR_CONFIG);
    expect_text("the refusal", "allow file '*' is not text: it holds a zero byte", err.text);
}

static void test_no_list_lets_everybody_in(void **state)
{
    struct allow_list *list;

    (void)state;
    assert_int_equal(load(tls_options(&files, TLSMSG_ROLE_SERVER, TLSMSG_OPT_CLIENT_CA, "ca.crt",
                                      TLSMSG_OPT_COUNT),
                          &list, NULL),
                     TLSMSG_OK);
    assert_null(list);
    assert_true(allow_holds(list, "CN=anybody"));
    assert_true(allow_holds(list, NULL));
    allow_free(list);
}

static void test_a_list_needs_a_ca(void **state)
{
    struct tlsmsg_error err = {.code = TLSMSG_OK};
    struct allow_list *list;

    (void)state;
    assert_int_equal(load(tls_options(&files, TLSMSG_ROLE_SERVER, TLSMSG_OPT_ALLOW, "CN=alice",
                                      TLSMSG_OPT_COUNT),
                          &list, &err),
                     TLSMSG_ERR_CONFIG);
    assert_string_equal(err.text,
                        "--allow and --allow-file need --client-ca FILE, which verifies who a "
                        "client is");
    assert_null(list);
}

static void test_both_options_add_up(void **state)
{
    const char *path = write_file("CN=bob\n", 7);
    struct allow_list *list;

    (void)state;
    assert_int_equal(load(tls_options(&files, TLSMSG_ROLE_SERVER, TLSMSG_OPT_CLIENT_CA, "ca.crt",
                                      TLSMSG_OPT_ALLOW, "CN=alice", TLSMSG_OPT_ALLOW, "CN=carol",
                                      TLSMSG_OPT_ALLOW_FILE, path, TLSMSG_OPT_COUNT),
                          &list, NULL),
                     TLSMSG_OK);
    assert_true(allow_holds(list, "CN=alice"));
    assert_true(allow_holds(list, "CN=carol"));
    assert_true(allow_holds(list, "CN=bob"));
    assert_false(allow_holds(list, "CN=dave"));
    allow_free(list);
}

static void test_who_is_not_on_it(void **state)
{
    static const struct {
        const char *common_name;
        const char *text; /* NULL: on it */
    } rows[] = {
        {"alice", NULL},
        {"bob", "client 'CN=bob' is not on the allow list"},
        {NULL, "client 'without a name' is not on the allow list"},
        {"alice\n", "client 'CN=alice\\n' has control characters in its name"},
    };
    struct allow_list *list;

    (void)state;
    assert_int_equal(load(options_with(TLSMSG_OPT_ALLOW, "CN=alice"), &list, NULL), TLSMSG_OK);
    for (size_t i = 0; i < COUNT_OF(rows); i++) {
        struct tlsmsg_error err = {.code = TLSMSG_OK};
        struct test_cert cert;

        test_cert_make(&cert, &(struct test_cert_spec){.common_name = rows[i].common_name});
        assert_int_equal(identity_check(list, cert.cert, &err),
                         rows[i].text != NULL ? TLSMSG_ERR_UNTRUSTED : TLSMSG_OK);
        assert_string_equal(err.text, rows[i].text != NULL ? rows[i].text : "");
        assert_int_equal(err.sys_errno, 0);
        test_cert_free(&cert);
    }
    allow_free(list);
}

/* ---- names that are taken, and are hardly meant */

struct doubt {
    const char *name;
    const char *text;
    const char *says; /* NULL: nothing */
};

#define LISTED " looks like a whole subject or a list; try: its CN alone, one name a line"
#define STARRED " holds a star, which stands for itself; try: DNS:*.SUFFIX, or one name a line"
#define NUMBERED " holds a blank and '#'; try: comments on lines of their own"
#define HIDDEN " holds a character that can't be seen; try: the name as the log has it"

static const struct doubt doubts[] = {
    {"names", "CN=alice\nDNS:*.example.org\nemail:a@example.org\nURI:spiffe://x/a#b\n", NULL},
    {"a comment behind a name", "CN=bob\nCN=alice # the boss\n",
     LINE("2", "CN=alice # the boss") NUMBERED},
    {"a whole subject", "CN=alice,O=Example\n", LINE("1", "CN=alice,O=Example") LISTED},
    {"the same with a blank", "CN=alice,  O=Example\n", LINE("1", "CN=alice,  O=Example") LISTED},
    {"an empty part in it", "CN=alice,,O=Example\n", LINE("1", "CN=alice,,O=Example") LISTED},
    {"a list", "CN=alice, CN=bob\n", LINE("1", "CN=alice, CN=bob") LISTED},
    {"a list of DNS names", "DNS:a.example,DNS:b.example\n",
     LINE("1", "DNS:a.example,DNS:b.example") LISTED},
    {"a list of mail addresses", "email:a@example,b@example\n",
     LINE("1", "email:a@example,b@example") LISTED},
    {"a comma in a URI", "URI:spiffe://x/a,b=c\n", NULL},
    {"a comma in a name", "CN=Doe, Jane\n", NULL},
    {"a sign behind a comma and a blank", "CN=Doe, Jane = b\n", NULL},
    {"everybody", "CN=*\n", LINE("1", "CN=*") STARRED},
    {"a star at the begin of another kind", "email:*.example\n",
     LINE("1", "email:*.example") STARRED},
    {"a star within a name", "DNS:a*.example.org\n", LINE("1", "DNS:a*.example.org") STARRED},
    {"two stars", "DNS:*.*.org\n", LINE("1", "DNS:*.*.org") STARRED},
    {"what can't be seen", "CN=al\xe2\x80\x8bice\n", LINE("1", "CN=al\\u200bice") HIDDEN},
    {"letters of several bytes", "CN=\xe4\xbd\xa0\xe5\xa5\xbd\xc3\xa4\n", NULL},
    {"nothing", "# nobody yet\n", "allow file '*' names nobody: every client is refused"},
};

static void test_doubts(void **state)
{
    const struct doubt *row = *state;
    const char *path = write_file(row->text, strlen(row->text));
    struct allow_list *list;

    assert_int_equal(load(options_with(TLSMSG_OPT_ALLOW_FILE, path), &list, NULL), TLSMSG_OK);
    assert_int_equal(report.warning_count, row->says != NULL ? 1 : 0);
    if (row->says != NULL) {
        expect_text("the warning", row->says, report.warnings[0]);
    }
    allow_free(list);
}

static void test_nobody_is_named(void **state)
{
    struct allow_list *list;

    (void)state;
    assert_int_equal(load(options_with(TLSMSG_OPT_ALLOW_FILE, write_file(" \n", 2)), &list, NULL),
                     TLSMSG_OK);
    assert_int_equal(report.warning_count, 1);
    expect_text("the warning", "allow file '*' names nobody: every client is refused",
                report.warnings[0]);
    allow_free(list);
}

int main(void)
{
    static const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_a_zero_byte_in_a_file),
        cmocka_unit_test(test_no_list_lets_everybody_in),
        cmocka_unit_test(test_a_list_needs_a_ca),
        cmocka_unit_test(test_both_options_add_up),
        cmocka_unit_test(test_nobody_is_named),
        cmocka_unit_test(test_who_is_not_on_it),
    };
    int failed = 0;

    tls_files_make(&files);
    RUN_ROWS(failed, test_match, matches);
    RUN_ROWS(failed, test_file, refusals);
    RUN_ROWS(failed, test_doubts, doubts);
    failed += cmocka_run_group_tests(tests, NULL, NULL);
    load_report_fini(&report);
    tls_files_remove(&files);
    return failed;
}
