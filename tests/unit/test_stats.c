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

/* Each counter of a worker at once: a value of its own, and as many more with the next worker. */
static void fill(struct stats *stats, uint64_t more)
{
    uint64_t n = 0;
    counter *const all[] = {
        &stats->accepted,       &stats->open,      &stats->handshaking,  &stats->conversations,
        &stats->resumed,        &stats->tls12,     &stats->messages,     &stats->replies,
        &stats->bytes_in,       &stats->bytes_out, &stats->queued_bytes, &stats->buffered_bytes,
        &stats->latency_sum_us, &stats->numbered,  &stats->duplicates,   &stats->set_back};

    for (size_t i = 0; i < COUNT_OF(all); i++) {
        count(all[i], ++n + more);
    }
    for (size_t i = 0; i < TLSMSG_CLOSE_COUNT; i++) {
        count(&stats->closed[i], 100 + i + more);
    }
    for (size_t i = 0; i < TLSMSG_CAUSE_COUNT; i++) {
        count(&stats->events[i], 200 + i + more);
    }
    for (size_t i = 0; i < TLSMSG_LATENCY_BUCKETS; i++) {
        count(&stats->latency[i], 300 + i + more);
    }
    for (size_t i = 0; i < TLSMSG_STATS_BYES; i++) {
        count(&stats->byes[i], 400 + i + more);
    }
}

static void test_workers_are_added_up(void **state)
{
    struct stats one = {0};
    struct stats two = {0};
    struct tlsmsg_stats out = {0};
    const uint64_t *const all[] = {
        &out.accepted,       &out.open,      &out.handshaking,  &out.conversations,
        &out.resumed,        &out.tls12,     &out.messages,     &out.replies,
        &out.bytes_in,       &out.bytes_out, &out.queued_bytes, &out.buffered_bytes,
        &out.latency_sum_us, &out.numbered,  &out.duplicates,   &out.set_back};

    (void)state;
    fill(&one, 0);
    fill(&two, 1000);
    stats_add(&one, &out);
    stats_add(&two, &out);
    for (size_t i = 0; i < COUNT_OF(all); i++) {
        assert_int_equal(*all[i], 1000 + 2 * (i + 1));
    }
    for (size_t i = 0; i < TLSMSG_STATS_CLOSED; i++) {
        assert_int_equal(out.closed[i], i < TLSMSG_CLOSE_COUNT ? 1000 + 2 * (100 + i) : 0);
    }
    for (size_t i = 0; i < TLSMSG_STATS_EVENTS; i++) {
        assert_int_equal(out.events[i], i < TLSMSG_CAUSE_COUNT ? 1000 + 2 * (200 + i) : 0);
    }
    for (size_t i = 0; i < TLSMSG_LATENCY_BUCKETS; i++) {
        assert_int_equal(out.latency[i], 1000 + 2 * (300 + i));
    }
    for (size_t i = 0; i < TLSMSG_STATS_BYES; i++) {
        assert_int_equal(out.byes[i], 1000 + 2 * (400 + i));
    }
}

static void test_latency_bounds(void **state)
{
    static const int64_t bounds_us[] = {100,    250,    500,     1000,    2500,
                                        5000,   10000,  25000,   50000,   100000,
                                        250000, 500000, 1000000, 2500000, -1};

    (void)state;
    assert_int_equal(COUNT_OF(bounds_us), TLSMSG_LATENCY_BUCKETS);
    for (unsigned i = 0; i < COUNT_OF(bounds_us); i++) {
        assert_int_equal(tlsmsg_latency_bound_us(i), bounds_us[i]);
    }
}

/* Logs, transcripts and metrics show these. */
static void test_names(void **state)
{
    static const char *const reasons[] = {"clean",   "truncated",    "reset",   "handshake",
                                          "timeout", "invalid-utf8", "drained", "failed",
                                          "refused", "unknown"};
    static const char *const causes[] = {
        "plaintext-peer", "tls-peer", "handshake",    "refused", "timeout",
        "truncated",      "reset",    "invalid-utf8", "probe",   "limit",
        "descriptors",    "memory",   "certificate",  "other",   "unknown"};

    (void)state;
    assert_int_equal(COUNT_OF(reasons), TLSMSG_CLOSE_COUNT + 1);
    for (int i = 0; i < (int)COUNT_OF(reasons); i++) {
        assert_string_equal(tlsmsg_close_reason_name((enum tlsmsg_close_reason)i), reasons[i]);
    }
    assert_int_equal(COUNT_OF(causes), TLSMSG_CAUSE_COUNT + 1);
    for (int i = 0; i < (int)COUNT_OF(causes); i++) {
        assert_string_equal(tlsmsg_cause_name((enum tlsmsg_cause)i), causes[i]);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_each_bye_has_its_place),
        cmocka_unit_test(test_latency_falls_into_the_bucket_below_its_bound),
        cmocka_unit_test(test_latency_bounds),
        cmocka_unit_test(test_workers_are_added_up),
        cmocka_unit_test(test_names),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
