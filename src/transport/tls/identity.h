/* Who a peer is, by its verified certificate. */
#ifndef TRANSPORT_TLS_IDENTITY_H
#define TRANSPORT_TLS_IDENTITY_H

#include <openssl/x509.h>

/* The identity with its type, escaped: the first "URI:...", else "email:...", else "DNS:..." of
 * subjectAltName, else "CN=..." (the last). Owned by the caller (free(3)); NULL where there is none
 * or no memory. */
char *identity_of(const X509 *cert);

#endif
