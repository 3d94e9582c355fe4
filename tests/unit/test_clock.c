/* Clock: deadlines saturate and round as poll(2) needs it; dates are those of the calendar. */
#include "support/unit.h"

#include <limits.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#include "base/clock.h"

struct deadline_row {
    const char *name;
    int64_t now_ns;
    int64_t ms;
    int64_t want_ns;
};

static const struct deadline_row deadline_rows[] = {
    {"no timeout is no deadline", 5, 0, 0},
    {"one millisecond", 5, 1, 1000005},
    {"ten million seconds", 7, 10000000000, 10000000000000007},
    {"negative is past at once", 5, -1, 5},
    {"largest that fits", 7, (INT64_MAX - 7) / 1000000, 7 + (INT64_MAX - 7) / 1000000 * 1000000},
    {"overflow saturates", 7, (INT64_MAX - 7) / 1000000 + 1, INT64_MAX},
    {"overflow by a late now saturates", INT64_MAX - 5, 1, INT64_MAX},
    {"huge saturates", 7, INT64_MAX, INT64_MAX},
};

static void test_deadline(void **state)
{
    const struct deadline_row *row = *state;

    assert_true(clock_deadline_ns(row->now_ns, row->ms) == row->want_ns);
}

struct poll_row {
    const char *name;
    int64_t now_ns;
    int64_t deadline_ns;
    int want_ms;
};

static const struct poll_row poll_rows[] = {
    {"none waits for ever", 5, 0, -1},
    {"past", 5, 4, 0},
    {"now", 5, 5, 0},
    {"one nanosecond rounds up", 5, 6, 1},
    {"exactly one millisecond", 5, 1000005, 1},
    {"just over one millisecond", 5, 1000006, 2},
    {"far away saturates", 5, INT64_MAX, INT_MAX},
    {"largest", 0, (int64_t)INT_MAX * 1000000, INT_MAX},
    {"from before the start", INT64_MIN, INT64_MAX, INT_MAX},
};

static void test_poll(void **state)
{
    const struct poll_row *row = *state;

    assert_int_equal(clock_poll_ms(row->now_ns, row->deadline_ns), row->want_ms);
}

struct date_row {
    const char *name;
    int64_t seconds;
    int milliseconds;
    const char *want;
};

static const struct date_row date_rows[] = {
    {"epoch", 0, 0, "1970-01-01T00:00:00.000Z"},
    {"first year", -62167219200, 0, "0000-01-01T00:00:00.000Z"},
    {"before the calendar's reform", -12219292801, 0, "1582-10-14T23:59:59.000Z"},
    {"before the epoch", -1, 999, "1969-12-31T23:59:59.999Z"},
    {"leap day of a 400th year", 951782400, 0, "2000-02-29T00:00:00.000Z"},
    {"day after it", 951868800, 1, "2000-03-01T00:00:00.001Z"},
    {"end of a leap year", 1735689599, 0, "2024-12-31T23:59:59.000Z"},
    {"the example", 1795359600, 123, "2026-11-22T15:00:00.123Z"},
    {"no leap day in 2100", 4107542400, 0, "2100-03-01T00:00:00.000Z"},
    {"past 32 bits", 4294967296, 0, "2106-02-07T06:28:16.000Z"},
    {"last year of four digits", 253402300799, 999, "9999-12-31T23:59:59.999Z"},
};

static void test_date(void **state)
{
    const struct date_row *row = *state;
    char buf[25];

    clock_print_utc(row->seconds, row->milliseconds, buf, sizeof(buf));
    assert_string_equal(buf, row->want);
}

static void test_date_is_cut(void **state)
{
    char buf[11];

    (void)state;
    memset(buf, 'x', sizeof(buf));
    clock_print_utc(0, 0, buf, 0);
    assert_int_equal(buf[0], 'x');
    clock_print_utc(0, 0, buf, sizeof(buf));
    assert_string_equal(buf, "1970-01-01");
}

/* The wall clock can be set while we look, so one good look of several is enough. time(2) reads a
 * coarser clock, which reaches a second some milliseconds late. */
static void test_wall_time_is_now(void **state)
{
    bool good = false;
    int attempt;

    (void)state;
    for (attempt = 0; attempt < 5 && !good; attempt++) {
        char before[32];
        char got[25];
        char after[32];

        clock_print_utc((int64_t)time(NULL) - 1, 0, before, sizeof(before));
        clock_print_wall(got, sizeof(got));
        clock_print_utc((int64_t)time(NULL) + 2, 0, after, sizeof(after));
        assert_int_equal(strlen(got), 24);
        good = strcmp(before, got) <= 0 && strcmp(got, after) <= 0;
    }
    assert_true(good);
}

static void test_now_never_goes_back(void **state)
{
    int64_t last = clock_now_ns();
    int i;

    (void)state;
    for (i = 0; i < 1000; i++) {
        int64_t now = clock_now_ns();

        assert_true(now >= last);
        last = now;
    }
    assert_true(last > 0);
}

/* Between two looks at the kernel's own. */
static void test_clocks_of_the_kernel(void **state)
{
    static const struct {
        clockid_t clock;
        int64_t (*now_ns)(void);
    } rows[] = {{CLOCK_MONOTONIC, clock_now_ns}, {CLOCK_BOOTTIME, clock_since_boot_ns}};

    (void)state;
    for (size_t i = 0; i < 1000; i++) {
        struct timespec before;
        struct timespec after;
        int64_t got;

        assert_int_equal(clock_gettime(rows[i % 2].clock, &before), 0);
        got = rows[i % 2].now_ns();
        assert_int_equal(clock_gettime(rows[i % 2].clock, &after), 0);
        assert_true(got >= (int64_t)before.tv_sec * CLOCK_NS_PER_S + before.tv_nsec);
        assert_true(got <= (int64_t)after.tv_sec * CLOCK_NS_PER_S + after.tv_nsec);
    }
}

static void test_earlier(void **state)
{
    (void)state;
    assert_int_equal(clock_earlier_ns(3, 5), 3);
    assert_int_equal(clock_earlier_ns(5, 3), 3);
    assert_int_equal(clock_earlier_ns(0, 5), 5);
    assert_int_equal(clock_earlier_ns(5, 0), 5);
    assert_int_equal(clock_earlier_ns(0, 0), 0);
    assert_int_equal(clock_earlier_ns(-3, 5), -3);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_date_is_cut),          cmocka_unit_test(test_wall_time_is_now),
        cmocka_unit_test(test_now_never_goes_back),  cmocka_unit_test(test_earlier),
        cmocka_unit_test(test_clocks_of_the_kernel),
    };
    int failed = 0;

    RUN_ROWS(failed, test_deadline, deadline_rows);
    RUN_ROWS(failed, test_poll, poll_rows);
    RUN_ROWS(failed, test_date, date_rows);
    failed += cmocka_run_group_tests_name("clock", tests, NULL, NULL);
    return failed;
}
