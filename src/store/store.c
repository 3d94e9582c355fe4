/* The store as its users see it: choosing the engine, starting and ending, and the workers' side of
 * the queue. A turn is filled by its worker alone and handed over under the lock. */
#include "store/store.h"

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/error.h"
#include "base/escape.h"
#include "store/internal.h"
#include "store/postgresql.h"
#include "store/sqlite.h"
#include "store/sqlite_db.h"
#include "store/sqlite_file.h"

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
    *item =
        (struct store_item){.seq = record->seq,
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

/* The part of the worker's turn that a record of so many bytes goes to, with room for its decision.
 * NULL: no memory. */
static struct turn *open_turn(struct store *store, unsigned worker, size_t bytes)
{
    struct worker_queue *queue = &store->workers[worker];
    struct turn *turn = queue->open_last;

    if (turn == NULL || (turn->count > 0 && (bytes > STORE_BATCH_MAX_BYTES ||
                                             turn->bytes > STORE_BATCH_MAX_BYTES - bytes))) {
        turn = calloc(1, sizeof(*turn));
        if (turn == NULL) {
            return NULL;
        }
        turn->end = &turn->first;
        turn->worker = worker;
        turn->deadline_ns = clock_deadline_ns(clock_now_ns(), store->settings.timeout_ms);
        *(queue->open_last == NULL ? &queue->open : &queue->open_last->next) = turn;
        queue->open_last = turn;
        queue->open_count++;
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
    item = item_new(store, record);
    turn = item != NULL ? open_turn(store, worker, item->bytes) : NULL;
    if (turn == NULL) {
        free(item);
        return TLSMSG_ERR_NOMEM;
    }
    *turn->end = item;
    turn->end = &item->next;
    turn->count++;
    turn->bytes += item->bytes;
    (void)atomic_fetch_add_explicit(&queue->bytes, item->bytes, memory_order_relaxed);
    return TLSMSG_OK;
}

unsigned store_turn_end(struct store *store, unsigned worker)
{
    struct worker_queue *queue = &store->workers[worker];
    unsigned count = queue->open_count;

    /* A part that got no record, for want of memory, is decided like any other. */
    queue->ended = queue->open;
    queue->ended_last = queue->open_last;
    queue->open = NULL;
    queue->open_last = NULL;
    queue->open_count = 0;
    return count;
}

void store_hand_over(struct store *store, unsigned worker)
{
    struct worker_queue *queue = &store->workers[worker];

    if (queue->ended == NULL) {
        return;
    }
    (void)pthread_mutex_lock(&store->lock);
    *store->end = queue->ended;
    store->end = &queue->ended_last->next;
    queue->ended = NULL;
    (void)pthread_cond_signal(&store->handed);
    (void)pthread_mutex_unlock(&store->lock);
}

size_t store_undecided(const struct store *store, unsigned worker)
{
    return atomic_load_explicit(&store->workers[worker].bytes, memory_order_relaxed);
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
    cause = pthread_create(&store->thread, NULL, commit_thread, store);
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
    enum store_promise promise = STORE_PROMISE_DISK;
    enum tlsmsg_code code;

    if (store == NULL) {
        backend->ops->close(backend, true);
        return error_set(err, TLSMSG_ERR_NOMEM, 0, "out of memory");
    }
    store->backend = backend;
    code = prepare(store, settings, err);
    if (code == TLSMSG_OK) {
        code = backend->ops->prove(backend, &promise, err);
        atomic_store(&store->promise, (int)promise);
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

/* What we make is its owner's alone. A file that was there keeps its mode. */
static void warn_of_readers(const struct store_settings *settings)
{
    char text[2 * NAME_MAX_SHOWN + 64];
    char name[NAME_MAX_SHOWN];
    struct stat status;

    if (settings->tell != NULL && stat(settings->target, &status) == 0 &&
        (status.st_mode & (S_IRWXG | S_IRWXO)) != 0) {
        escape_name(name, sizeof(name), settings->target);
        (void)snprintf(text, sizeof(text),
                       "store '%s' can be read or written by others (try: chmod 600 '%s')", name,
                       name);
        settings->tell(settings->user, STORE_WARNING, text);
    }
}

enum tlsmsg_code store_open(const struct store_settings *settings, struct store **out,
                            struct tlsmsg_error *err)
{
    struct store_backend *backend = NULL;
    enum tlsmsg_code code;

    if (store_is_in_database(settings->target)) {
        code = postgresql_backend_open(settings->target, &backend, err);
    } else {
        code = sqlite_backend_open(settings->target, SQLITE_CHECKPOINT_PAGES, &backend, err);
    }
    if (backend != NULL) {
        code = store_start(settings, backend, out, err);
    }
    if (code == TLSMSG_OK && !store_is_in_database(settings->target)) {
        warn_of_readers(settings);
    }
    return code;
}

enum tlsmsg_code store_check(const char *target, struct tlsmsg_error *err)
{
    return store_is_in_database(target) ? postgresql_check(target, err)
                                        : sqlite_db_check(target, err);
}

enum tlsmsg_code store_reach(const char *target, const char *home, struct store_reach *out,
                             struct tlsmsg_error *err)
{
    *out = (struct store_reach){.file_count = 0};
    return postgresql_reach(target, home, out, err);
}

void store_reach_fini(struct store_reach *reach)
{
    while (reach->file_count > 0) {
        free(reach->files[--reach->file_count]);
    }
}

enum store_promise store_promise(const struct store *store)
{
    return promise_now(store);
}

enum store_promise store_promise_to(struct store *store, uint64_t connection)
{
    enum store_promise promise;

    (void)pthread_mutex_lock(&store->lock);
    if (connection > store->told) {
        store->told = connection;
    }
    promise = promise_now(store);
    (void)pthread_mutex_unlock(&store->lock);
    return promise;
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

static void turns_free(struct turn *turn)
{
    while (turn != NULL) {
        struct turn *next = turn->next;

        turn_free(turn);
        turn = next;
    }
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
        turns_free(store->workers[i].ended);
        turns_free(store->workers[i].open);
        free(store->workers[i].refused);
    }
    (void)pthread_cond_destroy(&store->handed);
    (void)pthread_mutex_destroy(&store->lock);
    free(store->items);
    free(store->workers);
    free(store);
}
