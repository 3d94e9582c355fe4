#include "server/waiting.h"

#include "base/clock.h"
#include "server/deferred.h"
#include "server/flow.h"
#include "server/messages.h"

/* After close_notify or an alert: how long is read and discarded. */
#define LINGER_MS 1000
/* In all, where another connection waits for the end: a peer that takes a byte now and then must not
 * keep that one waiting for longer than clients wait for a greeting (10 s). */
#define HURRY_MS 5000
/* When the server stops, for a client that has just come. */
#define FIRST_MESSAGE_MS 1000

static uint32_t sending_interest(const struct conversation *c)
{
    if (c->released == 0) {
        return 0;
    }
    return c->write_wants_in ? LOOP_READ : LOOP_WRITE;
}

uint32_t waiting_interest(const struct conversation *c)
{
    uint32_t want = 0;

    switch (c->state) {
    case CONVERSATION_HANDSHAKE:
        return c->read_wants_out ? LOOP_WRITE : LOOP_READ;
    case CONVERSATION_OPEN:
        if (messages_may_read(c)) {
            /* Unread bytes would wake the poll again and again for a read that first has to
             * write. */
            want |= c->read_wants_out ? LOOP_WRITE : LOOP_READ;
        }
        return want | sending_interest(c);
    case CONVERSATION_FLUSH:
        return sending_interest(c);
    case CONVERSATION_SHUTDOWN:
        return LOOP_WRITE;
    case CONVERSATION_LINGER:
        return LOOP_READ;
    default:
        return 0;
    }
}

bool waiting_is_writing(const struct conversation *c)
{
    return c->released > 0 || c->read_wants_out;
}

bool waiting_awaits_handler(const struct conversation *c)
{
    return c->state == CONVERSATION_FLUSH && c->reason != TLSMSG_CLOSE_DRAINED &&
           c->deferred.count > 0 && reply_queue_first(&c->deferred) == NULL;
}

/* Until when such a reply may come: nothing is read any more that would tell of the peer's end, so
 * without a limit a peer that is gone could stay for ever. */
static int64_t answer_deadline(const struct conversation *c)
{
    int64_t since = c->since_ns > c->progress_ns ? c->since_ns : c->progress_ns;

    return clock_deadline_ns(since, c->worker->server->settings.write_timeout_ms);
}

/* The server stops: the drain timeout, and before it a time for the first message. */
static int64_t drain_deadline(const struct conversation *c)
{
    const struct worker *w = c->worker;
    int64_t since = c->since_ns > w->draining_since_ns ? c->since_ns : w->draining_since_ns;

    if (!c->draining) {
        return 0;
    }
    return c->state == CONVERSATION_OPEN && c->messages == 0
               ? clock_earlier_ns(w->drain_deadline_ns, clock_deadline_ns(since, FIRST_MESSAGE_MS))
               : w->drain_deadline_ns;
}

bool waiting_is_drained(const struct conversation *c)
{
    int64_t deadline = drain_deadline(c);

    return deadline != 0 && deadline <= c->worker->now_ns;
}

int64_t waiting_deadline(const struct conversation *c)
{
    const struct server_settings *settings = &c->worker->server->settings;
    int64_t deadline = 0;

    switch (c->state) {
    case CONVERSATION_HANDSHAKE:
        return clock_earlier_ns(clock_deadline_ns(c->accepted_ns, settings->handshake_timeout_ms),
                                drain_deadline(c));
    case CONVERSATION_OPEN:
        /* Idle is the peer's silence, not our not listening. */
        if (settings->idle_timeout_ms != 0 && messages_may_read(c) && c->out.len == 0 &&
            c->deferred.count == 0) {
            deadline = clock_deadline_ns(c->activity_ns, settings->idle_timeout_ms);
        }
        deadline = clock_earlier_ns(deadline, drain_deadline(c));
        break;
    case CONVERSATION_FLUSH:
        deadline = drain_deadline(c);
        if (waiting_awaits_handler(c)) {
            deadline = clock_earlier_ns(deadline, answer_deadline(c));
        }
        break;
    case CONVERSATION_SHUTDOWN:
    case CONVERSATION_LINGER:
        return clock_deadline_ns(c->since_ns, LINGER_MS);
    default:
        return 0;
    }
    if (c->state == CONVERSATION_OPEN && c->flow->deadline != NULL) {
        deadline = clock_earlier_ns(deadline, c->flow->deadline(c));
    }
    if (c->said_farewell || c->hurry_ns != 0) {
        deadline = clock_earlier_ns(deadline, clock_deadline_ns(c->progress_ns, LINGER_MS));
    }
    if (c->hurry_ns != 0) {
        deadline = clock_earlier_ns(deadline, clock_deadline_ns(c->hurry_ns, HURRY_MS));
    }
    if (waiting_is_writing(c)) {
        deadline = clock_earlier_ns(deadline,
                                    clock_deadline_ns(c->progress_ns, settings->write_timeout_ms));
    }
    return deadline;
}
