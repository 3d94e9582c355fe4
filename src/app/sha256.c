/* The one file of the programs that knows OpenSSL. */
#include "app/sha256.h"

#include <openssl/evp.h>

bool sha256(const void *data, size_t len, unsigned char out[SHA256_OUT_BYTES])
{
    unsigned got = 0;

    return EVP_Digest(data, len, out, &got, EVP_sha256(), NULL) == 1 && got == SHA256_OUT_BYTES;
}
