/* Sending a message, receiving a reply, watching for a server that leaves.
 *
 * One recv is one reply, as in the document; a character that it cuts waits for
 * the next one. While a send is blocked, what arrives is received ahead, so
 * that a server that answers before it reads on doesn't wait for us for ever. */
#include "client/client_state.h"

#include <errno.h>
#include <poll.h>
#include <string.h>

#include "base/build.h"
#include "base/clock.h"
#include "base/error.h"

/* Turns of the source that are read after a failed write: enough for all that can be kept. */
#define SETTLE_TURNS_MAX 16

static void set_end(struct tlsmsg_client *c, enum transport_result result,
                    const struct tlsmsg_error *cause)
{
    c->end = result == TRANSPORT_CLOSED ? CLIENT_END_CLOSED : CLIENT_END_ERROR;
    c->end_error = *cause;
}

/* One recv into out. Returns the bytes it gave; 0 where there are none, then end may be set. */
static size_t receive_some(struct tlsmsg_client *c, char *out, size_t cap)
{
    struct tlsmsg_error cause = {.code = TLSMSG_OK};
    size_t got = 0;
    if (c->end != CLIENT_END_NONE) {
        return 0;
    }
    switch (transport_recv(c->transport, out, cap, &got, &cause)) {
    case TRANSPORT_OK:
        return got;
    case TRANSPORT_CLOSED:
        set_end(c, TRANSPORT_CLOSED, &cause);
        break;
    case TRANSPORT_ERROR:
        set_end(c, TRANSPORT_ERROR, &cause);
        break;
    case TRANSPORT_WANT_READ:
    case TRANSPORT_WANT_WRITE:
        break;
    }
    return 0;
}

/* Ends soon whatever the server pours out: the source's turn and the queue's limit bound it. */
void client_pull(struct tlsmsg_client *client)
{
    while (ahead_has_room(&client->ahead, CLIENT_RECORD_MAX)) {
        size_t got = receive_some(client, client->buffer, CLIENT_RECORD_MAX);
        if (got == 0) {
            return;
        }
        enum tlsmsg_code code = ahead_append(&client->ahead, client->buffer, got);
        if (code != TLSMSG_OK) {
            client->end = CLIENT_END_ERROR;
            error_set(&client->end_error, code, 0, "cannot keep what the server sent: %s",
                      tlsmsg_code_name(code));
            return;
        }
    }
}

void client_settle_failed_write(struct tlsmsg_client *client)
{
    int write_errno = client->source.write_errno;
    for (unsigned i = 0; i < SETTLE_TURNS_MAX && client->end == CLIENT_END_NONE; i++) {
        socket_source_ready(&client->source);
        client_pull(client);
    }

    /* The kernel reports a reset once, here to the write; the read after it sees a bare end. */
    bool bare_end =
        client->end == CLIENT_END_NONE ||
        (client->end == CLIENT_END_ERROR && client->end_error.code == TLSMSG_ERR_TRUNCATED) ||
        (client->end == CLIENT_END_CLOSED && !BUILD_HAS_TLS);
    if (client->end == CLIENT_END_NONE || (bare_end && write_errno == ECONNRESET)) {
        client->end = CLIENT_END_ERROR;
        tlsmsg_error_clear(&client->end_error);
        error_set(&client->end_error, TLSMSG_ERR_RESET, write_errno, "the connection is broken");
    }
}

static enum tlsmsg_client_result check_message(struct tlsmsg_client *c, size_t len,
                                               struct tlsmsg_error *err)
{
    if (c->state != CLIENT_OPEN) {
        return client_misused(err, "the client is not connected");
    }
    if (c->sending ? len != c->sending_len : len == 0) {
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
    c->sending = true;
    c->sending_len = len;
    c->sent = 0;
    c->deadline_ns = clock_deadline_ns(clock_now_ns(), c->settings.reply_timeout_ms);
    /* The replies to one long plaintext message are about as long as it is, and all of them can
     * come before its last byte is taken. What the caller holds anyway bounds what we hold. */
    ahead_raise_limit(&c->ahead, CLIENT_AHEAD_MAX + 2 * len);
}

static void begin_waiting(struct tlsmsg_client *c)
{
    c->due = true;
    c->deadline_ns = clock_deadline_ns(clock_now_ns(), c->settings.reply_timeout_ms);
}

/* Hands as much as possible to the transport. OK when all is sent, AGAIN when it is blocked; else
 * end is set. */
static enum tlsmsg_client_result push(struct tlsmsg_client *c, const char *data, size_t len)
{
    while (c->sent < len) {
        struct tlsmsg_error cause = {.code = TLSMSG_OK};
        size_t put = 0;
        enum transport_result result =
            transport_send(c->transport, data + c->sent, len - c->sent, &put, &cause);
        if (c->source.write_errno != 0) {
            client_settle_failed_write(c);
            return TLSMSG_CLIENT_ERROR;
        }
        if (result == TRANSPORT_WANT_READ || result == TRANSPORT_WANT_WRITE) {
            c->wants = result == TRANSPORT_WANT_READ ? POLLIN : POLLOUT;
            return TLSMSG_CLIENT_AGAIN;
        }
        if (result != TRANSPORT_OK) {
            set_end(c, result, &cause);
            return TLSMSG_CLIENT_ERROR;
        }
        c->sent += put;
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
    if (!c->sending) {
        begin_sending(c, len);
    }
    socket_source_ready(&c->source);
    result = push(c, data, len);
    if (result == TLSMSG_CLIENT_OK) {
        c->sending = false;
        begin_waiting(c);
        return TLSMSG_CLIENT_OK;
    }
    if (result == TLSMSG_CLIENT_AGAIN) {
        client_pull(c);
    }
    if (c->end != CLIENT_END_NONE) {
        c->sending = false; /* what came before the end can still be received */
        return client_tell_end(c, err);
    }
    return client_again(c, c->settings.reply_timeout_ms, "the server took no more of the message",
                        err);
}

enum tlsmsg_client_result tlsmsg_client_send(struct tlsmsg_client *client, const void *data,
                                             size_t len, struct tlsmsg_error *err)
{
    enum tlsmsg_client_result result;
    do {
        result = send_step(client, data, len, err);
    } while (result == TLSMSG_CLIENT_AGAIN && client_wait(client));
    return result;
}

/* What one recv gives, wherever it waits; a queued part of a stream is filled up from the kernel,
 * since there it would have been one piece. */
static size_t receive_one(struct tlsmsg_client *c, char *out)
{
    size_t got = ahead_take(&c->ahead, out, c->recv_max);
    if (got == 0 || (!c->ahead.records && got < c->recv_max)) {
        got += receive_some(c, out + got, c->recv_max - got);
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
    for (;;) {
        memcpy(c->buffer, c->tail, c->tail_len);
        size_t got = receive_one(c, c->buffer + c->tail_len);
        if (got == 0) {
            break;
        }
        c->replied = true;
        size_t whole = 0;
        size_t total = c->tail_len + got;
        if (utf8_check(c->buffer, total, &whole) == UTF8_INVALID) {
            return refuse_reply(c, TLSMSG_ERR_UTF8, "the reply is not valid UTF-8", err);
        }
        c->tail_len = total - whole;
        memcpy(c->tail, c->buffer + whole, c->tail_len);
        if (whole > 0) {
            c->due = false;
            c->deadline_ns = 0;
            *data = c->buffer;
            *len = whole;
            return TLSMSG_CLIENT_OK;
        }
    }
    if (c->end == CLIENT_END_CLOSED && c->tail_len > 0) {
        return refuse_reply(c, TLSMSG_ERR_UTF8, "the reply ends in the middle of a character", err);
    }
    if (c->end != CLIENT_END_NONE) {
        return client_tell_end(c, err);
    }
    return client_again(c, c->settings.reply_timeout_ms, "no reply", err);
}

enum tlsmsg_client_result tlsmsg_client_receive(struct tlsmsg_client *client, const char **data,
                                                size_t *len, struct tlsmsg_error *err)
{
    *data = NULL;
    *len = 0;
    if (client->state != CLIENT_OPEN || client->sending) {
        return client_misused(err, client->sending ? "a message is still being sent"
                                                   : "the client is not connected");
    }
    if (!client->due) {
        begin_waiting(client);
    }
    enum tlsmsg_client_result result;
    do {
        socket_source_ready(&client->source);
        result = receive_step(client, data, len, err);
    } while (result == TLSMSG_CLIENT_AGAIN && client_wait(client));
    return result;
}

enum tlsmsg_client_result tlsmsg_client_watch(struct tlsmsg_client *client,
                                              struct tlsmsg_error *err)
{
    if (client->state != CLIENT_OPEN) {
        return client_misused(err, "the client is not connected");
    }
    socket_source_ready(&client->source);
    client_pull(client);

    /* With a full queue nothing is read, but a broken connection makes every poll return. */
    struct pollfd entry = {.fd = client->fd};
    if (client->end == CLIENT_END_NONE && !ahead_has_room(&client->ahead, CLIENT_RECORD_MAX) &&
        poll(&entry, 1, 0) > 0) {
        client->end = CLIENT_END_ERROR;
        error_set(&client->end_error, TLSMSG_ERR_RESET, 0, "the connection is broken");
    }
    if (client->end != CLIENT_END_NONE) {
        return client_tell_end(client, err);
    }
    return TLSMSG_CLIENT_OK;
}
