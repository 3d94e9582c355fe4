/* A message on its way through the handler: the public view of it, and its one reply. */
#include <string.h>

#include "server/exchange.h"
#include "server/server_state.h"
#include "server/worker.h"

enum answer { ANSWER_NONE, ANSWER_GIVEN, ANSWER_DEFERRED };

struct tlsmsg_message {
    struct conversation *conversation;
    const char *data;
    size_t len;
    uint64_t number;
    enum answer answer;
    struct peer_view who;
    bool described;
};

const char *tlsmsg_message_data(const struct tlsmsg_message *message, size_t *len)
{
    *len = message->len;
    return message->data;
}

uint64_t tlsmsg_message_connection(const struct tlsmsg_message *message)
{
    return message->conversation->id;
}

unsigned tlsmsg_message_worker(const struct tlsmsg_message *message)
{
    return message->conversation->worker->index;
}

const struct tlsmsg_peer *tlsmsg_message_peer(const struct tlsmsg_message *message)
{
    /* The texts' buffers are in the message, which only its functions know to be writable. */
    struct tlsmsg_message *m = (struct tlsmsg_message *)(uintptr_t)message;

    if (!m->described) {
        conversation_describe(m->conversation, &m->who);
        m->described = true;
    }
    return &m->who.peer;
}

/* Without memory for a reply the conversation can't keep its promise: it ends. */
static enum tlsmsg_code give(struct tlsmsg_message *message, const struct iovec *parts, int n)
{
    struct conversation *c = message->conversation;
    enum tlsmsg_code code;

    message->answer = ANSWER_GIVEN;
    code = exchange_reply(c, message->number, parts, n);
    if (code != TLSMSG_OK) {
        worker_event(c->worker, TLSMSG_LOG_WARNING, TLSMSG_CAUSE_MEMORY, c,
                     "no room for a reply; the conversation is closed");
        conversation_abort(c, TLSMSG_CLOSE_FAILED);
    }
    return code;
}

enum tlsmsg_code tlsmsg_message_reply(struct tlsmsg_message *message, const struct iovec *parts,
                                      int n)
{
    size_t total = 0;

    if (message->answer != ANSWER_NONE) {
        return TLSMSG_ERR_STATE;
    }
    for (int i = 0; i < n; i++) {
        if (parts[i].iov_len > CONVERSATION_REPLY_MAX - total) {
            return TLSMSG_ERR_LIMIT;
        }
        total += parts[i].iov_len;
    }
    return give(message, parts, n);
}

enum tlsmsg_code tlsmsg_message_defer(struct tlsmsg_message *message, struct tlsmsg_token *token)
{
    struct conversation *c = message->conversation;

    if (message->answer != ANSWER_NONE) {
        return TLSMSG_ERR_STATE;
    }
    if (!pending_add(&c->pending, message->number)) {
        return TLSMSG_ERR_NOMEM;
    }
    message->answer = ANSWER_DEFERRED;
    *token = (struct tlsmsg_token){
        .connection = c->id,
        .message = message->number,
        .worker = c->worker->index,
        .slot = c->slot,
    };
    return TLSMSG_OK;
}

void message_dispatch(struct conversation *c, const char *data, size_t len)
{
    struct worker *w = c->worker;
    const struct server *server = w->server;
    struct tlsmsg_message message;

    /* Only what is read before it is described: the view's buffers stay as they are. */
    message.conversation = c;
    message.data = data;
    message.len = len;
    message.number = ++c->messages;
    message.answer = ANSWER_NONE;
    message.described = false;
    c->activity_ns = w->now_ns;
    count(&w->stats.messages, 1);
    if (w->turn_messages++ == 0) {
        w->turn_began_ns = w->now_ns;
    }
    if (server->handler.message != NULL) {
        server->handler.message(&message, server->handler.user);
        w->dirty = true;
    }
    if (message.answer == ANSWER_NONE && c->state == CONVERSATION_OPEN) {
        const struct iovec parts[] = {
            {.iov_base = (void *)(uintptr_t)server->settings.reply_prefix,
             .iov_len = server->settings.reply_prefix_len},
            {.iov_base = (void *)(uintptr_t)data, .iov_len = len},
            {.iov_base = (void *)(uintptr_t)server->settings.reply_suffix,
             .iov_len = server->settings.reply_suffix_len},
        };

        (void)give(&message, parts, 3);
    }
}
