/* Judging the certificate that a peer shows, inside the handshake. */
#ifndef TRANSPORT_TLS_VERIFY_H
#define TRANSPORT_TLS_VERIFY_H

#include <openssl/x509.h>

/* The callback of SSL_CTX_set_cert_verify_callback(3). On refusal it records the cause in the
 * error of the verb that is running, so that nothing about the certificate has to be kept. */
int verify_peer(X509_STORE_CTX *store, void *unused);

#endif
