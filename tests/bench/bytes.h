/*
 * A growing run of bytes that is filled at the end and emptied from the front. Used for what came
 * off a socket, what has still to go out, and as the "network" between two SSL objects in memory.
 */
#ifndef BENCH_BYTES_H
#define BENCH_BYTES_H

#include <stdbool.h>
#include <stddef.h>

struct bytes {
    char *data;
    size_t start; /* first byte not yet taken */
    size_t end;   /* one past the last byte */
    size_t cap;
};

static inline size_t bytes_len(const struct bytes *b)
{
    return b->end - b->start;
}

static inline const char *bytes_head(const struct bytes *b)
{
    return b->data == NULL ? "" : b->data + b->start;
}

/* Room for `len` more bytes after the last; returns where to put them. Ends the program when there
 * is no memory: a load program has nothing better to do. */
char *bytes_reserve(struct bytes *b, size_t len);

void bytes_append(struct bytes *b, const char *data, size_t len);

/* Drops `len` bytes (at most bytes_len) from the front. */
void bytes_take(struct bytes *b, size_t len);

void bytes_clear(struct bytes *b);

/* Gives the memory back; the struct may be used again. */
void bytes_fini(struct bytes *b);

#endif
