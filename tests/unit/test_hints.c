/* Why a certificate is refused and what to do: each row of the table, on both ends. */
#include "support/unit.h"

#include <string.h>

#include <openssl/x509_vfy.h>

#include "support/test_certs.h"
#include "transport/tls/hints.h"

static struct test_cert plain;   /* for a name */
static struct test_cert common;  /* a common name alone */
static struct test_cert address; /* an address as a DNS name */

struct row {
    const char *name;
    struct trust_view view;
    const struct test_cert *leaf; /* NULL: plain */
    const char *reason;
    const char *client; /* what is to be tried; "": nothing */
    const char *server;
};

static const struct row rows[] = {
    {"the leaf has expired",
     {.error = X509_V_ERR_CERT_HAS_EXPIRED},
     NULL,
     "its certificate expired on DATE",
     "on the server",
     "for the client"},
    {"the issuer that was sent has",
     {.error = X509_V_ERR_CERT_HAS_EXPIRED, .depth = 1, .sent = true},
     NULL,
     "its issuer's certificate, 'SUBJECT', expired on DATE",
     "server's chain",
     "client's chain"},
    {"the own CA file's has",
     {.error = X509_V_ERR_CERT_HAS_EXPIRED, .depth = 1},
     NULL,
     "the CA 'SUBJECT' in your file 'FILE' expired on DATE",
     "the CA's new certificate",
     "--client-ca, then SIGHUP"},
    {"the system's has",
     {.error = X509_V_ERR_CERT_HAS_EXPIRED, .depth = 1, .by_system = true},
     NULL,
     "its issuer's certificate, 'SUBJECT', expired",
     "server's chain",
     "client's chain"},
    {"the leaf is for tomorrow",
     {.error = X509_V_ERR_CERT_NOT_YET_VALID},
     NULL,
     "its certificate is not yet valid (from DATE on)",
     "clocks",
     "clocks"},
    {"the issuer is for tomorrow",
     {.error = X509_V_ERR_CERT_NOT_YET_VALID, .depth = 1},
     NULL,
     "its issuer's certificate is not yet valid",
     "clocks",
     "clocks"},
    {"revoked", {.error = X509_V_ERR_CERT_REVOKED}, NULL, "its certificate is revoked", "", ""},
    {"a revoked issuer",
     {.error = X509_V_ERR_CERT_REVOKED, .depth = 1},
     NULL,
     "its issuer's certificate is revoked",
     "",
     ""},
    {"no list",
     {.error = X509_V_ERR_UNABLE_TO_GET_CRL},
     NULL,
     "'FILE' holds no revocation list of 'ISSUER'",
     "in the file of --crl",
     "then SIGHUP"},
    {"a list that has ended",
     {.error = X509_V_ERR_CRL_HAS_EXPIRED},
     NULL,
     "the revocation list of 'ISSUER' in 'FILE' ended on DATE",
     "the CA's new list",
     "a new list, then SIGHUP"},
    {"a list for tomorrow",
     {.error = X509_V_ERR_CRL_NOT_YET_VALID},
     NULL,
     "in 'FILE' is not yet valid",
     "this machine's clock",
     "this machine's clock"},
    {"a list of another scope",
     {.error = X509_V_ERR_DIFFERENT_CRL_SCOPE},
     NULL,
     "in 'FILE' does not cover it",
     "full list",
     "full list"},
    {"a list by another key",
     {.error = X509_V_ERR_CRL_SIGNATURE_FAILURE},
     NULL,
     "or is not that CA's (LIBRARY)",
     "full list",
     "full list"},
    {"another name",
     {.error = X509_V_ERR_HOSTNAME_MISMATCH, .name = "elsewhere"},
     NULL,
     "wrong name (its certificate is for NAMES)",
     "--server-name NAME",
     ""},
    {"a common name alone",
     {.error = X509_V_ERR_HOSTNAME_MISMATCH, .name = "localhost"},
     &common,
     "for no name; a CN does not count",
     "subjectAltName",
     ""},
    {"an address as a name",
     {.error = X509_V_ERR_IP_ADDRESS_MISMATCH, .name = "127.0.0.1"},
     &address,
     "has the address as a DNS name",
     "IP:ADDRESS",
     ""},
    {"another address",
     {.error = X509_V_ERR_IP_ADDRESS_MISMATCH, .name = "127.0.0.9"},
     &address,
     "wrong name (its certificate is for NAMES)",
     "--server-name NAME",
     ""},
    {"self-signed",
     {.error = X509_V_ERR_DEPTH_ZERO_SELF_SIGNED_CERT},
     NULL,
     "self-signed",
     "--ca FILE",
     "--client-ca"},
    {"no --ca",
     {.error = X509_V_ERR_UNABLE_TO_GET_ISSUER_CERT_LOCALLY, .by_system = true},
     NULL,
     "no --ca was given",
     "--ca FILE",
     ""},
    {"an issuer that was not sent",
     {.error = X509_V_ERR_UNABLE_TO_GET_ISSUER_CERT_LOCALLY, .sent_count = 1},
     NULL,
     "unknown CA 'ISSUER': its certificate was not sent, and is not in 'FILE'",
     "whole chain",
     "whole chain"},
    {"another CA",
     {.error = X509_V_ERR_UNABLE_TO_GET_ISSUER_CERT_LOCALLY, .sent_count = 2},
     NULL,
     "unknown CA 'ISSUER', which is not in 'FILE'",
     "that CA's file",
     "--client-ca"},
    {"another root",
     {.error = X509_V_ERR_SELF_SIGNED_CERT_IN_CHAIN, .sent_count = 2},
     NULL,
     "unknown CA 'ISSUER'",
     "that CA's file",
     "--client-ca"},
    {"a CA with another key",
     {.error = X509_V_ERR_CERT_SIGNATURE_FAILURE},
     NULL,
     "not by the trusted CA 'ISSUER' in 'FILE'",
     "the CA's new certificate",
     "or a new one"},
    {"a CA with another key, told by the key's id",
     {.error = X509_V_ERR_UNABLE_TO_GET_ISSUER_CERT_LOCALLY,
      .sent_count = 1,
      .namesake = NAMESAKE_TRUSTED},
     NULL,
     "not by the trusted CA 'ISSUER' in 'FILE'",
     "the CA's new certificate",
     "or a new one"},
    {"a root of the trusted CA's name",
     {.error = X509_V_ERR_SELF_SIGNED_CERT_IN_CHAIN, .sent_count = 2, .namesake = NAMESAKE_TRUSTED},
     NULL,
     "not by the trusted CA 'ISSUER' in 'FILE'",
     "the CA's new certificate",
     "or a new one"},
    {"an issuer that was sent with another key",
     {.error = X509_V_ERR_UNABLE_TO_GET_ISSUER_CERT_LOCALLY,
      .sent_count = 2,
      .namesake = NAMESAKE_SENT},
     NULL,
     "its signature is not by its issuer 'ISSUER' as it was sent (that one has another key)",
     "on the server, --cert with the issuer that signed it",
     "on the client, --cert with the issuer that signed it"},
    {"the same, found by its signature",
     {.error = X509_V_ERR_CERT_SIGNATURE_FAILURE, .sent_count = 2, .namesake = NAMESAKE_SENT},
     NULL,
     "its signature is not by its issuer 'ISSUER' as it was sent",
     "on the server",
     "on the client"},
    {"a CA of the right key that does not fit",
     {.error = X509_V_ERR_UNABLE_TO_GET_ISSUER_CERT_LOCALLY,
      .sent_count = 1,
      .namesake = NAMESAKE_UNFIT},
     NULL,
     "the CA 'ISSUER' in 'FILE' has signed it, and can't be its issuer (LIBRARY)",
     "the CA's certificate that issued it",
     "the CA's certificate that issued it"},
    {"another purpose",
     {.error = X509_V_ERR_INVALID_PURPOSE},
     NULL,
     "not for this purpose (LIBRARY)",
     "serverAuth",
     "clientAuth"},
    {"an issuer that is not a CA",
     {.error = X509_V_ERR_INVALID_CA, .depth = 1},
     NULL,
     "'SUBJECT' may not issue certificates (LIBRARY)",
     "CA:TRUE and keyCertSign",
     "CA:TRUE and keyCertSign"},
    {"an issuer that may not sign lists",
     {.error = X509_V_ERR_KEYUSAGE_NO_CRL_SIGN},
     NULL,
     "the revocation list of 'ISSUER' in 'FILE' does not cover it",
     "full list",
     "full list"},
    {"a weak key",
     {.error = X509_V_ERR_EE_KEY_TOO_SMALL},
     NULL,
     "too weak (LIBRARY)",
     "a stronger key",
     "a stronger key"},
    {"an issuer too far down",
     {.error = X509_V_ERR_PATH_LENGTH_EXCEEDED, .depth = 1},
     NULL,
     "'SUBJECT' may not issue certificates (LIBRARY)",
     "CA:TRUE and keyCertSign",
     "CA:TRUE and keyCertSign"},
    {"names that its issuer may not use",
     {.error = X509_V_ERR_PERMITTED_VIOLATION},
     NULL,
     "its issuer 'ISSUER' may not issue for its names (LIBRARY)",
     "a certificate on the server from a CA that may",
     "a certificate for the client from a CA that may"},
    {"names that are excluded",
     {.error = X509_V_ERR_EXCLUDED_VIOLATION, .depth = 1},
     NULL,
     "its issuer 'ISSUER' may not issue for its names (LIBRARY)",
     "from a CA that may",
     "from a CA that may"},
    {"an extension that is not understood",
     {.error = X509_V_ERR_UNHANDLED_CRITICAL_EXTENSION},
     NULL,
     "'SUBJECT' has a critical extension that is not understood here",
     "a certificate on the server without it",
     "a certificate for the client without it"},
    {"anything else", {.error = X509_V_ERR_UNSPECIFIED}, NULL, "LIBRARY", "", ""},
};

static void check_hint(const struct row *row, bool is_server, const char *wanted)
{
    const struct trust_words words = {.is_server = is_server,
                                      .subject = "SUBJECT",
                                      .issuer = "ISSUER",
                                      .file = "FILE",
                                      .date = "DATE",
                                      .names = "NAMES",
                                      .library = "LIBRARY"};
    struct trust_view view = row->view;
    char reason[HINT_TEXT_MAX];
    char hint[HINT_TEXT_MAX];

    view.leaf = row->leaf != NULL ? row->leaf->cert : plain.cert;
    view.cert = view.leaf;
    hints_print(hints_find(&view), &words, reason, hint, sizeof(reason));
    if (strstr(reason, row->reason) == NULL) {
        fail_msg("\"%s\" lacks \"%s\"", reason, row->reason);
    }
    assert_null(strchr(reason, '{'));
    assert_null(strchr(hint, '{'));
    assert_null(strstr(hint, "--pin"));
    if (wanted[0] == '\0') {
        assert_string_equal(hint, "");
    } else if (strncmp(hint, "; try: ", 7) != 0 || strstr(hint, wanted) == NULL) {
        fail_msg("\"%s\" lacks \"%s\"", hint, wanted);
    }
}

static void test_case(void **state)
{
    const struct row *row = *state;

    check_hint(row, false, row->client);
    check_hint(row, true, row->server);
}

/* A text that doesn't fit is cut, and ends. */
static void test_no_room(void **state)
{
    const struct trust_words words = {.subject = "a name that is long", .date = "2026-01-01"};
    char reason[24];
    char hint[24];

    (void)state;
    hints_print(TRUST_ISSUER_EXPIRED, &words, reason, hint, sizeof(reason));
    assert_int_equal(strlen(reason), sizeof(reason) - 1);
    assert_int_equal(strlen(hint), sizeof(hint) - 1);
}

int main(void)
{
    static const struct CMUnitTest tests[] = {cmocka_unit_test(test_no_room)};
    int failed = 0;

    test_cert_make(&plain, &(struct test_cert_spec){.alternative_names = "DNS:localhost"});
    test_cert_make(&common, &(struct test_cert_spec){.common_name = "localhost"});
    test_cert_make(&address, &(struct test_cert_spec){.alternative_names = "DNS:127.0.0.1"});
    RUN_ROWS(failed, test_case, rows);
    failed += cmocka_run_group_tests(tests, NULL, NULL);
    test_cert_free(&plain);
    test_cert_free(&common);
    test_cert_free(&address);
    return failed;
}
