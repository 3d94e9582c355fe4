/* A connection: made over a source, freed, and what there is to know of it. On its thread. */
#include <stdlib.h>

#include "base/error.h"
#include "transport/tls/alpn.h"
#include "transport/tls/errors.h"
#include "transport/tls/identity.h"
#include "transport/tls/internal.h"
#include "transport/tls/policy.h"
#include "transport/tls/verify.h"
#include "transport/tls/x509_text.h"

static enum tlsmsg_code set_up(struct transport *t, const char *server_name,
                               struct tlsmsg_error *err)
{
    struct server_name name;
    enum tlsmsg_code code;
    BIO *bio;

    tls_error_begin();
    t->ssl = SSL_new(t->config->ctx);
    bio = source_bio_new(t->config->bio_method, &t->link);
    if (t->ssl == NULL || bio == NULL) {
        BIO_free(bio);
        return tls_error_config(err, TLSMSG_ERR_NOMEM, "cannot make a TLS session");
    }
    SSL_set_bio(t->ssl, bio, bio);
    t->link.ssl = t->ssl;
    if (t->state.is_server) {
        SSL_set_accept_state(t->ssl);
        return TLSMSG_OK;
    }
    SSL_set_connect_state(t->ssl);
    code = server_name_parse(server_name != NULL ? server_name : "", &name, err);
    return code != TLSMSG_OK ? code : verify_expect(t->ssl, &name, err);
}

enum tlsmsg_code transport_new(struct transport_config *config, struct byte_source *src,
                               const char *server_name, struct transport **out,
                               struct tlsmsg_error *err)
{
    struct transport *t = calloc(1, sizeof(*t));
    enum tlsmsg_code code;

    if (t == NULL) {
        return error_set(err, TLSMSG_ERR_NOMEM, 0, "out of memory");
    }
    t->config = transport_config_ref(config);
    t->state.is_server = config->is_server;
    t->state.cert_is_there = config->has_certificate;
    source_link_init(&t->link, src, !config->is_server);
    code = set_up(t, server_name, err);
    if (code != TLSMSG_OK) {
        transport_free(t);
        return code;
    }
    *out = t;
    return TLSMSG_OK;
}

void transport_free(struct transport *t)
{
    if (t == NULL) {
        return;
    }
    SSL_free(t->ssl);
    transport_config_unref(t->config);
    free(t->identity);
    free(t);
    tls_error_suspect();
}

/* SSL_get0_group_name(3) is younger than 3.0. The library looks through all groups it knows for it,
 * which costs 1,100 instructions: once for a connection, since a group once agreed on stays. */
static const char *group_name(struct transport *t)
{
    if (t->group == NULL) {
        int group = (int)SSL_get_negotiated_group(t->ssl);

        t->group = group == NID_undef ? NULL : policy_group_name(SSL_group_to_name(t->ssl, group));
    }
    return t->group;
}

bool transport_describe(struct transport *t, struct tlsmsg_tls *out)
{
    const SSL_CIPHER *cipher = SSL_get_current_cipher(t->ssl);
    X509 *peer;

    *out = (struct tlsmsg_tls){.version = NULL};
    if (cipher == NULL) {
        cipher = SSL_get_pending_cipher(t->ssl); /* agreed on, and not in use yet */
    }
    if (cipher == NULL) {
        return false;
    }
    peer = t->state.is_open ? SSL_get0_peer_certificate(t->ssl) : NULL;
    if (t->identity == NULL && peer != NULL) {
        t->identity = identity_of(peer);
    }
    out->resumed = SSL_session_reused(t->ssl) == 1;
    out->version = SSL_get_version(t->ssl);
    out->cipher = SSL_CIPHER_get_name(cipher);
    out->group = group_name(t);
    out->identity = t->identity;
    out->protocol = alpn_selected(t->ssl);
    tls_error_begin();
    return true;
}

_Static_assert(sizeof(((struct tlsmsg_certificate *)0)->pin) >= X509_TEXT_PIN_MAX,
               "room for a pin");

/* The library keeps the chain in the session from the moment it arrives, so it can be told also
 * where it was refused and there is no peer certificate to speak of. */
bool transport_peer_certificate(const struct transport *t, size_t i, struct tlsmsg_certificate *out)
{
    STACK_OF(X509) *chain = SSL_get_peer_cert_chain(t->ssl);
    X509 *cert;

    if (chain == NULL || i >= (size_t)sk_X509_num(chain)) {
        return false;
    }
    cert = sk_X509_value(chain, (int)i);
    x509_text_name(X509_get_subject_name(cert), out->subject, sizeof(out->subject));
    x509_text_name(X509_get_issuer_name(cert), out->issuer, sizeof(out->issuer));
    x509_text_hosts(cert, out->names, sizeof(out->names));
    x509_text_pin(cert, out->pin);
    out->not_before_unix_s = x509_text_unix_s(X509_get0_notBefore(cert));
    out->not_after_unix_s = x509_text_unix_s(X509_get0_notAfter(cert));
    tls_error_begin();
    return true;
}

void transport_accept_key(struct transport *t, const char *pin)
{
    t->key.accepted = pin;
}

bool transport_ask_user(struct transport *t, char pin[TRANSPORT_PIN_MAX])
{
    STACK_OF(X509) *chain = SSL_get_peer_cert_chain(t->ssl);

    if (!t->broken || !t->key.asks_user || sk_X509_num(chain) < 1) {
        return false;
    }
    (void)transport_shutdown(t, NULL);
    return client_trust_ask(t->config->client_trust, sk_X509_value(chain, 0), pin);
}

_Static_assert(TRANSPORT_PIN_MAX >= PIN_TEXT_MAX, "room for a pin");

bool transport_heard(const struct transport *t)
{
    return t->link.heard;
}
