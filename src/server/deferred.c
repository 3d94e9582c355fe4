/* The reply queue is short by construction (DEFERRED_MAX), so it is searched. */
#include "server/deferred.h"

#include <stdlib.h>
#include <string.h>

static struct queued_reply *queued(struct list *link)
{
    return LIST_ITEM(link, struct queued_reply, link);
}

void reply_queue_init(struct reply_queue *queue)
{
    *queue = (struct reply_queue){.count = 0};
    list_init(&queue->replies);
}

void reply_queue_fini(struct reply_queue *queue)
{
    while (queue->count > 0) {
        reply_queue_drop_first(queue);
    }
}

bool reply_queue_add(struct reply_queue *queue, uint64_t message)
{
    struct queued_reply *reply = calloc(1, sizeof(*reply));

    if (reply == NULL) {
        return false;
    }
    reply->message = message;
    list_append(&queue->replies, &reply->link);
    queue->count++;
    return true;
}

bool reply_queue_fill(struct reply_queue *queue, uint64_t message, char *data, size_t len)
{
    LIST_EACH(at, &queue->replies) {
        struct queued_reply *reply = queued(at);

        if (reply->message == message && !reply->ready) {
            reply->data = data;
            reply->len = len;
            reply->ready = true;
            queue->bytes += len;
            return true;
        }
    }
    free(data);
    return false;
}

struct queued_reply *reply_queue_first(const struct reply_queue *queue)
{
    struct queued_reply *first;

    if (queue->count == 0) {
        return NULL;
    }
    first = queued(queue->replies.next);
    return first->ready ? first : NULL;
}

void reply_queue_drop_first(struct reply_queue *queue)
{
    struct list *link = list_take_first(&queue->replies);

    if (link != NULL) {
        struct queued_reply *reply = queued(link);

        queue->count--;
        queue->bytes -= reply->len;
        free(reply->data);
        free(reply);
    }
}

void mailbox_init(struct mailbox *mailbox)
{
    *mailbox = (struct mailbox){.release = false};
    (void)pthread_mutex_init(&mailbox->lock, NULL);
    list_init(&mailbox->posted);
}

void mailbox_fini(struct mailbox *mailbox)
{
    struct list *link;

    while ((link = list_take_first(&mailbox->posted)) != NULL) {
        posted_free(LIST_ITEM(link, struct posted, link));
    }
    (void)pthread_mutex_destroy(&mailbox->lock);
}

void posted_free(struct posted *posted)
{
    if (posted != NULL) {
        free(posted->data);
        free(posted);
    }
}

enum tlsmsg_code mailbox_post(struct mailbox *mailbox, const struct posted *what)
{
    struct posted *posted = malloc(sizeof(*posted));

    if (posted == NULL) {
        return TLSMSG_ERR_NOMEM;
    }
    *posted = *what;
    posted->data = NULL;
    if (what->len > 0) {
        posted->data = malloc(what->len);
        if (posted->data == NULL) {
            posted_free(posted);
            return TLSMSG_ERR_NOMEM;
        }
        memcpy(posted->data, what->data, what->len);
    }
    list_init(&posted->link);
    (void)pthread_mutex_lock(&mailbox->lock);
    list_append(&mailbox->posted, &posted->link);
    (void)pthread_mutex_unlock(&mailbox->lock);
    return TLSMSG_OK;
}

void mailbox_post_release(struct mailbox *mailbox, bool fail)
{
    (void)pthread_mutex_lock(&mailbox->lock);
    mailbox->release = true;
    mailbox->fail = mailbox->fail || fail;
    (void)pthread_mutex_unlock(&mailbox->lock);
}

void mailbox_take(struct mailbox *mailbox, struct list *out, bool *release, bool *fail)
{
    (void)pthread_mutex_lock(&mailbox->lock);
    list_move_all(&mailbox->posted, out);
    *release = mailbox->release;
    *fail = mailbox->fail;
    mailbox->release = false;
    mailbox->fail = false;
    (void)pthread_mutex_unlock(&mailbox->lock);
}
