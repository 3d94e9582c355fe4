/* See receive_queue.h. A record is queued behind its length in one word, which keeps the edges
 * without a second structure to bound. Used by the client's thread alone. */
#include "client/receive_queue.h"

#include <assert.h>
#include <stdint.h>
#include <string.h>

static size_t overhead(const struct receive_queue *q)
{
    return q->keeps_records ? sizeof(uint32_t) : 0;
}

void receive_queue_init(struct receive_queue *q, bool keeps_records, size_t limit_bytes)
{
    buffer_init(&q->bytes, limit_bytes, 0);
    q->keeps_records = keeps_records;
}

void receive_queue_fini(struct receive_queue *q)
{
    buffer_fini(&q->bytes);
}

void receive_queue_raise_limit(struct receive_queue *q, size_t limit_bytes)
{
    if (q->bytes.limit < limit_bytes) {
        q->bytes.limit = limit_bytes;
    }
}

bool receive_queue_is_empty(const struct receive_queue *q)
{
    return q->bytes.len == 0;
}

bool receive_queue_has_room(const struct receive_queue *q, size_t len)
{
    size_t left = q->bytes.limit - q->bytes.len;
    return left >= overhead(q) && left - overhead(q) >= len;
}

enum tlsmsg_code receive_queue_append(struct receive_queue *q, const void *data, size_t len)
{
    uint32_t length = (uint32_t)len;
    enum tlsmsg_code code = buffer_reserve(&q->bytes, overhead(q) + len);
    if (code != TLSMSG_OK) {
        return code;
    }
    buffer_put(&q->bytes, (const char *)&length, overhead(q));
    buffer_put(&q->bytes, data, len);
    return TLSMSG_OK;
}

size_t receive_queue_take(struct receive_queue *q, void *out, size_t cap)
{
    size_t len = q->bytes.len < cap ? q->bytes.len : cap;
    const char *head;

    if (receive_queue_is_empty(q)) {
        return 0;
    }
    head = buffer_head(&q->bytes);
    if (q->keeps_records) {
        uint32_t length = 0;
        memcpy(&length, head, sizeof(length));
        assert(length <= cap);
        len = length;
    }
    memcpy(out, head + overhead(q), len);
    buffer_consume(&q->bytes, overhead(q) + len);
    return len;
}
