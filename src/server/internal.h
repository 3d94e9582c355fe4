/* The server's structures, on one page. Only src/server sees them.
 *
 * A server has workers, a worker has conversations, a conversation has a transport and a flow.
 * Everything below a worker belongs to its thread alone; what several threads share is said to be
 * so. The functions at the end are what all files of this folder use (shared.c). */
#ifndef SERVER_INTERNAL_H
#define SERVER_INTERNAL_H

#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include <tlsmsg/server.h>

#include "base/buffer.h"
#include "base/clock.h"
#include "base/list.h"
#include "base/ratelimit.h"
#include "base/utf8.h"
#include "net/address.h"
#include "net/loop.h"
#include "net/socket.h"
#include "net/timers.h"
#include "options/options.h"
#include "server/producers.h"
#include "transport/transport.h"

struct conversation;
struct flow;
struct tlsmsg_server;
struct worker;

/* Counters of a worker. Written by its thread alone, read by any: relaxed atomics, so that
 * counting costs a plain addition and a reader may be a moment behind. */
typedef _Atomic uint64_t counter;

struct stats {
    counter accepted;
    counter open;
    counter handshaking;
    counter conversations;
    counter resumed;
    counter tls12;
    counter messages;
    counter replies;
    counter bytes_in;
    counter bytes_out;
    counter queued_bytes;
    counter buffered_bytes;
    counter closed[TLSMSG_CLOSE_COUNT];
    counter events[TLSMSG_CAUSE_COUNT];
    counter latency[TLSMSG_LATENCY_BUCKETS];
    counter latency_sum_us;
    counter numbered;
    counter duplicates;
    counter set_back;
    counter byes[TLSMSG_STATS_BYES];
};

/* Connection limits, which act before any cryptography. Shared by all workers: two atomic totals,
 * and a table per address under a lock that is taken only where such a limit was asked for. */
struct limits {
    uint64_t max_connections;
    uint64_t max_per_address; /* 0: no limit; so the next two */
    uint64_t max_handshakes;
    uint64_t handshake_rate;
    atomic_uint_fast64_t connections;
    atomic_uint_fast64_t handshakes;
    pthread_mutex_t lock;
    struct list *buckets; /* NULL unless there is a limit per address */
    uint64_t hash_seed;
    size_t entries; /* in the buckets */
    int64_t swept_ns;
};

/* Replies in the order of their messages, from the first deferred message on. Empty as long as
 * every message is answered at once. */
struct reply_queue {
    struct list replies;
    size_t count;
    size_t bytes; /* of replies that are there */
};

/* What other threads leave for a worker: replies to deferred messages, and the end of a hold. The
 * only lock that a worker shares with the program's threads; taken after a wake-up alone. */
struct mailbox {
    pthread_mutex_t lock;
    struct list posted;
    bool release; /* tlsmsg_server_release was called */
    bool fail;    /* ... with fail */
};

/* What reading, sending and a flow report. The conversation alone acts on it. */
enum next_step {
    GO_ON,
    FINISH, /* in order: what is queued leaves, then close_notify */
    ABORT   /* at once: nothing more is sent */
};

struct verdict {
    enum next_step next;
    enum tlsmsg_close_reason reason; /* of FINISH and ABORT */
};

enum conversation_state {
    CONVERSATION_HANDSHAKE, /* accepted; no message can come yet */
    CONVERSATION_OPEN,      /* messages come, replies leave */
    CONVERSATION_FLUSH,     /* no more messages; replies still leave */
    CONVERSATION_SHUTDOWN,  /* saying that nothing more will be sent */
    CONVERSATION_LINGER,    /* said; what still comes is discarded, so that no reset overtakes it */
    CONVERSATION_DEAD,      /* over; the table frees it */
    CONVERSATION_STATE_COUNT
};

/* Longest reply, and replies that wait to be sent: over the mark the conversation isn't read. The
 * queue holds the mark and one longest reply. */
#define REPLY_MAX_BYTES (1024u * 1024)
#define QUEUE_MARK_BYTES (64u * 1024)
#define QUEUE_LIMIT_BYTES (QUEUE_MARK_BYTES + REPLY_MAX_BYTES)
/* In tlsmsg/1 a reply is at most the longest message and this much, and a conversation over the
 * longest message and the slack isn't read. */
#define NUMBERED_REPLY_EXTRA 1024u
#define NUMBERED_SLACK_BYTES (1024u * 1024)
/* What is read of one conversation in an iteration before others have theirs: records, of which
 * one without data (a key update, an alert) counts as several, and nanoseconds. */
#define ITERATION_RECORDS 64
#define IDLE_RECORD_WEIGHT 4
#define SHARE_NS (1 * (int64_t)CLOCK_NS_PER_MS)
/* What a whole iteration takes in before its replies leave: conversations, bytes, nanoseconds. What
 * is left over comes first in the next one. */
#define ITERATION_CONVERSATIONS 128
#define ITERATION_BYTES ((size_t)1024 * 1024)
#define ITERATION_NS (10 * (int64_t)CLOCK_NS_PER_MS)
/* What a byte that is taken in can become before its reply leaves: one of the reply, six of a line,
 * one that a store has. And what a message costs beside its own bytes, by that measure. */
#define ITERATION_GROWTH 8
#define ITERATION_MESSAGE_BYTES 128
/* What workers take of --max-buffered at once, so that the way of a message touches nothing that
 * they share. */
#define CREDIT_BYTES ((size_t)64 * 1024)
#define CREDIT_MAX_SPARE (4 * CREDIT_BYTES)
/* Messages deferred at once, and bytes of replies that wait behind a deferred one, before the
 * conversation isn't read. */
#define DEFERRED_MAX 64
#define DEFERRED_MAX_BYTES (1024u * 1024)

/* What the document's flow keeps: the begin of a character whose rest is still to come. */
struct document_state {
    uint8_t tail_len;
    char tail[UTF8_TAIL_MAX];
};

/* A message on its way from a flow to the handler. */
struct incoming {
    const char *data; /* valid UTF-8 */
    size_t len;       /* 1 or more */
    uint64_t number;  /* a producer's; 0: the document's flow */
    const char *producer;
    const unsigned char *hash;
    bool duplicate;
};

struct numbered; /* flow_numbered.c */

/* A conversation's hold on its producer. It outlives the conversation while messages that came
 * whole are undecided: who comes next is told a number that includes them. */
struct producer_hold {
    struct list link; /* in worker.leaving */
    struct producer *producer;
    struct producer_claim claim;
};

struct conversation {
    struct loop_watch watch;
    struct timer timer;
    struct socket_source source;
    struct transport *transport; /* NULL until the first byte came */
    const struct flow *flow;     /* NULL until the handshake is done */
    struct worker *worker;       /* borrowed, for life */
    struct buffer out;
    size_t released; /* bytes at the head of out that may leave */
    struct reply_queue deferred;
    uint64_t id;
    uint64_t messages;
    int64_t accepted_ns;
    int64_t since_ns;    /* when the state was entered */
    int64_t hurry_ns;    /* since when another connection waits for its end; 0: none does */
    int64_t activity_ns; /* last message, for the idle timeout */
    int64_t unfinished_since_ns;
    size_t held_bytes;         /* because of its messages, as the worker has counted them */
    int64_t progress_ns;       /* last time the peer took bytes, for the write timeout */
    struct list in_replies;    /* in the worker's list of this iteration's replies */
    struct list in_requeued;   /* in the list of those with more to read, or of the dead */
    struct list in_paused;     /* in the list of those that aren't read during a hold */
    struct list in_unfinished; /* in the list of those with a part of a message */
    struct list in_waiting;    /* in the list of those that wait for a producer */
    uint32_t slot;             /* in the worker's table */
    uint32_t unsent;           /* replies in out */
    uint32_t linger_budget;    /* bytes left to discard */
    enum conversation_state state;
    enum tlsmsg_close_reason reason;
    union {
        struct document_state document;
        struct numbered *numbered;
    } flow_state;
    bool reason_known;
    bool reported;       /* closed() was called */
    bool counted;        /* took a place of the accept budget */
    bool handshake_over; /* gave back its place among the handshakes */
    bool unread;         /* the last read stopped before the transport ran dry */
    bool eof;            /* the peer's end of file was seen */
    bool heard;          /* the peer sent at least one byte */
    bool read_wants_out; /* the transport must write before it can read */
    bool write_wants_in; /* the transport must read before it can write */
    bool write_broken;   /* nothing can be sent any more */
    bool draining;       /* the server stops */
    bool limited;        /* ... and only what had arrived by then is read */
    bool said_farewell;
    struct address peer;
};

/* What a watch's kind says it is embedded in. */
enum watch_kind { WATCH_CONVERSATION, WATCH_LISTENER };

/* One record, with room for the tail of a character before it. */
#define WORKER_BUFFER_BYTES (UTF8_TAIL_MAX + 16384)

/* Members stand by what they are for; a server has few workers.
 * NOLINTNEXTLINE(clang-analyzer-optin.performance.Padding) */
struct worker {
    struct tlsmsg_server *server; /* borrowed */
    unsigned index;
    pthread_t thread;
    struct loop loop;
    struct timers timers;
    struct mailbox mailbox;
    struct stats stats;
    int64_t now_ns; /* of this iteration, and so the next two */
    size_t taken_bytes;
    size_t most_bytes; /* ... that it may take */
    unsigned stepped;

    struct transport_config *config; /* of new connections */
    unsigned config_generation;

    struct conversation **slots; /* by conversation.slot; NULL: free */
    uint32_t *free_slots;
    size_t slot_cap;
    size_t free_count;
    size_t conversations;
    size_t most_conversations; /* since memory was given back */
    size_t handshaking;
    struct buffer_spares spares; /* for what conversations have to send */

    struct list replies;  /* conversations whose replies wait for this iteration's end */
    struct list requeued; /* ... that have more to read without a poll saying so */
    struct list dead;     /* ... to be freed after dispatch */
    struct list
        paused; /* ... that aren't read while the handler holds replies, or memory is short */
    struct list unfinished; /* ... that keep a part of a message, the oldest first */
    struct list waiting;    /* ... whose producer another connection still owns */
    atomic_bool look;       /* some of those may own it now */
    struct list leaving;    /* producers of ended conversations, held until what came is decided */
    uint64_t answered;      /* messages whose replies wait for this iteration's end */
    int64_t answered_ns;    /* when the first of them came */
    bool dirty;             /* the handler was called since the last turn_end */
    bool held;              /* the handler said TLSMSG_TURN_HOLD */
    bool over;              /* --max-buffered is reached: who holds something isn't read */
    bool full;              /* ... and what the others may hold beside it: nobody is */
    size_t bytes;           /* held because of messages */
    size_t credit;          /* ... and taken of --max-buffered for them */
    atomic_int_fast64_t unfinished_since_ns; /* of the oldest; 0: none. Any thread reads it. */
    atomic_bool sheds;                       /* its oldest unfinished message is the one to go */
    bool draining;
    bool failed; /* the handler said TLSMSG_TURN_FAIL */
    int64_t drain_deadline_ns;
    int64_t draining_since_ns;

    struct loop_watch listeners[LISTENERS_MAX];
    size_t listener_count; /* 0 once closed for good */
    bool listening;        /* in the loop at the moment */
    int64_t resume_ns;     /* when to listen again after a pause; 0: not paused */

    char buffer[WORKER_BUFFER_BYTES];
};

/* How far the server has come; it only grows. */
enum server_phase {
    SERVER_RUNNING,
    SERVER_FULL,     /* the accept budget is used up: no more connections */
    SERVER_STOPPING, /* asked to stop: conversations end in order */
    SERVER_FAILED    /* the handler failed: everything ends at once */
};

struct server_listener {
    int fd;
    struct address bound;
    bool passed; /* by whoever keeps it: what waits in it is not ours to take when we stop */
    char text[ADDRESS_TEXT_MAX];
};

/* Shared by all workers. Immutable after tlsmsg_server_new, but for the configuration of new
 * connections (replaced whole on reload, under its lock) and atomics. */
struct tlsmsg_server {
    struct tlsmsg_options *options; /* a copy, which the settings borrow from */
    struct server_settings settings;
    struct tlsmsg_handler handler;

    struct server_listener listeners[LISTENERS_MAX]; /* workers borrow the descriptors */
    size_t listener_count;
    bool has_v4_alone; /* asked for all addresses, where there is no IPv6 */
    struct worker *workers;
    unsigned worker_count;
    unsigned started; /* threads to join */
    int done_fd;      /* base/wake.h, readable once the last worker has ended */

    pthread_mutex_t config_lock;
    struct transport_config *config;
    atomic_uint config_generation;

    struct limits limits;
    struct producers producers;
    atomic_uint_fast64_t taken; /* places of the accept budget */
    atomic_uint_fast64_t next_id;
    atomic_uint running;   /* workers that have not ended */
    atomic_uint listening; /* workers that have not left the listeners for good */
    atomic_int phase;
    atomic_size_t credit;    /* of all workers */
    atomic_size_t elsewhere; /* held because of messages by the program */
    atomic_bool undelivered; /* a reply could not be delivered while stopping */
};

/* Describes the peer; texts live in the buffers of who. */
struct peer_view {
    struct tlsmsg_peer peer;
    struct tlsmsg_tls tls;
    char address[ADDRESS_TEXT_MAX];
};

static inline void count(counter *c, uint64_t n)
{
    atomic_store_explicit(c, atomic_load_explicit(c, memory_order_relaxed) + n,
                          memory_order_relaxed);
}

static inline void uncount(counter *c, uint64_t n)
{
    atomic_store_explicit(c, atomic_load_explicit(c, memory_order_relaxed) - n,
                          memory_order_relaxed);
}

/* A function of the handler has run: its turn_end is due. */
static inline void worker_handler_ran(struct worker *w)
{
    w->dirty = true;
    transport_program_ran();
}

/* Looks whether --max-buffered is reached. */
void worker_look_at_memory(struct worker *w);

/* Takes more credit, or gives some back. */
void worker_settle(struct worker *w);

/* So many bytes are held because of messages from now on; and no longer. */
static inline void worker_hold_bytes(struct worker *w, size_t n)
{
    w->bytes += n;
    count(&w->stats.buffered_bytes, n);
    if (w->bytes > w->credit) {
        worker_settle(w);
    }
}

static inline void worker_free_bytes(struct worker *w, size_t n)
{
    w->bytes -= n;
    uncount(&w->stats.buffered_bytes, n);
    if (w->credit - w->bytes > CREDIT_MAX_SPARE) {
        worker_settle(w);
    }
}

/* c keeps a part of a message; again: no effect. And the end of that. */
void worker_unfinished(struct worker *w, struct conversation *c);
void worker_finished(struct worker *w, struct conversation *c);

/* How many bytes an iteration that begins may take in, so that all workers together stay under
 * --max-buffered; 1 where nothing is left, which lets one conversation go on. */
size_t worker_most_bytes(const struct worker *w);

/* Whether the iteration has taken in what it may. */
static inline bool worker_is_spent(const struct worker *w)
{
    return w->taken_bytes >= w->most_bytes;
}

/* Whether 2 * len more bytes may be held: what a message of that length, which is kept already,
 * becomes when it is whole. One that is alone always may. */
bool worker_has_room(const struct worker *w, size_t len);

/* All that counts against --max-buffered. Any thread. */
size_t server_buffered(const struct tlsmsg_server *server);

/* Has the oldest unfinished message of all workers lose its conversation. */
void server_shed(struct tlsmsg_server *server);

/* Moves the phase forward, never back, and wakes all workers. Async-signal-safe. */
void server_advance(struct tlsmsg_server *server, enum server_phase phase);

/* A worker has left the listening sockets for good; the last one closes them, so that clients
 * are refused rather than left waiting. */
void server_leave_listeners(struct tlsmsg_server *server);
void server_close_listeners(struct tlsmsg_server *server);

/* A reference to the configuration of new connections, and its generation. */
struct transport_config *server_config(struct tlsmsg_server *server, unsigned *generation);

/* Tells the handler's event(); c may be NULL. The text is formatted only when somebody listens.
 * Never inside another call of the handler. */
void worker_event(struct worker *w, enum tlsmsg_log_level level, enum tlsmsg_cause cause,
                  const struct conversation *c, const char *format, ...)
    __attribute__((cold, format(printf, 5, 6)));

/* Puts c on the list of this iteration's replies. */
static inline void worker_answered(struct worker *w, struct conversation *c)
{
    if (!list_is_linked(&c->in_replies)) {
        list_append(&w->replies, &c->in_replies);
    }
}

/* Puts c on the list of those with more to read. */
void worker_requeue(struct worker *w, struct conversation *c);

/* Gives a producer back, and tells who waits for it; hold is freed. */
void worker_leave_producer(struct worker *w, struct producer_hold *hold);

/* Tells another worker, of which any thread knows the number, that a producer has changed hands. */
void worker_look(struct tlsmsg_server *server, unsigned worker);

/* The handshake of c is over, one way or another; again: no effect. */
void worker_handshake_over(struct worker *w, struct conversation *c);

void conversation_describe(const struct conversation *c, struct peer_view *who);

#endif
