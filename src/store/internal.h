/* What the files of the commit thread share. */
#ifndef STORE_INTERNAL_H
#define STORE_INTERNAL_H

#include <pthread.h>
#include <stdatomic.h>

#include "store/backend.h"

#define RUN_RANDOM_BYTES 16
#define RUN_NAME_MAX (1 + 2 * RUN_RANDOM_BYTES + 1)

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
    _Alignas(64) struct turn *open; /* the turn's parts; the last one grows */
    struct turn *open_last;
    unsigned open_count;
    struct turn *ended; /* the turn before, until it is handed over */
    struct turn *ended_last;
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
    atomic_int promise; /* an enum store_promise */
    char run_name[RUN_NAME_MAX];
    uint64_t counter; /* numbers of the document's flow; the commit thread's own */
    int64_t prune_ns; /* when to look again; the commit thread's own */
    int64_t forget_ns;
    int64_t rejoin_ns; /* while the engine is away */
    uint64_t fallen;   /* connections up to this were told more than is promised; commit thread */
    bool is_full;      /* told so */
    bool is_away;      /* told so */
    bool log_told;
    bool started;
    pthread_t thread;
    pthread_mutex_t lock;
    pthread_cond_t handed;
    struct turn *first; /* handed over, not yet taken */
    struct turn **end;
    uint64_t told;   /* highest connection that has heard what an OK means, or may have */
    int64_t stop_ns; /* until when an engine is waited for after stop; 0: not asked yet */
    bool stop;
    bool failed;
    char failure[sizeof(((struct tlsmsg_error *)0)->text)];
    struct store_stats stats;
};

/* store.c: starts the commit thread on an engine, which it owns from then on, also when this
 * fails. Codes as store_open's. */
enum tlsmsg_code store_start(const struct store_settings *settings, struct store_backend *backend,
                             struct store **out, struct tlsmsg_error *err);

/* What a reply means now. */
static inline enum store_promise promise_now(const struct store *store)
{
    return (enum store_promise)atomic_load(&store->promise);
}

/* commit.c: the thread; user is the store. And the end of a turn. */
void *commit_thread(void *user);
void turn_free(struct turn *turn);

#endif
