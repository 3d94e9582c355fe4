/*
 * The clocks of the bench programs: monotonic time for windows and latencies, and the CPU time of
 * the calling process. Both in nanoseconds, so that differences need no conversion.
 */
#ifndef BENCH_CLOCK_H
#define BENCH_CLOCK_H

#include <stdint.h>
#include <time.h>

#define CLOCK_NS_PER_S 1000000000ull
#define CLOCK_NS_PER_MS 1000000ull

static inline uint64_t clock_read_ns(clockid_t id)
{
    struct timespec now;

    if (clock_gettime(id, &now) != 0) {
        return 0;
    }
    return (uint64_t)now.tv_sec * CLOCK_NS_PER_S + (uint64_t)now.tv_nsec;
}

static inline uint64_t clock_now_ns(void)
{
    return clock_read_ns(CLOCK_MONOTONIC);
}

static inline uint64_t clock_own_cpu_ns(void)
{
    return clock_read_ns(CLOCK_PROCESS_CPUTIME_ID);
}

static inline uint64_t clock_seconds_ns(double seconds)
{
    return seconds <= 0 ? 0 : (uint64_t)(seconds * (double)CLOCK_NS_PER_S);
}

#endif
