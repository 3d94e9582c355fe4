/* The BIO through which OpenSSL reaches a byte source.
 *
 * It never reports a hard failure: end of file, a broken source and a peer
 * that speaks no TLS all look like "try again" to OpenSSL, a failed write and
 * all after it look like success, and the link notes them, where the transport
 * finds them. So an SSL object survives the peer's end of file (replies still
 * leave), a failed write (what the peer said before can still be read), and
 * answers nothing to plaintext. */
#ifndef TRANSPORT_TLS_BIO_H
#define TRANSPORT_TLS_BIO_H

#include <stdbool.h>

#include <openssl/bio.h>

#include "net/socket.h"

/* What the first bytes of a peer show. */
enum link_peer { LINK_PEER_TLS, LINK_PEER_HTTP, LINK_PEER_PLAINTEXT };

struct source_link {
    struct byte_source *source; /* borrowed */
    int read_errno;             /* not 0: reading failed for good */
    int write_errno;            /* not 0: writing failed for good, and what is written is lost */
    enum link_peer peer;        /* other than LINK_PEER_TLS: its bytes are kept from OpenSSL */
    bool alert_is_tls;          /* a first byte 0x15 counts as TLS too (a client's view) */
    bool heard;                 /* a byte came */
    bool eof;                   /* the peer shut its writing side */
    bool muted;                 /* reads find nothing, without asking the source */
    bool cork;                  /* the next write may wait for the one after it */
};

void source_link_init(struct source_link *link, struct byte_source *source, bool alert_is_tls);

/* The method, to be freed with BIO_meth_free once no BIO of it is left; NULL when out of memory. */
BIO_METHOD *source_bio_method_new(void);

/* A BIO over link, which is borrowed; NULL when out of memory. */
BIO *source_bio_new(const BIO_METHOD *method, struct source_link *link);

#endif
