/* A growing buffer of bytes: appended at the end, consumed at the head, contiguous.
 *
 * Memory is taken when the first byte comes and, unless BUFFER_KEEP says otherwise, given back
 * when the last one leaves, so that an idle connection costs none. The limit is the owner's
 * back-pressure: what would pass it fails whole and changes nothing.
 *
 * Two ways to write. buffer_append checks and copies. Where a line is put together from many
 * pieces, buffer_reserve checks once with a bound on all of them, and buffer_put and its kin copy.
 * One thread at a time. */
#ifndef BASE_BUFFER_H
#define BASE_BUFFER_H

#include <assert.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <tlsmsg/error.h>

#define BUFFER_KEEP 1u /* empty, it keeps its memory, and what was consumed stays readable */
#define BUFFER_WIPE 2u /* holds secrets: memory is overwritten before it is given back */

/* Memory that the buffers of one thread hand on to each other: short ones that are filled and emptied
 * all the time would else go to the allocator each time, which costs a twentieth of a message. */
struct buffer_spares {
    void *first; /* a block begins with where the next one is */
    unsigned count;
};

struct buffer {
    struct buffer_spares *spares; /* borrowed; NULL: none */
    char *data;                   /* NULL while it has no memory */
    size_t head;
    size_t len; /* bytes from head on */
    size_t cap;
    size_t limit; /* most bytes at once */
    unsigned flags;
};

/* flags: BUFFER_KEEP, BUFFER_WIPE, or 0. */
void buffer_init(struct buffer *b, size_t limit_bytes, unsigned flags);

/* Writes into memory of the caller's, which is also the limit; buffer_fini leaves it alone. */
void buffer_init_fixed(struct buffer *b, char *memory, size_t cap_bytes);

/* Has an empty buffer that holds no secrets take its memory from there and leave it there. */
void buffer_use_spares(struct buffer *b, struct buffer_spares *spares);

/* Frees what no buffer has; more may come to it afterwards. */
void buffer_spares_free(struct buffer_spares *spares);

/* Gives the memory back; the buffer is empty and can be used again, but for a fixed one. */
void buffer_fini(struct buffer *b);

/* Appends len bytes. As buffer_reserve; all or nothing. */
enum tlsmsg_code buffer_append(struct buffer *b, const void *data, size_t len);

/* Drops n <= b->len bytes from the head. */
void buffer_consume(struct buffer *b, size_t n);

/* Drops the last bytes, so that len <= b->len are left. */
void buffer_truncate(struct buffer *b, size_t len);

/* The unconsumed bytes; valid until the next call that changes b. NULL without memory. */
static inline char *buffer_head(const struct buffer *b)
{
    return b->data == NULL ? NULL : b->data + b->head;
}

/* Where the next byte goes. */
static inline char *buffer_end(const struct buffer *b)
{
    return b->data == NULL ? NULL : b->data + b->head + b->len;
}

/* Bytes that fit behind buffer_end without another reservation. */
static inline size_t buffer_room(const struct buffer *b)
{
    return b->cap - b->head - b->len;
}

/* Nothing is left: gives the memory back, or begins at its front again. */
void buffer_emptied(struct buffer *b);

/* Appends what was written at buffer_end; len 0 gives memory reserved in vain back. */
static inline void buffer_commit(struct buffer *b, size_t len)
{
    assert(len <= buffer_room(b));
    b->len += len;
    if (b->len == 0) {
        buffer_emptied(b);
    }
}

/* As buffer_reserve, where there is not room enough. */
enum tlsmsg_code buffer_make_room(struct buffer *b, size_t len);

/* Makes room for len more bytes. TLSMSG_OK, TLSMSG_ERR_LIMIT or TLSMSG_ERR_NOMEM. */
static inline enum tlsmsg_code buffer_reserve(struct buffer *b, size_t len)
{
    return b->data != NULL && len <= buffer_room(b) ? TLSMSG_OK : buffer_make_room(b, len);
}

/* Where the next byte goes, for which room must be reserved. */
static inline char *buffer_place(const struct buffer *b)
{
    assert(b->data != NULL);
    return b->data + b->head + b->len;
}

/* Appends len bytes, for which room must be reserved. */
static inline void buffer_put(struct buffer *b, const char *data, size_t len)
{
    assert(len <= buffer_room(b));
    memcpy(buffer_place(b), data, len);
    b->len += len;
}

/* Appends a string literal, for which room must be reserved. */
#define BUFFER_PUT(b, literal) buffer_put((b), (literal), sizeof(literal) - 1)

#endif
