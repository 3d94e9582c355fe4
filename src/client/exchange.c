/* The document's flow: sending a message, receiving its reply.
 *
 * One recv is one reply, as in the document; a character that it cuts waits for
 * the next one. While a send is blocked, what arrives is received ahead, so
 * that a server that answers before it reads on doesn't wait for us for ever. */
#include "client/internal.h"

#include <poll.h>
#include <string.h>

#include "base/clock.h"
#include "base/error.h"

/* What a user can type is what a message can be. */
_Static_assert(!BUILD_HAS_TLS || BUILD_LINE_MAX_BYTES == TLSMSG_RECORD_MESSAGE_MAX,
               "the longest line is the longest message");

static void begin(struct tlsmsg_client *client)
{
    client->exchange = (struct client_exchange){.sending = false};
    receive_queue_init(&client->exchange.queue, BUILD_HAS_TLS, CLIENT_QUEUE_MAX);
}

static void end(struct tlsmsg_client *client)
{
    receive_queue_fini(&client->exchange.queue);
}

static short events(const struct tlsmsg_client *client)
{
    const struct client_exchange *x = &client->exchange;
    short events = receive_queue_has_room(&x->queue, TLS_RECORD_BYTES) ? POLLIN : 0;
    return x->sending ? (short)(events | x->wants) : events;
}

static bool has_reply(const struct tlsmsg_client *client)
{
    return client->exchange.due && !receive_queue_is_empty(&client->exchange.queue);
}

/* Ends soon whatever the server pours out: the source's budget and the queue's limit bound it. */
static void pull(struct tlsmsg_client *client)
{
    struct client_exchange *x = &client->exchange;

    while (receive_queue_has_room(&x->queue, TLS_RECORD_BYTES)) {
        size_t got = client_recv(client, x->buffer, TLS_RECORD_BYTES);
        enum tlsmsg_code code;

        if (got == 0) {
            return;
        }
        code = receive_queue_append(&x->queue, x->buffer, got);
        if (code != TLSMSG_OK) {
            client->end = CLIENT_END_ERROR;
            error_set(&client->end_error, code, 0, "cannot keep what the server sent: %s",
                      tlsmsg_code_name(code));
            return;
        }
    }
}

static enum tlsmsg_client_result check_message(struct tlsmsg_client *c, size_t len,
                                               struct tlsmsg_error *err)
{
    if (c->exchange.sending ? len != c->exchange.sending_len : len == 0) {
        return client_misused(err, len == 0 ? "a message has at least 1 byte"
                                            : "another message is still being sent");
    }
    if (BUILD_HAS_TLS && len > TLSMSG_RECORD_MESSAGE_MAX) {
        error_set(err, TLSMSG_ERR_LIMIT, 0, "a message of %zu bytes is over the limit of %d bytes",
                  len, TLSMSG_RECORD_MESSAGE_MAX);
        return TLSMSG_CLIENT_ERROR;
    }
    return TLSMSG_CLIENT_OK;
}

static void begin_sending(struct tlsmsg_client *c, size_t len)
{
    struct client_exchange *x = &c->exchange;
    x->sending = true;
    x->sending_len = len;
    x->sent = 0;
    c->deadline_ns = clock_deadline_ns(clock_now_ns(), c->settings.reply_timeout_ms);
    /* The replies to one long plaintext message are about as long as it is, and all of them can
     * come before its last byte is taken. What the caller holds anyway bounds what we hold. */
    receive_queue_raise_limit(&x->queue, CLIENT_QUEUE_MAX + 2 * len);
}

static void begin_waiting(struct tlsmsg_client *c)
{
    c->exchange.due = true;
    c->deadline_ns = clock_deadline_ns(clock_now_ns(), c->settings.reply_timeout_ms);
}

/* Hands as much as possible to the transport. OK when all is sent, AGAIN when it is blocked; else
 * end is set. */
static enum tlsmsg_client_result push(struct tlsmsg_client *c, const char *data, size_t len)
{
    struct client_exchange *x = &c->exchange;
    while (x->sent < len) {
        size_t put = 0;
        enum tlsmsg_client_result result =
            client_put(c, data + x->sent, len - x->sent, &put, &x->wants);
        if (result != TLSMSG_CLIENT_OK) {
            return result;
        }
        x->sent += put;
        c->deadline_ns = clock_deadline_ns(clock_now_ns(), c->settings.reply_timeout_ms);
    }
    return TLSMSG_CLIENT_OK;
}

static enum tlsmsg_client_result send_step(struct tlsmsg_client *c, const char *data, size_t len,
                                           struct tlsmsg_error *err)
{
    enum tlsmsg_client_result result = check_message(c, len, err);
    if (result != TLSMSG_CLIENT_OK) {
        return result;
    }
    if (c->end != CLIENT_END_NONE) {
        return client_tell_end(c, err);
    }
    if (!c->exchange.sending) {
        begin_sending(c, len);
    }
    result = push(c, data, len);
    if (result == TLSMSG_CLIENT_OK) {
        c->exchange.sending = false;
        begin_waiting(c);
        return TLSMSG_CLIENT_OK;
    }
    if (result == TLSMSG_CLIENT_AGAIN) {
        pull(c);
    }
    if (c->end != CLIENT_END_NONE) {
        c->exchange.sending = false; /* what came before the end can still be received */
        return client_tell_end(c, err);
    }
    return client_again(c, c->settings.reply_timeout_ms, "the server took no more of the message",
                        err);
}

/* What one recv gives, wherever it waits; a queued part of a stream is filled up from the kernel,
 * since there it would have been one piece. */
static size_t receive_one(struct tlsmsg_client *c, char *out)
{
    struct receive_queue *queue = &c->exchange.queue;
    size_t got = receive_queue_take(queue, out, BUILD_RECV_SIZE);
    if (got == 0 || (!queue->keeps_records && got < BUILD_RECV_SIZE)) {
        got += client_recv(c, out + got, BUILD_RECV_SIZE - got);
    }
    return got;
}

static enum tlsmsg_client_result refuse_reply(struct tlsmsg_client *c, enum tlsmsg_code code,
                                              const char *text, struct tlsmsg_error *err)
{
    struct tlsmsg_error cause = {.code = TLSMSG_OK};
    error_set(&cause, code, 0, "%s", text);
    return client_fail(c, &cause, err);
}

static enum tlsmsg_client_result receive_step(struct tlsmsg_client *c, const char **data,
                                              size_t *len, struct tlsmsg_error *err)
{
    struct client_exchange *x = &c->exchange;
    if (x->sending) {
        return client_misused(err, "a message is still being sent");
    }
    if (!x->due) {
        begin_waiting(c);
    }
    for (;;) {
        size_t whole = 0;
        size_t total;
        size_t got;

        memcpy(x->buffer, x->tail, x->tail_len);
        got = receive_one(c, x->buffer + x->tail_len);
        if (got == 0) {
            break;
        }
        c->replied = true;
        total = x->tail_len + got;
        if (utf8_check(x->buffer, total, &whole) == UTF8_INVALID) {
            return refuse_reply(c, TLSMSG_ERR_UTF8, "the reply is not valid UTF-8", err);
        }
        x->tail_len = total - whole;
        memcpy(x->tail, x->buffer + whole, x->tail_len);
        if (whole > 0) {
            x->due = false;
            c->deadline_ns = 0;
            *data = x->buffer;
            *len = whole;
            return TLSMSG_CLIENT_OK;
        }
    }
    if (c->end == CLIENT_END_CLOSED && x->tail_len > 0) {
        return refuse_reply(c, TLSMSG_ERR_UTF8, "the reply ends in the middle of a character", err);
    }
    if (c->end != CLIENT_END_NONE) {
        return client_tell_end(c, err);
    }
    return client_again(c, c->settings.reply_timeout_ms, "no reply", err);
}

/* The document's server waits for a message. */
static enum tlsmsg_client_result greet(struct tlsmsg_client *client, struct tlsmsg_error *err)
{
    (void)client;
    (void)err;
    return TLSMSG_CLIENT_OK;
}

const struct client_flow client_exchange_flow = {
    .begin = begin,
    .send = send_step,
    .receive = receive_step,
    .pull = pull,
    .events = events,
    .has_reply = has_reply,
    .greet = greet,
    .end = end,
};
