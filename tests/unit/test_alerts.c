/* Alerts: every one that RFC 8446 defines has a name, and those about certificates are refusals. */
#include <string.h>

#include <openssl/ssl.h>

#include "support/unit.h"
#include "transport/tls/errors.h"

/* RFC 8446 section 6, and RFC 5246 section 7.2 for what TLS 1.2 alone sends. */
static const struct {
    int number;
    const char *name;
} names[] = {
    {SSL_AD_CLOSE_NOTIFY, "close notify"},
    {SSL_AD_UNEXPECTED_MESSAGE, "unexpected message"},
    {SSL_AD_BAD_RECORD_MAC, "bad record mac"},
    {SSL_AD_DECRYPTION_FAILED, "decryption failed"},
    {SSL_AD_RECORD_OVERFLOW, "record overflow"},
    {SSL_AD_DECOMPRESSION_FAILURE, "decompression failure"},
    {SSL_AD_HANDSHAKE_FAILURE, "handshake failure"},
    {SSL_AD_NO_CERTIFICATE, "no certificate"},
    {SSL_AD_BAD_CERTIFICATE, "bad certificate"},
    {SSL_AD_UNSUPPORTED_CERTIFICATE, "unsupported certificate"},
    {SSL_AD_CERTIFICATE_REVOKED, "certificate revoked"},
    {SSL_AD_CERTIFICATE_EXPIRED, "certificate expired"},
    {SSL_AD_CERTIFICATE_UNKNOWN, "certificate unknown"},
    {SSL_AD_ILLEGAL_PARAMETER, "illegal parameter"},
    {SSL_AD_UNKNOWN_CA, "unknown ca"},
    {SSL_AD_ACCESS_DENIED, "access denied"},
    {SSL_AD_DECODE_ERROR, "decode error"},
    {SSL_AD_DECRYPT_ERROR, "decrypt error"},
    {SSL_AD_PROTOCOL_VERSION, "protocol version"},
    {SSL_AD_INSUFFICIENT_SECURITY, "insufficient security"},
    {SSL_AD_INTERNAL_ERROR, "internal error"},
    {SSL_AD_INAPPROPRIATE_FALLBACK, "inappropriate fallback"},
    {SSL_AD_USER_CANCELLED, "user canceled"},
    {SSL_AD_NO_RENEGOTIATION, "no renegotiation"},
    {SSL_AD_MISSING_EXTENSION, "missing extension"},
    {SSL_AD_UNSUPPORTED_EXTENSION, "unsupported extension"},
    {SSL_AD_UNRECOGNIZED_NAME, "unrecognized name"},
    {SSL_AD_BAD_CERTIFICATE_STATUS_RESPONSE, "bad certificate status response"},
    {SSL_AD_UNKNOWN_PSK_IDENTITY, "unknown psk identity"},
    {SSL_AD_CERTIFICATE_REQUIRED, "certificate required"},
    {SSL_AD_NO_APPLICATION_PROTOCOL, "no application protocol"},
};

static void test_names(void **state)
{
    size_t found = 0;

    (void)state;
    for (int number = -1; number <= 256; number++) {
        if (found < COUNT_OF(names) && names[found].number == number) {
            assert_string_equal(alert_name(number), names[found].name);
            found++;
        } else {
            assert_null(alert_name(number));
        }
    }
    assert_int_equal(found, COUNT_OF(names));
}

static void test_refusals(void **state)
{
    static const int refusals[] = {
        SSL_AD_BAD_CERTIFICATE,     SSL_AD_UNSUPPORTED_CERTIFICATE, SSL_AD_CERTIFICATE_REVOKED,
        SSL_AD_CERTIFICATE_EXPIRED, SSL_AD_CERTIFICATE_UNKNOWN,     SSL_AD_UNKNOWN_CA,
        SSL_AD_ACCESS_DENIED,       SSL_AD_CERTIFICATE_REQUIRED,    SSL_AD_NO_CERTIFICATE,
    };
    size_t found = 0;

    (void)state;
    for (int number = -1; number <= 256; number++) {
        bool is_one = false;

        for (size_t i = 0; i < COUNT_OF(refusals); i++) {
            is_one |= refusals[i] == number;
        }
        assert_int_equal(alert_is_refusal(number), is_one);
        found += is_one;
    }
    assert_int_equal(found, COUNT_OF(refusals));
}

int main(void)
{
    static const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_names),
        cmocka_unit_test(test_refusals),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
