/* What the files of the TLS transport share: a connection and a configuration, from inside. */
#ifndef TRANSPORT_TLS_INTERNAL_H
#define TRANSPORT_TLS_INTERNAL_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <openssl/bio.h>
#include <openssl/ssl.h>
#include <openssl/x509.h>

#include "transport/tls/bio.h"
#include "transport/tls/client_trust.h"
#include "transport/tls/errors.h"
#include "transport/tls/load.h"
#include "transport/tls/tickets.h"
#include "transport/transport.h"

struct allow_list;
struct certificate_list;

/* Records without data in a row, key updates and warnings, that a peer may send. */
#define IDLE_RECORDS_MAX 32

/* Immutable once made, but for the count of references. */
struct transport_config {
    atomic_uint refs;
    bool is_server;
    bool has_certificate;
    bool asks_for_certificate; /* a server: --client-ca was given */
    BIO_METHOD *bio_method;
    SSL_CTX *ctx;
    struct certificate_list *by_name;  /* a server's with several; or NULL */
    struct ticket_keys *tickets;       /* a server's */
    STACK_OF(X509_CRL) *crls;          /* NULL without --crl */
    struct ticket_lists lists;         /* a server's: crls, as sessions see them */
    struct allow_list *allowed;        /* a server's; NULL: everybody who verifies */
    struct client_trust *client_trust; /* a client's */
    int keylog_fd;                     /* -1: session secrets are not logged */
    struct load_report report;
};

/* A connection. Small on purpose: every idle conversation has one. */
struct transport {
    SSL *ssl;
    struct transport_config *config; /* a reference */
    struct source_link link;
    struct tlsmsg_error *err; /* of the verb that is running: callbacks record causes here */
    char *identity;           /* the peer's, once it was asked for */
    const char *group;        /* its name, borrowed from the library; once it was asked for */
    struct handshake_state state;
    struct server_key key; /* a client's */
    uint8_t idle_records;  /* without data: of the recv that is running or was the last */
    uint8_t idle_in_row;   /* ... since the last data */
    bool receiving;        /* transport_recv is running */
    bool wants_ticket;     /* a server's: the next send takes a ticket along */
    bool sending;          /* a record is half sent */
    bool write_is_shut;    /* close_notify is out, the writing side is shut */
    bool broken;           /* OpenSSL failed: it must not be asked for anything more */
};

/* The connection that OpenSSL calls back for. By way of the BIO, which knows the link anyhow:
 * SSL_set_app_data(3) would allocate some 100 bytes for each idle conversation. */
static inline struct transport *transport_from_ssl(const SSL *ssl)
{
    struct source_link *link = BIO_get_data(SSL_get_rbio(ssl));

    return (struct transport *)((char *)link - offsetof(struct transport, link));
}

#endif
