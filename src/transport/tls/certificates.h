/* Our own certificates and keys, and which of them a client is shown. */
#ifndef TRANSPORT_TLS_CERTIFICATES_H
#define TRANSPORT_TLS_CERTIFICATES_H

#include <openssl/ssl.h>

#include "options/options.h"
#include "transport/tls/load.h"

/* A server's several certificates, by the names that they are for. */
struct certificate_list;

/* Loads every --cert with its --key into ctx: chain, key, that both belong together, dates.
 * A server must have one; a client may. *by_name, NULL before: a server's list where it has
 * several, which must outlive ctx. It is the caller's to free, after a failure too.
 * TLSMSG_ERR_CONFIG or _NOMEM. */
enum tlsmsg_code certificates_load(SSL_CTX *ctx, const struct tls_settings *settings,
                                   struct certificate_list **by_name, struct load_report *report,
                                   struct tlsmsg_error *err);
void certificates_free(struct certificate_list *by_name);

#endif
