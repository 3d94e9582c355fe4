/* From replies to the transport: order, the bounded queue, partial writes. */
#include <stdlib.h>
#include <string.h>

#include "server/exchange.h"
#include "server/server_state.h"
#include "server/worker.h"

/* Appends parts to the queue of bytes, as one piece. */
static enum tlsmsg_code append(struct conversation *c, const struct iovec *parts, int n)
{
    enum tlsmsg_code code = TLSMSG_OK;
    size_t total = 0;
    char *to;

    for (int i = 0; i < n; i++) {
        total += parts[i].iov_len;
    }
    if (total == 0 || c->write_broken) {
        return TLSMSG_OK;
    }
    to = queue_reserve(&c->out, total, &code);
    if (to == NULL) {
        return code;
    }
    for (int i = 0; i < n; i++) {
        memcpy(to, parts[i].iov_base, parts[i].iov_len);
        to += parts[i].iov_len;
    }
    queue_commit(&c->out, total);
    c->unsent++;
    count(&c->worker->stats.queued_bytes, total);
    worker_turn(c->worker, c);
    return TLSMSG_OK;
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

enum tlsmsg_code exchange_reply(struct conversation *c, uint64_t message, const struct iovec *parts,
                                int n)
{
    char *data;
    size_t len;
    bool ok;

    if (c->pending.count == 0) {
        return append(c, parts, n);
    }
    if (!pending_add(&c->pending, message)) {
        return TLSMSG_ERR_NOMEM;
    }
    data = join(parts, n, &len, &ok);
    (void)pending_fill(&c->pending, message, data, len);
    return ok ? TLSMSG_OK : TLSMSG_ERR_NOMEM;
}

/* Moves replies that are there and next in order into the queue, while it is below its mark: what
 * stays follows when the peer has taken some (exchange_send). */
static void queue_pending(struct conversation *c)
{
    struct pending_reply *reply;

    while (c->out.len < CONVERSATION_QUEUE_MARK && (reply = pending_front(&c->pending)) != NULL) {
        struct iovec part = {.iov_base = reply->data, .iov_len = reply->len};

        if (append(c, &part, 1) != TLSMSG_OK) {
            worker_event(c->worker, TLSMSG_LOG_WARNING, TLSMSG_CAUSE_MEMORY, c,
                         "no room for a reply; the conversation is closed");
            conversation_abort(c, TLSMSG_CLOSE_FAILED);
            return;
        }
        pending_drop(&c->pending);
        /* Also when the reply was empty: what waited for it goes on at the turn's end. */
        worker_turn(c->worker, c);
    }
}

void conversation_answer(struct conversation *c, uint64_t message, char *data, size_t len)
{
    if (pending_fill(&c->pending, message, data, len)) {
        queue_pending(c);
    }
}

void exchange_drop(struct conversation *c)
{
    c->write_broken = true;
    uncount(&c->worker->stats.queued_bytes, c->out.len);
    queue_consume(&c->out, c->out.len);
    c->released = 0;
    c->unsent = 0;
}

/* The peer takes nothing any more. What it sent before is still read, so that no message that
 * reached this machine is missing from the transcript. */
static void write_failed(struct conversation *c, const struct tlsmsg_error *err)
{
    struct worker *w = c->worker;

    exchange_drop(c);
    if (err->code == TLSMSG_ERR_RESET) {
        if (c->state == CONVERSATION_OPEN) {
            worker_again(w, c);
        }
        return;
    }
    worker_event(w, TLSMSG_LOG_WARNING, TLSMSG_CAUSE_OTHER, c, "%s", err->text);
    conversation_abort(c, TLSMSG_CLOSE_FAILED);
}

void exchange_send(struct conversation *c)
{
    struct worker *w = c->worker;

    while (c->released > 0) {
        struct tlsmsg_error err;
        size_t sent = 0;
        enum transport_result result;

        err.code = TLSMSG_OK;
        result = transport_send(c->transport, queue_head(&c->out), c->released, &sent, &err);
        c->write_wants_in = result == TRANSPORT_WANT_READ;
        if (result == TRANSPORT_ERROR || result == TRANSPORT_CLOSED) {
            write_failed(c, &err);
            return;
        }
        if (result != TRANSPORT_OK) {
            return;
        }
        queue_consume(&c->out, sent);
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
    if (pending_front(&c->pending) != NULL) {
        queue_pending(c);
    }
}
