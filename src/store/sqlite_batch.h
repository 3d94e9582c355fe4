/* Producers of one batch, each looked up and written back once. */
#ifndef STORE_SQLITE_BATCH_H
#define STORE_SQLITE_BATCH_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct batch_producer {
    const char *identity; /* borrowed from the batch's items; NULL: a free place */
    const char *name;
    int64_t id; /* 0: not in the store yet */
    uint64_t seq;
    int64_t seen;
    uint64_t refused; /* a connection of which nothing more is taken; 0: none */
};

/* A table that is emptied for each batch and keeps its memory. All zero is empty. */
struct batch_producers {
    struct batch_producer *places;
    size_t capacity; /* a power of two */
    size_t count;
};

/* Makes room for count producers and empties the table. False: no memory. */
bool batch_producers_begin(struct batch_producers *producers, size_t count);
void batch_producers_fini(struct batch_producers *producers);

/* The producer's place; *fresh: it was taken just now, and all but its key is zero. */
struct batch_producer *batch_producers_get(struct batch_producers *producers, const char *identity,
                                           const char *name, bool *fresh);

#endif
