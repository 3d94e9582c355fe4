/* The inside of a transport configuration. */
#ifndef TRANSPORT_TLS_CONFIG_H
#define TRANSPORT_TLS_CONFIG_H

#include <stdatomic.h>
#include <stdbool.h>

#include <openssl/bio.h>
#include <openssl/ssl.h>

#include "transport/tls/tickets.h"
#include "transport/transport.h"

/* Immutable once made, but for the count of references. */
struct transport_config {
    atomic_uint refs;
    bool is_server;
    bool has_certificate;
    BIO_METHOD *bio_method;
    SSL_CTX *ctx;
    struct ticket_keys *tickets; /* a server's */
};

#endif
