/* The inside of a transport, shared by the verbs and by what OpenSSL calls back into. */
#ifndef TRANSPORT_TLS_SESSION_H
#define TRANSPORT_TLS_SESSION_H

#include <openssl/ssl.h>

#include "transport/tls/source_bio.h"
#include "transport/tls/tls_error.h"
#include "transport/transport.h"

/* Small on purpose: every idle conversation has one. */
struct transport {
    SSL *ssl;
    struct transport_config *config; /* a reference */
    struct source_link link;
    struct tlsmsg_error *err; /* of the verb that is running: callbacks record causes here */
    char *identity;           /* the peer's, once it was asked for */
    struct tls_situation situation;
    bool records_key;  /* a client's: the server's key is new, and recorded once it is proved */
    bool wants_ticket; /* a server's: the next send takes a ticket along */
    bool sending;      /* a record is half sent */
    bool said_goodbye; /* close_notify is out, the writing side is shut */
    bool broken;       /* OpenSSL failed: it must not be asked for anything more */
};

/* The transport of an SSL object. */
struct transport *session_of(const SSL *ssl);

/* The name or address the server was asked for by, as kept in the SSL object. */
void session_peer_name(const struct transport *t, char *out, size_t cap);

#endif
