/* SHA-256 (FIPS 180-4) of bytes as they come, in the TLS build: by it a message that is sent again
 * is known to be the same.
 *
 * A digest is for one message at a time and can be used again at once; one thread at a time. */
#ifndef TRANSPORT_DIGEST_H
#define TRANSPORT_DIGEST_H

#include <stdbool.h>
#include <stddef.h>

#define DIGEST_BYTES 32

struct digest;

/* NULL when out of memory. */
struct digest *digest_new(void);
void digest_free(struct digest *digest); /* NULL is a no-op */

/* Takes the next bytes; the first after digest_new or digest_end begin a message.
 * False when out of memory: then nothing but digest_free is left. */
bool digest_add(struct digest *digest, const void *data, size_t len);

/* Gives the digest of what was added since the last end. False as digest_add. */
bool digest_end(struct digest *digest, unsigned char out[DIGEST_BYTES]);

#endif
