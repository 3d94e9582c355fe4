/*
 * As much of NATS as a load on JetStream needs: a client that sees to it that there is a stream in
 * files, publishes into it, and awaits what the stream answers to each message. The server speaks
 * first, in plain; TLS begins after that line. (docs.nats.io, Client Protocol and JetStream's wire
 * API.)
 */
#ifndef BENCH_NATS_H
#define BENCH_NATS_H

#include "bytes.h"
#include "message.h"

struct nats {
    struct bytes held; /* what came, and is not whole yet */
    uint64_t stored;   /* the stream's number of the message that was acknowledged last */
    bool has_info;     /* the server's first line has come */
    bool owes_pong;    /* it asked for a sign of life */
};

enum greeting {
    GREETING_PART,
    GREETING_INFO,     /* the server has spoken: now TLS, and nats_put_connect() */
    GREETING_ACCEPTED, /* the stream is there */
    GREETING_REFUSED
};

/* Begins a connection. The first one needs a struct of zeros. */
void nats_init(struct nats *n);
void nats_fini(struct nats *n);

/* Takes what comes before the first message, any cut. After GREETING_INFO all of it has been taken. */
enum greeting nats_take_greeting(struct nats *n, const char *data, size_t len);

/* Appends a client's greeting: its inbox, and the order to make the stream, which may be there. */
void nats_put_connect(struct bytes *to, uint32_t client);

/* Appends message `sequence` of a client, and a PONG where one is owed. */
void nats_put_publish(struct nats *n, struct bytes *to, uint32_t client, uint64_t sequence,
                      const char *message, size_t size);

/* reply_check_feed() for acknowledgements: each names the message that is due, tells no error, and
 * has a higher number in the stream than the one before. */
long nats_feed(struct nats *n, struct reply_check *check, const char *data, size_t len);

/* Behind a refusal or a wrong acknowledgement: writes the server's words, as one line that may be
 * cut, to `out`. */
void nats_quote(const struct nats *n, char *out, size_t size);

#endif
