/* Queue: one contiguous, growing buffer with a consumed part at its head.
 *
 * Owns the bytes of unsent replies of one conversation, not the decision of what to do when it
 * is full. One thread at a time. Contiguous, so that a transport can take all that waits in one
 * write; capacities double, so that many small replies cost few allocations. */
#include "base/queue.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

#define FIRST_CAP_BYTES 1024

void queue_init(struct queue *q, size_t limit_bytes)
{
    memset(q, 0, sizeof(*q));
    q->limit = limit_bytes;
}

/* Back to the empty state, without memory. */
static void release(struct queue *q)
{
    free(q->data);
    q->data = NULL;
    q->head = 0;
    q->len = 0;
    q->cap = 0;
}

void queue_fini(struct queue *q)
{
    release(q);
}

/* Moves what is unconsumed into a buffer that holds at least `need` bytes (need <= limit). */
static enum tlsmsg_code grow(struct queue *q, size_t need)
{
    size_t cap = q->cap > q->limit / 2 ? q->limit : q->cap * 2;
    char *data;

    if (cap < FIRST_CAP_BYTES) {
        cap = FIRST_CAP_BYTES;
    }
    if (cap > q->limit) {
        cap = q->limit;
    }
    if (cap < need) {
        cap = need;
    }
    data = malloc(cap == 0 ? 1 : cap);
    if (data == NULL) {
        return TLSMSG_ERR_NOMEM;
    }
    if (q->data != NULL && q->len > 0) {
        memcpy(data, q->data + q->head, q->len);
    }
    free(q->data);
    q->data = data;
    q->head = 0;
    q->cap = cap;
    return TLSMSG_OK;
}

char *queue_reserve(struct queue *q, size_t len, enum tlsmsg_code *code)
{
    size_t need;

    if (len > q->limit - q->len) {
        *code = TLSMSG_ERR_LIMIT;
        return NULL;
    }
    need = q->len + len;
    *code = TLSMSG_OK;
    if (q->data != NULL && need <= q->cap - q->head) {
        return q->data + q->head + q->len;
    }
    /* Moving to the front is worth it only where at least as much was consumed as is moved, or
     * a steady trickle would move the same bytes again and again. */
    if (q->data != NULL && need <= q->cap && (q->head >= q->len || q->cap == q->limit)) {
        memmove(q->data, q->data + q->head, q->len);
        q->head = 0;
        return q->data + q->len;
    }
    *code = grow(q, need);
    return *code == TLSMSG_OK ? q->data + q->len : NULL;
}

void queue_commit(struct queue *q, size_t len)
{
    assert(len <= q->cap - q->head - q->len);
    q->len += len;
    if (q->len == 0) {
        release(q);
    }
}

enum tlsmsg_code queue_append(struct queue *q, const void *data, size_t len)
{
    enum tlsmsg_code code;
    char *to;

    if (len == 0) {
        return TLSMSG_OK;
    }
    to = queue_reserve(q, len, &code);
    if (to == NULL) {
        return code;
    }
    memcpy(to, data, len);
    queue_commit(q, len);
    return TLSMSG_OK;
}

const char *queue_head(const struct queue *q)
{
    return q->data == NULL ? NULL : q->data + q->head;
}

void queue_consume(struct queue *q, size_t n)
{
    assert(n <= q->len);
    if (n >= q->len) {
        release(q);
        return;
    }
    q->head += n;
    q->len -= n;
}
