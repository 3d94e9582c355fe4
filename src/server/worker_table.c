/* A worker's conversations: the table, the lists they are on, and where they are freed.
 *
 * A conversation that has ended is only marked (worker_bury); worker_reap, after dispatch, is
 * the one place that frees, so that nobody is left holding what is gone. */
#include <stdlib.h>

#include "base/build.h"
#include "server/server_state.h"
#include "server/worker.h"

/* Conversations that must have come together, and three quarters of them left, before it pays to
 * ask the allocator for what they used. */
#define GIVE_BACK_FROM 512

/* Doubles the table of conversations; all of it stays reserved, so that later steps can't fail. */
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

bool worker_adopt(struct worker *w, struct conversation *c)
{
    if (w->free_count == 0 && !grow(w)) {
        return false;
    }
    if (!loop_add(&w->loop, &c->watch, LOOP_READ)) {
        return false;
    }
    if (atomic_load_explicit(&w->server->config_generation, memory_order_acquire) !=
        w->config_generation) {
        transport_config_unref(w->config);
        w->config = server_config(w->server, &w->config_generation);
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
    return true;
}

struct conversation *worker_find(const struct worker *w, uint32_t slot, uint64_t id)
{
    struct conversation *c = slot < w->slot_cap ? w->slots[slot] : NULL;

    return c != NULL && c->id == id ? c : NULL;
}

void worker_turn(struct worker *w, struct conversation *c)
{
    if (!c->in_turn) {
        c->in_turn = true;
        c->next_turn = w->turn;
        w->turn = c;
    }
}

void worker_again(struct worker *w, struct conversation *c)
{
    if (!c->in_again) {
        c->in_again = true;
        c->next_again = w->again;
        w->again = c;
    }
}

void worker_handshake_over(struct worker *w, struct conversation *c)
{
    if (!c->handshake_over) {
        c->handshake_over = true;
        w->handshaking--;
        uncount(&w->stats.handshaking, 1);
        admission_handshake_done(&w->server->admission);
    }
}

void worker_bury(struct worker *w, struct conversation *c)
{
    loop_remove(&w->loop, &c->watch);
    timers_remove(&w->timers, &c->timer);
    worker_handshake_over(w, c);
    c->next_dead = w->dead;
    w->dead = c;
}

/* Takes the dead off the lists that outlive a turn. */
static void unlist_dead(struct worker *w)
{
    struct conversation **at;

    for (at = &w->turn; *at != NULL;) {
        if ((*at)->state == CONVERSATION_DEAD) {
            *at = (*at)->next_turn;
        } else {
            at = &(*at)->next_turn;
        }
    }
    for (at = &w->again; *at != NULL;) {
        if ((*at)->state == CONVERSATION_DEAD) {
            *at = (*at)->next_again;
        } else {
            at = &(*at)->next_again;
        }
    }
    for (at = &w->paused; *at != NULL;) {
        if ((*at)->state == CONVERSATION_DEAD) {
            *at = (*at)->next_paused;
        } else {
            at = &(*at)->next_paused;
        }
    }
}

/* After a crowd has left. */
static void give_back_memory(struct worker *w)
{
    if (w->most_conversations >= GIVE_BACK_FROM && w->conversations <= w->most_conversations / 4) {
        build_give_back_memory();
        w->most_conversations = w->conversations;
    }
}

void worker_reap(struct worker *w)
{
    if (w->dead != NULL) {
        unlist_dead(w);
    }
    while (w->dead != NULL) {
        struct conversation *c = w->dead;

        w->dead = c->next_dead;
        w->slots[c->slot] = NULL;
        w->free_slots[w->free_count++] = c->slot;
        w->conversations--;
        uncount(&w->stats.open, 1);
        uncount(&w->stats.queued_bytes, c->out.len);
        admission_leave(&w->server->admission, &c->peer);
        conversation_free(c);
    }
    give_back_memory(w);
}
