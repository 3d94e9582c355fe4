/* From records to messages: UTF-8, characters that are cut by a record's edge, fairness. */
#include <string.h>

#include "server/exchange.h"
#include "server/server_state.h"
#include "server/worker.h"

bool exchange_may_read(const struct conversation *c)
{
    return !c->worker->held && c->out.len < CONVERSATION_QUEUE_MARK &&
           c->pending.count < CONVERSATION_PENDING_MAX &&
           c->pending.bytes < CONVERSATION_PENDING_BYTES;
}

static void invalid_utf8(struct conversation *c, const char *what)
{
    worker_event(c->worker, TLSMSG_LOG_WARNING, TLSMSG_CAUSE_INVALID_UTF8, c, "%s", what);
    conversation_finish(c, TLSMSG_CLOSE_INVALID_UTF8);
}

/* One recv's bytes are in the worker's buffer, behind room for the tail of the one before. */
static void take(struct conversation *c, size_t got)
{
    struct worker *w = c->worker;
    char *data = w->buffer + UTF8_TAIL_MAX - c->tail_len;
    size_t len = c->tail_len + got;
    size_t whole = 0;
    enum utf8_status status;

    memcpy(data, c->tail, c->tail_len);
    count(&w->stats.bytes_in, got);
    status = utf8_check(data, len, &whole);
    if (status == UTF8_INVALID) {
        invalid_utf8(c, "sent bytes that are not UTF-8; the conversation is closed");
        return;
    }
    c->tail_len = (uint8_t)(len - whole);
    memcpy(c->tail, data + whole, c->tail_len);
    if (whole > 0) {
        message_dispatch(c, data, whole);
    }
}

static void peer_closed(struct conversation *c)
{
    if (c->tail_len > 0) {
        invalid_utf8(c, "ended within a UTF-8 character; the conversation is closed");
        return;
    }
    conversation_finish(c, TLSMSG_CLOSE_CLEAN);
}

static void read_failed(struct conversation *c, const struct tlsmsg_error *err)
{
    struct worker *w = c->worker;

    switch (err->code) {
    case TLSMSG_ERR_TRUNCATED:
        /* The peer may have shut only its writing side: its replies still leave. */
        c->eof = true;
        worker_event(w, TLSMSG_LOG_INFO, TLSMSG_CAUSE_TRUNCATED, c, "%s", err->text);
        conversation_finish(c, TLSMSG_CLOSE_TRUNCATED);
        break;
    case TLSMSG_ERR_RESET:
        worker_event(w, TLSMSG_LOG_INFO, TLSMSG_CAUSE_RESET, c, "%s", err->text);
        conversation_abort(c, TLSMSG_CLOSE_RESET);
        break;
    case TLSMSG_ERR_IS_TLS:
        worker_event(w, TLSMSG_LOG_WARNING, TLSMSG_CAUSE_TLS_PEER, c, "%s", err->text);
        conversation_finish(c, TLSMSG_CLOSE_INVALID_UTF8);
        break;
    default:
        /* The transport is broken: nothing can be sent, but its alert must not be overtaken. */
        worker_event(w, TLSMSG_LOG_WARNING,
                     err->code == TLSMSG_ERR_NOMEM ? TLSMSG_CAUSE_MEMORY : TLSMSG_CAUSE_OTHER, c,
                     "%s", err->text);
        exchange_drop(c);
        conversation_finish(c, TLSMSG_CLOSE_FAILED);
        break;
    }
}

void exchange_read(struct conversation *c)
{
    struct worker *w = c->worker;
    int records = 0;

    c->unread = true;
    while (c->state == CONVERSATION_OPEN && exchange_may_read(c)) {
        struct tlsmsg_error err;
        size_t got = 0;
        enum transport_result result;

        if (records++ == CONVERSATION_TURN_RECORDS) {
            worker_again(w, c);
            return;
        }
        err.code = TLSMSG_OK;
        result = transport_recv(c->transport, w->buffer + UTF8_TAIL_MAX,
                                w->server->settings.recv_size_bytes, &got, &err);
        if (result == TRANSPORT_WANT_WRITE && !c->read_wants_out && c->released == 0) {
            c->progress_ns = w->now_ns;
        }
        c->read_wants_out = result == TRANSPORT_WANT_WRITE;
        switch (result) {
        case TRANSPORT_OK:
            c->heard = true;
            take(c, got);
            break;
        case TRANSPORT_CLOSED:
            peer_closed(c);
            break;
        case TRANSPORT_ERROR:
            read_failed(c, &err);
            break;
        default:
            c->unread = false;
            return;
        }
    }
}
