/* Counters: what is counted where, and that several workers' are added up. */
#include "support/unit.h"

#include <string.h>

#include "server/stats.h"

/* Those that tlsmsg(7) names. */
static const unsigned codes[] = {400, 409, 412, 413, 415, 503, 507};

static void test_each_bye_has_its_place(void **state)
{
    (void)state;
    for (unsigned i = 0; i < COUNT_OF(codes); i++) {
        struct stats stats = {0};
        struct tlsmsg_stats out = {0};

        assert_int_equal(tlsmsg_bye_code(i), codes[i]);
        stats_bye(&stats, codes[i]);
        stats_bye(&stats, 499); /* another server's, or one still to come */
        stats_add(&stats, &out);
        for (unsigned k = 0; k < TLSMSG_STATS_BYES; k++) {
            assert_int_equal(out.byes[k], k == i ? 1 : 0);
        }
    }
    assert_int_equal(tlsmsg_bye_code(COUNT_OF(codes)), 0);
}

/* A bound belongs to the bucket below it. */
static void test_latency_falls_into_the_bucket_below_its_bound(void **state)
{
    (void)state;
    for (unsigned i = 0; i < TLSMSG_LATENCY_BUCKETS; i++) {
        int64_t bound_us = tlsmsg_latency_bound_us(i);
        struct stats stats = {0};

        if (i == TLSMSG_LATENCY_BUCKETS - 1) {
            assert_int_equal(bound_us, -1);
            bound_us = 3600 * INT64_C(1000000);
        }
        stats_latency(&stats, bound_us * 1000, 3);
        assert_int_equal(stats.latency[i], 3);
        assert_int_equal(stats.latency_sum_us, 3 * bound_us);
        if (i + 1 < TLSMSG_LATENCY_BUCKETS) {
            stats_latency(&stats, (bound_us + 1) * 1000, 1);
            assert_int_equal(stats.latency[i], 3);
            assert_int_equal(stats.latency[i + 1], 1);
        }
    }
    assert_int_equal(tlsmsg_latency_bound_us(TLSMSG_LATENCY_BUCKETS), -1);
}

static void test_workers_are_added_up(void **state)
{
    struct stats one = {0};
    struct stats two = {0};
    struct tlsmsg_stats out = {0};

    (void)state;
    count(&one.accepted, 1);
    count(&two.accepted, 2);
    count(&one.resumed, 3);
    count(&two.messages, 4);
    count(&one.closed[TLSMSG_CLOSE_RESET], 5);
    count(&two.closed[TLSMSG_CLOSE_RESET], 6);
    count(&two.events[TLSMSG_CAUSE_LIMIT], 7);
    stats_bye(&one, 507);
    stats_bye(&two, 507);
    stats_add(&one, &out);
    stats_add(&two, &out);
    assert_int_equal(out.accepted, 3);
    assert_int_equal(out.resumed, 3);
    assert_int_equal(out.messages, 4);
    assert_int_equal(out.closed[TLSMSG_CLOSE_RESET], 11);
    assert_int_equal(out.events[TLSMSG_CAUSE_LIMIT], 7);
    assert_int_equal(out.byes[6], 2);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_each_bye_has_its_place),
        cmocka_unit_test(test_latency_falls_into_the_bucket_below_its_bound),
        cmocka_unit_test(test_workers_are_added_up),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
