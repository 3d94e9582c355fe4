/* A worker's counters. Written by its thread alone, read by any: relaxed atomics, so that
 * counting costs a plain addition and a reader may be a moment behind. */
#ifndef SERVER_STATS_H
#define SERVER_STATS_H

#include <stdatomic.h>
#include <stdint.h>

#include <tlsmsg/server.h>

typedef _Atomic uint64_t counter;

struct stats {
    counter accepted;
    counter open;
    counter handshaking;
    counter conversations;
    counter resumed;
    counter tls12;
    counter messages;
    counter replies;
    counter bytes_in;
    counter bytes_out;
    counter queued_bytes;
    counter closed[TLSMSG_CLOSE_FAILED + 1];
    counter events[TLSMSG_CAUSE_COUNT];
    counter latency[TLSMSG_LATENCY_BUCKETS];
    counter latency_sum_us;
};

static inline void count(counter *c, uint64_t n)
{
    atomic_store_explicit(c, atomic_load_explicit(c, memory_order_relaxed) + n,
                          memory_order_relaxed);
}

static inline void uncount(counter *c, uint64_t n)
{
    atomic_store_explicit(c, atomic_load_explicit(c, memory_order_relaxed) - n,
                          memory_order_relaxed);
}

/* Counts messages that took a time from receipt to reply. */
void stats_latency(struct stats *stats, int64_t elapsed_ns, uint64_t messages);

/* Adds a worker's counters to out. */
void stats_add(const struct stats *stats, struct tlsmsg_stats *out);

#endif
