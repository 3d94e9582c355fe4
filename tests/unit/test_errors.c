/* What OpenSSL's queue of errors means: codes and texts, on connections and while configuring. */
#include "support/unit.h"

#include <string.h>

#include <openssl/err.h>
#include <openssl/pemerr.h>
#include <openssl/sslerr.h>

#include "transport/tls/errors.h"

static SSL_CTX *ctx;
static SSL *ssl;

static int set_up(void **state)
{
    (void)state;
    ctx = SSL_CTX_new(TLS_client_method());
    assert_non_null(ctx);
    ssl = SSL_new(ctx);
    assert_non_null(ssl);
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    SSL_free(ssl);
    SSL_CTX_free(ctx);
    return 0;
}

#define ALERT(number) (SSL_AD_REASON_OFFSET + (number))
#define SERVER .is_server = true
#define OPEN .is_open = true
#define ASKED .cert_was_asked = true
#define SHOWN .cert_is_there = true

/* The entries of the queue, oldest first, and what is made of them. */
struct failure_row {
    const char *name;
    int library;
    int reason;
    int second_library; /* 0: there is no second entry */
    int second_reason;
    struct handshake_state situation;
    enum tlsmsg_code code;
    const char *text;
};

static const struct failure_row failure_rows[] = {
    {"an entry of SSL",
     ERR_LIB_SSL,
     SSL_R_NO_SHARED_CIPHER,
     0,
     0,
     {SERVER},
     TLSMSG_ERR_HANDSHAKE,
     "TLS handshake failed: no cipher suite in common"},
    {"the same in a conversation",
     ERR_LIB_SSL,
     SSL_R_UNEXPECTED_MESSAGE,
     0,
     0,
     {OPEN},
     TLSMSG_ERR_PROTOCOL,
     "TLS failed: TLS message out of order"},
    {"SSL's entry wins over an older one",
     ERR_LIB_EVP,
     ERR_R_EVP_LIB,
     ERR_LIB_SSL,
     SSL_R_NO_SHARED_GROUPS,
     {SERVER},
     TLSMSG_ERR_HANDSHAKE,
     "TLS handshake failed: no key exchange group in common"},
    {"the first of SSL's",
     ERR_LIB_SSL,
     SSL_R_NO_SHARED_GROUPS,
     ERR_LIB_SSL,
     SSL_R_UNEXPECTED_MESSAGE,
     {SERVER},
     TLSMSG_ERR_HANDSHAKE,
     "TLS handshake failed: no key exchange group in common"},
    {"no memory",
     ERR_LIB_SSL,
     ERR_R_MALLOC_FAILURE,
     0,
     0,
     {OPEN},
     TLSMSG_ERR_NOMEM,
     "TLS failed: malloc failure"},
    {"no memory behind another cause",
     ERR_LIB_SSL,
     SSL_R_UNEXPECTED_MESSAGE,
     ERR_LIB_CRYPTO,
     ERR_R_MALLOC_FAILURE,
     {OPEN},
     TLSMSG_ERR_NOMEM,
     "TLS failed: TLS message out of order"},
    {"an untrusted peer",
     ERR_LIB_SSL,
     SSL_R_CERTIFICATE_VERIFY_FAILED,
     0,
     0,
     {SHOWN},
     TLSMSG_ERR_UNTRUSTED,
     "TLS handshake failed: the peer's certificate is not to be trusted"},
    {"a client without a certificate",
     ERR_LIB_SSL,
     SSL_R_PEER_DID_NOT_RETURN_A_CERTIFICATE,
     0,
     0,
     {SERVER},
     TLSMSG_ERR_UNTRUSTED,
     "TLS handshake failed: the client shows no certificate"},
    {"an empty queue",
     0,
     0,
     0,
     0,
     {SERVER},
     TLSMSG_ERR_HANDSHAKE,
     "TLS handshake failed: unknown reason"},
    {"client: handshake refused",
     ERR_LIB_SSL,
     ALERT(70),
     0,
     0,
     {SHOWN},
     TLSMSG_ERR_HANDSHAKE,
     "the server refuses the TLS handshake (alert: protocol version)"},
    {"client: our certificate refused",
     ERR_LIB_SSL,
     ALERT(48),
     0,
     0,
     {ASKED, SHOWN},
     TLSMSG_ERR_REFUSED,
     "the server does not accept this certificate (alert: unknown ca): the server does not know "
     "its "
     "CA, or was not sent a certificate between them; try: --cert with the whole chain"},
    {"client: a name that isn't allowed",
     ERR_LIB_SSL,
     ALERT(42),
     0,
     0,
     {ASKED, SHOWN},
     TLSMSG_ERR_REFUSED,
     "the server does not accept this certificate (alert: bad certificate): perhaps its name is "
     "not "
     "one that the server allows; try: the server's log"},
    {"client: a certificate for another purpose",
     ERR_LIB_SSL,
     ALERT(43),
     0,
     0,
     {ASKED, SHOWN},
     TLSMSG_ERR_REFUSED,
     "the server does not accept this certificate (alert: unsupported certificate): perhaps it is "
     "not for clients; try: one with clientAuth"},
    {"client: revoked",
     ERR_LIB_SSL,
     ALERT(44),
     0,
     0,
     {ASKED, SHOWN},
     TLSMSG_ERR_REFUSED,
     "the server does not accept this certificate (alert: certificate revoked)"},
    {"client: expired, or the server's list is",
     ERR_LIB_SSL,
     ALERT(45),
     0,
     0,
     {ASKED, SHOWN},
     TLSMSG_ERR_REFUSED,
     "the server does not accept this certificate (alert: certificate expired): it has expired, or "
     "a "
     "revocation list of the server's has; try: its dates, then the server's log"},
    {"client: a list that has ended",
     ERR_LIB_SSL,
     ALERT(46),
     0,
     0,
     {ASKED, SHOWN},
     TLSMSG_ERR_REFUSED,
     "the server does not accept this certificate (alert: certificate unknown): perhaps it is "
     "fine, "
     "and a revocation list of the server's has ended or is missing; try: the server's log"},
    {"client: a certificate is missing",
     ERR_LIB_SSL,
     ALERT(116),
     0,
     0,
     {ASKED, OPEN},
     TLSMSG_ERR_REFUSED,
     "the server wants a client certificate (alert: certificate required); --cert and --key give "
     "one"},
    {"client: TLS 1.2's word for it",
     ERR_LIB_SSL,
     ALERT(40),
     0,
     0,
     {ASKED},
     TLSMSG_ERR_REFUSED,
     "the server wants a client certificate (alert: handshake failure); --cert and --key give "
     "one"},
    {"client: the same unasked",
     ERR_LIB_SSL,
     ALERT(40),
     0,
     0,
     {SHOWN},
     TLSMSG_ERR_HANDSHAKE,
     "the server refuses the TLS handshake (alert: handshake failure)"},
    {"client: no access",
     ERR_LIB_SSL,
     ALERT(49),
     0,
     0,
     {ASKED, SHOWN},
     TLSMSG_ERR_REFUSED,
     "the server refuses access (alert: access denied)"},
    {"client: a signature that doesn't fit, of its certificate",
     ERR_LIB_SSL,
     ALERT(51),
     0,
     0,
     {OPEN, ASKED, SHOWN},
     TLSMSG_ERR_REFUSED,
     "the server does not accept this certificate (alert: decrypt error): perhaps its CA has "
     "another "
     "key now; try: a new certificate from whoever runs the server"},
    {"client: the same without a certificate",
     ERR_LIB_SSL,
     ALERT(51),
     0,
     0,
     {ASKED},
     TLSMSG_ERR_HANDSHAKE,
     "the server refuses the TLS handshake (alert: decrypt error)"},
    {"client: the same unasked",
     ERR_LIB_SSL,
     ALERT(51),
     0,
     0,
     {OPEN, SHOWN},
     TLSMSG_ERR_PROTOCOL,
     "the server broke off (alert: decrypt error)"},
    {"client: a name that the server doesn't know",
     ERR_LIB_SSL,
     ALERT(112),
     0,
     0,
     {0},
     TLSMSG_ERR_HANDSHAKE,
     "the server does not know the name that it was asked for (alert: unrecognized name); try: "
     "--server-name NAME, with a name that it has"},
    {"client: broken off",
     ERR_LIB_SSL,
     ALERT(80),
     0,
     0,
     {OPEN},
     TLSMSG_ERR_PROTOCOL,
     "the server broke off (alert: internal error)"},
    {"client: the offer of tlsmsg/1 refused",
     ERR_LIB_SSL,
     ALERT(120),
     0,
     0,
     {.is_open = false},
     TLSMSG_ERR_NOT_NUMBERED,
     "the server refuses the offer of tlsmsg/1 (alert: no application protocol); try: "
     "--document-flow"},
    {"client: the same later, which has no such meaning",
     ERR_LIB_SSL,
     ALERT(120),
     0,
     0,
     {OPEN},
     TLSMSG_ERR_PROTOCOL,
     "the server broke off (alert: no application protocol)"},
    {"client: the last number of an alert",
     ERR_LIB_SSL,
     ALERT(255),
     0,
     0,
     {OPEN},
     TLSMSG_ERR_PROTOCOL,
     "the server broke off (alert: 255)"},
    {"what is above it is none",
     ERR_LIB_SSL,
     ALERT(256),
     0,
     0,
     {OPEN},
     TLSMSG_ERR_PROTOCOL,
     "TLS failed: unknown reason"},
    {"nor the same number of another part of the library",
     ERR_LIB_EVP,
     ALERT(80),
     0,
     0,
     {OPEN},
     TLSMSG_ERR_PROTOCOL,
     "TLS failed: unknown reason"},
    {"client: an alert without a name",
     ERR_LIB_SSL,
     ALERT(200),
     0,
     0,
     {OPEN},
     TLSMSG_ERR_PROTOCOL,
     "the server broke off (alert: 200)"},
    {"server: its certificate refused",
     ERR_LIB_SSL,
     ALERT(45),
     0,
     0,
     {SERVER},
     TLSMSG_ERR_HANDSHAKE,
     "the client does not accept the server's certificate (alert: certificate expired); try: the "
     "dates of the chain, or the client's clock"},
    {"server: its CA unknown to the client",
     ERR_LIB_SSL,
     ALERT(48),
     0,
     0,
     {SERVER},
     TLSMSG_ERR_HANDSHAKE,
     "the client does not accept the server's certificate (alert: unknown ca): the client does not "
     "know its CA, or was not sent a certificate between them; try: --cert with the whole chain"},
    {"server: a name that is not in its certificate",
     ERR_LIB_SSL,
     ALERT(42),
     0,
     0,
     {SERVER},
     TLSMSG_ERR_HANDSHAKE,
     "the client does not accept the server's certificate (alert: bad certificate): perhaps it was "
     "asked for by a name that is not in it; try: what the client says"},
    {"server: its certificate revoked",
     ERR_LIB_SSL,
     ALERT(44),
     0,
     0,
     {SERVER},
     TLSMSG_ERR_HANDSHAKE,
     "the client does not accept the server's certificate (alert: certificate revoked)"},
    {"server: given up",
     ERR_LIB_SSL,
     ALERT(90),
     0,
     0,
     {SERVER},
     TLSMSG_ERR_HANDSHAKE,
     "the client gave up (alert: user canceled)"},
    {"server: broken off",
     ERR_LIB_SSL,
     ALERT(20),
     0,
     0,
     {SERVER, OPEN},
     TLSMSG_ERR_PROTOCOL,
     "the client gave up (alert: bad record mac)"},
};

static void test_failure(void **state)
{
    const struct failure_row *row = *state;
    struct tlsmsg_error err = {.code = TLSMSG_OK};

    ERR_clear_error();
    if (row->library != 0) {
        ERR_raise(row->library, row->reason);
    }
    if (row->second_library != 0) {
        ERR_raise(row->second_library, row->second_reason);
    }
    assert_int_equal(tls_error_classify(ssl, -1, &row->situation, &err), TRANSPORT_ERROR);
    assert_int_equal(err.code, row->code);
    assert_string_equal(err.text, row->text);
    assert_int_equal(err.sys_errno, 0);
    assert_int_equal(err.ssl_code != 0, row->library != 0);
    assert_int_equal(ERR_peek_error(), 0);
}

/* What another connection on this thread left behind must not be taken for this one's. */
static void test_begin_empties_the_queue(void **state)
{
    (void)state;
    ERR_raise(ERR_LIB_SSL, SSL_R_UNEXPECTED_MESSAGE);
    tls_error_begin();
    assert_int_equal(ERR_peek_error(), 0);
}

/* Where nothing else has run it isn't looked at, for the sake of speed. */
static void test_begin_data_trusts_what_it_saw(void **state)
{
    (void)state;
    tls_error_begin();
    tls_error_begin_data();
    tls_error_suspect();
    ERR_raise(ERR_LIB_SSL, SSL_R_UNEXPECTED_MESSAGE);
    tls_error_begin_data();
    assert_int_equal(ERR_peek_error(), 0);

    /* Any other call is begun by tls_error_begin, and may leave something. */
    tls_error_begin();
    ERR_raise(ERR_LIB_SSL, SSL_R_UNEXPECTED_MESSAGE);
    tls_error_begin_data();
    assert_int_equal(ERR_peek_error(), 0);
}

static void test_configuring(void **state)
{
    struct tlsmsg_error err = {.code = TLSMSG_OK};

    (void)state;
    ERR_clear_error();
    ERR_raise(ERR_LIB_SSL, SSL_R_CA_MD_TOO_WEAK);
    assert_int_equal(tls_error_config(&err, TLSMSG_ERR_CONFIG, "cannot use '%s'", "x.crt"),
                     TLSMSG_ERR_CONFIG);
    assert_string_equal(err.text, "cannot use 'x.crt': ca md too weak");
    assert_int_equal(ERR_GET_REASON(err.ssl_code), SSL_R_CA_MD_TOO_WEAK);
    assert_int_equal(ERR_peek_error(), 0);

    tlsmsg_error_clear(&err);
    assert_int_equal(tls_error_config(&err, TLSMSG_ERR_CONFIG, "cannot use '%s'", "x.crt"),
                     TLSMSG_ERR_CONFIG);
    assert_string_equal(err.text, "cannot use 'x.crt'");

    /* Without memory it is no fault of what was configured, wherever the failure was met. */
    tlsmsg_error_clear(&err);
    ERR_raise(ERR_LIB_SSL, SSL_R_CA_MD_TOO_WEAK);
    ERR_raise(ERR_LIB_CRYPTO, ERR_R_MALLOC_FAILURE);
    assert_int_equal(tls_error_config(&err, TLSMSG_ERR_CONFIG, "cannot use it"), TLSMSG_ERR_NOMEM);
    assert_int_equal(err.code, TLSMSG_ERR_NOMEM);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_begin_empties_the_queue),
        cmocka_unit_test(test_begin_data_trusts_what_it_saw),
        cmocka_unit_test(test_configuring),
    };
    int failed = 0;

    (void)set_up(NULL);
    RUN_ROWS(failed, test_failure, failure_rows);
    failed += cmocka_run_group_tests(tests, NULL, NULL);
    (void)tear_down(NULL);
    return failed;
}
