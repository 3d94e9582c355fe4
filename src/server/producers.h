/* Who numbers messages: the last number of each producer, and whose connection it is.
 *
 * A producer is (identity, name) and has one connection at a time. A later connection waits behind
 * the earlier one until what that had brought is decided, so that the number it is told includes
 * it; a third takes the waiting one's place. "Later" is the higher connection number: a greeting
 * that is read late, of a connection that its client has left, takes over nothing.
 *
 * One table for all workers. Claiming and leaving take its lock; in between a producer's number and
 * hash belong to its owner alone, so the message path has no lock. The owner is told of a claim,
 * and a waiting one of its turn, by whoever made the call that says so: the table sends nothing. */
#ifndef SERVER_PRODUCERS_H
#define SERVER_PRODUCERS_H

#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/list.h"
#include "base/ratelimit.h"

#define PRODUCERS_MAX 100000
#define PRODUCERS_KEEP_NS (INT64_C(24) * 60 * 60 * 1000000000) /* after the last connection */
#define PRODUCER_HASH_BYTES 32                                 /* SHA-256 */

/* A connection, as its worker finds it again. connection 0: none. */
struct producer_claim {
    uint64_t connection;
    uint32_t worker;
    uint32_t slot;
};

struct producer {
    /* The owner's alone, while there is one. */
    uint64_t last;                           /* 0: none */
    unsigned char hash[PRODUCER_HASH_BYTES]; /* of message `last`, where has_hash is set */
    bool has_hash;
    struct ratelimit set_back; /* how often it is told that its numbers were lost */

    /* The table's. */
    struct producer_claim owner;
    struct producer_claim waiting;
    struct list unused; /* linked while nobody owns it, the longest unused first */
    int64_t left_ns;    /* when the last owner left */
    size_t identity_len;
    size_t name_len;
    char key[]; /* identity, then name */
};

struct producers {
    pthread_mutex_t lock;
    void *tree; /* tsearch(3)'s */
    struct list unused;
    size_t count;
    size_t max;
    atomic_size_t bytes; /* of all entries, for --max-buffered */
};

enum producers_verdict {
    PRODUCERS_YOURS, /* number and hash may be read and changed until producers_leave */
    PRODUCERS_WAIT,  /* another connection owns it and is to be told; yours when it leaves */
    PRODUCERS_STALE, /* a later connection has it */
    PRODUCERS_FULL,  /* as many producers as may be are connected */
    PRODUCERS_NOMEM
};

/* What a claim has changed for others. */
struct producers_claimed {
    struct producer *producer;    /* with YOURS and WAIT */
    struct producer_claim owner;  /* with WAIT: whom to tell that it is taken over */
    struct producer_claim pushed; /* who waited before and waits no more; connection 0: nobody */
};

/* max: most producers that are remembered. */
void producers_init(struct producers *producers, size_t max);
void producers_fini(struct producers *producers);

/* Claims a producer for a connection.
 * identity: of the client's certificate, identity_len bytes, 0 for none; name: name_len bytes.
 * Any thread. */
enum producers_verdict producers_claim(struct producers *producers, const char *identity,
                                       size_t identity_len, const char *name, size_t name_len,
                                       const struct producer_claim *who, int64_t now_ns,
                                       struct producers_claimed *out);

/* Whether a connection owns a producer by now. Any thread. */
bool producers_is_owner(struct producers *producers, const struct producer *producer,
                        const struct producer_claim *who);

/* Gives a producer back, or a place in the queue for it; without effect for who has neither.
 * Returns true when `next` owns it now and is to be told. Any thread. */
bool producers_leave(struct producers *producers, struct producer *producer,
                     const struct producer_claim *who, int64_t now_ns, struct producer_claim *next);

/* Bytes of memory that all entries take. Any thread. */
size_t producers_bytes(const struct producers *producers);

#endif
