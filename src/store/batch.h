/* What an engine keeps of one batch while it decides it: its producers, each looked up and written
 * back once, and what of it was taken. */
#ifndef STORE_BATCH_H
#define STORE_BATCH_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct batch_producer {
    const char *identity; /* borrowed from the batch's items; NULL: a free place */
    const char *name;
    int64_t id; /* 0: not in the store yet */
    uint64_t seq;
    uint64_t stored; /* seq before this batch */
    int64_t seen;
    uint64_t refused; /* a connection of which nothing more is taken; 0: none */
    bool brings;      /* a message, not a question alone */
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

struct store_item;

/* Items by producer and number, as a table of the same kind. */
struct batch_items {
    struct batch_item {
        const struct batch_producer *producer; /* NULL: a free place */
        struct store_item *item;
    } * places;
    size_t capacity;
    size_t count;
};

bool batch_items_begin(struct batch_items *items, size_t count);
void batch_items_fini(struct batch_items *items);
void batch_items_add(struct batch_items *items, const struct batch_producer *producer,
                     struct store_item *item);

/* The item that was added under the key; NULL: none. */
struct store_item *batch_items_get(const struct batch_items *items,
                                   const struct batch_producer *producer, uint64_t seq);

#endif
