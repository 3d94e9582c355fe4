/* The algorithm is fetched once and the contexts kept: for a short message both would cost more
 * than hashing it (crypto(7), ALGORITHM FETCHING). For the same reason a message begins with a copy
 * of a context that has begun: EVP_DigestInit_ex2 looks for an engine each time. */
#include "transport/digest.h"

#include <stdlib.h>

#include <openssl/evp.h>

#include "transport/tls/errors.h"

struct digest {
    EVP_MD *md;
    EVP_MD_CTX *begun; /* takes nothing in */
    EVP_MD_CTX *ctx;   /* of the message */
};

struct digest *digest_new(void)
{
    struct digest *digest = calloc(1, sizeof(*digest));

    if (digest == NULL) {
        return NULL;
    }
    digest->md = EVP_MD_fetch(NULL, "SHA256", NULL);
    digest->begun = EVP_MD_CTX_new();
    digest->ctx = EVP_MD_CTX_new();
    if (digest->md == NULL || digest->begun == NULL || digest->ctx == NULL ||
        EVP_DigestInit_ex2(digest->begun, digest->md, NULL) != 1 ||
        EVP_MD_CTX_copy_ex(digest->ctx, digest->begun) != 1) {
        digest_free(digest);
        digest = NULL;
    }
    tls_error_begin();
    return digest;
}

void digest_free(struct digest *digest)
{
    if (digest != NULL) {
        EVP_MD_CTX_free(digest->ctx);
        EVP_MD_CTX_free(digest->begun);
        EVP_MD_free(digest->md);
        free(digest);
    }
}

bool digest_add(struct digest *digest, const void *data, size_t len)
{
    bool done = EVP_DigestUpdate(digest->ctx, data, len) == 1;

    if (!done) {
        tls_error_begin();
    }
    return done;
}

bool digest_end(struct digest *digest, unsigned char out[DIGEST_BYTES])
{
    unsigned len = 0;
    bool done = EVP_DigestFinal_ex(digest->ctx, out, &len) == 1 && len == DIGEST_BYTES &&
                EVP_MD_CTX_copy_ex(digest->ctx, digest->begun) == 1;

    if (!done) {
        tls_error_begin();
    }
    return done;
}
