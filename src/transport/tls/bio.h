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

#include <openssl/ssl.h>

#include "net/socket.h"

/* What the first bytes of a peer show. */
enum link_peer { LINK_PEER_TLS, LINK_PEER_HTTP, LINK_PEER_PLAINTEXT };

/* Longest ClientHello that a server takes. OpenSSL takes four times as much, and takes the memory
 * when it has read the length alone. */
#define CLIENT_HELLO_MAX_BYTES 32768

/* What a server has seen pass of the handshake's records, as far as the length of a ClientHello, be
 * it the first or one that was asked for again, needs it. */
struct hello_guard {
    bool is_over;        /* nothing to look at any more */
    bool skips;          /* the record is none of the handshake's */
    uint8_t record_have; /* bytes of the header */
    uint8_t message_have;
    unsigned char record[5];
    unsigned char message[4];
    uint16_t record_left;
    uint32_t message_left;
};

struct source_link {
    struct byte_source *source; /* borrowed */
    const SSL *ssl;      /* that reads through it, borrowed; NULL: its version is not known */
    int read_errno;      /* not 0: reading failed for good */
    int write_errno;     /* not 0: writing failed for good, and what is written is lost */
    enum link_peer peer; /* other than LINK_PEER_TLS: its bytes are kept from OpenSSL */
    bool alert_is_tls;   /* a first byte 0x15 counts as TLS too (a client's view) */
    bool heard;          /* a byte came */
    bool eof;            /* the peer shut its writing side */
    bool is_too_long;    /* the ClientHello */
    struct hello_guard guard;
    bool muted; /* reads find nothing, without asking the source */
    bool cork;  /* the next write may wait for the one after it */
};

void source_link_init(struct source_link *link, struct byte_source *source, bool alert_is_tls);

/* The method, to be freed with BIO_meth_free once no BIO of it is left; NULL when out of memory. */
BIO_METHOD *source_bio_method_new(void);

/* A BIO over link, which is borrowed; NULL when out of memory. */
BIO *source_bio_new(const BIO_METHOD *method, struct source_link *link);

#endif
