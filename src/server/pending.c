/* The list behind pending.h. Short by construction (CONVERSATION_PENDING_MAX), so searched. */
#include "server/pending.h"

#include <stdlib.h>

bool pending_add(struct pending *pending, uint64_t message)
{
    struct pending_reply *reply = calloc(1, sizeof(*reply));

    if (reply == NULL) {
        return false;
    }
    reply->message = message;
    if (pending->tail != NULL) {
        pending->tail->next = reply;
    } else {
        pending->head = reply;
    }
    pending->tail = reply;
    pending->count++;
    return true;
}

bool pending_fill(struct pending *pending, uint64_t message, char *data, size_t len)
{
    for (struct pending_reply *reply = pending->head; reply != NULL; reply = reply->next) {
        if (reply->message == message && !reply->ready) {
            reply->data = data;
            reply->len = len;
            reply->ready = true;
            pending->bytes += len;
            return true;
        }
    }
    free(data);
    return false;
}

struct pending_reply *pending_front(const struct pending *pending)
{
    return pending->head != NULL && pending->head->ready ? pending->head : NULL;
}

void pending_drop(struct pending *pending)
{
    struct pending_reply *reply = pending->head;

    if (reply == NULL) {
        return;
    }
    pending->head = reply->next;
    if (pending->head == NULL) {
        pending->tail = NULL;
    }
    pending->count--;
    pending->bytes -= reply->len;
    free(reply->data);
    free(reply);
}

void pending_fini(struct pending *pending)
{
    while (pending->head != NULL) {
        pending_drop(pending);
    }
}
