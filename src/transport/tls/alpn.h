/* Which protocol the peers speak over TLS (ALPN, RFC 7301). */
#ifndef TRANSPORT_TLS_ALPN_H
#define TRANSPORT_TLS_ALPN_H

#include <stdbool.h>

#include <openssl/ssl.h>

/* A server's: selects tlsmsg/1 where a client offers it, whatever else it offers beside it, and
 * nothing (no alert either) where it doesn't. */
void alpn_select(SSL_CTX *ctx);

/* A client's: offers tlsmsg/1, alone. False when out of memory. */
bool alpn_offer(SSL_CTX *ctx);

/* What was selected, "tlsmsg/1"; NULL: nothing, which means the document's flow. Static. */
const char *alpn_selected(const SSL *ssl);

#endif
