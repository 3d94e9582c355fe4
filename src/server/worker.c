/* The turn of a worker's loop: wait, step what is ready, ask the handler, send, reap. */
#include "server/worker.h"

#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/clock.h"
#include "base/error.h"
#include "base/wake.h"
#include "server/accept.h"
#include "server/server_state.h"

#define TURN_EVENTS 128

static struct conversation *of_watch(struct loop_watch *watch)
{
    return (struct conversation *)(void *)((char *)watch - offsetof(struct conversation, watch));
}

static struct conversation *of_timer(struct timer *timer)
{
    return (struct conversation *)(void *)((char *)timer - offsetof(struct conversation, timer));
}

enum tlsmsg_code worker_init(struct worker *w, struct server *server, unsigned index,
                             struct tlsmsg_error *err)
{
    enum tlsmsg_code code;

    w->server = server;
    w->index = index;
    timers_init(&w->timers);
    mailbox_init(&w->mailbox);
    code = loop_init(&w->loop, err);
    if (code != TLSMSG_OK) {
        return code;
    }
    w->config = server_config(server, &w->config_generation);
    for (size_t i = 0; i < server->listener_count; i++) {
        w->listeners[i].watch =
            (struct loop_watch){.fd = server->listeners[i].fd, .kind = WATCH_LISTENER};
    }
    w->listener_count = server->listener_count;
    if (!accept_listen(w)) {
        return error_set(err, TLSMSG_ERR_SYSTEM, 0, "cannot watch the listening sockets");
    }
    return TLSMSG_OK;
}

void worker_fini(struct worker *w)
{
    for (size_t i = 0; i < w->slot_cap; i++) {
        conversation_free(w->slots[i]);
    }
    free(w->slots);
    free(w->free_slots);
    transport_config_unref(w->config);
    timers_fini(&w->timers);
    mailbox_fini(&w->mailbox);
    loop_fini(&w->loop);
}

void worker_event(struct worker *w, enum tlsmsg_log_level level, enum tlsmsg_cause cause,
                  const struct conversation *c, const char *format, ...)
{
    const struct tlsmsg_handler *handler = &w->server->handler;
    struct tlsmsg_event event = {.level = level, .cause = cause};
    char address[ADDRESS_TEXT_MAX];
    char text[640];
    va_list args;

    count(&w->stats.events[cause], 1);
    if (handler->event == NULL) {
        return;
    }
    if (c != NULL) {
        address_print(&c->peer, address, sizeof(address));
        event.address = address;
        event.connection = c->id;
    }
    va_start(args, format);
    (void)vsnprintf(text, sizeof(text), format, args);
    va_end(args);
    event.text = text;
    handler->event(&event, handler->user);
}

bool worker_begin(struct worker *w, struct conversation *c)
{
    struct server *server = w->server;
    const struct tlsmsg_handler *handler = &server->handler;
    struct tlsmsg_tls tls;

    if (server->settings.accept > 0) {
        uint64_t place = atomic_fetch_add(&server->taken, 1) + 1;

        if (place > server->settings.accept) {
            return false;
        }
        if (place == server->settings.accept) {
            server_advance(server, SERVER_FULL);
        }
    }
    c->counted = true;
    worker_handshake_over(w, c);
    count(&w->stats.conversations, 1);
    (void)transport_describe(c->transport, &tls);
    if (tls.resumed) {
        count(&w->stats.resumed, 1);
    }
    if (tls.version != NULL && tls.version[6] == '2') {
        count(&w->stats.tls12, 1);
    }
    if (handler->connected != NULL) {
        struct peer_view who;

        conversation_describe(c, &who);
        handler->connected(&who.peer, w->index, handler->user);
        w->dirty = true;
    }
    return true;
}

void worker_settle(struct worker *w, struct conversation *c)
{
    if (c->state == CONVERSATION_DEAD) {
        return;
    }
    loop_set(&w->loop, &c->watch, conversation_interest(c));
    timers_set(&w->timers, &c->timer, conversation_deadline(c));
    if (w->held && c->state == CONVERSATION_OPEN && !c->in_paused) {
        c->in_paused = true;
        c->next_paused = w->paused;
        w->paused = c;
    }
}

/* Steps those that have more to read although no poll says so. */
static void step_again(struct worker *w)
{
    struct conversation *c = w->again;

    w->again = NULL;
    while (c != NULL) {
        struct conversation *next = c->next_again;

        c->in_again = false;
        if (c->state != CONVERSATION_DEAD) {
            conversation_step(c, 0);
            worker_settle(w, c);
        }
        c = next;
    }
}

static void release_turn(struct worker *w)
{
    struct conversation *c = w->turn;

    w->turn = NULL;
    while (c != NULL) {
        struct conversation *next = c->next_turn;

        c->in_turn = false;
        if (c->state != CONVERSATION_DEAD) {
            conversation_release(c);
            worker_settle(w, c);
        }
        c = next;
    }
    if (w->turn_messages > 0) {
        stats_latency(&w->stats, clock_now_ns() - w->turn_began_ns, w->turn_messages);
        w->turn_messages = 0;
    }
}

/* A hold is over: those that were not read meanwhile are looked at again. */
static void resume_paused(struct worker *w)
{
    struct conversation *c = w->paused;

    w->held = false;
    w->paused = NULL;
    while (c != NULL) {
        struct conversation *next = c->next_paused;

        c->in_paused = false;
        c->activity_ns = w->now_ns;
        if (c->state != CONVERSATION_DEAD) {
            worker_again(w, c);
            worker_settle(w, c);
        }
        c = next;
    }
}

/* Ends everything at once: the handler can't keep what it promised. */
static void fail(struct worker *w)
{
    w->failed = true;
    w->held = false;
    accept_close(w);
    for (size_t i = 0; i < w->slot_cap; i++) {
        if (w->slots[i] != NULL) {
            w->slots[i]->reported = true;
            conversation_abort(w->slots[i], TLSMSG_CLOSE_FAILED);
        }
    }
    server_advance(w->server, SERVER_FAILED);
}

/* Asks the handler and lets the turn's replies leave. Releasing can end conversations, which is
 * reported, so the handler may have to be asked once more. */
static void end_turn(struct worker *w)
{
    const struct tlsmsg_handler *handler = &w->server->handler;

    for (int i = 0; i < 3 && (w->dirty || w->turn != NULL) && !w->held && !w->failed; i++) {
        enum tlsmsg_turn verdict = TLSMSG_TURN_RELEASE;

        if (w->dirty && handler->turn_end != NULL) {
            verdict = handler->turn_end(w->index, handler->user);
        }
        w->dirty = false;
        if (verdict == TLSMSG_TURN_FAIL) {
            fail(w);
        } else if (verdict == TLSMSG_TURN_HOLD) {
            w->held = true;
        } else {
            release_turn(w);
        }
    }
}

static void read_mail(struct worker *w)
{
    struct letter *letter;
    bool release;
    bool failed;

    letter = mailbox_take(&w->mailbox, &release, &failed);
    while (letter != NULL) {
        struct letter *next = letter->next;
        struct conversation *c = worker_find(w, letter->token.slot, letter->token.connection);

        if (c != NULL && (c->state == CONVERSATION_OPEN || c->state == CONVERSATION_FLUSH)) {
            conversation_answer(c, letter->token.message, letter->data, letter->len);
            letter->data = NULL;
        }
        letter_free(letter);
        letter = next;
    }
    if (failed && !w->failed) {
        fail(w);
    } else if (release && w->held) {
        resume_paused(w);
    }
}

/* Ends all conversations in order. */
static void drain(struct worker *w)
{
    w->draining = true;
    w->drain_deadline_ns = clock_deadline_ns(w->now_ns, w->server->settings.drain_timeout_ms);
    accept_close(w);
    for (size_t i = 0; i < w->slot_cap; i++) {
        struct conversation *c = w->slots[i];

        if (c != NULL && c->state != CONVERSATION_DEAD) {
            conversation_drain(c);
            worker_settle(w, c);
        }
    }
}

/* The accept budget is used up: listeners close, handshakes in flight are dropped. */
static void close_door(struct worker *w)
{
    if (w->listener_count == 0) {
        return;
    }
    accept_close(w);
    for (size_t i = 0; i < w->slot_cap; i++) {
        if (w->slots[i] != NULL && w->slots[i]->state == CONVERSATION_HANDSHAKE) {
            conversation_abort(w->slots[i], TLSMSG_CLOSE_HANDSHAKE);
        }
    }
}

static void follow_phase(struct worker *w)
{
    int phase = atomic_load(&w->server->phase);

    if (phase == SERVER_FULL) {
        close_door(w);
    } else if (phase == SERVER_STOPPING && !w->draining) {
        drain(w);
    } else if (phase == SERVER_FAILED && !w->failed) {
        fail(w);
    }
}

static void expire(struct worker *w)
{
    struct timer *timer;

    while ((timer = timers_pop(&w->timers, w->now_ns)) != NULL) {
        struct conversation *c = of_timer(timer);

        conversation_expire(c);
        worker_settle(w, c);
    }
    accept_resume(w);
}

static int wait_ms(const struct worker *w)
{
    int64_t next = timers_next_ns(&w->timers);

    if (w->again != NULL || (w->turn != NULL && !w->held)) {
        return 0;
    }
    if (w->resume_ns != 0 && (next == 0 || w->resume_ns < next)) {
        next = w->resume_ns;
    }
    return clock_poll_ms(next == 0 ? 0 : clock_now_ns(), next);
}

static void turn(struct worker *w)
{
    struct loop_event events[TURN_EVENTS];
    bool woken;
    size_t n = loop_wait(&w->loop, events, TURN_EVENTS, wait_ms(w), &woken);

    w->now_ns = clock_now_ns();
    if (woken) {
        read_mail(w);
    }
    follow_phase(w);
    step_again(w);
    for (size_t i = 0; i < n; i++) {
        struct loop_watch *watch = events[i].watch;

        if (watch->kind == WATCH_LISTENER) {
            accept_ready(w, watch);
        } else if (of_watch(watch)->state != CONVERSATION_DEAD) {
            conversation_step(of_watch(watch), events[i].ready);
            worker_settle(w, of_watch(watch));
        }
    }
    expire(w);
    end_turn(w);
    worker_reap(w);
}

void *worker_run(void *arg)
{
    struct worker *w = arg;

    w->now_ns = clock_now_ns();
    while (!w->failed && (w->listener_count > 0 || w->conversations > 0)) {
        turn(w);
    }
    worker_reap(w);
    if (atomic_fetch_sub(&w->server->running, 1) == 1) {
        wake_raise(w->server->done_fd);
    }
    return NULL;
}
