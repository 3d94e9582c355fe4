/* The classifier: from OpenSSL's error queue to the transport's results and causes.
 *
 * Keeps no state; on the thread that made the failed call. Texts say what
 * went wrong in the words of TLS, not of OpenSSL, where the reason is a
 * common one; else OpenSSL's reason string stands in. */
#include "transport/tls/errors.h"

#include <assert.h>
#include <stdarg.h>
#include <stdio.h>

#include <openssl/err.h>
#include <openssl/sslerr.h>

#include "base/error.h"

/* OpenSSL reports a received alert as its number plus this (SSL_AD_REASON_OFFSET in ssl.h). */
#define ALERT_OFFSET SSL_AD_REASON_OFFSET

struct reason_text {
    int reason;
    const char *text;
};

static const struct reason_text reason_texts[] = {
    {SSL_R_NO_SHARED_CIPHER, "no cipher suite in common"},
    {SSL_R_NO_SUITABLE_KEY_SHARE, "no key exchange group in common"},
    {SSL_R_NO_SHARED_GROUPS, "no key exchange group in common"},
    {SSL_R_UNSUPPORTED_PROTOCOL, "the peer offers no TLS version that is allowed here"},
    {SSL_R_VERSION_TOO_LOW, "the peer offers no TLS version that is allowed here"},
    {SSL_R_WRONG_SSL_VERSION, "the peer offers no TLS version that is allowed here"},
    {SSL_R_NO_SUITABLE_SIGNATURE_ALGORITHM, "no signature algorithm in common"},
    {SSL_R_NO_SHARED_SIGNATURE_ALGORITHMS, "no signature algorithm in common"},
    {SSL_R_WRONG_VERSION_NUMBER, "malformed TLS record"},
    {SSL_R_UNEXPECTED_MESSAGE, "TLS message out of order"},
    {SSL_R_DECRYPTION_FAILED_OR_BAD_RECORD_MAC, "a record was altered on its way"},
    {SSL_R_PEER_DID_NOT_RETURN_A_CERTIFICATE, "the client shows no certificate"},
    {SSL_R_CERTIFICATE_VERIFY_FAILED, "the peer's certificate is not to be trusted"},
};

struct alert {
    int number;
    bool is_refusal;
    const char *name;
};

/* RFC 8446 section 6; RFC 5246 section 7.2 for those that only TLS 1.2 sends. A table of our own:
 * SSL_alert_desc_string_long(3) lacks three of them, and writes others differently from version to
 * version. */
static const struct alert alerts[] = {
    {0, false, "close notify"},
    {10, false, "unexpected message"},
    {20, false, "bad record mac"},
    {21, false, "decryption failed"},
    {22, false, "record overflow"},
    {30, false, "decompression failure"},
    {40, false, "handshake failure"},
    {41, true, "no certificate"},
    {42, true, "bad certificate"},
    {43, true, "unsupported certificate"},
    {44, true, "certificate revoked"},
    {45, true, "certificate expired"},
    {46, true, "certificate unknown"},
    {47, false, "illegal parameter"},
    {48, true, "unknown ca"},
    {49, true, "access denied"},
    {50, false, "decode error"},
    {51, false, "decrypt error"},
    {70, false, "protocol version"},
    {71, false, "insufficient security"},
    {80, false, "internal error"},
    {86, false, "inappropriate fallback"},
    {90, false, "user canceled"},
    {100, false, "no renegotiation"},
    {109, false, "missing extension"},
    {110, false, "unsupported extension"},
    {112, false, "unrecognized name"},
    {113, false, "bad certificate status response"},
    {115, false, "unknown psk identity"},
    {116, true, "certificate required"},
    {120, false, "no application protocol"},
};

static const struct alert *find(int number)
{
    size_t i;

    for (i = 0; i < sizeof(alerts) / sizeof(alerts[0]); i++) {
        if (alerts[i].number == number) {
            return &alerts[i];
        }
    }
    return NULL;
}

const char *alert_name(int alert)
{
    const struct alert *entry = find(alert);

    return entry != NULL ? entry->name : NULL;
}

bool alert_is_refusal(int alert)
{
    const struct alert *entry = find(alert);

    return entry != NULL && entry->is_refusal;
}

/* This thread's queue was seen empty, and only calls have come since that moved data and ended
 * well. */
static _Thread_local bool is_known_empty;

void tls_error_begin(void)
{
    is_known_empty = false; /* by the call that follows */
    /* Peeking is several times cheaper than clearing, and nearly always all that is needed. */
    if (ERR_peek_error() != 0) {
        ERR_clear_error();
    }
}

void tls_error_begin_data(void)
{
    if (is_known_empty) {
        assert(ERR_peek_error() == 0);
        return;
    }
    tls_error_begin();
    is_known_empty = true;
}

void tls_error_suspect(void)
{
    is_known_empty = false;
}

static const char *reason_name(unsigned long code)
{
    const char *name;
    size_t i;

    if (ERR_GET_LIB(code) == ERR_LIB_SSL) {
        for (i = 0; i < sizeof(reason_texts) / sizeof(reason_texts[0]); i++) {
            if (reason_texts[i].reason == ERR_GET_REASON(code)) {
                return reason_texts[i].text;
            }
        }
    }
    name = ERR_reason_error_string(code);
    return name != NULL ? name : "unknown reason";
}

/* What the queue held: the first entry of the SSL library names the cause, others only add to
 * it; a failed allocation counts wherever it was met. */
struct failure {
    unsigned long code;
    bool no_memory;
};

static struct failure take_failure(void)
{
    struct failure failure = {0, false};
    unsigned long code;

    while ((code = ERR_get_error()) != 0) {
        failure.no_memory |= ERR_GET_REASON(code) == ERR_R_MALLOC_FAILURE;
        if (failure.code == 0 ||
            (ERR_GET_LIB(code) == ERR_LIB_SSL && ERR_GET_LIB(failure.code) != ERR_LIB_SSL)) {
            failure.code = code;
        }
    }
    return failure;
}

static int received_alert(unsigned long code)
{
    int reason = ERR_GET_REASON(code);

    if (ERR_GET_LIB(code) != ERR_LIB_SSL || reason < ALERT_OFFSET || reason > ALERT_OFFSET + 255) {
        return -1;
    }
    return reason - ALERT_OFFSET;
}

/* What each alert about the own certificate could mean, and what to try. */
static const char *hint_of(int alert)
{
    switch (alert) {
    case SSL_AD_BAD_CERTIFICATE:
        return ": perhaps its name is not one that the server allows; try: the server's log";
    case SSL_AD_UNSUPPORTED_CERTIFICATE:
        return ": perhaps it is not for clients; try: one with clientAuth";
    case SSL_AD_CERTIFICATE_EXPIRED:
        return ": it has expired, or a revocation list of the server's has; try: its dates, then "
               "the server's log";
    case SSL_AD_CERTIFICATE_UNKNOWN:
        return ": perhaps it is fine, and a revocation list of the server's has ended or is "
               "missing; try: the server's log";
    case SSL_AD_UNKNOWN_CA:
        return ": the server does not know its CA, or was not sent a certificate between them; "
               "try: --cert with the whole chain";
    case SSL_AD_DECRYPT_ERROR:
        return ": perhaps its CA has another key now; try: a new certificate from whoever runs the "
               "server";
    default:
        return "";
    }
}

/* The same about a server's own, of which its client may know more. */
static const char *server_hint_of(int alert)
{
    switch (alert) {
    case SSL_AD_BAD_CERTIFICATE:
        return ": perhaps it was asked for by a name that is not in it; try: what the client says";
    case SSL_AD_CERTIFICATE_EXPIRED:
        return "; try: the dates of the chain, or the client's clock";
    case SSL_AD_UNKNOWN_CA:
        return ": the client does not know its CA, or was not sent a certificate between them; "
               "try: --cert with the whole chain";
    default:
        return "";
    }
}

static void record_refusal(const struct handshake_state *state, int alert, const char *name,
                           struct tlsmsg_error *err)
{
    if (state->cert_was_asked && !state->cert_is_there) {
        error_set(err, TLSMSG_ERR_REFUSED, 0,
                  "the server wants a client certificate (alert: %s); --cert and --key give one",
                  name);
    } else {
        error_set(err, TLSMSG_ERR_REFUSED, 0,
                  "the server does not accept this certificate (alert: %s)%s", name,
                  hint_of(alert));
    }
}

static void record_alert(int alert, const struct handshake_state *state, struct tlsmsg_error *err)
{
    char number[16];
    const char *name = alert_name(alert);
    bool refused = alert_is_refusal(alert);

    if (name == NULL) {
        (void)snprintf(number, sizeof(number), "%d", alert);
        name = number;
    }
    /* TLS 1.2 has no "certificate required": servers say "handshake failure" after the
     * client's certificate, or the lack of it. And many say "decrypt error" where the certificate's
     * signature is not by the key of the CA that has the issuer's name. */
    if (state->cert_was_asked && (alert == SSL_AD_HANDSHAKE_FAILURE ||
                                  (alert == SSL_AD_DECRYPT_ERROR && state->cert_is_there))) {
        refused = true;
    }
    if (state->is_server) {
        error_set(err, state->is_open ? TLSMSG_ERR_PROTOCOL : TLSMSG_ERR_HANDSHAKE, 0,
                  refused ? "the client does not accept the server's certificate (alert: %s)%s"
                          : "the client gave up (alert: %s)%s",
                  name, refused ? server_hint_of(alert) : "");
    } else if (refused && alert == SSL_AD_ACCESS_DENIED) {
        error_set(err, TLSMSG_ERR_REFUSED, 0, "the server refuses access (alert: %s)", name);
    } else if (refused) {
        record_refusal(state, alert, name, err);
    } else if (state->is_open) {
        error_set(err, TLSMSG_ERR_PROTOCOL, 0, "the server broke off (alert: %s)", name);
    } else if (alert == SSL_AD_NO_APPLICATION_PROTOCOL) {
        error_set(err, TLSMSG_ERR_NOT_NUMBERED, 0,
                  "the server refuses the offer of tlsmsg/1 (alert: %s); try: --document-flow",
                  name);
    } else {
        error_set(err, TLSMSG_ERR_HANDSHAKE, 0,
                  alert == SSL_AD_UNRECOGNIZED_NAME
                      ? "the server does not know the name that it was asked for (alert: %s); try: "
                        "--server-name NAME, with a name that it has"
                      : "the server refuses the TLS handshake (alert: %s)",
                  name);
    }
}

static enum tlsmsg_code code_of(const struct failure *failure, const struct handshake_state *state)
{
    if (failure->no_memory) {
        return TLSMSG_ERR_NOMEM;
    }
    if (ERR_GET_LIB(failure->code) == ERR_LIB_SSL &&
        (ERR_GET_REASON(failure->code) == SSL_R_CERTIFICATE_VERIFY_FAILED ||
         ERR_GET_REASON(failure->code) == SSL_R_PEER_DID_NOT_RETURN_A_CERTIFICATE)) {
        return TLSMSG_ERR_UNTRUSTED;
    }
    return state->is_open ? TLSMSG_ERR_PROTOCOL : TLSMSG_ERR_HANDSHAKE;
}

static void record_ssl_code(struct tlsmsg_error *err, unsigned long code)
{
    if (err != NULL && err->ssl_code == 0) {
        err->ssl_code = code;
    }
}

static void record_failure(const struct handshake_state *state, struct tlsmsg_error *err)
{
    struct failure failure = take_failure();
    int alert = received_alert(failure.code);

    if (alert >= 0) {
        record_alert(alert, state, err);
    } else {
        error_set(err, code_of(&failure, state), 0,
                  state->is_open ? "TLS failed: %s" : "TLS handshake failed: %s",
                  reason_name(failure.code));
    }
    record_ssl_code(err, failure.code);
}

enum transport_result tls_error_classify(const SSL *ssl, int ret,
                                         const struct handshake_state *state,
                                         struct tlsmsg_error *err)
{
    is_known_empty = false;
    switch (SSL_get_error(ssl, ret)) {
    case SSL_ERROR_WANT_READ:
        return TRANSPORT_WANT_READ;
    case SSL_ERROR_WANT_WRITE:
        return TRANSPORT_WANT_WRITE;
    case SSL_ERROR_ZERO_RETURN:
        return TRANSPORT_CLOSED;
    default:
        record_failure(state, err);
        return TRANSPORT_ERROR;
    }
}

enum tlsmsg_code tls_error_config(struct tlsmsg_error *err, enum tlsmsg_code code,
                                  const char *format, ...)
{
    char what[320];
    struct failure failure = take_failure();
    va_list args;

    va_start(args, format);
    (void)vsnprintf(what, sizeof(what), format, args);
    va_end(args);
    if (failure.no_memory) {
        code = TLSMSG_ERR_NOMEM;
    }
    if (failure.code == 0) {
        return error_set(err, code, 0, "%s", what);
    }
    error_set(err, code, 0, "%s: %s", what, reason_name(failure.code));
    record_ssl_code(err, failure.code);
    return code;
}

bool tls_error_take_no_memory(void)
{
    return take_failure().no_memory;
}

enum tlsmsg_code tls_error_blame(struct tlsmsg_error *err, const char *format, ...)
{
    char text[sizeof(err->text)];
    va_list args;

    if (tls_error_take_no_memory()) {
        return error_set(err, TLSMSG_ERR_NOMEM, 0, "out of memory");
    }
    va_start(args, format);
    (void)vsnprintf(text, sizeof(text), format, args);
    va_end(args);
    return error_set(err, TLSMSG_ERR_CONFIG, 0, "%s", text);
}
