/* Replies that come later: their place among the others, and their way from another thread. */
#ifndef SERVER_DEFERRED_H
#define SERVER_DEFERRED_H

#include "server/internal.h"

/* The reply queue, which one conversation owns. */

struct queued_reply {
    struct list link;
    uint64_t message; /* its number in the conversation */
    char *data;       /* owned; NULL until it is there, or when empty */
    size_t len;
    bool ready;
};

void reply_queue_init(struct reply_queue *queue);

/* Drops all places; more may be added again. */
void reply_queue_fini(struct reply_queue *queue);

/* Appends a place for a message's reply. False when out of memory. */
bool reply_queue_add(struct reply_queue *queue, uint64_t message);

/* Fills the place of a message; takes data (malloc'd, may be NULL). False, and data is freed,
 * when there is no such place or it is filled already. */
bool reply_queue_fill(struct reply_queue *queue, uint64_t message, char *data, size_t len);

/* The first reply when it is ready, else NULL. */
struct queued_reply *reply_queue_first(const struct reply_queue *queue);

/* Drops the first place. */
void reply_queue_drop_first(struct reply_queue *queue);

/* The mailbox, which a worker owns and any thread posts to. */

enum posted_kind {
    POSTED_REPLY,     /* to a deferred message */
    POSTED_REFUSAL,   /* of a message or a greeting: the conversation ends without its reply */
    POSTED_HELLO,     /* the answer to a greeting */
    POSTED_TAKEN_OVER /* a later connection has claimed the conversation's producer */
};

struct posted {
    struct list link;
    enum posted_kind kind;
    struct tlsmsg_token token;
    size_t len;
    char *data;    /* owned; of a reply */
    unsigned code; /* of a refusal */
    uint64_t last; /* of a greeting's answer, and so is promise */
    enum tlsmsg_promise promise;
};

void mailbox_init(struct mailbox *mailbox);
void mailbox_fini(struct mailbox *mailbox);

/* Posts something for the conversation that its token names; it is copied, its data too.
 * TLSMSG_OK or TLSMSG_ERR_NOMEM. */
enum tlsmsg_code mailbox_post(struct mailbox *mailbox, const struct posted *what);
void mailbox_post_release(struct mailbox *mailbox, bool fail);

/* Moves all that was posted to the end of `out` (each is freed with posted_free), and tells
 * what was said about a hold. */
void mailbox_take(struct mailbox *mailbox, struct list *out, bool *release, bool *fail);
void posted_free(struct posted *posted);

#endif
