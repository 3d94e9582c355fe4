/* Revocation lists: given as a file, checked in the handshake, and again when a session is resumed. */
#ifndef TRANSPORT_TLS_REVOCATION_H
#define TRANSPORT_TLS_REVOCATION_H

#include <stdbool.h>

#include <openssl/ssl.h>

#include "options/options.h"

/* Adds the lists of --crl to the context's trust and has every peer's certificate looked up in
 * its CA's list. *out receives them (NULL without --crl), owned by the caller.
 * TLSMSG_ERR_CONFIG: unreadable, no list in it, or one is past its date. */
enum tlsmsg_code revocation_load(SSL_CTX *ctx, const struct tls_settings *settings,
                                 STACK_OF(X509_CRL) **out, struct tlsmsg_error *err);

/* True where a list of the certificate's issuer names it. lists: may be NULL. */
bool revocation_names(STACK_OF(X509_CRL) *lists, X509 *cert);

#endif
