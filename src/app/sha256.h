/* SHA-256, as the store has it of numbered messages. */
#ifndef APP_SHA256_H
#define APP_SHA256_H

#include <stdbool.h>
#include <stddef.h>

#define SHA256_OUT_BYTES 32

/* False: OpenSSL has no memory, or no SHA-256. */
bool sha256(const void *data, size_t len, unsigned char out[SHA256_OUT_BYTES]);

#endif
