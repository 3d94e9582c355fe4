/* A bounded queue of bytes: appended at the end, consumed at the head, contiguous.
 *
 * It holds a conversation's replies until the transport takes them. Memory is
 * taken when the first byte comes and given back when the last one leaves, so
 * that an idle conversation costs none. The limit is the owner's back-pressure:
 * appending past it fails whole and changes nothing. */
#ifndef BASE_QUEUE_H
#define BASE_QUEUE_H

#include <stddef.h>

#include <tlsmsg/error.h>

struct queue {
    char *data; /* NULL while empty */
    size_t head;
    size_t len; /* bytes from head on */
    size_t cap;
    size_t limit; /* most bytes at once */
};

void queue_init(struct queue *q, size_t limit_bytes);
void queue_fini(struct queue *q);

/* Appends len bytes. TLSMSG_OK, TLSMSG_ERR_LIMIT or TLSMSG_ERR_NOMEM; all or nothing. */
enum tlsmsg_code queue_append(struct queue *q, const void *data, size_t len);

/* Makes room for len more bytes and returns where they go, or NULL as above (code in *code);
 * queue_commit says how many were really written there (0 to len). */
char *queue_reserve(struct queue *q, size_t len, enum tlsmsg_code *code);
void queue_commit(struct queue *q, size_t len);

/* The unconsumed bytes; valid until the next call that changes q. */
const char *queue_head(const struct queue *q);

/* Drops n <= q->len bytes from the head; frees the memory when none are left. */
void queue_consume(struct queue *q, size_t n);

#endif
