/* What the commit thread does by the clock: pruning and forgetting in steps, waiting for an engine
 * that is away, looking whether it is back, and the log's length. The clock stands still until a
 * test moves it. */
#include <sched.h>
#include <stdatomic.h>
#include <time.h>

#include "base/clock.h"
#include "support/scripted_engine.h"
#include "support/still_clock.h"
#include "support/unit.h"

#define MINUTE_MS 60000
#define HOUR_MS 3600000
#define DAY_MS 86400000
#define NS(ms) ((int64_t)(ms)*CLOCK_NS_PER_MS)
#define LOG_BOUND (UINT64_C(256) * 1024 * 1024)

static const char away_text[] = "the store is away, and messages wait for it: append 1 went wrong";
static const char log_text[] = "a reader keeps a transaction open in the store, whose log grows "
                               "meanwhile (try: end it)";

static int reset(void **state)
{
    still_clock_reset();
    return script_reset(state);
}

static struct store *start(int64_t keep_ms, int64_t timeout_ms)
{
    struct store_settings settings = script_settings();

    settings.keep_ms = keep_ms;
    settings.timeout_ms = timeout_ms;
    return script_start(&settings);
}

static int64_t wall_ms(void)
{
    struct timespec now;

    (void)clock_gettime(CLOCK_REALTIME, &now);
    return (int64_t)now.tv_sec * 1000;
}

/* What was asked for is that age, by a clock that shows whole seconds. */
static void assert_age(const struct script_step *step, int64_t age_ms, int64_t earliest_ms)
{
    assert_true(step->before_ms + age_ms >= earliest_ms);
    assert_true(step->before_ms + age_ms <= wall_ms());
}

static void test_forgets_at_the_start_and_each_hour(void **state)
{
    int64_t began_ms = wall_ms();
    struct store *store = start(0, 0);

    (void)state;
    assert_int_equal(still_clock_rest(), NS(HOUR_MS));
    assert_int_equal(script.forgot, 1);
    assert_int_equal(script.forget_steps[0].limit, 500);
    assert_age(&script.forget_steps[0], DAY_MS, began_ms);
    still_clock_advance(HOUR_MS - 1);
    assert_int_equal(still_clock_rest(), NS(HOUR_MS));
    assert_int_equal(script.forgot, 1);
    still_clock_advance(1);
    assert_int_equal(still_clock_rest(), NS(2 * HOUR_MS));
    assert_int_equal(script.forgot, 2);
    store_close(store);
    assert_int_equal(script.pruned, 0);
    assert_int_equal(script.told, 0);
}

static void test_forgetting_goes_on_while_there_is_a_whole_step(void **state)
{
    struct store *store;

    (void)state;
    script.forgotten_rows[0] = script.forgotten_rows[1] = 500;
    script.forgotten_rows[2] = 499;
    store = start(0, 0);
    assert_int_equal(still_clock_rest(), NS(HOUR_MS));
    assert_int_equal(script.forgot, 3);
    store_close(store);
}

static void test_prunes_in_steps_at_the_start_and_each_minute(void **state)
{
    int64_t began_ms = wall_ms();
    struct store_stats stats;
    struct store *store;

    (void)state;
    script.pruned_rows[0] = 500;
    script.pruned_rows[1] = 3;
    store = start(7000, 0);
    assert_int_equal(still_clock_rest(), NS(MINUTE_MS));
    assert_int_equal(script.pruned, 3);
    assert_int_equal(script.prune_steps[2].limit, 500);
    assert_age(&script.prune_steps[0], 7000, began_ms);
    assert_int_equal(script.forgot, 1);
    store_stats(store, &stats);
    assert_int_equal(stats.pruned, 503);
    still_clock_advance(MINUTE_MS - 1);
    assert_int_equal(still_clock_rest(), NS(MINUTE_MS));
    assert_int_equal(script.pruned, 3);
    still_clock_advance(1);
    assert_int_equal(still_clock_rest(), NS(2 * MINUTE_MS));
    assert_int_equal(script.pruned, 4);
    /* Both are due: each has its turn, and the hour begins anew. */
    still_clock_advance(HOUR_MS);
    assert_int_equal(still_clock_rest(), NS(HOUR_MS + 2 * MINUTE_MS));
    assert_int_equal(script.pruned, 5);
    assert_int_equal(script.forgot, 2);
    store_close(store);
}

/* An engine that another program holds, or that is full, is asked again when it is due. */
static void test_upkeep_that_could_not_be_done_waits(void **state)
{
    struct store_stats stats;
    struct store *store;

    (void)state;
    script.prunes[0] = STORE_RESULT_AWAY;
    script.pruned_rows[0] = 500;
    script.prunes[1] = STORE_RESULT_NO_ROOM;
    script.forgets[0] = STORE_RESULT_AWAY;
    script.forgotten_rows[0] = 500;
    store = start(1000, 0);
    assert_int_equal(still_clock_rest(), NS(MINUTE_MS));
    assert_int_equal(script.pruned, 1);
    assert_int_equal(script.forgot, 1);
    still_clock_advance(MINUTE_MS);
    assert_int_equal(still_clock_rest(), NS(2 * MINUTE_MS));
    assert_int_equal(script.pruned, 2);
    store_stats(store, &stats);
    assert_false(stats.is_away);
    store_close(store);
    assert_int_equal(script.told, 0);
    assert_false(script.closed_failed);
}

/* Whatever failed, it is told once, nothing is asked of the engine any more, and who comes hears it. */
static void assert_failed(struct store *store, const char *text)
{
    char why[128];

    assert_true(still_clock_rest() > NS(INT64_C(1000) * DAY_MS));
    still_clock_advance(HOUR_MS);
    (void)still_clock_rest();
    assert_true(store_failed(store, why, sizeof(why)));
    assert_string_equal(why, text);
    script_put(store, 0, 1, 1, "t");
    script_turn(store, 0, 1);
    assert_int_equal(script.decisions[script.decided - 1].verdict, STORE_FAILED);
    assert_int_equal(script.failed_turns, 1);
    store_close(store);
    script_assert_news(script.told - 1, STORE_FAILURE, text);
    assert_true(script.closed_failed);
    assert_int_equal(script.closed, 1);
}

static void test_pruning_that_failed_is_the_end(void **state)
{
    (void)state;
    script.prunes[0] = STORE_RESULT_FAILED;
    script.pruned_rows[0] = 500;
    assert_failed(start(1000, 0), "prune 1 went wrong");
    assert_int_equal(script.pruned, 1);
    assert_int_equal(script.forgot, 0);
    assert_int_equal(script.appended, 0);
    assert_int_equal(script.told, 1);
}

static void test_forgetting_that_failed_is_the_end(void **state)
{
    (void)state;
    script.forgets[0] = STORE_RESULT_FAILED;
    assert_failed(start(1000, 0), "forget 1 went wrong");
    assert_int_equal(script.pruned, 1);
    assert_int_equal(script.forgot, 1);
    assert_int_equal(script.told, 1);
}

static void test_a_log_that_can_not_be_moved_is_the_end(void **state)
{
    struct store *store;

    (void)state;
    script.tidies[0] = STORE_RESULT_FAILED;
    store = start(0, 0);
    script_put(store, 0, 1, 1, "t");
    script_turn(store, 0, 1);
    assert_int_equal(script.decisions[0].verdict, STORE_TAKEN);
    assert_int_equal(script.failed_turns, 0);
    assert_failed(store, "tidy 1 went wrong");
    assert_int_equal(script.appended, 1);
}

static void append_away(unsigned times)
{
    for (unsigned i = 0; i < times; i++) {
        script.appends[i] = STORE_RESULT_AWAY;
    }
}

/* Tried anew after each tenth of a second, until the turn has waited as long as it may. */
static void test_an_engine_that_is_away_is_tried_until_the_time_is_up(void **state)
{
    struct store_stats stats;
    struct store *store;
    int64_t slept_ns;

    (void)state;
    append_away(SCRIPT_STEPS);
    store = start(0, 300);
    script_put(store, 0, 1, 1, "t");
    script_turn(store, 0, 1);
    assert_int_equal(script.decisions[0].verdict, STORE_AWAY);
    assert_int_equal(script.failed_turns, 0);
    assert_int_equal(script.appended, 4);
    assert_int_equal(still_clock_naps(&slept_ns), 3);
    assert_int_equal(slept_ns, NS(300));
    /* It was found to be away at the first attempt. */
    assert_int_equal(still_clock_rest(), NS(1000));
    store_stats(store, &stats);
    assert_true(stats.is_away);
    assert_int_equal(stats.away, 1);
    assert_int_equal(stats.batches, 0);
    store_close(store);
    script_assert_news(0, STORE_ERROR, away_text);
    assert_int_equal(script.told, 1);
    assert_false(script.closed_failed);
}

static void test_without_a_timeout_it_is_waited_for(void **state)
{
    struct store *store;
    int64_t slept_ns;

    (void)state;
    append_away(20);
    store = start(0, 0);
    script_put(store, 0, 1, 1, "t");
    script_turn(store, 0, 1);
    assert_int_equal(script.decisions[0].verdict, STORE_TAKEN);
    assert_int_equal(still_clock_naps(&slept_ns), 20);
    store_close(store);
    script_assert_news(0, STORE_ERROR, away_text);
    script_assert_news(1, STORE_WARNING, "the store is back");
    assert_int_equal(script.told, 2);
}

static void test_looks_each_second_whether_it_is_back(void **state)
{
    struct store_stats stats;
    struct store *store;

    (void)state;
    append_away(4);
    script.rejoins[0] = script.rejoins[1] = STORE_RESULT_AWAY;
    store = start(1000, 300);
    (void)still_clock_rest();
    script_put(store, 0, 1, 1, "t");
    script_turn(store, 0, 1);
    assert_int_equal(still_clock_rest(), NS(1000));
    still_clock_advance(699);
    assert_int_equal(still_clock_rest(), NS(1000));
    assert_int_equal(script.rejoined, 0);
    still_clock_advance(1);
    assert_int_equal(still_clock_rest(), NS(2000));
    assert_int_equal(script.rejoined, 1);
    /* Upkeep has to wait, too. */
    still_clock_advance(2 * HOUR_MS);
    assert_int_equal(still_clock_rest(), NS(2 * HOUR_MS + 2000));
    assert_int_equal(script.pruned, 1);
    assert_int_equal(script.rejoined, 2);
    store_stats(store, &stats);
    assert_true(stats.is_away);
    still_clock_advance(1000);
    assert_int_equal(still_clock_rest(), NS(2 * HOUR_MS + MINUTE_MS + 2000));
    store_stats(store, &stats);
    assert_false(stats.is_away);
    assert_int_equal(script.rejoined, 3);
    assert_int_equal(script.pruned, 2);
    assert_int_equal(script.forgot, 2);
    store_close(store);
    script_assert_news(0, STORE_ERROR, away_text);
    script_assert_news(1, STORE_WARNING, "the store is back");
    assert_int_equal(script.told, 2);
}

static void test_an_engine_that_fails_when_it_is_back_is_the_end(void **state)
{
    struct store *store;

    (void)state;
    append_away(4);
    script.rejoins[0] = STORE_RESULT_FAILED;
    store = start(0, 300);
    script_put(store, 0, 1, 1, "t");
    script_turn(store, 0, 1);
    (void)still_clock_rest();
    still_clock_advance(700);
    assert_failed(store, "rejoin 1 went wrong");
    assert_int_equal(script.rejoined, 1);
    assert_int_equal(script.appended, 4);
    assert_int_equal(script.told, 2);
}

/* A file that another program has locked: nothing is left undone there, nor told. */
static void test_an_engine_without_rejoin_is_never_told_to_be_away(void **state)
{
    struct store_stats stats;
    struct store *store;

    (void)state;
    script.ops.rejoin = NULL;
    append_away(4);
    store = start(0, 300);
    (void)still_clock_rest();
    script_put(store, 0, 1, 1, "t");
    script_turn(store, 0, 1);
    assert_int_equal(script.decisions[0].verdict, STORE_AWAY);
    assert_int_equal(still_clock_rest(), NS(HOUR_MS));
    store_stats(store, &stats);
    assert_false(stats.is_away);
    store_close(store);
    assert_int_equal(script.told, 0);
}

static struct store *patient;
static atomic_uint asked;

static void set_stop(void)
{
    (void)pthread_mutex_lock(&patient->lock);
    patient->stop = true;
    (void)pthread_mutex_unlock(&patient->lock);
}

/* As an engine asks that hangs: until the turn's time is up. */
static void ask_until_the_deadline(const struct store_batch *batch)
{
    assert_false(batch->patience.has_ended(batch->patience.user));
    still_clock_advance(299);
    assert_false(batch->patience.has_ended(batch->patience.user));
    still_clock_advance(1);
    assert_true(batch->patience.has_ended(batch->patience.user));
    asked++;
}

static void test_a_turn_has_its_time_and_no_more(void **state)
{
    (void)state;
    asked = 0;
    script.on_append = ask_until_the_deadline;
    patient = start(0, 300);
    script_put(patient, 0, 1, 1, "t");
    script_turn(patient, 0, 1);
    store_close(patient);
    assert_int_equal(asked, 1);
}

/* A stop grants two seconds from when it is first asked for. */
static void ask_after_a_stop(const struct store_batch *batch)
{
    still_clock_advance(DAY_MS);
    assert_false(batch->patience.has_ended(batch->patience.user));
    set_stop();
    assert_false(batch->patience.has_ended(batch->patience.user));
    still_clock_advance(1999);
    assert_false(batch->patience.has_ended(batch->patience.user));
    still_clock_advance(1);
    assert_true(batch->patience.has_ended(batch->patience.user));
    asked++;
}

static void test_a_stop_grants_two_seconds(void **state)
{
    (void)state;
    asked = 0;
    script.on_append = ask_after_a_stop;
    patient = start(0, 0);
    script_put(patient, 0, 1, 1, "t");
    script_turn(patient, 0, 1);
    store_close(patient);
    assert_int_equal(asked, 1);
}

static void stop_at_the_third(const struct store_batch *batch)
{
    (void)batch;
    if (script.appended == 3) {
        set_stop();
    }
}

static void test_a_stop_ends_the_wait_for_an_engine(void **state)
{
    (void)state;
    append_away(SCRIPT_STEPS);
    script.on_append = stop_at_the_third;
    patient = start(0, 0);
    script_put(patient, 0, 1, 1, "t");
    script_turn(patient, 0, 1);
    store_close(patient);
    assert_int_equal(script.appended, 3);
    assert_int_equal(script.decisions[0].verdict, STORE_AWAY);
}

/* Who looks whether the engine is back has a second, and none once there is work or a stop. */
static void ask_while_looking(struct store_patience patience)
{
    assert_false(patience.has_ended(patience.user));
    if (script.rejoined == 1) {
        still_clock_advance(999);
        assert_false(patience.has_ended(patience.user));
        still_clock_advance(1);
        assert_true(patience.has_ended(patience.user));
    } else {
        script_put(patient, 1, 2, 7, "t");
        assert_int_equal(store_turn_end(patient, 1), 1);
        assert_false(patience.has_ended(patience.user));
        store_hand_over(patient, 1);
        assert_true(patience.has_ended(patience.user));
    }
    asked++;
}

static void test_a_look_is_short_and_ends_with_work(void **state)
{
    (void)state;
    asked = 0;
    append_away(4);
    script.rejoins[0] = script.rejoins[1] = STORE_RESULT_AWAY;
    script.on_rejoin = ask_while_looking;
    patient = start(0, 300);
    script_put(patient, 0, 1, 1, "t");
    script_turn(patient, 0, 1);
    (void)still_clock_rest();
    still_clock_advance(700);
    /* The next look comes a second behind the end of the one before. */
    assert_int_equal(still_clock_rest(), NS(3000));
    still_clock_advance(1000);
    script_await_turns(2);
    assert_int_equal(script.decisions[1].seq, 7);
    assert_int_equal(script.decisions[1].verdict, STORE_TAKEN);
    assert_int_equal(script.workers[1], 1);
    store_close(patient);
    assert_int_equal(asked, 2);
}

static void look_after_a_stop(struct store_patience patience)
{
    assert_false(patience.has_ended(patience.user));
    set_stop();
    assert_true(patience.has_ended(patience.user));
    asked++;
}

static void test_a_look_ends_with_a_stop(void **state)
{
    (void)state;
    asked = 0;
    append_away(4);
    script.rejoins[0] = STORE_RESULT_AWAY;
    script.on_rejoin = look_after_a_stop;
    patient = start(0, 300);
    script_put(patient, 0, 1, 1, "t");
    script_turn(patient, 0, 1);
    (void)still_clock_rest();
    still_clock_advance(700);
    while (asked == 0) {
        (void)sched_yield();
    }
    store_close(patient);
    assert_int_equal(asked, 1);
}

static void take_one(struct store *store, uint64_t log_bytes)
{
    struct store_stats stats;

    script.log_bytes[script.tidied] = log_bytes;
    script_put(store, 0, 1, script.decided + 1, "t");
    script_turn(store, 0, 1);
    (void)still_clock_rest();
    store_stats(store, &stats);
    assert_int_equal(stats.log_bytes, log_bytes);
}

static void test_a_log_that_grows_is_told_once_each_time(void **state)
{
    struct store *store = start(0, 0);

    (void)state;
    (void)still_clock_rest();
    take_one(store, LOG_BOUND);
    assert_int_equal(script.told, 0);
    take_one(store, LOG_BOUND + 1);
    assert_int_equal(script.told, 1);
    take_one(store, 2 * LOG_BOUND);
    assert_int_equal(script.told, 1);
    take_one(store, LOG_BOUND);
    take_one(store, LOG_BOUND + 1);
    assert_int_equal(script.told, 2);
    store_close(store);
    script_assert_news(0, STORE_WARNING, log_text);
    script_assert_news(1, STORE_WARNING, log_text);
}

/* All that the engine has to tell, at the start and behind each batch. */
static void test_warnings_of_the_engine_are_passed_on(void **state)
{
    struct store *store;

    (void)state;
    script.warnings[0] = "one";
    script.warnings[1] = "two";
    store = start(0, 0);
    (void)still_clock_rest();
    assert_int_equal(script.told, 2);
    script.warnings[2] = "three";
    script_put(store, 0, 1, 1, "t");
    script_turn(store, 0, 1);
    (void)still_clock_rest();
    store_close(store);
    script_assert_news(0, STORE_WARNING, "one");
    script_assert_news(1, STORE_WARNING, "two");
    script_assert_news(2, STORE_WARNING, "three");
    assert_int_equal(script.told, 3);
}

static void test_an_engine_may_have_nothing_to_tell(void **state)
{
    struct store *store;

    (void)state;
    script.ops.warn = NULL;
    store = start(0, 0);
    script_put(store, 0, 1, 1, "t");
    script_turn(store, 0, 1);
    store_close(store);
    assert_int_equal(script.decisions[0].verdict, STORE_TAKEN);
}

static void test_nobody_need_listen(void **state)
{
    struct store_settings settings = script_settings();
    struct store *store;
    char why[64];

    (void)state;
    settings.tell = NULL;
    script.warnings[0] = "one";
    script.prunes[0] = STORE_RESULT_FAILED;
    settings.keep_ms = 1000;
    store = script_start(&settings);
    (void)still_clock_rest();
    assert_true(store_failed(store, why, sizeof(why)));
    assert_string_equal(why, "prune 1 went wrong");
    store_close(store);
    assert_int_equal(script.told, 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(test_forgets_at_the_start_and_each_hour, reset),
        cmocka_unit_test_setup(test_forgetting_goes_on_while_there_is_a_whole_step, reset),
        cmocka_unit_test_setup(test_prunes_in_steps_at_the_start_and_each_minute, reset),
        cmocka_unit_test_setup(test_upkeep_that_could_not_be_done_waits, reset),
        cmocka_unit_test_setup(test_pruning_that_failed_is_the_end, reset),
        cmocka_unit_test_setup(test_forgetting_that_failed_is_the_end, reset),
        cmocka_unit_test_setup(test_a_log_that_can_not_be_moved_is_the_end, reset),
        cmocka_unit_test_setup(test_an_engine_that_is_away_is_tried_until_the_time_is_up, reset),
        cmocka_unit_test_setup(test_without_a_timeout_it_is_waited_for, reset),
        cmocka_unit_test_setup(test_looks_each_second_whether_it_is_back, reset),
        cmocka_unit_test_setup(test_an_engine_that_fails_when_it_is_back_is_the_end, reset),
        cmocka_unit_test_setup(test_an_engine_without_rejoin_is_never_told_to_be_away, reset),
        cmocka_unit_test_setup(test_a_turn_has_its_time_and_no_more, reset),
        cmocka_unit_test_setup(test_a_stop_grants_two_seconds, reset),
        cmocka_unit_test_setup(test_a_stop_ends_the_wait_for_an_engine, reset),
        cmocka_unit_test_setup(test_a_look_is_short_and_ends_with_work, reset),
        cmocka_unit_test_setup(test_a_look_ends_with_a_stop, reset),
        cmocka_unit_test_setup(test_a_log_that_grows_is_told_once_each_time, reset),
        cmocka_unit_test_setup(test_warnings_of_the_engine_are_passed_on, reset),
        cmocka_unit_test_setup(test_an_engine_may_have_nothing_to_tell, reset),
        cmocka_unit_test_setup(test_nobody_need_listen, reset),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
