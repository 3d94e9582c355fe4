/* Closing, a step at a time: the last word, reading on, and the one end that is told only here. */
#include <poll.h>
#include <string.h>
#include <sys/socket.h>

#include "support/unit.h"

#include "client/internal.h"
#include "support/client_ends.h"
#include "support/scripted_transport.h"
#include "support/test_clock.h"

/* Closed for good, and nothing is left to wait for. */
static void expect_done(void)
{
    size_t calls = on_shutdown.calls;

    assert_int_equal(client->state, CLIENT_DONE);
    assert_int_equal(tlsmsg_client_fd(client), -1);
    assert_int_equal(tlsmsg_client_events(client), 0);
    assert_int_equal(client->deadline_ns, 0);
    assert_int_equal(tlsmsg_client_close(client, &err), TLSMSG_CLIENT_OK);
    assert_int_equal(err.code, TLSMSG_OK);
    assert_int_equal(on_shutdown.calls, calls);
}

static void a_client_that_never_connected_is_done_at_once(void **state)
{
    (void)state;
    scripted_client();
    client->deadline_ns = in_ms(1);
    assert_int_equal(tlsmsg_client_close(client, &err), TLSMSG_CLIENT_OK);
    expect_done();
    scripted_finish();
}

/* A second for all of it together, whatever moves. */
static void says_goodbye_and_reads_on(void **state)
{
    (void)state;
    scripted_connect(NULL);
    client->source.budget_bytes = 0;
    FOLLOW(on_shutdown, WANTS_WRITE, WANTS_READ, DONE);
    FOLLOW(on_recv, WANTS_READ, GIVES("late"), WANTS_WRITE, CLOSES);
    assert_int_equal(tlsmsg_client_close(client, &err), TLSMSG_CLIENT_AGAIN);
    assert_int_equal(client->source.budget_bytes, SOCKET_SOURCE_BUDGET_BYTES);
    assert_int_equal(client->state, CLIENT_CLOSING);
    assert_int_equal(tlsmsg_client_events(client), POLLOUT);
    assert_int_equal(client->deadline_ns, in_ms(1000));
    test_clock_advance(300);
    assert_int_equal(tlsmsg_client_close(client, &err), TLSMSG_CLIENT_AGAIN);
    assert_int_equal(tlsmsg_client_events(client), POLLIN);
    assert_int_equal(client->deadline_ns, in_ms(700));
    assert_int_equal(on_recv.calls, 0);
    assert_int_equal(tlsmsg_client_close(client, &err), TLSMSG_CLIENT_AGAIN);
    assert_int_equal(client->state, CLIENT_DRAINING);
    assert_int_equal(tlsmsg_client_events(client), POLLIN);
    assert_false(client->replied);
    assert_false(client->broken);
    assert_int_equal(tlsmsg_client_close(client, &err), TLSMSG_CLIENT_AGAIN);
    assert_true(client->replied);
    assert_int_equal(client->deadline_ns, in_ms(700));
    assert_true(tlsmsg_client_fd(client) >= 0);
    assert_int_equal(tlsmsg_client_close(client, &err), TLSMSG_CLIENT_OK);
    assert_int_equal(on_shutdown.calls, 3);
    expect_done();
    scripted_finish();
}

static void waits_no_longer_than_a_second(void **state)
{
    (void)state;
    scripted_connect(NULL);
    FOLLOW(on_shutdown, WANTS_WRITE, WANTS_WRITE);
    assert_int_equal(tlsmsg_client_close(client, &err), TLSMSG_CLIENT_AGAIN);
    test_clock_advance(1000);
    assert_int_equal(tlsmsg_client_close(client, &err), TLSMSG_CLIENT_OK);
    expect_done();
    scripted_finish();

    (void)scripted_forget(NULL);
    scripted_connect(NULL);
    assert_int_equal(tlsmsg_client_close(client, &err), TLSMSG_CLIENT_AGAIN);
    test_clock_advance(999);
    assert_int_equal(tlsmsg_client_close(client, &err), TLSMSG_CLIENT_AGAIN);
    test_clock_advance(1);
    assert_int_equal(tlsmsg_client_close(client, &err), TLSMSG_CLIENT_OK);
    expect_done();
    assert_int_equal(err.code, TLSMSG_OK);
    scripted_finish();
}

/* A server that let the time run out is told that we go, and not waited for once more. */
static void a_silent_server_is_not_waited_for(void **state)
{
    (void)state;
    scripted_connect(NULL);
    assert_int_equal(scripted_send("a"), TLSMSG_CLIENT_OK);
    test_clock_advance(5000);
    tlsmsg_client_set_blocking(client, true);
    assert_int_equal(tlsmsg_client_receive(client, &(const char *){NULL}, &(size_t){0}, &err),
                     TLSMSG_CLIENT_ERROR);
    scripted_expect(TLSMSG_ERR_TIMEOUT, 0, "no reply within 5 s");
    assert_int_equal(tlsmsg_client_close(client, &err), TLSMSG_CLIENT_OK);
    assert_int_equal(on_shutdown.calls, 1);
    expect_done();
    scripted_finish();
}

static void an_end_that_is_known_is_not_waited_for(void **state)
{
    (void)state;
    scripted_connect(NULL);
    FOLLOW(on_recv, CLOSES);
    assert_int_equal(tlsmsg_client_watch(client, &err), TLSMSG_CLIENT_CLOSED);
    tlsmsg_error_clear(&err);
    assert_int_equal(tlsmsg_client_close(client, &err), TLSMSG_CLIENT_OK);
    assert_int_equal(on_shutdown.calls, 1);
    assert_int_equal(on_recv.calls, 1);
    assert_int_equal(err.code, TLSMSG_OK);
    expect_done();
    scripted_finish();
}

/* What a session can't read any more is read below it, and the server sees our end of file. */
static void a_broken_session_is_read_below(void **state)
{
    struct pollfd entry = {.events = POLLIN};

    (void)state;
    scripted_connect(NULL);
    entry.fd = tlsmsg_client_fd(client);
    peer_accept(peer);
    FOLLOW(on_shutdown, FAILS(TLSMSG_ERR_STATE));
    assert_int_equal(tlsmsg_client_close(client, &err), TLSMSG_CLIENT_AGAIN);
    assert_true(client->broken);
    assert_int_equal(client->state, CLIENT_DRAINING);
    assert_int_equal(err.code, TLSMSG_OK);
    peer_await_bytes(peer);
    assert_int_equal(recv(peer->fd, &(char){0}, 1, MSG_DONTWAIT), 0);
    peer_send_raw(peer, "garbage", 7);
    assert_int_equal(poll(&entry, 1, PEER_LIMIT_MS), 1);
    assert_int_equal(tlsmsg_client_close(client, &err), TLSMSG_CLIENT_AGAIN);
    assert_int_equal(poll(&entry, 1, 0), 0); /* it was read */
    peer_close(peer);
    assert_int_equal(poll(&entry, 1, PEER_LIMIT_MS), 1);
    assert_int_equal(tlsmsg_client_close(client, &err), TLSMSG_CLIENT_OK);
    assert_int_equal(on_shutdown.calls, 1);
    assert_int_equal(on_recv.calls, 0);
    expect_done();
    scripted_finish();
}

/* A session that never was is read below, too, for as long as any other. */
static void a_failed_handshake_is_read_below(void **state)
{
    (void)state;
    scripted_client();
    FOLLOW(on_handshake, FAILS(TLSMSG_ERR_HANDSHAKE));
    assert_int_equal(scripted_go(), TLSMSG_CLIENT_ERROR);
    tlsmsg_error_clear(&err);
    assert_int_equal(tlsmsg_client_close(client, &err), TLSMSG_CLIENT_AGAIN);
    assert_true(client->broken);
    assert_true(client->source.write_is_shut);
    assert_int_equal(on_recv.calls, 0);
    test_clock_advance(1000);
    assert_int_equal(tlsmsg_client_close(client, &err), TLSMSG_CLIENT_OK);
    expect_done();
    scripted_finish();
}

/* Whatever the server does after our last word is its own affair, but for a refusal: it was told in
 * time, and only we were early. */
static void tells_a_refusal_alone(void **state)
{
    static const struct {
        struct script_step steps[2];
        bool told;     /* to the caller */
        bool end_told; /* before */
    } rows[] = {
        {{FAILS(TLSMSG_ERR_REFUSED), DONE}, true, false},
        {{FAILS(TLSMSG_ERR_REFUSED), DONE}, false, true},
        {{GIVES("a reply"), FAILS(TLSMSG_ERR_REFUSED)}, false, false},
        {{FAILS(TLSMSG_ERR_RESET), DONE}, false, false},
        {{CLOSES, DONE}, false, false},
    };

    (void)state;
    for (size_t i = 0; i < COUNT_OF(rows); i++) {
        scripted_connect(NULL);
        on_recv = (struct script){.steps = rows[i].steps,
                                  .count = rows[i].steps[0].result == TRANSPORT_OK ? 2 : 1};
        client->end_told = rows[i].end_told;
        assert_int_equal(tlsmsg_client_close(client, &err),
                         rows[i].told ? TLSMSG_CLIENT_ERROR : TLSMSG_CLIENT_OK);
        if (rows[i].told) {
            scripted_expect(TLSMSG_ERR_REFUSED, SCRIPT_ERRNO, SCRIPT_TEXT);
            assert_true(client->end_told);
        }
        assert_int_equal(err.code, TLSMSG_OK);
        expect_done();
        scripted_finish();
        (void)scripted_forget(NULL);
    }
}

/* One that was found before, and not told yet. */
static void tells_a_refusal_that_was_found_before(void **state)
{
    (void)state;
    scripted_connect(NULL);
    FOLLOW(on_recv, FAILS(TLSMSG_ERR_REFUSED));
    client->flow->pull(client);
    assert_int_equal(client->end, CLIENT_END_ERROR);
    assert_int_equal(tlsmsg_client_close(client, &err), TLSMSG_CLIENT_ERROR);
    scripted_expect(TLSMSG_ERR_REFUSED, SCRIPT_ERRNO, SCRIPT_TEXT);
    expect_done();
    scripted_finish();
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(a_client_that_never_connected_is_done_at_once, scripted_forget),
        cmocka_unit_test_setup(says_goodbye_and_reads_on, scripted_forget),
        cmocka_unit_test_setup(waits_no_longer_than_a_second, scripted_forget),
        cmocka_unit_test_setup(a_silent_server_is_not_waited_for, scripted_forget),
        cmocka_unit_test_setup(an_end_that_is_known_is_not_waited_for, scripted_forget),
        cmocka_unit_test_setup(a_broken_session_is_read_below, scripted_forget),
        cmocka_unit_test_setup(a_failed_handshake_is_read_below, scripted_forget),
        cmocka_unit_test_setup(tells_a_refusal_alone, scripted_forget),
        cmocka_unit_test_setup(tells_a_refusal_that_was_found_before, scripted_forget),
    };
    return cmocka_run_group_tests(tests, ends_setup, ends_teardown);
}
