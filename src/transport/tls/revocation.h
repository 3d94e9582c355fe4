/* Revocation lists of --crl: read whole, and refused where they can't do their work. */
#ifndef TRANSPORT_TLS_REVOCATION_H
#define TRANSPORT_TLS_REVOCATION_H

#include <openssl/ssl.h>

#include "options/options.h"
#include "transport/tls/load.h"

/* Adds the lists of --crl to the context's trust and has every peer's certificate looked up in
 * its CA's list. After the CAs. *out receives them (NULL without --crl), owned by the caller.
 * TLSMSG_ERR_CONFIG: unreadable, no list in it, or one that would refuse everybody or let pass what
 * it should not: out of its dates, a delta list, one with a scope that can't be followed, one that
 * the CA of its name has not signed. */
enum tlsmsg_code revocation_load(SSL_CTX *ctx, const struct tls_settings *settings,
                                 STACK_OF(X509_CRL) **out, struct load_report *report,
                                 struct tlsmsg_error *err);

#endif
