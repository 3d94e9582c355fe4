/*
 * What the load programs send, and how they check what comes back: every reply must be the
 * document's words followed by exactly the bytes that were sent, in order. Each message carries its
 * connection and its number, so a reply that belongs to another one is a mismatch. Messages are
 * ASCII and end in a line feed (for servers that can only see a stream they mark where one ends).
 */
#ifndef BENCH_MESSAGE_H
#define BENCH_MESSAGE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define MESSAGE_PREFIX "你好，我已收到你的消息："
#define MESSAGE_PREFIX_LEN (sizeof MESSAGE_PREFIX - 1)
/* The largest record, less the prefix: a reply still fits one record. */
#define MESSAGE_SIZE_MAX (16384 - MESSAGE_PREFIX_LEN)

/* Writes message `sequence` of `connection`, `size` bytes, to `out`. */
void message_fill(char *out, size_t size, uint32_t connection, uint64_t sequence);

/* The same, in memory that belongs to the next call. */
const char *message_make(size_t size, uint32_t connection, uint64_t sequence);

struct reply_check {
    size_t size;
    uint32_t connection;
    uint64_t sequence; /* of the message whose reply is awaited */
    size_t prefix_seen;
    size_t payload_seen;
    bool any_cut; /* the server may join or split messages (a plain stream has no edges) */
    bool mqtt;    /* PUBACKs are awaited */
    uint64_t prefixes;
};

void reply_check_init(struct reply_check *c, size_t size, uint32_t connection, uint64_t sequence,
                      bool any_cut);

/* Takes `len` bytes of the reply stream, any cut. Returns how many messages were answered in full
 * by them, or -1 at the first byte that is wrong. */
long reply_check_feed(struct reply_check *c, const char *data, size_t len);

/* True when the stream stands between two replies. */
bool reply_check_at_edge(const struct reply_check *c);

#endif
