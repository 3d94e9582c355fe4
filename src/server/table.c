/* A conversation that has ended is only marked; table_reap, after dispatch, is the one place that
 * frees, so that nobody is left holding what is gone. */
#include "server/table.h"

#include <stdlib.h>
#include <unistd.h>

#include "base/build.h"
#include "server/deferred.h"
#include "server/flow.h"
#include "server/limits.h"

/* Conversations that must have come together, and three quarters of them left, before it pays to
 * ask the allocator for what they used. */
#define GIVE_BACK_FROM 512

/* After close_notify or an alert: how much is read and discarded. */
#define LINGER_BYTES (64u * 1024)

struct conversation *table_of_watch(struct loop_watch *watch)
{
    return LIST_ITEM(watch, struct conversation, watch);
}

struct conversation *table_of_timer(struct timer *timer)
{
    return LIST_ITEM(timer, struct conversation, timer);
}

static struct conversation *make(struct worker *w, int fd, const struct address *peer, uint64_t id)
{
    struct conversation *c = calloc(1, sizeof(*c));

    if (c == NULL) {
        return NULL;
    }
    c->watch = (struct loop_watch){.fd = fd, .kind = WATCH_CONVERSATION};
    socket_source_init(&c->source, fd);
    buffer_init(&c->out, QUEUE_LIMIT_BYTES, 0);
    buffer_use_spares(&c->out, &w->spares);
    reply_queue_init(&c->deferred);
    list_init(&c->in_replies);
    list_init(&c->in_requeued);
    list_init(&c->in_paused);
    list_init(&c->in_waiting);
    list_init(&c->in_unfinished);
    c->worker = w;
    c->id = id;
    c->peer = *peer;
    c->accepted_ns = w->now_ns;
    c->since_ns = w->now_ns;
    c->activity_ns = w->now_ns;
    c->linger_budget = LINGER_BYTES;
    c->draining = w->draining;
    return c;
}

static void release(struct conversation *c)
{
    if (c == NULL) {
        return;
    }
    if (c->flow != NULL && c->flow->end != NULL) {
        c->flow->end(c);
    }
    transport_free(c->transport);
    (void)close(c->watch.fd);
    reply_queue_fini(&c->deferred);
    buffer_fini(&c->out);
    free(c);
}

/* Doubles the table; all of it stays reserved, so that later steps can't fail. */
static bool grow(struct worker *w)
{
    size_t cap = w->slot_cap > 0 ? w->slot_cap * 2 : 64;
    struct conversation **slots = realloc(w->slots, cap * sizeof(struct conversation *));
    uint32_t *free_slots;

    if (slots == NULL) {
        return false;
    }
    w->slots = slots;
    free_slots = realloc(w->free_slots, cap * sizeof(uint32_t));
    if (free_slots == NULL) {
        return false;
    }
    w->free_slots = free_slots;
    if (!timers_reserve(&w->timers, cap)) {
        return false;
    }
    for (size_t i = cap; i > w->slot_cap; i--) {
        w->slots[i - 1] = NULL;
        w->free_slots[w->free_count++] = (uint32_t)(i - 1);
    }
    w->slot_cap = cap;
    return true;
}

void table_follow_reload(struct worker *w)
{
    if (atomic_load_explicit(&w->server->config_generation, memory_order_acquire) !=
        w->config_generation) {
        transport_config_unref(w->config);
        w->config = server_config(w->server, &w->config_generation);
    }
}

struct conversation *table_add(struct worker *w, int fd, const struct address *peer, uint64_t id)
{
    struct conversation *c;

    if (w->free_count == 0 && !grow(w)) {
        return NULL;
    }
    c = make(w, fd, peer, id);
    if (c == NULL) {
        return NULL;
    }
    if (!loop_add(&w->loop, &c->watch, LOOP_READ)) {
        free(c);
        return NULL;
    }
    c->slot = w->free_slots[--w->free_count];
    w->slots[c->slot] = c;
    w->conversations++;
    if (w->conversations > w->most_conversations) {
        w->most_conversations = w->conversations;
    }
    w->handshaking++;
    count(&w->stats.open, 1);
    count(&w->stats.handshaking, 1);
    return c;
}

struct conversation *table_find(const struct worker *w, uint32_t slot, uint64_t id)
{
    struct conversation *c = slot < w->slot_cap ? w->slots[slot] : NULL;

    return c != NULL && c->id == id ? c : NULL;
}

void table_mark_closed(struct worker *w, struct conversation *c)
{
    loop_remove(&w->loop, &c->watch);
    timers_remove(&w->timers, &c->timer);
    worker_handshake_over(w, c);
    list_remove(&c->in_replies);
    list_remove(&c->in_paused);
    list_remove(&c->in_waiting);
    worker_finished(w, c);
    list_remove(&c->in_requeued);
    list_append(&w->dead, &c->in_requeued);
}

/* After a crowd has left. */
static void give_back_memory(struct worker *w)
{
    if (w->most_conversations >= GIVE_BACK_FROM && w->conversations <= w->most_conversations / 4) {
        buffer_spares_free(&w->spares);
        build_give_back_memory();
        w->most_conversations = w->conversations;
    }
}

void table_reap(struct worker *w)
{
    struct list *link;

    while ((link = list_take_first(&w->dead)) != NULL) {
        struct conversation *c = LIST_ITEM(link, struct conversation, in_requeued);

        w->slots[c->slot] = NULL;
        w->free_slots[w->free_count++] = c->slot;
        w->conversations--;
        uncount(&w->stats.open, 1);
        uncount(&w->stats.queued_bytes, c->out.len);
        worker_free_bytes(w, c->held_bytes);
        limits_leave(&w->server->limits, &c->peer);
        release(c);
    }
    give_back_memory(w);
}

void table_fini(struct worker *w)
{
    for (size_t i = 0; i < w->slot_cap; i++) {
        release(w->slots[i]);
    }
    free(w->slots);
    free(w->free_slots);
    buffer_spares_free(&w->spares);
}
