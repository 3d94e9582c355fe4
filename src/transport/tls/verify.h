/* Whom we trust: CAs and revocation lists of a context, what is asked of one connection's peer, and
 * the verdict on the certificate that it shows.
 *
 * On refusal the cause is recorded in the error of the verb that is running, so that nothing about
 * the certificate has to be kept. */
#ifndef TRANSPORT_TLS_VERIFY_H
#define TRANSPORT_TLS_VERIFY_H

#include <stdbool.h>

#include <openssl/ssl.h>

#include "options/options.h"
#include "transport/tls/identity.h"
#include "transport/tls/load.h"

/* Loads the CAs (--ca or the system's store for a client, --client-ca for a server), sets what
 * is demanded of peers, who judges them, and the session id context. TLSMSG_ERR_CONFIG or
 * _NOMEM. */
enum tlsmsg_code verify_load_cas(SSL_CTX *ctx, const struct tls_settings *settings,
                                 struct load_report *report, struct tlsmsg_error *err);

/* True where a list of the certificate's issuer names it. lists: may be NULL. */
bool verify_is_revoked(STACK_OF(X509_CRL) *lists, X509 *cert);

/* Sets name, SNI (not for literals) and the check of one client's connection. */
enum tlsmsg_code verify_expect(SSL *ssl, const struct server_name *name, struct tlsmsg_error *err);

#endif
