/* The inside of a transport configuration. */
#ifndef TRANSPORT_TLS_CONFIG_H
#define TRANSPORT_TLS_CONFIG_H

#include <stdatomic.h>
#include <stdbool.h>

#include <openssl/bio.h>
#include <openssl/ssl.h>

#include "transport/tls/allow.h"
#include "transport/tls/client_trust.h"
#include "transport/tls/notes.h"
#include "transport/tls/revocation.h"
#include "transport/tls/tickets.h"
#include "transport/transport.h"

/* Immutable once made, but for the count of references. */
struct transport_config {
    atomic_uint refs;
    bool is_server;
    bool has_certificate;
    BIO_METHOD *bio_method;
    SSL_CTX *ctx;
    struct ticket_keys *tickets;       /* a server's */
    bool asks_for_certificate;         /* a server: --client-ca was given */
    STACK_OF(X509_CRL) *revoked;       /* NULL without --crl */
    struct allow_list *allowed;        /* a server's; NULL: everybody who verifies */
    struct client_trust *client_trust; /* a client's */
    int keylog_fd;                     /* -1: session secrets are not logged */
    struct notes notes;
};

#endif
