/* Several certificates on one server: which of them a client gets, by the name it asks for (SNI). */
#ifndef TRANSPORT_TLS_NAME_CHOICE_H
#define TRANSPORT_TLS_NAME_CHOICE_H

#include <openssl/ssl.h>

#include <tlsmsg/error.h>

struct certificate {
    X509 *leaf;
    STACK_OF(X509) *issuers;
    EVP_PKEY *key;
};

void certificate_fini(struct certificate *certificate);

/* Offers a certificate to clients that ask for one of its names; it is kept (by reference) as long
 * as the context. Those that were added first win. TLSMSG_ERR_NOMEM. */
enum tlsmsg_code name_choice_add(SSL_CTX *ctx, const struct certificate *certificate,
                                 struct tlsmsg_error *err);

/* The i-th certificate that was added, borrowed; NULL past the end. */
const X509 *name_choice_leaf(const SSL_CTX *ctx, size_t i);

#endif
