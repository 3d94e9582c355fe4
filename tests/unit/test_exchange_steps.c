/* The document's flow, a step at a time: what is sent, kept and told, and when time is up. */
#include <poll.h>
#include <string.h>

#include "support/unit.h"

#include "base/build.h"
#include "client/internal.h"
#include "support/client_ends.h"
#include "support/scripted_transport.h"
#include "support/test_clock.h"

static void begins_with_nothing_due(void **state)
{
    (void)state;
    scripted_connect(NULL);
    assert_ptr_equal(client->flow, &client_exchange_flow);
    assert_false(client->has_numbers);
    assert_false(client->exchange.sending);
    assert_false(client->exchange.due);
    assert_int_equal(client->deadline_ns, 0);
    assert_int_equal(client->exchange.queue.bytes.limit, CLIENT_QUEUE_MAX);
    assert_int_equal(client->exchange.queue.keeps_records, BUILD_HAS_TLS);
    assert_int_equal(tlsmsg_client_events(client), POLLIN);
    assert_int_equal(tlsmsg_client_timeout_ms(client), -1);
    assert_int_equal(tlsmsg_client_greet(client, &err), TLSMSG_CLIENT_OK);
    assert_int_equal(on_recv.calls, 0);
    scripted_finish();
}

/* Whatever moves gives the server its time anew, and nothing else does. */
static void sends_in_pieces(void **state)
{
    (void)state;
    scripted_connect(NULL);
    FOLLOW(on_send, WANTS_WRITE, TAKES(2), WANTS_READ, WANTS_WRITE, TAKES(1), TAKES(2));
    assert_int_equal(scripted_send("hello"), TLSMSG_CLIENT_AGAIN);
    assert_int_equal(tlsmsg_client_events(client), POLLIN | POLLOUT);
    assert_int_equal(client->deadline_ns, in_ms(5000));
    assert_int_equal(client->exchange.queue.bytes.limit, CLIENT_QUEUE_MAX + 10);
    assert_int_equal(on_send.len, 5);

    test_clock_advance(1000);
    assert_int_equal(scripted_send("hello"), TLSMSG_CLIENT_AGAIN);
    assert_int_equal(tlsmsg_client_events(client), POLLIN);
    assert_int_equal(client->deadline_ns, in_ms(5000));
    assert_int_equal(on_send.len, 3);

    test_clock_advance(1000);
    assert_int_equal(scripted_send("hello"), TLSMSG_CLIENT_AGAIN);
    assert_int_equal(tlsmsg_client_events(client), POLLIN | POLLOUT);
    assert_int_equal(client->deadline_ns, in_ms(4000));
    assert_false(client->exchange.due);

    assert_int_equal(scripted_send("hello"), TLSMSG_CLIENT_OK);
    assert_int_equal(client->deadline_ns, in_ms(5000));
    assert_int_equal(tlsmsg_client_events(client), POLLIN);
    assert_true(client->exchange.due);
    assert_int_equal(scripted_send("!"), TLSMSG_CLIENT_OK);
    assert_int_equal(scripted.sent_len, 6);
    assert_memory_equal(scripted.sent, "hello!", 6);
    assert_int_equal(client->exchange.queue.bytes.limit, CLIENT_QUEUE_MAX + 10); /* as it was */
    assert_int_equal(err.code, TLSMSG_OK);
    scripted_finish();
}

static void sends_one_message_at_a_time(void **state)
{
    (void)state;
    scripted_connect(NULL);
    scripted_expect_one_message();
    assert_int_equal(scripted_receive(NULL), TLSMSG_CLIENT_ERROR);
    scripted_expect_bare(TLSMSG_ERR_STATE, "a message is still being sent");
    assert_int_equal(on_send.calls, 1);
    assert_int_equal(client->state, CLIENT_OPEN);
    assert_int_equal(scripted_send("hello"), TLSMSG_CLIENT_OK);
    scripted_finish();
}

static void a_blocked_send_ends_in_time(void **state)
{
    (void)state;
    scripted_connect(NULL);
    scripted_expect_late_send();
    scripted_finish();
}

/* What the server says to a blocked send is kept, as the end is told at once. */
static void an_end_ends_a_blocked_send(void **state)
{
    (void)state;
    scripted_connect(NULL);
    FOLLOW(on_send, TAKES(1), WANTS_WRITE);
    FOLLOW(on_recv, GIVES("bye"), CLOSES);
    assert_int_equal(scripted_send("hello"), TLSMSG_CLIENT_CLOSED);
    scripted_expect(TLSMSG_ERR_CLOSED, 0, SCRIPT_CLOSED);
    assert_false(client->exchange.sending);
    assert_int_equal(client->state, CLIENT_OPEN);
    assert_int_equal(scripted_receive("bye"), TLSMSG_CLIENT_OK);
    assert_int_equal(scripted_send("hello"), TLSMSG_CLIENT_CLOSED);
    tlsmsg_error_clear(&err);
    assert_int_equal(scripted_receive(NULL), TLSMSG_CLIENT_CLOSED);
    assert_int_equal(err.code, TLSMSG_ERR_CLOSED);
    assert_int_equal(on_send.calls, 2);
    assert_int_equal(on_recv.calls, 2);
    scripted_finish();
}

/* A send that could go on leaves what has come where it is. */
static void nothing_is_read_for_a_send_that_is_done(void **state)
{
    (void)state;
    scripted_connect(NULL);
    assert_int_equal(scripted_send("hello"), TLSMSG_CLIENT_OK);
    assert_int_equal(on_recv.calls, 0);
    scripted_finish();
}

/* Room for a whole record has to be left; without it nothing is read, nor waited for. */
static void keeps_only_what_it_has_room_for(void **state)
{
    size_t head = BUILD_HAS_TLS ? sizeof(uint32_t) : 0;
    struct buffer *bytes;

    (void)state;
    scripted_connect(NULL);
    bytes = &client->exchange.queue.bytes;
    bytes->limit = head + TLS_RECORD_BYTES;
    FOLLOW(on_recv, GIVES("news"), GIVES("more"));
    assert_int_equal(tlsmsg_client_events(client), POLLIN);
    assert_int_equal(tlsmsg_client_watch(client, &err), TLSMSG_CLIENT_OK);
    assert_int_equal(on_recv.calls, 1);
    assert_int_equal(on_recv.len, TLS_RECORD_BYTES);
    assert_int_equal(bytes->len, head + 4);
    assert_int_equal(tlsmsg_client_events(client), 0);
    bytes->limit += head + 4;
    assert_int_equal(tlsmsg_client_watch(client, &err), TLSMSG_CLIENT_OK);
    assert_int_equal(bytes->len, 2 * (head + 4));
    scripted_finish();
}

static void what_is_due_and_here_is_not_waited_for(void **state)
{
    (void)state;
    scripted_connect(NULL);
    FOLLOW(on_recv, GIVES("news"));
    assert_int_equal(tlsmsg_client_watch(client, &err), TLSMSG_CLIENT_OK);
    assert_int_equal(tlsmsg_client_timeout_ms(client), -1); /* nothing is due */
    assert_int_equal(scripted_send("hello"), TLSMSG_CLIENT_OK);
    assert_int_equal(tlsmsg_client_timeout_ms(client), 0);
    scripted_finish();
}

static void waits_for_a_reply_in_time(void **state)
{
    (void)state;
    scripted_connect(NULL);
    /* Due from the first call, where nothing was sent. */
    FOLLOW(on_recv, WANTS_READ, GIVES("\xe4\xbd"), WANTS_WRITE, GIVES("\xa0you\xe4"), WANTS_READ,
           GIVES("\xbd\xa0"));
    assert_int_equal(scripted_receive(NULL), TLSMSG_CLIENT_AGAIN);
    assert_int_equal(client->deadline_ns, in_ms(5000));
    assert_false(client->replied);
    test_clock_advance(1000);
    assert_int_equal(scripted_receive(NULL), TLSMSG_CLIENT_AGAIN);
    assert_int_equal(client->deadline_ns, in_ms(4000)); /* a part of a character is no reply */
    assert_true(client->replied);
    assert_int_equal(scripted_receive("\xe4\xbd\xa0you"), TLSMSG_CLIENT_OK);
    assert_int_equal(client->deadline_ns, 0);
    assert_false(client->exchange.due);
    assert_int_equal(scripted_receive(NULL), TLSMSG_CLIENT_AGAIN);
    assert_int_equal(client->deadline_ns, in_ms(5000));
    assert_int_equal(scripted_receive("\xe4\xbd\xa0"), TLSMSG_CLIENT_OK);
    assert_int_equal(client->exchange.tail_len, 0);

    assert_int_equal(scripted_receive(NULL), TLSMSG_CLIENT_AGAIN);
    test_clock_advance(4999);
    assert_int_equal(scripted_receive(NULL), TLSMSG_CLIENT_AGAIN);
    test_clock_advance(1);
    assert_int_equal(scripted_receive(NULL), TLSMSG_CLIENT_ERROR);
    scripted_expect(TLSMSG_ERR_TIMEOUT, 0, "no reply within 5 s");
    assert_true(client->timed_out);
    scripted_finish();
}

static void tells_why_no_reply_comes(void **state)
{
    static const struct {
        struct script_step steps[2];
        enum tlsmsg_code code;
        int sys_errno;
        const char *text;
    } rows[] = {
        {{GIVES("gr\xfc\xdf"), WANTS_READ}, TLSMSG_ERR_UTF8, 0, "the reply is not valid UTF-8"},
        {{GIVES("\xe4"), GIVES("\x28")}, TLSMSG_ERR_UTF8, 0, "the reply is not valid UTF-8"},
        {{GIVES("\xe4"), CLOSES},
         TLSMSG_ERR_UTF8,
         0,
         "the reply ends in the middle of a character"},
        {{GIVES("\xe4"), FAILS(TLSMSG_ERR_TRUNCATED)},
         TLSMSG_ERR_TRUNCATED,
         SCRIPT_ERRNO,
         SCRIPT_TEXT},
        {{FAILS(TLSMSG_ERR_PROTOCOL), WANTS_READ}, TLSMSG_ERR_PROTOCOL, SCRIPT_ERRNO, SCRIPT_TEXT},
    };

    (void)state;
    for (size_t i = 0; i < COUNT_OF(rows); i++) {
        scripted_connect(NULL);
        on_recv = (struct script){.steps = rows[i].steps,
                                  .count = rows[i].steps[1].result == TRANSPORT_WANT_READ ? 1 : 2};
        assert_int_equal(scripted_receive(NULL), TLSMSG_CLIENT_ERROR);
        scripted_expect(rows[i].code, rows[i].sys_errno, rows[i].text);
        assert_int_equal(client->state, CLIENT_FAILED);
        assert_false(client->timed_out);
        assert_int_equal(client->deadline_ns, 0);
        scripted_finish();
    }
}

/* What waits is given first; in plaintext it is filled up, as one recv would have given it. */
static void a_reply_is_what_one_recv_gives(void **state)
{
    (void)state;
    scripted_connect(NULL);
    FOLLOW(on_recv, GIVES("one"), WANTS_READ, GIVES("two"));
    assert_int_equal(tlsmsg_client_watch(client, &err), TLSMSG_CLIENT_OK);
    assert_int_equal(scripted_receive(BUILD_HAS_TLS ? "one" : "onetwo"), TLSMSG_CLIENT_OK);
    if (BUILD_HAS_TLS) {
        assert_int_equal(scripted_receive("two"), TLSMSG_CLIENT_OK);
    }
    assert_int_equal(on_recv.len, BUILD_HAS_TLS ? BUILD_RECV_SIZE : BUILD_RECV_SIZE - 3);
    assert_int_equal(on_recv.calls, 3);
    scripted_finish();
}

/* A queued piece as long as a recv is whole. */
static void a_full_piece_is_not_filled_up(void **state)
{
    static char piece[BUILD_RECV_SIZE + 1];

    (void)state;
    scripted_connect(NULL);
    memset(piece, 'x', BUILD_RECV_SIZE);
    FOLLOW(on_recv, GIVES(piece));
    assert_int_equal(tlsmsg_client_watch(client, &err), TLSMSG_CLIENT_OK);
    assert_int_equal(on_recv.calls, 2);
    assert_int_equal(scripted_receive(piece), TLSMSG_CLIENT_OK);
    assert_int_equal(on_recv.calls, 2);
    scripted_finish();
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(begins_with_nothing_due, scripted_forget),
        cmocka_unit_test_setup(sends_in_pieces, scripted_forget),
        cmocka_unit_test_setup(sends_one_message_at_a_time, scripted_forget),
        cmocka_unit_test_setup(a_blocked_send_ends_in_time, scripted_forget),
        cmocka_unit_test_setup(an_end_ends_a_blocked_send, scripted_forget),
        cmocka_unit_test_setup(nothing_is_read_for_a_send_that_is_done, scripted_forget),
        cmocka_unit_test_setup(keeps_only_what_it_has_room_for, scripted_forget),
        cmocka_unit_test_setup(what_is_due_and_here_is_not_waited_for, scripted_forget),
        cmocka_unit_test_setup(waits_for_a_reply_in_time, scripted_forget),
        cmocka_unit_test_setup(tells_why_no_reply_comes, scripted_forget),
        cmocka_unit_test_setup(a_reply_is_what_one_recv_gives, scripted_forget),
        cmocka_unit_test_setup(a_full_piece_is_not_filled_up, scripted_forget),
    };
    return cmocka_run_group_tests(tests, ends_setup, ends_teardown);
}
