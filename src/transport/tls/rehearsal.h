/* Trying what was loaded: whether an own certificate can do its work, before a client finds out.
 *
 * Used by --check, at the start and at a reload alike, for they all make a configuration. */
#ifndef TRANSPORT_TLS_REHEARSAL_H
#define TRANSPORT_TLS_REHEARSAL_H

#include <openssl/ssl.h>

#include "options/options.h"
#include "transport/tls/load.h"

/* One own certificate of a server, with its chain and key. */
struct rehearsed {
    const struct file *file; /* that the chain is from */
    X509 *leaf;
    EVP_PKEY *key;
    STACK_OF(X509) *issuers;
};

/* Looks at purpose, names and chain, then shakes hands in memory with a client of the same policy,
 * in each version of TLS that the settings allow. What no client could use is TLSMSG_ERR_CONFIG; what
 * some could not is a warning in the report. */
enum tlsmsg_code rehearse_certificate(const struct rehearsed *own,
                                      const struct tls_settings *settings,
                                      struct load_report *report, struct tlsmsg_error *err);

/* Leaves the CAs' names out of the certificate requests where they don't fit into one (RFC 8446
 * section 4.2.4), with a warning: clients then choose by themselves. */
void rehearse_request(SSL_CTX *ctx, struct load_report *report);

#endif
