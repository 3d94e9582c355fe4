/* A write that fails, and the server's last word before it, which is told instead. */
#include <poll.h>

#include "support/unit.h"

#include "base/build.h"
#include "support/client_ends.h"

/* Sends until a write fails; waits for what the peer did in between. */
static enum tlsmsg_client_result send_until_it_fails(struct tlsmsg_client *client,
                                                     struct tlsmsg_error *err)
{
    enum tlsmsg_client_result result = TLSMSG_CLIENT_OK;
    for (unsigned i = 0; i < 10 && result == TLSMSG_CLIENT_OK; i++) {
        struct pollfd entry = {.fd = tlsmsg_client_fd(client), .events = 0};
        result = tlsmsg_client_send(client, "hello", 5, err);
        (void)poll(&entry, 1, 1000); /* POLLHUP or POLLERR come unasked */
    }
    return result;
}

static void answer_and_vanish(struct peer *peer)
{
    peer_handshake(peer);
    peer_say(peer, "bye");
    peer_end(peer);
    peer_close(peer);
}

/* What the server said before it went is read before the write's failure is named. */
static void reads_the_last_word_after_a_failed_write(void **state)
{
    (void)state;
    struct peer *peer = ends_peer();
    struct tlsmsg_client *client = ends_connect(peer, answer_and_vanish, 5000);
    struct tlsmsg_error err = {.code = TLSMSG_OK};
    peer_finish(peer);
    assert_int_equal(send_until_it_fails(client, &err), TLSMSG_CLIENT_CLOSED);
    assert_int_equal(err.code, TLSMSG_ERR_CLOSED);
    ends_expect(client, "bye");
    ends_expect_failure(client, TLSMSG_ERR_CLOSED);
    ends_finish(client, peer);
}

static void reset_after_the_handshake(struct peer *peer)
{
    peer_handshake(peer);
    peer_await_cue(peer);
    peer_reset(peer);
}

static void names_a_reset_that_a_write_met(void **state)
{
    (void)state;
    struct peer *peer = ends_peer();
    struct tlsmsg_client *client = ends_connect(peer, reset_after_the_handshake, 5000);
    struct tlsmsg_error err = {.code = TLSMSG_OK};
    peer_cue(peer);
    peer_finish(peer);
    assert_int_equal(send_until_it_fails(client, &err), TLSMSG_CLIENT_ERROR);
    assert_int_equal(err.code, TLSMSG_ERR_RESET);
    ends_finish(client, peer);
}

/* The next step of a handshake, once there is something to read. */
static enum transport_result step_of_handshake(struct peer *peer)
{
    struct tlsmsg_error err = {.code = TLSMSG_OK};
    struct pollfd entry = {.fd = peer->fd, .events = POLLIN};
    (void)poll(&entry, 1, PEER_LIMIT_MS);
    socket_source_ready(&peer->source);
    return transport_handshake(peer->transport, &err);
}

/* Refuses at once, or where waits_for_cue is true, on the cue: the client is done by then. */
static void refuse(struct peer *peer, bool waits_for_cue)
{
    struct tlsmsg_error err = {.code = TLSMSG_OK};
    peer_accept(peer);
    if (peer->fd < 0 ||
        transport_new(peer->config, &peer->source.base, NULL, &peer->transport, &err)) {
        return;
    }
    enum transport_result result = step_of_handshake(peer);
    if (waits_for_cue) {
        peer_await_cue(peer);
    }
    while (result == TRANSPORT_WANT_READ) {
        result = step_of_handshake(peer);
    }
    peer_close(peer);
}

static void refuse_and_vanish(struct peer *peer)
{
    refuse(peer, false);
}

static void refuse_on_cue(struct peer *peer)
{
    refuse(peer, true);
}

/* A server that requires a certificate says so when the client's handshake is done already. */
static void names_the_refusal_that_a_write_met(void **state)
{
    (void)state;
    if (!BUILD_HAS_TLS) {
        skip(); /* nobody can be refused */
    }
    struct peer *peer = ends_strict_peer();
    struct tlsmsg_client *client = ends_connect(peer, refuse_and_vanish, 5000);
    struct tlsmsg_error err = {.code = TLSMSG_OK};
    peer_finish(peer);
    assert_int_equal(send_until_it_fails(client, &err), TLSMSG_CLIENT_ERROR);
    assert_int_equal(err.code, TLSMSG_ERR_REFUSED);
    ends_finish(client, peer);
}

static void names_the_refusal_that_a_reply_met(void **state)
{
    (void)state;
    if (!BUILD_HAS_TLS) {
        skip(); /* nobody can be refused */
    }
    struct peer *peer = ends_strict_peer();
    struct tlsmsg_client *client = ends_connect(peer, refuse_on_cue, 5000);
    ends_send(client, "hello");
    peer_cue(peer);
    ends_expect_failure(client, TLSMSG_ERR_REFUSED);
    ends_finish(client, peer);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(reads_the_last_word_after_a_failed_write),
        cmocka_unit_test(names_a_reset_that_a_write_met),
        cmocka_unit_test(names_the_refusal_that_a_write_met),
        cmocka_unit_test(names_the_refusal_that_a_reply_met),
    };
    return cmocka_run_group_tests(tests, ends_setup, ends_teardown);
}
