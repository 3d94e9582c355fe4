/* A conversation from its handshake to its last step, each of its functions called by itself; what is
 * told of it is compared to the letter. */
#include "support/unit.h"

#include <stdio.h>
#include <string.h>

#include "server/deferred.h"
#include "server/table.h"
#include "support/lone_conversation.h"
#include "support/test_clock.h"

#define S ((int64_t)CLOCK_NS_PER_S)

/* --- the handshake ---------------------------------------------------------------------------- */

static void test_a_handshake_in_steps(void **state)
{
    (void)state;
    lone.shaken = TRANSPORT_WANT_WRITE;
    lone.heard = false;
    conversation_step(lone.c, 0);
    assert_int_equal(lone.c->state, CONVERSATION_HANDSHAKE);
    assert_true(lone.c->read_wants_out);
    assert_false(lone.c->heard);
    lone.shaken = TRANSPORT_WANT_READ;
    lone.heard = true;
    conversation_step(lone.c, 0);
    assert_int_equal(lone.c->state, CONVERSATION_HANDSHAKE);
    assert_false(lone.c->read_wants_out);
    assert_true(lone.c->heard);
    assert_false(lone.w->dirty);
    lone_expect_told("");
    lone_wait_ms(3000);
    lone.shaken = TRANSPORT_OK;
    conversation_step(lone.c, 0);
    assert_int_equal(lone.c->state, CONVERSATION_OPEN);
    assert_int_equal(lone.c->since_ns, lone.begun_ns + 3 * S);
    assert_int_equal(lone.c->activity_ns, lone.begun_ns + 3 * S);
    assert_int_equal(lone.w->stats.conversations, 1);
    assert_int_equal(lone.w->stats.handshaking, 0);
    assert_int_equal(atomic_load(&lone.server->limits.handshakes), 0);
    assert_true(lone.c->counted);
    assert_true(lone.w->dirty);
    assert_int_equal(lone.handshakes, 3);
    lone_expect_told("connected 7 to 0\n");
}

static const struct failure {
    const char *name;
    enum tlsmsg_code code;
    bool unheard;
    bool at_once; /* without a word */
    const char *told;
} failures[] = {
    {"not TLS", TLSMSG_ERR_NOT_TLS, false, false, "1 plaintext-peer 7: " LONE_WORDS "\n"},
    {"not trusted", TLSMSG_ERR_UNTRUSTED, false, false, "1 refused 7: " LONE_WORDS "\n"},
    {"refused", TLSMSG_ERR_REFUSED, false, false, "1 refused 7: " LONE_WORDS "\n"},
    {"no memory", TLSMSG_ERR_NOMEM, false, false, "1 memory 7: " LONE_WORDS "\n"},
    {"failed", TLSMSG_ERR_HANDSHAKE, false, false, "1 handshake 7: " LONE_WORDS "\n"},
    {"left", TLSMSG_ERR_TRUNCATED, false, true, "1 handshake 7: " LONE_WORDS "\n"},
    {"reset", TLSMSG_ERR_RESET, false, true, "1 handshake 7: " LONE_WORDS "\n"},
    {"left without a byte", TLSMSG_ERR_TRUNCATED, true, true,
     "3 probe 7: left without sending a byte\n"},
    {"reset without a byte", TLSMSG_ERR_RESET, true, true,
     "3 probe 7: left without sending a byte\n"},
};

static void test_a_handshake_that_fails(void **state)
{
    const struct failure *row = *state;
    char text[256];

    (void)lone_begin(NULL);
    lone.heard = !row->unheard;
    lone.shaken = TRANSPORT_ERROR;
    lone.shaken_code = row->code;
    test_clock_advance(1234);
    conversation_step(lone.c, 0);
    (void)snprintf(text, sizeof(text), "%sclosed 7 of 0: handshake, 0 messages, 1234 ms%s\n",
                   row->told, row->unheard ? ", unheard" : "");
    lone_expect_told(text);
    assert_int_equal(lone.c->state, row->at_once ? CONVERSATION_DEAD : CONVERSATION_LINGER);
    assert_int_equal(lone.shutdowns, row->at_once ? 0 : 1);
    assert_int_equal(lone.w->stats.closed[TLSMSG_CLOSE_HANDSHAKE], 1);
    assert_int_equal(lone.w->stats.conversations, 0);
    assert_int_equal(lone.w->stats.handshaking, 0);
    assert_int_equal(atomic_load(&lone.server->limits.handshakes), 0);
    assert_true(lone.w->dirty);
    conversation_abort(lone.c, TLSMSG_CLOSE_FAILED); /* it was told of */
    conversation_abort(lone.c, TLSMSG_CLOSE_FAILED);
    lone_expect_told("");
    assert_int_equal(lone.w->stats.closed[TLSMSG_CLOSE_FAILED], 0);
    table_reap(lone.w);
    (void)lone_end(NULL);
}

static void test_no_memory_for_a_handshake(void **state)
{
    (void)state;
    lone.made = TLSMSG_ERR_NOMEM;
    conversation_step(lone.c, 0);
    lone_expect_told("1 memory 7: " LONE_WORDS
                     "\nclosed 7 of 0: handshake, 0 messages, 0 ms, unheard\n");
    assert_int_equal(lone.c->state, CONVERSATION_DEAD);
    assert_int_equal(lone.handshakes, 0);
}

/* The last place closes the door, and whoever comes to none is not told of as a conversation. */
static void test_places(void **state)
{
    (void)state;
    lone.server->settings.accept = 2;
    conversation_step(lone.c, 0);
    assert_int_equal(lone.c->state, CONVERSATION_OPEN);
    assert_int_equal(atomic_load(&lone.server->phase), SERVER_RUNNING);
    lone_expect_told("connected 7 to 0\n");
    lone.c->state = CONVERSATION_HANDSHAKE;
    conversation_step(lone.c, 0);
    assert_int_equal(lone.c->state, CONVERSATION_OPEN);
    assert_int_equal(atomic_load(&lone.server->phase), SERVER_FULL);
    lone.told[0] = '\0';
    lone.c->state = CONVERSATION_HANDSHAKE;
    conversation_step(lone.c, 0);
    assert_int_equal(lone.c->state, CONVERSATION_DEAD);
    assert_int_equal(lone.w->stats.conversations, 2);
    lone_expect_told("closed 7 of 0: handshake, 0 messages, 0 ms\n");
}

/* --- open ------------------------------------------------------------------------------------- */

static void test_the_end_of_a_turn(void **state)
{
    (void)state;
    lone_open(&lone_full_flow);
    lone_queue("abc", 0);
    lone.sent = TRANSPORT_WANT_WRITE;
    lone_wait_ms(2000);
    lone.c->unread = true;
    conversation_release(lone.c);
    lone_expect_asked("decided ");
    assert_int_equal(lone.c->released, 3);
    assert_int_equal(lone.c->progress_ns, lone.begun_ns + 2 * S);
    assert_int_equal(lone.sends, 1);
    assert_true(list_is_linked(&lone.c->in_requeued));
    list_remove(&lone.c->in_requeued);
    /* How long it takes nothing counts on. */
    lone_queue("de", 3);
    lone_wait_ms(2000);
    lone.reads = false;
    conversation_release(lone.c);
    assert_int_equal(lone.c->released, 5);
    assert_int_equal(lone.c->progress_ns, lone.begun_ns + 2 * S);
    assert_false(list_is_linked(&lone.c->in_requeued));
    lone.reads = true;
    lone.c->unread = false;
    lone.sent = TRANSPORT_OK;
    conversation_release(lone.c);
    assert_int_equal(lone.c->out.len, 0);
    assert_false(list_is_linked(&lone.c->in_requeued));
    lone.asked[0] = '\0';
    lone.c->state = CONVERSATION_LINGER;
    conversation_release(lone.c);
    lone_expect_asked("");
}

/* What has ended in the same turn goes on to its last word. */
static void test_the_end_of_a_turn_that_was_its_last(void **state)
{
    (void)state;
    lone_open(&lone_full_flow);
    lone_queue("abc", 0);
    lone.taken = TRANSPORT_CLOSED;
    conversation_step(lone.c, 0);
    assert_int_equal(lone.c->state, CONVERSATION_FLUSH);
    assert_int_equal(lone.sends, 0);
    lone.c->unread = true;
    conversation_release(lone.c);
    assert_int_equal(lone.sends, 2); /* the reply, and the farewell */
    assert_int_equal(lone.c->state, CONVERSATION_LINGER);
    lone_expect_asked("ended decided farewell report end ");
    lone_expect_told("closed 7 of 0: clean, 0 messages, 0 ms\n");
    assert_false(list_is_linked(&lone.c->in_requeued));
}

/* What is released leaves before anything is read, and what a flow says with it at once. */
static void test_a_step(void **state)
{
    (void)state;
    lone_open(&lone_plain_flow);
    conversation_step(lone.c, 0);
    assert_int_equal(lone.sends, 0);
    assert_int_equal(lone.receives, 1);
    lone_queue("abc", 3);
    lone.sent = TRANSPORT_WANT_WRITE;
    conversation_step(lone.c, 0);
    assert_int_equal(lone.sends, 2); /* before and after the reading */
    lone.sent = TRANSPORT_WANT_READ;
    conversation_step(lone.c, 0);
    assert_int_equal(lone.sends, 3); /* what has to be read first wasn't there */
    assert_true(lone.c->write_wants_in);
    assert_int_equal(lone.receives, 3);
    lone.sent = TRANSPORT_ERROR;
    conversation_step(lone.c, 0);
    assert_int_equal(lone.c->state, CONVERSATION_DEAD);
    assert_int_equal(lone.receives, 3);
}

static const struct hangup {
    const char *name;
    enum conversation_state state;
    uint32_t ready;
    bool reads;
    bool ends;
} hangups[] = {
    {"nothing is read", CONVERSATION_OPEN, LOOP_HANGUP, false, true},
    {"nothing is read, and it is there", CONVERSATION_OPEN, LOOP_READ, false, false},
    {"reading will tell", CONVERSATION_OPEN, LOOP_HANGUP, true, false},
    {"replies leave", CONVERSATION_FLUSH, LOOP_HANGUP | LOOP_WRITE, true, true},
    {"replies leave, and it is there", CONVERSATION_FLUSH, LOOP_WRITE, true, false},
    {"its last word", CONVERSATION_LINGER, LOOP_HANGUP, false, false},
};

static void test_a_connection_that_hangs_up(void **state)
{
    const struct hangup *row = *state;

    (void)lone_begin(NULL);
    lone_open(&lone_full_flow);
    lone_queue("abc", 3);
    lone.sent = TRANSPORT_WANT_WRITE;
    lone.c->state = row->state;
    lone.reads = row->reads;
    conversation_step(lone.c, row->ready);
    assert_int_equal(lone.c->state, row->ends ? CONVERSATION_DEAD : row->state);
    lone_expect_told(row->ends ? "closed 7 of 0: reset, 0 messages, 0 ms\n" : "");
    (void)lone_end(NULL);
}

/* The first reason is the one that is told. */
static void test_one_that_hangs_up_at_its_end(void **state)
{
    (void)state;
    lone_open(&lone_plain_flow);
    lone_queue("abc", 3);
    lone.sent = TRANSPORT_WANT_WRITE;
    lone.taken = TRANSPORT_CLOSED;
    conversation_step(lone.c, 0);
    conversation_step(lone.c, LOOP_HANGUP);
    assert_int_equal(lone.c->state, CONVERSATION_DEAD);
    lone_expect_told("closed 7 of 0: clean, 0 messages, 0 ms\n");
}

/* --- what others bring ------------------------------------------------------------------------ */

static void bring_all(void)
{
    conversation_greet(lone.c, 5, TLSMSG_PROMISE_DISK);
    conversation_wake(lone.c);
    worker_unfinished(lone.w, lone.c);
    conversation_shed(lone.c);
    assert_false(list_is_linked(&lone.c->in_unfinished));
    conversation_take_over(lone.c);
}

/* It goes to the flow where there may be an answer, and the conversation goes on from there. */
static void test_what_others_bring(void **state)
{
    (void)state;
    lone_open(&lone_full_flow);
    bring_all();
    lone_expect_asked("greeted woken shed taken_over ");
    assert_int_equal(lone.receives, 4);
    lone.c->state = CONVERSATION_FLUSH;
    lone.c->said_farewell = true;
    lone.sent = TRANSPORT_WANT_WRITE;
    lone_queue("abc", 3);
    bring_all();
    lone_expect_asked("taken_over ");
    lone.c->flow = &lone_plain_flow;
    lone.c->state = CONVERSATION_OPEN;
    bring_all();
    lone_expect_asked("");
}

static void test_what_others_bring_that_ends_it(void **state)
{
    static void (*const bring[])(struct conversation * of) = {conversation_wake, conversation_shed,
                                                              conversation_take_over};

    (void)state;
    for (size_t i = 0; i < COUNT_OF(bring); i++) {
        if (i > 0) {
            (void)lone_end(NULL);
            (void)lone_begin(NULL);
        }
        lone_open(&lone_full_flow);
        lone.verdict = (struct verdict){FINISH, TLSMSG_CLOSE_REFUSED};
        bring[i](lone.c);
        assert_int_equal(lone.c->state, CONVERSATION_LINGER);
        lone_expect_told("closed 7 of 0: refused, 0 messages, 0 ms\n");
    }
}

static void test_a_message_that_is_refused(void **state)
{
    (void)state;
    lone_open(&lone_full_flow);
    lone_queue("abc", 1);
    lone.sent = TRANSPORT_WANT_WRITE;
    conversation_refuse(lone.c, 3, 507);
    lone_expect_asked("refused ");
    assert_int_equal(lone.c->state, CONVERSATION_OPEN);
    assert_int_equal(lone.c->out.len, 3);
    assert_int_equal(lone.receives, 1);
    /* Where the flow says nothing to it, what was not released is taken back. */
    lone.c->flow = &lone_plain_flow;
    conversation_refuse(lone.c, 3, 507);
    assert_int_equal(lone.c->state, CONVERSATION_FLUSH);
    assert_int_equal(lone.c->out.len, 1);
    lone.sent = TRANSPORT_OK;
    conversation_step(lone.c, 0);
    assert_int_equal(lone.c->state, CONVERSATION_LINGER);
    lone_expect_told("closed 7 of 0: failed, 0 messages, 0 ms\n");
}

static void test_an_answer(void **state)
{
    (void)state;
    lone_open(&lone_plain_flow);
    assert_true(reply_queue_add(&lone.c->deferred, 1));
    lone.c->out.limit = 2;
    conversation_answer(lone.c, 1, strdup("one"), 3);
    assert_int_equal(lone.c->state, CONVERSATION_DEAD);
    lone_expect_told("1 memory 7: no room for a reply; the conversation is closed\n"
                     "closed 7 of 0: failed, 0 messages, 0 ms\n");
}

#define BOTH(function) cmocka_unit_test_setup_teardown(function, lone_begin, lone_end)

int main(void)
{
    const struct CMUnitTest tests[] = {
        BOTH(test_a_handshake_in_steps),
        BOTH(test_no_memory_for_a_handshake),
        BOTH(test_places),
        BOTH(test_the_end_of_a_turn),
        BOTH(test_the_end_of_a_turn_that_was_its_last),
        BOTH(test_a_step),
        BOTH(test_one_that_hangs_up_at_its_end),
        BOTH(test_what_others_bring),
        BOTH(test_what_others_bring_that_ends_it),
        BOTH(test_a_message_that_is_refused),
        BOTH(test_an_answer),
    };
    int failed = 0;

    (void)lone_setup(NULL);
    failed += cmocka_run_group_tests(tests, NULL, NULL);
    RUN_ROWS(failed, test_a_handshake_that_fails, failures);
    RUN_ROWS(failed, test_a_connection_that_hangs_up, hangups);
    (void)lone_teardown(NULL);
    return failed;
}
