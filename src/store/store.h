/* The store: what a reply promises is kept here, on disk, before the reply leaves.
 *
 * Workers hand over what a turn of theirs has brought; one thread writes what all of them have
 * handed over meanwhile in one transaction, syncs once and tells each turn how it was decided. So
 * batches form by themselves: while one is being synced, the next one gathers. */
#ifndef STORE_STORE_H
#define STORE_STORE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <tlsmsg/error.h>

#define STORE_HASH_BYTES 32

struct store;

/* What an OK means. */
enum store_promise {
    STORE_PROMISE_DISK,      /* it is on the disk of one machine */
    STORE_PROMISE_REPLICATED /* a second machine has it, too */
};

/* How one record was decided. */
enum store_verdict {
    STORE_TAKEN,       /* it is stored; for a question: `last` is what it asked for */
    STORE_DUPLICATE,   /* it was stored before, with the same bytes */
    STORE_OTHER_BYTES, /* its number was given to other bytes */
    STORE_REFUSED,     /* the engine can't store these bytes, ever */
    STORE_NO_ROOM,     /* undecided: there is no room for it now */
    STORE_AWAY,  /* undecided: the engine can't be reached now, or a number before is undecided */
    STORE_FAILED /* undecided: the store has failed, and the server ends */
};

/* One message, or a question for a producer's last number. */
struct store_record {
    const char *identity; /* the client certificate's; NULL: none */
    const char *producer; /* NULL: the document's flow, which the store numbers itself */
    uint64_t seq;         /* 1 or more; 0 is a question, and all below but tag is ignored then */
    bool jumps;           /* seq may lie beyond the number after the last (protocol rule 7) */
    const unsigned char *hash; /* SHA-256 of the body, STORE_HASH_BYTES; NULL: not numbered */
    uint64_t connection;
    const char *peer; /* its address as text */
    const void *body;
    size_t len;
    uint64_t tag; /* the caller's own; comes back with the decision */
};

/* One record's decision. */
struct store_decision {
    uint64_t connection;
    uint64_t tag;
    uint64_t seq;
    uint64_t last; /* of its producer, when this was decided */
    enum store_verdict verdict;
};

/* A part of a turn is decided, in the order in which a worker handed them over. decisions: in the
 * order of its records. failed: the store promises nothing any more.
 * On the store's own thread; must not block. */
typedef void store_decided_fn(void *user, unsigned worker, const struct store_decision *decisions,
                              size_t count, bool failed);

/* What the store has to tell. */
enum store_news {
    STORE_WARNING,
    STORE_ERROR,
    STORE_FAILURE /* it promises nothing any more; told once, and the program is to end */
};

/* A line for the log. On the store's own thread. */
typedef void store_tell_fn(void *user, enum store_news news, const char *text);

struct store_settings {
    const char *target;  /* a file, or a postgresql:// address */
    const char *version; /* the program's, for the row of the run */
    unsigned workers;
    int64_t keep_ms;     /* messages older than this are pruned; 0: never */
    uint64_t min_free;   /* bytes that must stay free; twice the batch comes on top */
    int64_t timeout_ms;  /* how long a turn waits for an engine that is away, from its first record
                          * on; 0: for ever */
    size_t worker_bytes; /* most bytes of a worker's undecided records; 0: STORE_BATCH_MAX_BYTES */
    store_decided_fn *decided;
    store_tell_fn *tell; /* NULL: nobody listens */
    void *user;
};

/* Most bytes of one transaction; a single record may be longer. */
#define STORE_BATCH_MAX_BYTES ((size_t)16 * 1024 * 1024)

/* Numbers since the start. */
struct store_stats {
    uint64_t batches; /* transactions that were committed and wrote something */
    uint64_t taken;
    uint64_t duplicates;
    uint64_t no_room;
    uint64_t away;
    uint64_t pruned;
    bool is_away; /* the engine, now */
    uint64_t
        log_bytes; /* of the engine's write-ahead log, now; grows while somebody reads on and on */
};

/* Opens a store, makes it where it may, recovers what a crash has left, proves the engine's
 * settings, commits the row of this run, and starts the store's thread. Once it returns, nothing
 * that a reader of the store can see may still be lost.
 * settings: copied, their texts borrowed until store_close. out: owned by the caller.
 * TLSMSG_OK, TLSMSG_ERR_CONFIG (the target can't be one), TLSMSG_ERR_SYSTEM or TLSMSG_ERR_NOMEM. */
enum tlsmsg_code store_open(const struct store_settings *settings, struct store **out,
                            struct tlsmsg_error *err);

/* Proves that store_open would succeed, as far as that can be told without creating or changing
 * anything. Codes as above. */
enum tlsmsg_code store_check(const char *target, struct tlsmsg_error *err);

/* Whether a target is a database's address, not a file. NULL: neither. */
static inline bool store_is_in_database(const char *target)
{
    return target != NULL && (strncmp(target, "postgresql://", sizeof("postgresql://") - 1) == 0 ||
                              strncmp(target, "postgres://", sizeof("postgres://") - 1) == 0);
}

#define STORE_REACH_MAX 32

/* What of the machine an engine is reached by, once the program is confined. */
struct store_reach {
    char *files[STORE_REACH_MAX]; /* that are read at each connection; owned */
    size_t file_count;
    uint16_t ports[STORE_REACH_MAX]; /* that are connected to */
    size_t port_count;
    bool any_port; /* which can't be told, or are more */
};

/* Tells it of a database's target. home: whose files are the defaults; NULL: nobody's. TLSMSG_OK, TLSMSG_ERR_CONFIG or TLSMSG_ERR_NOMEM. out: to be
 * freed in any case. */
enum tlsmsg_code store_reach(const char *target, const char *home, struct store_reach *out,
                             struct tlsmsg_error *err);
void store_reach_fini(struct store_reach *reach);

/* What an OK means. It may fall while the store is open: a connection that brought a record before,
 * or was told by store_promise_to, gets no STORE_TAKEN any more then. Any thread. */
enum store_promise store_promise(const struct store *store);
enum store_promise store_promise_to(struct store *store, uint64_t connection);

/* The run's random name, which begins with '@'. Any thread. */
const char *store_run_name(const struct store *store);

/* Adds a record to the worker's turn; everything is copied. On that worker's thread.
 * TLSMSG_OK; TLSMSG_ERR_LIMIT when the worker's undecided records have reached their bound;
 * TLSMSG_ERR_NOMEM. After the last two the record is not in the turn. */
enum tlsmsg_code store_put(struct store *store, unsigned worker, const struct store_record *record);

/* Ends the worker's turn: a record that is put from now on belongs to the next one. Returns in how
 * many parts of at most STORE_BATCH_MAX_BYTES it is: decided will be called so often. To be followed by
 * store_hand_over where that isn't 0. On that worker's thread. */
unsigned store_turn_end(struct store *store, unsigned worker);

/* Gives the turn that was ended last to the commit thread. Any thread, before that worker's next
 * store_turn_end; it may put records meanwhile. */
void store_hand_over(struct store *store, unsigned worker);

/* Bytes that the store holds of a worker's records, those of its open turn included. Any thread. */
size_t store_undecided(const struct store *store, unsigned worker);

/* The connection has ended: no record of it will come any more. Needed after a verdict other than
 * STORE_TAKEN and STORE_DUPLICATE alone, harmless otherwise. On its worker's thread. */
void store_connection_ended(struct store *store, unsigned worker, uint64_t connection);

/* Fills out. Any thread. */
void store_stats(struct store *store, struct store_stats *out);

/* True once the store has failed; text receives why (cap bytes with NUL). Any thread. */
bool store_failed(struct store *store, char *text, size_t cap);

/* Decides what was handed over, ends the thread and closes. NULL: nothing is done. */
void store_close(struct store *store);

#endif
