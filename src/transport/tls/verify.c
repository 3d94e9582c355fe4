/* Whom we trust, and the verdict on a peer's certificate, in words.
 *
 * CAs and revocation lists are loaded with the configuration and immutable after; any thread may
 * ask. The verdict falls inside the handshake, on the transport's thread, before a byte of a
 * message could leave. OpenSSL decides; this file says which of the product's reasons it was:
 * unknown CA, wrong name, expired, not yet valid, revoked.
 *
 * A resumed session skips all checks of certificates, so a session must only be resumed under the
 * same trust: the session id context is a digest of whatever decides about peers (RFC 5077 section
 * 5.8; SSL_CTX_set_session_id_context(3)). It holds no certificate of our own and no number that
 * counts reloads, so that servers with the same trust can share tickets. */
#include "transport/tls/verify.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/pem.h>
#include <openssl/x509v3.h>

#include "base/error.h"
#include "base/escape.h"
#include "base/tools.h"
#include "transport/tls/client_trust.h"
#include "transport/tls/errors.h"
#include "transport/tls/hints.h"
#include "transport/tls/internal.h"
#include "transport/tls/x509_text.h"

#define NAME_TEXT_MAX 96
#define HOSTS_TEXT_MAX 128

/* Why a peer is refused, and what to do, as hints_print has them. */
struct refusal {
    char reason[HINT_TEXT_MAX];
    char hint[HINT_TEXT_MAX];
};

/* A CA that was made anew under its old name counts from the same numbers again. */
static bool is_of_other_key(const X509_CRL *list, X509 *cert)
{
    const ASN1_OCTET_STRING *issued_by = X509_get0_authority_key_id(cert);
    AUTHORITY_KEYID *key =
        issued_by != NULL ? X509_CRL_get_ext_d2i(list, NID_authority_key_identifier, NULL, NULL)
                          : NULL;
    bool other =
        key != NULL && key->keyid != NULL && ASN1_OCTET_STRING_cmp(key->keyid, issued_by) != 0;

    AUTHORITY_KEYID_free(key);
    return other;
}

bool verify_is_revoked(STACK_OF(X509_CRL) *lists, X509 *cert)
{
    for (int i = 0; i < sk_X509_CRL_num(lists); i++) {
        X509_CRL *list = sk_X509_CRL_value(lists, i);
        X509_REVOKED *entry = NULL;

        if (X509_NAME_cmp(X509_CRL_get_issuer(list), X509_get_issuer_name(cert)) == 0 &&
            X509_CRL_get0_by_cert(list, &entry, cert) == 1 && !is_of_other_key(list, cert)) {
            return true;
        }
    }
    return false;
}

/* The name or address that the server was asked for by, as kept in the SSL object. */
static void print_expected_name(const struct transport *t, char *out, size_t cap)
{
    X509_VERIFY_PARAM *param = SSL_get0_param(t->ssl);
    const char *host = X509_VERIFY_PARAM_get0_host(param, 0);
    char *address = host == NULL ? X509_VERIFY_PARAM_get1_ip_asc(param) : NULL;

    escape_name(out, cap, host != NULL ? host : address != NULL ? address : "?");
    OPENSSL_free(address);
}

/* What decides about a case: the list of that name that ends first, else one that was given; NULL: none
 * was. CAs are all of one file, so any names it. */
static const struct loaded *deciding(const struct load_report *report, enum loaded_kind kind,
                                     const X509_NAME *name)
{
    char subject[LOAD_NAME_MAX]; /* as long as the report's, to be compared */
    const struct loaded *named = NULL;
    const struct loaded *any = NULL;

    x509_text_name(name, subject, sizeof(subject));
    for (size_t i = 0; i < report->count; i++) {
        const struct loaded *item = &report->items[i];

        if (item->kind != kind) {
            continue;
        }
        any = item;
        if (strcmp(item->subject, subject) == 0 &&
            (named == NULL || item->ends_unix_s < named->ends_unix_s)) {
            named = item;
        }
    }
    return named != NULL ? named : any;
}

static bool was_sent(STACK_OF(X509) *sent, const X509 *cert)
{
    for (int i = 0; i < sk_X509_num(sent); i++) {
        if (X509_cmp(sk_X509_value(sent, i), cert) == 0) {
            return true;
        }
    }
    return false;
}

static bool is_about_list(enum trust_case which)
{
    return which == TRUST_LIST_MISSING || which == TRUST_LIST_ENDED || which == TRUST_LIST_FUTURE ||
           which == TRUST_LIST_UNFIT;
}

static bool is_about_begin(enum trust_case which)
{
    return which == TRUST_LEAF_FUTURE || which == TRUST_ISSUER_FUTURE;
}

/* Puts the case into words. The pin of a server stands between reason and hint. */
static void print_case(const struct transport *t, enum trust_case which,
                       const struct trust_view *view, struct refusal *out)
{
    const struct load_report *report = &t->config->report;
    const struct loaded *item;
    char subject[NAME_TEXT_MAX];
    char issuer[NAME_TEXT_MAX];
    char names[HOSTS_TEXT_MAX];
    char date[X509_TEXT_DATE_MAX];
    struct trust_words words = {.is_server = t->state.is_server,
                                .subject = subject,
                                .issuer = issuer,
                                .date = date,
                                .names = names,
                                .library = X509_verify_cert_error_string(
                                    which == TRUST_UNFIT_CA ? view->misfit : view->error)};

    x509_text_name(X509_get_subject_name(view->cert), subject, sizeof(subject));
    x509_text_name(X509_get_issuer_name(view->cert), issuer, sizeof(issuer));
    x509_text_hosts(view->leaf, names, sizeof(names));
    x509_text_date(is_about_begin(which) ? X509_get0_notBefore(view->cert)
                                         : X509_get0_notAfter(view->cert),
                   date);
    item = deciding(report, is_about_list(which) ? LOADED_CRL : LOADED_CA,
                    X509_get_issuer_name(view->cert));
    words.file = item != NULL ? item->file : view->by_system ? "the system's trust store" : NULL;
    if (is_about_list(which) && item != NULL) {
        load_print_date(item->ends_unix_s, date);
    }
    hints_print(which, &words, out->reason, out->hint, sizeof(out->reason));
}

/* The library passes over a CA of the issuer's name whose key id is another, and then says that the
 * issuer is unknown, which sends people to look for a file that they have given. */
static void look_for_namesake(X509_STORE_CTX *store, struct trust_view *view)
{
    const X509_NAME *issuer = X509_get_issuer_name(view->cert);
    STACK_OF(X509) *sent = X509_STORE_CTX_get0_untrusted(store);
    STACK_OF(X509) *trusted;

    (void)ERR_set_mark(); /* what isn't found is no error of the handshake's */
    trusted = X509_STORE_CTX_get1_certs(store, issuer);
    for (int i = 0; i < sk_X509_num(trusted) && view->namesake != NAMESAKE_UNFIT; i++) {
        X509 *ca = sk_X509_value(trusted, i);
        bool has_signed = X509_verify(view->cert, X509_get0_pubkey(ca)) == 1;

        view->namesake = has_signed ? NAMESAKE_UNFIT : NAMESAKE_TRUSTED;
        view->misfit = has_signed ? X509_check_issued(ca, view->cert) : X509_V_OK;
    }
    for (int i = 0; i < sk_X509_num(sent) && view->namesake == NAMESAKE_NONE; i++) {
        X509 *one = sk_X509_value(sent, i);

        if (X509_cmp(one, view->cert) != 0 &&
            X509_NAME_cmp(X509_get_subject_name(one), issuer) == 0) {
            view->namesake = NAMESAKE_SENT;
        }
    }
    sk_X509_pop_free(trusted, X509_free);
    (void)ERR_pop_to_mark();
}

static void refuse(const struct transport *t, X509_STORE_CTX *store)
{
    STACK_OF(X509) *sent = X509_STORE_CTX_get0_untrusted(store);
    X509 *current = X509_STORE_CTX_get_current_cert(store);
    struct trust_view view = {
        .error = X509_STORE_CTX_get_error(store),
        .depth = X509_STORE_CTX_get_error_depth(store),
        .leaf = X509_STORE_CTX_get0_cert(store),
        .by_system = !t->state.is_server && client_trust_is_default(t->config->client_trust),
        .sent_count = sk_X509_num(sent),
    };
    struct refusal refusal;
    char pin[X509_TEXT_PIN_MAX];
    char name[NAME_TEXT_MAX];

    view.cert = current != NULL ? current : view.leaf;
    view.sent = was_sent(sent, view.cert);
    look_for_namesake(store, &view);
    if (t->state.is_server) {
        print_case(t, hints_find(&view), &view, &refusal);
        x509_text_name(X509_get_subject_name(view.leaf), name, sizeof(name));
        error_set(t->err, TLSMSG_ERR_UNTRUSTED, 0, "cannot verify client '%s': %s%s", name,
                  refusal.reason, refusal.hint);
        return;
    }
    print_expected_name(t, name, sizeof(name));
    view.name = name;
    print_case(t, hints_find(&view), &view, &refusal);
    /* The pin is named so that it can be compared; an option with it, ready to be pasted, would have
     * people trust whoever is in between. */
    x509_text_pin(view.leaf, pin);
    error_set(t->err, TLSMSG_ERR_UNTRUSTED, 0, "cannot verify server '%s': %s; its pin is %s%s",
              name, refusal.reason, pin, refusal.hint);
}

/* The peer is to hear what is wrong with its own certificate alone. TLS has no alert for a list of
 * ours that has ended; the library would say "certificate expired" for it. */
static void choose_alert(X509_STORE_CTX *store)
{
    switch (X509_STORE_CTX_get_error(store)) {
    case X509_V_ERR_CRL_HAS_EXPIRED:
    case X509_V_ERR_CRL_NOT_YET_VALID:
    case X509_V_ERR_UNABLE_TO_GET_CRL:
        X509_STORE_CTX_set_error(store, X509_V_ERR_CRL_PATH_VALIDATION_ERROR);
        break;
    default:
        break;
    }
}

/* The library looks up the leaf alone, in one list of its CA's: asked for more, it would demand a list
 * of every CA in the chain. Whoever a list at hand names is refused all the same. */
static bool has_revoked(const struct transport *t, X509_STORE_CTX *store)
{
    STACK_OF(X509) *chain = X509_STORE_CTX_get0_chain(store);

    for (int i = 0; i < sk_X509_num(chain); i++) {
        if (verify_is_revoked(t->config->crls, sk_X509_value(chain, i))) {
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
    if (X509_verify_cert(store) == 1 && !has_revoked(t, store)) {
        return true;
    }
    if (X509_STORE_CTX_get_error(store) == X509_V_OK) {
        X509_STORE_CTX_set_error(store, X509_V_ERR_UNSPECIFIED);
    }
    refuse(t, store);
    choose_alert(store);
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
    } else if (verify_is_revoked(t->config->crls, leaf)) {
        X509_STORE_CTX_set_error(store, X509_V_ERR_CERT_REVOKED);
        refuse(t, store);
        return false;
    }
    if (client_trust_judge(trust, leaf, &t->key, t->err) != TLSMSG_OK) {
        X509_STORE_CTX_set_error(store, X509_V_ERR_CERT_REJECTED);
        return false;
    }
    return true;
}

static bool verify_client(struct transport *t, X509_STORE_CTX *store)
{
    if (!verify_chain(t, store)) {
        return false;
    }
    if (identity_check(t->config->allowed, X509_STORE_CTX_get0_cert(store), t->err) != TLSMSG_OK) {
        X509_STORE_CTX_set_error(store, X509_V_ERR_CERT_REJECTED);
        return false;
    }
    return true;
}

static int verify_peer(X509_STORE_CTX *store, void *unused)
{
    SSL *ssl = X509_STORE_CTX_get_ex_data(store, SSL_get_ex_data_X509_STORE_CTX_idx());
    struct transport *t = transport_from_ssl(ssl);
    bool trusted = t->state.is_server ? verify_client(t, store) : verify_server(t, store);

    (void)unused;
    if (trusted) {
        /* A pin stands in for the chain: what the library thought of it no longer counts. */
        X509_STORE_CTX_set_error(store, X509_V_OK);
    }
    return trusted;
}

/* One labelled part of the digest; the length keeps neighbours apart. */
static bool digest_part(EVP_MD_CTX *digest, const char *label, const void *bytes, size_t len)
{
    unsigned char size[8];
    size_t i;

    for (i = 0; i < sizeof(size); i++) {
        size[i] = (unsigned char)(len >> (8 * i));
    }
    return EVP_DigestUpdate(digest, label, strlen(label) + 1) == 1 &&
           EVP_DigestUpdate(digest, size, sizeof(size)) == 1 &&
           (len == 0 || EVP_DigestUpdate(digest, bytes, len) == 1);
}

static enum tlsmsg_code add_ca(SSL_CTX *ctx, X509 *cert, const struct file *file, bool announce,
                               struct tlsmsg_error *err)
{
    if (X509_STORE_add_cert(SSL_CTX_get_cert_store(ctx), cert) != 1 ||
        (announce && SSL_CTX_add_client_CA(ctx, cert) != 1)) {
        return tls_error_config(err, TLSMSG_ERR_CONFIG, "cannot use CA file '%s'", file->name);
    }
    return TLSMSG_OK;
}

/* Whoever gives a server's or client's certificate there takes it for its CA's. One that is its own
 * issuer is meant. */
static void look_for_cas(STACK_OF(X509) *certs, const struct file *file, struct load_report *report)
{
    for (int i = 0; i < sk_X509_num(certs); i++) {
        X509 *cert = sk_X509_value(certs, i);

        if (X509_check_ca(cert) != 0 ||
            X509_NAME_cmp(X509_get_subject_name(cert), X509_get_issuer_name(cert)) == 0) {
            return;
        }
    }
    if (sk_X509_num(certs) > 0) {
        load_report_warn(
            report,
            "'%s' holds no CA: only who has one of these very certificates gets in; try: "
            "the certificate of the CA that issues them",
            file->name);
    }
}

/* A server also tells clients which CAs their certificate may come from. */
static enum tlsmsg_code add_ca_file(SSL_CTX *ctx, const struct tls_settings *settings,
                                    EVP_MD_CTX *digest, struct load_report *report,
                                    struct tlsmsg_error *err)
{
    const char *path = settings->is_server ? settings->client_ca : settings->ca;
    STACK_OF(X509) *certs = sk_X509_new_null();
    struct file file;
    enum tlsmsg_code code;
    int i;

    if (certs == NULL) {
        return error_set(err, TLSMSG_ERR_NOMEM, 0, "out of memory");
    }
    code = load_file(&file, path, settings, "CA file", tools()->makes_cert, err);
    if (code != TLSMSG_OK) {
        sk_X509_free(certs);
        return code;
    }
    code = load_certificates(&file, "CA file", certs, err);
    if (settings->is_server) {
        look_for_cas(certs, &file, report);
    }
    for (i = 0; code == TLSMSG_OK && i < sk_X509_num(certs); i++) {
        X509 *cert = sk_X509_value(certs, i);

        code = add_ca(ctx, cert, &file, settings->is_server, err);
        load_report_add(report, LOADED_CA, &file, X509_get_subject_name(cert),
                        X509_get_issuer_name(cert), X509_get0_notBefore(cert),
                        X509_get0_notAfter(cert));
    }
    if (code == TLSMSG_OK && !digest_part(digest, "ca", file.bytes, file.len)) {
        code = tls_error_config(err, TLSMSG_ERR_NOMEM, "cannot digest '%s'", file.name);
    }
    sk_X509_pop_free(certs, X509_free);
    file_fini(&file);
    return code;
}

/* A CA file is a decision: what it holds is trusted, be it a root, an issuer or the leaf itself. */
static void trust_what_is_given(SSL_CTX *ctx)
{
    X509_VERIFY_PARAM_set_flags(SSL_CTX_get0_param(ctx), X509_V_FLAG_PARTIAL_CHAIN);
}

static enum tlsmsg_code load_client_trust(SSL_CTX *ctx, const struct tls_settings *settings,
                                          EVP_MD_CTX *digest, struct load_report *report,
                                          struct tlsmsg_error *err)
{
    SSL_CTX_set_verify(ctx, SSL_VERIFY_PEER, NULL);
    if (settings->ca != NULL) {
        trust_what_is_given(ctx);
        return add_ca_file(ctx, settings, digest, report, err);
    }
    if (SSL_CTX_set_default_verify_paths(ctx) != 1) {
        return tls_error_config(err, TLSMSG_ERR_CONFIG, "cannot use the system's trust store");
    }
    return TLSMSG_OK;
}

static enum tlsmsg_code load_server_trust(SSL_CTX *ctx, const struct tls_settings *settings,
                                          EVP_MD_CTX *digest, struct load_report *report,
                                          struct tlsmsg_error *err)
{
    if (settings->client_ca == NULL) {
        SSL_CTX_set_verify(ctx, SSL_VERIFY_NONE, NULL);
        return TLSMSG_OK;
    }
    SSL_CTX_set_verify(ctx, SSL_VERIFY_PEER | SSL_VERIFY_FAIL_IF_NO_PEER_CERT, NULL);
    trust_what_is_given(ctx);
    return add_ca_file(ctx, settings, digest, report, err);
}

static enum tlsmsg_code load_trust(SSL_CTX *ctx, const struct tls_settings *settings,
                                   EVP_MD_CTX *digest, struct load_report *report,
                                   struct tlsmsg_error *err)
{
    bool is_server = settings->is_server;
    unsigned char context[EVP_MAX_MD_SIZE];
    unsigned int context_len = 0;
    enum tlsmsg_code code;

    if (EVP_DigestInit_ex(digest, EVP_sha256(), NULL) != 1 ||
        !digest_part(digest, is_server ? "server" : "client", NULL, 0)) {
        return tls_error_config(err, TLSMSG_ERR_NOMEM, "cannot digest the trust configuration");
    }
    code = is_server ? load_server_trust(ctx, settings, digest, report, err)
                     : load_client_trust(ctx, settings, digest, report, err);
    if (code != TLSMSG_OK) {
        return code;
    }
    if (EVP_DigestFinal_ex(digest, context, &context_len) != 1 ||
        SSL_CTX_set_session_id_context(ctx, context, context_len) != 1) {
        return tls_error_config(err, TLSMSG_ERR_CONFIG, "cannot set the session id context");
    }
    SSL_CTX_set_cert_verify_callback(ctx, verify_peer, NULL);
    return TLSMSG_OK;
}

enum tlsmsg_code verify_load_cas(SSL_CTX *ctx, const struct tls_settings *settings,
                                 struct load_report *report, struct tlsmsg_error *err)
{
    EVP_MD_CTX *digest = EVP_MD_CTX_new();
    enum tlsmsg_code code;

    if (digest == NULL) {
        return error_set(err, TLSMSG_ERR_NOMEM, 0, "out of memory");
    }
    tls_error_begin();
    code = load_trust(ctx, settings, digest, report, err);
    EVP_MD_CTX_free(digest);
    return code;
}

enum tlsmsg_code verify_expect(SSL *ssl, const struct server_name *name, struct tlsmsg_error *err)
{
    X509_VERIFY_PARAM *param = SSL_get0_param(ssl);
    bool set;

    /* Names stand in subjectAltName; a CN is for people (RFC 9525 section 2). */
    X509_VERIFY_PARAM_set_hostflags(param, X509_CHECK_FLAG_NO_PARTIAL_WILDCARDS |
                                               X509_CHECK_FLAG_NEVER_CHECK_SUBJECT);
    if (name->is_literal) {
        set = X509_VERIFY_PARAM_set1_ip_asc(param, name->text) == 1;
    } else {
        set = X509_VERIFY_PARAM_set1_host(param, name->text, 0) == 1 &&
              SSL_set_tlsext_host_name(ssl, name->text) == 1;
    }
    if (!set) {
        return tls_error_config(err, TLSMSG_ERR_CONFIG, "cannot ask for server '%s'", name->text);
    }
    return TLSMSG_OK;
}
