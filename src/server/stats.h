/* Adding up the workers' counters. */
#ifndef SERVER_STATS_H
#define SERVER_STATS_H

#include "server/internal.h"

/* Counts messages that took a time from receipt to reply. */
void stats_latency(struct stats *stats, int64_t elapsed_ns, uint64_t messages);

/* Counts a BYE. */
void stats_bye(struct stats *stats, unsigned code);

/* Adds a worker's counters to out. Any thread. */
void stats_add(const struct stats *stats, struct tlsmsg_stats *out);

#endif
