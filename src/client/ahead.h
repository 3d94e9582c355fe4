/* Bytes that arrived before anybody asked for them, in a bounded queue.
 *
 * The client reads ahead while a send is blocked, so that two sides that both
 * send first don't wait for each other for ever, and while nothing is due, to
 * see the server leave. What one recv gives must stay the same by that: records
 * keep their edges; a byte stream is cut by whoever takes from it, as the
 * kernel would. */
#ifndef CLIENT_AHEAD_H
#define CLIENT_AHEAD_H

#include <stdbool.h>
#include <stddef.h>

#include "base/queue.h"

struct ahead {
    struct queue bytes;
    bool records; /* each append is taken whole, with its edges */
};

void ahead_init(struct ahead *a, bool records, size_t limit_bytes);
void ahead_fini(struct ahead *a);

/* Raises the limit to limit_bytes; a lower one changes nothing. */
void ahead_raise_limit(struct ahead *a, size_t limit_bytes);

bool ahead_is_empty(const struct ahead *a);

/* True where an append of up to len bytes can't exceed the limit. */
bool ahead_has_room(const struct ahead *a, size_t len);

/* Appends what one recv gave. TLSMSG_OK, TLSMSG_ERR_LIMIT or TLSMSG_ERR_NOMEM; all or nothing. */
enum tlsmsg_code ahead_append(struct ahead *a, const void *data, size_t len);

/* Takes the oldest record (cap must hold it), or up to cap bytes of the stream.
 * Returns how many bytes went to out, 0 when nothing is queued. */
size_t ahead_take(struct ahead *a, void *out, size_t cap);

#endif
