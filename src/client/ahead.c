/* See ahead.h. A record is queued behind its length in one word, which keeps the edges without a
 * second structure to bound. Used by the client's thread alone. */
#include "client/ahead.h"

#include <assert.h>
#include <stdint.h>
#include <string.h>

static size_t overhead(const struct ahead *a)
{
    return a->records ? sizeof(uint32_t) : 0;
}

void ahead_init(struct ahead *a, bool records, size_t limit_bytes)
{
    queue_init(&a->bytes, limit_bytes);
    a->records = records;
}

void ahead_fini(struct ahead *a)
{
    queue_fini(&a->bytes);
}

void ahead_raise_limit(struct ahead *a, size_t limit_bytes)
{
    if (a->bytes.limit < limit_bytes) {
        a->bytes.limit = limit_bytes;
    }
}

bool ahead_is_empty(const struct ahead *a)
{
    return a->bytes.len == 0;
}

bool ahead_has_room(const struct ahead *a, size_t len)
{
    size_t left = a->bytes.limit - a->bytes.len;
    return left >= overhead(a) && left - overhead(a) >= len;
}

enum tlsmsg_code ahead_append(struct ahead *a, const void *data, size_t len)
{
    enum tlsmsg_code code = TLSMSG_OK;
    char *to = queue_reserve(&a->bytes, overhead(a) + len, &code);
    if (to == NULL) {
        return code;
    }
    if (a->records) {
        uint32_t length = (uint32_t)len;
        memcpy(to, &length, sizeof(length));
    }
    memcpy(to + overhead(a), data, len);
    queue_commit(&a->bytes, overhead(a) + len);
    return TLSMSG_OK;
}

size_t ahead_take(struct ahead *a, void *out, size_t cap)
{
    if (ahead_is_empty(a)) {
        return 0;
    }
    const char *head = queue_head(&a->bytes);
    size_t len = a->bytes.len < cap ? a->bytes.len : cap;
    if (a->records) {
        uint32_t length = 0;
        memcpy(&length, head, sizeof(length));
        assert(length <= cap);
        len = length;
    }
    memcpy(out, head + overhead(a), len);
    queue_consume(&a->bytes, overhead(a) + len);
    return len;
}
