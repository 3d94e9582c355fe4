/* Own certificates: from the files that --cert and --key name into a context.
 *
 * Everything a peer would stumble over later is looked for here, so that a bad file ends the start
 * and not the first handshake: a key of another certificate, one out of its dates, a key that the
 * policy doesn't take (rehearsal.c tries it). A password is wiped as soon as it was tried and is never logged.
 *
 * Of several certificates a server shows each client the one for the name it asks for (SNI,
 * RFC 6066 section 3), chosen in the certificate callback of each handshake. Without a name, or
 * with one that no certificate is for, the context's own stay. Several of the same name, ECDSA and
 * RSA, stand side by side: the library picks by what the client can verify. */
#include "transport/tls/certificates.h"

#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include <openssl/crypto.h>
#include <openssl/evp.h>
#include <openssl/pem.h>
#include <openssl/x509.h>
#include <openssl/x509v3.h>

#include "base/error.h"
#include "base/tools.h"
#include "transport/tls/errors.h"
#include "transport/tls/pem.h"
#include "transport/tls/rehearsal.h"
#include "transport/tls/x509_text.h"

#define PASSWORD_MAX 1024 /* OpenSSL's own limit, PEM_BUFSIZE */

struct certificate {
    X509 *leaf;
    STACK_OF(X509) *issuers;
    EVP_PKEY *key;
};

struct certificate_list {
    struct certificate *list;
    size_t count;
};

/* What the password callback knows, and what it met. The library may ask more than once, as it
 * tries one form after another; people are asked once. */
struct password_request {
    const struct tls_settings *settings;
    const struct file *file;
    struct tlsmsg_error *err;
    bool wanted; /* the key is encrypted */
    size_t len;  /* of what was given; 0: nothing */
    bool blank;  /* it begins or ends with one, perhaps of an editor's */
    char password[PASSWORD_MAX];
};

/* The first line of the password file, without its end. Blanks in it are the password's. */
static void take_first_line(struct password_request *request, struct file *file)
{
    struct file_lines lines;
    const char *line;
    size_t len;

    (void)file_lines_begin(&lines, file);
    line = file_lines_next(&lines);
    len = line != NULL ? strlen(line) : 0;
    if (len > sizeof(request->password)) {
        error_set(request->err, TLSMSG_ERR_CONFIG, 0, "the password in '%s' is too long",
                  file->name);
    } else if (len == 0) {
        error_set(request->err, TLSMSG_ERR_CONFIG, 0,
                  "key password file '%s' is empty or begins with an empty line; try: the "
                  "password in its first line",
                  file->name);
    } else {
        memcpy(request->password, line, len);
        request->len = len;
        request->blank = file_is_blank(line[0]) || file_is_blank(line[len - 1]);
    }
}

static void take_from_file(struct password_request *request, const char *path)
{
    static const char what[] = "key password file";
    struct file file;

    if (load_file(&file, path, request->settings, what, NULL, request->err) == TLSMSG_OK) {
        if (file_check_text(&file, what, request->err) == TLSMSG_OK) {
            take_first_line(request, &file);
        }
        file_fini(&file);
    }
}

static void take_password(struct password_request *request)
{
    const struct tls_settings *settings = request->settings;

    request->wanted = true;
    if (settings->key_password_file != NULL) {
        take_from_file(request, settings->key_password_file);
    } else if (settings->ask_password != NULL &&
               settings->ask_password(request->file->path, request->password,
                                      sizeof(request->password), settings->ask_password_user)) {
        request->len = strnlen(request->password, sizeof(request->password));
    }
}

/* pem_password_cb of PEM_read_bio_PrivateKey(3). */
static int give_password(char *buf, int cap, int writing, void *user)
{
    struct password_request *request = user;

    (void)writing;
    if (!request->wanted) {
        take_password(request);
    }
    if (request->len == 0 || request->len > (size_t)cap) {
        return -1;
    }
    memcpy(buf, request->password, request->len);
    return (int)request->len;
}

static bool has_cipher(const char *name)
{
    EVP_CIPHER *cipher = name != NULL ? EVP_CIPHER_fetch(NULL, name, NULL) : NULL;

    EVP_CIPHER_free(cipher);
    return cipher != NULL;
}

/* The cipher of "DEK-Info: DES-CBC,..." (RFC 1421), of keys in OpenSSL's oldest form. */
static bool dek_is_readable(const struct pem_block *block, bool *found)
{
    static const char head[] = "DEK-Info: ";
    const char *at = memmem(block->bytes, block->len, head, strlen(head));
    char name[32] = "";
    size_t left;

    *found = at != NULL;
    if (at == NULL) {
        return true;
    }
    at += strlen(head);
    left = block->len - (size_t)(at - block->bytes);
    for (size_t i = 0; i < left && i < sizeof(name) - 1 && at[i] != ',' && at[i] > ' '; i++) {
        name[i] = at[i];
    }
    return has_cipher(name);
}

/* The cipher of an encrypted PKCS#8 key: of PBES1 by its name, of PBES2 by what is in it. */
static bool scheme_is_readable(const X509_ALGOR *scheme)
{
    int nid = OBJ_obj2nid(scheme->algorithm);
    int cipher = NID_undef;
    PBE2PARAM *param;

    if (nid != NID_pbes2) {
        return EVP_PBE_find(EVP_PBE_TYPE_OUTER, nid, &cipher, NULL, NULL) == 1 &&
               has_cipher(OBJ_nid2sn(cipher));
    }
    param = ASN1_TYPE_unpack_sequence(ASN1_ITEM_rptr(PBE2PARAM), scheme->parameter);
    if (param != NULL) {
        cipher = OBJ_obj2nid(param->encryption->algorithm);
    }
    PBE2PARAM_free(param);
    return has_cipher(OBJ_nid2sn(cipher));
}

/* Whether this library can still open a key that is encrypted in that way. */
static bool encryption_is_readable(const struct pem_block *block)
{
    BIO *bio = pem_bio(block);
    X509_SIG *sealed = NULL;
    const X509_ALGOR *scheme;
    bool found;
    bool readable = dek_is_readable(block, &found);

    if (!found && bio != NULL && (sealed = PEM_read_bio_PKCS8(bio, NULL, NULL, NULL)) != NULL) {
        X509_SIG_get0(sealed, &scheme, NULL);
        readable = scheme_is_readable(scheme);
    }
    X509_SIG_free(sealed);
    BIO_free(bio);
    return readable;
}

/* Why a key that is there could not be read. */
static enum tlsmsg_code blame_key(const struct password_request *request,
                                  const struct pem_block *block)
{
    const struct file *file = request->file;

    if (!request->wanted) {
        return tls_error_blame(request->err, "key '%s' is damaged or of an unknown kind",
                               file->name);
    }
    if (request->len == 0) {
        return tls_error_blame(
            request->err, "key '%s' is encrypted: --key-password-file FILE opens it", file->name);
    }
    if (!encryption_is_readable(block)) {
        return tls_error_blame(request->err,
                               "key '%s' is encrypted in an old way that this OpenSSL does not "
                               "read; try: openssl pkcs8 -topk8 -provider legacy -provider default "
                               "-in '%s' -out FILE",
                               file->name, file->name);
    }
    return tls_error_blame(request->err, "the password does not open key '%s'%s", file->name,
                           request->blank ? "; it has a blank at an end, which counts" : "");
}

/* Goes to the first private key in a file; *count receives how many there are. apart: --key names the
 * file. */
static enum tlsmsg_code find_key(const struct file *file, bool apart, struct pem_block *out,
                                 unsigned *count, struct tlsmsg_error *err)
{
    struct pem_reader reader;
    struct pem_block block;
    enum tlsmsg_code code = pem_begin(&reader, file, "key", "pkey", err);

    *count = 0;
    /* To the end, since what is refused must not depend on the order. */
    while (code == TLSMSG_OK) {
        code = pem_next(&reader, &block, err);
        if (code != TLSMSG_OK || block.kind == PEM_END) {
            break;
        }
        if (block.kind == PEM_KEY && (*count)++ == 0) {
            *out = block;
        }
    }
    if (code == TLSMSG_OK && *count == 0) {
        code = error_set(err, TLSMSG_ERR_CONFIG, 0, "'%s' holds no private key in PEM form%s%s",
                         file->name, pem_instead(&reader),
                         apart ? "" : " (--key FILE names the key's file)");
    }
    return code;
}

/* The first private key in the file, owned by the caller. An encrypted one is opened with the first
 * line of --key-password-file or by asking. */
static enum tlsmsg_code read_private_key(const struct file *file, bool apart,
                                         const struct tls_settings *settings, EVP_PKEY **out,
                                         unsigned *count, struct tlsmsg_error *err)
{
    struct password_request request = {.settings = settings, .file = file, .err = err};
    struct pem_block block = {.kind = PEM_END, .bytes = ""};
    enum tlsmsg_code code = find_key(file, apart, &block, count, err);
    BIO *bio;

    if (code != TLSMSG_OK) {
        return code;
    }
    bio = pem_bio(&block);
    if (bio == NULL) {
        return tls_error_config(err, TLSMSG_ERR_NOMEM, "cannot read key '%s'", file->name);
    }
    tls_error_begin();
    *out = PEM_read_bio_PrivateKey(bio, NULL, give_password, &request);
    OPENSSL_cleanse(request.password, sizeof(request.password));
    BIO_free(bio);
    return *out != NULL ? TLSMSG_OK : blame_key(&request, &block);
}

/* The own certificate's. Issuers in the file that have ended are a warning: many a chain has one
 * that clients never use. */
static enum tlsmsg_code check_dates(const struct file *file, const X509 *leaf,
                                    struct tlsmsg_error *err)
{
    char date[X509_TEXT_DATE_MAX];

    if (X509_cmp_current_time(X509_get0_notAfter(leaf)) <= 0) {
        x509_text_date(X509_get0_notAfter(leaf), date);
        return load_is_ours(X509_get_issuer_name(leaf))
                   ? tls_error_blame(err, "certificate '%s' expired on %s (%s renews one)",
                                     file->name, date, tools()->certs)
                   : tls_error_blame(err, "certificate '%s' expired on %s; try: a new one",
                                     file->name, date);
    }
    if (X509_cmp_current_time(X509_get0_notBefore(leaf)) >= 0) {
        x509_text_date(X509_get0_notBefore(leaf), date);
        return tls_error_blame(err,
                               "certificate '%s' is not valid before %s (is this clock right?)",
                               file->name, date);
    }
    return TLSMSG_OK;
}

/* The place in the file of the certificate that the key belongs to, from 1; 0: none. */
static int find_own(const struct certificate *pair)
{
    for (int i = 0; i < sk_X509_num(pair->issuers); i++) {
        if (X509_check_private_key(sk_X509_value(pair->issuers, i), pair->key) == 1) {
            return i + 2;
        }
    }
    return 0;
}

static enum tlsmsg_code take_key(struct certificate *pair, const struct file *cert_file,
                                 const struct file *key_file, const struct tls_settings *settings,
                                 struct tlsmsg_error *err)
{
    unsigned count;
    enum tlsmsg_code code =
        read_private_key(key_file, key_file != cert_file, settings, &pair->key, &count, err);

    if (code != TLSMSG_OK) {
        return code;
    }
    tls_error_begin();
    if (X509_check_private_key(pair->leaf, pair->key) != 1) {
        int own = find_own(pair);

        if (own > 0) {
            return tls_error_blame(err,
                                   "key '%s' belongs to certificate number %d in '%s'; try: that "
                                   "one first, then its issuers",
                                   key_file->name, own, cert_file->name);
        }
        return count > 1
                   ? tls_error_blame(err,
                                     "the first key in '%s', which holds %u, does not belong to "
                                     "certificate '%s'; try: a file with its own key alone",
                                     key_file->name, count, cert_file->name)
                   : tls_error_blame(err, "key '%s' does not belong to certificate '%s'",
                                     key_file->name, cert_file->name);
    }
    return TLSMSG_OK;
}

static enum tlsmsg_code read_key(struct certificate *pair, const struct file *cert_file,
                                 const char *key_path, const struct tls_settings *settings,
                                 struct tlsmsg_error *err)
{
    struct file key_file;
    enum tlsmsg_code code;

    if (key_path == NULL) {
        return take_key(pair, cert_file, cert_file, settings, err);
    }
    code = load_file(&key_file, key_path, settings, "key", tools()->makes_cert, err);
    if (code == TLSMSG_OK) {
        code = take_key(pair, cert_file, &key_file, settings, err);
        file_fini(&key_file);
    }
    return code;
}

static enum tlsmsg_code read_pair(struct certificate *pair, const struct file *file,
                                  const char *key_path, const struct tls_settings *settings,
                                  struct tlsmsg_error *err)
{
    enum tlsmsg_code code;

    pair->issuers = sk_X509_new_null();
    if (pair->issuers == NULL) {
        return error_set(err, TLSMSG_ERR_NOMEM, 0, "out of memory");
    }
    code = load_certificates(file, "certificate", pair->issuers, err);
    if (code == TLSMSG_OK) {
        pair->leaf = sk_X509_shift(pair->issuers);
        code = check_dates(file, pair->leaf, err);
    }
    if (code == TLSMSG_OK) {
        code = read_key(pair, file, key_path, settings, err);
    }
    return code;
}

/* A context holds one certificate for each kind of key: the first given of a kind is the one for
 * clients that name no server, or one that no certificate is for. */
static enum tlsmsg_code use_pair(SSL_CTX *ctx, const struct certificate *pair,
                                 const struct file *file, struct tlsmsg_error *err)
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
    if (SSL_CTX_use_cert_and_key(ctx, pair->leaf, pair->key, pair->issuers, 1) != 1) {
        return tls_error_config(err, TLSMSG_ERR_CONFIG, "cannot use certificate '%s' and its key",
                                file->name);
    }
    return TLSMSG_OK;
}

static bool is_for(const struct certificate *certificate, const char *name)
{
    return X509_check_host(certificate->leaf, name, 0,
                           X509_CHECK_FLAG_NO_PARTIAL_WILDCARDS |
                               X509_CHECK_FLAG_NEVER_CHECK_SUBJECT,
                           NULL) == 1;
}

/* A kind of key that was chosen already, by an earlier certificate for the same name. */
static bool has_kind(const struct certificate_list *certificates, size_t before, const char *name,
                     int kind)
{
    for (size_t i = 0; i < before; i++) {
        if (EVP_PKEY_get_base_id(certificates->list[i].key) == kind &&
            is_for(&certificates->list[i], name)) {
            return true;
        }
    }
    return false;
}

/* SSL_CTX_set_cert_cb(3). */
static int choose(SSL *ssl, void *argument)
{
    const struct certificate_list *certificates = argument;
    const char *name = SSL_get_servername(ssl, TLSEXT_NAMETYPE_host_name);
    bool cleared = false;

    for (size_t i = 0; name != NULL && i < certificates->count; i++) {
        const struct certificate *one = &certificates->list[i];

        if (!is_for(one, name) || has_kind(certificates, i, name, EVP_PKEY_get_base_id(one->key))) {
            continue;
        }
        if (!cleared) {
            SSL_certs_clear(ssl);
            cleared = true;
        }
        if (SSL_use_cert_and_key(ssl, one->leaf, one->key, one->issuers, 1) != 1) {
            return 0;
        }
    }
    return 1;
}

/* Offers a certificate to clients that ask for one of its names. Those that came first win. */
static enum tlsmsg_code offer_by_name(struct certificate_list **certificates,
                                      const struct certificate *pair, struct tlsmsg_error *err)
{
    struct certificate copy = {.leaf = pair->leaf, .key = pair->key};
    struct certificate *list = NULL;

    if (*certificates == NULL) {
        *certificates = calloc(1, sizeof(**certificates));
    }
    if (*certificates != NULL) {
        list = realloc((*certificates)->list, ((*certificates)->count + 1) * sizeof(*list));
    }
    if (list == NULL) {
        return error_set(err, TLSMSG_ERR_NOMEM, 0, "out of memory");
    }
    (*certificates)->list = list;
    copy.issuers = X509_chain_up_ref(pair->issuers);
    if (copy.issuers == NULL) {
        return error_set(err, TLSMSG_ERR_NOMEM, 0, "out of memory");
    }
    (void)X509_up_ref(copy.leaf);
    (void)EVP_PKEY_up_ref(copy.key);
    list[(*certificates)->count++] = copy;
    return TLSMSG_OK;
}

static void certificate_fini(struct certificate *certificate)
{
    X509_free(certificate->leaf);
    sk_X509_pop_free(certificate->issuers, X509_free);
    EVP_PKEY_free(certificate->key);
}

void certificates_free(struct certificate_list *by_name)
{
    if (by_name == NULL) {
        return;
    }
    for (size_t i = 0; i < by_name->count; i++) {
        certificate_fini(&by_name->list[i]);
    }
    free(by_name->list);
    free(by_name);
}

static void report_pair(struct load_report *report, const struct certificate *pair,
                        const struct file *file)
{
    load_report_add(report, LOADED_LEAF, file, X509_get_subject_name(pair->leaf),
                    X509_get_issuer_name(pair->leaf), X509_get0_notBefore(pair->leaf),
                    X509_get0_notAfter(pair->leaf));
    for (int i = 0; i < sk_X509_num(pair->issuers); i++) {
        const X509 *issuer = sk_X509_value(pair->issuers, i);
        /* One that the certificate outlives is out of step, however short its life is meant. */
        bool outlived =
            ASN1_TIME_compare(X509_get0_notAfter(issuer), X509_get0_notAfter(pair->leaf)) < 0;

        load_report_add(report, LOADED_ISSUER, file, X509_get_subject_name(issuer),
                        X509_get_issuer_name(issuer), outlived ? NULL : X509_get0_notBefore(issuer),
                        X509_get0_notAfter(issuer));
    }
}

/* Loads the i-th --cert with its --key. */
static enum tlsmsg_code load_pair(SSL_CTX *ctx, const struct tls_settings *settings, size_t i,
                                  struct certificate_list **by_name, struct load_report *report,
                                  struct tlsmsg_error *err)
{
    const char *path = text_list_at(&settings->certs, i);
    const char *key_path = text_list_at(&settings->keys, i);
    struct certificate pair = {0};
    struct file file;
    enum tlsmsg_code code =
        load_file(&file, path, settings, "certificate", tools()->makes_cert, err);

    if (code != TLSMSG_OK) {
        return code;
    }
    code = read_pair(&pair, &file, key_path, settings, err);
    if (code == TLSMSG_OK) {
        code = use_pair(ctx, &pair, &file, err);
    }
    if (code == TLSMSG_OK && settings->is_server && settings->certs.count > 1) {
        code = offer_by_name(by_name, &pair, err);
    }
    if (code == TLSMSG_OK && settings->is_server) {
        code = rehearse_certificate(
            &(struct rehearsed){
                .file = &file, .leaf = pair.leaf, .key = pair.key, .issuers = pair.issuers},
            settings, report, err);
    }
    if (code == TLSMSG_OK) {
        report_pair(report, &pair, &file);
        load_report_check_secret(report, "key", key_path != NULL ? key_path : path);
    }
    certificate_fini(&pair);
    file_fini(&file);
    return code;
}

enum tlsmsg_code certificates_load(SSL_CTX *ctx, const struct tls_settings *settings,
                                   struct certificate_list **by_name, struct load_report *report,
                                   struct tlsmsg_error *err)
{
    size_t count = settings->certs.count;

    if (count == 0 && settings->is_server) {
        return error_set(err, TLSMSG_ERR_CONFIG, 0,
                         "a TLS server needs --cert FILE and --key FILE "
                         "(%s makes them)",
                         tools()->certs);
    }
    if (count == 0 && (settings->keys.count > 0 || settings->key_password_file != NULL)) {
        return error_set(err, TLSMSG_ERR_CONFIG, 0,
                         "--key and --key-password-file need --cert FILE");
    }
    for (size_t i = 0; i < count; i++) {
        enum tlsmsg_code code = load_pair(ctx, settings, i, by_name, report, err);

        if (code != TLSMSG_OK) {
            return code;
        }
    }
    load_report_check_secret(report, "key password file", settings->key_password_file);
    if (*by_name != NULL) {
        SSL_CTX_set_cert_cb(ctx, choose, *by_name);
    }
    return TLSMSG_OK;
}
