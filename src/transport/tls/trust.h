/* Whom we trust: the CAs of a context, and what is asked of one connection's peer. */
#ifndef TRANSPORT_TLS_TRUST_H
#define TRANSPORT_TLS_TRUST_H

#include <openssl/ssl.h>

#include "options/options.h"
#include "transport/tls/peer_name.h"

/* Loads the CAs (--ca or the system's store for a client, --client-ca for a server), sets what
 * is demanded of peers and the session id context. TLSMSG_ERR_CONFIG or _NOMEM. */
enum tlsmsg_code trust_load(SSL_CTX *ctx, const struct tls_settings *settings,
                            struct tlsmsg_error *err);

/* Sets name, SNI (not for literals) and the check of one client's connection. */
enum tlsmsg_code trust_expect(SSL *ssl, const struct peer_name *name, struct tlsmsg_error *err);

#endif
