/* The order of messages is the order of replies. Replies leave from a bounded queue of bytes, as
 * far as the iteration's end has released it; while the queue is over its mark, nothing is read. */
#include "server/messages.h"

#include <stdlib.h>
#include <string.h>

#include "server/deferred.h"
#include "server/flow.h"

/* Records of a conversation between two looks at the clock. */
#define LOOK_RECORDS 8

enum answer {
    ANSWER_NONE,
    ANSWER_GIVEN,
    ANSWER_DEFERRED,
    ANSWER_FAILED, /* there was no memory for it */
};

/* A message on its way through the handler. */
struct tlsmsg_message {
    struct conversation *conversation;
    const struct incoming *in;
    uint64_t index; /* in its conversation, from 1 */
    enum answer answer;
    bool described;
    struct peer_view who;
};

static const struct verdict go_on = {.next = GO_ON};

/* Copies a part, and returns where the next one goes. */
static char *put(char *at, const struct iovec *part)
{
    if (part->iov_len > 0) {
        memcpy(at, part->iov_base, part->iov_len);
    }
    return at + part->iov_len;
}

/* Counts a reply of total bytes that stands at the queue's end. */
static inline void queued(struct conversation *c, size_t total)
{
    buffer_commit(&c->out, total);
    c->unsent++;
    c->worker->taken_bytes += total / ITERATION_GROWTH;
    count(&c->worker->stats.queued_bytes, total);
    worker_answered(c->worker, c);
}

/* With a line before the reply and a line's end behind it. */
static enum tlsmsg_code append_framed(struct conversation *c, uint64_t message,
                                      const struct iovec *parts, int n, size_t total)
{
    enum tlsmsg_code code = buffer_reserve(&c->out, total + FLOW_HEAD_MAX + 1);
    size_t head_len;
    char *at;

    if (code != TLSMSG_OK) {
        return code;
    }
    at = buffer_place(&c->out);
    head_len = c->flow->reply_head(c, message, total, at);
    at += head_len;
    for (int i = 0; i < n; i++) {
        at = put(at, &parts[i]);
    }
    *at = '\n';
    queued(c, head_len + total + 1);
    return TLSMSG_OK;
}

/* Appends the reply to a message to the queue of bytes, with what its flow puts around it. Each
 * message comes by here, through queue_reply() and give(): as calls they take 70 instructions more,
 * a fifth of what is the server's own. */
static inline enum tlsmsg_code append(struct conversation *c, uint64_t message,
                                      const struct iovec *parts, int n)
{
    size_t total = 0;
    enum tlsmsg_code code;
    char *at;

    for (int i = 0; i < n; i++) {
        total += parts[i].iov_len;
    }
    if ((total == 0 && c->flow->reply_head == NULL) || c->write_broken || c->said_farewell) {
        return TLSMSG_OK;
    }
    if (c->flow->reply_head != NULL) {
        return append_framed(c, message, parts, n, total);
    }
    code = buffer_reserve(&c->out, total);
    if (code != TLSMSG_OK) {
        return code;
    }
    at = buffer_place(&c->out);
    for (int i = 0; i < n; i++) {
        at = put(at, &parts[i]);
    }
    queued(c, total);
    return TLSMSG_OK;
}

enum tlsmsg_code messages_say(struct conversation *c, const char *data, size_t len)
{
    bool waits = c->released < c->out.len;
    enum tlsmsg_code code;

    if (c->write_broken) {
        return TLSMSG_OK;
    }
    code = buffer_append(&c->out, data, len);
    if (code != TLSMSG_OK) {
        return code;
    }
    count(&c->worker->stats.queued_bytes, len);
    worker_answered(c->worker, c);
    if (!waits) {
        if (c->released == 0) {
            c->progress_ns = c->worker->now_ns;
        }
        c->released = c->out.len;
    }
    return TLSMSG_OK;
}

void messages_drop_undecided(struct conversation *c, size_t kept)
{
    uncount(&c->worker->stats.queued_bytes, c->out.len - kept);
    buffer_truncate(&c->out, kept);
    c->unsent = kept > 0 ? c->unsent : 0;
    reply_queue_fini(&c->deferred);
}

/* Joins parts into memory of their own; NULL with *len 0 for nothing. */
static char *join(const struct iovec *parts, int n, size_t *len, bool *ok)
{
    char *data;
    size_t at = 0;

    *len = 0;
    *ok = true;
    for (int i = 0; i < n; i++) {
        *len += parts[i].iov_len;
    }
    if (*len == 0) {
        return NULL;
    }
    data = malloc(*len);
    *ok = data != NULL;
    for (int i = 0; i < n && data != NULL; i++) {
        memcpy(data + at, parts[i].iov_base, parts[i].iov_len);
        at += parts[i].iov_len;
    }
    return data;
}

/* Keeps the reply to a message while an earlier one is due. Cold, as is what tells of errors: the
 * processor's first cache of instructions is full of OpenSSL's, and each line counts. */
static __attribute__((cold)) enum tlsmsg_code keep_reply(struct conversation *c, uint64_t message,
                                                         const struct iovec *parts, int n)
{
    char *data;
    size_t len;
    bool ok;

    if (!reply_queue_add(&c->deferred, message)) {
        return TLSMSG_ERR_NOMEM;
    }
    data = join(parts, n, &len, &ok);
    c->worker->taken_bytes += len / ITERATION_GROWTH;
    (void)reply_queue_fill(&c->deferred, message, data, len);
    return ok ? TLSMSG_OK : TLSMSG_ERR_NOMEM;
}

static inline enum tlsmsg_code queue_reply(struct conversation *c, uint64_t message,
                                           const struct iovec *parts, int n)
{
    return c->deferred.count == 0 ? append(c, message, parts, n) : keep_reply(c, message, parts, n);
}

/* Without memory for a reply the conversation can't keep its promise: it ends. */
static __attribute__((cold)) struct verdict no_room(struct conversation *c)
{
    worker_event(c->worker, TLSMSG_LOG_WARNING, TLSMSG_CAUSE_MEMORY, c,
                 "no room for a reply; the conversation is closed");
    return (struct verdict){ABORT, TLSMSG_CLOSE_FAILED};
}

/* Moves replies that are there and next in order into the queue of bytes, while it is below its
 * mark: what stays follows when the peer has taken some. */
static struct verdict queue_ready_replies(struct conversation *c)
{
    struct queued_reply *reply;

    while (c->out.len < QUEUE_MARK_BYTES && (reply = reply_queue_first(&c->deferred)) != NULL) {
        struct iovec part = {.iov_base = reply->data, .iov_len = reply->len};

        if (append(c, reply->message, &part, 1) != TLSMSG_OK) {
            return no_room(c);
        }
        reply_queue_drop_first(&c->deferred);
        /* Also when the reply was empty: what waited for it goes on at the iteration's end. */
        worker_answered(c->worker, c);
    }
    return go_on;
}

struct verdict messages_answer(struct conversation *c, uint64_t message, char *data, size_t len)
{
    return reply_queue_fill(&c->deferred, message, data, len) ? queue_ready_replies(c) : go_on;
}

const char *tlsmsg_message_data(const struct tlsmsg_message *message, size_t *len)
{
    *len = message->in->len;
    return message->in->data;
}

uint64_t tlsmsg_message_number(const struct tlsmsg_message *message)
{
    return message->in->number;
}

const char *tlsmsg_message_producer(const struct tlsmsg_message *message)
{
    return message->in->producer;
}

const unsigned char *tlsmsg_message_hash(const struct tlsmsg_message *message)
{
    return message->in->hash;
}

bool tlsmsg_message_is_duplicate(const struct tlsmsg_message *message)
{
    return message->in->duplicate;
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

/* Without memory the conversation ends, but not now: the handler is still in message(), and
 * nothing else of it may be called. */
static inline enum tlsmsg_code give(struct tlsmsg_message *message, const struct iovec *parts,
                                    int n)
{
    enum tlsmsg_code code = queue_reply(message->conversation, message->index, parts, n);

    message->answer = code == TLSMSG_OK ? ANSWER_GIVEN : ANSWER_FAILED;
    return code;
}

/* Longest reply: what the queue holds beside its mark. */
static size_t reply_max(const struct conversation *c)
{
    return c->flow->reply_head == NULL
               ? REPLY_MAX_BYTES
               : c->worker->server->settings.max_message_bytes + NUMBERED_REPLY_EXTRA;
}

enum tlsmsg_code tlsmsg_message_reply(struct tlsmsg_message *message, const struct iovec *parts,
                                      int n)
{
    size_t most = reply_max(message->conversation);
    size_t total = 0;

    if (message->answer != ANSWER_NONE) {
        return TLSMSG_ERR_STATE;
    }
    for (int i = 0; i < n; i++) {
        if (parts[i].iov_len > most - total) {
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
    if (!reply_queue_add(&c->deferred, message->index)) {
        return TLSMSG_ERR_NOMEM;
    }
    message->answer = ANSWER_DEFERRED;
    tlsmsg_message_token(message, token);
    return TLSMSG_OK;
}

void tlsmsg_message_token(const struct tlsmsg_message *message, struct tlsmsg_token *token)
{
    const struct conversation *c = message->conversation;

    *token = (struct tlsmsg_token){
        .connection = c->id,
        .message = message->index,
        .worker = c->worker->index,
        .slot = c->slot,
    };
}

#define DEFAULT_PARTS 3

static inline void make_default(const struct conversation *c, const struct incoming *in,
                                struct iovec parts[DEFAULT_PARTS])
{
    const struct server_settings *settings = &c->worker->server->settings;

    parts[0] = (struct iovec){.iov_base = (void *)(uintptr_t)settings->reply_prefix,
                              .iov_len = settings->reply_prefix_len};
    parts[1] = (struct iovec){.iov_base = (void *)(uintptr_t)in->data, .iov_len = in->len};
    parts[2] = (struct iovec){.iov_base = (void *)(uintptr_t)settings->reply_suffix,
                              .iov_len = settings->reply_suffix_len};
}

static __attribute__((cold, noinline)) enum tlsmsg_code
keep_default(struct conversation *c, uint64_t message, const struct incoming *in)
{
    struct iovec parts[DEFAULT_PARTS];

    make_default(c, in, parts);
    return keep_reply(c, message, parts, DEFAULT_PARTS);
}

/* As queue_reply(), but the parts never leave the registers where no reply is due. */
static inline enum tlsmsg_code queue_default(struct conversation *c, uint64_t message,
                                             const struct incoming *in)
{
    struct iovec parts[DEFAULT_PARTS];

    if (c->deferred.count > 0) {
        return keep_default(c, message, in);
    }
    make_default(c, in, parts);
    return append(c, message, parts, DEFAULT_PARTS);
}

/* Shows the message to the handler; without an answer it is left to the default reply. No part of
 * its caller, whose stack and instructions then serve the servers without a handler, too. */
static __attribute__((noinline)) enum answer hand_over(struct conversation *c, uint64_t index,
                                                       const struct incoming *in)
{
    const struct tlsmsg_handler *handler = &c->worker->server->handler;
    struct tlsmsg_message message;

    /* Only what is read before it is described: the view's buffers stay as they are. */
    message.conversation = c;
    message.in = in;
    message.index = index;
    message.answer = ANSWER_NONE;
    message.described = false;
    handler->message(&message, handler->user);
    worker_handler_ran(c->worker);
    return message.answer;
}

struct verdict messages_dispatch(struct conversation *c, const struct incoming *in)
{
    struct worker *w = c->worker;
    enum answer answer = ANSWER_NONE;

    c->messages++;
    c->activity_ns = w->now_ns;
    count(&w->stats.messages, 1);
    w->taken_bytes += ITERATION_MESSAGE_BYTES;
    if (w->answered++ == 0) {
        w->answered_ns = w->now_ns;
    }
    if (w->server->handler.message != NULL) {
        answer = hand_over(c, c->messages, in);
    }
    if (answer == ANSWER_NONE && queue_default(c, c->messages, in) != TLSMSG_OK) {
        answer = ANSWER_FAILED;
    }
    return answer == ANSWER_FAILED ? no_room(c) : go_on;
}

bool messages_may_read(const struct conversation *c)
{
    if (c->worker->over && (c->worker->full || c->held_bytes > 0)) {
        return false;
    }
    if (c->flow->may_read != NULL) {
        return c->flow->may_read(c);
    }
    return !c->worker->held && c->out.len < QUEUE_MARK_BYTES && c->deferred.count < DEFERRED_MAX &&
           c->deferred.bytes < DEFERRED_MAX_BYTES;
}

static __attribute__((cold)) struct verdict read_failed(struct conversation *c,
                                                        const struct tlsmsg_error *err)
{
    struct worker *w = c->worker;

    switch (err->code) {
    case TLSMSG_ERR_TRUNCATED:
        /* The peer may have shut only its writing side: its replies still leave. */
        c->eof = true;
        worker_event(w, TLSMSG_LOG_INFO, TLSMSG_CAUSE_TRUNCATED, c, "%s", err->text);
        return (struct verdict){FINISH, TLSMSG_CLOSE_TRUNCATED};
    case TLSMSG_ERR_RESET:
        worker_event(w, TLSMSG_LOG_INFO, TLSMSG_CAUSE_RESET, c, "%s", err->text);
        return (struct verdict){ABORT, TLSMSG_CLOSE_RESET};
    case TLSMSG_ERR_LIMIT:
        /* What it said before is answered all the same. */
        worker_event(w, TLSMSG_LOG_WARNING, TLSMSG_CAUSE_LIMIT, c, "%s", err->text);
        return (struct verdict){FINISH, TLSMSG_CLOSE_FAILED};
    case TLSMSG_ERR_IS_TLS:
        c->heard = true;
        worker_event(w, TLSMSG_LOG_WARNING, TLSMSG_CAUSE_TLS_PEER, c, "%s", err->text);
        return (struct verdict){FINISH, TLSMSG_CLOSE_INVALID_UTF8};
    default:
        /* The transport is broken: nothing can be sent, but its alert must not be overtaken. */
        worker_event(w, TLSMSG_LOG_WARNING,
                     err->code == TLSMSG_ERR_NOMEM ? TLSMSG_CAUSE_MEMORY : TLSMSG_CAUSE_OTHER, c,
                     "%s", err->text);
        messages_drop(c);
        return (struct verdict){FINISH, TLSMSG_CLOSE_FAILED};
    }
}

/* What a conversation has had of an iteration. */
struct share {
    unsigned records;
    unsigned look;    /* at so many the clock is looked at */
    int64_t until_ns; /* from the first look on */
};

/* Most peers never come to a look at the clock, which costs a part of what a message does. */
static bool is_used_up(struct share *share)
{
    int64_t now_ns;

    if (share->records < share->look) {
        return false;
    }
    if (share->records >= ITERATION_RECORDS) {
        return true;
    }
    now_ns = clock_now_ns();
    share->look = share->records + LOOK_RECORDS;
    if (share->until_ns == 0) {
        share->until_ns = now_ns + SHARE_NS;
    }
    return share->until_ns <= now_ns;
}

/* Nothing more for now. */
static struct verdict stop_reading(struct conversation *c, enum transport_result result)
{
    bool wants_out = result == TRANSPORT_WANT_WRITE;

    if (wants_out && !c->read_wants_out && c->released == 0) {
        c->progress_ns = c->worker->now_ns;
    }
    c->read_wants_out = wants_out;
    c->unread = false;
    return go_on;
}

struct verdict messages_read(struct conversation *c)
{
    struct worker *w = c->worker;
    struct verdict verdict = go_on;
    struct share share = {.look = LOOK_RECORDS};

    c->unread = true;
    /* What a flow has kept back comes before what is still to be read. */
    if (c->flow->kept_bytes != NULL && c->flow->kept_bytes(c) > 0 && messages_may_read(c)) {
        verdict = c->flow->woken(c);
    }
    while (verdict.next == GO_ON && messages_may_read(c)) {
        struct tlsmsg_error err;
        size_t got = 0;
        enum transport_result result;

        if (is_used_up(&share) || worker_is_spent(w)) {
            worker_requeue(w, c);
            return go_on;
        }
        err.code = TLSMSG_OK;
        result = transport_recv(c->transport, w->buffer + UTF8_TAIL_MAX,
                                w->server->settings.recv_size_bytes, &got, &err);
        if (result == TRANSPORT_WANT_READ || result == TRANSPORT_WANT_WRITE) {
            return stop_reading(c, result);
        }
        c->read_wants_out = false;
        if (result != TRANSPORT_OK) {
            return result == TRANSPORT_CLOSED ? c->flow->ended(c) : read_failed(c, &err);
        }
        c->heard = true;
        count(&w->stats.bytes_in, got);
        share.records += 1 + transport_idle_records(c->transport) * IDLE_RECORD_WEIGHT;
        verdict = c->flow->received(c, w->buffer + UTF8_TAIL_MAX, got);
        w->taken_bytes += got;
    }
    return verdict;
}

void messages_drop(struct conversation *c)
{
    c->write_broken = true;
    uncount(&c->worker->stats.queued_bytes, c->out.len);
    buffer_consume(&c->out, c->out.len);
    c->released = 0;
    c->unsent = 0;
}

/* The peer takes nothing any more. What it sent before is still read, so that no message that
 * reached this machine is missing from the transcript. */
static struct verdict write_failed(struct conversation *c, const struct tlsmsg_error *err)
{
    struct worker *w = c->worker;

    messages_drop(c);
    if (err->code == TLSMSG_ERR_RESET) {
        if (c->state == CONVERSATION_OPEN) {
            worker_requeue(w, c);
        }
        return go_on;
    }
    worker_event(w, TLSMSG_LOG_WARNING, TLSMSG_CAUSE_OTHER, c, "%s", err->text);
    return (struct verdict){ABORT, TLSMSG_CLOSE_FAILED};
}

struct verdict messages_send(struct conversation *c)
{
    struct worker *w = c->worker;

    while (c->released > 0) {
        struct tlsmsg_error err;
        size_t sent = 0;
        enum transport_result result;

        err.code = TLSMSG_OK;
        result = transport_send(c->transport, buffer_head(&c->out), c->released, &sent, &err);
        c->write_wants_in = result == TRANSPORT_WANT_READ;
        if (result == TRANSPORT_ERROR || result == TRANSPORT_CLOSED) {
            return write_failed(c, &err);
        }
        if (result != TRANSPORT_OK) {
            return go_on;
        }
        buffer_consume(&c->out, sent);
        c->released -= sent;
        c->progress_ns = w->now_ns;
        count(&w->stats.bytes_out, sent);
        uncount(&w->stats.queued_bytes, sent);
    }
    if (c->out.len == 0 && c->unsent > 0) {
        count(&w->stats.replies, c->unsent);
        c->unsent = 0;
        c->activity_ns = w->now_ns;
    }
    return reply_queue_first(&c->deferred) != NULL ? queue_ready_replies(c) : go_on;
}
