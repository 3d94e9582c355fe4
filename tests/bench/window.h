/*
 * The measured window: what happened between two moments, on both sides. Everything before it
 * (connecting, warm-up) and after it (closing) is left out.
 */
#ifndef BENCH_WINDOW_H
#define BENCH_WINDOW_H

#include "load.h"
#include "machine.h"
#include "proctree.h"

struct window {
    uint64_t begin_ns;
    uint64_t own_cpu_ns;
    struct proctree_cpu server;
    struct machine_cpu machine;
    struct load_counters counters;
};

struct window_result {
    double seconds;
    struct load_counters counters; /* within the window, but failures of the whole run */
    bool has_server;
    double server_cpu_us;
    uint64_t server_user_ms;
    uint64_t server_system_ms;
    uint32_t server_processes;
    double server_written;
    double own_cpu_us;
    double stolen_percent;  /* of all processors' time */
    double foreign_percent; /* used by neither client nor server; needs has_server to mean much */
};

/* Starts the window, and the latencies anew. */
void window_begin(struct window *w, struct load *load);

void window_end(const struct window *w, const struct load *load, struct window_result *out);

/* The server's memory now, 0 when no process was named. */
uint64_t window_server_memory_kib(const struct load *load);

#endif
