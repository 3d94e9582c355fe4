/* The log: levels, limits, the two forms of a line, and a stderr that takes nothing. The test has a
 * clock of its own, which stands still unless it is set. */
#include "support/unit.h"

#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "app/server/log.h"
#include "base/clock.h"

#define PIPE_BYTES 65536
#define SECOND ((int64_t)CLOCK_NS_PER_S)
#define TIME "2026-11-22T15:00:00.123Z"

static int64_t now_ns;

int64_t __wrap_clock_now_ns(void);
void __wrap_clock_print_wall(char *buf, size_t cap);

int64_t __wrap_clock_now_ns(void)
{
    return now_ns;
}

void __wrap_clock_print_wall(char *buf, size_t cap)
{
    (void)snprintf(buf, cap, "%s", TIME);
}

static int before;  /* the test's own stderr */
static int ends[2]; /* the log's */

static int set_up(void **state)
{
    (void)state;
    now_ns = 1000 * SECOND;
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

    (void)state;
    log_init(&log, TLSMSG_LOG_DEBUG, LOG_TEXT);
    tell(&log, TLSMSG_LOG_WARNING, TLSMSG_CAUSE_HANDSHAKE, 1000);
    assert_int_equal(lines_in(written()), LOG_BURST);
    tell(&log, TLSMSG_LOG_WARNING, TLSMSG_CAUSE_PLAINTEXT_PEER, 1); /* another cause has its own */
    assert_int_equal(lines_in(written()), 1);
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

/* ---- limits */

/* How many lines of one cause are written when it comes so often at a time. */
static size_t written_of(struct log *log, size_t times, int64_t at_ns)
{
    now_ns = at_ns;
    tell(log, TLSMSG_LOG_WARNING, TLSMSG_CAUSE_HANDSHAKE, times);
    return lines_in(written());
}

static void test_burst_then_one_a_second(void **state)
{
    int64_t start_ns = now_ns;
    struct log log;

    (void)state;
    log_init(&log, TLSMSG_LOG_DEBUG, LOG_TEXT);
    assert_int_equal(written_of(&log, 100, start_ns), LOG_BURST);
    assert_int_equal(written_of(&log, 5, start_ns + SECOND - 1), 0);
    assert_int_equal(written_of(&log, 5, start_ns + SECOND), 1);
    assert_int_equal(written_of(&log, 5, start_ns + 3 * SECOND), 2);
    assert_int_equal(written_of(&log, 50, start_ns + 1000 * SECOND), LOG_BURST);
    log_fini(&log);
    assert_non_null(strstr(written(), "handshake: 142 more of these in 1001 s"));
}

/* Attempts between two refills don't put the refill off. */
static void test_steady_attempts_get_their_share(void **state)
{
    int64_t start_ns = now_ns;
    struct log log;
    size_t count = 0;
    char wanted[64];

    (void)state;
    log_init(&log, TLSMSG_LOG_DEBUG, LOG_TEXT);
    for (int i = 0; i < 1000; i++) {
        count += written_of(&log, 1, start_ns + i * SECOND / 10);
    }
    assert_in_range(count, LOG_BURST + 99, LOG_BURST + 100);
    log_fini(&log);
    (void)snprintf(wanted, sizeof(wanted), "handshake: %zu more of these in", 1000 - count);
    assert_non_null(strstr(written(), wanted));
}

/* A summary is due some time after the first that was left out, at the level of the worst. */
static void test_summary(void **state)
{
    int64_t start_ns = now_ns;
    int64_t due_ns = start_ns + (int64_t)LOG_SUMMARY_MS * CLOCK_NS_PER_MS;
    struct log log;

    (void)state;
    log_init(&log, TLSMSG_LOG_DEBUG, LOG_TEXT);
    tell(&log, TLSMSG_LOG_DEBUG, TLSMSG_CAUSE_PROBE, LOG_BURST);
    assert_int_equal(log_tell_left_out(&log, start_ns), 0);
    tell(&log, TLSMSG_LOG_DEBUG, TLSMSG_CAUSE_PROBE, 1);
    now_ns += SECOND / 2;
    tell(&log, TLSMSG_LOG_ERROR, TLSMSG_CAUSE_PROBE, 1);
    tell(&log, TLSMSG_LOG_INFO, TLSMSG_CAUSE_PROBE, 1);
    (void)written();
    assert_int_equal(log_tell_left_out(&log, due_ns - 1), due_ns);
    assert_string_equal(written(), "");
    assert_int_equal(log_tell_left_out(&log, due_ns), 0);
    assert_string_equal(written(), TIME " error: probe: 3 more of these in 11 s were left out\n");
    log_fini(&log);
    assert_string_equal(written(), "");
}

/* ---- lines */

static const struct row {
    const char *name;
    struct tlsmsg_event event;
    const char *text;
    const char *json;
} rows[] = {
    {"a connection's",
     {.level = TLSMSG_LOG_WARNING,
      .cause = TLSMSG_CAUSE_PLAINTEXT_PEER,
      .connection = 7,
      .address = "127.0.0.1:3333",
      .text = "the peer speaks HTTP"},
     TIME " warning connection 7 127.0.0.1:3333: plaintext-peer: the peer speaks HTTP\n",
     "{\"time\":\"" TIME "\",\"level\":\"warning\",\"connection\":7,\"peer\":\"127.0.0.1:3333\","
     "\"cause\":\"plaintext-peer\",\"text\":\"the peer speaks HTTP\"}\n"},
    {"of none",
     {.level = TLSMSG_LOG_DEBUG,
      .cause = TLSMSG_CAUSE_CERTIFICATE,
      .text = "'a\\b' has 12 days left"},
     TIME " debug: certificate: 'a\\b' has 12 days left\n",
     "{\"time\":\"" TIME "\",\"level\":\"debug\",\"cause\":\"certificate\","
     "\"text\":\"'a\\\\b' has 12 days left\"}\n"},
};

static const char *line_of(const struct tlsmsg_event *event, enum log_format format)
{
    static char line[2 * PIPE_BYTES + 1];
    struct log log;

    log_init(&log, TLSMSG_LOG_DEBUG, format);
    log_event(&log, event);
    log_fini(&log);
    (void)snprintf(line, sizeof(line), "%s", written());
    return line;
}

static void test_line(void **state)
{
    const struct row *row = *state;

    (void)set_up(NULL);
    assert_string_equal(line_of(&row->event, LOG_TEXT), row->text);
    assert_string_equal(line_of(&row->event, LOG_JSON), row->json);
    (void)tear_down(NULL);
}

/* However long the parts, a line is whole and fits a pipe. */
static void test_long_parts_are_cut(void **state)
{
    static char text[20000];
    struct tlsmsg_event event = {
        .level = TLSMSG_LOG_WARNING, .connection = UINT64_MAX, .address = text, .text = text};
    const char *line;

    (void)state;
    memset(text, '"', sizeof(text) - 1);
    line = line_of(&event, LOG_TEXT);
    assert_in_range(strlen(line), 3000, LOG_LINE_MAX);
    assert_string_equal(line + strlen(line) - 2, "\"\n");
    line = line_of(&event, LOG_JSON);
    assert_in_range(strlen(line), 3000, LOG_LINE_MAX);
    assert_string_equal(line + strlen(line) - 5, "\\\"\"}\n");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_levels, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_flood_of_one_cause, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_stuck_stderr, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_burst_then_one_a_second, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_steady_attempts_get_their_share, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_summary, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_long_parts_are_cut, set_up, tear_down),
    };
    int failed = cmocka_run_group_tests(tests, NULL, NULL);

    RUN_ROWS(failed, test_line, rows);
    return failed;
}
