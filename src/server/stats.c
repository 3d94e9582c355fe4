/* Adding up the workers' counters, and the buckets of the latency histogram. */
#include "server/stats.h"

int64_t tlsmsg_latency_bound_us(unsigned bucket)
{
    static const int64_t bounds_us[TLSMSG_LATENCY_BUCKETS] = {
        100,   250,    500,    1000,   2500,    5000,    10000, 25000,
        50000, 100000, 250000, 500000, 1000000, 2500000, -1};

    return bucket < TLSMSG_LATENCY_BUCKETS ? bounds_us[bucket] : -1;
}

void stats_latency(struct stats *stats, int64_t elapsed_ns, uint64_t messages)
{
    int64_t us = elapsed_ns / 1000;
    unsigned bucket = 0;

    while (bucket < TLSMSG_LATENCY_BUCKETS - 1 && us > tlsmsg_latency_bound_us(bucket)) {
        bucket++;
    }
    count(&stats->latency[bucket], messages);
    count(&stats->latency_sum_us, (uint64_t)us * messages);
}

static uint64_t value(const counter *c)
{
    return atomic_load_explicit(c, memory_order_relaxed);
}

void stats_add(const struct stats *stats, struct tlsmsg_stats *out)
{
    out->accepted += value(&stats->accepted);
    out->open += value(&stats->open);
    out->handshaking += value(&stats->handshaking);
    out->conversations += value(&stats->conversations);
    out->resumed += value(&stats->resumed);
    out->tls12 += value(&stats->tls12);
    out->messages += value(&stats->messages);
    out->replies += value(&stats->replies);
    out->bytes_in += value(&stats->bytes_in);
    out->bytes_out += value(&stats->bytes_out);
    out->queued_bytes += value(&stats->queued_bytes);
    for (int i = 0; i < TLSMSG_CLOSE_COUNT; i++) {
        out->closed[i] += value(&stats->closed[i]);
    }
    for (int i = 0; i < TLSMSG_CAUSE_COUNT; i++) {
        out->events[i] += value(&stats->events[i]);
    }
    for (int i = 0; i < TLSMSG_LATENCY_BUCKETS; i++) {
        out->latency[i] += value(&stats->latency[i]);
    }
    out->latency_sum_us += value(&stats->latency_sum_us);
}
