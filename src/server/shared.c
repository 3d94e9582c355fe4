/* What all files of the server use: its phase, its listeners, a worker's lists and events. */
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "server/internal.h"
#include "server/limits.h"

void server_advance(struct tlsmsg_server *server, enum server_phase phase)
{
    int now = atomic_load(&server->phase);

    while (now < (int)phase && !atomic_compare_exchange_weak(&server->phase, &now, (int)phase)) {
    }
    for (unsigned i = 0; i < server->worker_count; i++) {
        loop_wake(&server->workers[i].loop);
    }
}

void server_close_listeners(struct tlsmsg_server *server)
{
    for (size_t i = 0; i < server->listener_count; i++) {
        if (server->listeners[i].fd >= 0) {
            (void)close(server->listeners[i].fd);
            server->listeners[i].fd = -1;
        }
    }
}

void server_leave_listeners(struct tlsmsg_server *server)
{
    if (atomic_fetch_sub(&server->listening, 1) == 1) {
        server_close_listeners(server);
    }
}

struct transport_config *server_config(struct tlsmsg_server *server, unsigned *generation)
{
    struct transport_config *config;

    (void)pthread_mutex_lock(&server->config_lock);
    config = transport_config_ref(server->config);
    *generation = atomic_load(&server->config_generation);
    (void)pthread_mutex_unlock(&server->config_lock);
    return config;
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
    transport_program_ran();
}

size_t server_buffered(const struct tlsmsg_server *server)
{
    return atomic_load_explicit(&server->credit, memory_order_relaxed) +
           atomic_load_explicit(&server->elsewhere, memory_order_relaxed) +
           producers_bytes(&server->producers);
}

size_t worker_most_bytes(const struct worker *w)
{
    size_t max = w->server->settings.max_buffered_bytes;
    size_t total = server_buffered(w->server);
    size_t share = total < max ? (max - total) / w->server->worker_count / ITERATION_GROWTH : 0;

    if (share > ITERATION_BYTES) {
        return ITERATION_BYTES;
    }
    return share > 0 ? share : 1;
}

bool worker_has_room(const struct worker *w, size_t len)
{
    size_t spare = w->server->worker_count * CREDIT_MAX_SPARE;
    size_t total = server_buffered(w->server);

    return total + 2 * len <= w->server->settings.max_buffered_bytes || total <= len + spare;
}

/* What all conversations hold, to the byte: of the credit a part may be nobody's, and never come back
 * by itself. */
static size_t held_by_all(const struct tlsmsg_server *server)
{
    size_t bytes = 0;

    for (unsigned i = 0; i < server->worker_count; i++) {
        bytes += (size_t)atomic_load_explicit(&server->workers[i].stats.buffered_bytes,
                                              memory_order_relaxed);
    }
    return bytes;
}

/* Only what conversations hold can fill it up: that goes as peers take their replies, or in time. */
void worker_look_at_memory(struct worker *w)
{
    const struct tlsmsg_server *server = w->server;
    size_t most = server->settings.max_buffered_bytes;
    size_t beside = (size_t)atomic_load(&server->limits.connections) * QUEUE_MARK_BYTES;

    w->over = server_buffered(server) > most;
    w->full = w->over && held_by_all(server) > most + beside;
}

void worker_settle(struct worker *w)
{
    size_t wanted = w->bytes == 0 ? 0 : (w->bytes / CREDIT_BYTES + 2) * CREDIT_BYTES;
    atomic_size_t *total = &w->server->credit;

    if (wanted > w->credit) {
        atomic_fetch_add_explicit(total, wanted - w->credit, memory_order_relaxed);
        worker_look_at_memory(w);
    } else {
        atomic_fetch_sub_explicit(total, w->credit - wanted, memory_order_relaxed);
    }
    w->credit = wanted;
}

static void tell_oldest(struct worker *w)
{
    int64_t since_ns = 0;

    if (!list_is_empty(&w->unfinished)) {
        since_ns =
            LIST_ITEM(w->unfinished.next, struct conversation, in_unfinished)->unfinished_since_ns;
    }
    atomic_store_explicit(&w->unfinished_since_ns, since_ns, memory_order_relaxed);
}

void worker_unfinished(struct worker *w, struct conversation *c)
{
    if (!list_is_linked(&c->in_unfinished)) {
        c->unfinished_since_ns = w->now_ns;
        list_append(&w->unfinished, &c->in_unfinished);
        tell_oldest(w);
    }
}

void worker_finished(struct worker *w, struct conversation *c)
{
    if (list_is_linked(&c->in_unfinished)) {
        list_remove(&c->in_unfinished);
        tell_oldest(w);
    }
}

void server_shed(struct tlsmsg_server *server)
{
    struct worker *oldest = NULL;
    int64_t oldest_ns = 0;

    for (unsigned i = 0; i < server->worker_count; i++) {
        struct worker *w = &server->workers[i];
        int64_t since_ns = atomic_load_explicit(&w->unfinished_since_ns, memory_order_relaxed);

        if (since_ns != 0 && (oldest == NULL || since_ns < oldest_ns)) {
            oldest = w;
            oldest_ns = since_ns;
        }
    }
    if (oldest != NULL && !atomic_exchange(&oldest->sheds, true)) {
        loop_wake(&oldest->loop);
    }
}

void worker_requeue(struct worker *w, struct conversation *c)
{
    if (!list_is_linked(&c->in_requeued)) {
        list_append(&w->requeued, &c->in_requeued);
    }
}

void worker_look(struct tlsmsg_server *server, unsigned worker)
{
    atomic_store(&server->workers[worker].look, true);
    loop_wake(&server->workers[worker].loop);
}

void worker_leave_producer(struct worker *w, struct producer_hold *hold)
{
    struct producer_claim next;

    if (producers_leave(&w->server->producers, hold->producer, &hold->claim, w->now_ns, &next)) {
        worker_look(w->server, next.worker);
    }
    list_remove(&hold->link);
    free(hold);
}

void worker_handshake_over(struct worker *w, struct conversation *c)
{
    if (!c->handshake_over) {
        c->handshake_over = true;
        w->handshaking--;
        uncount(&w->stats.handshaking, 1);
        limits_handshake_done(&w->server->limits);
    }
}

void conversation_describe(const struct conversation *c, struct peer_view *who)
{
    bool encrypted =
        c->transport != NULL && c->counted && transport_describe(c->transport, &who->tls);

    address_print(&c->peer, who->address, sizeof(who->address));
    who->peer = (struct tlsmsg_peer){
        .connection = c->id,
        .address = who->address,
        .socket_address = &c->peer.socket.any,
        .tls = encrypted ? &who->tls : NULL,
    };
}
