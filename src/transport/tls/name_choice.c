/* The choice by name (RFC 6066 section 3), made in the certificate callback of each handshake.
 *
 * The list hangs on the context and goes with it. Without a name, or with one that no certificate
 * is for, the context's own certificates stay. Several of the same name, ECDSA and RSA, stand side
 * by side: the library picks by what the client can verify. */
#include "transport/tls/name_choice.h"

#include <pthread.h>
#include <stdbool.h>
#include <stdlib.h>

#include <openssl/x509v3.h>

#include "base/error.h"

struct choice {
    struct certificate *list;
    size_t count;
};

static int choice_index = -1;
static pthread_once_t once = PTHREAD_ONCE_INIT;

void certificate_fini(struct certificate *certificate)
{
    X509_free(certificate->leaf);
    sk_X509_pop_free(certificate->issuers, X509_free);
    EVP_PKEY_free(certificate->key);
    *certificate = (struct certificate){0};
}

/* CRYPTO_EX_free of SSL_CTX_get_ex_new_index(3). */
static void free_choice(void *parent, void *pointer, CRYPTO_EX_DATA *data, int index, long number,
                        void *argument)
{
    struct choice *choice = pointer;

    (void)parent;
    (void)data;
    (void)index;
    (void)number;
    (void)argument;
    for (size_t i = 0; choice != NULL && i < choice->count; i++) {
        certificate_fini(&choice->list[i]);
    }
    free(choice != NULL ? choice->list : NULL);
    free(choice);
}

static void make_index(void)
{
    choice_index = SSL_CTX_get_ex_new_index(0, NULL, NULL, NULL, free_choice);
}

static bool is_for(const struct certificate *certificate, const char *name)
{
    return X509_check_host(certificate->leaf, name, 0,
                           X509_CHECK_FLAG_NO_PARTIAL_WILDCARDS |
                               X509_CHECK_FLAG_NEVER_CHECK_SUBJECT,
                           NULL) == 1;
}

/* A kind of key that was chosen already, by an earlier certificate for the same name. */
static bool has_kind(const struct choice *choice, size_t before, const char *name, int kind)
{
    for (size_t i = 0; i < before; i++) {
        if (EVP_PKEY_get_base_id(choice->list[i].key) == kind && is_for(&choice->list[i], name)) {
            return true;
        }
    }
    return false;
}

/* SSL_CTX_set_cert_cb(3). */
static int choose(SSL *ssl, void *argument)
{
    const struct choice *choice = argument;
    const char *name = SSL_get_servername(ssl, TLSEXT_NAMETYPE_host_name);
    bool cleared = false;

    for (size_t i = 0; name != NULL && i < choice->count; i++) {
        const struct certificate *one = &choice->list[i];

        if (!is_for(one, name) || has_kind(choice, i, name, EVP_PKEY_get_base_id(one->key))) {
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

static struct choice *choice_of(SSL_CTX *ctx)
{
    struct choice *choice = SSL_CTX_get_ex_data(ctx, choice_index);

    if (choice == NULL) {
        choice = calloc(1, sizeof(*choice));
        if (choice != NULL && SSL_CTX_set_ex_data(ctx, choice_index, choice) != 1) {
            free(choice);
            choice = NULL;
        }
    }
    return choice;
}

enum tlsmsg_code name_choice_add(SSL_CTX *ctx, const struct certificate *certificate,
                                 struct tlsmsg_error *err)
{
    struct certificate *list;
    struct certificate copy = {.leaf = certificate->leaf, .key = certificate->key};
    struct choice *choice;

    (void)pthread_once(&once, make_index);
    choice = choice_index < 0 ? NULL : choice_of(ctx);
    list = choice == NULL ? NULL : realloc(choice->list, (choice->count + 1) * sizeof(*list));
    copy.issuers = list == NULL ? NULL : X509_chain_up_ref(certificate->issuers);
    if (list != NULL) {
        choice->list = list;
    }
    if (copy.issuers == NULL) {
        return error_set(err, TLSMSG_ERR_NOMEM, 0, "out of memory");
    }
    (void)X509_up_ref(copy.leaf);
    (void)EVP_PKEY_up_ref(copy.key);
    choice->list[choice->count++] = copy;
    SSL_CTX_set_cert_cb(ctx, choose, choice);
    return TLSMSG_OK;
}

const X509 *name_choice_leaf(const SSL_CTX *ctx, size_t i)
{
    const struct choice *choice;

    (void)pthread_once(&once, make_index);
    choice = choice_index < 0 ? NULL : SSL_CTX_get_ex_data(ctx, choice_index);
    return choice != NULL && i < choice->count ? choice->list[i].leaf : NULL;
}
