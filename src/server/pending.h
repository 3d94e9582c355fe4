/* Replies that wait for an earlier one: the order of messages is the order of replies.
 *
 * Empty as long as every message is answered at once. From the first deferred
 * message on, later replies queue up behind it. Owned by one conversation. */
#ifndef SERVER_PENDING_H
#define SERVER_PENDING_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct pending_reply {
    struct pending_reply *next;
    uint64_t message; /* number of the message in its conversation */
    char *data;       /* owned; NULL until it is there or when empty */
    size_t len;
    bool ready;
};

struct pending {
    struct pending_reply *head;
    struct pending_reply *tail;
    size_t count;
    size_t bytes; /* of replies that are there */
};

/* Appends a place for a message's reply. False when out of memory. */
bool pending_add(struct pending *pending, uint64_t message);

/* Fills the place of a message; takes data (malloc'd, may be NULL). False, and data is freed,
 * when there is no such place or it is filled already. */
bool pending_fill(struct pending *pending, uint64_t message, char *data, size_t len);

/* The first reply when it is ready, else NULL. */
struct pending_reply *pending_front(const struct pending *pending);

/* Drops the first place. */
void pending_drop(struct pending *pending);

/* Drops all places; more may be added again. */
void pending_fini(struct pending *pending);

#endif
