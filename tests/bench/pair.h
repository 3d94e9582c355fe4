/*
 * A TLS client and a TLS server joined in memory: no socket, no kernel. The server is set up as a
 * careful server on a socket would be (released buffers, read-ahead, one ticket with the first
 * reply), so that what its calls cost is the least that OpenSSL asks for this conversation.
 */
#ifndef BENCH_PAIR_H
#define BENCH_PAIR_H

#include "bytes.h"
#include "bytes_bio.h"

#include <openssl/ssl.h>
#include <stdint.h>

struct pair_setting {
    SSL_CTX *server;
    SSL_CTX *client;
};

struct pair {
    const struct pair_setting *setting;
    SSL *server;
    SSL *client;
    struct bytes to_server;
    struct bytes to_client;
    struct bytes_bio server_ends;
    struct bytes_bio client_ends;
    SSL_SESSION *session;  /* the newest one the client got */
    uint64_t server_ns;    /* CPU of the server's calls since pair_open() */
    uint64_t server_bytes; /* heap that they took and did not give back, when watched (heap.h) */
};

/* False after telling stderr why. */
bool pair_setting_init(struct pair_setting *s, const char *cert, const char *key, bool tls12);
void pair_setting_fini(struct pair_setting *s);

void pair_init(struct pair *p, const struct pair_setting *setting);

/* Handshake, with the kept session when `resume`. */
bool pair_open(struct pair *p, bool resume);

/* One message of `size` bytes and its reply, checked. The first one brings the ticket. */
bool pair_exchange(struct pair *p, size_t size, uint64_t sequence);

/* The server's read that finds nothing, as before it would wait: it gives the read buffer back. */
bool pair_rest(struct pair *p);

/* close_notify in both directions; frees both ends, keeps the session. */
bool pair_close(struct pair *p);

void pair_fini(struct pair *p);

#endif
