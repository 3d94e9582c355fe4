/* One iteration of the loop: wait, step what is ready, ask the handler, send, reap. */
#include "server/worker.h"

#include "base/clock.h"
#include "base/error.h"
#include "base/wake.h"
#include "server/accept.h"
#include "server/conversation.h"
#include "server/deferred.h"
#include "server/stats.h"
#include "server/table.h"

#define ITERATION_EVENTS ITERATION_CONVERSATIONS
/* Conversations between two looks at the clock. */
#define LOOK_CONVERSATIONS 8
/* Between two looks whether memory is free again. */
#define OVER_NS (10 * (int64_t)CLOCK_NS_PER_MS)
/* Releasing replies can end conversations, which is reported: the handler is asked again, but not
 * for ever. */
#define ASK_AGAIN_MAX 3

enum tlsmsg_code worker_init(struct worker *w, struct tlsmsg_server *server, unsigned index,
                             struct tlsmsg_error *err)
{
    enum tlsmsg_code code;

    w->server = server;
    w->index = index;
    list_init(&w->replies);
    list_init(&w->requeued);
    list_init(&w->dead);
    list_init(&w->paused);
    list_init(&w->unfinished);
    list_init(&w->waiting);
    list_init(&w->leaving);
    timers_init(&w->timers);
    mailbox_init(&w->mailbox);
    code = loop_init(&w->loop, err);
    if (code != TLSMSG_OK) {
        return code;
    }
    w->config = server_config(server, &w->config_generation);
    for (size_t i = 0; i < server->listener_count; i++) {
        w->listeners[i] =
            (struct loop_watch){.fd = server->listeners[i].fd, .kind = WATCH_LISTENER};
    }
    w->listener_count = server->listener_count;
    if (!accept_begin(w)) {
        return error_set(err, TLSMSG_ERR_SYSTEM, 0, "cannot watch the listening sockets");
    }
    return TLSMSG_OK;
}

/* What ended conversations had brought is decided: their producers are free. */
static void leave_producers(struct worker *w)
{
    while (!list_is_empty(&w->leaving)) {
        worker_leave_producer(w, LIST_ITEM(w->leaving.next, struct producer_hold, link));
    }
}

void worker_fini(struct worker *w)
{
    table_fini(w);
    leave_producers(w);
    transport_config_unref(w->config);
    timers_fini(&w->timers);
    mailbox_fini(&w->mailbox);
    loop_fini(&w->loop);
}

/* Whether this iteration has taken in what it may: others wait, and so do the replies. */
static bool is_spent(struct worker *w)
{
    if (w->stepped % LOOK_CONVERSATIONS == LOOK_CONVERSATIONS - 1 &&
        clock_now_ns() - w->now_ns >= ITERATION_NS) {
        w->taken_bytes = w->most_bytes;
    }
    return worker_is_spent(w);
}

static void step(struct worker *w, struct conversation *c, uint32_t ready)
{
    w->stepped++;
    conversation_step(c, ready);
    /* With replies to send it comes by again at the iteration's end. */
    if (w->held || !list_is_linked(&c->in_replies)) {
        conversation_update(c);
    }
}

/* Steps those that have more to read although no poll says so. Those for which nothing is left come
 * first in the next iteration, before those that have had their share. */
static void step_requeued(struct worker *w)
{
    struct list now;
    struct list *link;

    list_init(&now);
    list_move_all(&w->requeued, &now);
    while (w->stepped < ITERATION_CONVERSATIONS && !is_spent(w) &&
           (link = list_take_first(&now)) != NULL) {
        step(w, LIST_ITEM(link, struct conversation, in_requeued), 0);
    }
    list_move_all(&w->requeued, &now);
    list_move_all(&now, &w->requeued);
}

/* Steps one of which the poll has told something, or puts it behind those that wait. */
static void step_ready(struct worker *w, struct conversation *c, uint32_t ready)
{
    if (c->state == CONVERSATION_DEAD) {
        return;
    }
    if (is_spent(w)) {
        worker_requeue(w, c);
    } else {
        step(w, c, ready);
    }
}

static void release_replies(struct worker *w)
{
    struct list now;
    struct list *link;

    list_init(&now);
    list_move_all(&w->replies, &now);
    while ((link = list_take_first(&now)) != NULL) {
        struct conversation *c = LIST_ITEM(link, struct conversation, in_replies);

        conversation_release(c);
        conversation_update(c);
    }
    leave_producers(w);
    if (w->answered > 0) {
        stats_latency(&w->stats, clock_now_ns() - w->answered_ns, w->answered);
        w->answered = 0;
    }
}

/* Nothing stops those that were not read meanwhile: as many of them as an iteration steps are
 * looked at again. All at once they would bring as much as they have waited for. */
static void resume_paused(struct worker *w)
{
    struct list *link;
    unsigned n = 0;

    while (!w->held && !w->over && n++ < ITERATION_CONVERSATIONS &&
           (link = list_take_first(&w->paused))) {
        struct conversation *c = LIST_ITEM(link, struct conversation, in_paused);

        c->activity_ns = w->now_ns;
        worker_requeue(w, c);
    }
}

/* Ends everything at once: the handler can't keep what it promised. */
static void fail(struct worker *w)
{
    w->failed = true;
    w->held = false;
    accept_stop(w);
    for (size_t i = 0; i < w->slot_cap; i++) {
        if (w->slots[i] != NULL) {
            w->slots[i]->reported = true;
            conversation_abort(w->slots[i], TLSMSG_CLOSE_FAILED);
        }
    }
    server_advance(w->server, SERVER_FAILED);
}

/* Memory is short: the oldest unfinished message loses its conversation, here if it is ours. */
static void shed(struct worker *w)
{
    if (atomic_exchange(&w->sheds, false) && !list_is_empty(&w->unfinished)) {
        struct conversation *c = LIST_ITEM(w->unfinished.next, struct conversation, in_unfinished);

        conversation_shed(c);
        conversation_update(c);
    }
    worker_look_at_memory(w);
    if (w->over) {
        server_shed(w->server);
    }
}

/* Replies stay where they are: their conversations are updated all the same. */
static void keep_replies(struct worker *w)
{
    LIST_EACH_SAFE(at, after, &w->replies) {
        conversation_update(LIST_ITEM(at, struct conversation, in_replies));
    }
}

/* Whether something waits for a turn's release: replies, or producers whose connections have ended. */
static bool has_unreleased(const struct worker *w)
{
    return !list_is_empty(&w->replies) || !list_is_empty(&w->leaving);
}

/* Asks the handler and lets the iteration's replies leave. */
static void end_turn(struct worker *w)
{
    const struct tlsmsg_handler *handler = &w->server->handler;

    for (int i = 0; i < ASK_AGAIN_MAX && (w->dirty || has_unreleased(w)) && !w->held && !w->failed;
         i++) {
        enum tlsmsg_turn verdict = TLSMSG_TURN_RELEASE;

        if (w->dirty && handler->turn_end != NULL) {
            verdict = handler->turn_end(w->index, handler->user);
            transport_program_ran();
        }
        w->dirty = false;
        if (verdict == TLSMSG_TURN_FAIL) {
            fail(w);
        } else if (verdict == TLSMSG_TURN_HOLD) {
            w->held = true;
            keep_replies(w);
        } else {
            release_replies(w);
        }
    }
}

static void deliver(struct worker *w, struct posted *posted)
{
    struct conversation *c = table_find(w, posted->token.slot, posted->token.connection);

    if (c == NULL || (c->state != CONVERSATION_OPEN && c->state != CONVERSATION_FLUSH)) {
        return;
    }
    if (posted->kind == POSTED_TAKEN_OVER) {
        conversation_take_over(c);
        conversation_update(c);
    } else if (posted->kind == POSTED_REFUSAL) {
        conversation_refuse(c, posted->token.message, posted->code);
        conversation_update(c);
    } else if (posted->kind == POSTED_HELLO) {
        conversation_greet(c, posted->last, posted->promise);
        conversation_update(c);
    } else {
        conversation_answer(c, posted->token.message, posted->data, posted->len);
        posted->data = NULL;
    }
}

/* Producers have changed hands: those that wait for one look whether it is theirs. */
static void wake_waiting(struct worker *w)
{
    if (!atomic_exchange(&w->look, false)) {
        return;
    }
    LIST_EACH_SAFE(at, after, &w->waiting) {
        struct conversation *c = LIST_ITEM(at, struct conversation, in_waiting);

        conversation_wake(c);
        conversation_update(c);
    }
}

/* What other threads have posted. */
static void read_mailbox(struct worker *w)
{
    struct list posted;
    struct list *link;
    bool release;
    bool failed;

    list_init(&posted);
    mailbox_take(&w->mailbox, &posted, &release, &failed);
    while ((link = list_take_first(&posted)) != NULL) {
        struct posted *item = LIST_ITEM(link, struct posted, link);

        deliver(w, item);
        posted_free(item);
    }
    if (failed && !w->failed) {
        fail(w);
    } else if (release) {
        w->held = false;
    }
}

/* Ends all conversations in order. */
static void drain(struct worker *w)
{
    w->draining = true;
    w->draining_since_ns = w->now_ns;
    w->drain_deadline_ns = clock_deadline_ns(w->now_ns, w->server->settings.drain_timeout_ms);
    accept_last(w);
    accept_stop(w);
    for (size_t i = 0; i < w->slot_cap; i++) {
        struct conversation *c = w->slots[i];

        if (c != NULL && c->state != CONVERSATION_DEAD) {
            conversation_drain(c);
            conversation_update(c);
        }
    }
}

/* The accept budget is used up: listeners close, handshakes in flight are dropped. */
static void stop_accepting(struct worker *w)
{
    accept_stop(w);
    for (size_t i = 0; i < w->slot_cap; i++) {
        if (w->slots[i] != NULL && w->slots[i]->state == CONVERSATION_HANDSHAKE) {
            conversation_abort(w->slots[i], TLSMSG_CLOSE_HANDSHAKE);
        }
    }
}

static void follow_phase(struct worker *w)
{
    int phase = atomic_load(&w->server->phase);

    if (phase == SERVER_FULL && w->listener_count > 0) {
        stop_accepting(w);
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
        struct conversation *c = table_of_timer(timer);

        conversation_expire(c);
        conversation_update(c);
    }
    accept_resume(w);
}

static int wait_ms(const struct worker *w)
{
    int64_t next = timers_next_ns(&w->timers);

    if (!list_is_empty(&w->requeued) ||
        (!w->held && (w->dirty || has_unreleased(w) || (!list_is_empty(&w->paused) && !w->over)))) {
        return 0;
    }
    /* Nobody tells when others have given memory back. */
    if (w->over && !list_is_empty(&w->paused)) {
        next = clock_earlier_ns(next, w->now_ns + OVER_NS);
    }
    next = clock_earlier_ns(next, w->resume_ns);
    return clock_poll_ms(next == 0 ? 0 : clock_now_ns(), next);
}

static void iterate(struct worker *w)
{
    struct loop_event events[ITERATION_EVENTS];
    bool woken;
    size_t n = loop_wait(&w->loop, events, ITERATION_EVENTS, wait_ms(w), &woken);

    w->now_ns = clock_now_ns();
    w->taken_bytes = 0;
    w->most_bytes = worker_most_bytes(w);
    w->stepped = 0;
    if (woken) {
        read_mailbox(w);
        wake_waiting(w);
    }
    follow_phase(w);
    shed(w);
    resume_paused(w);
    step_requeued(w);
    for (size_t i = 0; i < n; i++) {
        struct loop_watch *watch = events[i].watch;

        if (watch->kind == WATCH_LISTENER) {
            accept_ready(w, watch);
        } else {
            step_ready(w, table_of_watch(watch), events[i].ready);
        }
    }
    expire(w);
    end_turn(w);
    table_reap(w);
}

void *worker_run(void *arg)
{
    struct worker *w = arg;

    w->now_ns = clock_now_ns();
    while (!w->failed && (w->listener_count > 0 || w->conversations > 0)) {
        iterate(w);
    }
    table_reap(w);
    if (atomic_fetch_sub(&w->server->running, 1) == 1) {
        wake_raise(w->server->done_fd);
    }
    return NULL;
}
