/* Storing, call by call: what the store is given of a message or a greeting, what the server is told of
 * each decision, and when a hold ends. Both are the test's own. */
#include <stdlib.h>
#include <string.h>

#include <tlsmsg/tlsmsg.h>

#include "base/error.h"
#include "support/failmalloc.h"
#include "support/storing_ends.h"
#include "support/unit.h"

#define GREETINGS_MAX 8192

static struct tlsmsg_error err;

static const struct storing_settings settings = {
    .target = "store.db", .keep_ms = 1, .min_free = 2, .timeout_ms = 3};

static int reset(void **state)
{
    (void)state;
    storing_ends_reset();
    tlsmsg_error_clear(&err);
    return 0;
}

static int begin(void **state)
{
    (void)reset(state);
    assert_int_equal(storing_open(&settings, storing_server, storing_log, &storing, &err),
                     TLSMSG_OK);
    assert_non_null(storing);
    return 0;
}

static int end(void **state)
{
    (void)state;
    storing_close(storing);
    return seen.closes == 1 ? 0 : 1;
}

/* The token that came back is that of the greeting, or of that message. */
static void assert_token(uint64_t message_number)
{
    assert_int_equal(seen.token.connection, 7);
    assert_int_equal(seen.token.message, message_number);
    assert_int_equal(seen.token.worker, 1);
    assert_int_equal(seen.token.slot, 0xABCDEF);
}

/* A turn with something in it, which is held. */
static void hold(unsigned parts)
{
    seen.parts = parts;
    assert_int_equal(storing_turn_end(storing, 1, TLSMSG_TURN_RELEASE), TLSMSG_TURN_HOLD);
}

/* ---- opening */

static void test_settings_are_passed_on(void **state)
{
    (void)state;
    assert_string_equal(seen.settings.target, "store.db");
    assert_string_equal(seen.settings.version, tlsmsg_version());
    assert_int_equal(seen.settings.workers, STORING_WORKERS);
    assert_int_equal(seen.settings.keep_ms, 1);
    assert_int_equal(seen.settings.min_free, 2);
    assert_int_equal(seen.settings.timeout_ms, 3);
    assert_int_equal(seen.settings.worker_bytes, SIZE_MAX / 2);
    assert_ptr_equal(seen.settings.user, storing);
}

static void test_a_store_that_is_not_opened(void **state)
{
    (void)state;
    storing = (struct storing *)storing_store;
    seen.opened = TLSMSG_ERR_SYSTEM;
    assert_int_equal(storing_open(&settings, storing_server, storing_log, &storing, &err),
                     TLSMSG_ERR_SYSTEM);
    assert_string_equal(err.text, "not opened");
    assert_null(storing);
}

static void test_no_memory_to_store(void **state)
{
    long before = failmalloc_live();
    enum tlsmsg_code code;

    (void)state;
    storing = (struct storing *)storing_store;
    failmalloc_at(1);
    code = storing_open(&settings, storing_server, storing_log, &storing, &err);
    failmalloc_at(0);
    assert_int_equal(code, TLSMSG_ERR_NOMEM);
    assert_string_equal(err.text, "out of memory");
    tlsmsg_error_clear(&err);
    seen.no_workers = true;
    code = storing_open(&settings, storing_server, storing_log, &storing, &err);
    assert_int_equal(code, TLSMSG_ERR_NOMEM);
    assert_int_equal(err.code, TLSMSG_ERR_NOMEM);
    assert_string_equal(err.text, "out of memory");
    assert_null(storing);
    assert_null(seen.settings.target);
    assert_int_equal(failmalloc_live(), before);
}

/* Every function takes a storing that stores nothing. */
static void test_nothing_is_stored_without_a_target(void **state)
{
    const struct storing_settings none = {.target = NULL};
    struct store_stats stats;
    enum store_promise promise;
    const struct tlsmsg_closed closed = {.peer = &storing_peer};

    (void)state;
    storing = (struct storing *)storing_store;
    assert_int_equal(storing_open(&none, storing_server, storing_log, &storing, &err), TLSMSG_OK);
    assert_null(storing);
    assert_int_equal(storing_check(&none, &err), TLSMSG_OK);
    storing_say();
    storing_closed(storing, &closed, 1);
    assert_int_equal(storing_turn_end(storing, 1, TLSMSG_TURN_RELEASE), TLSMSG_TURN_RELEASE);
    assert_int_equal(storing_turn_end(storing, 1, TLSMSG_TURN_HOLD), TLSMSG_TURN_HOLD);
    assert_null(storing_failure(storing));
    assert_false(storing_stats(storing, &stats, &promise));
    storing_lines_out(storing, storing_server, 1, false);
    assert_int_equal(seen.releases, 1);
    assert_false(seen.released_failed);
    storing_lines_out(storing, storing_server, 1, true);
    assert_true(seen.released_failed);
    storing_close(storing);
    assert_int_equal(seen.puts + seen.turn_ends + seen.closes, 0);
    assert_null(seen.settings.target);
}

static void test_check_and_reach_ask_the_store(void **state)
{
    struct store_reach reach = {.file_count = 0};

    (void)state;
    assert_int_equal(storing_check(&settings, &err), TLSMSG_ERR_CONFIG);
    assert_string_equal(err.text, "not a store");
    assert_string_equal(seen.target, "store.db");
    assert_int_equal(setenv("HOME", "/home/us", 1), 0);
    assert_int_equal(storing_reach(&settings, "alice", &reach, &err), TLSMSG_ERR_CONFIG);
    assert_string_equal(seen.home, "/home/alice");
    assert_int_equal(reach.port_count, 7);
    (void)storing_reach(&settings, "nobody knows", &reach, &err);
    assert_string_equal(seen.home, "/home/us");
    (void)storing_reach(&settings, NULL, &reach, &err);
    assert_string_equal(seen.home, "/home/us");
    storing_reach_fini(&reach);
    assert_int_equal(reach.port_count, 0);
}

/* ---- what the store is given */

static void test_a_numbered_message(void **state)
{
    (void)state;
    storing_say();
    assert_int_equal(seen.worker, 1);
    assert_string_equal(seen.record.identity, "CN=alice");
    assert_string_equal(seen.record.producer, "p");
    assert_int_equal(seen.record.seq, 11);
    assert_ptr_equal(seen.record.hash, storing_hash);
    assert_int_equal(seen.record.connection, 7);
    assert_string_equal(seen.record.peer, "127.0.0.1:1");
    assert_int_equal(seen.record.len, 5);
    assert_memory_equal(seen.record.body, "hello", 5);
    assert_int_equal(seen.record.tag, 1 << 24 | 5);
    /* The first of a connection may lie beyond what the store knows. */
    assert_true(seen.record.jumps);
    storing_token.message = 2;
    storing_say();
    assert_false(seen.record.jumps);
    assert_int_equal(seen.record.tag, 2 << 24 | 5);
    assert_int_equal(seen.refusals, 0);
}

static void test_a_message_of_the_documents_flow(void **state)
{
    (void)state;
    storing_producer = NULL;
    storing_peer.tls = NULL;
    storing_say();
    assert_null(seen.record.identity);
    assert_null(seen.record.producer);
    assert_int_equal(seen.record.seq, 0);
    assert_null(seen.record.hash);
    assert_false(seen.record.jumps);
    assert_int_equal(seen.record.len, 5);
}

static void test_a_greeting_asks_for_the_last_number(void **state)
{
    (void)state;
    storing_greet("p");
    assert_int_equal(seen.puts, 1);
    assert_int_equal(seen.worker, 1);
    assert_string_equal(seen.record.identity, "CN=alice");
    assert_string_equal(seen.record.producer, "p");
    assert_string_equal(seen.record.peer, "127.0.0.1:1");
    assert_int_equal(seen.record.connection, 7);
    assert_int_equal(seen.record.seq, 0);
    assert_int_equal(seen.record.tag, 0xABCDEF);
    assert_null(seen.record.body);
    storing_peer.tls = NULL;
    storing_greet("p");
    assert_null(seen.record.identity);
    assert_int_equal(seen.hellos, 0);
}

/* One without numbers is answered at once, with what holds from then on. */
static void test_a_greeting_without_a_producer(void **state)
{
    (void)state;
    seen.promise = STORE_PROMISE_REPLICATED;
    storing_greet(NULL);
    assert_int_equal(seen.puts, 0);
    assert_int_equal(seen.hellos, 1);
    assert_int_equal(seen.last, 0);
    assert_int_equal(seen.told_promise, TLSMSG_PROMISE_REPLICATED);
    assert_int_equal(seen.promised_to, 7);
    assert_token(0);
    seen.promise = STORE_PROMISE_DISK;
    storing_greet(NULL);
    assert_int_equal(seen.told_promise, TLSMSG_PROMISE_DISK);
    assert_int_equal(seen.refusals, 0);
    seen.hello = TLSMSG_ERR_NOMEM;
    storing_greet(NULL);
    assert_int_equal(seen.refusals, 1);
    assert_int_equal(seen.code, 503);
}

static void test_so_many_greetings_a_turn(void **state)
{
    unsigned i;

    (void)state;
    for (i = 0; i < GREETINGS_MAX; i++) {
        storing_greet("p");
    }
    assert_int_equal(seen.puts, GREETINGS_MAX);
    assert_int_equal(seen.refusals, 0);
    storing_greet("p");
    assert_int_equal(seen.puts, GREETINGS_MAX);
    assert_int_equal(seen.refusals, 1);
    assert_int_equal(seen.code, 503);
    assert_token(0);
    hold(1);
    storing_greet("p");
    assert_int_equal(seen.puts, GREETINGS_MAX + 1);
}

/* What never came to the store is taken back, and the turn is held for it. */
static void test_a_message_that_the_store_does_not_take(void **state)
{
    (void)state;
    seen.put = TLSMSG_ERR_NOMEM;
    storing_token.slot = 0xABCDEF;
    storing_say();
    assert_int_equal(seen.refusals, 1);
    assert_int_equal(seen.code, 503);
    assert_token(1);
    hold(0);
    assert_int_equal(seen.handed, 1);
    assert_int_equal(seen.releases, 1);
    assert_int_equal(seen.released_worker, 1);
    assert_false(seen.released_failed);
    /* That was a matter of one turn. */
    assert_int_equal(storing_turn_end(storing, 1, TLSMSG_TURN_RELEASE), TLSMSG_TURN_RELEASE);
}

static void test_a_conversation_that_ends(void **state)
{
    const struct tlsmsg_closed closed = {.peer = &storing_peer};

    (void)state;
    storing_closed(storing, &closed, 1);
    assert_int_equal(seen.ended, 7);
    assert_int_equal(seen.worker, 1);
}

/* ---- decisions */

static const struct verdict_row {
    const char *name;
    enum store_verdict verdict;
    uint64_t message; /* 0: a greeting's question */
    unsigned code;    /* 0: nothing is refused */
    bool hello;
} verdict_rows[] = {
    {"a message that was taken", STORE_TAKEN, 3, 0, false},
    {"one that was there", STORE_DUPLICATE, 3, 0, false},
    {"other bytes", STORE_OTHER_BYTES, 3, 412, false},
    {"bytes that can't be stored", STORE_REFUSED, 3, 415, false},
    {"no room", STORE_NO_ROOM, 3, 507, false},
    {"away", STORE_AWAY, 3, 503, false},
    {"failed", STORE_FAILED, 3, 503, false},
    {"a greeting", STORE_TAKEN, 0, 0, true},
    {"a greeting, whatever that means", STORE_DUPLICATE, 0, 0, true},
    {"a greeting that waited in vain", STORE_AWAY, 0, 503, false},
};

static void test_verdict(void **state)
{
    const struct verdict_row *row = *state;

    (void)begin(state);
    hold(1);
    seen.promise = STORE_PROMISE_REPLICATED;
    storing_decide(row->verdict, row->message, false);
    assert_int_equal(seen.refusals, row->code != 0);
    assert_int_equal(seen.code, row->code);
    assert_int_equal(seen.hellos, row->hello);
    if (row->hello) {
        assert_int_equal(seen.last, 42);
        assert_int_equal(seen.told_promise, TLSMSG_PROMISE_REPLICATED);
    }
    if (row->hello || row->code != 0) {
        assert_token(row->message);
    }
    assert_int_equal(seen.releases, 1);
    assert_false(seen.released_failed);
    assert_int_equal(end(state), 0);
}

static void test_a_greeting_that_can_not_be_answered(void **state)
{
    (void)state;
    hold(1);
    seen.hello = TLSMSG_ERR_NOMEM;
    storing_decide(STORE_TAKEN, 0, false);
    assert_int_equal(seen.refusals, 1);
    assert_int_equal(seen.code, 503);
    assert_false(seen.released_failed);
}

/* Without memory to say so no reply may leave. */
static void test_a_refusal_that_can_not_be_said_ends_the_server(void **state)
{
    (void)state;
    hold(1);
    seen.refuse = TLSMSG_ERR_NOMEM;
    storing_decide(STORE_NO_ROOM, 1, false);
    assert_int_equal(seen.releases, 1);
    assert_true(seen.released_failed);
}

static void test_a_store_that_has_failed_ends_the_server(void **state)
{
    (void)state;
    hold(1);
    storing_decide(STORE_FAILED, 1, true);
    assert_int_equal(seen.refusals, 0);
    assert_int_equal(seen.hellos, 0);
    assert_int_equal(seen.releases, 1);
    assert_int_equal(seen.released_worker, 1);
    assert_true(seen.released_failed);
}

static void test_a_hold_ends_with_its_last_part(void **state)
{
    (void)state;
    hold(3);
    storing_decide(STORE_TAKEN, 1, false);
    storing_decide(STORE_TAKEN, 1, false);
    assert_int_equal(seen.releases, 0);
    storing_decide(STORE_TAKEN, 1, false);
    assert_int_equal(seen.releases, 1);
}

static void test_parts_may_be_decided_while_they_are_handed_over(void **state)
{
    (void)state;
    seen.decides_at_once = true;
    hold(2);
    assert_int_equal(seen.releases, 1);
    assert_false(seen.released_failed);
}

/* ---- turns */

static void test_turns_without_a_message(void **state)
{
    (void)state;
    assert_int_equal(storing_turn_end(storing, 1, TLSMSG_TURN_RELEASE), TLSMSG_TURN_RELEASE);
    assert_int_equal(seen.turn_ends, 1);
    assert_int_equal(seen.handed, 0);
    assert_int_equal(storing_turn_end(storing, 1, TLSMSG_TURN_FAIL), TLSMSG_TURN_FAIL);
    assert_int_equal(seen.turn_ends, 1);
    assert_int_equal(storing_turn_end(storing, 1, TLSMSG_TURN_HOLD), TLSMSG_TURN_HOLD);
    assert_int_equal(seen.turn_ends, 2);
    storing_lines_out(storing, storing_server, 1, false);
    assert_int_equal(seen.handed, 0);
    assert_int_equal(seen.releases, 1);
    assert_int_equal(seen.released_worker, 1);
    assert_false(seen.released_failed);
}

static void test_lines_come_before_the_commit(void **state)
{
    (void)state;
    seen.parts = 1;
    assert_int_equal(storing_turn_end(storing, 1, TLSMSG_TURN_HOLD), TLSMSG_TURN_HOLD);
    assert_int_equal(seen.handed, 0);
    storing_lines_out(storing, storing_server, 1, false);
    assert_int_equal(seen.handed, 1);
    assert_int_equal(seen.releases, 0);
    storing_decide(STORE_TAKEN, 1, false);
    assert_int_equal(seen.releases, 1);
}

static void test_lines_that_can_not_be_written_store_nothing(void **state)
{
    (void)state;
    seen.parts = 1;
    assert_int_equal(storing_turn_end(storing, 1, TLSMSG_TURN_HOLD), TLSMSG_TURN_HOLD);
    storing_lines_out(storing, storing_server, 1, true);
    assert_int_equal(seen.handed, 0);
    assert_int_equal(seen.releases, 1);
    assert_true(seen.released_failed);
}

/* The server is told what changed, and only when it did. */
static void test_bytes_are_told_when_they_change(void **state)
{
    (void)state;
    seen.undecided[1] = 100;
    hold(2);
    assert_int_equal(seen.buffered, 100);
    storing_decide(STORE_TAKEN, 1, false);
    assert_int_equal(seen.buffered_calls, 1);
    seen.undecided[1] = 30;
    storing_decide(STORE_TAKEN, 1, false);
    assert_int_equal(seen.buffered, 30);
    seen.undecided[1] = 0;
    assert_int_equal(storing_turn_end(storing, 1, TLSMSG_TURN_HOLD), TLSMSG_TURN_HOLD);
    assert_int_equal(seen.buffered, 0);
    assert_int_equal(seen.buffered_calls, 3);
}

/* ---- news */

static void test_news_go_to_the_log(void **state)
{
    (void)state;
    seen.settings.tell(storing, STORE_WARNING, "a warning");
    assert_int_equal(seen.event.level, TLSMSG_LOG_WARNING);
    assert_int_equal(seen.event.cause, TLSMSG_CAUSE_LIMIT);
    assert_string_equal(seen.event.text, "a warning");
    assert_int_equal(seen.event.connection, 0);
    assert_null(seen.event.address);
    seen.settings.tell(storing, STORE_ERROR, "an error");
    assert_int_equal(seen.event.level, TLSMSG_LOG_ERROR);
    assert_int_equal(seen.event.cause, TLSMSG_CAUSE_LIMIT);
    assert_string_equal(seen.event.text, "an error");
    assert_int_equal(seen.events, 2);
    assert_int_equal(seen.releases, 0);
}

/* The program says why when it ends; perhaps no worker holds, so one is told. */
static void test_a_failure_ends_the_server(void **state)
{
    (void)state;
    seen.settings.tell(storing, STORE_FAILURE, "the disk is gone");
    assert_int_equal(seen.events, 0);
    assert_int_equal(seen.releases, 1);
    assert_int_equal(seen.released_worker, 0);
    assert_true(seen.released_failed);
    assert_null(storing_failure(storing));
    seen.failed = true;
    assert_string_equal(storing_failure(storing), "the disk is gone");
}

static void test_numbers(void **state)
{
    struct store_stats stats = {.taken = 0};
    enum store_promise promise = STORE_PROMISE_DISK;

    (void)state;
    seen.promise = STORE_PROMISE_REPLICATED;
    assert_true(storing_stats(storing, &stats, &promise));
    assert_int_equal(stats.taken, 5);
    assert_int_equal(promise, STORE_PROMISE_REPLICATED);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_settings_are_passed_on, begin, end),
        cmocka_unit_test_setup(test_a_store_that_is_not_opened, reset),
        cmocka_unit_test_setup(test_no_memory_to_store, reset),
        cmocka_unit_test_setup(test_nothing_is_stored_without_a_target, reset),
        cmocka_unit_test_setup(test_check_and_reach_ask_the_store, reset),
        cmocka_unit_test_setup_teardown(test_a_numbered_message, begin, end),
        cmocka_unit_test_setup_teardown(test_a_message_of_the_documents_flow, begin, end),
        cmocka_unit_test_setup_teardown(test_a_greeting_asks_for_the_last_number, begin, end),
        cmocka_unit_test_setup_teardown(test_a_greeting_without_a_producer, begin, end),
        cmocka_unit_test_setup_teardown(test_so_many_greetings_a_turn, begin, end),
        cmocka_unit_test_setup_teardown(test_a_message_that_the_store_does_not_take, begin, end),
        cmocka_unit_test_setup_teardown(test_a_conversation_that_ends, begin, end),
        cmocka_unit_test_setup_teardown(test_a_greeting_that_can_not_be_answered, begin, end),
        cmocka_unit_test_setup_teardown(test_a_refusal_that_can_not_be_said_ends_the_server, begin,
                                        end),
        cmocka_unit_test_setup_teardown(test_a_store_that_has_failed_ends_the_server, begin, end),
        cmocka_unit_test_setup_teardown(test_a_hold_ends_with_its_last_part, begin, end),
        cmocka_unit_test_setup_teardown(test_parts_may_be_decided_while_they_are_handed_over, begin,
                                        end),
        cmocka_unit_test_setup_teardown(test_turns_without_a_message, begin, end),
        cmocka_unit_test_setup_teardown(test_lines_come_before_the_commit, begin, end),
        cmocka_unit_test_setup_teardown(test_lines_that_can_not_be_written_store_nothing, begin,
                                        end),
        cmocka_unit_test_setup_teardown(test_bytes_are_told_when_they_change, begin, end),
        cmocka_unit_test_setup_teardown(test_news_go_to_the_log, begin, end),
        cmocka_unit_test_setup_teardown(test_a_failure_ends_the_server, begin, end),
        cmocka_unit_test_setup_teardown(test_numbers, begin, end),
    };
    int failed = cmocka_run_group_tests(tests, NULL, NULL);

    RUN_ROWS(failed, test_verdict, verdict_rows);
    return failed;
}
