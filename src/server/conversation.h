/* One connection, from accept to its end: its state, its messages and replies.
 *
 * It knows the transport and the worker it belongs to for life, but not the
 * poll: conversation_interest() says what it waits for, conversation_deadline()
 * until when, and the worker does the rest. Nothing in here frees a
 * conversation; CONVERSATION_DEAD marks it and the worker reaps it after
 * dispatch. All functions run on the owning worker's thread. */
#ifndef SERVER_CONVERSATION_H
#define SERVER_CONVERSATION_H

#include <stdbool.h>
#include <stdint.h>

#include <tlsmsg/server.h>

#include "base/queue.h"
#include "base/utf8.h"
#include "net/address.h"
#include "net/loop.h"
#include "net/socket.h"
#include "net/timers.h"
#include "server/pending.h"
#include "transport/transport.h"

struct worker;

enum conversation_state {
    CONVERSATION_HANDSHAKE, /* accepted; no message can come yet */
    CONVERSATION_OPEN,      /* messages come, replies leave */
    CONVERSATION_FLUSH,     /* no more messages; replies still leave */
    CONVERSATION_SHUTDOWN,  /* saying that nothing more will be sent */
    CONVERSATION_LINGER,    /* said; what still comes is discarded, so that no reset overtakes it */
    CONVERSATION_DEAD,      /* over; the worker frees it */
    CONVERSATION_STATE_COUNT
};

/* Replies that wait to be sent: over the mark the conversation isn't read. */
#define CONVERSATION_QUEUE_MARK (64u * 1024)
/* Bound of the queue: the mark and the largest reply (see tlsmsg_message_reply). */
#define CONVERSATION_QUEUE_LIMIT (CONVERSATION_QUEUE_MARK + CONVERSATION_REPLY_MAX)
#define CONVERSATION_REPLY_MAX (1024u * 1024)
/* Records read in one turn before others have theirs. */
#define CONVERSATION_TURN_RECORDS 64
/* Messages deferred at once before the conversation isn't read. */
#define CONVERSATION_PENDING_MAX 64
/* Bytes of replies that wait behind a deferred one before the conversation isn't read. */
#define CONVERSATION_PENDING_BYTES (1024u * 1024)
/* After close_notify or an alert: how long and how much is read and discarded. */
#define CONVERSATION_LINGER_MS 1000
#define CONVERSATION_LINGER_BYTES (64u * 1024)

struct conversation {
    struct loop_watch watch;
    struct timer timer;
    struct socket_source source;
    struct transport *transport; /* NULL until the first byte came */
    struct worker *worker;       /* borrowed, for life */
    struct queue out;
    size_t released; /* bytes at the head of out that may leave */
    struct pending pending;
    uint64_t id;
    uint64_t messages;
    int64_t accepted_ns;
    int64_t since_ns;                /* when the state was entered */
    int64_t activity_ns;             /* last message, for the idle timeout */
    int64_t progress_ns;             /* last time the peer took bytes, for the write timeout */
    struct conversation *next_turn;  /* in the worker's list of this turn's replies */
    struct conversation *next_again; /* in the list of those that have more to read */
    struct conversation *next_dead;
    struct conversation *next_paused;
    uint32_t slot;          /* in the worker's table */
    uint32_t unsent;        /* replies in out */
    uint32_t linger_budget; /* bytes left to discard */
    enum conversation_state state;
    enum tlsmsg_close_reason how;
    bool how_known;
    bool reported;       /* closed() was called */
    bool counted;        /* took a place of the accept budget */
    bool handshake_over; /* gave back its place among the handshakes */
    bool in_turn;
    bool in_again;
    bool in_paused;
    bool unread;         /* the last read stopped before the transport ran dry */
    bool eof;            /* the peer's end of file was seen */
    bool heard;          /* the peer sent at least one byte */
    bool read_wants_out; /* the transport must write before it can read */
    bool write_wants_in; /* the transport must read before it can write */
    bool write_broken;   /* nothing can be sent any more */
    bool draining;       /* the server stops */
    uint8_t tail_len;
    char tail[UTF8_TAIL_MAX]; /* of a character whose rest is still to come */
    struct address peer;
};

/* Makes a conversation for an accepted socket, which it owns from then on. In plaintext it is
 * open at once. NULL when out of memory (the descriptor then stays the caller's). */
struct conversation *conversation_new(struct worker *worker, int fd, const struct address *peer,
                                      uint64_t id);
void conversation_free(struct conversation *c);

/* What to wait for: LOOP_READ and LOOP_WRITE. Pure. */
uint32_t conversation_interest(const struct conversation *c);

/* Until when, 0 for ever. Pure. */
int64_t conversation_deadline(const struct conversation *c);

/* Goes on as far as possible without blocking; ready: what the poll said. */
void conversation_step(struct conversation *c, uint32_t ready);

/* The turn's end was taken: its replies leave. */
void conversation_release(struct conversation *c);

/* The time of conversation_deadline() has come. */
void conversation_expire(struct conversation *c);

/* The server stops: ends in order, replies that are due first. */
void conversation_drain(struct conversation *c);

/* Ends at once, nothing more is sent. how: used where none is known yet. */
void conversation_abort(struct conversation *c, enum tlsmsg_close_reason how);

/* Ends in order: what is queued leaves, then close_notify. */
void conversation_finish(struct conversation *c, enum tlsmsg_close_reason how);

/* The reply to a deferred message is there. */
void conversation_answer(struct conversation *c, uint64_t message, char *data, size_t len);

/* Moves to another state. A move that the table does not allow is a bug: an assertion in debug
 * builds, a closed conversation in release builds. */
void conversation_move(struct conversation *c, enum conversation_state to);

/* Name of a state, and whether the table allows a move; for logs and tests. */
const char *conversation_state_name(enum conversation_state state);
bool conversation_may_move(enum conversation_state from, enum conversation_state to);

/* Describes the peer; texts live in the buffers of who. */
struct peer_view {
    struct tlsmsg_peer peer;
    char address[ADDRESS_TEXT_MAX];
    struct tlsmsg_tls tls;
};
void conversation_describe(const struct conversation *c, struct peer_view *who);

#endif
