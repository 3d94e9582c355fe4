#include "transport/tls/alpn.h"

#include <string.h>

/* On the wire a name has its length before it. */
#define NAME "tlsmsg/1"
static const unsigned char offer[] = "\x08" NAME;
#define OFFER_BYTES (sizeof(offer) - 1)
#define NAME_BYTES (OFFER_BYTES - 1)

/* The list is the client's own bytes, so its lengths are held against its end; OpenSSL has done
 * the same before. */
static int choose(SSL *ssl, const unsigned char **out, unsigned char *out_len,
                  const unsigned char *in, unsigned in_len, void *arg)
{
    (void)ssl;
    (void)arg;
    for (unsigned at = 0; at < in_len && in_len - at > in[at]; at += 1u + in[at]) {
        if (in[at] == NAME_BYTES && memcmp(in + at + 1, offer + 1, NAME_BYTES) == 0) {
            *out = in + at + 1;
            *out_len = (unsigned char)NAME_BYTES;
            return SSL_TLSEXT_ERR_OK;
        }
    }
    return SSL_TLSEXT_ERR_NOACK;
}

void alpn_select(SSL_CTX *ctx)
{
    SSL_CTX_set_alpn_select_cb(ctx, choose, NULL);
}

bool alpn_offer(SSL_CTX *ctx)
{
    /* Unlike most of OpenSSL this returns 0 for success. */
    return SSL_CTX_set_alpn_protos(ctx, offer, (unsigned)OFFER_BYTES) == 0;
}

const char *alpn_selected(const SSL *ssl)
{
    const unsigned char *name = NULL;
    unsigned len = 0;

    SSL_get0_alpn_selected(ssl, &name, &len);
    return len == NAME_BYTES && memcmp(name, offer + 1, NAME_BYTES) == 0 ? NAME : NULL;
}
