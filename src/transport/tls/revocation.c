/* See revocation.h. The library reads nextUpdate alone when a list is loaded; all else would show at
 * the first handshake, as a refusal of everybody or, for a delta list, as silence. */
#include "transport/tls/revocation.h"

#include <stdbool.h>

#include <openssl/pem.h>
#include <openssl/x509v3.h>

#include "base/error.h"
#include "base/tools.h"
#include "transport/tls/errors.h"
#include "transport/tls/pem.h"
#include "transport/tls/x509_text.h"

#define LIST_WHAT "revocation list"
#define ISSUER_MAX 96

/* A list that is refused, and what for. */
static enum tlsmsg_code refuse(const struct file *file, const X509_CRL *list, unsigned line,
                               const char *why, const char *hint, struct tlsmsg_error *err)
{
    char issuer[ISSUER_MAX];

    x509_text_name(X509_CRL_get_issuer(list), issuer, sizeof(issuer));
    return tls_error_blame(err, LIST_WHAT " '%s', line %u: the list of '%s' %s; try: %s",
                           file->name, line, issuer, why, hint);
}

static enum tlsmsg_code check_dates(const struct file *file, const X509_CRL *list, unsigned line,
                                    struct tlsmsg_error *err)
{
    const ASN1_TIME *next = X509_CRL_get0_nextUpdate(list);
    const ASN1_TIME *last = X509_CRL_get0_lastUpdate(list);
    char date[X509_TEXT_DATE_MAX];
    char why[64];

    if (next != NULL && X509_cmp_current_time(next) <= 0) {
        x509_text_date(next, date);
        (void)snprintf(why, sizeof(why), "ended on %s", date);
        return refuse(file, list, line, why,
                      load_is_ours(X509_CRL_get_issuer(list)) ? tools()->makes_crl
                                                              : "that CA's new list",
                      err);
    }
    if (X509_cmp_current_time(last) >= 0) {
        x509_text_moment(last, why, sizeof(why));
        return tls_error_blame(err,
                               LIST_WHAT
                               " '%s', line %u: not valid before %s; try: the clocks of this "
                               "machine and of the CA's",
                               file->name, line, why);
    }
    return TLSMSG_OK;
}

/* What a list says of its own scope. *for_leaves: it may name peers' own certificates. */
static const char *find_scope_fault(const X509_CRL *list, bool *for_leaves)
{
    int critical;
    ISSUING_DIST_POINT *point =
        X509_CRL_get_ext_d2i(list, NID_issuing_distribution_point, &critical, NULL);
    const char *fault = NULL;

    *for_leaves = true;
    if (point == NULL) {
        return critical >= 0 ? "has an issuing distribution point that can't be read" : NULL;
    }
    if (point->indirectCRL > 0) {
        fault = "is an indirect one (of other CAs' certificates)";
    } else if (point->onlysomereasons != NULL) {
        fault = "covers some reasons for revoking only";
    } else if (point->onlyattr > 0) {
        fault = "covers attribute certificates only";
    }
    *for_leaves = point->onlyCA <= 0;
    ISSUING_DIST_POINT_free(point);
    return fault;
}

/* One in an entry alone makes the library refuse everybody, or pass the entry over where it names
 * another CA's certificate. */
static bool has_odd_entry(X509_CRL *list)
{
    const STACK_OF(X509_REVOKED) *entries = X509_CRL_get_REVOKED(list);

    for (int i = 0; i < sk_X509_REVOKED_num(entries); i++) {
        const X509_REVOKED *entry = sk_X509_REVOKED_value(entries, i);

        if (X509_REVOKED_get_ext_by_critical(entry, 1, -1) >= 0 ||
            X509_REVOKED_get_ext_by_NID(entry, NID_certificate_issuer, -1) >= 0) {
            return true;
        }
    }
    return false;
}

static bool has_unknown_critical(X509_CRL *list)
{
    for (int i = 0; i < X509_CRL_get_ext_count(list); i++) {
        X509_EXTENSION *extension = X509_CRL_get_ext(list, i);
        int nid = OBJ_obj2nid(X509_EXTENSION_get_object(extension));

        if (X509_EXTENSION_get_critical(extension) > 0 && nid != NID_issuing_distribution_point &&
            nid != NID_authority_key_identifier && nid != NID_crl_number) {
            return true;
        }
    }
    return has_odd_entry(list);
}

static bool may_sign_lists(X509 *ca)
{
    uint32_t usage = X509_get_key_usage(ca); /* all, where it doesn't say; 0: it can't be read */

    return usage == 0 || (usage & KU_CRL_SIGN) != 0;
}

/* Looks at the trusted CAs with the list's issuer's name. NULL where one has signed it and may, or
 * none is trusted by that name: an issuer that the peer will send. */
static const char *find_signer_fault(SSL_CTX *ctx, X509_CRL *list, const char **hint)
{
    STACK_OF(X509) *all = X509_STORE_get1_all_certs(SSL_CTX_get_cert_store(ctx));
    bool named = false;
    bool has_signed = false;
    bool may = false;

    for (int i = 0; i < sk_X509_num(all) && !may; i++) {
        X509 *ca = sk_X509_value(all, i);

        if (X509_NAME_cmp(X509_get_subject_name(ca), X509_CRL_get_issuer(list)) == 0) {
            bool it_has = X509_CRL_verify(list, X509_get0_pubkey(ca)) == 1;

            named = true;
            has_signed |= it_has;
            may = it_has && may_sign_lists(ca);
        }
    }
    sk_X509_pop_free(all, X509_free);
    *hint = has_signed ? "that CA's certificate with cRLSign" : "a list made with that CA's key";
    return !named || may ? NULL
           : has_signed  ? "is signed by a CA whose key usage lacks cRLSign"
                         : "is not signed by the trusted CA of that name";
}

static enum tlsmsg_code check_list(SSL_CTX *ctx, const struct file *file, X509_CRL *list,
                                   unsigned line, bool *for_leaves, struct tlsmsg_error *err)
{
    const char *fault;
    const char *hint;

    tls_error_begin();
    if (X509_CRL_get_ext_by_NID(list, NID_delta_crl, -1) >= 0) {
        return refuse(file, list, line, "is a delta list, which holds changes alone",
                      "the full list of that CA", err);
    }
    fault = find_scope_fault(list, for_leaves);
    if (fault != NULL) {
        return refuse(file, list, line, fault, "the full list of that CA", err);
    }
    if (has_unknown_critical(list)) {
        return refuse(file, list, line, "has a critical extension that is not understood",
                      "the full list of that CA", err);
    }
    fault = find_signer_fault(ctx, list, &hint);
    if (fault != NULL) {
        return refuse(file, list, line, fault, hint, err);
    }
    return check_dates(file, list, line, err);
}

static enum tlsmsg_code take_list(SSL_CTX *ctx, const struct file *file,
                                  const struct pem_block *block, STACK_OF(X509_CRL) *out,
                                  bool *some_for_leaves, struct tlsmsg_error *err)
{
    const unsigned char *end;
    unsigned char *der;
    X509_CRL *list;
    bool for_leaves = false;
    bool is_whole;
    long len;
    enum tlsmsg_code code;

    tls_error_begin();
    der = pem_der(block, &len);
    end = der;
    list = der != NULL ? d2i_X509_CRL(NULL, &end, len) : NULL;
    is_whole = list != NULL && end == der + len;
    OPENSSL_free(der);
    if (list != NULL && !is_whole) {
        X509_CRL_free(list);
        return tls_error_blame(err,
                               LIST_WHAT
                               " '%s' is damaged: more than a list in the block at line %u; "
                               "try: the file as its CA has made it",
                               file->name, block->line);
    }
    if (list == NULL) {
        return tls_error_blame(err,
                               LIST_WHAT " '%s' is damaged: the list at line %u can't be read; "
                                         "try: the file as its CA has made it",
                               file->name, block->line);
    }
    code = check_list(ctx, file, list, block->line, &for_leaves, err);
    if (code == TLSMSG_OK && sk_X509_CRL_push(out, list) <= 0) {
        code = error_set(err, TLSMSG_ERR_NOMEM, 0, "out of memory");
    }
    if (code != TLSMSG_OK) {
        X509_CRL_free(list);
    }
    *some_for_leaves |= for_leaves;
    return code;
}

static enum tlsmsg_code read_lists(SSL_CTX *ctx, const struct file *file, STACK_OF(X509_CRL) *out,
                                   struct tlsmsg_error *err)
{
    bool some_for_leaves = false;
    struct pem_reader reader;
    struct pem_block block;
    enum tlsmsg_code code = pem_begin(&reader, file, LIST_WHAT, "crl", err);

    while (code == TLSMSG_OK) {
        code = pem_next(&reader, &block, err);
        if (code != TLSMSG_OK || block.kind == PEM_END) {
            break;
        }
        if (block.kind == PEM_CRL) {
            code = take_list(ctx, file, &block, out, &some_for_leaves, err);
        }
    }
    if (code == TLSMSG_OK && sk_X509_CRL_num(out) == 0) {
        code =
            error_set(err, TLSMSG_ERR_CONFIG, 0, "'%s' holds no revocation list in PEM form%s (%s)",
                      file->name, pem_instead(&reader), tools()->makes_crl);
    }
    if (code == TLSMSG_OK && !some_for_leaves) {
        code = error_set(err, TLSMSG_ERR_CONFIG, 0,
                         LIST_WHAT
                         " '%s' covers CAs alone, and no peer's own certificate; try: the full "
                         "list of the CA that issues them",
                         file->name);
    }
    return code;
}

static enum tlsmsg_code use_lists(SSL_CTX *ctx, const struct file *file, STACK_OF(X509_CRL) *lists,
                                  struct load_report *report, struct tlsmsg_error *err)
{
    X509_STORE *store = SSL_CTX_get_cert_store(ctx);

    for (int i = 0; i < sk_X509_CRL_num(lists); i++) {
        X509_CRL *list = sk_X509_CRL_value(lists, i);

        load_report_add(report, LOADED_CRL, file, X509_CRL_get_issuer(list),
                        X509_CRL_get_issuer(list), X509_CRL_get0_lastUpdate(list),
                        X509_CRL_get0_nextUpdate(list));
        if (X509_CRL_get0_nextUpdate(list) == NULL) {
            load_report_warn(report,
                             LIST_WHAT
                             " '%s' holds a list without an end: nobody will be told that it "
                             "is out of date; try: one with nextUpdate",
                             file->name);
        }
        if (X509_STORE_add_crl(store, list) != 1) {
            return tls_error_config(err, TLSMSG_ERR_CONFIG, "cannot use " LIST_WHAT " '%s'",
                                    file->name);
        }
    }
    X509_VERIFY_PARAM_set_flags(SSL_CTX_get0_param(ctx), X509_V_FLAG_CRL_CHECK);
    return TLSMSG_OK;
}

enum tlsmsg_code revocation_load(SSL_CTX *ctx, const struct tls_settings *settings,
                                 STACK_OF(X509_CRL) **out, struct load_report *report,
                                 struct tlsmsg_error *err)
{
    const char *path = settings->crl;
    struct file file;
    enum tlsmsg_code code;

    *out = NULL;
    if (path == NULL) {
        return TLSMSG_OK;
    }
    if (settings->is_server && settings->client_ca == NULL) {
        return error_set(err, TLSMSG_ERR_CONFIG, 0,
                         "--crl needs --client-ca FILE: without it no client shows a certificate");
    }
    code = load_file(&file, path, settings, LIST_WHAT, tools()->makes_crl, err);
    if (code != TLSMSG_OK) {
        return code;
    }
    *out = sk_X509_CRL_new_null();
    code = *out == NULL ? error_set(err, TLSMSG_ERR_NOMEM, 0, "out of memory")
                        : read_lists(ctx, &file, *out, err);
    if (code == TLSMSG_OK) {
        code = use_lists(ctx, &file, *out, report, err);
    }
    file_fini(&file);
    return code;
}
