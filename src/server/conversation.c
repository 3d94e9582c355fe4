/* From every state the way leads only downwards, so that no sequence of events can bring a
 * conversation back to life. What reads and sends (messages.c, the flows) reports a verdict; it is
 * carried out here, after the handler's function that it came from has returned. */
#include "server/conversation.h"

#include <assert.h>

#include "base/clock.h"
#include "server/deferred.h"
#include "server/flow.h"
#include "server/messages.h"
#include "server/table.h"
#include "server/waiting.h"

#define BIT(state) (1u << (state))

/* From each state, those that may follow. */
static const unsigned allowed[CONVERSATION_STATE_COUNT] = {
    [CONVERSATION_HANDSHAKE] =
        BIT(CONVERSATION_OPEN) | BIT(CONVERSATION_LINGER) | BIT(CONVERSATION_DEAD),
    [CONVERSATION_OPEN] =
        BIT(CONVERSATION_FLUSH) | BIT(CONVERSATION_LINGER) | BIT(CONVERSATION_DEAD),
    [CONVERSATION_FLUSH] =
        BIT(CONVERSATION_SHUTDOWN) | BIT(CONVERSATION_LINGER) | BIT(CONVERSATION_DEAD),
    [CONVERSATION_SHUTDOWN] = BIT(CONVERSATION_LINGER) | BIT(CONVERSATION_DEAD),
    [CONVERSATION_LINGER] = BIT(CONVERSATION_DEAD),
    [CONVERSATION_DEAD] = 0,
};

bool conversation_may_move(enum conversation_state from, enum conversation_state to)
{
    return (allowed[from] & BIT(to)) != 0;
}

/* A move that the table does not allow is a bug: an assertion in debug builds, a closed
 * conversation in release builds. */
static void move(struct conversation *c, enum conversation_state to)
{
    if (!conversation_may_move(c->state, to)) {
        assert(false && "illegal move of a conversation");
        to = CONVERSATION_DEAD;
    }
    c->state = to;
    c->since_ns = c->worker->now_ns;
    if (to == CONVERSATION_DEAD) {
        table_mark_closed(c->worker, c);
    }
}

/* A queue of so many bytes is a part of what any connection takes. */
#define SMALL_QUEUE_BYTES 4096u

/* Counts what is held for it. */
static void account(struct conversation *c)
{
    struct worker *w = c->worker;
    /* What has left stays in a queue's memory until the rest has, too. */
    size_t bytes = (c->out.cap > SMALL_QUEUE_BYTES ? c->out.cap : c->out.len) + c->deferred.bytes;

    if (c->flow != NULL && c->flow->kept_bytes != NULL) {
        size_t kept = c->flow->kept_bytes(c);

        bytes += kept;
        if (kept > 0) {
            worker_unfinished(w, c);
        } else {
            worker_finished(w, c);
        }
    }
    if (bytes > c->held_bytes) {
        worker_hold_bytes(w, bytes - c->held_bytes);
    } else if (bytes < c->held_bytes) {
        worker_free_bytes(w, c->held_bytes - bytes);
    }
    c->held_bytes = bytes;
}

void conversation_update(struct conversation *c)
{
    struct worker *w = c->worker;

    if (c->state == CONVERSATION_DEAD) {
        return;
    }
    account(c);
    loop_set(&w->loop, &c->watch, waiting_interest(c));
    timers_set(&w->timers, &c->timer, waiting_deadline(c));
    if ((w->held || w->over) && c->state == CONVERSATION_OPEN && !list_is_linked(&c->in_paused)) {
        list_append(&w->paused, &c->in_paused);
    }
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
    count(&w->stats.closed[c->reason], 1);
    if (handler->closed != NULL) {
        struct peer_view who;
        struct tlsmsg_closed closed = {.reason = c->reason, .messages = c->messages};

        conversation_describe(c, &who);
        closed.peer = &who.peer;
        closed.duration_ms = (clock_now_ns() - c->accepted_ns) / CLOCK_NS_PER_MS;
        closed.heard = c->heard;
        if (c->flow != NULL && c->flow->report != NULL) {
            c->flow->report(c, &closed);
        }
        handler->closed(&closed, w->index, handler->user);
        worker_handler_ran(w);
    }
    if (c->flow != NULL && c->flow->end != NULL) {
        c->flow->end(c);
    }
}

/* The first reason is the one that is told. */
static void give_reason(struct conversation *c, enum tlsmsg_close_reason reason)
{
    if (!c->reason_known) {
        c->reason = reason;
        c->reason_known = true;
    }
}

void conversation_abort(struct conversation *c, enum tlsmsg_close_reason reason)
{
    if (c->state == CONVERSATION_DEAD) {
        return;
    }
    give_reason(c, reason);
    report(c);
    move(c, CONVERSATION_DEAD);
}

/* Ends in order: what is queued leaves, then close_notify. */
static void finish(struct conversation *c, enum tlsmsg_close_reason reason)
{
    if (c->state == CONVERSATION_OPEN) {
        give_reason(c, reason);
        move(c, CONVERSATION_FLUSH);
    }
}

static void act_on(struct conversation *c, struct verdict verdict)
{
    if (verdict.next == FINISH) {
        finish(c, verdict.reason);
    } else if (verdict.next == ABORT) {
        conversation_abort(c, verdict.reason);
    }
}

/* Reads and discards for a while: closing a socket with unread bytes sends a reset, and that
 * would overtake the alert or close_notify that was said last. */
static void linger(struct conversation *c)
{
    report(c);
    worker_handshake_over(c->worker, c);
    socket_source_unlimit(&c->source);
    move(c, c->eof ? CONVERSATION_DEAD : CONVERSATION_LINGER);
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
    give_reason(c, TLSMSG_CLOSE_HANDSHAKE);
    (void)transport_shutdown(c->transport, NULL);
    linger(c);
}

/* Takes a place of the accept budget. False when it is used up. */
static bool take_place(struct tlsmsg_server *server)
{
    uint64_t place;

    if (server->settings.accept == 0) {
        return true;
    }
    place = atomic_fetch_add(&server->taken, 1) + 1;
    if (place > server->settings.accept) {
        return false;
    }
    if (place == server->settings.accept) {
        server_advance(server, SERVER_FULL);
    }
    return true;
}

/* The handshake is done: a conversation begins. */
static void begin(struct conversation *c)
{
    struct worker *w = c->worker;
    const struct tlsmsg_handler *handler = &w->server->handler;
    struct peer_view who;

    move(c, CONVERSATION_OPEN);
    c->activity_ns = w->now_ns;
    if (!take_place(w->server)) {
        conversation_abort(c, TLSMSG_CLOSE_HANDSHAKE);
        return;
    }
    c->counted = true;
    worker_handshake_over(w, c);
    count(&w->stats.conversations, 1);
    conversation_describe(c, &who);
    c->flow = flow_choose(who.peer.tls);
    if (who.peer.tls != NULL) {
        count(&w->stats.resumed, who.tls.resumed ? 1 : 0);
        count(&w->stats.tls12, who.tls.version[6] == '2' ? 1 : 0);
    }
    if (handler->connected != NULL) {
        handler->connected(&who.peer, w->index, handler->user);
        worker_handler_ran(w);
    }
    if (c->flow->begin != NULL && !c->flow->begin(c)) {
        worker_event(w, TLSMSG_LOG_WARNING, TLSMSG_CAUSE_MEMORY, c,
                     "no memory for a conversation; it is closed");
        conversation_abort(c, TLSMSG_CLOSE_FAILED);
    }
}

static void step_handshake(struct conversation *c)
{
    struct tlsmsg_error err = {0};
    enum transport_result result;

    /* A connection that has said nothing so far gets what the last reload has brought. */
    if (c->transport == NULL) {
        table_follow_reload(c->worker);
    }
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
        begin(c);
    } else if (result == TRANSPORT_ERROR || result == TRANSPORT_CLOSED) {
        handshake_failed(c, &err);
    }
}

/* The server stops: what had arrived by then is read and answered, and nothing after it. */
static void end_drained(struct conversation *c)
{
    if (!c->limited) {
        c->limited = true;
        socket_source_limit(&c->source);
        worker_requeue(c->worker, c);
    } else if (!c->unread && c->source.base.dry) {
        finish(c, TLSMSG_CLOSE_DRAINED);
    }
}

static void step_open(struct conversation *c)
{
    if (c->released > 0 || c->deferred.count > 0) {
        act_on(c, messages_send(c));
    }
    if (c->state == CONVERSATION_OPEN) {
        act_on(c, messages_read(c));
    }
    /* What a flow says at once, such as its greeting. */
    if (c->state == CONVERSATION_OPEN && c->released > 0 && !c->write_wants_in) {
        act_on(c, messages_send(c));
    }
    if (c->draining && c->state == CONVERSATION_OPEN && c->messages > 0) {
        end_drained(c);
    }
}

static bool is_flushed(const struct conversation *c)
{
    return c->state == CONVERSATION_FLUSH && c->out.len == 0 && c->deferred.count == 0;
}

/* All replies have left: the flow has the last word. */
static void say_farewell(struct conversation *c)
{
    if (c->said_farewell || c->flow->farewell == NULL) {
        return;
    }
    c->flow->farewell(c);
    act_on(c, messages_send(c));
    c->said_farewell = true;
}

static void step_flush(struct conversation *c)
{
    act_on(c, messages_send(c));
    if (is_flushed(c)) {
        say_farewell(c);
    }
    if (is_flushed(c)) {
        move(c, CONVERSATION_SHUTDOWN);
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
        move(c, CONVERSATION_DEAD);
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
    if ((ready & LOOP_HANGUP) && ((c->state == CONVERSATION_OPEN && !messages_may_read(c)) ||
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
    if (c->flow->decided != NULL) {
        c->flow->decided(c);
    }
    if (c->released == 0) {
        c->progress_ns = c->worker->now_ns;
    }
    c->released = c->out.len;
    if (c->state == CONVERSATION_FLUSH) {
        run(c);
    } else {
        act_on(c, messages_send(c));
    }
    if (c->state == CONVERSATION_OPEN && c->unread && messages_may_read(c)) {
        worker_requeue(c->worker, c);
    }
}

void conversation_answer(struct conversation *c, uint64_t message, char *data, size_t len)
{
    act_on(c, messages_answer(c, message, data, len));
}

void conversation_refuse(struct conversation *c, uint64_t message, unsigned code)
{
    struct verdict verdict = {FINISH, TLSMSG_CLOSE_FAILED};

    if (c->flow->refused != NULL) {
        verdict = c->flow->refused(c, message, code);
    } else {
        messages_drop_undecided(c, c->released);
    }
    act_on(c, verdict);
    run(c);
}

void conversation_greet(struct conversation *c, uint64_t last, enum tlsmsg_promise promise)
{
    if (c->state == CONVERSATION_OPEN && c->flow->greeted != NULL) {
        act_on(c, c->flow->greeted(c, last, promise));
        run(c);
    }
}

void conversation_wake(struct conversation *c)
{
    if (c->state == CONVERSATION_OPEN && c->flow->woken != NULL) {
        act_on(c, c->flow->woken(c));
        run(c);
    }
}

void conversation_shed(struct conversation *c)
{
    if (c->state == CONVERSATION_OPEN && c->flow->shed != NULL) {
        act_on(c, c->flow->shed(c));
        run(c);
    }
    worker_finished(c->worker, c);
}

void conversation_take_over(struct conversation *c)
{
    if (c->flow->taken_over != NULL) {
        act_on(c, c->flow->taken_over(c));
        run(c);
    }
}

static void expire_handshake(struct conversation *c)
{
    if (!waiting_is_drained(c)) {
        worker_event(c->worker, TLSMSG_LOG_WARNING, TLSMSG_CAUSE_TIMEOUT, c,
                     "handshake not finished within %.3g s",
                     (double)c->worker->server->settings.handshake_timeout_ms / 1000);
    }
    conversation_abort(c, TLSMSG_CLOSE_HANDSHAKE);
}

/* Ends in order, without the reply that never came and those behind it: the peer may still
 * listen. */
static void expire_answers(struct conversation *c)
{
    struct worker *w = c->worker;

    worker_event(w, TLSMSG_LOG_WARNING, TLSMSG_CAUSE_TIMEOUT, c,
                 "a deferred reply did not come within %.3g s; the conversation ends without %zu",
                 (double)w->server->settings.write_timeout_ms / 1000, c->deferred.count);
    if (c->draining) {
        atomic_store(&w->server->undelivered, true);
    }
    reply_queue_fini(&c->deferred);
    c->reason = TLSMSG_CLOSE_TIMEOUT;
    run(c);
}

/* A deadline of OPEN or FLUSH: the write stall and the drain cut, the others end in order. */
static void expire_open(struct conversation *c)
{
    struct worker *w = c->worker;
    const struct server_settings *settings = &w->server->settings;
    int64_t stall = clock_deadline_ns(c->progress_ns, settings->write_timeout_ms);

    if (waiting_is_drained(c) && c->state == CONVERSATION_OPEN && c->out.len == 0 &&
        c->deferred.count == 0) {
        finish(c, TLSMSG_CLOSE_DRAINED);
        run(c);
    } else if (c->draining && w->drain_deadline_ns != 0 && w->drain_deadline_ns <= w->now_ns) {
        atomic_store(&w->server->undelivered, true);
        worker_event(w, TLSMSG_LOG_WARNING, TLSMSG_CAUSE_TIMEOUT, c,
                     "a reply could not be delivered before the drain timeout");
        c->reason_known = false;
        conversation_abort(c, TLSMSG_CLOSE_TIMEOUT);
    } else if (waiting_is_writing(c) && stall != 0 && stall <= w->now_ns) {
        worker_event(w, TLSMSG_LOG_WARNING, TLSMSG_CAUSE_TIMEOUT, c,
                     "took no byte of its replies for %.3g s",
                     (double)settings->write_timeout_ms / 1000);
        if (c->draining) {
            atomic_store(&w->server->undelivered, true);
        }
        conversation_abort(c, TLSMSG_CLOSE_TIMEOUT);
    } else if (waiting_awaits_handler(c)) {
        expire_answers(c);
    } else if (c->said_farewell || c->hurry_ns != 0) {
        conversation_abort(c, c->reason); /* the last words were not heard, or could not be said */
    } else if (c->flow->deadline != NULL && c->flow->deadline(c) != 0 &&
               c->flow->deadline(c) <= w->now_ns) {
        act_on(c, c->flow->expired(c));
        run(c);
    } else {
        worker_event(w, TLSMSG_LOG_INFO, TLSMSG_CAUSE_TIMEOUT, c, "idle for %.3g s",
                     (double)settings->idle_timeout_ms / 1000);
        finish(c, TLSMSG_CLOSE_TIMEOUT);
        run(c);
    }
}

void conversation_expire(struct conversation *c)
{
    int64_t deadline = waiting_deadline(c);

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
        expire_open(c);
        break;
    default:
        conversation_abort(c, TLSMSG_CLOSE_FAILED);
        break;
    }
}

void conversation_drain(struct conversation *c)
{
    c->draining = true;
    if (c->state == CONVERSATION_OPEN) {
        worker_requeue(c->worker, c);
    }
}
