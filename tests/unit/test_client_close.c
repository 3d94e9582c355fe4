/* Watching while nothing is due, and closing. */
#include <poll.h>
#include <stdlib.h>
#include <string.h>

#include "support/unit.h"

#include "base/build.h"
#include "base/clock.h"
#include "client/internal.h"
#include "support/client_ends.h"
#include "support/test_clock.h"

static void await_arrival(const struct tlsmsg_client *client)
{
    struct pollfd entry = {.fd = tlsmsg_client_fd(client), .events = POLLIN};
    assert_int_equal(poll(&entry, 1, PEER_LIMIT_MS), 1);
}

/* Watches until the server has left, as a prompt does. */
static enum tlsmsg_client_result watch_to_the_end(struct tlsmsg_client *client,
                                                  struct tlsmsg_error *err)
{
    for (unsigned steps = 0; steps < 100; steps++) {
        enum tlsmsg_client_result result = tlsmsg_client_watch(client, err);
        if (result != TLSMSG_CLIENT_OK) {
            return result;
        }
        struct pollfd entry = {.fd = tlsmsg_client_fd(client),
                               .events = tlsmsg_client_events(client)};
        assert_int_equal(poll(&entry, 1, PEER_LIMIT_MS), 1);
    }
    fail_msg("watching spins");
    return TLSMSG_CLIENT_OK;
}

static void leave_on_cue(struct peer *peer)
{
    peer_handshake(peer);
    peer_await_cue(peer);
    peer_end(peer);
}

static void drop_on_cue(struct peer *peer)
{
    peer_handshake(peer);
    peer_await_cue(peer);
    peer_truncate(peer);
}

static void reset_on_cue(struct peer *peer)
{
    peer_handshake(peer);
    peer_await_cue(peer);
    peer_reset(peer);
}

static void sees_the_server_leave(void **state)
{
    static const struct {
        void (*play)(struct peer *peer);
        enum tlsmsg_code tls, plain;
    } rows[] = {
        {leave_on_cue, TLSMSG_ERR_CLOSED, TLSMSG_ERR_CLOSED},
        {drop_on_cue, TLSMSG_ERR_TRUNCATED, TLSMSG_ERR_CLOSED},
        {reset_on_cue, TLSMSG_ERR_RESET, TLSMSG_ERR_RESET},
    };
    (void)state;
    for (size_t i = 0; i < COUNT_OF(rows); i++) {
        struct peer *peer = ends_peer();
        struct tlsmsg_client *client = ends_connect(peer, rows[i].play, 5000);
        struct tlsmsg_error err = {.code = TLSMSG_OK};
        assert_int_equal(tlsmsg_client_watch(client, &err), TLSMSG_CLIENT_OK);
        assert_int_equal(tlsmsg_client_events(client), POLLIN);
        assert_int_equal(tlsmsg_client_timeout_ms(client), -1);
        peer_cue(peer);
        enum tlsmsg_client_result result = watch_to_the_end(client, &err);
        assert_int_equal(err.code, BUILD_HAS_TLS ? rows[i].tls : rows[i].plain);
        assert_int_equal(result == TLSMSG_CLIENT_CLOSED, err.code == TLSMSG_ERR_CLOSED);
        ends_finish(client, peer);
    }
}

/* 10 bytes unasked, and after the message 1020 more. */
static void talk_unasked(struct peer *peer)
{
    char text[1020];
    peer_handshake(peer);
    peer_say(peer, "aaaaaaaaaa");
    peer_expect(peer, "hello");
    memset(text, 'b', sizeof(text));
    peer_send(peer, text, sizeof(text));
    peer_tell(peer);
    peer_expect_end(peer);
}

/* What came unasked belongs to the next reply, cut as one recv would have cut it. */
static void keeps_what_comes_unasked(void **state)
{
    (void)state;
    struct peer *peer = ends_peer();
    struct tlsmsg_client *client = ends_connect(peer, talk_unasked, 5000);
    struct tlsmsg_error err = {.code = TLSMSG_OK};
    const char *data;
    size_t len;
    while (receive_queue_is_empty(&client->exchange.queue)) {
        await_arrival(client);
        assert_int_equal(tlsmsg_client_watch(client, &err), TLSMSG_CLIENT_OK);
    }
    struct pollfd entry = {.fd = tlsmsg_client_fd(client), .events = tlsmsg_client_events(client)};
    assert_int_equal(entry.events, POLLIN);
    assert_int_equal(poll(&entry, 1, 0), 0); /* it was read: no loop spins on it */
    ends_send(client, "hello");
    assert_int_equal(tlsmsg_client_timeout_ms(client), 0); /* and no loop waits for it */
    peer_hear(peer);
    await_arrival(client);
    assert_int_equal(tlsmsg_client_receive(client, &data, &len, &err), TLSMSG_CLIENT_OK);
    assert_int_equal(len, BUILD_HAS_TLS ? 10 : 1024);
    assert_int_equal(data[9], 'a');
    assert_int_equal(tlsmsg_client_receive(client, &data, &len, &err), TLSMSG_CLIENT_OK);
    assert_int_equal(len, BUILD_HAS_TLS ? 1020 : 6);
    assert_int_equal(data[len - 1], 'b');
    ends_finish(client, peer);
}

/* Pours out 10 MB, more than is kept; ends when the client has gone. */
static void pour(struct peer *peer)
{
    struct tlsmsg_error err = {.code = TLSMSG_OK};
    char text[8192];
    peer_handshake(peer);
    memset(text, 'x', sizeof(text));
    for (unsigned i = 0; i < 1280;) {
        size_t put = 0;
        enum transport_result result =
            transport_send(peer->transport, text, sizeof(text), &put, &err);
        struct pollfd entry = {.fd = peer->fd, .events = POLLOUT};
        if (result == TRANSPORT_OK) {
            i++;
        } else if (result != TRANSPORT_WANT_WRITE) {
            return; /* the client closed */
        } else if (poll(&entry, 1, PEER_LIMIT_MS) != 1) {
            peer_fail(peer, "pour", "the client neither read nor closed");
            return;
        }
    }
}

static void bounds_what_it_keeps(void **state)
{
    (void)state;
    struct peer *peer = ends_peer();
    struct tlsmsg_client *client = ends_connect(peer, pour, 5000);
    struct tlsmsg_error err = {.code = TLSMSG_OK};
    unsigned steps = 0;
    while ((tlsmsg_client_events(client) & POLLIN) != 0) {
        assert_true(++steps < 100000);
        await_arrival(client);
        assert_int_equal(tlsmsg_client_watch(client, &err), TLSMSG_CLIENT_OK);
    }
    assert_in_range(client->exchange.queue.bytes.len, 1, CLIENT_QUEUE_MAX);
    assert_int_equal(tlsmsg_client_watch(client, &err), TLSMSG_CLIENT_OK);
    int64_t before_ns = clock_now_ns();
    assert_int_equal(tlsmsg_client_close(client, &err), TLSMSG_CLIENT_OK);
    assert_in_range((clock_now_ns() - before_ns) / CLOCK_NS_PER_MS, 0, 5000);
    ends_finish(client, peer);
}

static void pour_and_reset(struct peer *peer)
{
    static char text[8192];
    peer_handshake(peer);
    memset(text, 'x', sizeof(text));
    for (unsigned i = 0; i < 140; i++) { /* somewhat over what is kept */
        peer_send(peer, text, sizeof(text));
    }
    peer_await_cue(peer);
    peer_reset(peer);
}

/* A full queue must not hide that the connection broke, or every poll would return at once. */
static void sees_a_reset_behind_a_full_queue(void **state)
{
    (void)state;
    struct peer *peer = ends_peer();
    struct tlsmsg_client *client = ends_connect(peer, pour_and_reset, 5000);
    struct tlsmsg_error err = {.code = TLSMSG_OK};
    while ((tlsmsg_client_events(client) & POLLIN) != 0) {
        await_arrival(client);
        assert_int_equal(tlsmsg_client_watch(client, &err), TLSMSG_CLIENT_OK);
    }
    peer_cue(peer);
    struct pollfd entry = {.fd = tlsmsg_client_fd(client)};
    assert_int_equal(poll(&entry, 1, PEER_LIMIT_MS), 1);
    assert_int_equal(tlsmsg_client_watch(client, &err), TLSMSG_CLIENT_ERROR);
    assert_int_equal(err.code, TLSMSG_ERR_RESET);
    ends_finish(client, peer);
}

static void see_a_clean_end(struct peer *peer)
{
    peer_handshake(peer);
    peer_expect(peer, "exit");
    peer_say(peer, "the reply to exit, which nobody reads");
    peer_expect_end(peer);
    peer_end(peer);
}

/* After exit the client leaves without waiting; the server must not see a reset for it. */
static void leaves_in_order_without_a_reply(void **state)
{
    (void)state;
    struct peer *peer = ends_peer();
    struct tlsmsg_client *client = ends_connect(peer, see_a_clean_end, 5000);
    ends_send(client, "exit");
    ends_finish(client, peer);
}

static void stay_for_ever(struct peer *peer)
{
    peer_handshake(peer);
    peer_expect_end(peer);
    peer_tell(peer);
    peer_await_cue(peer);
}

static void waits_a_second_for_the_server_to_close(void **state)
{
    (void)state;
    struct peer *peer = ends_peer();
    struct tlsmsg_client *client = ends_client(peer, 5000);
    struct tlsmsg_error err = {.code = TLSMSG_OK};
    tlsmsg_client_reset(client); /* after a connection that is forgotten */
    peer_start(peer, stay_for_ever);
    assert_int_equal(tlsmsg_client_connect(client, &err), TLSMSG_CLIENT_OK);
    tlsmsg_client_set_blocking(client, false);
    assert_int_equal(tlsmsg_client_close(client, &err), TLSMSG_CLIENT_AGAIN);
    peer_hear(peer); /* our last word has come through */
    assert_int_equal(tlsmsg_client_close(client, &err), TLSMSG_CLIENT_AGAIN);
    assert_int_equal(tlsmsg_client_events(client), POLLIN);
    assert_in_range(tlsmsg_client_timeout_ms(client), 1, 1000);
    test_clock_advance(1000);
    assert_int_equal(tlsmsg_client_timeout_ms(client), 0);
    assert_int_equal(tlsmsg_client_close(client, &err), TLSMSG_CLIENT_OK);
    assert_int_equal(tlsmsg_client_fd(client), -1);
    assert_int_equal(tlsmsg_client_timeout_ms(client), -1);
    assert_int_equal(tlsmsg_client_close(client, &err), TLSMSG_CLIENT_OK);
    peer_cue(peer);
    ends_finish(client, peer);
}

static void misbehave_at_the_end(struct peer *peer)
{
    peer_handshake(peer);
    peer_expect(peer, "hello");
    peer_say(peer, "yes");
    peer_expect_end(peer);
    peer_send_raw(peer, "garbage that is no record\r\n", 27);
    peer_reset(peer);
}

static void does_not_mind_what_comes_after_its_last_word(void **state)
{
    (void)state;
    struct peer *peer = ends_peer();
    struct tlsmsg_client *client = ends_connect(peer, misbehave_at_the_end, 5000);
    ends_send(client, "hello");
    ends_expect(client, "yes");
    ends_finish(client, peer);
}

static void refuse(struct peer *peer)
{
    struct tlsmsg_error err = {.code = TLSMSG_OK};
    char buf[256];
    size_t got = 0;
    peer_accept(peer);
    if (peer->fd < 0 ||
        transport_new(peer->config, &peer->source.base, NULL, &peer->transport, &err)) {
        return;
    }
    while (transport_handshake(peer->transport, &err) == TRANSPORT_WANT_READ) {
        struct pollfd entry = {.fd = peer->fd, .events = POLLIN};
        (void)poll(&entry, 1, PEER_LIMIT_MS);
        socket_source_ready(&peer->source);
    }
    /* Reads on below TLS until the client has gone, so that no reset overtakes the alert. */
    peer->source.base.shut_write(&peer->source.base);
    for (;;) {
        struct pollfd entry = {.fd = peer->fd, .events = POLLIN};
        enum byte_result result;
        socket_source_ready(&peer->source);
        result = peer->source.base.read(&peer->source.base, buf, sizeof(buf), &got);
        if (result == BYTE_EOF || result == BYTE_ERROR || poll(&entry, 1, PEER_LIMIT_MS) != 1) {
            return;
        }
    }
}

/* Under TLS 1.3 the refusal comes after the client's handshake; one that only sent exit finds it
 * when it closes. */
static void tells_a_refusal_that_it_finds_when_it_closes(void **state)
{
    (void)state;
    if (!BUILD_HAS_TLS) {
        skip(); /* nobody can be refused */
    }
    struct peer *peer = ends_strict_peer();
    struct tlsmsg_client *client = ends_connect(peer, refuse, 5000);
    struct tlsmsg_error err = {.code = TLSMSG_OK};
    ends_send(client, "exit");
    assert_int_equal(tlsmsg_client_close(client, &err), TLSMSG_CLIENT_ERROR);
    assert_int_equal(err.code, TLSMSG_ERR_REFUSED);
    ends_finish(client, peer);
}

/* Speaks no TLS, and goes on after the client has said its last word. */
static void talk_past_the_end(struct peer *peer)
{
    char buf[1024];
    size_t got = 0;
    enum byte_result result = BYTE_AGAIN;
    peer_accept(peer);
    peer_send_raw(peer, "220 ready\r\n", 11);
    while (result != BYTE_EOF && peer->failure[0] == '\0') {
        peer_await_bytes(peer);
        socket_source_ready(&peer->source);
        result = peer->source.base.read(&peer->source.base, buf, sizeof(buf), &got);
        if (result == BYTE_ERROR) {
            peer_fail(peer, "read", "the client's last word was overtaken by a reset");
        }
    }
    struct pollfd entry = {.fd = peer->fd};
    peer_send_raw(peer, "221 bye\r\n", 9);
    if (poll(&entry, 1, 200) != 0) {
        peer_fail(peer, "send", "the client does not listen any more");
    }
    peer_await_cue(peer);
}

/* An alert that ends the handshake must reach the server, whatever that still sends. */
static void reads_on_after_a_failed_handshake(void **state)
{
    (void)state;
    if (!BUILD_HAS_TLS) {
        skip(); /* there is no handshake */
    }
    struct peer *peer = ends_peer();
    struct tlsmsg_client *client = ends_client(peer, 5000);
    struct tlsmsg_error err = {.code = TLSMSG_OK};
    peer_start(peer, talk_past_the_end);
    assert_int_equal(tlsmsg_client_connect(client, &err), TLSMSG_CLIENT_ERROR);
    assert_int_equal(err.code, TLSMSG_ERR_NOT_TLS);
    tlsmsg_client_set_blocking(client, false);
    assert_int_equal(tlsmsg_client_close(client, &err), TLSMSG_CLIENT_AGAIN);
    peer_cue(peer);
    ends_finish(client, peer);
}

/* Told once, by whichever call came first. */
static void tells_a_refusal_once(void **state)
{
    (void)state;
    if (!BUILD_HAS_TLS) {
        skip(); /* nobody can be refused */
    }
    struct peer *peer = ends_strict_peer();
    struct tlsmsg_client *client = ends_connect(peer, refuse, 5000);
    struct tlsmsg_error err = {.code = TLSMSG_OK};
    ends_send(client, "hello");
    ends_expect_failure(client, TLSMSG_ERR_REFUSED);
    assert_int_equal(tlsmsg_client_close(client, &err), TLSMSG_CLIENT_OK);
    assert_int_equal(err.code, TLSMSG_OK);
    ends_finish(client, peer);
}

static void stay_a_little(struct peer *peer)
{
    peer_handshake(peer);
    peer_expect_end(peer);
    peer_await_cue(peer);
    peer_end(peer);
}

static void closes_in_a_foreign_loop(void **state)
{
    (void)state;
    struct peer *peer = ends_peer();
    struct tlsmsg_client *client = ends_connect(peer, stay_a_little, 5000);
    struct tlsmsg_error err = {.code = TLSMSG_OK};
    enum tlsmsg_client_result result;
    unsigned steps = 0;
    tlsmsg_client_set_blocking(client, false);
    while ((result = tlsmsg_client_close(client, &err)) == TLSMSG_CLIENT_AGAIN) {
        struct pollfd entry = {.fd = tlsmsg_client_fd(client),
                               .events = tlsmsg_client_events(client)};
        assert_int_equal(entry.events, POLLIN);
        assert_in_range(tlsmsg_client_timeout_ms(client), 0, 1000);
        assert_true(++steps < 20);
        if (steps == 1) {
            peer_cue(peer);
        }
        (void)poll(&entry, 1, tlsmsg_client_timeout_ms(client));
    }
    assert_int_equal(result, TLSMSG_CLIENT_OK);
    ends_finish(client, peer);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(sees_the_server_leave),
        cmocka_unit_test(keeps_what_comes_unasked),
        cmocka_unit_test(bounds_what_it_keeps),
        cmocka_unit_test(sees_a_reset_behind_a_full_queue),
        cmocka_unit_test(leaves_in_order_without_a_reply),
        cmocka_unit_test(waits_a_second_for_the_server_to_close),
        cmocka_unit_test(does_not_mind_what_comes_after_its_last_word),
        cmocka_unit_test(tells_a_refusal_that_it_finds_when_it_closes),
        cmocka_unit_test(reads_on_after_a_failed_handshake),
        cmocka_unit_test(tells_a_refusal_once),
        cmocka_unit_test(closes_in_a_foreign_loop),
    };
    return cmocka_run_group_tests(tests, ends_setup, ends_teardown);
}
