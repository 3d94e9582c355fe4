/* Identities: which of a certificate's names counts, and that none can forge a line. */
#include <stdlib.h>
#include <string.h>

#include <openssl/x509v3.h>

#include "support/test_certs.h"
#include "support/unit.h"
#include "transport/tls/identity.h"

struct row {
    const char *name;
    const char *common_name;
    const char *alternative_names;
    const char *identity;
};

static const struct row rows[] = {
    {"common name", "alice", NULL, "CN=alice"},
    {"URI before all", "alice", "DNS:a.example,email:a@example.com,URI:urn:dev:1", "URI:urn:dev:1"},
    {"e-mail before DNS", "alice", "DNS:a.example,email:a@example.com", "email:a@example.com"},
    {"DNS before the common name", "alice", "DNS:a.example", "DNS:a.example"},
    {"the first of two", "alice", "DNS:b.example,DNS:a.example", "DNS:b.example"},
    {"an address is not an identity", "alice", "IP:127.0.0.1", "CN=alice"},
    {"Chinese stays", "\xe4\xbd\xa0\xe5\xa5\xbd", NULL, "CN=\xe4\xbd\xa0\xe5\xa5\xbd"},
    {"a line break is escaped", "alice\nroot", NULL, "CN=alice\\nroot"},
    {"a terminal's control sequence is escaped", "a\x1b[2J", NULL, "CN=a\\x1b[2J"},
    {"a bidi control is escaped",
     "a\xe2\x80\xae"
     "b",
     NULL, "CN=a\\u202eb"},
    {"what can't be seen is escaped",
     "alice\xe2\x80\x8b\xc2\xad\xef\xbb\xbf\xe3\x85\xa4\xf3\xa0\x80\x81", NULL,
     "CN=alice\\u200b\\u00ad\\ufeff\\u3164\\U000e0001"},
    {"a common name that looks like another type", "URI:urn:dev:1", NULL, "CN=URI:urn:dev:1"},
    {"an empty name is none", "alice", "DER:30058600820178", "DNS:x"}, /* a URI of no bytes */
    {"nothing", NULL, NULL, NULL},
};

static void test_identity(void **state)
{
    const struct row *row = *state;
    struct test_cert cert;
    char *identity;

    test_cert_make(&cert, &(struct test_cert_spec){.common_name = row->common_name,
                                                   .alternative_names = row->alternative_names});
    identity = identity_of(cert.cert);
    if (row->identity == NULL) {
        assert_null(identity);
    } else {
        assert_non_null(identity);
        assert_string_equal(identity, row->identity);
    }
    free(identity);
    test_cert_free(&cert);
}

/* RFC 8446 says nothing of what a name holds: a NUL in it must not end it early. */
static void test_nul_in_a_name(void **state)
{
    GENERAL_NAMES *names = GENERAL_NAMES_new();
    GENERAL_NAME *name = GENERAL_NAME_new();
    ASN1_IA5STRING *text = ASN1_IA5STRING_new();
    struct test_cert cert;
    char *identity;

    (void)state;
    test_cert_make(&cert, &(struct test_cert_spec){.common_name = "alice"});
    assert_int_equal(ASN1_STRING_set(text, "good.example\0.evil.example", 26), 1);
    GENERAL_NAME_set0_value(name, GEN_DNS, text);
    assert_int_not_equal(sk_GENERAL_NAME_push(names, name), 0);
    assert_int_equal(
        X509_add1_ext_i2d(cert.cert, NID_subject_alt_name, names, 0, X509V3_ADD_REPLACE), 1);
    identity = identity_of(cert.cert);
    assert_non_null(identity);
    assert_string_equal(identity, "DNS:good.example\\x00.evil.example");
    assert_int_equal(identity_check(NULL, cert.cert, NULL), TLSMSG_ERR_UNTRUSTED);
    free(identity);
    GENERAL_NAMES_free(names);
    test_cert_free(&cert);
}

struct talker {
    const char *name;
    const char *common_name;
    const char *alternative_names;
    const char *text; /* of the refusal; NULL: may talk */
};

#define CONTROL(name) "client '" name "' has control characters in its name"

static const struct talker talkers[] = {
    {"a plain name", "alice", NULL, NULL},
    {"a blank, and the last letter of ASCII", "a ~", NULL, NULL},
    {"Chinese", "你好", NULL, NULL},
    {"a backslash", "CORP\\nancy", NULL, NULL},
    {"what can't be seen", "alice\xe2\x80\x8b", NULL, NULL},
    {"the first character behind C1", "a\xc2\xa0", NULL, NULL},
    {"no name", NULL, NULL, NULL},
    {"half a character at its end", "alice", "DER:3004860261c2", NULL}, /* URI:a\xc2 */
    {"a line's end", "CORP\nancy", NULL, CONTROL("CN=CORP\\nancy")},
    {"the last of C0", "a\x1f", NULL, CONTROL("CN=a\\x1f")},
    {"DEL", "a\x7f", NULL, CONTROL("CN=a\\x7f")},
    {"one of C1", "a\xc2\x9b", NULL, CONTROL("CN=a\\u009b")},
    {"the last of C1", "a\xc2\x9f", NULL, CONTROL("CN=a\\u009f")},
};

static void test_control_characters(void **state)
{
    const struct talker *row = *state;
    struct tlsmsg_error err = {.code = TLSMSG_OK};
    struct test_cert cert;

    test_cert_make(&cert, &(struct test_cert_spec){.common_name = row->common_name,
                                                   .alternative_names = row->alternative_names});
    assert_int_equal(identity_check(NULL, cert.cert, &err),
                     row->text == NULL ? TLSMSG_OK : TLSMSG_ERR_UNTRUSTED);
    assert_string_equal(err.text, row->text == NULL ? "" : row->text);
    test_cert_free(&cert);
}

static void test_the_last_common_name_counts(void **state)
{
    struct test_cert cert;
    char *identity;

    (void)state;
    test_cert_make(&cert, &(struct test_cert_spec){.common_name = "first"});
    assert_int_equal(X509_NAME_add_entry_by_txt(X509_get_subject_name(cert.cert), "CN",
                                                MBSTRING_UTF8, (const unsigned char *)"second", -1,
                                                -1, 0),
                     1);
    identity = identity_of(cert.cert);
    assert_non_null(identity);
    assert_string_equal(identity, "CN=second");
    free(identity);
    test_cert_free(&cert);
}

int main(void)
{
    static const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_nul_in_a_name),
        cmocka_unit_test(test_the_last_common_name_counts),
    };
    int failed = cmocka_run_group_tests(tests, NULL, NULL);

    RUN_ROWS(failed, test_identity, rows);
    RUN_ROWS(failed, test_control_characters, talkers);
    return failed;
}
