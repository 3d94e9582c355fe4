/* What an operator should know of a configuration that works: keys that others can read,
 * certificates that end soon, secrets that are logged. */
#ifndef TRANSPORT_TLS_NOTES_H
#define TRANSPORT_TLS_NOTES_H

#include <stddef.h>
#include <stdint.h>

#include <openssl/ssl.h>

#include "options/options.h"

/* Days before a certificate's end from which on it is worth a warning. */
#define NOTES_DAYS 30

struct notes {
    char **texts;
    size_t count;
    int64_t expiry_unix_s; /* when the first of our certificates ends; 0: there is none */
};

/* Fills notes from the context's certificates and the settings' files. What can't be noted for
 * want of memory is left out. */
void notes_collect(struct notes *notes, SSL_CTX *ctx, const struct tls_settings *settings);
void notes_fini(struct notes *notes);

#endif
