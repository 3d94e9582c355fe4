/* The commit thread: takes what all workers' turns have brought, has it written as one transaction,
 * and tells each turn how it was decided.
 *
 * Owns the order: a worker's turns are decided in theirs. Knows nothing of any engine. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "base/clock.h"
#include "base/error.h"
#include "store/internal.h"

#define AWAY_PAUSE_MS 100
#define PRUNE_EVERY_MS 60000
#define PRUNE_STEP_ROWS 500
#define FORGET_EVERY_MS 3600000
#define FORGET_AFTER_MS 86400000
#define FORGET_STEP_ROWS 500
#define REJOIN_EVERY_MS 1000
#define STOP_GRACE_MS 2000
#define LOG_WARN_BYTES ((uint64_t)256 * 1024 * 1024)

void turn_free(struct turn *turn)
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

static void tell(struct store *store, enum store_news news, const char *text)
{
    if (store->settings.tell != NULL) {
        store->settings.tell(store->settings.user, news, text);
    }
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

/* Once a message can't ever be taken nothing later of its conversation is. The list is short: such
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

/* Once at most: nothing is done any more after it. */
static void fail(struct store *store, const struct tlsmsg_error *err)
{
    (void)pthread_mutex_lock(&store->lock);
    store->failed = true;
    memcpy(store->failure, err->text, sizeof(store->failure));
    (void)pthread_mutex_unlock(&store->lock);
    tell(store, STORE_FAILURE, err->text);
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
    *batch = (struct store_batch){.items = store->items, .promise = promise_now(store)};
    *bytes = 0;
    (void)pthread_mutex_lock(&store->lock);
    for (turn = turns; turn != NULL; turn = turn->next) {
        for (item = turn->first; item != NULL; item = item->next) {
            item->verdict = STORE_AWAY;
            if (item->connection > store->told) {
                store->told = item->connection;
            }
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

    if (store->settings.min_free == 0 || !store->backend->ops->room(store->backend, &free_bytes)) {
        return true;
    }
    return free_bytes / 2 >= batch_bytes &&
           free_bytes - 2 * batch_bytes >= store->settings.min_free;
}

static void tell_room(struct store *store, bool is_full)
{
    if (is_full && !store->is_full) {
        tell(store, STORE_ERROR,
             "the store has no room: new messages are not taken until there is some");
    } else if (!is_full && store->is_full) {
        tell(store, STORE_WARNING, "the store has room again");
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

/* Between two attempts to reach an engine that is away. */
static void pause_away(void)
{
    const struct timespec pause = {.tv_nsec = AWAY_PAUSE_MS * CLOCK_NS_PER_MS};

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

struct waiting {
    struct store *store;
    int64_t deadline_ns;
};

/* Whether an engine that is being waited for has had its time; at a stop that is short. */
static bool has_waited(void *user)
{
    const struct waiting *waiting = user;
    struct store *store = waiting->store;
    int64_t now_ns = clock_now_ns();
    bool is_late;

    (void)pthread_mutex_lock(&store->lock);
    if (store->stop && store->stop_ns == 0) {
        store->stop_ns = clock_deadline_ns(now_ns, STOP_GRACE_MS);
    }
    is_late = store->stop && now_ns >= store->stop_ns;
    (void)pthread_mutex_unlock(&store->lock);
    return is_late || (waiting->deadline_ns != 0 && now_ns >= waiting->deadline_ns);
}

/* Tells once that the engine is away, and once that it is back. */
static void tell_away(struct store *store, bool is_away, const struct tlsmsg_error *err)
{
    char text[sizeof(err->text) + 64];

    if (is_away == store->is_away || store->backend->ops->rejoin == NULL) {
        return;
    }
    if (is_away) {
        (void)snprintf(text, sizeof(text), "the store is away, and messages wait for it: %s",
                       err->text);
        tell(store, STORE_ERROR, text);
    } else {
        tell(store, STORE_WARNING, "the store is back");
    }
    store->is_away = is_away;
    store->rejoin_ns = clock_deadline_ns(clock_now_ns(), REJOIN_EVERY_MS);
    (void)pthread_mutex_lock(&store->lock);
    store->stats.is_away = is_away;
    (void)pthread_mutex_unlock(&store->lock);
}

static void tell_warnings(struct store *store)
{
    char text[sizeof(((struct tlsmsg_error *)0)->text)];

    while (store->backend->ops->warn != NULL &&
           store->backend->ops->warn(store->backend, text, sizeof(text))) {
        tell(store, STORE_WARNING, text);
    }
}

/* What an OK means has changed. Conversations that were told more get no further OK: they hear that
 * the store is away, come again, and are told what holds now. */
static void adopt_promise(struct store *store, const struct store_batch *batch)
{
    bool falls = batch->promise < promise_now(store);
    size_t i;

    if (falls) {
        store->fallen = store->told;
        tell(store, STORE_ERROR,
             "the store has no synchronous standby any more: what is stored from now on is on one "
             "disk alone");
    } else if (batch->promise > promise_now(store)) {
        tell(store, STORE_WARNING, "the store has a synchronous standby again");
    }
    atomic_store(&store->promise, (int)batch->promise);
    for (i = 0; i < batch->count && store->fallen != 0; i++) {
        struct store_item *item = batch->items[i];

        if (item->connection <= store->fallen &&
            (item->verdict == STORE_TAKEN || item->verdict == STORE_DUPLICATE)) {
            item->verdict = STORE_AWAY;
        }
    }
}

/* Has the batch decided. While the engine is away the same keys are sent again; that never doubles
 * what it may have taken. */
static enum store_result decide(struct store *store, struct store_batch *batch, uint64_t bytes,
                                int64_t deadline_ns, struct tlsmsg_error *err)
{
    struct waiting waiting = {.store = store, .deadline_ns = deadline_ns};
    enum store_result result;

    if (batch->count == 0) {
        return STORE_RESULT_DONE;
    }
    batch->patience = (struct store_patience){.has_ended = has_waited, .user = &waiting};
    for (;;) {
        batch->take_new = has_room(store, bytes);
        result = store->backend->ops->append(store->backend, batch, err);
        tell_away(store, result == STORE_RESULT_AWAY, err);
        if (result != STORE_RESULT_AWAY || gives_up(store, deadline_ns)) {
            break;
        }
        tlsmsg_error_clear(err);
        pause_away();
    }
    if (result == STORE_RESULT_NO_ROOM) {
        set_all(batch, STORE_NO_ROOM);
    } else if (result == STORE_RESULT_AWAY) {
        set_all(batch, STORE_AWAY);
    } else if (result == STORE_RESULT_FAILED) {
        set_all(batch, STORE_FAILED);
    } else {
        adopt_promise(store, batch);
    }
    if (result == STORE_RESULT_DONE || result == STORE_RESULT_NO_ROOM) {
        tell_room(store, result == STORE_RESULT_NO_ROOM || !batch->take_new);
    }
    return result;
}

/* Whether the transaction wrote anything: each producer that has a number is written (backend.h). */
static bool has_written(const struct store_batch *batch, enum store_result result)
{
    size_t i = 0;

    while (i < batch->count && batch->items[i]->last == 0) {
        i++;
    }
    return result == STORE_RESULT_DONE && i < batch->count;
}

/* Counts verdicts, and keeps what a refusal means for what comes later. False: no memory. */
static bool account(struct store *store, const struct turn *turns, bool wrote)
{
    const struct turn *turn;
    const struct store_item *item;
    bool has_memory = true;

    (void)pthread_mutex_lock(&store->lock);
    store->stats.batches += wrote;
    for (turn = turns; turn != NULL; turn = turn->next) {
        for (item = turn->first; item != NULL; item = item->next) {
            store->stats.taken += item->verdict == STORE_TAKEN && item->seq > 0;
            store->stats.duplicates += item->verdict == STORE_DUPLICATE;
            store->stats.no_room += item->verdict == STORE_NO_ROOM;
            store->stats.away += item->verdict == STORE_AWAY;
            if (item->verdict == STORE_OTHER_BYTES || item->verdict == STORE_REFUSED) {
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
        turn->decisions[i++] =
            (struct store_decision){.connection = item->connection,
                                    .tag = item->tag,
                                    .seq = item->seq,
                                    .last = item->last,
                                    .verdict = failed ? STORE_FAILED : item->verdict};
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
    struct store_batch batch = {.count = 0};
    enum store_result result = STORE_RESULT_FAILED;
    uint64_t bytes;
    uint64_t log_bytes = 0;

    if (list_items(store, turns, count, &batch, &bytes)) {
        result = decide(store, &batch, bytes, turns->deadline_ns, &err);
    }
    if (result != STORE_RESULT_FAILED && !account(store, turns, has_written(&batch, result))) {
        result = STORE_RESULT_FAILED;
    }
    if (result == STORE_RESULT_FAILED) {
        (void)error_set(&err, TLSMSG_ERR_NOMEM, 0, "out of memory");
        fail(store, &err);
        deliver_all(store, turns, true);
        return false;
    }
    deliver_all(store, turns, false);
    tell_warnings(store);
    tlsmsg_error_clear(&err);
    if (store->backend->ops->tidy(store->backend, &log_bytes, &err) == STORE_RESULT_FAILED) {
        fail(store, &err);
        return false;
    }
    (void)pthread_mutex_lock(&store->lock);
    store->stats.log_bytes = log_bytes;
    (void)pthread_mutex_unlock(&store->lock);
    if (log_bytes > LOG_WARN_BYTES && !store->log_told) {
        tell(store, STORE_WARNING,
             "a reader keeps a transaction open in the store, whose log grows "
             "meanwhile (try: end it)");
    }
    store->log_told = log_bytes > LOG_WARN_BYTES;
    return true;
}

/* Work comes first; else a second is long enough. */
static bool has_looked(void *user)
{
    struct waiting *waiting = user;
    bool has_work;

    (void)pthread_mutex_lock(&waiting->store->lock);
    has_work = waiting->store->first != NULL || waiting->store->stop;
    (void)pthread_mutex_unlock(&waiting->store->lock);
    return has_work || clock_now_ns() >= waiting->deadline_ns;
}

/* Looks whether an engine that was away is back. False: it has failed. */
static bool rejoin(struct store *store)
{
    struct waiting waiting = {.store = store,
                              .deadline_ns = clock_deadline_ns(clock_now_ns(), REJOIN_EVERY_MS)};
    struct store_patience patience = {.has_ended = has_looked, .user = &waiting};
    struct tlsmsg_error err = {.code = TLSMSG_OK};
    enum store_result result = store->backend->ops->rejoin(store->backend, patience, &err);

    store->rejoin_ns = clock_deadline_ns(clock_now_ns(), REJOIN_EVERY_MS);
    if (result == STORE_RESULT_FAILED) {
        fail(store, &err);
        return false;
    }
    tell_away(store, result == STORE_RESULT_AWAY, &err);
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

    *soon = false;
    if (store->is_away) {
        return now_ns < store->rejoin_ns || rejoin(store);
    }
    (void)clock_gettime(CLOCK_REALTIME, &wall);
    wall_ms = (int64_t)wall.tv_sec * 1000;
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
        result =
            ops->forget(store->backend, wall_ms - FORGET_AFTER_MS, FORGET_STEP_ROWS, &rows, &err);
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
    if (store->is_away) {
        until_ns = store->rejoin_ns;
    }
    until.tv_sec = (time_t)(until_ns / CLOCK_NS_PER_S);
    until.tv_nsec = (long)(until_ns % CLOCK_NS_PER_S);
    while (store->first == NULL && !store->stop && !soon) {
        soon = pthread_cond_timedwait(&store->handed, &store->lock, &until) == ETIMEDOUT;
    }
}

void *commit_thread(void *user)
{
    struct store *store = user;
    struct turn *turns;
    size_t count;
    bool soon = false;
    bool is_good = true;
    bool stop;

    tell_warnings(store);
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
            store->is_away = false;
        }
    } while (!stop);
    return NULL;
}
