/* The algorithm is fetched once and the context kept: for a short message both would cost more
 * than hashing it (crypto(7), ALGORITHM FETCHING). */
#include "transport/digest.h"

#include <stdlib.h>

#include <openssl/evp.h>

#include "transport/tls/errors.h"

struct digest {
    EVP_MD *md;
    EVP_MD_CTX *ctx;
    bool begun;
};

struct digest *digest_new(void)
{
    struct digest *digest = calloc(1, sizeof(*digest));

    if (digest == NULL) {
        return NULL;
    }
    digest->md = EVP_MD_fetch(NULL, "SHA256", NULL);
    digest->ctx = EVP_MD_CTX_new();
    tls_error_begin();
    if (digest->md == NULL || digest->ctx == NULL) {
        digest_free(digest);
        return NULL;
    }
    return digest;
}

void digest_free(struct digest *digest)
{
    if (digest != NULL) {
        EVP_MD_CTX_free(digest->ctx);
        EVP_MD_free(digest->md);
        free(digest);
    }
}

static bool begin(struct digest *digest)
{
    if (!digest->begun) {
        digest->begun = EVP_DigestInit_ex2(digest->ctx, digest->md, NULL) == 1;
    }
    return digest->begun;
}

bool digest_add(struct digest *digest, const void *data, size_t len)
{
    digest->begun = begin(digest) && EVP_DigestUpdate(digest->ctx, data, len) == 1;
    if (!digest->begun) {
        tls_error_begin();
    }
    return digest->begun;
}

bool digest_end(struct digest *digest, unsigned char out[DIGEST_BYTES])
{
    unsigned len = 0;
    bool done =
        begin(digest) && EVP_DigestFinal_ex(digest->ctx, out, &len) == 1 && len == DIGEST_BYTES;

    digest->begun = false;
    if (!done) {
        tls_error_begin();
    }
    return done;
}

void digest_reset(struct digest *digest)
{
    digest->begun = false;
}
