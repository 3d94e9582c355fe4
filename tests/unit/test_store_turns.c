/* From a worker's records to their decisions: what a batch is made of, what it counts, and what becomes
 * of it where there is no room or no memory. */
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "base/clock.h"
#include "support/failmalloc.h"
#include "support/scripted_engine.h"
#include "support/still_clock.h"
#include "support/unit.h"

#define NO_ROOM_TEXT "the store has no room: new messages are not taken until there is some"
#define ROOM_TEXT "the store has room again"

static struct store *store;

/* Appends wait until the test lets them. */
static struct {
    pthread_mutex_t lock;
    pthread_cond_t moved;
    bool closed;
    bool reached;
} gate = {.lock = PTHREAD_MUTEX_INITIALIZER, .moved = PTHREAD_COND_INITIALIZER};

static void wait_at_the_gate(const struct store_batch *batch)
{
    (void)batch;
    (void)pthread_mutex_lock(&gate.lock);
    gate.reached = true;
    (void)pthread_cond_broadcast(&gate.moved);
    while (gate.closed) {
        (void)pthread_cond_wait(&gate.moved, &gate.lock);
    }
    (void)pthread_mutex_unlock(&gate.lock);
}

static void open_gate(void)
{
    (void)pthread_mutex_lock(&gate.lock);
    gate.closed = false;
    (void)pthread_cond_broadcast(&gate.moved);
    (void)pthread_mutex_unlock(&gate.lock);
}

/* Ends and hands over a turn of one part, and waits for nothing. */
static void hand_over(unsigned worker)
{
    assert_int_equal(store_turn_end(store, worker), 1);
    store_hand_over(store, worker);
}

/* A first batch that is being written, so that all that comes now waits for the next one. */
static void close_gate(void)
{
    gate.closed = true;
    gate.reached = false;
    script.on_append = wait_at_the_gate;
    script_put(store, 0, 1, 1, "t");
    hand_over(0);
    (void)pthread_mutex_lock(&gate.lock);
    while (!gate.reached) {
        (void)pthread_cond_wait(&gate.moved, &gate.lock);
    }
    (void)pthread_mutex_unlock(&gate.lock);
}

static int begin(void **state)
{
    struct store_settings settings = script_settings();

    still_clock_reset();
    (void)script_reset(state);
    store = script_start(&settings);
    (void)still_clock_rest();
    return 0;
}

static int end(void **state)
{
    (void)state;
    store_close(store);
    return script.closed == 1 ? 0 : 1;
}

static struct store_stats stats(void)
{
    struct store_stats found;

    (void)still_clock_rest();
    store_stats(store, &found);
    return found;
}

static void test_each_verdict_is_counted_and_passed_on(void **state)
{
    static const enum store_verdict wanted[] = {STORE_TAKEN,     STORE_DUPLICATE, STORE_NO_ROOM,
                                                STORE_AWAY,      STORE_TAKEN,     STORE_OTHER_BYTES,
                                                STORE_DUPLICATE, STORE_TAKEN};
    static const char *const bodies[] = {"t", "d", "n", "a", "t", "o", "d", "t"};
    struct store_stats found;
    size_t i;

    (void)state;
    for (i = 0; i < COUNT_OF(bodies); i++) {
        /* The last is a question, which is answered and not a message that was taken. */
        script_put(store, 1, 20 + i, i == 7 ? 0 : i + 1, bodies[i]);
    }
    script_turn(store, 1, 1);
    assert_int_equal(script.decided, COUNT_OF(bodies));
    for (i = 0; i < COUNT_OF(bodies); i++) {
        assert_int_equal(script.decisions[i].verdict, wanted[i]);
        assert_int_equal(script.decisions[i].connection, 20 + i);
        assert_int_equal(script.decisions[i].seq, i == 7 ? 0 : i + 1);
        assert_int_equal(script.decisions[i].tag, i == 7 ? 100 : i + 101);
        assert_int_equal(script.decisions[i].last, script.decisions[i].seq + 1000);
        assert_int_equal(script.workers[i], 1);
    }
    found = stats();
    assert_int_equal(found.batches, 1);
    assert_int_equal(found.taken, 2);
    assert_int_equal(found.duplicates, 2);
    assert_int_equal(found.no_room, 1);
    assert_int_equal(found.away, 1);
    assert_int_equal(found.log_bytes, 0);
    assert_false(found.is_away);
    assert_int_equal(script.told, 0);
}

/* Whatever a program does with its buffers, the engine is given what was put. */
static const struct store_item *first_item;
static struct store_item copy;

static void keep_the_first(const struct store_batch *batch)
{
    first_item = batch->items[0];
    copy = *first_item;
    assert_string_equal(copy.identity, "CN=alice");
    assert_string_equal(copy.producer, "p");
    assert_string_equal(copy.peer, "127.0.0.1:1");
    assert_memory_equal(copy.hash, "0123456789abcdef0123456789abcdef", STORE_HASH_BYTES);
    assert_int_equal(copy.body_len, 5);
    assert_memory_equal(copy.body, "he\0lo", 5);
}

static void test_a_record_is_copied_whole(void **state)
{
    char identity[] = "CN=alice";
    char producer[] = "p";
    char peer[] = "127.0.0.1:1";
    unsigned char hash[] = "0123456789abcdef0123456789abcdef";
    char body[] = "he\0lo";
    const struct store_record record = {.identity = identity,
                                        .producer = producer,
                                        .seq = 3,
                                        .jumps = true,
                                        .hash = hash,
                                        .connection = 8,
                                        .peer = peer,
                                        .body = body,
                                        .len = 5,
                                        .tag = 9};
    struct timespec before;
    struct timespec after;

    (void)state;
    script.on_append = keep_the_first;
    (void)clock_gettime(CLOCK_REALTIME, &before);
    assert_int_equal(store_put(store, 0, &record), TLSMSG_OK);
    (void)clock_gettime(CLOCK_REALTIME, &after);
    memset(identity, 'x', sizeof(identity) - 1);
    memset(producer, 'x', sizeof(producer) - 1);
    memset(peer, 'x', sizeof(peer) - 1);
    memset(hash, 'x', sizeof(hash));
    memset(body, 'x', sizeof(body));
    script_turn(store, 0, 1);
    assert_int_equal(copy.seq, 3);
    assert_true(copy.jumps);
    assert_int_equal(copy.connection, 8);
    assert_int_equal(copy.tag, 9);
    assert_in_range(copy.time_ms, before.tv_sec * 1000 + before.tv_nsec / CLOCK_NS_PER_MS,
                    after.tv_sec * 1000 + after.tv_nsec / CLOCK_NS_PER_MS);
    assert_int_equal(script.counts[0], 1);
}

static void look_at_the_bare_one(const struct store_batch *batch)
{
    const struct store_item *item = batch->items[0];

    assert_string_equal(item->identity, "");
    assert_string_equal(item->producer, store_run_name(store));
    assert_string_equal(item->peer, "");
    assert_null(item->hash);
    assert_non_null(item->body);
    assert_int_equal(item->body_len, 0);
    assert_true(item->jumps);
    assert_int_equal(item->seq, script.appended);
}

/* The document's flow: numbered from 1 on, over all turns, and under a name of this run. */
static void test_what_brings_nothing_but_bytes_is_numbered(void **state)
{
    const struct store_record record = {.connection = 8};

    (void)state;
    script.on_append = look_at_the_bare_one;
    for (unsigned i = 1; i <= 3; i++) {
        assert_int_equal(store_put(store, 0, &record), TLSMSG_OK);
        script_turn(store, 0, 1);
        assert_int_equal(script.decisions[i - 1].seq, i);
    }
    assert_string_equal(script.run_name, store_run_name(store));
    assert_int_equal(strlen(script.run_name), 33);
    assert_int_equal(strspn(script.run_name + 1, "0123456789abcdef"), 32);
    assert_int_equal(script.run_name[0], '@');
    assert_string_equal(script.version, "1.2.3");
}

static void look_for_a_jump(const struct store_batch *batch)
{
    assert_false(batch->items[0]->jumps);
}

static void test_a_producers_number_may_not_jump_unless_it_says_so(void **state)
{
    (void)state;
    script.on_append = look_for_a_jump;
    script_put(store, 0, 1, 4, "t");
    script_turn(store, 0, 1);
    assert_int_equal(script.decisions[0].seq, 4);
}

/* Bytes that the store holds of a record with so long a body, beside the body. */
static size_t overhead(void)
{
    size_t bytes;

    script_put(store, 1, 1, 1, "t");
    bytes = store_undecided(store, 1) - 1;
    script_turn(store, 1, 1);
    return bytes;
}

static void put_long(unsigned worker, size_t len)
{
    static char body[STORE_BATCH_MAX_BYTES + 16] = "t";
    const struct store_record record = {.producer = "p",
                                        .seq = 1,
                                        .connection = 1,
                                        .peer = "127.0.0.1:1",
                                        .body = body,
                                        .len = len};

    assert_int_equal(store_put(store, worker, &record), TLSMSG_OK);
}

/* Turns of two workers are written together up to the bound, and to the byte. */
static void test_a_batch_has_a_bound(void **state)
{
    size_t more = overhead();
    unsigned before = script.appended;

    (void)state;
    close_gate();
    put_long(0, STORE_BATCH_MAX_BYTES - 2 * more - 10);
    hand_over(0);
    put_long(1, 10);
    hand_over(1);
    put_long(0, 1);
    hand_over(0);
    open_gate();
    script_await_turns(5);
    assert_int_equal(script.appended, before + 3);
    assert_int_equal(script.counts[before + 1], 2);
    assert_int_equal(script.counts[before + 2], 1);
}

static void test_a_record_beyond_the_bound_goes_alone(void **state)
{
    unsigned before = script.appended;

    (void)state;
    close_gate();
    put_long(0, STORE_BATCH_MAX_BYTES + 1);
    hand_over(0);
    put_long(1, 1);
    hand_over(1);
    open_gate();
    script_await_turns(3);
    assert_int_equal(script.counts[before + 1], 1);
    assert_int_equal(script.counts[before + 2], 1);
}

/* A turn's parts are bounded in the same way, and each is decided by itself. */
static void test_a_turn_has_parts(void **state)
{
    size_t more = overhead();
    size_t turns = script.turns;

    (void)state;
    put_long(0, STORE_BATCH_MAX_BYTES - 2 * more - 10);
    put_long(0, 10);
    script_turn(store, 0, 1);
    assert_int_equal(script.turns, turns + 1);
    put_long(0, STORE_BATCH_MAX_BYTES - 2 * more - 10);
    put_long(0, 11);
    put_long(0, 1);
    put_long(0, STORE_BATCH_MAX_BYTES + 1);
    put_long(0, 2);
    script_turn(store, 0, 4);
    assert_int_equal(script.decided, 1 + 2 + 5);
    assert_int_equal(store_undecided(store, 0), 0);
    assert_int_equal(store_turn_end(store, 0), 0);
}

/* More than the first room that anything has. */
static void test_a_turn_may_have_many_records(void **state)
{
    uint64_t i;

    (void)state;
    for (i = 1; i <= 100; i++) {
        script_put(store, 0, 1, i, "t");
    }
    script_turn(store, 0, 1);
    assert_int_equal(script.decided, 100);
    for (i = 1; i <= 100; i++) {
        assert_int_equal(script.decisions[i - 1].seq, i);
    }
    assert_int_equal(stats().taken, 100);
}

/* Of connections whose messages can't be taken nothing more is, however many they are, until each has
 * ended. */
static void test_many_connections_are_refused(void **state)
{
    enum { MANY = 20 };
    uint64_t i;

    (void)state;
    for (i = 1; i <= MANY; i++) {
        script_put(store, 0, i, 1, i % 2 == 0 ? "o" : "r");
        script_put(store, 0, i, 2, "o");
    }
    script_turn(store, 0, 1);
    store_connection_ended(store, 0, 3);
    store_connection_ended(store, 0, 99);
    store_connection_ended(store, 1, 4);
    for (i = 1; i <= MANY + 1; i++) {
        script_put(store, 0, i, 2, "t");
    }
    script_turn(store, 0, 1);
    for (i = 1; i <= MANY + 1; i++) {
        assert_int_equal(script.decisions[2 * MANY + i - 1].verdict,
                         i == 3 || i == MANY + 1 ? STORE_TAKEN : STORE_AWAY);
    }
    assert_int_equal(script.counts[1], 2);
    assert_int_equal(stats().away, MANY - 1);
}

/* Another worker's connection has numbers of its own. */
static void test_a_refusal_is_its_workers(void **state)
{
    (void)state;
    script_put(store, 0, 5, 1, "o");
    script_turn(store, 0, 1);
    script_put(store, 1, 5, 1, "t");
    script_turn(store, 1, 1);
    assert_int_equal(script.decisions[1].verdict, STORE_TAKEN);
    /* A turn of which nothing is left is decided without the engine. */
    script_put(store, 0, 5, 2, "t");
    script_turn(store, 0, 1);
    assert_int_equal(script.decisions[2].verdict, STORE_AWAY);
    assert_int_equal(script.appended, 2);
    /* Nor does a question about a producer that nobody knows write anything. */
    script_put(store, 1, 6, 0, "unknown");
    script_turn(store, 1, 1);
    assert_int_equal(stats().batches, 2);
}

static void answer_next(enum store_result result, const char *body)
{
    script.appends[script.appended] = result;
    script_put(store, 0, 1, 1, body);
    script_turn(store, 0, 1);
    (void)still_clock_rest();
}

static void test_no_room_is_told_when_it_begins_and_when_it_ends(void **state)
{
    (void)state;
    answer_next(STORE_RESULT_NO_ROOM, "t");
    assert_int_equal(script.decisions[0].verdict, STORE_NO_ROOM);
    assert_int_equal(stats().no_room, 1);
    assert_int_equal(stats().batches, 0);
    answer_next(STORE_RESULT_NO_ROOM, "t");
    script_assert_news(0, STORE_ERROR, NO_ROOM_TEXT);
    assert_int_equal(script.told, 1);
    answer_next(STORE_RESULT_DONE, "t");
    script_assert_news(1, STORE_WARNING, ROOM_TEXT);
    answer_next(STORE_RESULT_DONE, "t");
    assert_int_equal(script.told, 2);
    assert_int_equal(stats().batches, 2);
}

/* The bytes that have to stay free, and twice those of the batch. */
static void test_min_free_to_the_byte(void **state)
{
    static const struct {
        uint64_t min_free;
        int64_t beyond; /* of twice the batch */
        bool takes;
    } rows[] = {{1000, 1000, true}, {1000, 999, false}, {1, 1, true},
                {1, 0, false},      {1, -1, false},     {1, -100000, false}};
    size_t bytes = overhead() + 1;
    size_t i;

    (void)state;
    script.tells_room = true;
    for (i = 0; i < COUNT_OF(rows); i++) {
        unsigned step = script.appended;
        int64_t room = (int64_t)(2 * bytes) + rows[i].beyond;

        store->settings.min_free = rows[i].min_free;
        script.room = room < 0 ? 0 : (uint64_t)room;
        answer_next(STORE_RESULT_DONE, "t");
        assert_int_equal(script.took_new[step], rows[i].takes);
    }
    script_assert_news(0, STORE_ERROR, NO_ROOM_TEXT);
    script_assert_news(1, STORE_WARNING, ROOM_TEXT);
    script_assert_news(2, STORE_ERROR, NO_ROOM_TEXT);
    assert_int_equal(script.told, 3);
}

static void test_room_that_nobody_tells_is_there(void **state)
{
    (void)state;
    store->settings.min_free = 1000;
    answer_next(STORE_RESULT_DONE, "t");
    assert_true(script.took_new[0]);
    store->settings.min_free = 0;
    script.tells_room = true;
    answer_next(STORE_RESULT_DONE, "t");
    assert_true(script.took_new[1]);
}

/* However long an engine's words are, they are told in whole. */
static void test_long_words_of_an_engine(void **state)
{
    static const char head[] = "the store is away, and messages wait for it: ";
    char words[sizeof(((struct tlsmsg_error *)0)->text)];
    char wanted[sizeof(words) + sizeof(head)];
    unsigned i;

    (void)state;
    memset(words, 'w', sizeof(words) - 1);
    words[sizeof(words) - 1] = '\0';
    (void)snprintf(wanted, sizeof(wanted), "%s%s", head, words);
    script.words = words;
    for (i = 0; i < 3; i++) {
        script.appends[i] = STORE_RESULT_AWAY;
    }
    answer_next(STORE_RESULT_AWAY, "t");
    script_assert_news(0, STORE_ERROR, wanted);
}

/* An engine that says nothing of it keeps what it promised at the start. */
static void test_a_promise_stays(void **state)
{
    struct store_settings settings = script_settings();

    store_close(store);
    (void)script_reset(state);
    script.promise = STORE_PROMISE_REPLICATED;
    store = script_start(&settings);
    answer_next(STORE_RESULT_DONE, "t");
    assert_int_equal(script.told_promises[0], STORE_PROMISE_REPLICATED);
    assert_int_equal(store_promise(store), STORE_PROMISE_REPLICATED);
    assert_int_equal(store_promise_to(store, 2), STORE_PROMISE_REPLICATED);
    assert_int_equal(script.told, 0);
}

/* Those that were told more get no OK, for a message that was there before neither. */
static void test_a_promise_that_falls_is_told(void **state)
{
    struct store_settings settings = script_settings();

    store_close(store);
    (void)script_reset(state);
    script.promise = STORE_PROMISE_REPLICATED;
    store = script_start(&settings);
    script.promises[0] = STORE_PROMISE_DISK;
    script_put(store, 0, 1, 1, "d");
    script_put(store, 0, 2, 1, "o");
    script_put(store, 0, 3, 1, "t");
    script_turn(store, 0, 1);
    assert_int_equal(script.decisions[0].verdict, STORE_AWAY);
    assert_int_equal(script.decisions[1].verdict, STORE_OTHER_BYTES);
    assert_int_equal(script.decisions[2].verdict, STORE_AWAY);
    script.promises[1] = STORE_PROMISE_REPLICATED;
    script_put(store, 0, 3, 1, "t");
    script_put(store, 0, 4, 1, "t");
    script_turn(store, 0, 1);
    assert_int_equal(script.decisions[3].verdict, STORE_AWAY);
    assert_int_equal(script.decisions[4].verdict, STORE_TAKEN);
    (void)still_clock_rest();
    script_assert_news(0, STORE_ERROR,
                       "the store has no synchronous standby any more: what is stored from now on "
                       "is on one disk alone");
    script_assert_news(1, STORE_WARNING, "the store has a synchronous standby again");
    assert_int_equal(script.told, 2);
}

static void assert_out_of_memory(size_t decided)
{
    char why[64];

    assert_true(store_failed(store, why, sizeof(why)));
    assert_string_equal(why, "out of memory");
    script_assert_news(0, STORE_FAILURE, "out of memory");
    assert_int_equal(script.told, 1);
    assert_int_equal(script.failed_turns, 1);
    assert_int_equal(script.decided, decided);
    for (size_t i = 0; i < decided; i++) {
        assert_int_equal(script.decisions[i].verdict, STORE_FAILED);
    }
}

/* The list of a batch's records is the first thing that needs some, once in a store's life where no
 * later batch is longer. */
static void test_no_memory_for_a_batch(void **state)
{
    (void)state;
    script_put(store, 0, 1, 1, "t");
    script_put(store, 0, 2, 1, "t");
    failmalloc_at(1);
    script_turn(store, 0, 1);
    failmalloc_at(0);
    assert_int_equal(script.appended, 0);
    assert_out_of_memory(2);
}

static void test_a_batch_that_is_no_longer_needs_none(void **state)
{
    (void)state;
    script_put(store, 0, 1, 1, "t");
    script_put(store, 0, 1, 2, "t");
    script_turn(store, 0, 1);
    script_put(store, 0, 1, 3, "t");
    script_put(store, 0, 1, 4, "t");
    (void)still_clock_rest();
    failmalloc_at(0);
    script_turn(store, 0, 1);
    assert_int_equal(failmalloc_count(), 0);
    assert_int_equal(script.counts[1], 2);
}

/* What is forgotten of a refusal would let something later pass for taken. */
static void test_no_memory_for_a_refusal(void **state)
{
    (void)state;
    script_put(store, 0, 1, 1, "r");
    failmalloc_at(2);
    script_turn(store, 0, 1);
    failmalloc_at(0);
    assert_int_equal(script.appended, 1);
    assert_out_of_memory(1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_each_verdict_is_counted_and_passed_on, begin, end),
        cmocka_unit_test_setup_teardown(test_a_record_is_copied_whole, begin, end),
        cmocka_unit_test_setup_teardown(test_what_brings_nothing_but_bytes_is_numbered, begin, end),
        cmocka_unit_test_setup_teardown(test_a_producers_number_may_not_jump_unless_it_says_so,
                                        begin, end),
        cmocka_unit_test_setup_teardown(test_a_batch_has_a_bound, begin, end),
        cmocka_unit_test_setup_teardown(test_a_record_beyond_the_bound_goes_alone, begin, end),
        cmocka_unit_test_setup_teardown(test_a_turn_has_parts, begin, end),
        cmocka_unit_test_setup_teardown(test_a_turn_may_have_many_records, begin, end),
        cmocka_unit_test_setup_teardown(test_many_connections_are_refused, begin, end),
        cmocka_unit_test_setup_teardown(test_a_refusal_is_its_workers, begin, end),
        cmocka_unit_test_setup_teardown(test_no_room_is_told_when_it_begins_and_when_it_ends, begin,
                                        end),
        cmocka_unit_test_setup_teardown(test_min_free_to_the_byte, begin, end),
        cmocka_unit_test_setup_teardown(test_room_that_nobody_tells_is_there, begin, end),
        cmocka_unit_test_setup_teardown(test_long_words_of_an_engine, begin, end),
        cmocka_unit_test_setup_teardown(test_a_promise_stays, begin, end),
        cmocka_unit_test_setup_teardown(test_a_promise_that_falls_is_told, begin, end),
        cmocka_unit_test_setup_teardown(test_no_memory_for_a_batch, begin, end),
        cmocka_unit_test_setup_teardown(test_a_batch_that_is_no_longer_needs_none, begin, end),
        cmocka_unit_test_setup_teardown(test_no_memory_for_a_refusal, begin, end),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
