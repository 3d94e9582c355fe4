/* Storing: the library's turns, the transcript's lines and the store's batches, tied together.
 *
 * Of a worker's turn several parts may be with the store at once, since what is handed over together
 * is bounded; its hold ends with the last of them. A worker that holds brings no messages, but it goes
 * on with greetings: these are its own thread's alone, until it ends the turn that they are in. */
#include "app/server/storing.h"

#include <pwd.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <tlsmsg/tlsmsg.h>

#include "base/error.h"
#include "store/store.h"

/* More than a turn can have parts. */
#define TURN_GOES_ON 0x10000u

/* Greetings that may wait at once for a worker's held turn to end. Clients come and go meanwhile as they
 * like, and a disk may stand still for long. */
#define GREETINGS_MAX 8192

/* What a worker's hold waits for. Aligned so that no two workers write to one cache line. */
struct pending {
    _Alignas(64) atomic_uint parts; /* with the store, and TURN_GOES_ON until all are handed over */
    atomic_bool failed;
    unsigned ended;     /* parts of the turn that was ended last */
    bool ended_refused; /* ... which has a message that never came to the store */
    bool refused;       /* the same of the turn that goes on */
    unsigned greetings; /* of the turn */
    size_t told_bytes;  /* of what the store holds, those that the server knows of */
};

struct storing {
    struct store *store;
    struct tlsmsg_server *server;
    struct log *log;
    struct pending *workers;
    char failure[512];
};

static void tell(void *user, enum store_news news, const char *text)
{
    struct storing *storing = user;
    struct tlsmsg_event event = {.level =
                                     news == STORE_ERROR ? TLSMSG_LOG_ERROR : TLSMSG_LOG_WARNING,
                                 .cause = TLSMSG_CAUSE_LIMIT,
                                 .text = text};

    if (news == STORE_FAILURE) {
        /* The program says why when it ends. Perhaps no worker holds, so one is told. */
        tlsmsg_server_release(storing->server, 0, true);
    } else {
        log_event(storing->log, &event);
    }
}

/* What the store holds counts against --max-buffered. Told once a turn and once a decision: the way
 * of a message touches nothing that workers share. */
static void tell_bytes(struct storing *storing, unsigned worker)
{
    struct pending *pending = &storing->workers[worker];
    size_t bytes = store_undecided(storing->store, worker);

    if (bytes != pending->told_bytes) {
        tlsmsg_server_buffered(storing->server, (int64_t)bytes - (int64_t)pending->told_bytes);
        pending->told_bytes = bytes;
    }
}

/* So many of what a hold waits for are done. */
static void parts_done(struct storing *storing, unsigned worker, unsigned parts)
{
    struct pending *pending = &storing->workers[worker];

    if (atomic_fetch_sub(&pending->parts, parts) == parts) {
        tlsmsg_server_release(storing->server, worker, atomic_load(&pending->failed));
    }
}

static void refuse(struct storing *storing, const struct tlsmsg_token *token, unsigned code)
{
    /* Without memory to say so the reply must not leave all the same. */
    if (tlsmsg_server_refuse(storing->server, token, code) != TLSMSG_OK) {
        atomic_store(&storing->workers[token->worker].failed, true);
    }
}

/* A token, but for its worker and connection, as the store's tag: 24 bits hold a slot, the others
 * more messages than a connection can bring. */
#define TAG_SLOT_BITS 24

static uint64_t tag_of(const struct tlsmsg_token *token)
{
    return token->message << TAG_SLOT_BITS | token->slot;
}

static struct tlsmsg_token token_of(const struct store_decision *decision, unsigned worker)
{
    return (struct tlsmsg_token){
        .connection = decision->connection,
        .message = decision->tag >> TAG_SLOT_BITS,
        .worker = worker,
        .slot = (uint32_t)decision->tag & ((1u << TAG_SLOT_BITS) - 1),
    };
}

/* The BYE of tlsmsg/1 for what was not taken. */
static unsigned code_of(enum store_verdict verdict)
{
    switch (verdict) {
    case STORE_OTHER_BYTES:
        return 412;
    case STORE_REFUSED:
        return 415;
    case STORE_NO_ROOM:
        return 507;
    default:
        return 503;
    }
}

static enum tlsmsg_promise promise_of(const struct storing *storing)
{
    return store_promise(storing->store) == STORE_PROMISE_REPLICATED ? TLSMSG_PROMISE_REPLICATED
                                                                     : TLSMSG_PROMISE_DISK;
}

/* The same for a conversation that is told so, and that the store has not heard of. */
static enum tlsmsg_promise promise_to(const struct storing *storing, uint64_t connection)
{
    return store_promise_to(storing->store, connection) == STORE_PROMISE_REPLICATED
               ? TLSMSG_PROMISE_REPLICATED
               : TLSMSG_PROMISE_DISK;
}

static void decide(struct storing *storing, unsigned worker, const struct store_decision *decision)
{
    struct tlsmsg_token token = token_of(decision, worker);
    bool taken = decision->verdict == STORE_TAKEN || decision->verdict == STORE_DUPLICATE;

    if (!taken) {
        refuse(storing, &token, code_of(decision->verdict));
    } else if (token.message == 0 && tlsmsg_server_hello(storing->server, &token, decision->last,
                                                         promise_of(storing)) != TLSMSG_OK) {
        refuse(storing, &token, 503);
    }
}

static void decided(void *user, unsigned worker, const struct store_decision *decisions,
                    size_t count, bool failed)
{
    struct storing *storing = user;
    size_t i;

    for (i = 0; i < count && !failed; i++) {
        decide(storing, worker, &decisions[i]);
    }
    if (failed) {
        atomic_store(&storing->workers[worker].failed, true);
    }
    tell_bytes(storing, worker);
    parts_done(storing, worker, 1);
}

enum tlsmsg_code storing_check(const struct storing_settings *settings, struct tlsmsg_error *err)
{
    return settings->target == NULL ? TLSMSG_OK : store_check(settings->target, err);
}

enum tlsmsg_code storing_reach(const struct storing_settings *settings, const char *user,
                               struct store_reach *reach, struct tlsmsg_error *err)
{
    const struct passwd *entry = user != NULL ? getpwnam(user) : NULL;

    return store_reach(settings->target, entry != NULL ? entry->pw_dir : getenv("HOME"), reach,
                       err);
}

void storing_reach_fini(struct store_reach *reach)
{
    store_reach_fini(reach);
}

enum tlsmsg_code storing_open(const struct storing_settings *settings, struct tlsmsg_server *server,
                              struct log *log, struct storing **out, struct tlsmsg_error *err)
{
    unsigned workers = tlsmsg_server_workers(server);
    struct storing *storing;
    struct store_settings how = {.target = settings->target,
                                 .version = tlsmsg_version(),
                                 .workers = workers,
                                 .keep_ms = settings->keep_ms,
                                 .min_free = settings->min_free,
                                 .timeout_ms = settings->timeout_ms,
                                 .worker_bytes = SIZE_MAX / 2, /* the turn itself is bounded */
                                 .decided = decided,
                                 .tell = tell};
    enum tlsmsg_code code;

    *out = NULL;
    if (settings->target == NULL) {
        return TLSMSG_OK;
    }
    storing = calloc(1, sizeof(*storing));
    if (storing != NULL) {
        storing->workers =
            aligned_alloc(_Alignof(struct pending), workers * sizeof(struct pending));
    }
    if (storing == NULL || storing->workers == NULL) {
        free(storing);
        return error_set(err, TLSMSG_ERR_NOMEM, 0, "out of memory");
    }
    memset(storing->workers, 0, workers * sizeof(struct pending));
    storing->server = server;
    storing->log = log;
    how.user = storing;
    code = store_open(&how, &storing->store, err);
    if (code != TLSMSG_OK) {
        storing_close(storing);
        return code;
    }
    *out = storing;
    return TLSMSG_OK;
}

/* Hands a message, or a greeting's question, to the worker's turn. */
static void put(struct storing *storing, const struct store_record *record,
                const struct tlsmsg_token *token)
{
    if (store_put(storing->store, token->worker, record) != TLSMSG_OK) {
        refuse(storing, token, 503);
        storing->workers[token->worker].refused = true;
    }
}

void storing_message(struct storing *storing, struct tlsmsg_message *message)
{
    const struct tlsmsg_peer *peer;
    struct store_record record = {.producer = NULL};
    struct tlsmsg_token token;

    if (storing == NULL) {
        return;
    }
    peer = tlsmsg_message_peer(message);
    tlsmsg_message_token(message, &token);
    record.body = tlsmsg_message_data(message, &record.len);
    record.identity = peer->tls != NULL ? peer->tls->identity : NULL;
    record.connection = token.connection;
    record.peer = peer->address;
    record.tag = tag_of(&token);
    record.producer = tlsmsg_message_producer(message);
    if (record.producer != NULL) {
        record.seq = tlsmsg_message_number(message);
        record.hash = tlsmsg_message_hash(message);
        /* The library takes a jump from a connection's first message alone. */
        record.jumps = token.message == 1;
    }
    put(storing, &record, &token);
}

void storing_hello(struct storing *storing, const struct tlsmsg_hello *hello)
{
    const struct tlsmsg_tls *tls = hello->peer->tls;
    const struct store_record record = {
        .identity = tls != NULL ? tls->identity : NULL,
        .producer = hello->producer,
        .connection = hello->token.connection,
        .peer = hello->peer->address,
        .tag = tag_of(&hello->token),
    };

    if (hello->producer != NULL &&
        storing->workers[hello->token.worker].greetings < GREETINGS_MAX) {
        storing->workers[hello->token.worker].greetings++;
        put(storing, &record, &hello->token);
    } else if (hello->producer != NULL) {
        (void)tlsmsg_server_refuse(storing->server, &hello->token, 503);
    } else if (tlsmsg_server_hello(storing->server, &hello->token, 0,
                                   promise_to(storing, hello->token.connection)) != TLSMSG_OK) {
        (void)tlsmsg_server_refuse(storing->server, &hello->token, 503);
    }
}

void storing_closed(struct storing *storing, const struct tlsmsg_closed *closed, unsigned worker)
{
    /* Up to here the store takes nothing more of a conversation with other bytes under a number. */
    if (storing != NULL) {
        store_connection_ended(storing->store, worker, closed->peer->connection);
    }
}

/* Ends the store's turn with the library's. On the worker's thread, which may be asked about greetings
 * while its lines wait: those belong to the turn after. */
static void end_turn(struct storing *storing, unsigned worker)
{
    struct pending *pending = &storing->workers[worker];

    pending->ended = store_turn_end(storing->store, worker);
    pending->ended_refused = pending->refused;
    pending->refused = false;
    pending->greetings = 0;
    tell_bytes(storing, worker);
}

/* The lines are out: the ended turn's messages go to the store. False: there is nothing to wait
 * for. */
static bool commit_turn(struct storing *storing, unsigned worker)
{
    struct pending *pending = &storing->workers[worker];

    if (pending->ended == 0 && !pending->ended_refused) {
        return false;
    }
    atomic_store(&pending->parts, TURN_GOES_ON);
    store_hand_over(storing->store, worker);
    parts_done(storing, worker, TURN_GOES_ON - pending->ended);
    return true;
}

enum tlsmsg_turn storing_turn_end(struct storing *storing, unsigned worker, enum tlsmsg_turn lines)
{
    if (storing == NULL || lines == TLSMSG_TURN_FAIL) {
        return lines;
    }
    end_turn(storing, worker);
    if (lines == TLSMSG_TURN_HOLD) {
        return lines;
    }
    return commit_turn(storing, worker) ? TLSMSG_TURN_HOLD : TLSMSG_TURN_RELEASE;
}

void storing_lines_out(struct storing *storing, struct tlsmsg_server *server, unsigned worker,
                       bool fail)
{
    if (storing == NULL || fail || !commit_turn(storing, worker)) {
        tlsmsg_server_release(server, worker, fail);
    }
}

const char *storing_failure(struct storing *storing)
{
    if (storing == NULL ||
        !store_failed(storing->store, storing->failure, sizeof(storing->failure))) {
        return NULL;
    }
    return storing->failure;
}

bool storing_stats(struct storing *storing, struct store_stats *stats, enum store_promise *promise)
{
    if (storing == NULL) {
        return false;
    }
    store_stats(storing->store, stats);
    *promise = store_promise(storing->store);
    return true;
}

void storing_close(struct storing *storing)
{
    if (storing != NULL) {
        store_close(storing->store);
        free(storing->workers);
        free(storing);
    }
}
