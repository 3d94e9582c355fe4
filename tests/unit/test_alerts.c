/* Alerts: every one that RFC 8446 defines has a name, and those about certificates are refusals. */
#include <string.h>

#include <openssl/ssl.h>

#include "support/unit.h"
#include "transport/tls/errors.h"

static void test_names(void **state)
{
    (void)state;
    assert_string_equal(alert_name(SSL_AD_UNKNOWN_CA), "unknown ca");
    assert_string_equal(alert_name(SSL_AD_CERTIFICATE_REQUIRED), "certificate required");
    assert_string_equal(alert_name(SSL_AD_HANDSHAKE_FAILURE), "handshake failure");
    assert_null(alert_name(255));
    assert_null(alert_name(-1));
}

static void test_refusals(void **state)
{
    static const int refusals[] = {
        SSL_AD_BAD_CERTIFICATE,     SSL_AD_UNSUPPORTED_CERTIFICATE, SSL_AD_CERTIFICATE_REVOKED,
        SSL_AD_CERTIFICATE_EXPIRED, SSL_AD_CERTIFICATE_UNKNOWN,     SSL_AD_UNKNOWN_CA,
        SSL_AD_ACCESS_DENIED,       SSL_AD_CERTIFICATE_REQUIRED,
    };
    static const int others[] = {
        SSL_AD_CLOSE_NOTIFY,  SSL_AD_HANDSHAKE_FAILURE, SSL_AD_PROTOCOL_VERSION,
        SSL_AD_DECRYPT_ERROR, SSL_AD_INTERNAL_ERROR,    200,
    };
    size_t i;

    (void)state;
    for (i = 0; i < COUNT_OF(refusals); i++) {
        assert_true(alert_is_refusal(refusals[i]));
    }
    for (i = 0; i < COUNT_OF(others); i++) {
        assert_false(alert_is_refusal(others[i]));
    }
}

int main(void)
{
    static const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_names),
        cmocka_unit_test(test_refusals),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
