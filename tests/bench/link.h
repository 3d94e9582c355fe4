/*
 * One connection of the load program: a non-blocking socket with or without TLS on it. It moves
 * bytes and says what happened; it knows nothing of messages, epoll or counting. The receive and
 * send buffers belong to the endpoint and are shared by all its links (one thread, one link at a
 * time), so ten thousand held connections cost the client little more than their SSL objects.
 */
#ifndef BENCH_LINK_H
#define BENCH_LINK_H

#include "bytes.h"
#include "bytes_bio.h"

#include <netinet/in.h>
#include <openssl/ssl.h>
#include <stdint.h>

/* What all links have in common. */
struct endpoint {
    struct sockaddr_storage address;
    socklen_t address_len;
    uint32_t sources; /* rotate over this many 127.0.0.x; 1 = let the kernel choose */
    uint32_t opened;
    SSL_CTX *tls;  /* NULL = plain */
    bool late_tls; /* the server first says something in plain: link_secure() begins TLS */
    struct bytes in;
    struct bytes out;
};

enum link_result {
    LINK_OK,
    LINK_CLOSED,    /* the peer's close_notify, or end of file in plain */
    LINK_TRUNCATED, /* end of file without close_notify */
    LINK_RESET,
    LINK_FAILED /* link->why says what */
};

struct link {
    struct endpoint *endpoint;
    int fd; /* -1 = none */
    SSL *ssl;
    struct bytes_bio ends;
    bool established;
    struct bytes unsent;
    SSL_SESSION *session; /* kept over close, for the next connection of this link */
    char why[160];
};

void link_init(struct link *l, struct endpoint *endpoint);

/* Starts to connect; wait for the socket to become writable, then link_start(). */
enum link_result link_open(struct link *l);

/* After connect(): its outcome, and the first flight, unless TLS is late. With `resume` it offers the kept session, if
 * there is one. */
enum link_result link_start(struct link *l, bool resume);

/* With late_tls, where the server has said what it had to say in plain: the first flight. */
enum link_result link_secure(struct link *l, bool resume);

/* The socket is readable: one recv(), then the handshake or the data. What was received for the
 * caller replaces `text`, and is there also when the result is not LINK_OK. */
enum link_result link_receive(struct link *l, struct bytes *text);

/* Queues one message (a record of its own under TLS), for link_flush(). Nothing of another link may
 * be queued in between. */
enum link_result link_queue(struct link *l, const char *data, size_t len);

/* Sends what is queued; what the kernel does not take stays in l->unsent. */
enum link_result link_flush(struct link *l);

/* close_notify and the end of our writing side; the peer's end follows through link_receive(). */
enum link_result link_finish(struct link *l);

/* Frees socket and SSL object, keeps the session. */
void link_close(struct link *l);

void link_fini(struct link *l);

#endif
