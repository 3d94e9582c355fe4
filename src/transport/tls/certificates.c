/* Own certificates: from the files that --cert and --key name into a context.
 *
 * Everything a peer would stumble over later is looked for here, so that a
 * bad file ends the start and not the first handshake: a key of another
 * certificate, a chain out of its dates, a key too weak for the policy. */
#include "transport/tls/certificates.h"

#include <openssl/err.h>
#include <openssl/x509.h>

#include "base/error.h"
#include "transport/tls/own_key.h"
#include "transport/tls/pem_file.h"
#include "transport/tls/tls_error.h"
#include "transport/tls/x509_text.h"

#define MAKES_ONE "scripts/gen-certs.sh makes one"

static enum tlsmsg_code check_dates(const struct pem_file *file, STACK_OF(X509) * chain,
                                    struct tlsmsg_error *err)
{
    char date[X509_TEXT_DATE_MAX];
    int i;

    for (i = 0; i < sk_X509_num(chain); i++) {
        X509 *cert = sk_X509_value(chain, i);
        const char *which = i == 0 ? "" : " (an issuer's, further down in the file)";

        if (X509_cmp_current_time(X509_get0_notAfter(cert)) < 0) {
            x509_text_date(X509_get0_notAfter(cert), date);
            return error_set(err, TLSMSG_ERR_CONFIG, 0,
                             "certificate '%s' expired on %s%s (scripts/gen-certs.sh renews one)",
                             file->name, date, which);
        }
        if (X509_cmp_current_time(X509_get0_notBefore(cert)) > 0) {
            x509_text_date(X509_get0_notBefore(cert), date);
            return error_set(err, TLSMSG_ERR_CONFIG, 0,
                             "certificate '%s' is not valid before %s%s (is this clock right?)",
                             file->name, date, which);
        }
    }
    return TLSMSG_OK;
}

/* Takes over the issuers below the leaf. */
static enum tlsmsg_code use_chain(SSL_CTX *ctx, const struct pem_file *file, STACK_OF(X509) * chain,
                                  struct tlsmsg_error *err)
{
    int i;

    if (SSL_CTX_use_certificate(ctx, sk_X509_value(chain, 0)) != 1) {
        return tls_error_config(err, TLSMSG_ERR_CONFIG, "cannot use certificate '%s'", file->name);
    }
    for (i = 1; i < sk_X509_num(chain); i++) {
        if (SSL_CTX_add1_chain_cert(ctx, sk_X509_value(chain, i)) != 1) {
            return tls_error_config(err, TLSMSG_ERR_CONFIG, "cannot use certificate %d of '%s'",
                                    i + 1, file->name);
        }
    }
    return TLSMSG_OK;
}

static enum tlsmsg_code use_key(SSL_CTX *ctx, const struct pem_file *cert_file, X509 *leaf,
                                const struct pem_file *key_file,
                                const struct tlsmsg_options *options, struct tlsmsg_error *err)
{
    EVP_PKEY *key = NULL;
    enum tlsmsg_code code = own_key_read(key_file, options, &key, err);

    if (code != TLSMSG_OK) {
        return code;
    }
    tls_error_begin();
    if (X509_check_private_key(leaf, key) != 1) {
        (void)tls_error_take_reason(0);
        code = error_set(err, TLSMSG_ERR_CONFIG, 0, "key '%s' does not belong to certificate '%s'",
                         key_file->name, cert_file->name);
    } else if (SSL_CTX_use_PrivateKey(ctx, key) != 1) {
        code = tls_error_config(err, TLSMSG_ERR_CONFIG, "cannot use key '%s'", key_file->name);
    }
    EVP_PKEY_free(key);
    return code;
}

static enum tlsmsg_code load_key(SSL_CTX *ctx, const struct pem_file *cert_file, X509 *leaf,
                                 const char *key_path, const struct tlsmsg_options *options,
                                 struct tlsmsg_error *err)
{
    struct pem_file key_file;
    enum tlsmsg_code code;

    if (key_path == NULL) {
        return use_key(ctx, cert_file, leaf, cert_file, options, err);
    }
    code = pem_file_read(&key_file, key_path, "key", MAKES_ONE, err);
    if (code == TLSMSG_OK) {
        code = use_key(ctx, cert_file, leaf, &key_file, options, err);
        pem_file_fini(&key_file);
    }
    return code;
}

static enum tlsmsg_code load_pair(SSL_CTX *ctx, const struct pem_file *file, const char *key_path,
                                  const struct tlsmsg_options *options, struct tlsmsg_error *err)
{
    STACK_OF(X509) *chain = sk_X509_new_null();
    enum tlsmsg_code code;

    if (chain == NULL) {
        return error_set(err, TLSMSG_ERR_NOMEM, 0, "out of memory");
    }
    code = pem_file_certificates(file, "certificate", chain, err);
    if (code == TLSMSG_OK) {
        code = check_dates(file, chain, err);
    }
    if (code == TLSMSG_OK) {
        code = use_chain(ctx, file, chain, err);
    }
    if (code == TLSMSG_OK) {
        code = load_key(ctx, file, sk_X509_value(chain, 0), key_path, options, err);
    }
    sk_X509_pop_free(chain, X509_free);
    return code;
}

enum tlsmsg_code certificates_load(SSL_CTX *ctx, const struct tlsmsg_options *options,
                                   struct tlsmsg_error *err)
{
    size_t count = options_count(options, TLSMSG_CERT);
    struct pem_file file;
    enum tlsmsg_code code;
    size_t i;

    if (count == 0 && options_role(options) == TLSMSG_SERVER) {
        return error_set(err, TLSMSG_ERR_CONFIG, 0,
                         "a TLS server needs --cert FILE and --key FILE "
                         "(scripts/gen-certs.sh makes them)");
    }
    for (i = 0; i < count; i++) {
        code = pem_file_read(&file, options_text(options, TLSMSG_CERT, i), "certificate", MAKES_ONE,
                             err);
        if (code != TLSMSG_OK) {
            return code;
        }
        code = load_pair(ctx, &file, options_text(options, TLSMSG_KEY, i), options, err);
        pem_file_fini(&file);
        if (code != TLSMSG_OK) {
            return code;
        }
    }
    return TLSMSG_OK;
}
