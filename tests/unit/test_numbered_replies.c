/* tlsmsg/1, what a client makes of what arrives: replies, broken rules, ends and no memory. */
#include <poll.h>
#include <string.h>

#include "support/unit.h"

#include "base/clock.h"
#include "client/internal.h"
#include "support/client_ends.h"
#include "support/failmalloc.h"
#include "support/scripted_transport.h"
#include "support/test_clock.h"

#define GREETING "HELLO 1 last=0 max=100000 window=3 promise=disk\n"
#define BROKE "the server broke tlsmsg/1: "

/* A client that was greeted so, and has sent two messages. */
static void waiting(void)
{
    scripted_connect(FRAME_PROTOCOL);
    FOLLOW(on_recv, GIVES(GREETING));
    assert_int_equal(scripted_send("a"), TLSMSG_CLIENT_OK);
    assert_int_equal(scripted_send("b"), TLSMSG_CLIENT_OK);
    on_recv = (struct script){.steps = NULL};
}

/* Every part of what is owed gives the server its time anew; with the last nothing is due. */
static void takes_replies_as_they_come(void **state)
{
    (void)state;
    waiting();
    FOLLOW(on_recv, GIVES("OK 1 5\nhe"), WANTS_READ, GIVES("llo"), WANTS_READ,
           GIVES("\nOK 2 2\nhi\n"));
    test_clock_advance(1000);
    assert_int_equal(scripted_receive(NULL), TLSMSG_CLIENT_AGAIN);
    assert_int_equal(client->deadline_ns, in_ms(5000));
    assert_int_equal(client->numbers.heard_ns, clock_since_boot_ns());
    assert_int_equal(on_recv.len, TLS_RECORD_BYTES);
    assert_false(client->replied);
    test_clock_advance(1000);
    assert_int_equal(tlsmsg_client_watch(client, &err), TLSMSG_CLIENT_OK);
    assert_int_equal(client->deadline_ns, in_ms(5000));
    assert_int_equal(tlsmsg_client_timeout_ms(client), 5000);
    test_clock_advance(1000);
    assert_int_equal(tlsmsg_client_watch(client, &err), TLSMSG_CLIENT_OK);
    assert_int_equal(client->deadline_ns, 0);
    assert_int_equal(tlsmsg_client_timeout_ms(client), 0); /* here already */
    assert_true(client->replied);
    assert_int_equal(tlsmsg_client_reply_number(client), 0);
    assert_int_equal(tlsmsg_client_unanswered(client), 2);
    assert_int_equal(scripted_receive("hello"), TLSMSG_CLIENT_OK);
    assert_int_equal(tlsmsg_client_reply_number(client), 1);
    assert_int_equal(tlsmsg_client_unanswered(client), 1);
    assert_int_equal(scripted_receive("hi"), TLSMSG_CLIENT_OK);
    assert_int_equal(tlsmsg_client_reply_number(client), 2);
    assert_int_equal(tlsmsg_client_unanswered(client), 0);
    assert_int_equal(client->numbers.from, 3);
    assert_int_equal(on_recv.calls, 6); /* what is here is given without asking */
    assert_int_equal(scripted_receive(NULL), TLSMSG_CLIENT_AGAIN);
    assert_int_equal(client->numbered.in.len, 0);
    assert_int_equal(err.code, TLSMSG_OK);
    scripted_finish();
}

/* A reply that has come gives the next one its time. */
static void the_next_reply_has_its_time(void **state)
{
    (void)state;
    waiting();
    test_clock_advance(4000);
    FOLLOW(on_recv, GIVES("OK 1 1\nx\n"));
    assert_int_equal(scripted_receive("x"), TLSMSG_CLIENT_OK);
    assert_int_equal(client->deadline_ns, in_ms(5000));
    test_clock_advance(4999);
    assert_int_equal(scripted_receive(NULL), TLSMSG_CLIENT_AGAIN);
    test_clock_advance(1);
    assert_int_equal(scripted_receive(NULL), TLSMSG_CLIENT_ERROR);
    scripted_expect(TLSMSG_ERR_TIMEOUT, 0, "no reply within 5 s");
    scripted_finish();
}

/* Whoever blocks would wait for ever; a foreign loop may well look. */
static void nothing_due_is_told_to_who_blocks(void **state)
{
    (void)state;
    waiting();
    FOLLOW(on_recv, GIVES("OK 1 1\nx\nOK 2 1\ny\n"));
    assert_int_equal(scripted_receive("x"), TLSMSG_CLIENT_OK);
    assert_int_equal(scripted_receive("y"), TLSMSG_CLIENT_OK);
    assert_int_equal(scripted_receive(NULL), TLSMSG_CLIENT_AGAIN);
    tlsmsg_client_set_blocking(client, true);
    assert_int_equal(scripted_receive(NULL), TLSMSG_CLIENT_ERROR);
    scripted_expect_bare(TLSMSG_ERR_STATE, "no message is unanswered");
    assert_int_equal(client->state, CLIENT_OPEN);
    scripted_finish();
}

static void tells_exactly_what_was_broken(void **state)
{
    static const struct {
        const char *bytes;
        enum tlsmsg_code code;
        const char *text;
        unsigned good; /* replies that are received before */
        unsigned bye;
    } rows[] = {
        {GREETING, TLSMSG_ERR_PROTOCOL, BROKE "a second HELLO", 0, 0},
        {"OK 3 1\nx\n", TLSMSG_ERR_PROTOCOL, BROKE "a reply to a message that was not sent", 0, 0},
        {"OK 2 1\nx\n", TLSMSG_ERR_PROTOCOL, BROKE "replies out of order", 0, 0},
        {"OK 1 1\nx\nOK 1 1\nx\n", TLSMSG_ERR_PROTOCOL, BROKE "replies out of order", 1, 0},
        {"OK 1 101025\n", TLSMSG_ERR_PROTOCOL, BROKE "a reply longer than its max allows", 0, 0},
        {"OK 1 1\nxy", TLSMSG_ERR_PROTOCOL, BROKE "a body of another length than its header says",
         0, 0},
        {"OK 1 2\n\xc3(\n", TLSMSG_ERR_UTF8, "the reply is not valid UTF-8", 0, 0},
        {"BYE 503 2\n\xc3(\n", TLSMSG_ERR_UTF8, "the reply is not valid UTF-8", 0, 0},
        {"BYE 507 2\na\x1b\n", TLSMSG_ERR_BYE,
         "the server ended the conversation: a\\x1b (BYE 507)", 0, 507},
        {"OK 1 1\nx\nOK 2 1\ny\nBYE 503 8\nstopping\nOK 3 1\nz\n", TLSMSG_ERR_BYE,
         "the server ended the conversation: stopping (BYE 503)", 2, 503},
    };

    (void)state;
    for (size_t i = 0; i < COUNT_OF(rows); i++) {
        const struct script_step step = GIVES(rows[i].bytes);

        waiting();
        on_recv = (struct script){.steps = &step, .count = 1};
        for (unsigned n = 0; n < rows[i].good; n++) {
            assert_int_equal(scripted_receive(n == 0 ? "x" : "y"), TLSMSG_CLIENT_OK);
        }
        assert_int_equal(scripted_receive(NULL), TLSMSG_CLIENT_ERROR);
        scripted_expect(rows[i].code, 0, rows[i].text);
        assert_int_equal(tlsmsg_client_bye(client), rows[i].bye);
        assert_int_equal(on_recv.calls, 1);
        scripted_finish();
        (void)scripted_forget(NULL);
    }
}

static void a_reply_before_the_greeting_breaks_the_rules(void **state)
{
    (void)state;
    scripted_connect(FRAME_PROTOCOL);
    FOLLOW(on_recv, GIVES("OK 1 1\nx\n"));
    assert_int_equal(tlsmsg_client_greet(client, &err), TLSMSG_CLIENT_ERROR);
    scripted_expect(TLSMSG_ERR_PROTOCOL, 0, BROKE "a reply before HELLO");
    scripted_finish();
}

/* A reply may be so much longer than the longest message. */
static void the_longest_reply_is_taken(void **state)
{
    (void)state;
    waiting();
    FOLLOW(on_recv, GIVES("OK 1 101024\n"));
    assert_int_equal(scripted_receive(NULL), TLSMSG_CLIENT_AGAIN);
    scripted_finish();
}

static void an_end_is_told_after_what_came_before(void **state)
{
    static const struct {
        struct script_step end;
        enum tlsmsg_client_result result;
        enum tlsmsg_code code;
    } rows[] = {
        {CLOSES, TLSMSG_CLIENT_CLOSED, TLSMSG_ERR_CLOSED},
        {FAILS(TLSMSG_ERR_TRUNCATED), TLSMSG_CLIENT_ERROR, TLSMSG_ERR_TRUNCATED},
    };

    (void)state;
    for (size_t i = 0; i < COUNT_OF(rows); i++) {
        const struct script_step steps[] = {GIVES("OK 1 1\nx\nOK 2 5\nhal"), rows[i].end};

        waiting();
        on_recv = (struct script){.steps = steps, .count = 2};
        assert_int_equal(tlsmsg_client_watch(client, &err), TLSMSG_CLIENT_OK);
        assert_int_equal(scripted_receive("x"), TLSMSG_CLIENT_OK);
        assert_int_equal(scripted_receive(NULL), rows[i].result);
        if (rows[i].code == TLSMSG_ERR_CLOSED) {
            scripted_expect(TLSMSG_ERR_CLOSED, 0, SCRIPT_CLOSED);
        } else {
            scripted_expect(rows[i].code, SCRIPT_ERRNO, SCRIPT_TEXT);
        }
        assert_int_equal(on_recv.calls, 2);
        scripted_finish();
        (void)scripted_forget(NULL);
    }
}

/* For the head of a reply, and for its bytes. */
static void no_memory_for_a_reply_is_told(void **state)
{
    static char body[4096 + sizeof("OK 1 9000\n")];
    static const char *const first[] = {"OK 1 1\n", NULL};

    (void)state;
    memset(body, 'x', sizeof(body) - 1);
    memcpy(body, "OK 1 9000\n", sizeof("OK 1 9000\n") - 1);
    for (size_t n = 1; n <= 2; n++) {
        const struct script_step step = GIVES(n == 1 ? first[0] : body);
        enum tlsmsg_client_result result;

        waiting();
        on_recv = (struct script){.steps = &step, .count = 1};
        failmalloc_at(n);
        result = scripted_receive(NULL);
        failmalloc_at(0);
        assert_int_equal(result, TLSMSG_CLIENT_ERROR);
        scripted_expect(TLSMSG_ERR_NOMEM, 0, "out of memory");
        scripted_finish();
        (void)scripted_forget(NULL);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(takes_replies_as_they_come, scripted_forget),
        cmocka_unit_test_setup(the_next_reply_has_its_time, scripted_forget),
        cmocka_unit_test_setup(nothing_due_is_told_to_who_blocks, scripted_forget),
        cmocka_unit_test_setup(tells_exactly_what_was_broken, scripted_forget),
        cmocka_unit_test_setup(a_reply_before_the_greeting_breaks_the_rules, scripted_forget),
        cmocka_unit_test_setup(the_longest_reply_is_taken, scripted_forget),
        cmocka_unit_test_setup(an_end_is_told_after_what_came_before, scripted_forget),
        cmocka_unit_test_setup(no_memory_for_a_reply_is_told, scripted_forget),
    };
    return cmocka_run_group_tests(tests, ends_setup, ends_teardown);
}
