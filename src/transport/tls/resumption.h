/* Who may resume a session: a ticket carries a decision that may no longer hold. */
#ifndef TRANSPORT_TLS_RESUMPTION_H
#define TRANSPORT_TLS_RESUMPTION_H

#include <openssl/ssl.h>

/* Has a server's context look at the certificate in each ticket (dates, revocation, allow list)
 * before it is used; one that no longer passes is ignored, so that the full handshake that
 * follows says why. True on success. */
int resumption_install(SSL_CTX *ctx);

#endif
