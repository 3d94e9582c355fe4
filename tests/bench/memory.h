/*
 * bench-memory's measurements: what TLS costs a server by itself, per message, per handshake and per
 * held connection, and what one SHA-256 costs.
 */
#ifndef BENCH_MEMORY_H
#define BENCH_MEMORY_H

#include "pair.h"

struct memory_options {
    uint32_t connections;
    uint32_t depth;
    size_t size;
    double seconds;
    bool resume;
    uint32_t units; /* digest: exactly so many, 0 = by time */
};

struct memory_result {
    uint64_t units;
    double server_cpu_us_per_unit;
    double kib_per_connection; /* of the held-connections measurement */
};

/* Each false after telling stderr why. */
bool memory_messages(const struct pair_setting *s, const struct memory_options *o,
                     struct memory_result *out);
bool memory_digest(const struct memory_options *o, struct memory_result *out);
bool memory_handshakes(const struct pair_setting *s, const struct memory_options *o,
                       struct memory_result *out);
bool memory_held(const struct pair_setting *s, const struct memory_options *o,
                 struct memory_result *out);

#endif
