/* What other threads leave for a worker: answers to deferred messages, and the end of a hold.
 *
 * The only lock that a worker shares with the program's threads; taken once a
 * turn, and only after a wake-up. */
#ifndef SERVER_MAILBOX_H
#define SERVER_MAILBOX_H

#include <pthread.h>
#include <stdbool.h>
#include <stddef.h>

#include <tlsmsg/server.h>

struct letter {
    struct letter *next;
    struct tlsmsg_token token;
    size_t len;
    char *data; /* owned */
};

struct mailbox {
    pthread_mutex_t lock;
    struct letter *head;
    struct letter *tail;
    bool release; /* tlsmsg_server_release was called */
    bool fail;    /* ... with fail */
};

void mailbox_init(struct mailbox *mailbox);
void mailbox_fini(struct mailbox *mailbox);

/* Leaves an answer; data is copied. TLSMSG_OK or TLSMSG_ERR_NOMEM. */
enum tlsmsg_code mailbox_post(struct mailbox *mailbox, const struct tlsmsg_token *token,
                              const void *data, size_t len);
void mailbox_post_release(struct mailbox *mailbox, bool fail);

/* Takes all letters (the caller frees them with letter_free) and what was said about a hold. */
struct letter *mailbox_take(struct mailbox *mailbox, bool *release, bool *fail);
void letter_free(struct letter *letter);

#endif
