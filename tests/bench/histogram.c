/* The log-linear histogram: see histogram.h for the error bound. */
#include "histogram.h"

#include <string.h>

static unsigned bucket_of(uint64_t value)
{
    unsigned exponent, shift;

    if (value < HISTOGRAM_SUB_COUNT) {
        return (unsigned)value;
    }
    exponent = 63u - (unsigned)__builtin_clzll(value);
    shift = exponent - HISTOGRAM_SUB_BITS;
    return (shift + 1u) * HISTOGRAM_SUB_COUNT + (unsigned)((value >> shift) - HISTOGRAM_SUB_COUNT);
}

static uint64_t bucket_end(unsigned bucket)
{
    unsigned shift;
    uint64_t mantissa;

    if (bucket < HISTOGRAM_SUB_COUNT) {
        return bucket;
    }
    shift = bucket / HISTOGRAM_SUB_COUNT - 1u;
    mantissa = bucket % HISTOGRAM_SUB_COUNT + HISTOGRAM_SUB_COUNT;
    return (mantissa << shift) + ((1ull << shift) - 1u);
}

void histogram_reset(struct histogram *h)
{
    memset(h, 0, sizeof *h);
}

void histogram_add(struct histogram *h, uint64_t value, uint64_t times)
{
    if (times == 0) {
        return;
    }
    h->buckets[bucket_of(value)] += times;
    h->count += times;
    if (value > h->max) {
        h->max = value;
    }
}

uint64_t histogram_percentile(const struct histogram *h, double percent)
{
    double wanted = (double)h->count * percent / 100.0;
    uint64_t seen = 0;
    uint64_t end;
    unsigned i;

    for (i = 0; i < HISTOGRAM_BUCKETS; i++) {
        seen += h->buckets[i];
        if (seen > 0 && (double)seen >= wanted) {
            end = bucket_end(i);
            return end < h->max ? end : h->max;
        }
    }
    return h->max;
}
