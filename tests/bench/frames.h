/*
 * tlsmsg/1 around the messages (--numbered): what the load program puts before and behind each, and
 * the check that each reply comes in the frame that is due: its number, its length, its line end.
 * The greeting of the server is the only line whose text is not known beforehand.
 */
#ifndef BENCH_FRAMES_H
#define BENCH_FRAMES_H

#include "bytes.h"
#include "message.h"

#define FRAMES_PROTOCOL "\x08tlsmsg/1" /* as ALPN's list has it */
#define FRAMES_SIZE_MAX (64u * 1024 * 1024)

enum frames_state { FRAMES_GREETING, FRAMES_HEADER, FRAMES_BODY, FRAMES_END };

struct frames {
    enum frames_state state;
    uint64_t sent;   /* number of the last message that was sent, 0 = none */
    uint64_t number; /* of the reply that is due */
    char line[256];  /* what has come of a header */
    size_t line_len;
    size_t left; /* bytes of the body that are still to come */
};

void frames_init(struct frames *f);

/* Appends the client's greeting. producer: under a name of its own, made of two numbers. */
void frames_put_hello(struct bytes *to, bool producer, uint32_t connection, uint32_t cycle);

/* Appends the next message in its frame. */
void frames_put_message(struct frames *f, struct bytes *to, const char *message, size_t size);

/* reply_check_feed() for framed replies. */
long frames_feed(struct frames *f, struct reply_check *check, const char *data, size_t len);

#endif
