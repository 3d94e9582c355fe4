/* One client's life: connecting, handshaking, resting or waiting, closing, gone. A client is freed
 * and perhaps opened again inside its own event, which is safe because epoll reports each socket
 * once a turn. */
#include "client.h"

#include "clock.h"
#include "endpoint.h"
#include "mqtt.h"

#include <stdio.h>
#include <sys/epoll.h>

static void set_interest(struct load *load, struct client *client, uint32_t events)
{
    struct epoll_event event = {.events = events, .data.ptr = client};
    int op = client->interest == 0 ? EPOLL_CTL_ADD : EPOLL_CTL_MOD;

    if (client->interest != events) {
        client->interest = events;
        (void)epoll_ctl(load->epoll, op, client->link.fd, &event);
    }
}

static void update_interest(struct load *load, struct client *client)
{
    bool writing = client->phase == CLIENT_CONNECTING || bytes_len(&client->link.unsent) > 0;
    bool reading = client->phase != CLIENT_CONNECTING;

    set_interest(load, client, (writing ? EPOLLOUT : 0u) | (reading ? EPOLLIN : 0u));
}

static bool is_opening(const struct client *client)
{
    return client->phase == CLIENT_CONNECTING || client->phase == CLIENT_HANDSHAKING;
}

bool client_is_busy(const struct client *client)
{
    return client->phase != CLIENT_GONE && client->phase != CLIENT_RESTING;
}

static void leave(struct load *load, struct client *client, bool orderly)
{
    if (is_opening(client)) {
        load->opening--;
    }
    load->live--;
    link_close(&client->link);
    client->phase = CLIENT_GONE;
    client->interest = 0;
    client->due = 0;
    if (load->mode->gone != NULL) {
        load->mode->gone(load, client, orderly);
    }
}

void client_fail(struct load *load, struct client *client, enum load_failure kind, const char *why)
{
    load->counters.failures[kind]++;
    if (load->first_failure[0] == '\0') {
        snprintf(load->first_failure, sizeof load->first_failure, "%s: %s", load_failure_name(kind),
                 why);
    }
    leave(load, client, false);
}

static void become_ready(struct load *load, struct client *client)
{
    client->phase = CLIENT_RESTING;
    load->mode->ready(load, client);
    if (client->phase != CLIENT_GONE) {
        update_interest(load, client);
    }
}

static void established(struct load *load, struct client *client)
{
    load->opening--;
    load->counters.handshakes++;
    if (client->link.ssl != NULL && SSL_session_reused(client->link.ssl) == 1) {
        load->counters.resumed++;
    }
    if (load->agreed[0] == '\0') {
        endpoint_describe(&client->link, load->agreed, sizeof load->agreed);
    }
    become_ready(load, client);
}

/* A broker is greeted before anything else. The client handshakes until it has answered. */
static void greet(struct load *load, struct client *client)
{
    unsigned char packet[MQTT_CONNECT_MAX];

    bytes_clear(&load->frame);
    if (load->options->nats) {
        nats_put_connect(&load->frame, client->index);
    } else {
        bytes_append(&load->frame, (const char *)packet, mqtt_connect(packet, client->index));
    }
    client->is_greeting = true;
    if (link_queue(&client->link, bytes_head(&load->frame), bytes_len(&load->frame)) != LINK_OK ||
        link_flush(&client->link) != LINK_OK) {
        client_fail(load, client, FAILURE_HANDSHAKE, client->link.why);
        return;
    }
    update_interest(load, client);
}

/* What a client does whose transport stands. */
static void begin(struct load *load, struct client *client)
{
    if (load->options->mqtt || load->options->nats) {
        greet(load, client);
    } else {
        established(load, client);
    }
}

/* The broker has said in plain what it is. */
static void secure(struct load *load, struct client *client)
{
    client->is_greeting = false;
    if (client->link.established) {
        greet(load, client); /* --plain */
        return;
    }
    if (link_secure(&client->link, load->options->resume) != LINK_OK) {
        client_fail(load, client, FAILURE_HANDSHAKE, client->link.why);
        return;
    }
    update_interest(load, client);
}

static enum greeting read_greeting(struct load *load, struct client *client)
{
    const char *text = bytes_head(&load->text);
    size_t len = bytes_len(&load->text);

    if (load->options->nats) {
        return nats_take_greeting(&client->nats, text, len);
    }
    return mqtt_is_accepted(text, len) ? GREETING_ACCEPTED : GREETING_REFUSED;
}

/* Why a client fails by what it was told: a NATS server's own words tell more. */
static const char *told(struct load *load, struct client *client, const char *why)
{
    if (!load->options->nats) {
        return why;
    }
    nats_quote(&client->nats, client->link.why, sizeof client->link.why);
    return client->link.why;
}

static void take_greeting(struct load *load, struct client *client)
{
    enum greeting said = GREETING_PART;

    if (bytes_len(&load->text) > 0) {
        said = read_greeting(load, client);
    }
    switch (said) {
    case GREETING_PART:
        update_interest(load, client);
        break;
    case GREETING_INFO:
        secure(load, client);
        break;
    case GREETING_ACCEPTED:
        client->is_greeting = false;
        established(load, client);
        break;
    case GREETING_REFUSED:
        client_fail(load, client, FAILURE_HANDSHAKE,
                    told(load, client, "the broker does not accept the client"));
        break;
    }
}

static void on_connected(struct load *load, struct client *client)
{
    client->phase = CLIENT_HANDSHAKING;
    if (link_start(&client->link, load->options->resume) != LINK_OK) {
        client_fail(load, client, client->link.ssl == NULL ? FAILURE_CONNECT : FAILURE_HANDSHAKE,
                    client->link.why);
        return;
    }
    client->is_greeting = load->options->nats; /* it speaks first */
    if (client->link.established && !client->is_greeting) {
        begin(load, client);
    } else {
        update_interest(load, client);
    }
}

static long check_replies(struct load *load, struct client *client)
{
    const char *text = bytes_head(&load->text);
    size_t len = bytes_len(&load->text);

    if (load->options->nats) {
        return nats_feed(&client->nats, &client->check, text, len);
    }
    if (load->options->numbered) {
        return frames_feed(&client->frames, &client->check, text, len);
    }
    return reply_check_feed(&client->check, text, len);
}

/* Replies, in any cut. Returns false when the client has been ended. */
static bool take_replies(struct load *load, struct client *client)
{
    uint64_t prefixes = client->check.prefixes;
    long answered = check_replies(load, client);

    load->counters.replies += client->check.prefixes - prefixes;
    if (answered < 0) {
        client_fail(load, client, FAILURE_MISMATCH,
                    told(load, client, "the reply differs from the message"));
        return false;
    }
    if ((uint64_t)answered > client->due) {
        client_fail(load, client, FAILURE_MISMATCH, "more than was asked for");
        return false;
    }
    if (answered > 0) {
        histogram_add(&load->latency, client->touched_ns - client->sent_ns, (uint64_t)answered);
        load->counters.messages += (uint64_t)answered;
        client->due -= (uint32_t)answered;
    }
    if (client->due == 0 && !reply_check_at_edge(&client->check)) {
        client_fail(load, client, FAILURE_MISMATCH, "more than was asked for");
        return false;
    }
    return true;
}

/* The peer ended. After our own end that is the orderly close, however the server words it. */
static void on_ended(struct load *load, struct client *client, enum link_result result)
{
    if (client->phase == CLIENT_CLOSING) {
        if (result != LINK_CLOSED) {
            load->counters.truncated_closes++;
        }
        load->counters.cycles++;
        leave(load, client, true);
        return;
    }
    if (is_opening(client)) {
        client_fail(load, client, FAILURE_HANDSHAKE, client->link.why);
        return;
    }
    if (client->link.why[0] == '\0') {
        snprintf(client->link.why, sizeof client->link.why, "close_notify from the server");
    }
    client_fail(load, client, FAILURE_CLOSED, client->link.why);
}

static void on_readable(struct load *load, struct client *client)
{
    bool was_open = client->phase == CLIENT_HANDSHAKING;
    enum link_result result = link_receive(&client->link, &load->text);
    uint32_t due = client->due;

    client->touched_ns = clock_now_ns();
    if (result == LINK_OK && client->is_greeting) {
        take_greeting(load, client);
        return;
    }
    if (client->phase != CLIENT_CLOSING && bytes_len(&load->text) > 0 &&
        !take_replies(load, client)) {
        return;
    }
    if (result != LINK_OK) {
        on_ended(load, client, result);
        return;
    }
    if (was_open && client->link.established) {
        begin(load, client);
    } else if (client->phase == CLIENT_WAITING && due > 0 && client->due == 0) {
        client->exchanges++;
        become_ready(load, client);
    } else {
        update_interest(load, client);
    }
}

void client_event(struct load *load, struct client *client)
{
    if (client->phase == CLIENT_CONNECTING) {
        client->touched_ns = clock_now_ns();
        on_connected(load, client);
        return;
    }
    if (bytes_len(&client->link.unsent) > 0 && link_flush(&client->link) != LINK_OK) {
        on_ended(load, client, LINK_RESET);
        return;
    }
    on_readable(load, client);
}

void load_open(struct load *load, struct client *client)
{
    client->link.why[0] = '\0';
    client->due = 0;
    client->exchanges = 0;
    client->is_greeting = false;
    client->began_ns = clock_now_ns();
    client->touched_ns = client->began_ns;
    client->phase = CLIENT_CONNECTING;
    load->live++;
    load->opening++;
    reply_check_init(&client->check, load->options->size, client->index, client->cycles++,
                     load->options->any_cut);
    frames_init(&client->frames);
    nats_init(&client->nats);
    client->check.mqtt = load->options->mqtt;
    if (link_open(&client->link) != LINK_OK) {
        client_fail(load, client, FAILURE_CONNECT, client->link.why);
        return;
    }
    update_interest(load, client);
}

/* The greeting goes with the first message: a server's answer isn't waited for. */
static enum link_result queue_hello(struct load *load, struct client *client)
{
    bytes_clear(&load->frame);
    frames_put_hello(&load->frame, load->options->producer, client->index, client->cycles);
    return link_queue(&client->link, bytes_head(&load->frame), bytes_len(&load->frame));
}

static enum link_result queue_publish(struct load *load, struct client *client, const char *message,
                                      uint64_t sequence)
{
    size_t size = load->options->size;
    unsigned char head[MQTT_HEAD_MAX];

    bytes_clear(&load->frame);
    if (load->options->nats) {
        nats_put_publish(&client->nats, &load->frame, client->index, sequence, message, size);
    } else {
        bytes_append(&load->frame, (const char *)head, mqtt_publish_head(head, sequence, size));
        bytes_append(&load->frame, message, size);
    }
    return link_queue(&client->link, bytes_head(&load->frame), bytes_len(&load->frame));
}

static enum link_result queue_message(struct load *load, struct client *client, uint64_t sequence)
{
    size_t size = load->options->size;
    const char *message = message_make(size, client->index, sequence);

    if (load->options->mqtt || load->options->nats) {
        return queue_publish(load, client, message, sequence);
    }
    if (!load->options->numbered) {
        return link_queue(&client->link, message, size);
    }
    bytes_clear(&load->frame);
    frames_put_message(&client->frames, &load->frame, message, size);
    return link_queue(&client->link, bytes_head(&load->frame), bytes_len(&load->frame));
}

void load_send(struct load *load, struct client *client, uint32_t depth)
{
    enum link_result result = LINK_OK;
    uint32_t i;

    client->phase = CLIENT_WAITING;
    client->due = depth;
    if (load->options->numbered && client->frames.sent == 0) {
        result = queue_hello(load, client);
    }
    for (i = 0; i < depth && result == LINK_OK; i++) {
        result = queue_message(load, client, client->check.sequence + i);
    }
    client->touched_ns = clock_now_ns();
    /* A handshake's latency runs from connect() to the reply. */
    client->sent_ns =
        load->options->mode == BENCH_HANDSHAKE ? client->began_ns : client->touched_ns;
    if (result == LINK_OK) {
        result = link_flush(&client->link);
    }
    if (result != LINK_OK) {
        on_ended(load, client, result);
        return;
    }
    update_interest(load, client);
}

void load_finish(struct load *load, struct client *client)
{
    client->phase = CLIENT_CLOSING;
    client->touched_ns = clock_now_ns();
    if (link_finish(&client->link) != LINK_OK) {
        /* All replies are in; a server that was quicker to leave is no error. */
        on_ended(load, client, LINK_RESET);
        return;
    }
    update_interest(load, client);
}
