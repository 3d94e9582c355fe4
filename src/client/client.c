/* The client object: making and freeing it, what to wait for, how failures are told.
 *
 * The flow itself is in connect.c, exchange.c and close.c. A client belongs to
 * one thread at a time; nothing here is global. */
#include "client/client_state.h"

#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/build.h"
#include "base/clock.h"
#include "base/error.h"

/* Loads what the options name, for the server at the address that they give. */
static enum tlsmsg_code load(struct tlsmsg_client *c, struct tlsmsg_error *err)
{
    char server[ADDRESS_HOST_MAX + ADDRESS_TEXT_MAX];
    struct tls_settings tls;
    enum tlsmsg_code code = address_parse_connect(c->settings.address, &c->target, err);

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
    *out = NULL;
    if (options_role(options) != TLSMSG_ROLE_CLIENT) {
        return error_set(err, TLSMSG_ERR_CONFIG, 0, "the options of a server can't make a client");
    }
    struct tlsmsg_client *c = calloc(1, sizeof(*c));
    if (c == NULL) {
        return error_set(err, TLSMSG_ERR_NOMEM, 0, "out of memory");
    }
    c->fd = -1;
    c->blocking = true;
    c->recv_max = BUILD_RECV_SIZE;
    ahead_init(&c->ahead, BUILD_HAS_TLS, CLIENT_AHEAD_MAX);

    enum tlsmsg_code code = TLSMSG_OK;
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

void tlsmsg_client_free(struct tlsmsg_client *client)
{
    if (client == NULL) {
        return;
    }
    transport_free(client->transport);
    client_drop(client);
    transport_config_unref(client->config);
    ahead_fini(&client->ahead);
    tlsmsg_options_free(client->options);
    free(client);
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
    short events = 0;
    switch (client->state) {
    case CLIENT_CONNECTING:
        return POLLOUT;
    case CLIENT_HANDSHAKE:
    case CLIENT_CLOSING:
        return client->wants;
    case CLIENT_DRAINING:
        return POLLIN;
    case CLIENT_OPEN:
        /* Without room nothing more is read, and polling for it would only spin. */
        if (ahead_has_room(&client->ahead, CLIENT_RECORD_MAX)) {
            events |= POLLIN;
        }
        if (client->sending) {
            events |= client->wants;
        }
        return events;
    case CLIENT_NEW:
    case CLIENT_FAILED:
    case CLIENT_DONE:
        break;
    }
    return 0;
}

int tlsmsg_client_timeout_ms(const struct tlsmsg_client *client)
{
    if (client->state == CLIENT_OPEN && client->due && !ahead_is_empty(&client->ahead)) {
        return 0; /* the reply is here already, no poll will tell */
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
    if (!client->blocking) {
        return false;
    }
    /* Interrupted or not: the step that follows looks for itself. */
    struct pollfd entry = {.fd = client->fd, .events = tlsmsg_client_events(client)};
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
    if (client->deadline_ns == 0 || clock_now_ns() < client->deadline_ns) {
        return TLSMSG_CLIENT_AGAIN;
    }
    struct tlsmsg_error cause = {.code = TLSMSG_ERR_TIMEOUT};
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
