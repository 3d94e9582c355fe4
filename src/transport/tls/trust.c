/* Trust of a context: CAs, verification flags, and the session id context.
 *
 * A resumed session skips all checks of certificates, so a session must only
 * be resumed under the same trust: the session id context is a digest of
 * whatever decides about peers (RFC 5077 section 5.8; SSL_CTX_set_session_id_context(3)).
 * It holds no certificate of our own and no number that counts reloads, so
 * that servers with the same trust can share tickets. */
#include "transport/tls/trust.h"

#include <string.h>

#include <openssl/evp.h>
#include <openssl/x509v3.h>

#include "base/error.h"
#include "transport/tls/pem_file.h"
#include "transport/tls/tls_error.h"
#include "transport/tls/verify.h"

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

static enum tlsmsg_code add_ca(SSL_CTX *ctx, X509 *cert, const struct pem_file *file, bool announce,
                               struct tlsmsg_error *err)
{
    if (X509_STORE_add_cert(SSL_CTX_get_cert_store(ctx), cert) != 1 ||
        (announce && SSL_CTX_add_client_CA(ctx, cert) != 1)) {
        return tls_error_config(err, TLSMSG_ERR_CONFIG, "cannot use CA file '%s'", file->name);
    }
    return TLSMSG_OK;
}

/* announce: tell clients which CAs their certificate may come from. */
static enum tlsmsg_code add_ca_file(SSL_CTX *ctx, const char *path, bool announce,
                                    EVP_MD_CTX *digest, struct tlsmsg_error *err)
{
    STACK_OF(X509) *certs = sk_X509_new_null();
    struct pem_file file;
    enum tlsmsg_code code;
    int i;

    if (certs == NULL) {
        return error_set(err, TLSMSG_ERR_NOMEM, 0, "out of memory");
    }
    code = pem_file_read(&file, path, "CA file", "scripts/gen-certs.sh makes one", err);
    if (code != TLSMSG_OK) {
        sk_X509_free(certs);
        return code;
    }
    code = pem_file_certificates(&file, "CA file", certs, err);
    for (i = 0; code == TLSMSG_OK && i < sk_X509_num(certs); i++) {
        code = add_ca(ctx, sk_X509_value(certs, i), &file, announce, err);
    }
    if (code == TLSMSG_OK && !digest_part(digest, "ca", file.bytes, file.len)) {
        code = tls_error_config(err, TLSMSG_ERR_NOMEM, "cannot digest '%s'", file.name);
    }
    sk_X509_pop_free(certs, X509_free);
    pem_file_fini(&file);
    return code;
}

/* A CA file is a decision: what it holds is trusted, be it a root, an issuer or the leaf itself. */
static void trust_what_is_given(SSL_CTX *ctx)
{
    X509_VERIFY_PARAM_set_flags(SSL_CTX_get0_param(ctx), X509_V_FLAG_PARTIAL_CHAIN);
}

static enum tlsmsg_code load_client_trust(SSL_CTX *ctx, const struct tls_settings *settings,
                                          EVP_MD_CTX *digest, struct tlsmsg_error *err)
{
    const char *path = settings->ca;

    SSL_CTX_set_verify(ctx, SSL_VERIFY_PEER, NULL);
    if (path != NULL) {
        trust_what_is_given(ctx);
        return add_ca_file(ctx, path, false, digest, err);
    }
    if (SSL_CTX_set_default_verify_paths(ctx) != 1) {
        return tls_error_config(err, TLSMSG_ERR_CONFIG, "cannot use the system's trust store");
    }
    return TLSMSG_OK;
}

static enum tlsmsg_code load_server_trust(SSL_CTX *ctx, const struct tls_settings *settings,
                                          EVP_MD_CTX *digest, struct tlsmsg_error *err)
{
    const char *path = settings->client_ca;

    if (path == NULL) {
        SSL_CTX_set_verify(ctx, SSL_VERIFY_NONE, NULL);
        return TLSMSG_OK;
    }
    SSL_CTX_set_verify(ctx, SSL_VERIFY_PEER | SSL_VERIFY_FAIL_IF_NO_PEER_CERT, NULL);
    trust_what_is_given(ctx);
    return add_ca_file(ctx, path, true, digest, err);
}

static enum tlsmsg_code load(SSL_CTX *ctx, const struct tls_settings *settings, EVP_MD_CTX *digest,
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
    code = is_server ? load_server_trust(ctx, settings, digest, err)
                     : load_client_trust(ctx, settings, digest, err);
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

enum tlsmsg_code trust_load(SSL_CTX *ctx, const struct tls_settings *settings,
                            struct tlsmsg_error *err)
{
    EVP_MD_CTX *digest = EVP_MD_CTX_new();
    enum tlsmsg_code code;

    if (digest == NULL) {
        return error_set(err, TLSMSG_ERR_NOMEM, 0, "out of memory");
    }
    tls_error_begin();
    code = load(ctx, settings, digest, err);
    EVP_MD_CTX_free(digest);
    return code;
}

enum tlsmsg_code trust_expect(SSL *ssl, const struct peer_name *name, struct tlsmsg_error *err)
{
    X509_VERIFY_PARAM *param = SSL_get0_param(ssl);
    bool set;

    tls_error_begin();
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
