/* CPU of the server's TLS per message. The clients' records are made first, then the server works
 * through a block of at least 512 messages between two readings of the clock: one read per record,
 * one write per batch of D, connections in turn (their state is then as cold as it really is). */
#include "clock.h"
#include "memory.h"
#include "message.h"

#include <stdio.h>
#include <stdlib.h>

#define BLOCK_MESSAGES 512u

struct block {
    struct pair *pairs;
    const struct memory_options *options;
    uint32_t rounds;
    uint64_t sequence; /* of the first message of this block, the same on each connection */
};

static bool complain(const char *what)
{
    fprintf(stderr, "bench-memory: %s failed\n", what);
    return false;
}

static bool clients_send(const struct block *b)
{
    uint64_t per_client = (uint64_t)b->rounds * b->options->depth;
    uint64_t i;
    uint32_t c;
    size_t put;

    for (c = 0; c < b->options->connections; c++) {
        for (i = 0; i < per_client; i++) {
            const char *message = message_make(b->options->size, c, b->sequence + i);

            if (SSL_write_ex(b->pairs[c].client, message, b->options->size, &put) != 1) {
                return complain("client write");
            }
        }
    }
    return true;
}

/* One batch: D records in, their replies out in one write. */
static bool serve_batch(SSL *server, uint32_t depth, struct bytes *replies)
{
    size_t got, put;
    uint32_t i;

    bytes_clear(replies);
    for (i = 0; i < depth; i++) {
        bytes_append(replies, MESSAGE_PREFIX, MESSAGE_PREFIX_LEN);
        if (SSL_read_ex(server, bytes_reserve(replies, MESSAGE_SIZE_MAX), MESSAGE_SIZE_MAX, &got) !=
            1) {
            return complain("server read");
        }
        replies->end += got;
    }
    return SSL_write_ex(server, bytes_head(replies), bytes_len(replies), &put) == 1 ||
           complain("server write");
}

static bool serve_block(const struct block *b, struct bytes *replies, uint64_t *ns)
{
    uint64_t begin_ns = clock_read_ns(CLOCK_THREAD_CPUTIME_ID);
    uint32_t round, c;

    for (round = 0; round < b->rounds; round++) {
        for (c = 0; c < b->options->connections; c++) {
            if (!serve_batch(b->pairs[c].server, b->options->depth, replies)) {
                return false;
            }
        }
    }
    *ns += clock_read_ns(CLOCK_THREAD_CPUTIME_ID) - begin_ns;
    return true;
}

static bool client_receives(const struct block *b, uint32_t c)
{
    static char text[16384];
    uint64_t due = (uint64_t)b->rounds * b->options->depth;
    struct reply_check check;
    long answered;
    size_t got;

    reply_check_init(&check, b->options->size, c, b->sequence, false);
    while (due > 0) {
        if (SSL_read_ex(b->pairs[c].client, text, sizeof text, &got) != 1) {
            return complain("client read");
        }
        answered = reply_check_feed(&check, text, got);
        if (answered < 0 || (uint64_t)answered > due) {
            return complain("the check of a reply");
        }
        due -= (uint64_t)answered;
    }
    return true;
}

static bool run_block(struct block *b, struct bytes *replies, uint64_t *ns)
{
    uint32_t c;

    if (!clients_send(b) || !serve_block(b, replies, ns)) {
        return false;
    }
    for (c = 0; c < b->options->connections; c++) {
        if (!client_receives(b, c)) {
            return false;
        }
    }
    b->sequence += (uint64_t)b->rounds * b->options->depth;
    return true;
}

static bool measure(struct block *b, struct memory_result *out)
{
    const struct memory_options *o = b->options;
    struct bytes replies = {0};
    uint64_t per_block = (uint64_t)o->connections * b->rounds * o->depth;
    uint64_t begin_ns = clock_now_ns();
    uint64_t warm_ns = begin_ns + clock_seconds_ns(o->seconds / 5);
    uint64_t end_ns = warm_ns + clock_seconds_ns(o->seconds);
    uint64_t ns = 0;
    bool good = true;

    while (good && clock_now_ns() < warm_ns) {
        good = run_block(b, &replies, &ns);
    }
    ns = 0;
    while (good && (out->units == 0 || clock_now_ns() < end_ns)) {
        good = run_block(b, &replies, &ns);
        out->units += per_block;
    }
    bytes_fini(&replies);
    out->server_cpu_us_per_unit = (double)ns / 1000.0 / (double)out->units;
    return good;
}

bool memory_messages(const struct pair_setting *s, const struct memory_options *o,
                     struct memory_result *out)
{
    struct block b = {.options = o, .sequence = 1};
    uint32_t c;
    bool good = true;

    b.rounds = (BLOCK_MESSAGES - 1) / (o->connections * o->depth) + 1;
    b.pairs = calloc(o->connections, sizeof *b.pairs);
    if (b.pairs == NULL) {
        return complain("calloc");
    }
    for (c = 0; c < o->connections && good; c++) {
        pair_init(&b.pairs[c], s);
        good = pair_open(&b.pairs[c], false) && pair_exchange(&b.pairs[c], o->size, 0);
    }
    good = good && measure(&b, out);
    for (c = 0; c < o->connections; c++) {
        pair_fini(&b.pairs[c]);
    }
    free(b.pairs);
    return good;
}
