/* A worker: one thread with a loop, its conversations, and what they share.
 *
 * It accepts from the listening sockets that all workers share, steps the
 * conversations that are ready, asks the handler once at the end of each
 * turn, lets that turn's replies leave, and frees what has ended. Nothing
 * here is shared with another thread except the mailbox, the counters and
 * what struct server says. */
#ifndef SERVER_WORKER_H
#define SERVER_WORKER_H

#include <pthread.h>
#include <stdbool.h>
#include <stdint.h>

#include <tlsmsg/server.h>

#include "net/loop.h"
#include "net/timers.h"
#include "server/conversation.h"
#include "server/mailbox.h"
#include "server/stats.h"

#define WORKER_LISTENERS_MAX 32
#define WORKER_BUFFER_BYTES (UTF8_TAIL_MAX + 16384)

struct server;

/* What a watch's kind says it is embedded in. */
enum watch_kind { WATCH_CONVERSATION, WATCH_LISTENER };

struct listener_watch {
    struct loop_watch watch;
};

struct worker {
    struct server *server; /* borrowed */
    unsigned index;
    pthread_t thread;
    struct loop loop;
    struct timers timers;
    struct mailbox mailbox;
    struct stats stats;
    int64_t now_ns; /* of this turn */

    struct transport_config *config; /* of new connections */
    unsigned config_generation;

    struct conversation **slots; /* by conversation.slot; NULL: free */
    uint32_t *free_slots;
    size_t slot_cap;
    size_t free_count;
    size_t conversations;
    size_t most_conversations; /* since memory was given back */
    size_t handshaking;

    struct conversation *turn;   /* replies that wait for this turn's end */
    struct conversation *again;  /* have more to read without a poll saying so */
    struct conversation *dead;   /* to be freed after dispatch */
    struct conversation *paused; /* not read while the handler holds replies */
    uint64_t turn_messages;      /* whose replies wait for this turn's end */
    int64_t turn_began_ns;       /* when the first of them came */
    bool dirty;                  /* the handler was called since the last turn_end */
    bool held;                   /* the handler said TLSMSG_TURN_HOLD */
    bool draining;
    bool failed; /* the handler said TLSMSG_TURN_FAIL */
    int64_t drain_deadline_ns;

    struct listener_watch listeners[WORKER_LISTENERS_MAX];
    size_t listener_count; /* 0 once closed for good */
    bool listening;        /* in the loop at the moment */
    int64_t resume_ns;     /* when to listen again after a pause; 0: not paused */

    char buffer[WORKER_BUFFER_BYTES]; /* one record, with room for a tail before it */
};

/* Prepares a worker. The listeners' descriptors are borrowed from the server. */
enum tlsmsg_code worker_init(struct worker *w, struct server *server, unsigned index,
                             struct tlsmsg_error *err);
void worker_fini(struct worker *w);

/* The thread's function; arg is the worker. */
void *worker_run(void *arg);

/* For conversations: puts c on the list of this turn's replies, or of those with more to read. */
void worker_turn(struct worker *w, struct conversation *c);
void worker_again(struct worker *w, struct conversation *c);

/* For conversations: marks c to be freed after dispatch. */
void worker_bury(struct worker *w, struct conversation *c);

/* Its handshake is over, one way or another; again: no effect. */
void worker_handshake_over(struct worker *w, struct conversation *c);

/* A conversation begins: false when the accept budget is used up. */
bool worker_begin(struct worker *w, struct conversation *c);

/* Tells the handler's event(); c may be NULL. The text is formatted only when somebody listens. */
void worker_event(struct worker *w, enum tlsmsg_log_level level, enum tlsmsg_cause cause,
                  const struct conversation *c, const char *format, ...)
    __attribute__((format(printf, 5, 6)));

/* Takes a new conversation into the table; false when out of memory. */
bool worker_adopt(struct worker *w, struct conversation *c);

/* The conversation in a slot when it still is the one with this number, else NULL. */
struct conversation *worker_find(const struct worker *w, uint32_t slot, uint64_t id);

/* Frees what has ended; the only place that does, after dispatch. */
void worker_reap(struct worker *w);

/* After a step: puts the poll, the timer and the lists in accord with c's state. */
void worker_settle(struct worker *w, struct conversation *c);

#endif
