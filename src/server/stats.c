/* The counters, the latency histogram, and the names that logs and metrics show them under. */
#include "server/stats.h"

int64_t tlsmsg_latency_bound_us(unsigned bucket)
{
    static const int64_t bounds_us[TLSMSG_LATENCY_BUCKETS] = {
        100,   250,    500,    1000,   2500,    5000,    10000, 25000,
        50000, 100000, 250000, 500000, 1000000, 2500000, -1};

    return bucket < TLSMSG_LATENCY_BUCKETS ? bounds_us[bucket] : -1;
}

unsigned tlsmsg_bye_code(unsigned i)
{
    static const unsigned codes[] = {400, 409, 412, 413, 415, 503, 507};

    return i < sizeof(codes) / sizeof(codes[0]) ? codes[i] : 0;
}

void stats_bye(struct stats *stats, unsigned code)
{
    for (unsigned i = 0; tlsmsg_bye_code(i) != 0; i++) {
        if (tlsmsg_bye_code(i) == code) {
            count(&stats->byes[i], 1);
        }
    }
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
    out->buffered_bytes += value(&stats->buffered_bytes);
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
    out->numbered += value(&stats->numbered);
    out->duplicates += value(&stats->duplicates);
    out->set_back += value(&stats->set_back);
    for (unsigned i = 0; i < TLSMSG_STATS_BYES; i++) {
        out->byes[i] += value(&stats->byes[i]);
    }
}

const char *tlsmsg_close_reason_name(enum tlsmsg_close_reason reason)
{
    static const char *const names[] = {
        [TLSMSG_CLOSE_CLEAN] = "clean",     [TLSMSG_CLOSE_TRUNCATED] = "truncated",
        [TLSMSG_CLOSE_RESET] = "reset",     [TLSMSG_CLOSE_HANDSHAKE] = "handshake",
        [TLSMSG_CLOSE_TIMEOUT] = "timeout", [TLSMSG_CLOSE_INVALID_UTF8] = "invalid-utf8",
        [TLSMSG_CLOSE_DRAINED] = "drained", [TLSMSG_CLOSE_FAILED] = "failed",
        [TLSMSG_CLOSE_REFUSED] = "refused",
    };

    return (unsigned)reason < TLSMSG_CLOSE_COUNT ? names[reason] : "unknown";
}

const char *tlsmsg_cause_name(enum tlsmsg_cause cause)
{
    static const char *const names[] = {
        [TLSMSG_CAUSE_PLAINTEXT_PEER] = "plaintext-peer",
        [TLSMSG_CAUSE_TLS_PEER] = "tls-peer",
        [TLSMSG_CAUSE_HANDSHAKE] = "handshake",
        [TLSMSG_CAUSE_REFUSED] = "refused",
        [TLSMSG_CAUSE_TIMEOUT] = "timeout",
        [TLSMSG_CAUSE_TRUNCATED] = "truncated",
        [TLSMSG_CAUSE_RESET] = "reset",
        [TLSMSG_CAUSE_INVALID_UTF8] = "invalid-utf8",
        [TLSMSG_CAUSE_PROBE] = "probe",
        [TLSMSG_CAUSE_LIMIT] = "limit",
        [TLSMSG_CAUSE_DESCRIPTORS] = "descriptors",
        [TLSMSG_CAUSE_MEMORY] = "memory",
        [TLSMSG_CAUSE_CERTIFICATE] = "certificate",
        [TLSMSG_CAUSE_OTHER] = "other",
    };

    return (unsigned)cause < TLSMSG_CAUSE_COUNT ? names[cause] : "unknown";
}
