/* The life of a conversation: what each state does, what it waits for, how it ends.
 *
 * Reading messages is in reading.c, sending replies in sending.c, the moves
 * between states in states.c. */
#include "server/conversation.h"

#include <stdlib.h>
#include <unistd.h>

#include "base/build.h"
#include "base/clock.h"
#include "server/exchange.h"
#include "server/server_state.h"
#include "server/worker.h"

struct conversation *conversation_new(struct worker *worker, int fd, const struct address *peer,
                                      uint64_t id)
{
    struct conversation *c = calloc(1, sizeof(*c));

    if (c == NULL) {
        return NULL;
    }
    c->watch = (struct loop_watch){.fd = fd, .kind = WATCH_CONVERSATION};
    socket_source_init(&c->source, fd);
    queue_init(&c->out, CONVERSATION_QUEUE_LIMIT);
    c->worker = worker;
    c->id = id;
    c->peer = *peer;
    c->accepted_ns = worker->now_ns;
    c->since_ns = worker->now_ns;
    c->activity_ns = worker->now_ns;
    c->linger_budget = CONVERSATION_LINGER_BYTES;
    return c;
}

void conversation_free(struct conversation *c)
{
    if (c == NULL) {
        return;
    }
    transport_free(c->transport);
    (void)close(c->watch.fd);
    pending_fini(&c->pending);
    queue_fini(&c->out);
    free(c);
}

static uint32_t sending_interest(const struct conversation *c)
{
    if (c->released == 0) {
        return 0;
    }
    return c->write_wants_in ? LOOP_READ : LOOP_WRITE;
}

uint32_t conversation_interest(const struct conversation *c)
{
    uint32_t want = 0;

    switch (c->state) {
    case CONVERSATION_HANDSHAKE:
        return c->read_wants_out ? LOOP_WRITE : LOOP_READ;
    case CONVERSATION_OPEN:
        if (exchange_may_read(c)) {
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

/* The earlier of two deadlines, of which 0 is none. */
static int64_t earlier(int64_t a, int64_t b)
{
    if (a == 0 || b == 0) {
        return a == 0 ? b : a;
    }
    return a < b ? a : b;
}

/* Replies wait for the peer to take them, or OpenSSL's own answer to a key update does. */
static bool is_writing(const struct conversation *c)
{
    return c->released > 0 || c->read_wants_out;
}

/* Nothing more is read from the peer, and the next reply to leave is one that the handler took for
 * later. Not where it was our own end that stopped the reading: that has the drain timeout. */
static bool awaits_handler(const struct conversation *c)
{
    return c->state == CONVERSATION_FLUSH && c->how != TLSMSG_CLOSE_DRAINED &&
           c->pending.count > 0 && pending_front(&c->pending) == NULL;
}

/* Until when such a reply may come: nothing is read any more that would tell of the peer's end, so
 * without a limit a peer that is gone could stay for ever. */
static int64_t answer_deadline(const struct conversation *c)
{
    int64_t since = c->since_ns > c->progress_ns ? c->since_ns : c->progress_ns;

    return clock_deadline_ns(since, c->worker->server->settings.write_timeout_ms);
}

int64_t conversation_deadline(const struct conversation *c)
{
    const struct server_settings *limits = &c->worker->server->settings;
    int64_t deadline = 0;

    switch (c->state) {
    case CONVERSATION_HANDSHAKE:
        return clock_deadline_ns(c->accepted_ns, limits->handshake_timeout_ms);
    case CONVERSATION_OPEN:
        /* Idle is the peer's silence, not our not listening. */
        if (exchange_may_read(c) && c->out.len == 0 && c->pending.count == 0) {
            deadline = clock_deadline_ns(c->activity_ns, limits->idle_timeout_ms);
        }
        break;
    case CONVERSATION_FLUSH:
        deadline = c->draining ? c->worker->drain_deadline_ns : 0;
        if (awaits_handler(c)) {
            deadline = earlier(deadline, answer_deadline(c));
        }
        break;
    case CONVERSATION_SHUTDOWN:
    case CONVERSATION_LINGER:
        return clock_deadline_ns(c->since_ns, CONVERSATION_LINGER_MS);
    default:
        return 0;
    }
    if (is_writing(c)) {
        deadline = earlier(deadline, clock_deadline_ns(c->progress_ns, limits->write_timeout_ms));
    }
    return deadline;
}

void conversation_describe(const struct conversation *c, struct peer_view *who)
{
    bool encrypted =
        c->transport != NULL && c->counted && transport_describe(c->transport, &who->tls);

    address_print(&c->peer, who->address, sizeof(who->address));
    who->peer = (struct tlsmsg_peer){
        .connection = c->id,
        .address = who->address,
        .socket_address = (const struct sockaddr *)&c->peer.storage,
        .tls = encrypted ? &who->tls : NULL,
    };
}

/* Tells the handler of the end, once, when no message can follow any more. */
static void report(struct conversation *c)
{
    struct worker *w = c->worker;
    const struct tlsmsg_handler *handler = &w->server->handler;

    if (c->reported) {
        return;
    }
    c->reported = true;
    count(&w->stats.closed[c->how], 1);
    if (handler->closed != NULL) {
        struct peer_view who;
        struct tlsmsg_closed closed = {.reason = c->how, .messages = c->messages};

        conversation_describe(c, &who);
        closed.peer = &who.peer;
        closed.duration_ms = (clock_now_ns() - c->accepted_ns) / CLOCK_NS_PER_MS;
        closed.heard = c->heard;
        handler->closed(&closed, w->index, handler->user);
        w->dirty = true;
    }
}

static void settle_how(struct conversation *c, enum tlsmsg_close_reason how)
{
    if (!c->how_known) {
        c->how = how;
        c->how_known = true;
    }
}

void conversation_abort(struct conversation *c, enum tlsmsg_close_reason how)
{
    if (c->state == CONVERSATION_DEAD) {
        return;
    }
    settle_how(c, how);
    report(c);
    conversation_move(c, CONVERSATION_DEAD);
}

void conversation_finish(struct conversation *c, enum tlsmsg_close_reason how)
{
    if (c->state == CONVERSATION_OPEN) {
        settle_how(c, how);
        conversation_move(c, CONVERSATION_FLUSH);
    }
}

/* Reads and discards for a while: closing a socket with unread bytes sends a reset, and that
 * would overtake the alert or close_notify that was said last. */
static void linger(struct conversation *c)
{
    report(c);
    worker_handshake_over(c->worker, c);
    conversation_move(c, c->eof ? CONVERSATION_DEAD : CONVERSATION_LINGER);
}

static void handshake_failed(struct conversation *c, const struct tlsmsg_error *err)
{
    struct worker *w = c->worker;
    bool gone = err->code == TLSMSG_ERR_TRUNCATED || err->code == TLSMSG_ERR_RESET;
    enum tlsmsg_cause cause = TLSMSG_CAUSE_HANDSHAKE;

    if (gone && !c->heard) {
        worker_event(w, TLSMSG_LOG_DEBUG, TLSMSG_CAUSE_PROBE, c, "left without sending a byte");
        conversation_abort(c, TLSMSG_CLOSE_HANDSHAKE);
        return;
    }
    if (err->code == TLSMSG_ERR_NOT_TLS) {
        cause = TLSMSG_CAUSE_PLAINTEXT_PEER;
    } else if (err->code == TLSMSG_ERR_UNTRUSTED || err->code == TLSMSG_ERR_REFUSED) {
        cause = TLSMSG_CAUSE_REFUSED;
    } else if (err->code == TLSMSG_ERR_NOMEM) {
        cause = TLSMSG_CAUSE_MEMORY;
    }
    worker_event(w, TLSMSG_LOG_WARNING, cause, c, "%s", err->text);
    if (gone) {
        conversation_abort(c, TLSMSG_CLOSE_HANDSHAKE);
        return;
    }
    settle_how(c, TLSMSG_CLOSE_HANDSHAKE);
    (void)transport_shutdown(c->transport, NULL);
    linger(c);
}

static void step_handshake(struct conversation *c)
{
    struct tlsmsg_error err = {0};
    enum transport_result result;

    if (c->transport == NULL &&
        transport_new(c->worker->config, &c->source.base, NULL, &c->transport, &err) != TLSMSG_OK) {
        worker_event(c->worker, TLSMSG_LOG_WARNING, TLSMSG_CAUSE_MEMORY, c, "%s", err.text);
        conversation_abort(c, TLSMSG_CLOSE_HANDSHAKE);
        return;
    }
    result = transport_handshake(c->transport, &err);
    c->heard = transport_heard(c->transport);
    c->read_wants_out = result == TRANSPORT_WANT_WRITE;
    if (result == TRANSPORT_OK) {
        conversation_move(c, CONVERSATION_OPEN);
        c->activity_ns = c->worker->now_ns;
        if (!worker_begin(c->worker, c)) {
            conversation_abort(c, TLSMSG_CLOSE_HANDSHAKE);
        }
    } else if (result == TRANSPORT_ERROR || result == TRANSPORT_CLOSED) {
        handshake_failed(c, &err);
    }
}

static void step_open(struct conversation *c)
{
    exchange_send(c);
    if (c->state == CONVERSATION_OPEN) {
        exchange_read(c);
    }
}

static void step_flush(struct conversation *c)
{
    exchange_send(c);
    if (c->state == CONVERSATION_FLUSH && c->out.len == 0 && c->pending.count == 0) {
        conversation_move(c, CONVERSATION_SHUTDOWN);
    }
}

static void step_shutdown(struct conversation *c)
{
    enum transport_result result = transport_shutdown(c->transport, NULL);

    if (result == TRANSPORT_WANT_WRITE || result == TRANSPORT_WANT_READ) {
        return;
    }
    c->source.base.shut_write(&c->source.base);
    linger(c);
}

static void step_linger(struct conversation *c)
{
    struct worker *w = c->worker;
    size_t got = 0;
    enum byte_result result;

    do {
        result = c->source.base.read(&c->source.base, w->buffer, sizeof(w->buffer), &got);
        if (result == BYTE_OK) {
            c->linger_budget -= (uint32_t)(got < c->linger_budget ? got : c->linger_budget);
        }
    } while (result == BYTE_OK && c->linger_budget > 0);
    if (result != BYTE_AGAIN) {
        conversation_move(c, CONVERSATION_DEAD);
    }
}

static void step_dead(struct conversation *c)
{
    (void)c;
}

/* Steps until the state stays the same. */
static void run(struct conversation *c)
{
    static void (*const steps[CONVERSATION_STATE_COUNT])(struct conversation *) = {
        [CONVERSATION_HANDSHAKE] = step_handshake, [CONVERSATION_OPEN] = step_open,
        [CONVERSATION_FLUSH] = step_flush,         [CONVERSATION_SHUTDOWN] = step_shutdown,
        [CONVERSATION_LINGER] = step_linger,       [CONVERSATION_DEAD] = step_dead,
    };
    enum conversation_state before;

    do {
        before = c->state;
        steps[before](c);
    } while (c->state != before);
}

void conversation_step(struct conversation *c, uint32_t ready)
{
    socket_source_ready(&c->source);
    /* Nothing is read and the connection is gone: no read will ever tell, and the poll would not
     * stop telling. */
    if ((ready & LOOP_HANGUP) && ((c->state == CONVERSATION_OPEN && !exchange_may_read(c)) ||
                                  c->state == CONVERSATION_FLUSH)) {
        conversation_abort(c, TLSMSG_CLOSE_RESET);
        return;
    }
    run(c);
}

void conversation_release(struct conversation *c)
{
    if (c->state != CONVERSATION_OPEN && c->state != CONVERSATION_FLUSH) {
        return;
    }
    if (c->released == 0) {
        c->progress_ns = c->worker->now_ns;
    }
    c->released = c->out.len;
    if (c->state == CONVERSATION_FLUSH) {
        run(c);
        return;
    }
    exchange_send(c);
    if (c->state == CONVERSATION_OPEN && c->unread && exchange_may_read(c)) {
        worker_again(c->worker, c);
    }
}

static void expire_handshake(struct conversation *c)
{
    worker_event(c->worker, TLSMSG_LOG_WARNING, TLSMSG_CAUSE_TIMEOUT, c,
                 "handshake not finished within %.3g s",
                 (double)c->worker->server->settings.handshake_timeout_ms / 1000);
    conversation_abort(c, TLSMSG_CLOSE_HANDSHAKE);
}

/* Ends in order, without the reply that never came and those behind it: the peer may still
 * listen. */
static void expire_answers(struct conversation *c)
{
    struct worker *w = c->worker;

    worker_event(w, TLSMSG_LOG_WARNING, TLSMSG_CAUSE_TIMEOUT, c,
                 "a deferred reply did not come within %.3g s; the conversation ends without %zu",
                 (double)w->server->settings.write_timeout_ms / 1000, (size_t)c->pending.count);
    if (c->draining) {
        atomic_store(&w->server->undelivered, true);
    }
    pending_fini(&c->pending);
    c->how_known = false;
    settle_how(c, TLSMSG_CLOSE_TIMEOUT);
    run(c);
}

/* A deadline of OPEN or FLUSH: the write stall and the drain cut, the others end in order. */
static void expire_exchange(struct conversation *c)
{
    struct worker *w = c->worker;
    const struct server_settings *limits = &w->server->settings;
    int64_t stall = clock_deadline_ns(c->progress_ns, limits->write_timeout_ms);

    if (c->draining && w->drain_deadline_ns != 0 && w->drain_deadline_ns <= w->now_ns) {
        atomic_store(&w->server->undelivered, true);
        worker_event(w, TLSMSG_LOG_WARNING, TLSMSG_CAUSE_TIMEOUT, c,
                     "a reply could not be delivered before the drain timeout");
        c->how_known = false;
        conversation_abort(c, TLSMSG_CLOSE_TIMEOUT);
    } else if (is_writing(c) && stall != 0 && stall <= w->now_ns) {
        worker_event(w, TLSMSG_LOG_WARNING, TLSMSG_CAUSE_TIMEOUT, c,
                     "took no byte of its replies for %.3g s",
                     (double)limits->write_timeout_ms / 1000);
        if (c->draining) {
            atomic_store(&w->server->undelivered, true);
        }
        conversation_abort(c, TLSMSG_CLOSE_TIMEOUT);
    } else if (awaits_handler(c)) {
        expire_answers(c);
    } else {
        worker_event(w, TLSMSG_LOG_INFO, TLSMSG_CAUSE_TIMEOUT, c, "idle for %.3g s",
                     (double)limits->idle_timeout_ms / 1000);
        conversation_finish(c, TLSMSG_CLOSE_TIMEOUT);
        run(c);
    }
}

void conversation_expire(struct conversation *c)
{
    int64_t deadline = conversation_deadline(c);

    if (deadline == 0 || deadline > c->worker->now_ns) {
        return;
    }
    switch (c->state) {
    case CONVERSATION_HANDSHAKE:
        c->heard = c->transport != NULL && transport_heard(c->transport);
        expire_handshake(c);
        break;
    case CONVERSATION_OPEN:
    case CONVERSATION_FLUSH:
        expire_exchange(c);
        break;
    default:
        conversation_abort(c, TLSMSG_CLOSE_FAILED);
        break;
    }
}

void conversation_drain(struct conversation *c)
{
    c->draining = true;
    if (c->state == CONVERSATION_HANDSHAKE) {
        conversation_abort(c, TLSMSG_CLOSE_HANDSHAKE);
    } else if (c->state == CONVERSATION_OPEN) {
        conversation_finish(c, TLSMSG_CLOSE_DRAINED);
        run(c);
    }
}
