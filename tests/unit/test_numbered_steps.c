/* tlsmsg/1, a client's step at a time: its greeting, what leaves, and when time is up. What arrives
 * is in test_numbered_replies.c. */
#include <poll.h>
#include <string.h>

#include "support/unit.h"

#include "base/clock.h"
#include "client/internal.h"
#include "support/client_ends.h"
#include "support/scripted_transport.h"
#include "support/test_clock.h"

#define GREETING "HELLO 1 last=0 max=100000 window=3 promise=disk\n"

/* A client that was greeted so, and has said what it had to. */
static void greeted(void)
{
    scripted_connect(FRAME_PROTOCOL);
    FOLLOW(on_recv, GIVES(GREETING));
    assert_int_equal(tlsmsg_client_greet(client, &err), TLSMSG_CLIENT_OK);
    on_recv = (struct script){.steps = NULL};
    on_send = (struct script){.steps = NULL};
    scripted.sent_len = 0;
}

static void greets_before_all_else(void **state)
{
    (void)state;
    scripted_connect(FRAME_PROTOCOL);
    assert_ptr_equal(client->flow, &client_numbered_flow);
    assert_true(client->has_numbers);
    assert_int_equal(client->deadline_ns, in_ms(5000));
    assert_int_equal(tlsmsg_client_events(client), POLLIN); /* not yet known what to wait for */
    assert_int_equal(tlsmsg_client_timeout_ms(client), 5000);
    FOLLOW(on_send, WANTS_WRITE, TAKES(5), WANTS_READ);
    assert_int_equal(tlsmsg_client_greet(client, &err), TLSMSG_CLIENT_AGAIN);
    assert_int_equal(tlsmsg_client_events(client), POLLIN | POLLOUT);
    test_clock_advance(1000);
    assert_int_equal(tlsmsg_client_greet(client, &err), TLSMSG_CLIENT_AGAIN);
    assert_int_equal(client->deadline_ns, in_ms(5000));
    assert_int_equal(on_send.lens[1], 8);
    assert_int_equal(on_send.len, 3);
    assert_int_equal(tlsmsg_client_events(client), POLLIN);
    test_clock_advance(1000);
    FOLLOW(on_recv, GIVES("HELLO 1 last=7 max=100 "), WANTS_READ, GIVES("window=3 promise=disk\n"));
    assert_int_equal(tlsmsg_client_greet(client, &err), TLSMSG_CLIENT_AGAIN);
    scripted_expect_sent("HELLO 1\n");
    assert_null(tlsmsg_client_hello(client));
    assert_int_equal(client->deadline_ns, in_ms(5000)); /* our last bytes have left */
    assert_int_equal(tlsmsg_client_greet(client, &err), TLSMSG_CLIENT_OK);
    assert_int_equal(client->deadline_ns, 0);
    assert_int_equal(tlsmsg_client_hello(client)->last, 7);
    assert_int_equal(tlsmsg_client_hello(client)->max, 100);
    assert_int_equal(tlsmsg_client_hello(client)->window, 3);
    assert_int_equal(tlsmsg_client_hello(client)->promise, TLSMSG_PROMISE_DISK);
    assert_int_equal(client->numbers.heard_ns, clock_since_boot_ns());

    assert_int_equal(tlsmsg_client_greet(client, &err), TLSMSG_CLIENT_OK);
    assert_int_equal(on_send.calls, 4);
    assert_int_equal(on_recv.calls, 4); /* until nothing came */
    assert_int_equal(err.code, TLSMSG_OK);
    scripted_finish();
}

/* The user's window counts where it is smaller. */
static void the_smaller_window_counts(void **state)
{
    static const struct {
        size_t window;
        uint64_t expected;
    } rows[] = {{0, 3}, {2, 2}, {3, 3}, {4, 3}};

    (void)state;
    for (size_t i = 0; i < COUNT_OF(rows); i++) {
        scripted_connect(FRAME_PROTOCOL);
        client->settings.window = rows[i].window;
        FOLLOW(on_recv, GIVES(GREETING));
        assert_int_equal(tlsmsg_client_greet(client, &err), TLSMSG_CLIENT_OK);
        assert_int_equal(tlsmsg_client_hello(client)->window, rows[i].expected);
        scripted_finish();
    }
}

static void tells_why_no_greeting_comes(void **state)
{
    (void)state;
    scripted_connect(FRAME_PROTOCOL);
    assert_int_equal(scripted_receive(NULL), TLSMSG_CLIENT_AGAIN);
    scripted_expect_sent("HELLO 1\n"); /* whichever call comes first */
    test_clock_advance(5000);
    assert_int_equal(scripted_receive(NULL), TLSMSG_CLIENT_ERROR);
    scripted_expect(TLSMSG_ERR_TIMEOUT, 0, "no HELLO within 5 s");
    scripted_finish();

    (void)scripted_forget(NULL);
    scripted_connect(FRAME_PROTOCOL);
    assert_int_equal(scripted_send("a"), TLSMSG_CLIENT_AGAIN);
    test_clock_advance(5000);
    assert_int_equal(tlsmsg_client_greet(client, &err), TLSMSG_CLIENT_ERROR);
    scripted_expect(TLSMSG_ERR_TIMEOUT, 0, "no HELLO within 5 s");
    scripted_expect_sent("HELLO 1\n");
    scripted_finish();

    (void)scripted_forget(NULL);
    scripted_connect(FRAME_PROTOCOL);
    FOLLOW(on_recv, FAILS(TLSMSG_ERR_RESET));
    assert_int_equal(tlsmsg_client_greet(client, &err), TLSMSG_CLIENT_ERROR);
    scripted_expect(TLSMSG_ERR_RESET, SCRIPT_ERRNO, SCRIPT_TEXT);
    client->state = CLIENT_OPEN; /* as if it could be asked again: the end stays the same */
    assert_int_equal(tlsmsg_client_greet(client, &err), TLSMSG_CLIENT_ERROR);
    scripted_expect(TLSMSG_ERR_RESET, SCRIPT_ERRNO, SCRIPT_TEXT);
    assert_int_equal(on_send.calls, 1);
    assert_int_equal(on_recv.calls, 1);
    scripted_finish();
}

/* Whatever moves gives the server its time anew, and nothing else does. */
static void sends_a_frame_in_pieces(void **state)
{
    (void)state;
    greeted();
    FOLLOW(on_send, WANTS_WRITE, TAKES(3), WANTS_READ, WANTS_WRITE, TAKES(10), DONE);
    assert_int_equal(scripted_send("hello"), TLSMSG_CLIENT_AGAIN);
    assert_int_equal(client->deadline_ns, in_ms(5000));
    assert_int_equal(tlsmsg_client_events(client), POLLIN | POLLOUT);
    assert_int_equal(client->numbers.known, 1); /* the server may have it from now on */
    assert_int_equal(tlsmsg_client_number(client), 0);
    test_clock_advance(1000);
    assert_int_equal(scripted_send("hello"), TLSMSG_CLIENT_AGAIN);
    assert_int_equal(client->deadline_ns, in_ms(5000));
    assert_int_equal(tlsmsg_client_events(client), POLLIN);
    test_clock_advance(1000);
    assert_int_equal(scripted_send("hello"), TLSMSG_CLIENT_AGAIN);
    assert_int_equal(client->deadline_ns, in_ms(4000));
    assert_int_equal(scripted_send("hello"), TLSMSG_CLIENT_OK);
    assert_int_equal(client->deadline_ns, in_ms(5000));
    assert_int_equal(tlsmsg_client_events(client), POLLIN);
    assert_int_equal(tlsmsg_client_number(client), 1);
    assert_int_equal(tlsmsg_client_unanswered(client), 1);
    scripted_expect_sent("MSG 1 5\nhello\n");
    assert_int_equal(scripted_send("!"), TLSMSG_CLIENT_OK);
    scripted_expect_sent("MSG 1 5\nhello\nMSG 2 1\n!\n");
    assert_int_equal(tlsmsg_client_unanswered(client), 2);
    assert_int_equal(client->numbers.known, 2);
    assert_int_equal(err.code, TLSMSG_OK);
    scripted_finish();
}

/* Full records and a rest, and one more only where the line end has no room. */
static void fills_records(void **state)
{
    static char data[2 * TLS_RECORD_BYTES];
    static const size_t head = sizeof("MSG 1 12345\n") - 1;
    static const struct {
        size_t len; /* of the message */
        unsigned records;
    } rows[] = {
        {TLS_RECORD_BYTES - 1 - head, 1},         {TLS_RECORD_BYTES - head, 2},
        {2 * TLS_RECORD_BYTES - 2 - head, 2},     {2 * TLS_RECORD_BYTES - 1 - head, 2},
        {2 * (size_t)TLS_RECORD_BYTES - head, 3},
    };

    (void)state;
    for (size_t i = 0; i < sizeof(data); i++) {
        data[i] = (char)('a' + i % 23);
    }
    for (size_t i = 0; i < COUNT_OF(rows); i++) {
        size_t whole = head + rows[i].len + 1;

        greeted();
        assert_int_equal(tlsmsg_client_send(client, data, rows[i].len, &err), TLSMSG_CLIENT_OK);
        assert_int_equal(on_send.calls, rows[i].records);
        for (size_t n = 0; n + 1 < rows[i].records; n++) {
            assert_int_equal(on_send.lens[n], TLS_RECORD_BYTES);
        }
        assert_int_equal(on_send.len, whole - (rows[i].records - 1) * TLS_RECORD_BYTES);
        assert_int_equal(scripted.sent_len, whole);
        assert_memory_equal(scripted.sent, "MSG 1 ", 6);
        assert_memory_equal(scripted.sent + head, data, rows[i].len);
        assert_int_equal(scripted.sent[whole - 1], '\n');
        scripted_finish();
        (void)scripted_forget(NULL);
    }
}

static void sends_one_message_at_a_time(void **state)
{
    (void)state;
    greeted();
    scripted_expect_one_message();
    assert_int_equal(tlsmsg_client_number_from(client, 1, &err), TLSMSG_ERR_STATE);
    tlsmsg_error_clear(&err);
    /* Who receives meanwhile sends nothing of it. */
    assert_int_equal(scripted_receive(NULL), TLSMSG_CLIENT_AGAIN);
    assert_int_equal(on_send.calls, 1);
    assert_int_equal(scripted_send("hello"), TLSMSG_CLIENT_OK);
    scripted_expect_sent("MSG 1 5\nhello\n");
    scripted_finish();
}

static void takes_no_message_that_the_server_would_not(void **state)
{
    static char data[100001];

    (void)state;
    greeted();
    memset(data, 'x', sizeof(data));
    assert_int_equal(tlsmsg_client_send(client, data, 100001, &err), TLSMSG_CLIENT_ERROR);
    scripted_expect_bare(TLSMSG_ERR_LIMIT,
                         "a message of 100001 bytes is over the server's limit of 100000 bytes");
    assert_int_equal(client->state, CLIENT_OPEN);
    assert_int_equal(tlsmsg_client_send(client, data, 100000, &err), TLSMSG_CLIENT_OK);
    scripted_finish();
}

/* A number that the server has of an earlier run is given to no new message. */
static void gives_no_number_twice(void **state)
{
    (void)state;
    scripted_connect(FRAME_PROTOCOL);
    FOLLOW(on_recv, GIVES("HELLO 1 last=2 max=100 window=9 promise=none\n"));
    assert_int_equal(scripted_send("a"), TLSMSG_CLIENT_ERROR);
    scripted_expect_bare(TLSMSG_ERR_STATE,
                         "the server has messages up to 2 of this producer, so 1 can't be given to "
                         "a new one");
    assert_int_equal(client->state, CLIENT_OPEN);
    client->numbers.next = 2;
    assert_int_equal(scripted_send("a"), TLSMSG_CLIENT_ERROR);
    assert_int_equal(err.code, TLSMSG_ERR_STATE);
    tlsmsg_error_clear(&err);
    client->numbers.known = 2; /* sent before, over a connection that was lost */
    assert_int_equal(scripted_send("a"), TLSMSG_CLIENT_OK);
    assert_int_equal(client->numbers.known, 2);
    assert_int_equal(scripted_send("b"), TLSMSG_CLIENT_OK);
    assert_int_equal(client->numbers.known, 3);
    client->numbers.known = 9;
    assert_int_equal(scripted_send("c"), TLSMSG_CLIENT_OK);
    assert_int_equal(client->numbers.known, 9);
    scripted_expect_sent("HELLO 1\nMSG 2 1\na\nMSG 3 1\nb\nMSG 4 1\nc\n");
    scripted_finish();
}

/* Once replies fill the room nothing is read, waited for or begun, until they are received. */
static void waits_for_room(void **state)
{
    (void)state;
    greeted();
    client->numbered.whole = CLIENT_QUEUE_MAX;
    assert_int_equal(tlsmsg_client_events(client), 0);
    assert_int_equal(tlsmsg_client_timeout_ms(client), 0);
    assert_int_equal(tlsmsg_client_watch(client, &err), TLSMSG_CLIENT_OK);
    assert_int_equal(on_recv.calls, 0);
    assert_int_equal(scripted_send("a"), TLSMSG_CLIENT_FULL);
    assert_int_equal(on_send.calls, 0);
    client->numbered.whole--;
    assert_int_equal(tlsmsg_client_events(client), POLLIN);
    FOLLOW(on_send, WANTS_WRITE, WANTS_WRITE);
    assert_int_equal(scripted_send("a"), TLSMSG_CLIENT_AGAIN);
    assert_int_equal(on_recv.calls, 1);
    client->numbered.whole++;
    assert_int_equal(tlsmsg_client_events(client), POLLOUT);
    assert_int_equal(scripted_send("a"), TLSMSG_CLIENT_FULL);
    client->numbered.whole = 0;
    assert_int_equal(tlsmsg_client_timeout_ms(client), 5000);
    scripted_finish();
}

static void a_blocked_send_ends_in_time(void **state)
{
    (void)state;
    greeted();
    scripted_expect_late_send();
    scripted_finish();
}

/* What came before the end is received first; then no message is under way any more. */
static void an_end_ends_a_blocked_send(void **state)
{
    (void)state;
    greeted();
    assert_int_equal(scripted_send("a"), TLSMSG_CLIENT_OK);
    FOLLOW(on_send, WANTS_WRITE);
    FOLLOW(on_recv, GIVES("OK 1 1\nx\n"), FAILS(TLSMSG_ERR_TRUNCATED));
    assert_int_equal(scripted_send("bb"), TLSMSG_CLIENT_FULL);
    assert_false(client->numbered.sending);
    assert_int_equal(tlsmsg_client_number(client), 1);
    assert_int_equal(scripted_send("c"), TLSMSG_CLIENT_FULL);
    assert_int_equal(err.code, TLSMSG_OK);
    assert_int_equal(scripted_receive("x"), TLSMSG_CLIENT_OK);
    assert_int_equal(scripted_send("c"), TLSMSG_CLIENT_ERROR);
    scripted_expect(TLSMSG_ERR_TRUNCATED, SCRIPT_ERRNO, SCRIPT_TEXT);
    assert_int_equal(on_send.calls, 1);
    scripted_finish();
}

static void a_failed_send_tells_the_end(void **state)
{
    (void)state;
    greeted();
    FOLLOW(on_send, FAILS(TLSMSG_ERR_PROTOCOL));
    assert_int_equal(scripted_send("a"), TLSMSG_CLIENT_ERROR);
    scripted_expect(TLSMSG_ERR_PROTOCOL, SCRIPT_ERRNO, SCRIPT_TEXT);
    assert_int_equal(on_recv.calls, 0);
    scripted_finish();
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(greets_before_all_else, scripted_forget),
        cmocka_unit_test_setup(the_smaller_window_counts, scripted_forget),
        cmocka_unit_test_setup(tells_why_no_greeting_comes, scripted_forget),
        cmocka_unit_test_setup(sends_a_frame_in_pieces, scripted_forget),
        cmocka_unit_test_setup(fills_records, scripted_forget),
        cmocka_unit_test_setup(sends_one_message_at_a_time, scripted_forget),
        cmocka_unit_test_setup(takes_no_message_that_the_server_would_not, scripted_forget),
        cmocka_unit_test_setup(gives_no_number_twice, scripted_forget),
        cmocka_unit_test_setup(waits_for_room, scripted_forget),
        cmocka_unit_test_setup(a_blocked_send_ends_in_time, scripted_forget),
        cmocka_unit_test_setup(an_end_ends_a_blocked_send, scripted_forget),
        cmocka_unit_test_setup(a_failed_send_tells_the_end, scripted_forget),
    };
    return cmocka_run_group_tests(tests, ends_setup, ends_teardown);
}
