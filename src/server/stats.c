/* Adding up the workers' counters. */
#include "server/stats.h"

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
    for (int i = 0; i <= TLSMSG_HOW_FAILED; i++) {
        out->closed[i] += value(&stats->closed[i]);
    }
    for (int i = 0; i < TLSMSG_CAUSE_COUNT; i++) {
        out->events[i] += value(&stats->events[i]);
    }
}
