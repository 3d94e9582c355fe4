/* Connecting: each address of the name in turn, then the handshake, within one budget.
 *
 * An address that doesn't answer may take its share of what is left of the
 * budget, so that a dead one doesn't cost its neighbours their turn. Once one
 * address has taken the connection, what fails is told and no other is tried:
 * a server that isn't to be trusted must not be got round silently. */
#include "client/internal.h"

#include <errno.h>
#include <poll.h>
#include <stdio.h>

#include "base/clock.h"
#include "base/error.h"
#include "net/socket.h"

static enum tlsmsg_client_result no_connection(struct tlsmsg_client *c, struct tlsmsg_error *err)
{
    struct tlsmsg_error cause = {.code = TLSMSG_OK};
    char name[ADDRESS_HOST_MAX + ADDRESS_TEXT_MAX];
    if (c->connect_errno == ETIMEDOUT && c->settings.timeout_ms != 0) {
        char late[ADDRESS_TEXT_MAX];
        client_print_limit(c->settings.timeout_ms, "no answer", late, sizeof(late));
        error_set(&cause, TLSMSG_ERR_TIMEOUT, 0, "cannot connect to %s: %s", c->address, late);
        cause.sys_errno = ETIMEDOUT;
    } else {
        error_set(&cause, TLSMSG_ERR_CONNECT, c->connect_errno, "cannot connect to %s", c->address);
    }
    if (c->address_count > 1) {
        address_name_print(&c->target, name, sizeof(name));
        error_append(&cause, " (the last of %zu addresses of %s)", c->address_count, name);
    }
    return client_fail(c, &cause, err);
}

static enum tlsmsg_client_result look_up(struct tlsmsg_client *c, struct tlsmsg_error *err)
{
    struct tlsmsg_error cause = {.code = TLSMSG_OK};
    enum tlsmsg_code code;

    c->connect_ns = clock_deadline_ns(clock_now_ns(), c->settings.timeout_ms);
    code = resolve_name(&c->target, c->connect_ns, c->addresses, RESOLVE_MAX, &c->address_count,
                        &cause);
    if (code != TLSMSG_OK) {
        return client_fail(c, &cause, err);
    }
    return TLSMSG_CLIENT_OK;
}

/* The deadline of one attempt: an equal share of what is left for the addresses still to come. */
static int64_t attempt_deadline_ns(const struct tlsmsg_client *c)
{
    int64_t now;
    int64_t left;

    if (c->connect_ns == 0) {
        return 0;
    }
    now = clock_now_ns();
    left = c->connect_ns > now ? c->connect_ns - now : 0;
    return now + left / (int64_t)(c->address_count - c->address_next + 1);
}

static enum tlsmsg_client_result begin_handshake(struct tlsmsg_client *c, struct tlsmsg_error *err)
{
    struct tlsmsg_error cause = {.code = TLSMSG_OK};
    const char *name = c->settings.server_name;
    enum tlsmsg_code code;

    socket_source_init(&c->source, c->fd);
    socket_source_keep_write_error(&c->source);
    code = transport_new(c->config, &c->source.base, name != NULL ? name : c->target.host,
                         &c->transport, &cause);
    if (code != TLSMSG_OK) {
        return client_fail(c, &cause, err);
    }
    if (c->accepted_pin[0] != '\0') {
        transport_accept_key(c->transport, c->accepted_pin);
    }
    c->state = CLIENT_HANDSHAKE;
    c->deadline_ns = c->connect_ns;
    return TLSMSG_CLIENT_OK;
}

/* Starts on the next address that takes an attempt. OK: connected, the handshake can begin. */
static enum tlsmsg_client_result try_next(struct tlsmsg_client *c, struct tlsmsg_error *err)
{
    client_drop(c);
    while (c->address_next < c->address_count) {
        const struct address *a = &c->addresses[c->address_next++];
        bool done = false;
        address_print(a, c->address, sizeof(c->address));
        c->fd = socket_connect_start(a, &done, &c->connect_errno);
        if (c->fd < 0) {
            continue;
        }
        socket_keepalive(c->fd, c->settings.keepalive_ms);
        if (done) {
            return begin_handshake(c, err);
        }
        c->state = CLIENT_CONNECTING;
        c->deadline_ns = attempt_deadline_ns(c);
        return TLSMSG_CLIENT_AGAIN;
    }
    return no_connection(c, err);
}

static enum tlsmsg_client_result go_on_connecting(struct tlsmsg_client *c, struct tlsmsg_error *err)
{
    struct pollfd entry = {.fd = c->fd, .events = POLLOUT};
    if (poll(&entry, 1, 0) > 0) {
        c->connect_errno = socket_connect_result(c->fd);
        if (c->connect_errno == 0) {
            return begin_handshake(c, err);
        }
        return try_next(c, err);
    }
    if (c->deadline_ns != 0 && clock_now_ns() >= c->deadline_ns) {
        c->connect_errno = ETIMEDOUT;
        return try_next(c, err);
    }
    return TLSMSG_CLIENT_AGAIN;
}

static enum tlsmsg_client_result finish(struct tlsmsg_client *c, struct tlsmsg_error *err)
{
    /* Each handshake's own offer decides, so it is asked anew. */
    bool is_numbered = transport_describe(c->transport, &c->tls) && c->tls.protocol != NULL;

    c->state = CLIENT_OPEN;
    c->opened = true;
    c->deadline_ns = 0;
    c->flow = is_numbered ? &client_numbered_flow : &client_exchange_flow;
    c->has_numbers = is_numbered;
    c->flow->begin(c);
    if (!is_numbered && c->settings.producer != NULL && !client_makes_name(c)) {
        struct tlsmsg_error cause = {.code = TLSMSG_OK};

        error_set(&cause, TLSMSG_ERR_NOT_NUMBERED, 0, "the server does not speak tlsmsg/1");
        return client_fail(c, &cause, err);
    }
    if (c->source.write_errno == 0) {
        return TLSMSG_CLIENT_OK;
    }
    /* Our last words of the handshake never left: the server had gone before there was a session. */
    client_settle_failed_write(c);
    if (c->end == CLIENT_END_CLOSED) {
        c->end = CLIENT_END_ERROR;
        error_set(&c->end_error, TLSMSG_ERR_RESET, 0,
                  "the server closed the connection during the handshake");
    }
    return client_tell_end(c, err);
}

/* The handshake failed. Where the server is only not known yet, the user is asked while nothing waits
 * for the answer. After a yes the connection is made anew, and the server held to the very key that
 * was shown. */
static enum tlsmsg_client_result
refuse_or_ask(struct tlsmsg_client *c, const struct tlsmsg_error *cause, struct tlsmsg_error *err)
{
    char pin[TRANSPORT_PIN_MAX];

    if (!transport_ask_user(c->transport, pin)) {
        return client_fail(c, cause, err);
    }
    (void)snprintf(c->accepted_pin, sizeof(c->accepted_pin), "%s", pin);
    transport_free(c->transport);
    c->transport = NULL;
    c->connect_ns = clock_deadline_ns(clock_now_ns(), c->settings.timeout_ms);
    c->address_next--;
    return try_next(c, err);
}

static enum tlsmsg_client_result go_on_handshaking(struct tlsmsg_client *c,
                                                   struct tlsmsg_error *err)
{
    struct tlsmsg_error cause = {.code = TLSMSG_OK};

    socket_source_ready(&c->source);
    switch (transport_handshake(c->transport, &cause)) {
    case TRANSPORT_OK:
        return finish(c, err);
    case TRANSPORT_WANT_READ:
        c->wants = POLLIN;
        break;
    case TRANSPORT_WANT_WRITE:
        c->wants = POLLOUT;
        break;
    case TRANSPORT_CLOSED:
        error_set(&cause, TLSMSG_ERR_TRUNCATED, 0,
                  "the server closed the connection during the handshake");
        return client_fail(c, &cause, err);
    case TRANSPORT_ERROR:
        return refuse_or_ask(c, &cause, err);
    }
    return client_again(c, c->settings.timeout_ms, "the TLS handshake was not finished", err);
}

static enum tlsmsg_client_result connect_step(struct tlsmsg_client *c, struct tlsmsg_error *err)
{
    enum tlsmsg_client_result result = TLSMSG_CLIENT_OK;
    if (c->state == CLIENT_NEW) {
        result = client_numbers_renew(c, err) == TLSMSG_OK ? look_up(c, err) : TLSMSG_CLIENT_ERROR;
        if (result == TLSMSG_CLIENT_OK) {
            result = try_next(c, err);
        }
    } else if (c->state == CLIENT_CONNECTING) {
        result = go_on_connecting(c, err);
    }
    while (c->state == CLIENT_HANDSHAKE && result == TLSMSG_CLIENT_OK) {
        result = go_on_handshaking(c, err);
    }
    return result;
}

enum tlsmsg_client_result tlsmsg_client_connect(struct tlsmsg_client *client,
                                                struct tlsmsg_error *err)
{
    enum tlsmsg_client_result result;

    if (client->state > CLIENT_HANDSHAKE) {
        return client_misused(err,
                              "the client is connected already; tlsmsg_client_reset ends that");
    }
    do {
        result = connect_step(client, err);
    } while (result == TLSMSG_CLIENT_AGAIN && client_wait(client));
    return result;
}
