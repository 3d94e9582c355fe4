#include "server/numbered.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "server/deferred.h"
#include "server/messages.h"
#include "transport/digest.h"

/* How often one producer's set-back is told. */
#define SET_BACK_NS (60 * (int64_t)CLOCK_NS_PER_S)

static const struct verdict go_on = {.next = GO_ON};

/* Ends the conversation; the last words follow the replies that are due. */
struct verdict numbered_bye(struct conversation *c, unsigned code, const char *text)
{
    struct numbered *n = numbered_of(c);
    enum tlsmsg_close_reason reason = TLSMSG_CLOSE_REFUSED;

    n->code = code;
    n->text = text;
    if (code == 415) {
        reason = TLSMSG_CLOSE_INVALID_UTF8;
    } else if (code == 503) {
        reason = TLSMSG_CLOSE_FAILED;
    }
    return (struct verdict){FINISH, reason};
}

/* The client's own mistake. */
struct verdict numbered_refuse(struct conversation *c, unsigned code, const char *text)
{
    worker_event(c->worker, TLSMSG_LOG_WARNING,
                 code == 415 ? TLSMSG_CAUSE_INVALID_UTF8 : TLSMSG_CAUSE_OTHER, c,
                 "refused, BYE %u: %s; the conversation is closed", code, text);
    return numbered_bye(c, code, text);
}

struct verdict numbered_no_memory(struct conversation *c)
{
    worker_event(c->worker, TLSMSG_LOG_WARNING, TLSMSG_CAUSE_MEMORY, c,
                 "no memory for a message; the conversation is closed");
    return numbered_bye(c, 503, "busy");
}

/* Each producer that is remembered is connected: there is no place for another. */
static struct verdict refuse_another(struct conversation *c)
{
    worker_event(c->worker, TLSMSG_LOG_WARNING, TLSMSG_CAUSE_LIMIT, c,
                 "refused, BYE 503: all %zu producers that the server remembers are connected "
                 "(try: several servers, each for some of the clients)",
                 c->worker->server->producers.max);
    return numbered_bye(c, 503,
                        "too many producers are connected (try: again later, or another server)");
}

/* What was acknowledged is gone: an old backup of what the handler keeps, or another server. */
static void tell_set_back(struct conversation *c)
{
    const struct numbered *n = numbered_of(c);
    struct worker *w = c->worker;

    count(&w->stats.set_back, 1);
    if (!ratelimit_take(&n->hold->producer->set_back, w->now_ns, SET_BACK_NS, SET_BACK_NS)) {
        return;
    }
    worker_event(w, n->last == 0 ? TLSMSG_LOG_WARNING : TLSMSG_LOG_ERROR, TLSMSG_CAUSE_OTHER, c,
                 "producer '%s' has acknowledged messages up to %" PRIu64
                 ", but the last that is stored is %" PRIu64 "%s",
                 n->producer, n->from - 1, n->last,
                 n->last == 0 ? " (another server?)" : ": an old backup?");
}

struct verdict numbered_greeted(struct conversation *c, uint64_t last, enum tlsmsg_promise promise)
{
    const struct server_settings *settings = &c->worker->server->settings;
    struct numbered *n = numbered_of(c);
    char line[FRAME_HEADER_MAX];
    struct frame_hello hello = {.last = last,
                                .max = settings->max_message_bytes,
                                .window = settings->window,
                                .promise = (enum frame_promise)promise};

    if (n->greeting == GREETING_DONE) {
        return go_on;
    }
    n->last = last;
    n->greeting = GREETING_DONE;
    if (promise != TLSMSG_PROMISE_NONE && n->hold != NULL && n->from > last + 1) {
        tell_set_back(c);
    }
    if (messages_say(c, line, frame_print_server_hello(line, &hello)) != TLSMSG_OK) {
        return numbered_no_memory(c);
    }
    c->activity_ns = c->worker->now_ns;
    return go_on;
}

/* The producer is this connection's. Who keeps the numbers is asked, and may answer later. */
static struct verdict answer_greeting(struct conversation *c)
{
    const struct tlsmsg_handler *handler = &c->worker->server->handler;
    struct numbered *n = numbered_of(c);
    struct peer_view who;

    if (handler->hello == NULL) {
        return numbered_greeted(c, n->hold != NULL ? n->hold->producer->last : 0,
                                TLSMSG_PROMISE_NONE);
    }
    n->greeting = GREETING_ASKED;
    conversation_describe(c, &who);
    handler->hello(
        &(const struct tlsmsg_hello){
            .peer = &who.peer,
            .producer = n->hold != NULL ? n->producer : NULL,
            .from = n->from,
            .token = {.connection = c->id, .worker = c->worker->index, .slot = c->slot}},
        handler->user);
    worker_handler_ran(c->worker);
    return go_on;
}

/* Tells a connection that a later one has claimed its producer. */
static bool tell_taken_over(struct conversation *c, const struct producer_claim *whom)
{
    struct tlsmsg_server *server = c->worker->server;
    const struct tlsmsg_token token = {
        .connection = whom->connection, .worker = whom->worker, .slot = whom->slot};

    if (mailbox_post(&server->workers[whom->worker].mailbox,
                     &(struct posted){.kind = POSTED_TAKEN_OVER, .token = token}) != TLSMSG_OK) {
        return false;
    }
    loop_wake(&server->workers[whom->worker].loop);
    return true;
}

static struct verdict claim(struct conversation *c)
{
    struct numbered *n = numbered_of(c);
    struct peer_view who;
    struct producers_claimed claimed;
    const char *identity;
    enum producers_verdict verdict;

    conversation_describe(c, &who);
    identity = who.peer.tls != NULL && who.tls.identity != NULL ? who.tls.identity : "";
    n->hold->claim =
        (struct producer_claim){.connection = c->id, .worker = c->worker->index, .slot = c->slot};
    verdict =
        producers_claim(&c->worker->server->producers, identity, strlen(identity), n->producer,
                        strlen(n->producer), &n->hold->claim, c->worker->now_ns, &claimed);
    n->hold->producer = claimed.producer;
    if (verdict == PRODUCERS_YOURS) {
        return answer_greeting(c);
    }
    if (verdict == PRODUCERS_WAIT && tell_taken_over(c, &claimed.owner) &&
        (claimed.pushed.connection == 0 || tell_taken_over(c, &claimed.pushed))) {
        n->greeting = GREETING_WAITS;
        list_append(&c->worker->waiting, &c->in_waiting);
        return go_on;
    }
    if (verdict != PRODUCERS_WAIT) {
        free(n->hold);
        n->hold = NULL;
    }
    switch (verdict) {
    case PRODUCERS_STALE:
        return numbered_bye(c, 409, "taken over");
    case PRODUCERS_FULL:
        return refuse_another(c);
    default:
        return numbered_no_memory(c);
    }
}

struct verdict numbered_greet(struct conversation *c, const struct frame_hello *hello)
{
    struct numbered *n = numbered_of(c);

    if (n->greeting != GREETING_AWAITED) {
        return numbered_refuse(c, 400, "a second HELLO");
    }
    n->from = hello->from;
    if (hello->producer == NULL) {
        return answer_greeting(c);
    }
    n->producer = strndup(hello->producer, hello->producer_len);
    n->digest = digest_new();
    n->hold = calloc(1, sizeof(*n->hold));
    if (n->producer == NULL || n->digest == NULL || n->hold == NULL) {
        free(n->hold);
        n->hold = NULL;
        return numbered_no_memory(c);
    }
    list_init(&n->hold->link);
    return claim(c);
}

struct verdict numbered_look(struct conversation *c)
{
    struct numbered *n = numbered_of(c);

    if (n->greeting != GREETING_WAITS ||
        !producers_is_owner(&c->worker->server->producers, n->hold->producer, &n->hold->claim)) {
        return go_on;
    }
    list_remove(&c->in_waiting);
    return answer_greeting(c);
}
