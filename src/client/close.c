/* Closing: our last word, the writing side shut, then reading until the server has ended too.
 *
 * Bytes that are unread when a socket is closed make the kernel reset the
 * connection, and a reset can overtake what the server has not read yet. One
 * second bounds all of it; whatever the server does then is its own affair,
 * except an alert that says it never let us in: under TLS 1.3 that comes after
 * the client's handshake is done, and a client that sent and left finds it here. */
#include "client/client_state.h"

#include <poll.h>

#include "base/clock.h"
#include "base/error.h"

#define CLOSE_TIMEOUT_MS 1000

static enum tlsmsg_client_result done(struct tlsmsg_client *c, struct tlsmsg_error *err)
{
    c->state = CLIENT_DONE;
    c->deadline_ns = 0;
    client_drop(c);
    if (c->end == CLIENT_END_ERROR && c->end_error.code == TLSMSG_ERR_REFUSED && !c->end_told &&
        !c->replied) {
        (void)client_tell_end(c, err);
        c->state = CLIENT_DONE;
        return TLSMSG_CLIENT_ERROR;
    }
    return TLSMSG_CLIENT_OK;
}

static enum tlsmsg_client_result in_time(struct tlsmsg_client *c, struct tlsmsg_error *err)
{
    return clock_now_ns() < c->deadline_ns ? TLSMSG_CLIENT_AGAIN : done(c, err);
}

static enum tlsmsg_client_result say_goodbye(struct tlsmsg_client *c, struct tlsmsg_error *err)
{
    struct tlsmsg_error ignored = {.code = TLSMSG_OK};
    enum transport_result result = transport_shutdown(c->transport, &ignored);
    if (result == TRANSPORT_WANT_WRITE || result == TRANSPORT_WANT_READ) {
        c->wants = result == TRANSPORT_WANT_WRITE ? POLLOUT : POLLIN;
        return in_time(c, err);
    }
    if (result == TRANSPORT_ERROR || !c->opened) {
        c->broken = true;
        c->source.base.shut_write(&c->source.base);
    }
    c->state = CLIENT_DRAINING;
    return TLSMSG_CLIENT_OK;
}

/* Reads on through a session that works, where the server's last word can still be understood.
 * The source's turn bounds the loop. */
static enum tlsmsg_client_result drain(struct tlsmsg_client *c, struct tlsmsg_error *err)
{
    for (;;) {
        size_t got = 0;
        tlsmsg_error_clear(&c->end_error);
        switch (transport_recv(c->transport, c->buffer, sizeof(c->buffer), &got, &c->end_error)) {
        case TRANSPORT_OK:
            c->replied = true;
            break;
        case TRANSPORT_WANT_READ:
        case TRANSPORT_WANT_WRITE:
            return in_time(c, err);
        case TRANSPORT_CLOSED:
            return done(c, err);
        case TRANSPORT_ERROR:
            c->end = CLIENT_END_ERROR;
            return done(c, err);
        }
    }
}

/* Reads on below a broken or unfinished session, only so that no reset overtakes our alert. */
static enum tlsmsg_client_result drain_source(struct tlsmsg_client *c, struct tlsmsg_error *err)
{
    struct byte_source *source = &c->source.base;
    enum byte_result result;
    do {
        size_t got = 0;
        result = source->read(source, c->buffer, sizeof(c->buffer), &got);
    } while (result == BYTE_OK);
    return result == BYTE_AGAIN ? in_time(c, err) : done(c, err);
}

static enum tlsmsg_client_result close_step(struct tlsmsg_client *c, struct tlsmsg_error *err)
{
    if (c->state == CLIENT_DONE) {
        return TLSMSG_CLIENT_OK;
    }
    if (c->transport == NULL) {
        return done(c, err);
    }
    if (c->state < CLIENT_CLOSING) {
        /* A server that let the time run out isn't waited for once more. */
        c->state = CLIENT_CLOSING;
        c->deadline_ns = clock_now_ns() + (c->timed_out ? 0 : CLOSE_TIMEOUT_MS * CLOCK_NS_PER_MS);
    }
    socket_source_ready(&c->source);
    if (c->state == CLIENT_CLOSING) {
        enum tlsmsg_client_result result = say_goodbye(c, err);
        if (result != TLSMSG_CLIENT_OK || c->state == CLIENT_DONE) {
            return result;
        }
    }
    if (c->broken) {
        return drain_source(c, err);
    }
    return c->end == CLIENT_END_NONE ? drain(c, err) : done(c, err);
}

enum tlsmsg_client_result tlsmsg_client_close(struct tlsmsg_client *client,
                                              struct tlsmsg_error *err)
{
    enum tlsmsg_client_result result;
    do {
        result = close_step(client, err);
    } while (result == TLSMSG_CLIENT_AGAIN && client_wait(client));
    return result;
}
