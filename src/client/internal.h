/* What a client is made of, and what its files call of each other.
 *
 * Every call is a step that never waits, and the blocking form is a poll(2)
 * loop around it (client_wait). What to wait for follows from the state alone;
 * see tlsmsg_client_events. The files call in one direction: client.c, which
 * has what all share, is called by the flows (exchange.c, flow_numbered.c), and
 * all of them by connect.c; client.c calls a flow through its table alone. */
#ifndef CLIENT_INTERNAL_H
#define CLIENT_INTERNAL_H

#include <stdbool.h>
#include <stdint.h>

#include <tlsmsg/client.h>

#include "base/build.h"
#include "base/utf8.h"
#include "client/receive_queue.h"
#include "net/address.h"
#include "net/resolve.h"
#include "net/socket.h"
#include "options/options.h"
#include "protocol/frame.h"
#include "transport/transport.h"

/* Most bytes received ahead while nothing is due. A long plaintext message raises it, see
 * exchange.c. */
#define CLIENT_QUEUE_MAX ((size_t)1024 * 1024)

enum client_state {
    CLIENT_NEW,
    CLIENT_CONNECTING, /* one address is being tried */
    CLIENT_HANDSHAKE,
    CLIENT_OPEN,
    CLIENT_FAILED,   /* can only be closed and freed */
    CLIENT_CLOSING,  /* our last word isn't out yet */
    CLIENT_DRAINING, /* reading until the server has ended too */
    CLIENT_DONE
};

/* How the receiving direction ended. It is reported after all that was received before. */
enum client_end { CLIENT_END_NONE, CLIENT_END_CLOSED, CLIENT_END_ERROR };

/* How messages become bytes, and bytes replies: one flow for each protocol, chosen when the
 * handshake is done. Each function is a step that never waits, called while the client is open and
 * after socket_source_ready; what a flow keeps is in a struct of its own inside the client. */
struct client_flow {
    /* Begins with a connection that is new; never waits. */
    void (*begin)(struct tlsmsg_client *client);

    /* Begins to send a message, or goes on with it: OK once all of it is out. */
    enum tlsmsg_client_result (*send)(struct tlsmsg_client *client, const char *data, size_t len,
                                      struct tlsmsg_error *err);

    /* Gives the next reply, borrowed until the next call. */
    enum tlsmsg_client_result (*receive)(struct tlsmsg_client *client, const char **data,
                                         size_t *len, struct tlsmsg_error *err);

    /* Takes in what has arrived, as far as there is room; sets client->end. */
    void (*pull)(struct tlsmsg_client *client);

    /* What to poll(2) for. Without POLLIN there is no room: nothing more is read, and polling for
     * it would only spin. */
    short (*events)(const struct tlsmsg_client *client);

    /* True where a reply that is waited for is here already: no poll will tell. */
    bool (*has_reply)(const struct tlsmsg_client *client);

    /* Waits for the server's first word, where the protocol has one. */
    enum tlsmsg_client_result (*greet)(struct tlsmsg_client *client, struct tlsmsg_error *err);

    /* Frees what it keeps; after begin or without it. */
    void (*end)(struct tlsmsg_client *client);
};

/* The document's flow: what one recv brings is a reply, and one message is unanswered at a time. */
extern const struct client_flow client_exchange_flow;

struct client_exchange {
    bool sending; /* a message of sending_len bytes is on its way, sent of them are out */
    size_t sending_len;
    size_t sent;
    bool due;    /* a reply is waited for */
    short wants; /* poll bits of a send that is blocked */

    struct receive_queue queue;
    char tail[UTF8_TAIL_MAX]; /* of a reply, the begin of a character that was cut */
    size_t tail_len;
    char buffer[UTF8_TAIL_MAX + TLS_RECORD_BYTES]; /* the reply that the caller borrows */
};

/* tlsmsg/1: frames; replies are kept whole, in order, until they are received. */
extern const struct client_flow client_numbered_flow;

/* The numbers of messages, which outlive a connection. */
struct client_numbers {
    uint64_t from;    /* the lowest whose reply was not received; all below are settled */
    uint64_t next;    /* of the next message */
    uint64_t known;   /* the highest that was given to a message; 0: none */
    uint64_t reply;   /* of the reply received last; 0: none */
    int64_t heard_ns; /* when the server was heard last, by clock_since_boot_ns; 0: never */
};

struct client_numbered {
    struct frame_reader reader;
    struct tlsmsg_greeting greeting;
    bool greeted;
    unsigned code;    /* of the BYE that is being read; 0: none */
    uint64_t arrived; /* number of the next OK */

    bool sending; /* a message is on its way; its frame is head, its bytes, a line end */
    char head[FRAME_HEADER_MAX];
    size_t head_len;
    size_t len;                   /* of the message */
    size_t at;                    /* bytes of the frame that were put into pieces */
    short wants;                  /* poll bits of a piece that is blocked */
    char piece[TLS_RECORD_BYTES]; /* what goes out next, a record */
    size_t piece_len;
    size_t piece_at;

    struct buffer in; /* replies, each behind a struct reply_head; the last may be unfinished */
    size_t taken;     /* bytes at its begin that the caller borrows */
    size_t whole;     /* bytes behind them of replies that are whole */
    char chunk[TLS_RECORD_BYTES];
};

struct tlsmsg_client {
    struct tlsmsg_options *options; /* a copy, which the settings borrow from */
    struct client_settings settings;
    struct transport_config *config;
    struct address_name target;
    bool blocking;

    enum client_state state;
    short wants;         /* poll bits of a handshake or of closing */
    int64_t deadline_ns; /* of what goes on now */
    bool timed_out;      /* what failed was the server's silence */

    /* Connecting. */
    int64_t connect_ns; /* its deadline altogether */
    struct address addresses[RESOLVE_MAX];
    size_t address_count;
    size_t address_next;
    int connect_errno;                                 /* of the address tried last */
    char address[ADDRESS_HOST_MAX + ADDRESS_TEXT_MAX]; /* tried last; at first the host */
    char
        accepted_pin[TRANSPORT_PIN_MAX]; /* by the user, of a server that was not known; or empty */

    /* The connection. */
    int fd; /* -1 where there is none */
    struct socket_source source;
    struct transport *transport;
    bool opened;  /* the handshake was finished */
    bool broken;  /* closing: the transport is, what comes is read from the source */
    bool replied; /* any byte of a reply was ever received */
    enum client_end end;
    struct tlsmsg_error end_error; /* with CLIENT_END_ERROR */
    bool end_told;

    const struct client_flow *flow; /* NULL before the handshake is done */
    union {
        struct client_exchange exchange;
        struct client_numbered numbered;
    };
    struct client_numbers numbers;
    bool has_numbers;                      /* it is tlsmsg/1, and numbered is in use */
    unsigned bye;                          /* code of the server's BYE; 0: none */
    char producer[FRAME_PRODUCER_MAX + 2]; /* empty: none */

    struct tlsmsg_tls tls; /* what a caller was told last; so is certificate */
    struct tlsmsg_certificate certificate;
};

/* --- numbers.c -------------------------------------------------------------------------------- */

/* Begins with number 1 and finds the producer's name. TLSMSG_OK, TLSMSG_ERR_CONFIG or _SYSTEM. */
enum tlsmsg_code client_numbers_init(struct tlsmsg_client *client, struct tlsmsg_error *err);

/* Before a connection: a name that was made is changed before the server may have forgotten it.
 * TLSMSG_ERR_STATE: there are messages whose fate can't be known any more. */
enum tlsmsg_code client_numbers_renew(struct tlsmsg_client *client, struct tlsmsg_error *err);

/* Whether the producer's name is to be made: one for reconnects of this client alone. */
bool client_makes_name(const struct tlsmsg_client *client);

/* --- client.c --------------------------------------------------------------------------------- */

/* Blocking form: waits until the descriptor is ready or the deadline has passed, and returns true.
 * Non-blocking form: returns false at once. */
bool client_wait(const struct tlsmsg_client *client);

/* Where the deadline has passed: records TLSMSG_ERR_TIMEOUT "<address>: <what> within 10 s" and
 * fails. Else TLSMSG_CLIENT_AGAIN. */
enum tlsmsg_client_result client_again(struct tlsmsg_client *client, int64_t limit_ms,
                                       const char *what, struct tlsmsg_error *err);

/* "<what> within 10 s" for an error text. */
void client_print_limit(int64_t limit_ms, const char *what, char *buf, size_t cap);

/* Marks the client as failed and records cause, with the address in front where it lacks it. */
enum tlsmsg_client_result client_fail(struct tlsmsg_client *client,
                                      const struct tlsmsg_error *cause, struct tlsmsg_error *err);

/* Records that the call doesn't fit the state; the client stays as it is. */
enum tlsmsg_client_result client_misused(struct tlsmsg_error *err, const char *text);

/* Records how the receiving direction ended. */
void client_set_end(struct tlsmsg_client *client, enum transport_result result,
                    const struct tlsmsg_error *cause);

/* Reports how the receiving direction ended; end must not be CLIENT_END_NONE. */
enum tlsmsg_client_result client_tell_end(struct tlsmsg_client *client, struct tlsmsg_error *err);

/* One recv into out. Returns the bytes it gave; 0 where there are none, then end may be set. */
size_t client_recv(struct tlsmsg_client *client, char *out, size_t cap);

/* Hands len bytes or a part of them to the transport; *put receives how many. OK, AGAIN when it is
 * blocked (*wants receives the poll bits); else end is set, after a failed write to the server's
 * own last word. */
enum tlsmsg_client_result client_put(struct tlsmsg_client *client, const char *data, size_t len,
                                     size_t *put, short *wants);

/* After a failed write: reads what had arrived, so that end becomes the server's own word, or the
 * write's cause where it left none. */
void client_settle_failed_write(struct tlsmsg_client *client);

/* Closes the descriptor. */
void client_drop(struct tlsmsg_client *client);

#endif
