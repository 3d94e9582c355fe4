/*
 * The three kinds of load. Each opens its connections, measures one window, ends the connections in
 * order, and leaves its figures in the report.
 */
#ifndef BENCH_MODES_H
#define BENCH_MODES_H

#include "load.h"
#include "window.h"

struct idle_memory {
    uint64_t before_kib; /* after a first few connections have come and gone */
    uint64_t held_kib;   /* all connected, each has had one reply */
    uint64_t after_kib;  /* all have left */
    uint32_t held;       /* connections that were there */
};

struct report {
    struct window_result window;
    bool has_window; /* idle mode without --active measures memory only */
    uint64_t memory_begin_kib;
    uint64_t memory_end_kib;
    struct idle_memory idle;
};

void mode_message_run(struct load *load, struct report *report);
void mode_handshake_run(struct load *load, struct report *report);
void mode_idle_run(struct load *load, struct report *report);

extern const struct load_mode mode_message;
extern const struct load_mode mode_handshake;
extern const struct load_mode mode_idle;

#endif
