/*
 * What the whole machine did within the window, from /proc/stat: how much of it was stolen by its
 * host or used by programs that have no part in the run. A measurement with much of either is worth
 * little, and should say so.
 */
#ifndef BENCH_MACHINE_H
#define BENCH_MACHINE_H

#include <stdbool.h>
#include <stdint.h>

struct machine_cpu {
    uint64_t busy_ms; /* all processors, without idle and stolen time */
    uint64_t stolen_ms;
    uint64_t all_ms;
};

/* False where /proc/stat cannot be read. */
bool machine_read_cpu(struct machine_cpu *out);

#endif
