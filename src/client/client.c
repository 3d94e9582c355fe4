/* The client object: making and freeing it, what to wait for, how failures are told; the calls
 * that its flow answers; closing.
 *
 * Connecting is in connect.c, the flows in exchange.c and flow_numbered.c. A client belongs to one
 * thread at a time; nothing here is global. */
#include "client/internal.h"

#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/error.h"

#define CLOSE_TIMEOUT_MS 1000
#define DISCARD_BYTES 4096 /* read at once while closing */

/* Polls of the source that are read after a failed write: enough for all that can be kept. */
#define SETTLE_POLLS_MAX 16

/* Loads what the options name, for the server at the address that they give. */
static enum tlsmsg_code load(struct tlsmsg_client *c, struct tlsmsg_error *err)
{
    char server[ADDRESS_HOST_MAX + ADDRESS_TEXT_MAX];
    struct tls_settings tls;
    enum tlsmsg_code code = address_parse_connect(c->settings.address, &c->target, err);

    if (code != TLSMSG_OK) {
        return code;
    }
    code = client_numbers_init(c, err);
    if (code != TLSMSG_OK) {
        return code;
    }
    snprintf(c->address, sizeof(c->address), "%s", c->target.host);
    address_name_print(&c->target, server, sizeof(server));
    options_tls(c->options, &tls);
    tls.server = server;
    return transport_config_new(&tls, NULL, &c->config, err);
}

enum tlsmsg_code tlsmsg_client_new(const struct tlsmsg_options *options, struct tlsmsg_client **out,
                                   struct tlsmsg_error *err)
{
    enum tlsmsg_code code = TLSMSG_OK;
    struct tlsmsg_client *c;

    *out = NULL;
    if (options_role(options) != TLSMSG_ROLE_CLIENT) {
        return error_set(err, TLSMSG_ERR_CONFIG, 0, "the options of a server can't make a client");
    }
    c = calloc(1, sizeof(*c));
    if (c == NULL) {
        return error_set(err, TLSMSG_ERR_NOMEM, 0, "out of memory");
    }
    c->fd = -1;
    c->blocking = true;

    c->options = options_copy(options);
    if (c->options == NULL) {
        code = error_set(err, TLSMSG_ERR_NOMEM, 0, "out of memory");
    } else {
        options_client(c->options, &c->settings);
        code = load(c, err);
    }
    if (code != TLSMSG_OK) {
        tlsmsg_client_free(c);
        return code;
    }
    *out = c;
    return TLSMSG_OK;
}

const char *tlsmsg_client_warning(const struct tlsmsg_client *client, size_t i)
{
    return transport_config_warning(client->config, i);
}

/* Frees what belongs to a connection. */
static void disconnect(struct tlsmsg_client *client)
{
    transport_free(client->transport);
    client->transport = NULL;
    client_drop(client);
    if (client->flow != NULL) {
        client->flow->end(client);
        client->flow = NULL;
        client->has_numbers = false;
    }
}

void tlsmsg_client_free(struct tlsmsg_client *client)
{
    if (client == NULL) {
        return;
    }
    disconnect(client);
    transport_config_unref(client->config);
    tlsmsg_options_free(client->options);
    free(client);
}

void tlsmsg_client_reset(struct tlsmsg_client *client)
{
    disconnect(client);
    client->state = CLIENT_NEW;
    client->wants = 0;
    client->deadline_ns = 0;
    client->timed_out = false;
    client->address_count = client->address_next = 0;
    (void)snprintf(client->address, sizeof(client->address), "%s", client->target.host);
    client->opened = client->broken = client->replied = false;
    client->end = CLIENT_END_NONE;
    client->end_told = false;
    tlsmsg_error_clear(&client->end_error);
    client->bye = 0;
    client->numbers.next = client->numbers.from;
}

void client_drop(struct tlsmsg_client *client)
{
    if (client->fd >= 0) {
        close(client->fd);
        client->fd = -1;
    }
}

void tlsmsg_client_set_blocking(struct tlsmsg_client *client, bool blocking)
{
    client->blocking = blocking;
}

int tlsmsg_client_fd(const struct tlsmsg_client *client)
{
    return client->fd;
}

short tlsmsg_client_events(const struct tlsmsg_client *client)
{
    switch (client->state) {
    case CLIENT_CONNECTING:
        return POLLOUT;
    case CLIENT_HANDSHAKE:
    case CLIENT_CLOSING:
        return client->wants;
    case CLIENT_DRAINING:
        return POLLIN;
    case CLIENT_OPEN:
        return client->flow->events(client);
    case CLIENT_NEW:
    case CLIENT_FAILED:
    case CLIENT_DONE:
        break;
    }
    return 0;
}

int tlsmsg_client_timeout_ms(const struct tlsmsg_client *client)
{
    if (client->state == CLIENT_OPEN && client->flow->has_reply(client)) {
        return 0;
    }
    return clock_poll_ms(clock_now_ns(), client->deadline_ns);
}

const char *tlsmsg_client_address(const struct tlsmsg_client *client)
{
    return client->transport != NULL ? client->address : NULL;
}

const struct tlsmsg_tls *tlsmsg_client_tls(struct tlsmsg_client *client)
{
    if (client->transport == NULL || !transport_describe(client->transport, &client->tls)) {
        return NULL;
    }
    return &client->tls;
}

const struct tlsmsg_certificate *tlsmsg_client_certificate(struct tlsmsg_client *client, size_t i)
{
    if (client->transport == NULL ||
        !transport_peer_certificate(client->transport, i, &client->certificate)) {
        return NULL;
    }
    return &client->certificate;
}

bool client_wait(const struct tlsmsg_client *client)
{
    struct pollfd entry = {.fd = client->fd};

    if (!client->blocking) {
        return false;
    }
    entry.events = tlsmsg_client_events(client);
    /* Interrupted or not: the step that follows looks for itself. */
    (void)poll(&entry, 1, tlsmsg_client_timeout_ms(client));
    return true;
}

void client_print_limit(int64_t limit_ms, const char *what, char *buf, size_t cap)
{
    snprintf(buf, cap, "%s within %g s", what, (double)limit_ms / 1000);
}

enum tlsmsg_client_result client_again(struct tlsmsg_client *client, int64_t limit_ms,
                                       const char *what, struct tlsmsg_error *err)
{
    struct tlsmsg_error cause = {.code = TLSMSG_ERR_TIMEOUT};

    if (client->deadline_ns == 0 || clock_now_ns() < client->deadline_ns) {
        return TLSMSG_CLIENT_AGAIN;
    }
    client_print_limit(limit_ms, what, cause.text, sizeof(cause.text));
    return client_fail(client, &cause, err);
}

enum tlsmsg_client_result client_fail(struct tlsmsg_client *client,
                                      const struct tlsmsg_error *cause, struct tlsmsg_error *err)
{
    client->state = CLIENT_FAILED;
    client->timed_out = cause->code == TLSMSG_ERR_TIMEOUT;
    client->deadline_ns = 0;
    if (err == NULL || err->code != TLSMSG_OK) {
        return TLSMSG_CLIENT_ERROR;
    }
    if (strstr(cause->text, client->address) != NULL) {
        error_set(err, cause->code, 0, "%s", cause->text);
    } else {
        error_set(err, cause->code, 0, "%s: %s", client->address, cause->text);
    }
    err->sys_errno = cause->sys_errno;
    err->ssl_code = cause->ssl_code;
    return TLSMSG_CLIENT_ERROR;
}

enum tlsmsg_client_result client_misused(struct tlsmsg_error *err, const char *text)
{
    error_set(err, TLSMSG_ERR_STATE, 0, "%s", text);
    return TLSMSG_CLIENT_ERROR;
}

void client_set_end(struct tlsmsg_client *client, enum transport_result result,
                    const struct tlsmsg_error *cause)
{
    client->end = result == TRANSPORT_CLOSED ? CLIENT_END_CLOSED : CLIENT_END_ERROR;
    client->end_error = *cause;
}

enum tlsmsg_client_result client_tell_end(struct tlsmsg_client *client, struct tlsmsg_error *err)
{
    client->end_told = true;
    if (client->end == CLIENT_END_ERROR) {
        return client_fail(client, &client->end_error, err);
    }
    client->deadline_ns = 0;
    error_set(err, TLSMSG_ERR_CLOSED, 0, "%s: the server closed the %s", client->address,
              BUILD_HAS_TLS ? "conversation (close_notify)" : "connection");
    return TLSMSG_CLIENT_CLOSED;
}

size_t client_recv(struct tlsmsg_client *client, char *out, size_t cap)
{
    struct tlsmsg_error cause = {.code = TLSMSG_OK};
    size_t got = 0;
    if (client->end != CLIENT_END_NONE) {
        return 0;
    }
    switch (transport_recv(client->transport, out, cap, &got, &cause)) {
    case TRANSPORT_OK:
        return got;
    case TRANSPORT_CLOSED:
        client_set_end(client, TRANSPORT_CLOSED, &cause);
        break;
    case TRANSPORT_ERROR:
        client_set_end(client, TRANSPORT_ERROR, &cause);
        break;
    case TRANSPORT_WANT_READ:
    case TRANSPORT_WANT_WRITE:
        break;
    }
    return 0;
}

void client_settle_failed_write(struct tlsmsg_client *client)
{
    int write_errno = client->source.write_errno;
    bool bare_end;

    for (unsigned i = 0; i < SETTLE_POLLS_MAX && client->end == CLIENT_END_NONE; i++) {
        socket_source_ready(&client->source);
        client->flow->pull(client);
    }

    /* The kernel reports a reset once, here to the write; the read after it sees a bare end. */
    bare_end =
        client->end == CLIENT_END_NONE ||
        (client->end == CLIENT_END_ERROR && client->end_error.code == TLSMSG_ERR_TRUNCATED) ||
        (client->end == CLIENT_END_CLOSED && !BUILD_HAS_TLS);
    if (client->end == CLIENT_END_NONE || (bare_end && write_errno == ECONNRESET)) {
        client->end = CLIENT_END_ERROR;
        tlsmsg_error_clear(&client->end_error);
        error_set(&client->end_error, TLSMSG_ERR_RESET, write_errno, "the connection is broken");
    }
}

enum tlsmsg_client_result client_put(struct tlsmsg_client *client, const char *data, size_t len,
                                     size_t *put, short *wants)
{
    struct tlsmsg_error cause = {.code = TLSMSG_OK};
    enum transport_result result = transport_send(client->transport, data, len, put, &cause);
    if (client->source.write_errno != 0) {
        client_settle_failed_write(client);
        return TLSMSG_CLIENT_ERROR;
    }
    if (result == TRANSPORT_WANT_READ || result == TRANSPORT_WANT_WRITE) {
        *wants = result == TRANSPORT_WANT_READ ? POLLIN : POLLOUT;
        return TLSMSG_CLIENT_AGAIN;
    }
    if (result != TRANSPORT_OK) {
        client_set_end(client, result, &cause);
        return TLSMSG_CLIENT_ERROR;
    }
    return TLSMSG_CLIENT_OK;
}

/* --- calls that the flow answers -------------------------------------------------------------- */

enum tlsmsg_client_result tlsmsg_client_send(struct tlsmsg_client *client, const void *data,
                                             size_t len, struct tlsmsg_error *err)
{
    enum tlsmsg_client_result result;
    do {
        if (client->state != CLIENT_OPEN) {
            return client_misused(err, "the client is not connected");
        }
        socket_source_ready(&client->source);
        result = client->flow->send(client, data, len, err);
    } while (result == TLSMSG_CLIENT_AGAIN && client_wait(client));
    return result;
}

enum tlsmsg_client_result tlsmsg_client_receive(struct tlsmsg_client *client, const char **data,
                                                size_t *len, struct tlsmsg_error *err)
{
    enum tlsmsg_client_result result;
    *data = NULL;
    *len = 0;
    do {
        if (client->state != CLIENT_OPEN) {
            return client_misused(err, "the client is not connected");
        }
        socket_source_ready(&client->source);
        result = client->flow->receive(client, data, len, err);
    } while (result == TLSMSG_CLIENT_AGAIN && client_wait(client));
    return result;
}

enum tlsmsg_client_result tlsmsg_client_watch(struct tlsmsg_client *client,
                                              struct tlsmsg_error *err)
{
    struct pollfd entry = {.fd = client->fd};

    if (client->state != CLIENT_OPEN) {
        return client_misused(err, "the client is not connected");
    }
    socket_source_ready(&client->source);
    client->flow->pull(client);

    /* Without room nothing is read, but a broken connection makes every poll return. */
    if (client->end == CLIENT_END_NONE && (client->flow->events(client) & POLLIN) == 0 &&
        poll(&entry, 1, 0) > 0) {
        client->end = CLIENT_END_ERROR;
        error_set(&client->end_error, TLSMSG_ERR_RESET, 0, "the connection is broken");
    }
    if (client->end != CLIENT_END_NONE && !client->flow->has_reply(client)) {
        return client_tell_end(client, err);
    }
    return TLSMSG_CLIENT_OK;
}

enum tlsmsg_client_result tlsmsg_client_greet(struct tlsmsg_client *client,
                                              struct tlsmsg_error *err)
{
    enum tlsmsg_client_result result;
    do {
        if (client->state != CLIENT_OPEN) {
            return client_misused(err, "the client is not connected");
        }
        socket_source_ready(&client->source);
        result = client->flow->greet(client, err);
    } while (result == TLSMSG_CLIENT_AGAIN && client_wait(client));
    return result;
}

/* --- closing -----------------------------------------------------------------------------------
 *
 * Our last word, the writing side shut, then reading until the server has ended too.
 * Bytes that are unread when a socket is closed make the kernel reset the
 * connection, and a reset can overtake what the server has not read yet. One
 * second bounds all of it; whatever the server does then is its own affair,
 * except an alert that says it never let us in: under TLS 1.3 that comes after
 * the client's handshake is done, and a client that sent and left finds it here. */

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
    enum transport_result result = transport_shutdown(c->transport, NULL);
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
 * The source's budget bounds the loop. */
static enum tlsmsg_client_result drain(struct tlsmsg_client *c, struct tlsmsg_error *err)
{
    char discarded[DISCARD_BYTES];
    for (;;) {
        size_t got = 0;
        tlsmsg_error_clear(&c->end_error);
        switch (transport_recv(c->transport, discarded, sizeof(discarded), &got, &c->end_error)) {
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
    char discarded[DISCARD_BYTES];
    enum byte_result result;
    do {
        size_t got = 0;
        result = source->read(source, discarded, sizeof(discarded), &got);
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
