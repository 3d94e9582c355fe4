/* The limit of log lines: burst, refill, and that what is left out is counted to the last one. */
#include "support/unit.h"

#include "app/log_limit.h"
#include "base/clock.h"

#define SECOND ((int64_t)CLOCK_NS_PER_S)

static size_t allowed(struct log_limit *limit, size_t tries, int64_t now_ns)
{
    size_t count = 0;

    while (tries-- > 0) {
        count += log_limit_allow(limit, 1, now_ns);
    }
    return count;
}

static void test_burst_then_one_a_second(void **state)
{
    struct log_limit limit = {0};
    int64_t now_ns = 1000 * SECOND;

    (void)state;
    assert_int_equal(allowed(&limit, 100, now_ns), LOG_LIMIT_BURST);
    assert_int_equal(limit.left_out, 100 - LOG_LIMIT_BURST);
    assert_int_equal(allowed(&limit, 5, now_ns + SECOND - 1), 0);
    assert_int_equal(allowed(&limit, 5, now_ns + SECOND), 1);
    assert_int_equal(allowed(&limit, 5, now_ns + 3 * SECOND), 2);
    assert_int_equal(allowed(&limit, 50, now_ns + 1000 * SECOND), LOG_LIMIT_BURST);
}

/* Attempts between two refills don't put the refill off. */
static void test_steady_attempts_get_their_share(void **state)
{
    struct log_limit limit = {0};
    int64_t now_ns = SECOND;
    size_t count = 0;
    int i;

    (void)state;
    for (i = 0; i < 1000; i++) {
        count += log_limit_allow(&limit, 1, now_ns);
        now_ns += SECOND / 10;
    }
    assert_in_range(count, LOG_LIMIT_BURST + 99, LOG_LIMIT_BURST + 100);
    assert_int_equal(count + limit.left_out, 1000);
}

static void test_summary(void **state)
{
    struct log_limit limit = {0};
    int64_t now_ns = 5 * SECOND;

    (void)state;
    assert_int_equal(log_limit_due_ns(&limit), 0);
    (void)allowed(&limit, LOG_LIMIT_BURST, now_ns);
    assert_int_equal(log_limit_due_ns(&limit), 0);
    assert_false(log_limit_allow(&limit, 2, now_ns));
    assert_false(log_limit_allow(&limit, 0, now_ns + SECOND / 2));
    assert_int_equal(limit.worst, 0);
    assert_int_equal(log_limit_due_ns(&limit),
                     now_ns + (int64_t)LOG_LIMIT_SUMMARY_MS * CLOCK_NS_PER_MS);
    log_limit_told(&limit);
    assert_int_equal(log_limit_due_ns(&limit), 0);
    log_limit_lost(&limit, 3, now_ns + SECOND);
    assert_int_equal(limit.left_out, 1);
    assert_int_equal(limit.worst, 3);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_burst_then_one_a_second),
        cmocka_unit_test(test_steady_attempts_get_their_share),
        cmocka_unit_test(test_summary),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
