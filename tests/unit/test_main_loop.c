/* The main thread's loop: signals to this process, what the service manager, the log and stderr are told,
 * and when it looks again. */
#include "support/unit.h"

#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "app/server/metrics.h"
#include "base/clock.h"
#include "support/glob_text.h"
#include "support/main_loop_ends.h"
#include "support/test_folder.h"

#define READY "READY=1\nSTATUS=Serving on 127.0.0.1:1"
#define RELOADING "RELOADING=1\nMONOTONIC_USEC=1000000000\n"
#define STOPPING "STOPPING=1\nSTATUS=Ending conversations\n"

/* ---- ends */

static void test_stop(void **state)
{
    static const int numbers[] = {SIGTERM, SIGINT};

    for (size_t i = 0; i < COUNT_OF(numbers); i++) {
        struct main_loop loop = {.terminal_fd = -1};
        struct sigaction now;

        (void)loop_ends_reset(state);
        assert_int_equal(raise(numbers[i]), 0);
        assert_true(loop_run(&loop));
        assert_int_equal(ends.stops, 1);
        assert_string_equal(ends.said, "");
        assert_string_equal(ends.told, READY "\n" STOPPING);
        assert_int_equal(ends.event_count, 0);
        assert_int_equal(sigaction(numbers[i], NULL, &now), 0);
        assert_true(now.sa_handler == SIG_DFL);
    }
}

static void end_at_once(unsigned polls)
{
    (void)polls;
    loop_server_ends();
}

/* As after so many conversations. */
static void test_an_end_of_its_own(void **state)
{
    struct main_loop loop = {.terminal_fd = -1};

    (void)state;
    ends.on_poll = end_at_once;
    assert_true(loop_run(&loop));
    assert_int_equal(ends.stops, 0);
    assert_string_equal(ends.said, "");
    assert_string_equal(ends.told, READY "\nSTOPPING=1\nSTATUS=Done\n");
}

static void test_a_failed_end_is_told(void **state)
{
    struct main_loop loop = {.terminal_fd = -1};

    (void)state;
    ends.fails = true;
    assert_int_equal(raise(SIGTERM), 0);
    assert_false(loop_run(&loop));
    assert_string_equal(ends.said, "prog: why it failed\n");
}

static void test_the_stores_failure_comes_first(void **state)
{
    struct main_loop loop = {.terminal_fd = -1, .storing = (struct storing *)&ends};

    (void)state;
    ends.fails = true;
    ends.failure = "the disk is gone";
    assert_int_equal(raise(SIGTERM), 0);
    assert_false(loop_run(&loop));
    assert_string_equal(ends.said, "prog: the disk is gone\n");
}

static void test_where_it_serves(void **state)
{
    static const char *const wanted[] = {"no address", "127.0.0.1:1", "127.0.0.1:1 and others"};

    for (size_t i = 0; i < COUNT_OF(wanted); i++) {
        struct main_loop loop = {.terminal_fd = -1};
        char told[128];

        (void)loop_ends_reset(state);
        ends.addresses = i;
        assert_int_equal(raise(SIGTERM), 0);
        assert_true(loop_run(&loop));
        (void)snprintf(told, sizeof(told), "READY=1\nSTATUS=Serving on %s\n" STOPPING, wanted[i]);
        assert_string_equal(ends.told, told);
    }
}

/* ---- SIGHUP */

/* Once it was told of, the reload is done. */
static void stop_after_an_event(unsigned polls)
{
    (void)polls;
    if (ends.event_count > 0) {
        loop_stop();
    }
}

static void expect_event(unsigned i, enum tlsmsg_log_level level, enum tlsmsg_cause cause,
                         const char *text)
{
    assert_true(i < ends.event_count);
    assert_int_equal(ends.events[i].level, level);
    assert_int_equal(ends.events[i].cause, cause);
    assert_string_equal(ends.events[i].text, text);
}

static void test_a_reload_is_told(void **state)
{
    struct main_loop loop = {.terminal_fd = -1, .options = (struct tlsmsg_options *)&ends};

    (void)state;
    ends.on_poll = stop_after_an_event;
    assert_int_equal(raise(SIGHUP), 0);
    assert_true(loop_run(&loop));
    assert_int_equal(ends.reloads, 1);
    assert_int_equal(ends.answers, 1); /* at every level */
    assert_int_equal(ends.event_count, 1);
    expect_event(0, TLSMSG_LOG_INFO, TLSMSG_CAUSE_CERTIFICATE, "configuration reloaded");
    assert_string_equal(ends.told, READY "\n" RELOADING READY "\n" STOPPING);
}

static void test_a_failed_reload_is_an_error(void **state)
{
    struct main_loop loop = {.terminal_fd = -1};

    (void)state;
    ends.on_poll = stop_after_an_event;
    ends.reload_fails = true;
    assert_int_equal(raise(SIGHUP), 0);
    assert_true(loop_run(&loop));
    assert_int_equal(ends.event_count, 1);
    assert_int_equal(ends.answers, 0);
    expect_event(0, TLSMSG_LOG_ERROR, TLSMSG_CAUSE_CERTIFICATE,
                 "the old configuration stays, since the new one fails: a bad file");
    assert_string_equal(ends.told, READY "\n" RELOADING READY
                                         "; the last reload failed, see the log\n" STOPPING);
}

/* A terminal whose window was closed: nobody asks for a reload. */
static void test_a_terminal_that_is_gone_stops(void **state)
{
    struct main_loop loop = {.terminal_fd = -1};
    int gone[2];

    (void)state;
    assert_int_equal(pipe(gone), 0);
    (void)close(gone[1]);
    loop.terminal_fd = gone[0];
    assert_int_equal(raise(SIGHUP), 0);
    assert_true(loop_run(&loop));
    (void)close(gone[0]);
    assert_int_equal(ends.stops, 1);
    assert_int_equal(ends.reloads, 0);
    assert_string_equal(ends.told, READY "\n" STOPPING);
}

/* ---- SIGUSR1 */

#define SCREEN_REST                                                                                \
    "  connections:   0 open (0 in handshake), 0 accepted\n"                                       \
    "  conversations: 0 begun\n"                                                                   \
    "  messages:      0 in 0 bytes\n"                                                              \
    "  replies:       0 in 0 bytes, 0 bytes wait\n"                                                \
    "  ends first:    revocation list on 2100-01-01\n"

static void ask_then_stop(unsigned polls)
{
    if (polls == 0) {
        assert_int_equal(raise(SIGUSR1), 0);
        loop_time_passes(61000);
    } else {
        loop_stop();
    }
}

static void test_status_goes_to_stderr(void **state)
{
    struct main_loop loop = {.terminal_fd = -1};

    (void)state;
    ends.on_poll = ask_then_stop;
    assert_true(loop_run(&loop));
    expect_text("stderr",
                "prog * (*)\n"
                "  up 0 d 00:01:01, workers: 1, listening on 127.0.0.1:1\n" SCREEN_REST,
                ends.said);
    assert_int_equal(ends.stops, 1);
    assert_int_equal(ends.event_count, 0);
}

/* The server is still busy with its end. */
static void stop_then_ask(unsigned polls)
{
    if (polls < 2) {
        assert_int_equal(raise(polls == 0 ? SIGTERM : SIGUSR1), 0);
    } else {
        loop_server_ends();
    }
}

static void test_status_while_it_stops(void **state)
{
    struct main_loop loop = {.terminal_fd = -1, .storing = (struct storing *)&ends};

    (void)state;
    ends.goes_on = true;
    ends.has_store = true;
    ends.on_poll = stop_then_ask;
    assert_true(loop_run(&loop));
    expect_text("stderr",
                "prog * (*), stopping\n"
                "  up 0 d 00:00:00, workers: 1, listening on 127.0.0.1:1\n" SCREEN_REST
                "  store:         7 messages in 3 commits\n",
                ends.said);
}

/* ---- the file keeper */

static void stop_at_the_second(unsigned polls)
{
    if (polls == 1) {
        loop_stop();
    }
}

static void test_a_lost_keeper_is_told(void **state)
{
    struct main_loop loop = {.terminal_fd = -1};

    (void)state;
    ends.keeper_is_lost = true;
    ends.on_poll = stop_at_the_second;
    assert_true(loop_run(&loop));
    assert_int_equal(ends.event_count, 1);
    expect_event(0, TLSMSG_LOG_ERROR, TLSMSG_CAUSE_OTHER,
                 "the file keeper (tlsmsg-keeper) has ended: metrics are not written, and "
                 "transcript and key log not opened again, until a restart");
}

/* ---- when it looks again */

/* A worker that leaves a line out of the log wakes nobody. */
static void test_it_looks_for_lines_that_were_left_out(void **state)
{
    struct main_loop loop = {.terminal_fd = -1};

    (void)state;
    ends.on_poll = stop_at_the_second;
    assert_true(loop_run(&loop));
    assert_int_equal(ends.timeouts_ms[0], LOG_SUMMARY_MS);
    assert_int_equal(ends.timeouts_ms[1], LOG_SUMMARY_MS);
}

static void test_it_looks_when_a_summary_is_due(void **state)
{
    struct main_loop loop = {.terminal_fd = -1};
    struct log log;

    (void)state;
    log_init(&log, TLSMSG_LOG_ERROR, LOG_TEXT);
    loop.log = &log;
    log.causes[TLSMSG_CAUSE_RESET] =
        (struct log_cause){.left_out = 1, .left_out_ns = clock_now_ns()};
    loop_time_passes(LOG_SUMMARY_MS - 3000);
    ends.on_poll = stop_at_the_second;
    assert_true(loop_run(&loop));
    log_fini(&log);
    assert_int_equal(ends.timeouts_ms[0], 3000);
    assert_int_equal(ends.timeouts_ms[1], LOG_SUMMARY_MS); /* it was told */
    expect_text("stderr", "* error: reset: 1 more of these in 11 s were left out\n", ends.said);
}

static char metrics[TEST_PATH_MAX];

static void remove_metrics(void)
{
    assert_int_equal(unlink(metrics), 0);
}

/* ... and once more when all is over. */
static void test_it_looks_when_metrics_are_due(void **state)
{
    const char *const names[KEEPER_FILES] = {[KEEPER_METRICS] = metrics};
    struct main_loop loop = {.terminal_fd = -1};
    struct test_folder folder;
    struct keeper keeper;
    struct stat is;

    (void)state;
    test_folder_make(&folder);
    (void)test_folder_file(&folder, "m", metrics);
    keeper_init(&keeper, names);
    loop.keeper = &keeper;
    ends.on_poll = stop_at_the_second;
    ends.on_wait = remove_metrics;
    assert_true(loop_run(&loop));
    assert_int_equal(ends.timeouts_ms[0], METRICS_INTERVAL_NS / CLOCK_NS_PER_MS);
    assert_int_equal(stat(metrics, &is), 0);
    test_folder_remove(&folder);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_stop),
        cmocka_unit_test_setup(test_an_end_of_its_own, loop_ends_reset),
        cmocka_unit_test_setup(test_a_failed_end_is_told, loop_ends_reset),
        cmocka_unit_test_setup(test_the_stores_failure_comes_first, loop_ends_reset),
        cmocka_unit_test(test_where_it_serves),
        cmocka_unit_test_setup(test_a_reload_is_told, loop_ends_reset),
        cmocka_unit_test_setup(test_a_failed_reload_is_an_error, loop_ends_reset),
        cmocka_unit_test_setup(test_a_terminal_that_is_gone_stops, loop_ends_reset),
        cmocka_unit_test_setup(test_status_goes_to_stderr, loop_ends_reset),
        cmocka_unit_test_setup(test_status_while_it_stops, loop_ends_reset),
        cmocka_unit_test_setup(test_a_lost_keeper_is_told, loop_ends_reset),
        cmocka_unit_test_setup(test_it_looks_for_lines_that_were_left_out, loop_ends_reset),
        cmocka_unit_test_setup(test_it_looks_when_a_summary_is_due, loop_ends_reset),
        cmocka_unit_test_setup(test_it_looks_when_metrics_are_due, loop_ends_reset),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
