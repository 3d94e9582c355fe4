/* Messages on their way in tlsmsg/1: each is kept until its reply has come, and sent again when the
 * connection was lost before. */
#ifndef APP_CLIENT_DELIVERY_H
#define APP_CLIENT_DELIVERY_H

#include <poll.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <tlsmsg/client.h>

#include "app/client/spooling.h"
#include "app/startup.h"

struct delivery_message {
    char *data; /* owned by the delivery */
    size_t len;
    uint64_t seq;         /* from 1, of the messages of this run */
    uint64_t spooled;     /* its number in the spool; 0: there is none */
    uint64_t number;      /* of the line, or of the message that was given */
    uint64_t next_number; /* ... that comes after it and after what is passed over */
    int64_t line_at;      /* where its line begins in the input */
    int64_t next_at;
    int64_t sent_ns;  /* first; 0: not yet */
    unsigned prompts; /* lines were asked for behind it */
    bool is_silent;   /* its reply is not printed */
    bool is_exit;     /* ... nor is it counted: 'exit' */
};

struct delivery_style {
    const char *program;
    int64_t retry_ms;     /* how long to connect again since the last progress; 0: not at all */
    bool retries_first;   /* ... for the first time, too */
    const char *producer; /* whose messages the server must keep; NULL: none */
    struct spooling *spooling; /* where the messages are kept, borrowed; NULL: nowhere */
    /* Called once a server has greeted for the first time; with a spool alone. */
    void (*greeted)(void *user);
    /* Called when a message is sent for the first time. */
    void (*sent)(const struct delivery_message *message, void *user);
    /* Called with each reply, in order. False: it could not be printed. */
    bool (*answered)(const struct delivery_message *message, const char *reply, size_t len,
                     void *user);
    void *user;
};

struct delivery {
    struct delivery_style style;
    struct tlsmsg_client *client; /* borrowed */
    struct delivery_message *ring;
    size_t cap;
    size_t head;
    size_t count;
    size_t sent;      /* of these, on this connection */
    size_t ever_sent; /* of these, on any */
    size_t bytes;
    size_t window;
    uint64_t max;   /* bytes of the longest message */
    uint64_t first; /* number of the oldest one in tlsmsg/1 */
    uint64_t known; /* the highest that was given, or that the server had at first */
    bool connected;
    bool greeted;      /* a server was there in this run */
    bool wanted;       /* a connection is, also with nothing to send */
    bool is_patient;   /* it is tried as long as there is more input */
    bool is_last;      /* nothing will be added: a server that leaves when all is answered may */
    bool is_passing;   /* it has failed, and may be better at another time */
    unsigned attempts; /* in vain, since there was a connection */
    bool set_back_told;
    bool has_more;       /* the next step need not wait */
    int64_t progress_ns; /* the last reply, or when there was something to send again */
    int64_t lost_ns;     /* when the connection was lost */
    int64_t retry_at_ns;
    int64_t pause_ms;        /* before the next attempt */
    struct tlsmsg_error err; /* why it has failed */
};

/* client: connected, in tlsmsg/1 or not, or with a spool one that is new: delivery_step connects it
 * when there is something to send. In its non-blocking form from here on. */
void delivery_init(struct delivery *d, struct tlsmsg_client *client,
                   const struct delivery_style *style);
void delivery_fini(struct delivery *d);

/* Waits for the server's greeting. EXIT_DONE, or why there can be no conversation (in d->err). */
enum exit_code delivery_greet(struct delivery *d);

/* After delivery_greet: the last number that the server has of a named producer, whose message is the
 * first that is to be added again; 0: none. */
uint64_t delivery_known(const struct delivery *d);

/* Whether another message may be added now, and of what size. */
bool delivery_has_room(const struct delivery *d);

/* Says that the server takes no message of the spool that is as long as this one. */
void delivery_blame_length(const struct delivery *d, uint64_t number, size_t len,
                           struct tlsmsg_error *err);

/* Adds a message with a copy of data. NULL: out of memory. */
struct delivery_message *delivery_add(struct delivery *d, const struct delivery_message *message,
                                      const char *data, size_t len);

/* The message added last; NULL: none is on its way. */
struct delivery_message *delivery_tail(struct delivery *d);

/* The oldest message without a reply; NULL: none. */
const struct delivery_message *delivery_head(const struct delivery *d);

/* The one after it, where it was sent; NULL: none. */
const struct delivery_message *delivery_second(const struct delivery *d);

/* Sends, receives, connects again, as far as it can now. EXIT_DONE, or why it ends (in d->err). */
enum exit_code delivery_step(struct delivery *d);

/* What to wait for before the next step. Returns the milliseconds for poll(2). */
int delivery_poll(const struct delivery *d, struct pollfd *entry);

/* Connects for the first time, again and again for retry_ms. Returns as tlsmsg_client_connect. */
enum tlsmsg_client_result delivery_connect(const char *program, struct tlsmsg_client *client,
                                           int64_t retry_ms, struct tlsmsg_error *err);

#endif
