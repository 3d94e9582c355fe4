/* Reading revocation lists and asking them. Immutable once loaded; any thread may ask. */
#include "transport/tls/revocation.h"

#include <openssl/err.h>
#include <openssl/pem.h>

#include "base/error.h"
#include "transport/tls/pem_file.h"
#include "transport/tls/tls_error.h"
#include "transport/tls/x509_text.h"

#define MAKES_ONE "scripts/gen-certs.sh crl makes one"

/* A list past its date would refuse everybody; better to hear of it now. */
static enum tlsmsg_code check_date(const struct pem_file *file, const X509_CRL *list,
                                   struct tlsmsg_error *err)
{
    const ASN1_TIME *next = X509_CRL_get0_nextUpdate(list);
    char date[X509_TEXT_DATE_MAX];

    if (next == NULL || X509_cmp_current_time(next) > 0) {
        return TLSMSG_OK;
    }
    x509_text_date(next, date);
    return tls_error_blame(err, "revocation list '%s' ended on %s (" MAKES_ONE ")", file->name,
                           date);
}

static enum tlsmsg_code read_lists(const struct pem_file *file, STACK_OF(X509_CRL) *out,
                                   struct tlsmsg_error *err)
{
    enum tlsmsg_code code = TLSMSG_OK;
    BIO *bio = pem_file_bio(file);
    X509_CRL *list;

    tls_error_begin();
    while (code == TLSMSG_OK && bio != NULL &&
           (list = PEM_read_bio_X509_CRL(bio, NULL, NULL, NULL)) != NULL) {
        code = check_date(file, list, err);
        if (code == TLSMSG_OK && sk_X509_CRL_push(out, list) > 0) {
            continue;
        }
        X509_CRL_free(list);
    }
    BIO_free(bio);
    if (code != TLSMSG_OK) {
        return code;
    }
    if (tls_error_reason(ERR_LIB_PEM) != PEM_R_NO_START_LINE || sk_X509_CRL_num(out) == 0) {
        return tls_error_blame(
            err, "'%s' holds no revocation list in PEM form, or a damaged one (" MAKES_ONE ")",
            file->name);
    }
    tls_error_begin();
    return TLSMSG_OK;
}

static enum tlsmsg_code use_lists(SSL_CTX *ctx, const struct pem_file *file,
                                  STACK_OF(X509_CRL) *lists, struct tlsmsg_error *err)
{
    X509_STORE *store = SSL_CTX_get_cert_store(ctx);

    for (int i = 0; i < sk_X509_CRL_num(lists); i++) {
        if (X509_STORE_add_crl(store, sk_X509_CRL_value(lists, i)) != 1) {
            return tls_error_config(err, TLSMSG_ERR_CONFIG, "cannot use revocation list '%s'",
                                    file->name);
        }
    }
    X509_VERIFY_PARAM_set_flags(SSL_CTX_get0_param(ctx), X509_V_FLAG_CRL_CHECK);
    return TLSMSG_OK;
}

enum tlsmsg_code revocation_load(SSL_CTX *ctx, const struct tls_settings *settings,
                                 STACK_OF(X509_CRL) **out, struct tlsmsg_error *err)
{
    const char *path = settings->crl;
    struct pem_file file;
    enum tlsmsg_code code;

    *out = NULL;
    if (path == NULL) {
        return TLSMSG_OK;
    }
    if (settings->is_server && settings->client_ca == NULL) {
        return error_set(err, TLSMSG_ERR_CONFIG, 0,
                         "--crl needs --client-ca FILE: without it no client shows a certificate");
    }
    code = pem_file_read(&file, path, "revocation list", MAKES_ONE, err);
    if (code != TLSMSG_OK) {
        return code;
    }
    *out = sk_X509_CRL_new_null();
    code = *out == NULL ? error_set(err, TLSMSG_ERR_NOMEM, 0, "out of memory")
                        : read_lists(&file, *out, err);
    if (code == TLSMSG_OK) {
        code = use_lists(ctx, &file, *out, err);
    }
    pem_file_fini(&file);
    return code;
}

bool revocation_names(STACK_OF(X509_CRL) *lists, X509 *cert)
{
    for (int i = 0; i < sk_X509_CRL_num(lists); i++) {
        X509_CRL *list = sk_X509_CRL_value(lists, i);
        X509_REVOKED *entry = NULL;

        if (X509_NAME_cmp(X509_CRL_get_issuer(list), X509_get_issuer_name(cert)) == 0 &&
            X509_CRL_get0_by_cert(list, &entry, cert) == 1) {
            return true;
        }
    }
    return false;
}
