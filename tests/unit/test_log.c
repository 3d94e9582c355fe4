/* The log: levels, limits, the two forms of a line, and a stderr that takes nothing. The test has a
 * clock of its own, which stands still unless it is set. */
#include "support/unit.h"

#include <fcntl.h>
#include <poll.h>
#include <stdbool.h>
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

/* What poll(2) is made to say of stderr; it never waits here. */
static struct {
    bool is_broken; /* POLLERR alone */
    bool cuts;      /* a write takes a byte less */
    int waited_ms;  /* all that was to be waited for */
} fake;

int __real_poll(struct pollfd *entries, nfds_t count, int timeout_ms);
int __wrap_poll(struct pollfd *entries, nfds_t count, int timeout_ms);
ssize_t __real_write(int fd, const void *data, size_t len);
ssize_t __wrap_write(int fd, const void *data, size_t len);

int __wrap_poll(struct pollfd *entries, nfds_t count, int timeout_ms)
{
    assert_int_equal(count, 1);
    assert_int_equal(entries->fd, STDERR_FILENO);
    assert_int_equal(entries->events, POLLOUT);
    assert_true(timeout_ms >= 0);
    if (fake.is_broken) {
        entries->revents = POLLERR;
        return 1;
    }
    if (__real_poll(entries, count, 0) == 1) {
        return 1;
    }
    fake.waited_ms += timeout_ms;
    return 0;
}

ssize_t __wrap_write(int fd, const void *data, size_t len)
{
    return fake.cuts ? (ssize_t)len - 1 : __real_write(fd, data, len);
}

static int before;  /* the test's own stderr */
static int ends[2]; /* the log's */

static int set_up(void **state)
{
    (void)state;
    now_ns = 1000 * SECOND;
    memset(&fake, 0, sizeof(fake));
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

    (void)state;
    log_init(&log, TLSMSG_LOG_WARNING, LOG_TEXT);
    tell(&log, TLSMSG_LOG_DEBUG, TLSMSG_CAUSE_PROBE, 50);
    tell(&log, TLSMSG_LOG_INFO, TLSMSG_CAUSE_RESET, 50);
    assert_string_equal(written(), "");
    tell(&log, TLSMSG_LOG_WARNING, TLSMSG_CAUSE_LIMIT, 1);
    tell(&log, TLSMSG_LOG_ERROR, TLSMSG_CAUSE_MEMORY, 1);
    assert_string_equal(written(), TIME " warning: limit: what happened\n" TIME
                                        " error: memory: what happened\n");
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

/* What an operator has asked for is told at every level, and limited like all else. */
static void test_an_answer(void **state)
{
    const struct tlsmsg_event event = {
        .level = TLSMSG_LOG_INFO, .cause = TLSMSG_CAUSE_CERTIFICATE, .text = "reloaded"};
    struct log log;

    (void)state;
    log_init(&log, TLSMSG_LOG_ERROR, LOG_TEXT);
    log_answer(&log, &event);
    assert_string_equal(written(), TIME " info: certificate: reloaded\n");
    for (int i = 0; i < LOG_BURST; i++) {
        log_answer(&log, &event);
    }
    assert_int_equal(lines_in(written()), LOG_BURST - 1);
    log_fini(&log);
    assert_string_equal(written(),
                        TIME " info: certificate: 1 more of these in 1 s were left out\n");
}

/* ---- a stderr that takes nothing */

static void fill_stderr(void)
{
    static char page[PIPE_BYTES];

    assert_int_equal(write(ends[1], page, sizeof(page)), sizeof(page));
}

/* Lines that stderr doesn't take are counted; nobody waits but at the end. */
static void test_stuck_stderr(void **state)
{
    struct log log;

    (void)state;
    log_init(&log, TLSMSG_LOG_DEBUG, LOG_JSON);
    fill_stderr();
    tell(&log, TLSMSG_LOG_WARNING, TLSMSG_CAUSE_HANDSHAKE, 3);
    assert_int_equal(fake.waited_ms, 0);
    (void)written();
    log_fini(&log);
    assert_string_equal(written(), "{\"time\":\"" TIME "\",\"level\":\"warning\",\"cause\":"
                                   "\"handshake\",\"left_out\":3,\"text\":\"3 more of these in "
                                   "1 s were left out\"}\n");
}

/* The end waits for it once, not once for each cause. */
static void test_the_end_waits_once(void **state)
{
    struct log log;

    (void)state;
    log_init(&log, TLSMSG_LOG_DEBUG, LOG_TEXT);
    fill_stderr();
    tell(&log, TLSMSG_LOG_WARNING, TLSMSG_CAUSE_HANDSHAKE, 1);
    tell(&log, TLSMSG_LOG_WARNING, TLSMSG_CAUSE_PROBE, 1);
    tell(&log, TLSMSG_LOG_WARNING, TLSMSG_CAUSE_LIMIT, 1);
    log_fini(&log);
    assert_int_equal(fake.waited_ms, 1000);
}

/* A summary that is not taken stays due, and is tried again as long after. */
static void test_a_summary_that_is_not_taken(void **state)
{
    const int64_t later_ns = (int64_t)LOG_SUMMARY_MS * CLOCK_NS_PER_MS;
    int64_t due_ns = now_ns + later_ns;
    struct log log;

    (void)state;
    log_init(&log, TLSMSG_LOG_DEBUG, LOG_TEXT);
    fill_stderr();
    tell(&log, TLSMSG_LOG_WARNING, TLSMSG_CAUSE_HANDSHAKE, 2);
    assert_int_equal(log_tell_left_out(&log, now_ns), due_ns);
    assert_int_equal(log_tell_left_out(&log, due_ns), due_ns + later_ns);
    assert_int_equal(fake.waited_ms, 0);
    (void)written();
    assert_int_equal(log_tell_left_out(&log, due_ns + later_ns - 1), due_ns + later_ns);
    assert_string_equal(written(), "");
    assert_int_equal(log_tell_left_out(&log, due_ns + later_ns), 0);
    assert_string_equal(written(),
                        TIME " warning: handshake: 2 more of these in 11 s were left out\n");
    log_fini(&log);
}

/* Without a reader, and where a line is cut, it counts as left out. */
static void test_a_line_that_is_not_whole(void **state)
{
    struct log log;

    (void)state;
    log_init(&log, TLSMSG_LOG_DEBUG, LOG_TEXT);
    fake.is_broken = true;
    tell(&log, TLSMSG_LOG_WARNING, TLSMSG_CAUSE_HANDSHAKE, 1);
    fake.is_broken = false;
    fake.cuts = true;
    tell(&log, TLSMSG_LOG_WARNING, TLSMSG_CAUSE_HANDSHAKE, 1);
    fake.cuts = false;
    assert_string_equal(written(), "");
    log_fini(&log);
    assert_string_equal(written(),
                        TIME " warning: handshake: 2 more of these in 1 s were left out\n");
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

/* The next look is when the first of several is due. */
static void test_summaries_of_several_causes(void **state)
{
    const int64_t later_ns = (int64_t)LOG_SUMMARY_MS * CLOCK_NS_PER_MS;
    static const enum tlsmsg_cause order[] = {TLSMSG_CAUSE_PROBE, TLSMSG_CAUSE_LIMIT,
                                              TLSMSG_CAUSE_HANDSHAKE};
    int64_t start_ns = now_ns;
    struct log log;

    (void)state;
    log_init(&log, TLSMSG_LOG_DEBUG, LOG_TEXT);
    for (size_t i = 0; i < COUNT_OF(order); i++) {
        now_ns = start_ns + (int64_t)i * SECOND / 2;
        tell(&log, TLSMSG_LOG_WARNING, order[i], LOG_BURST + 1);
    }
    (void)written();
    for (size_t i = 0; i < COUNT_OF(order); i++) {
        int64_t due_ns = start_ns + (int64_t)i * SECOND / 2 + later_ns;
        char wanted[128];

        assert_int_equal(log_tell_left_out(&log, due_ns - 1), due_ns);
        assert_string_equal(written(), "");
        assert_int_equal(log_tell_left_out(&log, due_ns),
                         i + 1 < COUNT_OF(order) ? due_ns + SECOND / 2 : 0);
        (void)snprintf(wanted, sizeof(wanted),
                       TIME " warning: %s: 1 more of these in 11 s were left out\n",
                       tlsmsg_cause_name(order[i]));
        assert_string_equal(written(), wanted);
    }
    log_fini(&log);
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
        cmocka_unit_test_setup_teardown(test_an_answer, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_stuck_stderr, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_the_end_waits_once, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_a_summary_that_is_not_taken, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_a_line_that_is_not_whole, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_summaries_of_several_causes, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_burst_then_one_a_second, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_steady_attempts_get_their_share, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_summary, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_long_parts_are_cut, set_up, tear_down),
    };
    int failed = cmocka_run_group_tests(tests, NULL, NULL);

    RUN_ROWS(failed, test_line, rows);
    return failed;
}
