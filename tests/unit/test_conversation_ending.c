/* How a conversation comes to its end, step by step: deadlines to the nanosecond, the server's stop,
 * its last words and what is read behind them; and what is counted of it meanwhile. */
#include "support/unit.h"

#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

#include "server/deferred.h"
#include "server/table.h"
#include "support/lone_conversation.h"

#define S ((int64_t)CLOCK_NS_PER_S)

#define CLOSED(how) "closed 7 of 0: " how ", 0 messages, "

/* A deadline that is a nanosecond away is not there yet. */
static void expire_at(int64_t due_ns)
{
    lone.w->now_ns = due_ns - 1;
    conversation_expire(lone.c);
    lone_expect_told("");
    lone_expect_asked("");
    lone.w->now_ns = due_ns;
    conversation_expire(lone.c);
}

static bool is_undelivered(void)
{
    return atomic_load(&lone.server->undelivered);
}

/* The server stops now, with so many seconds for what is due. */
static void stop(int64_t seconds)
{
    lone.w->draining = true;
    lone.w->draining_since_ns = lone.begun_ns;
    lone.w->drain_deadline_ns = lone.begun_ns + seconds * S;
    conversation_drain(lone.c);
}

/* --- deadlines -------------------------------------------------------------------------------- */

static void test_a_handshake_that_takes_too_long(void **state)
{
    (void)state;
    lone.server->settings.handshake_timeout_ms = 2500;
    lone.shaken = TRANSPORT_WANT_READ;
    conversation_step(lone.c, 0);
    expire_at(lone.begun_ns + 5 * S / 2);
    lone_expect_told(
        "1 timeout 7: handshake not finished within 2.5 s\n" CLOSED("handshake") "0 ms\n");
    assert_int_equal(lone.c->state, CONVERSATION_DEAD);
}

static void test_a_handshake_that_never_began(void **state)
{
    (void)state;
    lone.server->settings.handshake_timeout_ms = 2500;
    stop(1);
    assert_false(list_is_linked(&lone.c->in_requeued));
    expire_at(lone.begun_ns + 1 * S);
    lone_expect_told(CLOSED("handshake") "0 ms, unheard\n");
    assert_false(is_undelivered());
}

static void test_silence(void **state)
{
    (void)state;
    lone.server->settings.idle_timeout_ms = 2500;
    lone_open(&lone_plain_flow);
    expire_at(lone.begun_ns + 5 * S / 2);
    lone_expect_told("2 timeout 7: idle for 2.5 s\n" CLOSED("timeout") "0 ms\n");
    assert_int_equal(lone.c->state, CONVERSATION_LINGER);
    assert_int_equal(lone.shutdowns, 1);
}

static void test_replies_that_are_not_taken(void **state)
{
    (void)state;
    lone.server->settings.write_timeout_ms = 2500;
    lone_open(&lone_plain_flow);
    lone_queue("abc", 3);
    lone.c->progress_ns = lone.begun_ns + 1 * S;
    expire_at(lone.begun_ns + 7 * S / 2);
    lone_expect_told(
        "1 timeout 7: took no byte of its replies for 2.5 s\n" CLOSED("timeout") "0 ms\n");
    assert_int_equal(lone.c->state, CONVERSATION_DEAD);
    assert_false(is_undelivered());
}

/* The server's stop must not hide that a reply was lost. */
static void test_replies_that_are_not_taken_while_the_server_stops(void **state)
{
    (void)state;
    lone.server->settings.write_timeout_ms = 2500;
    lone_open(&lone_plain_flow);
    lone_queue("abc", 3);
    lone.c->progress_ns = lone.begun_ns;
    lone.c->messages = 1;
    stop(5);
    expire_at(lone.begun_ns + 5 * S / 2);
    lone_expect_told("1 timeout 7: took no byte of its replies for 2.5 s\n"
                     "closed 7 of 0: timeout, 1 messages, 0 ms\n");
    assert_true(is_undelivered());
}

/* Whatever reason it had, it is the time that was up. */
static void test_replies_that_are_not_taken_until_the_drain_timeout(void **state)
{
    (void)state;
    lone.server->settings.write_timeout_ms = 0;
    lone_open(&lone_plain_flow);
    lone_queue("abc", 3);
    lone.sent = TRANSPORT_WANT_WRITE;
    lone.taken = TRANSPORT_CLOSED;
    conversation_step(lone.c, 0);
    lone_expect_asked("ended ");
    assert_int_equal(lone.c->state, CONVERSATION_FLUSH);
    stop(5);
    expire_at(lone.begun_ns + 5 * S);
    lone_expect_told(
        "1 timeout 7: a reply could not be delivered before the drain timeout\n" CLOSED(
            "timeout") "0 ms\n");
    assert_int_equal(lone.c->state, CONVERSATION_DEAD);
    assert_true(is_undelivered());
}

/* Nothing is due to it. */
static void test_silence_until_the_drain_timeout(void **state)
{
    (void)state;
    lone_open(&lone_plain_flow);
    lone.c->messages = 1;
    stop(5);
    assert_true(list_is_linked(&lone.c->in_requeued));
    expire_at(lone.begun_ns + 5 * S);
    lone_expect_told("closed 7 of 0: drained, 1 messages, 0 ms\n");
    assert_int_equal(lone.c->state, CONVERSATION_LINGER);
    assert_false(is_undelivered());
}

static void test_answers_until_the_drain_timeout(void **state)
{
    (void)state;
    lone_open(&lone_plain_flow);
    assert_true(reply_queue_add(&lone.c->deferred, 1));
    lone.c->messages = 1;
    stop(5);
    expire_at(lone.begun_ns + 5 * S);
    lone_expect_told("1 timeout 7: a reply could not be delivered before the drain timeout\n"
                     "closed 7 of 0: timeout, 1 messages, 0 ms\n");
    assert_true(is_undelivered());
}

static void wait_for_answers(void)
{
    lone.server->settings.write_timeout_ms = 2500;
    lone_open(&lone_plain_flow);
    assert_true(reply_queue_add(&lone.c->deferred, 1));
    assert_true(reply_queue_add(&lone.c->deferred, 2));
    lone.taken = TRANSPORT_CLOSED;
    conversation_step(lone.c, 0);
    lone_expect_asked("ended ");
    assert_int_equal(lone.c->state, CONVERSATION_FLUSH);
}

static void expect_end_without_answers(void)
{
    expire_at(lone.begun_ns + 5 * S / 2);
    lone_expect_told(
        "1 timeout 7: a deferred reply did not come within 2.5 s; the conversation ends without "
        "2\n" CLOSED("timeout") "0 ms\n");
    assert_int_equal(lone.c->deferred.count, 0);
    assert_int_equal(lone.c->state, CONVERSATION_LINGER);
}

static void test_answers_that_never_come(void **state)
{
    (void)state;
    wait_for_answers();
    expect_end_without_answers();
    assert_false(is_undelivered());
}

static void test_answers_that_never_come_while_the_server_stops(void **state)
{
    (void)state;
    wait_for_answers();
    stop(5);
    expect_end_without_answers();
    assert_true(is_undelivered());
}

static void test_the_flow_s_deadline(void **state)
{
    (void)state;
    lone_open(&lone_full_flow);
    lone.deadline_ns = lone.begun_ns + 3 * S;
    expire_at(lone.begun_ns + 3 * S);
    lone_expect_asked("expired ");
    assert_int_equal(lone.receives, 1);
    assert_int_equal(lone.c->state, CONVERSATION_OPEN);
    lone.verdict = (struct verdict){FINISH, TLSMSG_CLOSE_TIMEOUT};
    conversation_expire(lone.c);
    lone_expect_told(CLOSED("timeout") "0 ms\n");
    assert_int_equal(lone.c->state, CONVERSATION_LINGER);
}

/* Somebody waits for its end: with the reason that it has. */
static void test_last_words_that_are_not_heard(void **state)
{
    (void)state;
    lone_open(&lone_full_flow);
    lone.sent = TRANSPORT_WANT_WRITE;
    lone.taken = TRANSPORT_CLOSED;
    lone.c->progress_ns = lone.begun_ns;
    conversation_step(lone.c, 0);
    assert_int_equal(lone.c->state, CONVERSATION_FLUSH);
    lone_expect_asked("ended farewell ");
    lone.c->released = 0; /* nothing that a write timeout would be for */
    expire_at(lone.begun_ns + 1 * S);
    lone_expect_told(CLOSED("clean") "0 ms\n");
    assert_int_equal(lone.c->state, CONVERSATION_DEAD);
}

static void test_one_that_is_hurried(void **state)
{
    (void)state;
    lone_open(&lone_plain_flow);
    lone.c->progress_ns = lone.begun_ns + 9 * S;
    lone.c->hurry_ns = lone.begun_ns;
    lone.c->reason = TLSMSG_CLOSE_REFUSED;
    expire_at(lone.begun_ns + 5 * S);
    lone_expect_told(CLOSED("refused") "0 ms\n");
    assert_int_equal(lone.c->state, CONVERSATION_DEAD);
}

static void test_a_last_step_that_takes_too_long(void **state)
{
    static const enum conversation_state states[] = {CONVERSATION_SHUTDOWN, CONVERSATION_LINGER};

    (void)state;
    lone_open(&lone_plain_flow);
    for (size_t i = 0; i < COUNT_OF(states); i++) {
        lone.c->state = states[i];
        lone.c->reported = true;
        expire_at(lone.c->since_ns + 1 * S);
        assert_int_equal(lone.c->state, CONVERSATION_DEAD);
    }
    lone_expect_told("");
}

/* --- the server's stop ------------------------------------------------------------------------ */

/* What had come by then is read, and nothing after it. */
static void test_the_stop(void **state)
{
    (void)state;
    lone_open(&lone_plain_flow);
    stop(5);
    assert_true(lone.c->draining);
    conversation_step(lone.c, 0);
    assert_false(lone.c->limited); /* a first message may still come */
    list_remove(&lone.c->in_requeued);
    lone.c->messages = 1;
    conversation_step(lone.c, 0);
    assert_true(lone.c->limited);
    assert_int_equal(lone.c->source.limit_bytes, 0);
    assert_true(list_is_linked(&lone.c->in_requeued));
    assert_int_equal(lone.c->state, CONVERSATION_OPEN);
    /* Not dry yet, by the source's word. */
    conversation_step(lone.c, 0);
    assert_int_equal(lone.c->state, CONVERSATION_OPEN);
}

static void test_the_stop_of_one_that_is_read_to_its_end(void **state)
{
    struct conversation *c;

    (void)state;
    lone_open(&lone_full_flow);
    c = lone.c;
    c->draining = true;
    c->messages = 1;
    c->limited = true;
    lone.reads = false;
    lone.sent = TRANSPORT_WANT_WRITE;
    c->source.base.dry = true;
    conversation_release(c);
    assert_int_equal(c->state, CONVERSATION_OPEN);
    conversation_wake(c); /* it isn't read, so something may be left */
    assert_int_equal(c->state, CONVERSATION_OPEN);
    lone_expect_told("");
    lone.reads = true;
    lone.sent = TRANSPORT_OK;
    conversation_wake(c);
    assert_int_equal(c->state, CONVERSATION_LINGER);
    lone_expect_told("closed 7 of 0: drained, 1 messages, 0 ms\n");
}

/* --- the last words --------------------------------------------------------------------------- */

static void test_last_words_are_said_once(void **state)
{
    (void)state;
    lone_open(&lone_full_flow);
    lone_queue("abc", 3);
    lone.sent = TRANSPORT_WANT_WRITE;
    lone.taken = TRANSPORT_CLOSED;
    conversation_step(lone.c, 0);
    lone_expect_asked("ended ");
    assert_false(lone.c->said_farewell);
    buffer_consume(&lone.c->out, 3);
    lone.c->released = 0;
    conversation_step(lone.c, 0);
    lone_expect_asked("farewell ");
    assert_true(lone.c->said_farewell);
    assert_int_equal(lone.c->state, CONVERSATION_FLUSH);
    conversation_step(lone.c, 0);
    lone_expect_asked("");
    lone.sent = TRANSPORT_OK;
    lone.shut = TRANSPORT_WANT_WRITE;
    conversation_step(lone.c, 0);
    lone_expect_asked("");
    assert_int_equal(lone.c->state, CONVERSATION_SHUTDOWN);
    lone.shut = TRANSPORT_WANT_READ;
    conversation_step(lone.c, 0);
    assert_int_equal(lone.c->state, CONVERSATION_SHUTDOWN);
    lone_expect_told("");
    lone.shut = TRANSPORT_ERROR;
    conversation_step(lone.c, 0);
    assert_int_equal(lone.c->state, CONVERSATION_LINGER);
    assert_int_equal(lone.shutdowns, 3);
    lone_expect_told(CLOSED("clean") "0 ms\n");
    assert_int_equal(recv(lone.other, &(char){0}, 1, MSG_DONTWAIT), 0); /* nothing follows */
}

static void test_what_waits_for_its_answer_is_not_the_last(void **state)
{
    (void)state;
    lone_open(&lone_full_flow);
    assert_true(reply_queue_add(&lone.c->deferred, 1));
    lone.taken = TRANSPORT_CLOSED;
    conversation_step(lone.c, 0);
    conversation_step(lone.c, 0);
    assert_int_equal(lone.c->state, CONVERSATION_FLUSH);
    lone_expect_asked("ended ");
    conversation_answer(lone.c, 1, strdup("one"), 3);
    conversation_release(lone.c);
    assert_int_equal(lone.c->state, CONVERSATION_LINGER);
    lone_expect_asked("decided farewell report end ");
}

/* 64 KiB of it are read at most. */
static void test_what_is_read_behind_the_last_words(void **state)
{
    static char bytes[32768];

    (void)state;
    lone_open(&lone_plain_flow);
    lone.verdict = (struct verdict){FINISH, TLSMSG_CLOSE_INVALID_UTF8};
    lone.taken = TRANSPORT_OK;
    socket_source_limit(&lone.c->source);
    conversation_step(lone.c, 0);
    assert_int_equal(lone.c->state, CONVERSATION_LINGER);
    assert_int_equal(lone.c->source.limit_bytes, SIZE_MAX);
    assert_int_equal(send(lone.other, bytes, sizeof(bytes), 0), sizeof(bytes));
    conversation_step(lone.c, 0);
    assert_int_equal(lone.c->state, CONVERSATION_LINGER);
    assert_int_equal(lone.c->linger_budget, 32768);
    assert_int_equal(send(lone.other, bytes, sizeof(bytes), 0), sizeof(bytes));
    conversation_step(lone.c, 0);
    assert_int_equal(lone.c->state, CONVERSATION_DEAD);
    assert_int_equal(lone.c->linger_budget, 0);
    lone_expect_told(CLOSED("invalid-utf8") "0 ms\n");
}

static void test_one_that_has_ended_is_not_read(void **state)
{
    (void)state;
    lone_open(&lone_plain_flow);
    lone.c->eof = true;
    lone.taken = TRANSPORT_CLOSED;
    conversation_step(lone.c, 0);
    assert_int_equal(lone.c->state, CONVERSATION_DEAD);
}

/* --- what is counted -------------------------------------------------------------------------- */

static void expect_held(size_t bytes)
{
    conversation_update(lone.c);
    assert_int_equal(lone.c->held_bytes, bytes);
    assert_int_equal(lone.w->bytes, bytes);
    assert_int_equal(lone.w->stats.buffered_bytes, bytes);
}

static void test_memory_that_is_held(void **state)
{
    static char text[4097];

    (void)state;
    lone_open(&lone_full_flow);
    expect_held(0);
    memset(text, 'x', 4096);
    lone_queue(text, 0);
    assert_int_equal(lone.c->out.cap, 4096);
    buffer_consume(&lone.c->out, 1000);
    expect_held(3096); /* a small one counts by what is in it */
    lone.c->deferred.bytes = 100;
    expect_held(3196);
    lone.kept = 30;
    expect_held(3226);
    assert_true(list_is_linked(&lone.c->in_unfinished));
    lone.kept = 0;
    expect_held(3196);
    assert_false(list_is_linked(&lone.c->in_unfinished));
    lone_queue(text, 0);
    buffer_consume(&lone.c->out, 7000);
    assert_true(lone.c->out.cap > 7000);
    expect_held(lone.c->out.cap + 100);
    lone.c->deferred.bytes = 0;
    buffer_fini(&lone.c->out);
    atomic_store(&lone.w->stats.queued_bytes, 0);
    expect_held(0);
    assert_int_equal(atomic_load(&lone.server->credit), lone.w->credit);
}

static void expect_paused(bool paused)
{
    conversation_update(lone.c);
    assert_int_equal(list_is_linked(&lone.c->in_paused), paused);
    list_remove(&lone.c->in_paused);
}

/* Those that aren't read while a turn is held, or memory is short. */
static void test_who_is_paused(void **state)
{
    (void)state;
    lone_open(&lone_plain_flow);
    expect_paused(false);
    lone.w->held = true;
    expect_paused(true);
    lone.w->held = false;
    lone.w->over = true;
    expect_paused(true);
    lone.c->state = CONVERSATION_FLUSH;
    expect_paused(false);
}

static void test_what_is_waited_for(void **state)
{
    (void)state;
    lone.server->settings.idle_timeout_ms = 2500;
    lone_open(&lone_plain_flow);
    conversation_update(lone.c);
    assert_int_equal(lone.c->watch.armed, LOOP_READ);
    assert_int_equal(timers_next_ns(&lone.w->timers), lone.begun_ns + 5 * S / 2);
    lone_queue("abc", 3);
    conversation_update(lone.c);
    assert_int_equal(lone.c->watch.armed, LOOP_READ | LOOP_WRITE);
    conversation_abort(lone.c, TLSMSG_CLOSE_FAILED);
    lone_queue("de", 0);
    conversation_update(lone.c); /* of one that is over nothing is counted any more */
    assert_int_equal(timers_next_ns(&lone.w->timers), 0);
    assert_int_equal(lone.w->bytes, 3); /* until it is reaped */
    table_reap(lone.w);
    assert_int_equal(lone.w->bytes, 0);
}

#define BOTH(function) cmocka_unit_test_setup_teardown(function, lone_begin, lone_end)

int main(void)
{
    const struct CMUnitTest tests[] = {
        BOTH(test_a_handshake_that_takes_too_long),
        BOTH(test_a_handshake_that_never_began),
        BOTH(test_silence),
        BOTH(test_replies_that_are_not_taken),
        BOTH(test_replies_that_are_not_taken_while_the_server_stops),
        BOTH(test_replies_that_are_not_taken_until_the_drain_timeout),
        BOTH(test_silence_until_the_drain_timeout),
        BOTH(test_answers_until_the_drain_timeout),
        BOTH(test_answers_that_never_come),
        BOTH(test_answers_that_never_come_while_the_server_stops),
        BOTH(test_the_flow_s_deadline),
        BOTH(test_last_words_that_are_not_heard),
        BOTH(test_one_that_is_hurried),
        BOTH(test_a_last_step_that_takes_too_long),
        BOTH(test_the_stop),
        BOTH(test_the_stop_of_one_that_is_read_to_its_end),
        BOTH(test_last_words_are_said_once),
        BOTH(test_what_waits_for_its_answer_is_not_the_last),
        BOTH(test_what_is_read_behind_the_last_words),
        BOTH(test_one_that_has_ended_is_not_read),
        BOTH(test_memory_that_is_held),
        BOTH(test_who_is_paused),
        BOTH(test_what_is_waited_for),
    };

    return cmocka_run_group_tests(tests, lone_setup, lone_teardown);
}
