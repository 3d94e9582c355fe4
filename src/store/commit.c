/* The commit thread: takes what all workers' turns have brought, has it written as one transaction,
 * and tells each turn how it was decided.
 *
 * Owns the queue, its bounds and the order: a worker's turns are decided in theirs. Knows nothing
 * of any engine. A turn is filled by its worker alone and handed over under the lock. */
#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/error.h"
#include "store/backend.h"

#define RUN_RANDOM_BYTES 16
#define RUN_NAME_MAX (1 + 2 * RUN_RANDOM_BYTES + 1)
#define AWAY_PAUSE_MS 100
#define PRUNE_EVERY_MS 60000
#define PRUNE_STEP_ROWS 500
#define FORGET_EVERY_MS 3600000
#define FORGET_AFTER_MS 86400000
#define FORGET_STEP_ROWS 500
#define LOG_WARN_BYTES ((uint64_t)256 * 1024 * 1024)

/* What one turn of a worker has brought. */
struct turn {
    struct turn *next;
    struct store_item *first;
    struct store_item **end;
    struct store_decision *decisions;
    size_t count;
    size_t capacity; /* of decisions */
    size_t bytes;
    int64_t deadline_ns;
    unsigned worker;
};

/* Aligned so that no two workers write to one cache line. */
struct worker_queue {
    _Alignas(64) struct turn *open;
    atomic_size_t bytes; /* of records that are undecided */
    uint64_t *refused;   /* connections of which nothing more is taken; under the lock */
    size_t refused_count;
    size_t refused_capacity;
};

struct store {
    struct store_settings settings;
    struct store_backend *backend;
    struct worker_queue *workers;
    struct store_item **items; /* of the batch; the commit thread's own */
    size_t items_capacity;
    enum store_promise promise;
    char run_name[RUN_NAME_MAX];
    uint64_t counter;    /* numbers of the document's flow; the commit thread's own */
    int64_t prune_ns;    /* when to look again; the commit thread's own */
    int64_t forget_ns;
    bool is_full;        /* told so */
    bool log_told;
    bool started;
    pthread_t thread;
    pthread_mutex_t lock;
    pthread_cond_t handed;
    struct turn *first; /* handed over, not yet taken */
    struct turn **end;
    bool stop;
    bool failed;
    char failure[sizeof(((struct tlsmsg_error *)0)->text)];
    struct store_stats stats;
};

static void tell(struct store *store, bool error, const char *text)
{
    if (store->settings.tell != NULL) {
        store->settings.tell(store->settings.user, error, text);
    }
}

static void turn_free(struct turn *turn)
{
    struct store_item *item = turn->first;

    while (item != NULL) {
        struct store_item *next = item->next;

        free(item);
        item = next;
    }
    free(turn->decisions);
    free(turn);
}

/* Copies a text behind what `at` points to. */
static const char *keep(char **at, const char *text, size_t bytes)
{
    char *copy = *at;

    memcpy(copy, text, bytes);
    *at += bytes;
    return copy;
}

static struct store_item *item_new(const struct store *store, const struct store_record *record)
{
    const char *identity = record->identity != NULL ? record->identity : "";
    const char *producer = record->producer != NULL ? record->producer : store->run_name;
    const char *peer = record->peer != NULL ? record->peer : "";
    size_t identity_bytes = strlen(identity) + 1;
    size_t producer_bytes = strlen(producer) + 1;
    size_t peer_bytes = strlen(peer) + 1;
    size_t hash_bytes = record->hash != NULL ? STORE_HASH_BYTES : 0;
    size_t bytes = sizeof(struct store_item) + identity_bytes + producer_bytes + peer_bytes +
                   hash_bytes + record->len;
    struct store_item *item = malloc(bytes);
    struct timespec now;
    char *at;

    if (item == NULL) {
        return NULL;
    }
    (void)clock_gettime(CLOCK_REALTIME, &now);
    *item = (struct store_item){.seq = record->seq,
                                .connection = record->connection,
                                .tag = record->tag,
                                .jumps = record->jumps || record->producer == NULL,
                                .time_ms = (int64_t)now.tv_sec * 1000 + now.tv_nsec / CLOCK_NS_PER_MS,
                                .body_len = record->len,
                                .bytes = bytes};
    at = (char *)(item + 1);
    item->identity = keep(&at, identity, identity_bytes);
    item->producer = keep(&at, producer, producer_bytes);
    item->peer = keep(&at, peer, peer_bytes);
    if (record->hash != NULL) {
        item->hash = (const unsigned char *)keep(&at, (const char *)record->hash, hash_bytes);
    }
    item->body = record->len > 0 ? keep(&at, record->body, record->len) : at;
    return item;
}

/* The worker's open turn, with room for one more record. NULL: no memory. */
static struct turn *open_turn(struct worker_queue *queue, unsigned worker)
{
    struct turn *turn = queue->open;

    if (turn == NULL) {
        turn = calloc(1, sizeof(*turn));
        if (turn == NULL) {
            return NULL;
        }
        turn->end = &turn->first;
        turn->worker = worker;
        queue->open = turn;
    }
    if (turn->count == turn->capacity) {
        size_t capacity = turn->capacity == 0 ? 16 : 2 * turn->capacity;
        struct store_decision *decisions =
            realloc(turn->decisions, capacity * sizeof(*turn->decisions));

        if (decisions == NULL) {
            return NULL;
        }
        turn->decisions = decisions;
        turn->capacity = capacity;
    }
    return turn;
}

enum tlsmsg_code store_put(struct store *store, unsigned worker, const struct store_record *record)
{
    struct worker_queue *queue = &store->workers[worker];
    size_t held = atomic_load_explicit(&queue->bytes, memory_order_relaxed);
    struct store_item *item;
    struct turn *turn;

    /* Into an empty queue any record fits, else the longest could never be stored. */
    if (held > 0 && (record->len >= store->settings.worker_bytes ||
                     held > store->settings.worker_bytes - record->len)) {
        return TLSMSG_ERR_LIMIT;
    }
    turn = open_turn(queue, worker);
    item = turn != NULL ? item_new(store, record) : NULL;
    if (item == NULL) {
        return TLSMSG_ERR_NOMEM;
    }
    *turn->end = item;
    turn->end = &item->next;
    turn->count++;
    turn->bytes += item->bytes;
    (void)atomic_fetch_add_explicit(&queue->bytes, item->bytes, memory_order_relaxed);
    return TLSMSG_OK;
}

bool store_turn(struct store *store, unsigned worker)
{
    struct turn *turn = store->workers[worker].open;

    if (turn == NULL || turn->count == 0) {
        return false;
    }
    store->workers[worker].open = NULL;
    turn->deadline_ns = clock_deadline_ns(clock_now_ns(), store->settings.timeout_ms);
    (void)pthread_mutex_lock(&store->lock);
    *store->end = turn;
    store->end = &turn->next;
    (void)pthread_cond_signal(&store->handed);
    (void)pthread_mutex_unlock(&store->lock);
    return true;
}

static bool is_refused(const struct worker_queue *queue, uint64_t connection)
{
    size_t i;

    for (i = 0; i < queue->refused_count; i++) {
        if (queue->refused[i] == connection) {
            return true;
        }
    }
    return false;
}

void store_connection_ended(struct store *store, unsigned worker, uint64_t connection)
{
    struct worker_queue *queue = &store->workers[worker];
    size_t i;

    (void)pthread_mutex_lock(&store->lock);
    for (i = 0; i < queue->refused_count; i++) {
        if (queue->refused[i] == connection) {
            queue->refused[i] = queue->refused[--queue->refused_count];
            break;
        }
    }
    (void)pthread_mutex_unlock(&store->lock);
}

/* Once a number had other bytes nothing later of its conversation is taken. The list is short: such
 * a conversation is about to end. False: no memory. */
static bool refuse(struct worker_queue *queue, uint64_t connection)
{
    if (is_refused(queue, connection)) {
        return true;
    }
    if (queue->refused_count == queue->refused_capacity) {
        size_t capacity = queue->refused_capacity == 0 ? 8 : 2 * queue->refused_capacity;
        uint64_t *refused = realloc(queue->refused, capacity * sizeof(*refused));

        if (refused == NULL) {
            return false;
        }
        queue->refused = refused;
        queue->refused_capacity = capacity;
    }
    queue->refused[queue->refused_count++] = connection;
    return true;
}

static void fail(struct store *store, const struct tlsmsg_error *err)
{
    (void)pthread_mutex_lock(&store->lock);
    if (!store->failed) {
        store->failed = true;
        memcpy(store->failure, err->text, sizeof(store->failure));
    }
    (void)pthread_mutex_unlock(&store->lock);
    tell(store, true, err->text);
}

/* Takes whole turns up to the bound, one at least. Returns them as a chain; under the lock. */
static struct turn *take_turns(struct store *store, size_t *count)
{
    struct turn *taken = store->first;
    struct turn **end = &taken;
    size_t bytes = 0;

    *count = 0;
    while (*end != NULL && (bytes == 0 || bytes + (*end)->bytes <= STORE_BATCH_MAX_BYTES)) {
        bytes += (*end)->bytes;
        *count += (*end)->count;
        end = &(*end)->next;
    }
    store->first = *end;
    *end = NULL;
    if (store->first == NULL) {
        store->end = &store->first;
    }
    return taken;
}

/* Lists the records that the backend has to decide. False: no memory. */
static bool list_items(struct store *store, const struct turn *turns, size_t count,
                       struct store_batch *batch, uint64_t *bytes)
{
    const struct turn *turn;
    struct store_item *item;

    if (count > store->items_capacity) {
        struct store_item **items = realloc(store->items, count * sizeof(struct store_item *));

        if (items == NULL) {
            return false;
        }
        store->items = items;
        store->items_capacity = count;
    }
    *batch = (struct store_batch){.items = store->items};
    *bytes = 0;
    (void)pthread_mutex_lock(&store->lock);
    for (turn = turns; turn != NULL; turn = turn->next) {
        for (item = turn->first; item != NULL; item = item->next) {
            item->verdict = STORE_AWAY;
            if (is_refused(&store->workers[turn->worker], item->connection)) {
                continue;
            }
            /* The document's flow has no numbers; these are given once, and kept when the batch is
             * sent again. */
            if (item->seq == 0 && item->producer[0] == '@') {
                item->seq = ++store->counter;
            }
            *bytes += item->bytes;
            batch->items[batch->count++] = item;
        }
    }
    (void)pthread_mutex_unlock(&store->lock);
    return true;
}

/* Whether new messages may be taken: twice the batch for what an index and a log add. */
static bool has_room(struct store *store, uint64_t batch_bytes)
{
    uint64_t free_bytes;

    if (store->settings.min_free == 0 ||
        !store->backend->ops->room(store->backend, &free_bytes)) {
        return true;
    }
    return free_bytes / 2 >= batch_bytes && free_bytes - 2 * batch_bytes >= store->settings.min_free;
}

static void tell_room(struct store *store, bool is_full)
{
    if (is_full && !store->is_full) {
        tell(store, true, "the store has no room: new messages are not taken until there is some");
    } else if (!is_full && store->is_full) {
        tell(store, false, "the store has room again");
    }
    store->is_full = is_full;
}

static void set_all(const struct store_batch *batch, enum store_verdict verdict)
{
    size_t i;

    for (i = 0; i < batch->count; i++) {
        batch->items[i]->verdict = verdict;
    }
}

static void sleep_ms(int64_t ms)
{
    struct timespec pause = {.tv_sec = (time_t)(ms / 1000),
                             .tv_nsec = (long)(ms % 1000 * CLOCK_NS_PER_MS)};

    (void)nanosleep(&pause, NULL);
}

/* Whether records have waited for the engine as long as they may. */
static bool gives_up(struct store *store, int64_t deadline_ns)
{
    bool stop;

    (void)pthread_mutex_lock(&store->lock);
    stop = store->stop;
    (void)pthread_mutex_unlock(&store->lock);
    return stop || (deadline_ns != 0 && clock_now_ns() >= deadline_ns);
}

/* Has the batch decided. While the engine is away the same keys are sent again; that never doubles
 * what it may have taken. */
static enum store_result decide(struct store *store, struct store_batch *batch, uint64_t bytes,
                                int64_t deadline_ns, struct tlsmsg_error *err)
{
    enum store_result result;

    if (batch->count == 0) {
        return STORE_RESULT_DONE;
    }
    for (;;) {
        batch->take_new = has_room(store, bytes);
        result = store->backend->ops->append(store->backend, batch, err);
        if (result != STORE_RESULT_AWAY || gives_up(store, deadline_ns)) {
            break;
        }
        tlsmsg_error_clear(err);
        sleep_ms(AWAY_PAUSE_MS);
    }
    if (result == STORE_RESULT_NO_ROOM) {
        set_all(batch, STORE_NO_ROOM);
    } else if (result == STORE_RESULT_AWAY) {
        set_all(batch, STORE_AWAY);
    } else if (result == STORE_RESULT_FAILED) {
        set_all(batch, STORE_FAILED);
    }
    if (result == STORE_RESULT_DONE || result == STORE_RESULT_NO_ROOM) {
        tell_room(store, result == STORE_RESULT_NO_ROOM || !batch->take_new);
    }
    return result;
}

/* Counts verdicts, and keeps what a refusal means for what comes later. False: no memory. */
static bool account(struct store *store, const struct turn *turns, enum store_result result)
{
    const struct turn *turn;
    const struct store_item *item;
    bool has_memory = true;

    (void)pthread_mutex_lock(&store->lock);
    store->stats.batches += result == STORE_RESULT_DONE;
    for (turn = turns; turn != NULL; turn = turn->next) {
        for (item = turn->first; item != NULL; item = item->next) {
            store->stats.taken += item->verdict == STORE_TAKEN && item->seq > 0;
            store->stats.duplicates += item->verdict == STORE_DUPLICATE;
            store->stats.no_room += item->verdict == STORE_NO_ROOM;
            store->stats.away += item->verdict == STORE_AWAY;
            if (item->verdict == STORE_OTHER_BYTES) {
                has_memory &= refuse(&store->workers[turn->worker], item->connection);
            }
        }
    }
    (void)pthread_mutex_unlock(&store->lock);
    return has_memory;
}

/* Tells one turn how it was decided, and frees it. */
static void deliver(struct store *store, struct turn *turn, bool failed)
{
    struct worker_queue *queue = &store->workers[turn->worker];
    const struct store_item *item;
    size_t i = 0;

    for (item = turn->first; item != NULL; item = item->next) {
        turn->decisions[i++] = (struct store_decision){.connection = item->connection,
                                                       .tag = item->tag,
                                                       .seq = item->seq,
                                                       .last = item->last,
                                                       .verdict =
                                                           failed ? STORE_FAILED : item->verdict};
    }
    (void)atomic_fetch_sub_explicit(&queue->bytes, turn->bytes, memory_order_relaxed);
    store->settings.decided(store->settings.user, turn->worker, turn->decisions, i, failed);
    turn_free(turn);
}

static void deliver_all(struct store *store, struct turn *turns, bool failed)
{
    while (turns != NULL) {
        struct turn *next = turns->next;

        deliver(store, turns, failed);
        turns = next;
    }
}

/* Writes a batch, answers it, and only then looks after the log: what was committed is durable
 * whatever a checkpoint meets. False: the store has failed. */
static bool commit(struct store *store, struct turn *turns, size_t count)
{
    struct tlsmsg_error err = {.code = TLSMSG_OK};
    struct store_batch batch;
    enum store_result result = STORE_RESULT_FAILED;
    uint64_t bytes;
    uint64_t log_bytes = 0;

    if (list_items(store, turns, count, &batch, &bytes)) {
        result = decide(store, &batch, bytes, turns->deadline_ns, &err);
    }
    if (result != STORE_RESULT_FAILED && !account(store, turns, result)) {
        result = STORE_RESULT_FAILED;
    }
    if (result == STORE_RESULT_FAILED) {
        (void)error_set(&err, TLSMSG_ERR_NOMEM, 0, "out of memory");
        fail(store, &err);
        deliver_all(store, turns, true);
        return false;
    }
    deliver_all(store, turns, false);
    if (store->backend->ops->tidy(store->backend, &log_bytes, &err) == STORE_RESULT_FAILED) {
        fail(store, &err);
        return false;
    }
    (void)pthread_mutex_lock(&store->lock);
    store->stats.log_bytes = log_bytes;
    (void)pthread_mutex_unlock(&store->lock);
    if (log_bytes > LOG_WARN_BYTES && !store->log_told) {
        tell(store, false, "a reader keeps a transaction open in the store, whose log grows "
                           "meanwhile (try: end it)");
    }
    store->log_told = log_bytes > LOG_WARN_BYTES;
    return true;
}

/* One step of what is due now and then. *soon: more of it is due at once. False: the store has
 * failed. */
static bool look_after(struct store *store, bool *soon)
{
    const struct store_backend_ops *ops = store->backend->ops;
    struct tlsmsg_error err = {.code = TLSMSG_OK};
    enum store_result result = STORE_RESULT_DONE;
    int64_t now_ns = clock_now_ns();
    struct timespec wall;
    int64_t wall_ms;
    unsigned rows = 0;

    (void)clock_gettime(CLOCK_REALTIME, &wall);
    wall_ms = (int64_t)wall.tv_sec * 1000;
    *soon = false;
    if (store->prune_ns != 0 && now_ns >= store->prune_ns) {
        result = ops->prune(store->backend, wall_ms - store->settings.keep_ms, PRUNE_STEP_ROWS,
                            &rows, &err);
        *soon = result == STORE_RESULT_DONE && rows > 0;
        if (!*soon) {
            store->prune_ns = clock_deadline_ns(now_ns, PRUNE_EVERY_MS);
        }
        (void)pthread_mutex_lock(&store->lock);
        store->stats.pruned += rows;
        (void)pthread_mutex_unlock(&store->lock);
    } else if (now_ns >= store->forget_ns) {
        result = ops->forget(store->backend, wall_ms - FORGET_AFTER_MS, FORGET_STEP_ROWS, &rows,
                             &err);
        *soon = result == STORE_RESULT_DONE && rows == FORGET_STEP_ROWS;
        if (!*soon) {
            store->forget_ns = clock_deadline_ns(now_ns, FORGET_EVERY_MS);
        }
    }
    if (result == STORE_RESULT_FAILED) {
        fail(store, &err);
        return false;
    }
    return true;
}

/* Sleeps until turns are handed over, the store is to stop or a step is due. Under the lock. */
static void wait_for_work(struct store *store, bool soon)
{
    int64_t until_ns = store->forget_ns;
    struct timespec until;

    if (store->prune_ns != 0 && store->prune_ns < until_ns) {
        until_ns = store->prune_ns;
    }
    until.tv_sec = (time_t)(until_ns / CLOCK_NS_PER_S);
    until.tv_nsec = (long)(until_ns % CLOCK_NS_PER_S);
    while (store->first == NULL && !store->stop && !soon) {
        soon = pthread_cond_timedwait(&store->handed, &store->lock, &until) == ETIMEDOUT;
    }
}

static void *run(void *user)
{
    struct store *store = user;
    struct turn *turns;
    size_t count;
    bool soon = false;
    bool is_good = true;
    bool stop;

    do {
        (void)pthread_mutex_lock(&store->lock);
        wait_for_work(store, soon);
        turns = take_turns(store, &count);
        stop = store->stop && turns == NULL;
        (void)pthread_mutex_unlock(&store->lock);
        if (turns != NULL && is_good) {
            is_good = commit(store, turns, count);
        } else {
            deliver_all(store, turns, true);
        }
        soon = false;
        if (is_good && !stop) {
            is_good = look_after(store, &soon);
        }
        /* A store that has failed does nothing any more but say so to whoever still comes. */
        if (!is_good) {
            store->prune_ns = 0;
            store->forget_ns = INT64_MAX;
        }
    } while (!stop);
    return NULL;
}

/* 128 random bits: messages of the document's flow never meet those of another run. */
static enum tlsmsg_code name_run(struct store *store, struct tlsmsg_error *err)
{
    unsigned char random[RUN_RANDOM_BYTES];
    size_t i;

    if (getentropy(random, sizeof(random)) != 0) {
        return error_set(err, TLSMSG_ERR_SYSTEM, errno, "cannot get random bytes");
    }
    store->run_name[0] = '@';
    for (i = 0; i < sizeof(random); i++) {
        (void)snprintf(store->run_name + 1 + 2 * i, 3, "%02x", random[i]);
    }
    return TLSMSG_OK;
}

static enum tlsmsg_code start_thread(struct store *store, struct tlsmsg_error *err)
{
    sigset_t all;
    sigset_t before;
    int cause;

    (void)sigfillset(&all);
    (void)pthread_sigmask(SIG_SETMASK, &all, &before);
    cause = pthread_create(&store->thread, NULL, run, store);
    (void)pthread_sigmask(SIG_SETMASK, &before, NULL);
    if (cause != 0) {
        return error_set(err, TLSMSG_ERR_SYSTEM, cause, "cannot start the store's thread");
    }
    store->started = true;
    return TLSMSG_OK;
}

/* Everything but the engine. */
static enum tlsmsg_code prepare(struct store *store, const struct store_settings *settings,
                                struct tlsmsg_error *err)
{
    pthread_condattr_t monotonic;
    size_t bytes = settings->workers * sizeof(*store->workers);

    store->settings = *settings;
    if (settings->worker_bytes == 0) {
        store->settings.worker_bytes = STORE_BATCH_MAX_BYTES;
    }
    store->end = &store->first;
    store->forget_ns = clock_now_ns();
    store->prune_ns = settings->keep_ms > 0 ? store->forget_ns : 0;
    (void)pthread_mutex_init(&store->lock, NULL);
    (void)pthread_condattr_init(&monotonic);
    (void)pthread_condattr_setclock(&monotonic, CLOCK_MONOTONIC);
    (void)pthread_cond_init(&store->handed, &monotonic);
    (void)pthread_condattr_destroy(&monotonic);
    store->workers = aligned_alloc(_Alignof(struct worker_queue), bytes);
    if (store->workers == NULL) {
        return error_set(err, TLSMSG_ERR_NOMEM, 0, "out of memory");
    }
    memset(store->workers, 0, bytes);
    return name_run(store, err);
}

enum tlsmsg_code store_start(const struct store_settings *settings, struct store_backend *backend,
                             struct store **out, struct tlsmsg_error *err)
{
    struct store *store = calloc(1, sizeof(*store));
    enum tlsmsg_code code;

    if (store == NULL) {
        backend->ops->close(backend, true);
        return error_set(err, TLSMSG_ERR_NOMEM, 0, "out of memory");
    }
    store->backend = backend;
    code = prepare(store, settings, err);
    if (code == TLSMSG_OK) {
        code = backend->ops->prove(backend, &store->promise, err);
    }
    if (code == TLSMSG_OK) {
        code = backend->ops->begin_run(backend, store->run_name, settings->version, err);
    }
    if (code == TLSMSG_OK) {
        code = start_thread(store, err);
    }
    if (code != TLSMSG_OK) {
        store->failed = true; /* nothing is written any more, the log is not moved either */
        store_close(store);
        return code;
    }
    *out = store;
    return TLSMSG_OK;
}

enum store_promise store_promise(const struct store *store)
{
    return store->promise;
}

const char *store_run_name(const struct store *store)
{
    return store->run_name;
}

void store_stats(struct store *store, struct store_stats *out)
{
    (void)pthread_mutex_lock(&store->lock);
    *out = store->stats;
    (void)pthread_mutex_unlock(&store->lock);
}

bool store_failed(struct store *store, char *text, size_t cap)
{
    bool failed;

    (void)pthread_mutex_lock(&store->lock);
    failed = store->failed;
    (void)snprintf(text, cap, "%s", store->failure);
    (void)pthread_mutex_unlock(&store->lock);
    return failed;
}

void store_close(struct store *store)
{
    unsigned i;

    if (store == NULL) {
        return;
    }
    if (store->started) {
        (void)pthread_mutex_lock(&store->lock);
        store->stop = true;
        (void)pthread_cond_signal(&store->handed);
        (void)pthread_mutex_unlock(&store->lock);
        (void)pthread_join(store->thread, NULL);
    }
    store->backend->ops->close(store->backend, store->failed);
    for (i = 0; store->workers != NULL && i < store->settings.workers; i++) {
        if (store->workers[i].open != NULL) {
            turn_free(store->workers[i].open);
        }
        free(store->workers[i].refused);
    }
    (void)pthread_cond_destroy(&store->handed);
    (void)pthread_mutex_destroy(&store->lock);
    free(store->items);
    free(store->workers);
    free(store);
}
