/* The greeting of tlsmsg/1, function by function, on a conversation by itself: whose producer it is,
 * what is asked and answered, and each way to end it. */
#include "support/unit.h"

#include <string.h>

#include "server/deferred.h"
#include "server/numbered.h"
#include "support/lone_conversation.h"
#include "support/test_clock.h"

#define S ((int64_t)CLOCK_NS_PER_S)
#define PRODUCERS (&lone.server->producers)

static struct numbered *n;

/* A conversation in tlsmsg/1, whose client is alice since its handshake. */
static int open_one(void **state)
{
    (void)lone_begin(state);
    lone.server->settings.max_message_bytes = 5000;
    lone.server->settings.window = 9;
    lone_open(&flow_numbered);
    assert_true(flow_numbered.begin(lone.c));
    n = numbered_of(lone.c);
    lone.identity = "CN=alice";
    return 0;
}

static void expect_verdict(struct verdict verdict, enum next_step next,
                           enum tlsmsg_close_reason reason)
{
    assert_int_equal(verdict.next, next);
    if (next != GO_ON) {
        assert_int_equal(verdict.reason, reason);
    }
}

static void expect_bye(struct verdict verdict, enum tlsmsg_close_reason reason, unsigned code,
                       const char *text)
{
    expect_verdict(verdict, FINISH, reason);
    assert_int_equal(n->code, code);
    assert_string_equal(n->text, text);
}

static void expect_said(const char *text)
{
    assert_int_equal(lone.c->out.len, strlen(text));
    assert_memory_equal(buffer_head(&lone.c->out), text, strlen(text));
    assert_int_equal(lone.c->released, strlen(text));
}

static struct verdict greet(const char *producer, uint64_t from)
{
    const struct frame_hello hello = {.producer = producer,
                                      .producer_len = producer != NULL ? strlen(producer) : 0,
                                      .from = from};

    return numbered_greet(lone.c, &hello);
}

/* What another connection is told that claims this one. */
static enum producers_verdict claim(const char *identity, uint64_t connection,
                                    struct producers_claimed *claimed)
{
    const struct producer_claim who = {.connection = connection, .slot = 40 + (uint32_t)connection};

    return producers_claim(PRODUCERS, identity, strlen(identity), "p", 1, &who, lone.begun_ns,
                           claimed);
}

/* --- how it ends ------------------------------------------------------------------------------ */

static void test_each_way_to_end_it(void **state)
{
    (void)state;
    expect_bye(numbered_bye(lone.c, 400, "a"), TLSMSG_CLOSE_REFUSED, 400, "a");
    expect_bye(numbered_bye(lone.c, 415, "b"), TLSMSG_CLOSE_INVALID_UTF8, 415, "b");
    expect_bye(numbered_bye(lone.c, 503, "c"), TLSMSG_CLOSE_FAILED, 503, "c");
    lone_expect_told("");
    expect_bye(numbered_refuse(lone.c, 413, "d"), TLSMSG_CLOSE_REFUSED, 413, "d");
    lone_expect_told("1 other 7: refused, BYE 413: d; the conversation is closed\n");
    expect_bye(numbered_refuse(lone.c, 415, "e"), TLSMSG_CLOSE_INVALID_UTF8, 415, "e");
    lone_expect_told("1 invalid-utf8 7: refused, BYE 415: e; the conversation is closed\n");
    expect_bye(numbered_no_memory(lone.c), TLSMSG_CLOSE_FAILED, 503, "busy");
    lone_expect_told("1 memory 7: no memory for a message; the conversation is closed\n");
}

/* --- whose it is ------------------------------------------------------------------------------ */

static void test_a_producer_is_its_client_s(void **state)
{
    struct producers_claimed claimed;

    (void)state;
    lone_wait_ms(1000);
    expect_verdict(greet("p", 1), GO_ON, TLSMSG_CLOSE_CLEAN);
    expect_said("HELLO 1 last=0 max=5000 window=9 promise=none\n");
    assert_int_equal(lone.c->activity_ns, lone.begun_ns + 1 * S);
    assert_int_equal(claim("CN=alice", 8, &claimed), PRODUCERS_WAIT);
    assert_int_equal(claimed.owner.connection, LONE_ID);
    assert_int_equal(claimed.owner.slot, lone.c->slot);
    assert_ptr_equal(claimed.producer, n->hold->producer);
    assert_int_equal(claim("", 8, &claimed), PRODUCERS_YOURS);
    expect_bye(greet("p", 1), TLSMSG_CLOSE_REFUSED, 400, "a second HELLO");
}

static void test_a_producer_of_nobody_in_particular(void **state)
{
    struct producers_claimed claimed;

    (void)state;
    lone.identity = NULL;
    expect_verdict(greet("p", 1), GO_ON, TLSMSG_CLOSE_CLEAN);
    assert_int_equal(claim("CN=alice", 8, &claimed), PRODUCERS_YOURS);
    assert_int_equal(claim("", 8, &claimed), PRODUCERS_WAIT);
}

/* Those before it are told that it is theirs no more, and it is this one's when they have left. */
static void test_a_producer_that_another_has(void **state)
{
    struct producers_claimed owner;
    struct producers_claimed waiting;
    struct producer_claim next;
    struct list posted;
    struct posted *first;
    struct posted *second;
    bool release;
    bool fail;

    (void)state;
    assert_int_equal(claim("CN=alice", 5, &owner), PRODUCERS_YOURS);
    assert_int_equal(claim("CN=alice", 6, &waiting), PRODUCERS_WAIT);
    expect_verdict(greet("p", 1), GO_ON, TLSMSG_CLOSE_CLEAN);
    assert_int_equal(n->greeting, GREETING_WAITS);
    assert_true(list_is_linked(&lone.c->in_waiting));
    assert_int_equal(lone.c->out.len, 0);
    list_init(&posted);
    mailbox_take(&lone.w->mailbox, &posted, &release, &fail);
    first = LIST_ITEM(list_take_first(&posted), struct posted, link);
    second = LIST_ITEM(list_take_first(&posted), struct posted, link);
    assert_true(list_is_empty(&posted));
    assert_int_equal(first->kind, POSTED_TAKEN_OVER);
    assert_int_equal(first->token.connection, 5);
    assert_int_equal(first->token.slot, 45);
    assert_int_equal(second->kind, POSTED_TAKEN_OVER);
    assert_int_equal(second->token.connection, 6);
    posted_free(first);
    posted_free(second);
    expect_verdict(numbered_look(lone.c), GO_ON, TLSMSG_CLOSE_CLEAN);
    assert_int_equal(n->greeting, GREETING_WAITS);
    owner.producer->last = 4;
    assert_true(producers_leave(PRODUCERS, owner.producer,
                                &(struct producer_claim){.connection = 5}, lone.begun_ns, &next));
    expect_verdict(numbered_look(lone.c), GO_ON, TLSMSG_CLOSE_CLEAN);
    assert_int_equal(n->greeting, GREETING_DONE);
    assert_false(list_is_linked(&lone.c->in_waiting));
    expect_said("HELLO 1 last=4 max=5000 window=9 promise=none\n");
    expect_verdict(numbered_look(lone.c), GO_ON, TLSMSG_CLOSE_CLEAN); /* nothing is said again */
    expect_said("HELLO 1 last=4 max=5000 window=9 promise=none\n");
}

static void test_a_producer_that_a_later_connection_has(void **state)
{
    struct producers_claimed claimed;

    (void)state;
    assert_int_equal(claim("CN=alice", 8, &claimed), PRODUCERS_YOURS);
    expect_bye(greet("p", 1), TLSMSG_CLOSE_REFUSED, 409, "taken over");
    assert_null(n->hold);
    lone_expect_told("");
}

static void test_no_room_for_a_producer(void **state)
{
    struct producers_claimed claimed;

    (void)state;
    lone.server->producers.max = 1;
    assert_int_equal(claim("CN=bob", 6, &claimed), PRODUCERS_YOURS);
    expect_bye(greet("p", 1), TLSMSG_CLOSE_FAILED, 503,
               "too many producers are connected (try: again later, or another server)");
    assert_null(n->hold);
    lone_expect_told("1 limit 7: refused, BYE 503: all 1 producers that the server remembers are "
                     "connected (try: several servers, each for some of the clients)\n");
}

static void test_no_room_for_the_greeting(void **state)
{
    (void)state;
    lone.c->out.limit = 10;
    expect_bye(greet(NULL, 1), TLSMSG_CLOSE_FAILED, 503, "busy");
}

/* --- who keeps the numbers -------------------------------------------------------------------- */

static unsigned questions;

static void on_hello(const struct tlsmsg_hello *hello, void *user)
{
    assert_ptr_equal(user, lone.told);
    assert_int_equal(hello->peer->connection, LONE_ID);
    assert_string_equal(hello->peer->tls->identity, "CN=alice");
    assert_string_equal(hello->producer, "p");
    assert_int_equal(hello->from, 3);
    assert_int_equal(hello->token.connection, LONE_ID);
    assert_int_equal(hello->token.message, 0);
    assert_int_equal(hello->token.worker, 0);
    assert_int_equal(hello->token.slot, lone.c->slot);
    questions++;
}

static void test_a_handler_that_keeps_the_numbers(void **state)
{
    (void)state;
    lone.server->handler.hello = on_hello;
    questions = 0;
    expect_verdict(greet("p", 3), GO_ON, TLSMSG_CLOSE_CLEAN);
    assert_int_equal(questions, 1);
    assert_int_equal(n->greeting, GREETING_ASKED);
    assert_true(lone.w->dirty);
    assert_int_equal(lone.c->out.len, 0);
    expect_verdict(numbered_look(lone.c), GO_ON, TLSMSG_CLOSE_CLEAN);
    assert_int_equal(questions, 1);
    expect_verdict(numbered_greeted(lone.c, 2, TLSMSG_PROMISE_DISK), GO_ON, TLSMSG_CLOSE_CLEAN);
    expect_said("HELLO 1 last=2 max=5000 window=9 promise=disk\n");
    assert_int_equal(n->last, 2);
    /* One answer is enough. */
    expect_verdict(numbered_greeted(lone.c, 9, TLSMSG_PROMISE_DISK), GO_ON, TLSMSG_CLOSE_CLEAN);
    assert_int_equal(n->last, 2);
    expect_said("HELLO 1 last=2 max=5000 window=9 promise=disk\n");
    lone_expect_told("");
    assert_int_equal(lone.w->stats.set_back, 0);
}

/* From the one that the client asks for to the one behind the last that is stored. */
static void test_the_first_number(void **state)
{
    static const struct {
        uint64_t last;
        const char *says;
        bool taken;
    } rows[] = {
        {7, "MSG 2 1\na\n", false}, {7, "MSG 3 1\na\n", true}, {7, "MSG 8 1\na\n", true},
        {7, "MSG 9 1\na\n", false}, {1, "MSG 3 1\na\n", true}, {1, "MSG 4 1\na\n", false},
    };

    (void)state;
    for (size_t i = 0; i < COUNT_OF(rows); i++) {
        char says[16];
        struct verdict verdict;

        (void)lone_end(NULL);
        (void)open_one(NULL);
        lone.server->handler.hello = on_hello;
        (void)greet("p", 3);
        (void)numbered_greeted(lone.c, rows[i].last, TLSMSG_PROMISE_NONE);
        memcpy(says, rows[i].says, strlen(rows[i].says));
        verdict = flow_numbered.received(lone.c, says, strlen(rows[i].says));
        if (rows[i].taken) {
            expect_verdict(verdict, GO_ON, TLSMSG_CLOSE_CLEAN);
            assert_int_equal(lone.c->messages, 1);
        } else {
            expect_bye(verdict, TLSMSG_CLOSE_REFUSED, 400, "a number out of order");
            assert_int_equal(lone.c->messages, 0);
        }
    }
}

#define SET_BACK "producer 'p' has acknowledged messages up to 2, but the last that is stored is "

static struct verdict is_greeted_again(uint64_t last, enum tlsmsg_promise promise)
{
    n->greeting = GREETING_ASKED;
    return numbered_greeted(lone.c, last, promise);
}

/* Counted each time, told once a minute; nothing of it where nothing was promised. */
static void test_a_set_back(void **state)
{
    (void)state;
    lone.server->handler.hello = on_hello;
    expect_verdict(greet("p", 3), GO_ON, TLSMSG_CLOSE_CLEAN);
    expect_verdict(is_greeted_again(1, TLSMSG_PROMISE_NONE), GO_ON, TLSMSG_CLOSE_CLEAN);
    assert_int_equal(lone.w->stats.set_back, 0);
    expect_verdict(is_greeted_again(1, TLSMSG_PROMISE_DISK), GO_ON, TLSMSG_CLOSE_CLEAN);
    assert_int_equal(lone.w->stats.set_back, 1);
    lone_expect_told("0 other 7: " SET_BACK "1: an old backup?\n");
    lone_wait_ms(59999);
    expect_verdict(is_greeted_again(0, TLSMSG_PROMISE_DISK), GO_ON, TLSMSG_CLOSE_CLEAN);
    assert_int_equal(lone.w->stats.set_back, 2);
    lone_expect_told("");
    lone_wait_ms(1);
    expect_verdict(is_greeted_again(0, TLSMSG_PROMISE_DISK), GO_ON, TLSMSG_CLOSE_CLEAN);
    lone_expect_told("1 other 7: " SET_BACK "0 (another server?)\n");
}

#define BOTH(function) cmocka_unit_test_setup_teardown(function, open_one, lone_end)

int main(void)
{
    const struct CMUnitTest tests[] = {
        BOTH(test_each_way_to_end_it),
        BOTH(test_a_producer_is_its_client_s),
        BOTH(test_a_producer_of_nobody_in_particular),
        BOTH(test_a_producer_that_another_has),
        BOTH(test_a_producer_that_a_later_connection_has),
        BOTH(test_no_room_for_a_producer),
        BOTH(test_no_room_for_the_greeting),
        BOTH(test_a_handler_that_keeps_the_numbers),
        BOTH(test_the_first_number),
        BOTH(test_a_set_back),
    };

    return cmocka_run_group_tests(tests, lone_setup, lone_teardown);
}
