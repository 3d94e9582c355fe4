/* How often a cause may be logged: a burst, then so many a second; the rest is counted. */
#ifndef APP_LOG_LIMIT_H
#define APP_LOG_LIMIT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define LOG_LIMIT_BURST 10         /* lines of one cause at once */
#define LOG_LIMIT_REFILL_MS 1000   /* then one line each time this has passed */
#define LOG_LIMIT_SUMMARY_MS 10000 /* what was left out is told this long after its first */

/* One cause. All zero is the beginning: a full bucket. */
struct log_limit {
    int64_t refilled_ns; /* 0: never used */
    unsigned tokens;
    uint64_t left_out;   /* since the last summary */
    int64_t left_out_ns; /* when the first of these was */
    int worst;           /* lowest level number among these */
};

/* True when a line of this level may be written now; else it is counted. */
bool log_limit_allow(struct log_limit *limit, int level, int64_t now_ns);

/* Counts a line that was allowed but could not be written. */
void log_limit_lost(struct log_limit *limit, int level, int64_t now_ns);

/* When the next summary is due, on the monotonic clock; 0: nothing was left out. */
int64_t log_limit_due_ns(const struct log_limit *limit);

/* Begins anew after a summary. */
void log_limit_told(struct log_limit *limit);

#endif
