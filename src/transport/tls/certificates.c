/* Own certificates: from the files that --cert and --key name into a context.
 *
 * Everything a peer would stumble over later is looked for here, so that a
 * bad file ends the start and not the first handshake: a key of another
 * certificate, a chain out of its dates, a key too weak for the policy. */
#include "transport/tls/certificates.h"

#include <openssl/err.h>
#include <openssl/x509.h>

#include "base/error.h"
#include "transport/tls/name_choice.h"
#include "transport/tls/own_key.h"
#include "transport/tls/pem_file.h"
#include "transport/tls/tls_error.h"
#include "transport/tls/x509_text.h"

#define MAKES_ONE "scripts/gen-certs.sh makes one"

static enum tlsmsg_code check_dates(const struct pem_file *file, STACK_OF(X509) *chain,
                                    struct tlsmsg_error *err)
{
    char date[X509_TEXT_DATE_MAX];
    int i;

    tls_error_begin();
    for (i = 0; i < sk_X509_num(chain); i++) {
        X509 *cert = sk_X509_value(chain, i);
        const char *which = i == 0 ? "" : " (an issuer's, further down in the file)";

        if (X509_cmp_current_time(X509_get0_notAfter(cert)) <= 0) {
            x509_text_date(X509_get0_notAfter(cert), date);
            return tls_error_blame(
                err, "certificate '%s' expired on %s%s (scripts/gen-certs.sh renews one)",
                file->name, date, which);
        }
        if (X509_cmp_current_time(X509_get0_notBefore(cert)) >= 0) {
            x509_text_date(X509_get0_notBefore(cert), date);
            return tls_error_blame(
                err, "certificate '%s' is not valid before %s%s (is this clock right?)", file->name,
                date, which);
        }
    }
    return TLSMSG_OK;
}

static enum tlsmsg_code take_key(struct certificate *pair, const struct pem_file *cert_file,
                                 const struct pem_file *key_file,
                                 const struct tls_settings *settings, struct tlsmsg_error *err)
{
    enum tlsmsg_code code = own_key_read(key_file, settings, &pair->key, err);

    if (code != TLSMSG_OK) {
        return code;
    }
    tls_error_begin();
    if (X509_check_private_key(pair->leaf, pair->key) != 1) {
        return tls_error_blame(err, "key '%s' does not belong to certificate '%s'", key_file->name,
                               cert_file->name);
    }
    return TLSMSG_OK;
}

static enum tlsmsg_code read_key(struct certificate *pair, const struct pem_file *cert_file,
                                 const char *key_path, const struct tls_settings *settings,
                                 struct tlsmsg_error *err)
{
    struct pem_file key_file;
    enum tlsmsg_code code;

    if (key_path == NULL) {
        return take_key(pair, cert_file, cert_file, settings, err);
    }
    code = pem_file_read(&key_file, key_path, "key", MAKES_ONE, err);
    if (code == TLSMSG_OK) {
        code = take_key(pair, cert_file, &key_file, settings, err);
        pem_file_fini(&key_file);
    }
    return code;
}

static enum tlsmsg_code read_pair(struct certificate *pair, const struct pem_file *file,
                                  const char *key_path, const struct tls_settings *settings,
                                  struct tlsmsg_error *err)
{
    enum tlsmsg_code code;

    pair->issuers = sk_X509_new_null();
    if (pair->issuers == NULL) {
        return error_set(err, TLSMSG_ERR_NOMEM, 0, "out of memory");
    }
    code = pem_file_certificates(file, "certificate", pair->issuers, err);
    if (code == TLSMSG_OK) {
        code = check_dates(file, pair->issuers, err);
    }
    if (code == TLSMSG_OK) {
        pair->leaf = sk_X509_shift(pair->issuers);
        code = read_key(pair, file, key_path, settings, err);
    }
    return code;
}

/* A context holds one certificate for each kind of key: the first given of a kind is the one for
 * clients that name no server, or one that no certificate is for. */
static enum tlsmsg_code use_pair(SSL_CTX *ctx, const struct certificate *pair,
                                 const struct pem_file *file, struct tlsmsg_error *err)
{
    int kind = EVP_PKEY_get_base_id(pair->key);
    long more = SSL_CTX_set_current_cert(ctx, SSL_CERT_SET_FIRST);

    while (more == 1) {
        EVP_PKEY *used = SSL_CTX_get0_privatekey(ctx);

        if (used != NULL && EVP_PKEY_get_base_id(used) == kind) {
            return TLSMSG_OK;
        }
        more = SSL_CTX_set_current_cert(ctx, SSL_CERT_SET_NEXT);
    }
    tls_error_begin();
    if (SSL_CTX_use_cert_and_key(ctx, pair->leaf, pair->key, pair->issuers, 1) != 1) {
        return tls_error_config(err, TLSMSG_ERR_CONFIG, "cannot use certificate '%s' and its key",
                                file->name);
    }
    return TLSMSG_OK;
}

enum tlsmsg_code certificates_load(SSL_CTX *ctx, const struct tls_settings *settings,
                                   struct tlsmsg_error *err)
{
    size_t count = settings->certs.count;
    struct pem_file file;
    enum tlsmsg_code code;
    size_t i;

    if (count == 0 && settings->is_server) {
        return error_set(err, TLSMSG_ERR_CONFIG, 0,
                         "a TLS server needs --cert FILE and --key FILE "
                         "(scripts/gen-certs.sh makes them)");
    }
    if (count == 0 && (settings->keys.count > 0 || settings->key_password_file != NULL)) {
        return error_set(err, TLSMSG_ERR_CONFIG, 0,
                         "--key and --key-password-file need --cert FILE");
    }
    for (i = 0; i < count; i++) {
        struct certificate pair = {0};

        code =
            pem_file_read(&file, text_list_at(&settings->certs, i), "certificate", MAKES_ONE, err);
        if (code != TLSMSG_OK) {
            return code;
        }
        code = read_pair(&pair, &file, text_list_at(&settings->keys, i), settings, err);
        if (code == TLSMSG_OK) {
            code = use_pair(ctx, &pair, &file, err);
        }
        if (code == TLSMSG_OK && count > 1 && settings->is_server) {
            code = name_choice_add(ctx, &pair, err);
        }
        certificate_fini(&pair);
        pem_file_fini(&file);
        if (code != TLSMSG_OK) {
            return code;
        }
    }
    return TLSMSG_OK;
}
