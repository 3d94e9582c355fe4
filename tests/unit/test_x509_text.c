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

int main(void)
{
    int failed = 0;

    RUN_ROWS(failed, test_names, names_rows);

    RUN_ROWS(failed, test_date, rows);
    return failed;
}
