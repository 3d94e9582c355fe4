/* The allow list: which identities a name stands for, and what is no name. */
#include <stdio.h>
#include <string.h>

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
    const char *says; /* of the file of the same text; NULL: it is taken */
};

static const struct refusal refusals[] = {
    {"no type", "alice", "line 1: 'alice'"},
    {"a type alone", "CN=", "line 1"},
    {"a type in other case", "cn=alice", "line 1"},
    {"an unknown type", "IP:127.0.0.1", "line 1"},
    {"a blank before", " CN=alice", "line 1"},
    {"invalid UTF-8", "CN=\xff", "line 1"},
    {"a control character", "CN=a\x1b", "line 1: 'CN=a\\x1b'"},
    {"one of C1", "CN=a\xc2\x85", "line 1: 'CN=a\\u0085'"},
    {"what can't be seen",
     "\xe2\x80\x8b"
     "CN=a",
     "line 1: '\\u200bCN=a'"},
    {"a blank that is none of ASCII behind", "CN=a\xc2\xa0",
     "line 1: 'CN=a\\u00a0' begins or ends with a blank"},
    {"a blank that is none of ASCII before",
     "CN=\xe3\x80\x80"
     "a",
     "line 1: 'CN=\\u3000a' begins or ends"},
    {"a zero width space behind", "CN=a\xe2\x80\x8b", "line 1: 'CN=a\\u200b' begins or ends"},
    {"a byte order mark behind", "CN=a\xef\xbb\xbf", "line 1: 'CN=a\\ufeff' begins or ends"},
    {"a tag behind", "CN=a\xf3\xa0\x81\x81", "line 1: 'CN=a\\U000e0041' begins or ends"},
    {"a blank behind the type", "CN= a", "line 1: 'CN= a' begins or ends"},
    {"files put together, each with a mark",
     "\xef\xbb\xbf"
     "CN=bob\n\xef\xbb\xbf"
     "CN=alice\n",
     NULL},
    {"lines that end in CR alone", "CN=alice\rCN=bob\r", "ends its lines in CR alone; try: tr"},
    {"the second line", "CN=alice\nbob\n", "line 2: 'bob'"},
    {"after a comment", "# people\n\nbob\n", "line 3"},
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
    assert_non_null(strstr(err.text, row->says));
    assert_non_null(strstr(err.text, "allowed"));
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
    assert_non_null(strstr(err.text, "zero byte"));
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
    assert_non_null(strstr(err.text, "--client-ca"));
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

/* ---- names that are taken, and are hardly meant */

struct doubt {
    const char *name;
    const char *text;
    const char *says; /* NULL: nothing */
};

static const struct doubt doubts[] = {
    {"names", "CN=alice\nDNS:*.example.org\nemail:a@example.org\nURI:spiffe://x/a#b\n", NULL},
    {"a comment behind a name", "CN=bob\nCN=alice # the boss\n",
     "line 2: 'CN=alice # the boss' holds a blank and '#'; try: comments on lines of their own"},
    {"a whole subject", "CN=alice,O=Example\n",
     "line 1: 'CN=alice,O=Example' looks like a whole subject or a list; try: its CN alone, one "
     "name "
     "a line"},
    {"a list", "CN=alice, CN=bob\n", "looks like a whole subject or a list"},
    {"a list of DNS names", "DNS:a.example,DNS:b.example\n",
     "looks like a whole subject or a list"},
    {"a comma in a name", "CN=Doe, Jane\n", NULL},
    {"everybody", "CN=*\n",
     "line 1: 'CN=*' holds a star, which stands for itself; try: DNS:*.SUFFIX"},
    {"a star within a name", "DNS:a*.example.org\n", "holds a star, which stands for itself"},
    {"two stars", "DNS:*.*.org\n", "holds a star, which stands for itself"},
    {"what can't be seen", "CN=al\xe2\x80\x8bice\n",
     "line 1: 'CN=al\\u200bice' holds a character that can't be seen"},
    {"nothing", "# nobody yet\n", "allow file '"},
};

static void test_doubts(void **state)
{
    const struct doubt *row = *state;
    const char *path = write_file(row->text, strlen(row->text));
    struct allow_list *list;

    assert_int_equal(load(options_with(TLSMSG_OPT_ALLOW_FILE, path), &list, NULL), TLSMSG_OK);
    assert_int_equal(report.warning_count, row->says != NULL ? 1 : 0);
    if (row->says != NULL && strstr(report.warnings[0], row->says) == NULL) {
        fail_msg("\"%s\" lacks \"%s\"", report.warnings[0], row->says);
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
    assert_non_null(strstr(report.warnings[0], "names nobody: every client is refused"));
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
