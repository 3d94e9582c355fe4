/* Our own certificates and keys. */
#ifndef TRANSPORT_TLS_CERTIFICATES_H
#define TRANSPORT_TLS_CERTIFICATES_H

#include <openssl/ssl.h>

#include "options/options.h"

/* Loads every --cert with its --key into ctx: chain, key, that both belong together, dates.
 * A server must have one; a client may. TLSMSG_ERR_CONFIG or _NOMEM. */
enum tlsmsg_code certificates_load(SSL_CTX *ctx, const struct tls_settings *settings,
                                   struct tlsmsg_error *err);

#endif
