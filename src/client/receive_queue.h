/* Bytes that arrived before anybody asked for them, up to a limit.
 *
 * The client receives while a send is blocked, so that two sides that both
 * send first don't wait for each other for ever, and while nothing is due, to
 * see the server leave. What one recv gives must stay the same by that: records
 * keep their edges; a byte stream is cut by whoever takes from it, as the
 * kernel would. */
#ifndef CLIENT_RECEIVE_QUEUE_H
#define CLIENT_RECEIVE_QUEUE_H

#include <stdbool.h>
#include <stddef.h>

#include "base/buffer.h"

struct receive_queue {
    struct buffer bytes;
    bool keeps_records; /* each append is taken whole, with its edges */
};

void receive_queue_init(struct receive_queue *q, bool keeps_records, size_t limit_bytes);
void receive_queue_fini(struct receive_queue *q);

/* Raises the limit to limit_bytes; a lower one changes nothing. */
void receive_queue_raise_limit(struct receive_queue *q, size_t limit_bytes);

bool receive_queue_is_empty(const struct receive_queue *q);

/* True where an append of up to len bytes can't exceed the limit. */
bool receive_queue_has_room(const struct receive_queue *q, size_t len);

/* Appends what one recv gave. TLSMSG_OK, TLSMSG_ERR_LIMIT or TLSMSG_ERR_NOMEM; all or nothing. */
enum tlsmsg_code receive_queue_append(struct receive_queue *q, const void *data, size_t len);

/* Takes the oldest record (cap must hold it), or up to cap bytes of the stream.
 * Returns how many bytes went to out, 0 when nothing is queued. */
size_t receive_queue_take(struct receive_queue *q, void *out, size_t cap);

#endif
