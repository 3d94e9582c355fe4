/*
 * The load: all connections, the loop that drives them, and what was counted. A mode (message,
 * handshake, idle) decides through two hooks what a connection does next. Single-threaded.
 */
#ifndef BENCH_LOAD_H
#define BENCH_LOAD_H

#include "frames.h"
#include "histogram.h"
#include "link.h"
#include "message.h"
#include "nats.h"
#include "options.h"

enum client_phase {
    CLIENT_GONE,
    CLIENT_CONNECTING,
    CLIENT_HANDSHAKING,
    CLIENT_RESTING, /* established, no reply due */
    CLIENT_WAITING, /* replies due */
    CLIENT_CLOSING  /* our end is said, the server's awaited */
};

enum load_failure {
    FAILURE_CONNECT,
    FAILURE_HANDSHAKE,
    FAILURE_MISMATCH, /* a reply that is not the one due */
    FAILURE_CLOSED,   /* the server ended while a reply was due, or left a held connection */
    FAILURE_TIMEOUT,
    FAILURE_KINDS
};

struct client {
    struct link link;
    struct reply_check check;
    struct frames frames; /* --numbered */
    struct nats nats;     /* --nats */
    enum client_phase phase;
    uint32_t index;
    bool is_greeting;    /* a broker's answer is awaited, before the client is established */
    uint32_t due;        /* replies awaited */
    uint32_t exchanges;  /* batches answered on this connection */
    uint32_t cycles;     /* connections opened by this client so far */
    uint32_t interest;   /* what epoll was told */
    uint64_t began_ns;   /* when connect() was called */
    uint64_t sent_ns;    /* when the awaited batch left */
    uint64_t touched_ns; /* last progress, for the timeout */
};

struct load_counters {
    uint64_t messages;
    uint64_t replies; /* less than messages when the server joined some */
    uint64_t handshakes;
    uint64_t resumed;
    uint64_t cycles;           /* connections that went from connect to orderly close */
    uint64_t truncated_closes; /* closed without close_notify after our own: theirs, not an error */
    uint64_t failures[FAILURE_KINDS];
};

struct load;

struct load_mode {
    /* The client is established, or its batch was answered (client->exchanges tells). It may call
     * load_send() or load_finish(), or leave the client resting. */
    void (*ready)(struct load *load, struct client *client);
    /* The connection is over and closed; `orderly` when all replies came. May call load_open(). */
    void (*gone)(struct load *load, struct client *client, bool orderly);
};

struct load {
    const struct bench_options *options;
    const struct load_mode *mode;
    struct endpoint endpoint;
    struct client *clients;
    int epoll;
    uint32_t opening; /* clients between connect() and the end of the handshake */
    uint32_t live;    /* clients that are not gone */
    uint64_t issued;  /* messages or cycles begun, for counted runs */
    bool stopping;    /* no new work */
    uint64_t swept_ns;
    struct load_counters counters;
    struct histogram latency;
    struct bytes text;
    struct bytes frame;
    char first_failure[256];
    char agreed[96];
};

const char *load_failure_name(enum load_failure kind);

/* False after telling stderr why. Raises the limit of open files when the connections need it. */
bool load_init(struct load *load, const struct bench_options *o, const struct load_mode *mode);
void load_fini(struct load *load);

/* Opens a connection for a client that is gone. */
void load_open(struct load *load, struct client *client);

/* Sends the next `depth` messages of an established client. */
void load_send(struct load *load, struct client *client, uint32_t depth);

/* Ends an established client in order. */
void load_finish(struct load *load, struct client *client);

/* One wait (until `until_ns` at most) and what it brought; also ends clients that made no progress
 * within the timeout. */
void load_turn(struct load *load, uint64_t until_ns);

/* Turns until the time. */
void load_run_until(struct load *load, uint64_t until_ns);

/* Opens clients from..to (exclusive) that are gone, a few at a time, and turns until none of them
 * is between two phases: each is resting or gone. */
void load_open_all(struct load *load, uint32_t from, uint32_t to);

/* No new work: ends every client as soon as it rests, and turns until all are gone. */
void load_finish_all(struct load *load);

uint64_t load_failures(const struct load *load);

#endif
