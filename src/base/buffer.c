/* See buffer.h. Contiguous, so that a transport can take all that waits in one write; capacities
 * double, so that many small pieces cost few allocations. Never realloc(3): it would leave a copy
 * of a secret behind, and would move what is consumed already. */
#include "base/buffer.h"

#include <stdbool.h>
#include <stdlib.h>

#define FIRST_CAP_BYTES 1024
#define BUFFER_FIXED 4u
/* The replies of one iteration, in most cases; and as many as wait for its end in a busy server. */
#define SPARE_BYTES 2048
#define SPARES_MAX 128

void buffer_init(struct buffer *b, size_t limit_bytes, unsigned flags)
{
    *b = (struct buffer){.limit = limit_bytes, .flags = flags};
}

void buffer_init_fixed(struct buffer *b, char *memory, size_t cap_bytes)
{
    *b = (struct buffer){
        .data = memory, .cap = cap_bytes, .limit = cap_bytes, .flags = BUFFER_KEEP | BUFFER_FIXED};
}

void buffer_use_spares(struct buffer *b, struct buffer_spares *spares)
{
    assert(b->data == NULL && b->flags == 0 && b->limit >= SPARE_BYTES);
    b->spares = spares;
}

void buffer_spares_free(struct buffer_spares *spares)
{
    while (spares->first != NULL) {
        void *block = spares->first;

        memcpy(&spares->first, block, sizeof(spares->first));
        free(block);
    }
    spares->count = 0;
}

static char *take_spare(struct buffer_spares *spares)
{
    void *block = spares->first;

    if (block == NULL) {
        return malloc(SPARE_BYTES);
    }
    memcpy(&spares->first, block, sizeof(spares->first));
    spares->count--;
    return block;
}

static void leave_spare(struct buffer_spares *spares, void *block)
{
    memcpy(block, &spares->first, sizeof(spares->first));
    spares->first = block;
    spares->count++;
}

static void free_data(struct buffer *b)
{
    if (b->spares != NULL && b->cap == SPARE_BYTES && b->spares->count < SPARES_MAX) {
        leave_spare(b->spares, b->data);
        return;
    }
    if (b->flags != 0) { /* rare: each reply of a conversation comes by here */
        if ((b->flags & BUFFER_FIXED) != 0) {
            return;
        }
        if ((b->flags & BUFFER_WIPE) != 0 && b->data != NULL) {
            explicit_bzero(b->data, b->cap);
        }
    }
    free(b->data);
}

/* Back to the empty state, without memory. */
static void release(struct buffer *b)
{
    free_data(b);
    b->data = NULL;
    b->head = 0;
    b->len = 0;
    b->cap = 0;
}

void buffer_fini(struct buffer *b)
{
    release(b);
}

void buffer_emptied(struct buffer *b)
{
    if ((b->flags & BUFFER_KEEP) == 0) {
        release(b);
    } else {
        b->head = 0;
        b->len = 0;
    }
}

/* Moves what is unconsumed into memory for at least `need` bytes (need <= limit). */
static enum tlsmsg_code grow(struct buffer *b, size_t need)
{
    size_t cap = b->cap > b->limit / 2 ? b->limit : b->cap * 2;
    char *data;

    if (cap < FIRST_CAP_BYTES) {
        cap = FIRST_CAP_BYTES;
    }
    if (cap > b->limit) {
        cap = b->limit;
    }
    if (cap < need) {
        cap = need;
    }
    data = malloc(cap == 0 ? 1 : cap);
    if (data == NULL) {
        return TLSMSG_ERR_NOMEM;
    }
    if (b->data != NULL) {
        memcpy(data, b->data + b->head, b->len);
        free_data(b);
    }
    b->data = data;
    b->head = 0;
    b->cap = cap;
    return TLSMSG_OK;
}

enum tlsmsg_code buffer_make_room(struct buffer *b, size_t len)
{
    size_t need;

    if (len > b->limit - b->len) {
        return TLSMSG_ERR_LIMIT;
    }
    if (b->data == NULL && len <= SPARE_BYTES && b->spares != NULL) {
        b->data = take_spare(b->spares);
        b->cap = b->data != NULL ? SPARE_BYTES : 0;
        return b->data != NULL ? TLSMSG_OK : TLSMSG_ERR_NOMEM;
    }
    need = b->len + len;
    /* Moving to the front is worth it only where at least as much was consumed as is moved, or
     * a steady trickle would move the same bytes again and again. */
    if (b->data != NULL && need <= b->cap && (b->head >= b->len || b->cap == b->limit)) {
        memmove(b->data, b->data + b->head, b->len);
        b->head = 0;
        return TLSMSG_OK;
    }
    return grow(b, need);
}

enum tlsmsg_code buffer_append(struct buffer *b, const void *data, size_t len)
{
    enum tlsmsg_code code;

    if (len == 0) {
        return TLSMSG_OK;
    }
    code = buffer_reserve(b, len);
    if (code == TLSMSG_OK) {
        buffer_put(b, data, len);
    }
    return code;
}

void buffer_consume(struct buffer *b, size_t n)
{
    assert(n <= b->len);
    if (n >= b->len) {
        buffer_emptied(b);
        return;
    }
    b->head += n;
    b->len -= n;
}

void buffer_truncate(struct buffer *b, size_t len)
{
    assert(len <= b->len);
    b->len = len;
    if (len == 0) {
        buffer_emptied(b);
    }
}
