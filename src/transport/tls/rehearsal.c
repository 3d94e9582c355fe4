/* See rehearsal.h. Contexts of its own, since those of a configuration call back for connections. */
#include "transport/tls/rehearsal.h"

#include <arpa/inet.h>
#include <stdbool.h>
#include <string.h>

#include <openssl/x509v3.h>

#include "base/error.h"
#include "transport/tls/errors.h"
#include "transport/tls/policy.h"
#include "transport/tls/x509_text.h"

#define ISSUER_NAME_MAX 96
#define STEPS_MAX 64 /* a handshake takes five or six */
/* The list of CAs and all else in a request must fit into 2^16 - 1 bytes. */
#define REQUEST_NAMES_MAX (65535 - 2048)

/* ---- what the certificate says of itself */

static enum tlsmsg_code check_purpose(const struct rehearsed *own, struct tlsmsg_error *err)
{
    uint32_t usage;
    uint32_t extended;

    tls_error_begin();
    if (X509_check_purpose(own->leaf, -1, 0) != 1) {
        return tls_error_blame(err, "certificate '%s' has extensions that can't be read",
                               own->file->name);
    }
    usage = X509_get_key_usage(own->leaf);
    extended = X509_get_extended_key_usage(own->leaf);
    if (extended != UINT32_MAX && (extended & (XKU_SSL_SERVER | XKU_ANYEKU)) == 0) {
        return tls_error_blame(err,
                               "certificate '%s' is not for servers (extended key usage: %s): "
                               "every client refuses it; try: one with serverAuth",
                               own->file->name,
                               (extended & XKU_SSL_CLIENT) != 0 ? "clientAuth alone"
                                                                : "no serverAuth");
    }
    if (usage != UINT32_MAX && (usage & KU_DIGITAL_SIGNATURE) == 0) {
        return tls_error_blame(err,
                               "certificate '%s' is not for signing (its key usage lacks "
                               "digitalSignature), which every handshake needs; try: one with it",
                               own->file->name);
    }
    return TLSMSG_OK;
}

static bool is_address(const ASN1_STRING *name)
{
    const char *text = (const char *)ASN1_STRING_get0_data(name);
    unsigned char address[16];

    /* The library keeps a NUL behind the bytes. */
    return inet_pton(AF_INET, text, address) == 1 || inet_pton(AF_INET6, text, address) == 1;
}

static void look_at_names(const struct rehearsed *own, struct load_report *report)
{
    GENERAL_NAMES *names = X509_get_ext_d2i(own->leaf, NID_subject_alt_name, NULL, NULL);
    bool usable = false;
    bool address = false;

    for (int i = 0; i < sk_GENERAL_NAME_num(names); i++) {
        int type;
        const ASN1_STRING *value = GENERAL_NAME_get0_value(sk_GENERAL_NAME_value(names, i), &type);

        if (type == GEN_DNS && is_address(value)) {
            address = true;
        } else if (type == GEN_DNS || type == GEN_IPADD) {
            usable = true;
        }
    }
    GENERAL_NAMES_free(names);
    if (address) {
        load_report_warn(
            report,
            "certificate '%s' has an address as a DNS name, which matches no client's; "
            "try: IP:ADDRESS in its subjectAltName",
            own->file->name);
    } else if (!usable) {
        load_report_warn(report,
                         "certificate '%s' has no name that a client could match (a CN does not "
                         "count); try: one with DNS names or addresses in its subjectAltName",
                         own->file->name);
    }
}

/* ---- the chain */

/* The place of a certificate's issuer among others; -1: it is not there. */
static int find_issuer(STACK_OF(X509) *certs, X509 *cert)
{
    for (int i = 0; i < sk_X509_num(certs); i++) {
        X509 *one = sk_X509_value(certs, i);

        if (one != cert && X509_check_issued(one, cert) == X509_V_OK) {
            return i;
        }
    }
    return -1;
}

static bool is_self_issued(X509 *cert)
{
    return X509_NAME_cmp(X509_get_subject_name(cert), X509_get_issuer_name(cert)) == 0;
}

/* The certificate says where its issuer's can be fetched, as those of public CAs do: then that one
 * is not a root that clients have. */
static bool says_where_issuer_is(const X509 *cert)
{
    AUTHORITY_INFO_ACCESS *access = X509_get_ext_d2i(cert, NID_info_access, NULL, NULL);
    bool found = false;

    for (int i = 0; i < sk_ACCESS_DESCRIPTION_num(access); i++) {
        found |= OBJ_obj2nid(sk_ACCESS_DESCRIPTION_value(access, i)->method) == NID_ad_ca_issuers;
    }
    AUTHORITY_INFO_ACCESS_free(access);
    return found;
}

/* The chain ends as it should. Most clients sort what they get; some don't, and TLS 1.2 asks for the
 * order (RFC 5246 section 7.4.2). */
static void look_at_rest(const struct rehearsed *own, int used, bool in_order,
                         struct load_report *report)
{
    int more = sk_X509_num(own->issuers) - used;

    if (more > 0) {
        load_report_warn(report, "'%s' holds %d certificate%s not of the chain; try: without",
                         own->file->name, more, more == 1 ? " that is" : "s that are");
    } else if (!in_order) {
        load_report_warn(report,
                         "'%s' has its certificates out of order; try: the server's certificate, "
                         "then each one's issuer",
                         own->file->name);
    }
}

/* Goes up from the leaf. What is in the file and not on that way is of no use to a client. */
static void look_at_chain(const struct rehearsed *own, bool checks, struct load_report *report)
{
    char name[ISSUER_NAME_MAX];
    X509 *top = own->leaf;
    bool in_order = true;
    int used = 0;
    int at;

    while (used < sk_X509_num(own->issuers) && !is_self_issued(top) &&
           (at = find_issuer(own->issuers, top)) >= 0) {
        top = sk_X509_value(own->issuers, at);
        in_order &= at == used;
        used++;
    }
    tls_error_begin();
    x509_text_name(X509_get_issuer_name(top), name, sizeof(name));
    if (!is_self_issued(top) && used < sk_X509_num(own->issuers)) {
        load_report_warn(report,
                         "'%s' lacks the certificate of '%s' between others of the chain; try: the "
                         "server's certificate, then each one's issuer",
                         own->file->name, name);
    } else if (used == 0 && says_where_issuer_is(own->leaf)) {
        load_report_warn(
            report,
            "'%s' lacks the certificate of its issuer '%s', without which most clients "
            "refuse it; try: the CA's full chain",
            own->file->name, name);
    } else if (used == 0 && checks && !is_self_issued(own->leaf)) {
        load_report_warn(
            report,
            "'%s' does not hold the certificate of its issuer '%s', so clients need it "
            "among their CAs; try: append it, unless it is a root that they have",
            own->file->name, name);
    } else {
        look_at_rest(own, used, in_order, report);
    }
}

/* ---- a handshake */

static int accept_any(X509_STORE_CTX *store, void *unused)
{
    (void)store;
    (void)unused;
    return 1;
}

static SSL *new_end(SSL_CTX *ctx, int version, BIO *bio)
{
    SSL *ssl = SSL_new(ctx);

    if (ssl == NULL || SSL_set_min_proto_version(ssl, version) != 1 ||
        SSL_set_max_proto_version(ssl, version) != 1 || BIO_up_ref(bio) != 1) {
        SSL_free(ssl);
        return NULL;
    }
    SSL_set_bio(ssl, bio, bio);
    return ssl;
}

/* One step of an end. False where it failed for good. */
static bool step(SSL *ssl, bool *done)
{
    int result;

    if (*done) {
        return true;
    }
    tls_error_begin();
    result = SSL_do_handshake(ssl);
    *done = result == 1;
    return *done || SSL_get_error(ssl, result) == SSL_ERROR_WANT_READ;
}

static bool shake_hands(SSL *server, SSL *client)
{
    bool server_done = false;
    bool client_done = false;

    SSL_set_accept_state(server);
    SSL_set_connect_state(client);
    for (int i = 0; i < STEPS_MAX && !(server_done && client_done); i++) {
        if (!step(client, &client_done) || !step(server, &server_done)) {
            return false;
        }
    }
    return server_done && client_done;
}

/* A handshake in one version between two contexts. */
static bool works(SSL_CTX *server_ctx, SSL_CTX *client_ctx, int version)
{
    BIO *ends[2] = {NULL, NULL};
    SSL *server = NULL;
    SSL *client = NULL;
    bool worked = false;

    if (BIO_new_bio_pair(&ends[0], 0, &ends[1], 0) == 1) {
        server = new_end(server_ctx, version, ends[0]);
        client = new_end(client_ctx, version, ends[1]);
        worked = server != NULL && client != NULL && shake_hands(server, client);
    }
    SSL_free(server);
    SSL_free(client);
    BIO_free(ends[0]);
    BIO_free(ends[1]);
    return worked;
}

/* TLS 1.3 has code points for others since RFC 8734, and a library that knows them would shake hands
 * with itself; nearly all clients don't. */
static bool is_curve_of_clients(const X509 *leaf)
{
    const EVP_PKEY *key = X509_get0_pubkey(leaf);
    const char *curve = x509_text_key(leaf);
    bool is_ec = key != NULL && EVP_PKEY_get_base_id(key) == EVP_PKEY_EC;

    return !is_ec || strcmp(curve, SN_X9_62_prime256v1) == 0 || strcmp(curve, SN_secp384r1) == 0 ||
           strcmp(curve, SN_secp521r1) == 0;
}

static enum tlsmsg_code judge(const struct rehearsed *own, const struct tls_settings *settings,
                              SSL_CTX *server, SSL_CTX *client, struct load_report *report,
                              struct tlsmsg_error *err)
{
    bool new_works = is_curve_of_clients(own->leaf) && works(server, client, TLS1_3_VERSION);
    bool old_works =
        settings->tls_min != 13 && SSL_CTX_get_min_proto_version(server) < TLS1_3_VERSION
            ? works(server, client, TLS1_2_VERSION)
            : new_works;

    if (!new_works && !old_works) {
        return tls_error_blame(err,
                               "certificate '%s': no client can use its key (%s) under this TLS "
                               "policy; try: ECDSA with P-256, or RSA with 2048 bits or more",
                               own->file->name, x509_text_key(own->leaf));
    }
    tls_error_begin();
    if (!new_works || !old_works) {
        load_report_warn(report, "certificate '%s': clients with %s can't use its key (%s)",
                         own->file->name, new_works ? "TLS 1.2 alone" : "TLS 1.3",
                         x509_text_key(own->leaf));
    }
    return TLSMSG_OK;
}

static enum tlsmsg_code try_key(const struct rehearsed *own, const struct tls_settings *settings,
                                struct load_report *report, struct tlsmsg_error *err)
{
    struct tls_settings as_client = *settings;
    SSL_CTX *server = NULL;
    SSL_CTX *client = NULL;
    enum tlsmsg_code code = policy_context_new(settings, &server, err);

    as_client.is_server = false;
    if (code == TLSMSG_OK) {
        code = policy_context_new(&as_client, &client, err);
    }
    if (code == TLSMSG_OK) {
        SSL_CTX_set_cert_verify_callback(client, accept_any, NULL);
        SSL_CTX_set_verify(client, SSL_VERIFY_PEER, NULL);
        tls_error_begin();
        code = SSL_CTX_use_cert_and_key(server, own->leaf, own->key, own->issuers, 1) == 1
                   ? judge(own, settings, server, client, report, err)
                   : tls_error_config(err, TLSMSG_ERR_CONFIG,
                                      "cannot use certificate '%s' and its key", own->file->name);
    }
    SSL_CTX_free(server);
    SSL_CTX_free(client);
    return code;
}

enum tlsmsg_code rehearse_certificate(const struct rehearsed *own,
                                      const struct tls_settings *settings,
                                      struct load_report *report, struct tlsmsg_error *err)
{
    enum tlsmsg_code code = check_purpose(own, err);

    if (code == TLSMSG_OK) {
        code = try_key(own, settings, report, err);
    }
    if (code == TLSMSG_OK) {
        look_at_names(own, report);
        look_at_chain(own, settings->checks, report);
    }
    return code;
}

void rehearse_request(SSL_CTX *ctx, struct load_report *report)
{
    const STACK_OF(X509_NAME) *names = SSL_CTX_get_client_CA_list(ctx);
    size_t total = 0;

    for (int i = 0; i < sk_X509_NAME_num(names); i++) {
        int len = i2d_X509_NAME(sk_X509_NAME_value(names, i), NULL);

        total += 2 + (len > 0 ? (size_t)len : 0);
    }
    if (total > REQUEST_NAMES_MAX) {
        load_report_warn(report,
                         "the names of the %d CAs of --client-ca don't fit into a certificate "
                         "request: clients are told none, and choose by themselves",
                         sk_X509_NAME_num(names));
        SSL_CTX_set_client_CA_list(ctx, sk_X509_NAME_new_null());
    }
}
