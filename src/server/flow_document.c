/* One receive is one message. A character that is cut at the end of it waits for the next. */
#include <string.h>

#include "server/flow.h"
#include "server/messages.h"

static struct verdict invalid_utf8(struct conversation *c, const char *what)
{
    worker_event(c->worker, TLSMSG_LOG_WARNING, TLSMSG_CAUSE_INVALID_UTF8, c, "%s", what);
    return (struct verdict){FINISH, TLSMSG_CLOSE_INVALID_UTF8};
}

static struct verdict received(struct conversation *c, char *data, size_t len)
{
    struct document_state *state = &c->flow_state.document;
    size_t whole = 0;

    if (state->tail_len > 0) {
        data -= state->tail_len;
        len += state->tail_len;
        memcpy(data, state->tail, state->tail_len);
    }
    if (utf8_check(data, len, &whole) == UTF8_INVALID) {
        return invalid_utf8(c, "sent bytes that are not UTF-8; the conversation is closed");
    }
    state->tail_len = (uint8_t)(len - whole);
    if (state->tail_len > 0) {
        memcpy(state->tail, data + whole, state->tail_len);
        if (whole == 0) {
            return (struct verdict){.next = GO_ON};
        }
    }
    return messages_dispatch(c, &(struct incoming){.data = data, .len = whole});
}

static struct verdict ended(struct conversation *c)
{
    if (c->flow_state.document.tail_len > 0) {
        return invalid_utf8(c, "ended within a UTF-8 character; the conversation is closed");
    }
    return (struct verdict){FINISH, TLSMSG_CLOSE_CLEAN};
}

const struct flow flow_document = {
    .name = "document",
    .received = received,
    .ended = ended,
};
