/*
 * A histogram of durations with a bounded relative error: every power of two is cut into 64 equal
 * buckets, so a percentile is at most 1/64 above the true value, from nanoseconds to hours, in
 * constant memory and without sorting. Single-threaded.
 */
#ifndef BENCH_HISTOGRAM_H
#define BENCH_HISTOGRAM_H

#include <stdint.h>

#define HISTOGRAM_SUB_BITS 6
#define HISTOGRAM_SUB_COUNT (1u << HISTOGRAM_SUB_BITS)
#define HISTOGRAM_BUCKETS ((64u - HISTOGRAM_SUB_BITS + 1u) * HISTOGRAM_SUB_COUNT)

struct histogram {
    uint64_t count;
    uint64_t max;
    uint64_t buckets[HISTOGRAM_BUCKETS];
};

/* Forgets everything recorded; a zeroed struct is an empty histogram too. */
void histogram_reset(struct histogram *h);

/* Records `value` `times` times. */
void histogram_add(struct histogram *h, uint64_t value, uint64_t times);

/* The value that `percent` (0..100) of the records do not exceed, rounded up to its bucket's end
 * and never above the largest record; 0 when empty. */
uint64_t histogram_percentile(const struct histogram *h, double percent);

#endif
