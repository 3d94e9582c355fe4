/* What a conversation waits for, and until when: each state's interest and its deadlines, of which
 * the earliest counts. */
#include "support/unit.h"

#include <string.h>

#include "base/clock.h"
#include "server/deferred.h"
#include "server/flow.h"
#include "server/waiting.h"

#define S ((int64_t)CLOCK_NS_PER_S)
#define NOW (1000 * S)

static struct tlsmsg_server server;
static struct worker worker;
static struct conversation c;
static bool reads;
static int64_t flow_deadline;

static bool may_read(const struct conversation *of)
{
    (void)of;
    return reads;
}

static int64_t deadline(const struct conversation *of)
{
    (void)of;
    return flow_deadline;
}

static const struct flow flow = {.name = "test", .may_read = may_read, .deadline = deadline};
static const struct flow plain = {.name = "plain"};

/* An open conversation that nothing is due to, which began 10 s ago. */
static int set_up(void **state)
{
    (void)state;
    memset(&server, 0, sizeof(server));
    memset(&worker, 0, sizeof(worker));
    memset(&c, 0, sizeof(c));
    reads = true;
    flow_deadline = 0;
    worker.server = &server;
    worker.now_ns = NOW;
    reply_queue_init(&c.deferred);
    c.worker = &worker;
    c.flow = &flow;
    c.state = CONVERSATION_OPEN;
    c.accepted_ns = NOW - 10 * S;
    c.since_ns = NOW - 9 * S;
    c.activity_ns = NOW - 8 * S;
    c.progress_ns = NOW - 7 * S;
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    reply_queue_fini(&c.deferred);
    return 0;
}

static void test_interest(void **state)
{
    static const struct {
        enum conversation_state state;
        bool reads;
        bool read_wants_out;
        size_t released;
        bool write_wants_in;
        uint32_t interest;
    } cases[] = {
        {CONVERSATION_HANDSHAKE, false, false, 0, false, LOOP_READ},
        {CONVERSATION_HANDSHAKE, false, true, 0, false, LOOP_WRITE},
        {CONVERSATION_OPEN, true, false, 0, false, LOOP_READ},
        {CONVERSATION_OPEN, true, true, 0, false, LOOP_WRITE},
        {CONVERSATION_OPEN, false, true, 0, false, 0},
        {CONVERSATION_OPEN, false, false, 0, false, 0},
        {CONVERSATION_OPEN, true, false, 1, false, LOOP_READ | LOOP_WRITE},
        {CONVERSATION_OPEN, false, false, 1, false, LOOP_WRITE},
        {CONVERSATION_OPEN, false, false, 1, true, LOOP_READ},
        {CONVERSATION_FLUSH, true, false, 0, false, 0},
        {CONVERSATION_FLUSH, true, false, 1, false, LOOP_WRITE},
        {CONVERSATION_FLUSH, true, false, 1, true, LOOP_READ},
        {CONVERSATION_SHUTDOWN, true, false, 0, false, LOOP_WRITE},
        {CONVERSATION_LINGER, false, false, 0, false, LOOP_READ},
        {CONVERSATION_DEAD, true, true, 1, true, 0},
    };

    (void)state;
    for (size_t i = 0; i < COUNT_OF(cases); i++) {
        c.state = cases[i].state;
        reads = cases[i].reads;
        c.read_wants_out = cases[i].read_wants_out;
        c.released = cases[i].released;
        c.write_wants_in = cases[i].write_wants_in;
        if (waiting_interest(&c) != cases[i].interest) {
            fail_msg("case %zu: %u", i, waiting_interest(&c));
        }
    }
}

static void test_handshake(void **state)
{
    (void)state;
    c.state = CONVERSATION_HANDSHAKE;
    assert_int_equal(waiting_deadline(&c), 0);
    server.settings.handshake_timeout_ms = 30000;
    assert_int_equal(waiting_deadline(&c), NOW + 20 * S);
    c.draining = true;
    worker.drain_deadline_ns = NOW + 5 * S;
    assert_int_equal(waiting_deadline(&c), NOW + 5 * S);
    worker.drain_deadline_ns = NOW + 25 * S;
    assert_int_equal(waiting_deadline(&c), NOW + 20 * S);
    assert_false(waiting_is_drained(&c));
}

/* Silence is the peer's: not where it isn't read, nor while it waits for a reply. */
static void test_silence(void **state)
{
    (void)state;
    assert_int_equal(waiting_deadline(&c), 0);
    server.settings.idle_timeout_ms = 60000;
    assert_int_equal(waiting_deadline(&c), NOW + 52 * S);
    reads = false;
    assert_int_equal(waiting_deadline(&c), 0);
    reads = true;
    c.out.len = 1;
    assert_int_equal(waiting_deadline(&c), 0);
    c.out.len = 0;
    assert_true(reply_queue_add(&c.deferred, 1));
    assert_int_equal(waiting_deadline(&c), 0);
}

static void test_the_flow_s_own(void **state)
{
    (void)state;
    server.settings.idle_timeout_ms = 60000;
    flow_deadline = NOW + 3 * S;
    assert_int_equal(waiting_deadline(&c), NOW + 3 * S);
    flow_deadline = NOW + 53 * S;
    assert_int_equal(waiting_deadline(&c), NOW + 52 * S);
    c.flow = &plain;
    flow_deadline = NOW + 3 * S;
    assert_int_equal(waiting_deadline(&c), NOW + 52 * S);
    c.flow = &flow;
    c.state = CONVERSATION_FLUSH;
    assert_int_equal(waiting_deadline(&c), 0);
}

static void test_one_that_takes_nothing(void **state)
{
    (void)state;
    server.settings.write_timeout_ms = 20000;
    assert_false(waiting_is_writing(&c));
    assert_int_equal(waiting_deadline(&c), 0);
    c.released = 1;
    assert_true(waiting_is_writing(&c));
    assert_int_equal(waiting_deadline(&c), NOW + 13 * S);
    c.released = 0;
    c.read_wants_out = true;
    assert_true(waiting_is_writing(&c));
    assert_int_equal(waiting_deadline(&c), NOW + 13 * S);
    server.settings.write_timeout_ms = 0;
    assert_int_equal(waiting_deadline(&c), 0);
}

/* While the server stops: the drain timeout, and before it a second for a first message, counted from
 * the later of the stop and the conversation's begin. */
static void test_the_stop(void **state)
{
    (void)state;
    worker.drain_deadline_ns = NOW + 5 * S;
    worker.draining_since_ns = NOW;
    assert_int_equal(waiting_deadline(&c), 0);
    assert_false(waiting_is_drained(&c));
    c.draining = true;
    assert_int_equal(waiting_deadline(&c), NOW + 1 * S);
    assert_false(waiting_is_drained(&c));
    worker.now_ns = NOW + 1 * S;
    assert_true(waiting_is_drained(&c));
    c.since_ns = NOW + S / 2;
    assert_int_equal(waiting_deadline(&c), NOW + S + S / 2);
    assert_false(waiting_is_drained(&c));
    c.messages = 1;
    assert_int_equal(waiting_deadline(&c), NOW + 5 * S);
    c.messages = 0;
    c.state = CONVERSATION_FLUSH;
    assert_int_equal(waiting_deadline(&c), NOW + 5 * S);
    worker.drain_deadline_ns = NOW + S;
    assert_true(waiting_is_drained(&c));
    worker.drain_deadline_ns = NOW + S + 1;
    assert_false(waiting_is_drained(&c));
    /* None is no limit. */
    worker.drain_deadline_ns = 0;
    assert_int_equal(waiting_deadline(&c), 0);
    assert_false(waiting_is_drained(&c));
}

/* A peer that has said its last word waits for a reply: from then, or from the reply before it. */
static void test_a_reply_that_is_due(void **state)
{
    (void)state;
    server.settings.write_timeout_ms = 20000;
    c.state = CONVERSATION_FLUSH;
    c.reason = TLSMSG_CLOSE_CLEAN;
    assert_false(waiting_awaits_handler(&c));
    assert_true(reply_queue_add(&c.deferred, 1));
    assert_true(waiting_awaits_handler(&c));
    assert_int_equal(waiting_deadline(&c), NOW + 13 * S);
    c.since_ns = NOW - 1 * S;
    assert_int_equal(waiting_deadline(&c), NOW + 19 * S);
    c.reason = TLSMSG_CLOSE_DRAINED;
    assert_false(waiting_awaits_handler(&c));
    assert_int_equal(waiting_deadline(&c), 0);
    c.reason = TLSMSG_CLOSE_CLEAN;
    c.state = CONVERSATION_OPEN;
    assert_false(waiting_awaits_handler(&c));
    c.state = CONVERSATION_FLUSH;
    assert_true(reply_queue_fill(&c.deferred, 1, NULL, 0));
    assert_false(waiting_awaits_handler(&c));
    assert_int_equal(waiting_deadline(&c), 0);
}

/* The sooner of a reply's time and of the drain timeout. */
static void test_a_reply_that_is_due_while_the_server_stops(void **state)
{
    (void)state;
    server.settings.write_timeout_ms = 20000;
    c.state = CONVERSATION_FLUSH;
    assert_true(reply_queue_add(&c.deferred, 1));
    c.draining = true;
    worker.drain_deadline_ns = NOW + 5 * S;
    assert_int_equal(waiting_deadline(&c), NOW + 5 * S);
    worker.drain_deadline_ns = NOW + 15 * S;
    assert_int_equal(waiting_deadline(&c), NOW + 13 * S);
}

/* Somebody waits for its end: it has a second to take anything, and five in all. */
static void test_one_that_is_hurried(void **state)
{
    (void)state;
    c.state = CONVERSATION_FLUSH;
    c.said_farewell = true;
    assert_int_equal(waiting_deadline(&c), NOW - 6 * S);
    c.said_farewell = false;
    c.progress_ns = NOW;
    c.hurry_ns = NOW - 2 * S;
    assert_int_equal(waiting_deadline(&c), NOW + 1 * S);
    c.hurry_ns = NOW - 4 * S - S / 2;
    assert_int_equal(waiting_deadline(&c), NOW + S / 2);
}

static void test_after_the_last_word(void **state)
{
    (void)state;
    c.state = CONVERSATION_SHUTDOWN;
    assert_int_equal(waiting_deadline(&c), NOW - 8 * S);
    c.state = CONVERSATION_LINGER;
    assert_int_equal(waiting_deadline(&c), NOW - 8 * S);
    c.state = CONVERSATION_DEAD;
    assert_int_equal(waiting_deadline(&c), 0);
}

#define BOTH(function) cmocka_unit_test_setup_teardown(function, set_up, tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        BOTH(test_interest),
        BOTH(test_handshake),
        BOTH(test_silence),
        BOTH(test_the_flow_s_own),
        BOTH(test_one_that_takes_nothing),
        BOTH(test_the_stop),
        BOTH(test_a_reply_that_is_due),
        BOTH(test_a_reply_that_is_due_while_the_server_stops),
        BOTH(test_one_that_is_hurried),
        BOTH(test_after_the_last_word),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
