/* The verdict on a peer's certificate, in words.
 *
 * Runs inside the handshake, on the transport's thread, before a byte of a
 * message could leave. OpenSSL decides; this file says which of the product's
 * reasons it was: unknown CA, wrong name, expired, not yet valid, revoked. */
#include "transport/tls/verify.h"

#include <stdio.h>
#include <stdlib.h>

#include <openssl/ssl.h>
#include <openssl/x509v3.h>

#include "base/error.h"
#include "transport/tls/allow.h"
#include "transport/tls/client_trust.h"
#include "transport/tls/config.h"
#include "transport/tls/identity.h"
#include "transport/tls/revocation.h"
#include "transport/tls/session.h"
#include "transport/tls/x509_text.h"

#define REASON_MAX 224
#define NAME_TEXT_MAX 96
#define HOSTS_TEXT_MAX 128

/* What can be done about a refusal besides repairing the server. */
enum way_on { WAY_TRUST, WAY_NAME, WAY_RENEW, WAY_NONE };

static enum way_on say_dates(const X509 *cert, const char *whose, bool expired,
                             char out[REASON_MAX])
{
    char date[X509_TEXT_DATE_MAX];

    x509_text_date(expired ? X509_get0_notAfter(cert) : X509_get0_notBefore(cert), date);
    (void)snprintf(out, REASON_MAX,
                   expired ? "%s expired on %s" : "%s is not yet valid (from %s on)", whose, date);
    return WAY_RENEW;
}

static enum way_on say_unknown_ca(const X509 *cert, int error, bool system_cas,
                                  char out[REASON_MAX])
{
    char issuer[NAME_TEXT_MAX];

    if (error == X509_V_ERR_DEPTH_ZERO_SELF_SIGNED_CERT) {
        (void)snprintf(out, REASON_MAX, "unknown CA (its certificate is self-signed)");
    } else {
        x509_text_name(X509_get_issuer_name(cert), issuer, sizeof(issuer));
        (void)snprintf(out, REASON_MAX, "unknown CA '%s'%s", issuer,
                       system_cas ? " (no --ca was given, and this system doesn't know it)" : "");
    }
    return WAY_TRUST;
}

static enum way_on say_wrong_name(const X509 *leaf, char out[REASON_MAX])
{
    char hosts[HOSTS_TEXT_MAX];

    x509_text_hosts(leaf, hosts, sizeof(hosts));
    (void)snprintf(out, REASON_MAX, "wrong name (its certificate is for %s)", hosts);
    return WAY_NAME;
}

/* cert: the one the error is about; leaf: the peer's own. */
static enum way_on say_reason(int error, int depth, const X509 *cert, const X509 *leaf,
                              bool system_cas, char out[REASON_MAX])
{
    const char *whose = depth == 0 ? "its certificate" : "its issuer's certificate";

    switch (error) {
    case X509_V_ERR_CERT_HAS_EXPIRED:
        return say_dates(cert, whose, true, out);
    case X509_V_ERR_CERT_NOT_YET_VALID:
        return say_dates(cert, whose, false, out);
    case X509_V_ERR_CERT_REVOKED:
        (void)snprintf(out, REASON_MAX, "%s is revoked", whose);
        return WAY_NONE;
    case X509_V_ERR_HOSTNAME_MISMATCH:
    case X509_V_ERR_IP_ADDRESS_MISMATCH:
        return say_wrong_name(leaf, out);
    case X509_V_ERR_UNABLE_TO_GET_ISSUER_CERT:
    case X509_V_ERR_UNABLE_TO_GET_ISSUER_CERT_LOCALLY:
    case X509_V_ERR_UNABLE_TO_VERIFY_LEAF_SIGNATURE:
    case X509_V_ERR_SELF_SIGNED_CERT_IN_CHAIN:
    case X509_V_ERR_DEPTH_ZERO_SELF_SIGNED_CERT:
    case X509_V_ERR_CERT_UNTRUSTED:
    case X509_V_ERR_CERT_SIGNATURE_FAILURE:
        return say_unknown_ca(cert, error, system_cas, out);
    default:
        (void)snprintf(out, REASON_MAX, "%s", X509_verify_cert_error_string(error));
        return WAY_NONE;
    }
}

static void refuse_server(const struct transport *t, X509 *leaf, const char *reason,
                          enum way_on way)
{
    char pin[X509_TEXT_PIN_MAX];
    char name[NAME_TEXT_MAX];

    x509_text_pin(leaf, pin);
    session_peer_name(t, name, sizeof(name));
    switch (way) {
    case WAY_TRUST:
        error_set(t->err, TLSMSG_ERR_UNTRUSTED, 0,
                  "cannot verify server '%s': %s; its pin is %s; try: --ca FILE, or --pin %s", name,
                  reason, pin, pin);
        break;
    case WAY_NAME:
        error_set(t->err, TLSMSG_ERR_UNTRUSTED, 0,
                  "cannot verify server '%s': %s; its pin is %s; try: --server-name NAME, or "
                  "--pin %s",
                  name, reason, pin, pin);
        break;
    case WAY_RENEW:
    case WAY_NONE:
        error_set(t->err, TLSMSG_ERR_UNTRUSTED, 0,
                  way == WAY_RENEW ? "cannot verify server '%s': %s; its pin is %s; try: a new "
                                     "certificate on the server (or is this clock wrong?)"
                                   : "cannot verify server '%s': %s; its pin is %s",
                  name, reason, pin);
        break;
    }
}

static void refuse(const struct transport *t, X509_STORE_CTX *store)
{
    char reason[REASON_MAX];
    char subject[NAME_TEXT_MAX];
    int error = X509_STORE_CTX_get_error(store);
    X509 *leaf = X509_STORE_CTX_get0_cert(store);
    X509 *cert = X509_STORE_CTX_get_current_cert(store);
    bool system_cas = !t->situation.is_server && client_trust_is_default(t->config->client_trust);
    enum way_on way = say_reason(error, X509_STORE_CTX_get_error_depth(store),
                                 cert != NULL ? cert : leaf, leaf, system_cas, reason);

    if (!t->situation.is_server) {
        refuse_server(t, leaf, reason, way);
        return;
    }
    x509_text_name(X509_get_subject_name(leaf), subject, sizeof(subject));
    error_set(t->err, TLSMSG_ERR_UNTRUSTED, 0, "cannot verify client '%s': %s", subject, reason);
}

/* The library looks up the leaf alone: asked for more, it would demand a list of every CA in the
 * chain. An issuer that a list at hand names is refused all the same. */
static bool has_revoked_issuer(const struct transport *t, X509_STORE_CTX *store)
{
    STACK_OF(X509) *chain = X509_STORE_CTX_get0_chain(store);

    for (int i = 1; i < sk_X509_num(chain); i++) {
        if (revocation_names(t->config->revoked, sk_X509_value(chain, i))) {
            X509_STORE_CTX_set_error(store, X509_V_ERR_CERT_REVOKED);
            X509_STORE_CTX_set_error_depth(store, i);
            X509_STORE_CTX_set_current_cert(store, sk_X509_value(chain, i));
            return true;
        }
    }
    return false;
}

/* Chain, name, dates and revocation, as far as the context asks for them. */
static bool verify_chain(struct transport *t, X509_STORE_CTX *store)
{
    if (X509_verify_cert(store) == 1 && !has_revoked_issuer(t, store)) {
        return true;
    }
    if (X509_STORE_CTX_get_error(store) == X509_V_OK) {
        X509_STORE_CTX_set_error(store, X509_V_ERR_UNSPECIFIED);
    }
    refuse(t, store);
    return false;
}

static bool verify_server(struct transport *t, X509_STORE_CTX *store)
{
    const struct client_trust *trust = t->config->client_trust;
    X509 *leaf = X509_STORE_CTX_get0_cert(store);

    if (client_trust_needs_chain(trust)) {
        if (!verify_chain(t, store)) {
            return false;
        }
    } else if (revocation_names(t->config->revoked, leaf)) {
        X509_STORE_CTX_set_error(store, X509_V_ERR_CERT_REVOKED);
        refuse(t, store);
        return false;
    }
    if (client_trust_judge(trust, leaf, &t->records_key, t->err) != TLSMSG_OK) {
        X509_STORE_CTX_set_error(store, X509_V_ERR_CERT_REJECTED);
        return false;
    }
    return true;
}

static bool verify_client(struct transport *t, X509_STORE_CTX *store)
{
    X509 *leaf = X509_STORE_CTX_get0_cert(store);
    char *identity;
    bool allowed;

    if (!verify_chain(t, store)) {
        return false;
    }
    identity = identity_of(leaf);
    allowed = allow_holds(t->config->allowed, identity);
    if (!allowed) {
        X509_STORE_CTX_set_error(store, X509_V_ERR_CERT_REJECTED);
        error_set(t->err, TLSMSG_ERR_UNTRUSTED, 0, "client '%s' is not on the allow list",
                  identity != NULL ? identity : "without a name");
    }
    free(identity);
    return allowed;
}

int verify_peer(X509_STORE_CTX *store, void *unused)
{
    SSL *ssl = X509_STORE_CTX_get_ex_data(store, SSL_get_ex_data_X509_STORE_CTX_idx());
    struct transport *t = session_of(ssl);
    bool trusted = t->situation.is_server ? verify_client(t, store) : verify_server(t, store);

    (void)unused;
    if (trusted) {
        /* A pin stands in for the chain: what the library thought of it no longer counts. */
        X509_STORE_CTX_set_error(store, X509_V_OK);
    }
    return trusted ? 1 : 0;
}
