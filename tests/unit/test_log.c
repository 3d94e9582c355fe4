/* The log: levels, limits, and a stderr that takes nothing. */
#include "support/unit.h"

#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "app/log.h"
#include "base/clock.h"

#define PIPE_BYTES 65536

static int before;  /* the test's own stderr */
static int ends[2]; /* the log's */

static int set_up(void **state)
{
    (void)state;
    before = dup(STDERR_FILENO);
    assert_true(before >= 0);
    assert_int_equal(pipe(ends), 0);
    assert_int_equal(fcntl(ends[1], F_SETPIPE_SZ, PIPE_BYTES), PIPE_BYTES);
    assert_int_equal(fcntl(ends[0], F_SETFL, O_NONBLOCK), 0);
    assert_int_equal(dup2(ends[1], STDERR_FILENO), STDERR_FILENO);
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    (void)dup2(before, STDERR_FILENO);
    (void)close(before);
    (void)close(ends[0]);
    return close(ends[1]);
}

/* What was written so far. */
static const char *written(void)
{
    static char buf[2 * PIPE_BYTES + 1];
    ssize_t n = read(ends[0], buf, sizeof(buf) - 1);

    buf[n > 0 ? n : 0] = '\0';
    return buf;
}

static size_t lines_in(const char *text)
{
    size_t count = 0;

    for (; *text != '\0'; text++) {
        count += *text == '\n';
    }
    return count;
}

static void tell(struct log *log, enum tlsmsg_log_level level, enum tlsmsg_cause cause,
                 size_t times)
{
    struct tlsmsg_event event = {.level = level, .cause = cause, .text = "what happened"};

    while (times-- > 0) {
        log_event(log, &event);
    }
}

static void test_levels(void **state)
{
    struct log log;
    const char *text;

    (void)state;
    log_init(&log, TLSMSG_LOG_WARNING, LOG_TEXT);
    tell(&log, TLSMSG_LOG_DEBUG, TLSMSG_CAUSE_PROBE, 50);
    tell(&log, TLSMSG_LOG_INFO, TLSMSG_CAUSE_RESET, 50);
    assert_string_equal(written(), "");
    tell(&log, TLSMSG_LOG_WARNING, TLSMSG_CAUSE_LIMIT, 1);
    tell(&log, TLSMSG_LOG_ERROR, TLSMSG_CAUSE_MEMORY, 1);
    text = written();
    assert_int_equal(lines_in(text), 2);
    assert_non_null(strstr(text, "Z warning: limit: what happened\n"));
    assert_non_null(strstr(text, "Z error: memory: what happened\n"));
    log_fini(&log); /* what the level keeps out is not left out */
    assert_string_equal(written(), "");
}

static void test_flood_of_one_cause(void **state)
{
    struct log log;
    int64_t now_ns;

    (void)state;
    log_init(&log, TLSMSG_LOG_DEBUG, LOG_TEXT);
    tell(&log, TLSMSG_LOG_WARNING, TLSMSG_CAUSE_HANDSHAKE, 1000);
    assert_int_equal(lines_in(written()), LOG_LIMIT_BURST);
    tell(&log, TLSMSG_LOG_WARNING, TLSMSG_CAUSE_PLAINTEXT_PEER, 1); /* another cause has its own */
    assert_int_equal(lines_in(written()), 1);
    now_ns = clock_now_ns();
    assert_true(log_tell_left_out(&log, now_ns) > now_ns);
    assert_string_equal(written(), "");
    assert_int_equal(log_tell_left_out(&log, now_ns + 60 * (int64_t)CLOCK_NS_PER_S), 0);
    assert_non_null(strstr(written(), "Z warning: handshake: 990 more of these in "));
    assert_int_equal(log_tell_left_out(&log, now_ns), 0);
    tell(&log, TLSMSG_LOG_INFO, TLSMSG_CAUSE_HANDSHAKE, 5);
    log_fini(&log);
    assert_non_null(strstr(written(), "Z info: handshake: 5 more of these in "));
}

/* Lines that stderr doesn't take are counted; nobody waits. */
static void test_stuck_stderr(void **state)
{
    struct log log;
    static char page[PIPE_BYTES];

    (void)state;
    log_init(&log, TLSMSG_LOG_DEBUG, LOG_JSON);
    assert_int_equal(write(ends[1], page, sizeof(page)), sizeof(page));
    tell(&log, TLSMSG_LOG_WARNING, TLSMSG_CAUSE_HANDSHAKE, 3);
    (void)written();
    log_fini(&log);
    assert_non_null(strstr(written(), "\"cause\":\"handshake\",\"left_out\":3,\"text\":\"3 more"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_levels, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_flood_of_one_cause, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_stuck_stderr, set_up, tear_down),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
