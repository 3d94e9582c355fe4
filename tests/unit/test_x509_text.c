/* Certificates in words: dates as seconds, which end long after 32 bits do, and lists of names. */
#include <string.h>

#include <openssl/asn1.h>
#include <openssl/x509v3.h>

#include "support/test_certs.h"
#include "support/unit.h"
#include "transport/tls/x509_text.h"

struct row {
    const char *name;
    const char *time; /* RFC 5280 section 4.1.2.5: two digits of the year up to 2049, then four */
    int64_t unix_s;
    const char *date;
};

static const struct row rows[] = {
    {"the epoch", "700101000000Z", 0, "1970-01-01"},
    {"before the epoch", "691231235959Z", -1, "1969-12-31"},
    {"the last second that 32 bits hold", "380119031407Z", INT64_C(2147483647), "2038-01-19"},
    {"the first second that 32 bits don't hold", "380119031408Z", INT64_C(2147483648),
     "2038-01-19"},
    {"the first year of four digits", "20500101000000Z", INT64_C(2524608000), "2050-01-01"},
    {"no end (RFC 5280 section 4.1.2.5)", "99991231235959Z", INT64_C(253402300799), "9999-12-31"},
};

static void test_date(void **state)
{
    const struct row *row = *state;
    ASN1_TIME *time = ASN1_TIME_new();
    char date[X509_TEXT_DATE_MAX];

    assert_non_null(time);
    assert_int_equal(ASN1_TIME_set_string_X509(time, row->time), 1);
    assert_true(x509_text_unix_s(time) == row->unix_s);
    x509_text_date(time, date);
    assert_string_equal(date, row->date);
    ASN1_TIME_free(time);
}

/* ---- names: one must not read as two */

static void add_name(GENERAL_NAMES *names, const char *text, size_t len)
{
    GENERAL_NAME *name = GENERAL_NAME_new();
    ASN1_IA5STRING *value = ASN1_IA5STRING_new();

    assert_int_equal(ASN1_STRING_set(value, text, (int)len), 1);
    GENERAL_NAME_set0_value(name, GEN_DNS, value);
    assert_int_not_equal(sk_GENERAL_NAME_push(names, name), 0);
}

struct names_row {
    const char *name;
    const char *first;
    size_t len;
    const char *shown; /* with "b.example" behind it */
};

#define NAME(text) text, sizeof(text) - 1

static const struct names_row names_rows[] = {
    {"two", NAME("*.a_1.example"), "*.a_1.example, b.example"},
    {"one that looks like two", NAME("localhost, bank.example"),
     "localhost\\x2c\\x20bank.example, b.example"},
    {"a backslash", NAME("a\\x2c"), "a\\x5cx2c, b.example"},
    {"a zero byte", NAME("a\0b"), "a\\x00b, b.example"},
    {"letters that DNS lacks", NAME("\xe2\x80\x8b"), "\\xe2\\x80\\x8b, b.example"},
};

static void test_names(void **state)
{
    const struct names_row *row = *state;
    GENERAL_NAMES *names = GENERAL_NAMES_new();
    struct test_cert cert;
    char shown[200];
    char cut[20];

    test_cert_make(&cert, &(struct test_cert_spec){.common_name = "names"});
    add_name(names, row->first, row->len);
    add_name(names, "b.example", strlen("b.example"));
    assert_int_equal(
        X509_add1_ext_i2d(cert.cert, NID_subject_alt_name, names, 0, X509V3_ADD_REPLACE), 1);
    x509_text_hosts(cert.cert, shown, sizeof(shown));
    assert_string_equal(shown, row->shown);
    x509_text_hosts(cert.cert, cut, sizeof(cut));
    assert_true(strlen(cut) < sizeof(cut));
    GENERAL_NAMES_free(names);
    test_cert_free(&cert);
}

/* ---- what doesn't fit, and what isn't there */

static void test_no_date(void **state)
{
    ASN1_TIME *time = ASN1_TIME_new();
    char date[X509_TEXT_DATE_MAX] = "x";
    char moment[32] = "x";

    (void)state;
    assert_int_equal(ASN1_TIME_set_string_X509(time, "261122140509Z"), 1);
    x509_text_moment(time, moment, sizeof(moment));
    assert_string_equal(moment, "2026-11-22 14:05 UTC");
    x509_text_moment(time, moment, sizeof("2026-11-22 14:05 UTC") - 1);
    assert_string_equal(moment, "?");
    assert_int_equal(ASN1_STRING_set(time, "some other day", -1), 1);
    x509_text_date(time, date);
    assert_string_equal(date, "?");
    x509_text_moment(time, moment, sizeof(moment));
    assert_string_equal(moment, "?");
    assert_true(x509_text_unix_s(time) == 0);
    ASN1_TIME_free(time);
}

static X509_NAME *name_of(const char *organisation, const char *common_name)
{
    X509_NAME *name = X509_NAME_new();

    assert_non_null(name);
    if (organisation != NULL) {
        assert_int_equal(X509_NAME_add_entry_by_txt(name, "O", MBSTRING_UTF8,
                                                    (const unsigned char *)organisation, -1, -1, 0),
                         1);
    }
    if (common_name != NULL) {
        assert_int_equal(X509_NAME_add_entry_by_txt(name, "CN", MBSTRING_UTF8,
                                                    (const unsigned char *)common_name, -1, -1, 0),
                         1);
    }
    return name;
}

static void test_subjects(void **state)
{
    static const struct {
        const char *organisation, *common_name;
        size_t cap;
        const char *text;
    } subjects[] = {
        {"Example", "tlsmsg CA", 64, "CN=tlsmsg CA,O=Example"},
        {NULL, "\xe4\xbd\xa0\xe5\xa5\xbd", 64, "CN=\xe4\xbd\xa0\xe5\xa5\xbd"},
        {NULL, "a\x1b[1m", 64, "CN=a\\1B[1m"},
        {NULL, NULL, 64, "an empty name"},
        {NULL, "abcdef", 10, "CN=abcdef"}, /* with its end it fits to the byte */
        {NULL, "abcdefg", 10, "CN=abc..."},
        {NULL, "ab\xe4\xbd\xa0", 8, "CN=a..."},
        {NULL, "a\xe4\xbd\xa0\xe5\xa5\xbd", 10, "CN=a..."}, /* no half of a character */
    };

    (void)state;
    for (size_t i = 0; i < COUNT_OF(subjects); i++) {
        X509_NAME *name = name_of(subjects[i].organisation, subjects[i].common_name);
        char out[64];

        memset(out, '#', sizeof(out));
        x509_text_name(name, out, subjects[i].cap);
        assert_string_equal(out, subjects[i].text);
        X509_NAME_free(name);
    }
}

/* Of a name so long that it could not be escaped as a whole. */
static void test_a_very_long_subject(void **state)
{
    X509_NAME *name = X509_NAME_new();
    char letters[61];
    char out[128];

    (void)state;
    memset(letters, 'a', sizeof(letters) - 1);
    letters[60] = '\0';
    for (unsigned i = 0; i < 12; i++) {
        assert_int_equal(X509_NAME_add_entry_by_txt(name, "OU", MBSTRING_ASC,
                                                    (const unsigned char *)letters, -1, -1, 0),
                         1);
    }
    x509_text_name(name, out, 100);
    assert_int_equal(strlen(out), 99);
    assert_string_equal(out + 96, "...");
    X509_NAME_free(name);
}

static void test_hosts(void **state)
{
    static const struct {
        const char *names;
        size_t cap;
        const char *text;
    } hosts[] = {
        {"DNS:localhost,IP:127.0.0.1,IP:::1,DNS:a.test", 64, "localhost, 127.0.0.1, ::1, a.test"},
        {"email:a@b.test", 64, "no name"},
        {"email:a@b.test,DNS:a.test", 64, "a.test"},
        {"DNS:abcdef,DNS:b", 14, "abcdef, ..."}, /* another one might follow */
        {"DNS:abcdef,DNS:b", 15, "abcdef, b"},
        {"DNS:a,DNS:b,DNS:c", 9, "a, ..."},
        {"DNS:a,DNS:b,DNS:c", 10, "a, b, ..."},
        {NULL, 64, "no name"},
    };

    (void)state;
    for (size_t i = 0; i < COUNT_OF(hosts); i++) {
        struct test_cert cert;
        char out[64];

        test_cert_make(&cert, &(struct test_cert_spec){.common_name = "hosts",
                                                       .alternative_names = hosts[i].names});
        memset(out, '#', sizeof(out));
        x509_text_hosts(cert.cert, out, hosts[i].cap);
        assert_string_equal(out, hosts[i].text);
        test_cert_free(&cert);
    }
}

/* An address of neither kind, which a certificate can hold all the same; and a name of more than is
 * shown of one. */
static void test_odd_hosts(void **state)
{
    static const struct {
        int type;
        const char *bytes;
        size_t len;
        const char *text;
    } odd[] = {
        {GEN_IPADD, "\x7f\0\0\1\0", 5, "b.example"},
        {GEN_IPADD, "\x7f\0\0\1", 4, "127.0.0.1, b.example"},
        {GEN_DNS,
         "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"
         "aaaaaaa",
         96,
         "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa..., b.example"},
    };

    (void)state;
    for (size_t i = 0; i < COUNT_OF(odd); i++) {
        GENERAL_NAMES *names = GENERAL_NAMES_new();
        GENERAL_NAME *name = GENERAL_NAME_new();
        ASN1_STRING *value =
            ASN1_STRING_type_new(odd[i].type == GEN_DNS ? V_ASN1_IA5STRING : V_ASN1_OCTET_STRING);
        struct test_cert cert;
        char out[200];

        test_cert_make(&cert, &(struct test_cert_spec){.common_name = "odd"});
        assert_int_equal(ASN1_STRING_set(value, odd[i].bytes, (int)odd[i].len), 1);
        GENERAL_NAME_set0_value(name, odd[i].type, value);
        assert_int_not_equal(sk_GENERAL_NAME_push(names, name), 0);
        add_name(names, "b.example", strlen("b.example"));
        assert_int_equal(
            X509_add1_ext_i2d(cert.cert, NID_subject_alt_name, names, 0, X509V3_ADD_REPLACE), 1);
        x509_text_hosts(cert.cert, out, sizeof(out));
        assert_string_equal(out, odd[i].text);
        GENERAL_NAMES_free(names);
        test_cert_free(&cert);
    }
}

static void test_keys(void **state)
{
    static const struct {
        const char *curve; /* NULL: RSA */
        const char *text;
    } keys[] = {{"P-256", "prime256v1"}, {"P-384", "secp384r1"}, {NULL, "RSA"}};
    X509 *bare = X509_new();
    EVP_PKEY *edwards = EVP_PKEY_Q_keygen(NULL, NULL, "ED25519");
    struct test_cert cert;
    char pin[X509_TEXT_PIN_MAX];

    (void)state;
    for (size_t i = 0; i < COUNT_OF(keys); i++) {
        test_cert_make(&cert, &(struct test_cert_spec){.common_name = "key",
                                                       .curve = keys[i].curve,
                                                       .is_rsa = keys[i].curve == NULL});
        assert_string_equal(x509_text_key(cert.cert), keys[i].text);
        x509_text_pin(cert.cert, pin);
        assert_memory_equal(pin, "sha256//", 8);
        assert_int_equal(strlen(pin), 8 + 44);
        test_cert_free(&cert);
    }
    assert_string_equal(x509_text_key(bare), "an unknown kind of key");
    x509_text_pin(bare, pin);
    assert_string_equal(pin, "?");
    assert_int_equal(X509_set_pubkey(bare, edwards), 1);
    assert_string_equal(x509_text_key(bare), "ED25519");
    EVP_PKEY_free(edwards);
    X509_free(bare);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_no_date),
        cmocka_unit_test(test_subjects),
        cmocka_unit_test(test_a_very_long_subject),
        cmocka_unit_test(test_hosts),
        cmocka_unit_test(test_odd_hosts),
        cmocka_unit_test(test_keys),
    };
    int failed = cmocka_run_group_tests(tests, NULL, NULL);

    RUN_ROWS(failed, test_names, names_rows);

    RUN_ROWS(failed, test_date, rows);
    return failed;
}
