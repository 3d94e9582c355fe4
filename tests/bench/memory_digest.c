/* CPU of one SHA-256 per message, the way a server has to do it: what tlsmsg/1 with a producer costs
 * at least beside tlsmsg/1 without one. */
#include "clock.h"
#include "memory.h"
#include "message.h"

#include <openssl/evp.h>

#include <stdio.h>

#define BLOCK_DIGESTS 512u

static bool digest_once(EVP_MD_CTX *ctx, const EVP_MD *sha256, const char *data, size_t len)
{
    unsigned char out[EVP_MAX_MD_SIZE];

    return EVP_DigestInit_ex(ctx, sha256, NULL) == 1 && EVP_DigestUpdate(ctx, data, len) == 1 &&
           EVP_DigestFinal_ex(ctx, out, NULL) == 1;
}

bool memory_digest(const struct memory_options *o, struct memory_result *out)
{
    EVP_MD *sha256 = EVP_MD_fetch(NULL, "SHA256", NULL); /* once: it is looked up for each else */
    EVP_MD_CTX *ctx = EVP_MD_CTX_new();
    const char *data = message_make(o->size, 0, 1);
    uint64_t end_ns = clock_now_ns() + clock_seconds_ns(o->seconds);
    uint64_t begin_ns = clock_read_ns(CLOCK_THREAD_CPUTIME_ID);
    bool good = sha256 != NULL && ctx != NULL;

    while (good && (o->units > 0 ? out->units < o->units
                                 : out->units % BLOCK_DIGESTS > 0 || clock_now_ns() < end_ns)) {
        good = digest_once(ctx, sha256, data, o->size);
        out->units++;
    }
    out->server_cpu_us_per_unit =
        (double)(clock_read_ns(CLOCK_THREAD_CPUTIME_ID) - begin_ns) / 1000.0 / (double)out->units;
    EVP_MD_CTX_free(ctx);
    EVP_MD_free(sha256);
    if (!good) {
        fputs("bench-memory: SHA-256 failed\n", stderr);
    }
    return good;
}
