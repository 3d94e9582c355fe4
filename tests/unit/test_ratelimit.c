/* Token bucket: a burst, then what time gives back, and never more than it holds. */
#include "support/unit.h"

#include "base/clock.h"
#include "base/ratelimit.h"

#define SECOND ((int64_t)CLOCK_NS_PER_S)
#define BURST 10

static size_t taken(struct ratelimit *limit, size_t tries, int64_t now_ns)
{
    size_t count = 0;

    while (tries-- > 0) {
        count += ratelimit_take(limit, now_ns, SECOND, BURST * SECOND);
    }
    return count;
}

static void test_burst_then_one_a_second(void **state)
{
    struct ratelimit limit = {0};
    int64_t now_ns = 1000 * SECOND;

    (void)state;
    assert_int_equal(taken(&limit, 100, now_ns), BURST);
    assert_int_equal(taken(&limit, 5, now_ns + SECOND - 1), 0);
    assert_int_equal(taken(&limit, 5, now_ns + SECOND), 1);
    assert_int_equal(taken(&limit, 5, now_ns + 3 * SECOND), 2);
    assert_int_equal(taken(&limit, 50, now_ns + 1000 * SECOND), BURST);
}

/* What is refused costs nothing, or steady attempts would never get their share. */
static void test_steady_attempts_get_their_share(void **state)
{
    struct ratelimit limit = {0};
    int64_t now_ns = SECOND;
    size_t count = 0;

    (void)state;
    for (int i = 0; i < 1000; i++) {
        count += taken(&limit, 1, now_ns);
        now_ns += SECOND / 10;
    }
    assert_in_range(count, BURST + 99, BURST + 100);
}

static void test_full_again(void **state)
{
    struct ratelimit limit = {0};

    (void)state;
    assert_true(ratelimit_is_full(&limit, 1));
    assert_int_equal(taken(&limit, 3, 5 * SECOND), 3);
    assert_false(ratelimit_is_full(&limit, 8 * SECOND - 1));
    assert_true(ratelimit_is_full(&limit, 8 * SECOND));
}

static void test_token_dearer_than_the_bucket(void **state)
{
    struct ratelimit limit = {0};

    (void)state;
    assert_false(ratelimit_take(&limit, SECOND, 2 * SECOND, SECOND));
    assert_true(ratelimit_take(&limit, SECOND, SECOND, SECOND));
    assert_false(ratelimit_take(&limit, SECOND, 1, SECOND));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_burst_then_one_a_second),
        cmocka_unit_test(test_steady_attempts_get_their_share),
        cmocka_unit_test(test_full_again),
        cmocka_unit_test(test_token_dearer_than_the_bucket),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
