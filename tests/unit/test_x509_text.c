/* Dates of certificates as seconds: they end long after 32 bits do. */
#include <openssl/asn1.h>

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

int main(void)
{
    int failed = 0;

    RUN_ROWS(failed, test_date, rows);
    return failed;
}
