/* The log of a running server, on stderr: for operators, not part of the conversation. */
#ifndef APP_SERVER_LOG_H
#define APP_SERVER_LOG_H

#include <pthread.h>

#include <tlsmsg/server.h>

#include "base/ratelimit.h"

#define LOG_LINE_MAX 4096    /* no line is longer, so that a pipe takes each whole (PIPE_BUF) */
#define LOG_BURST 10         /* lines of one cause at once, */
#define LOG_REFILL_MS 1000   /* then one line each time this has passed */
#define LOG_SUMMARY_MS 10000 /* what was left out is told this long after its first */

enum log_format { LOG_TEXT, LOG_JSON };

/* One cause: how often it may be logged, and what was left out since that was told last. */
struct log_cause {
    struct ratelimit limit;
    uint64_t left_out;
    int64_t left_out_ns;         /* when the first of these was */
    enum tlsmsg_log_level worst; /* of these */
};

struct log {
    enum tlsmsg_log_level level; /* least serious one that is written */
    enum log_format format;
    pthread_mutex_t lock;
    struct log_cause causes[TLSMSG_CAUSE_COUNT];
};

/* The names of the levels, in the order of enum tlsmsg_log_level, and of the formats. */
#define LOG_LEVELS 4
extern const char *const log_level_names[LOG_LEVELS];

void log_init(struct log *log, enum tlsmsg_log_level level, enum log_format format);

/* Writes what is still to be told and ends. */
void log_fini(struct log *log);

/* Writes an event as a line, unless its level or the limit of its cause is against it.
 * Never waits for stderr: a line it doesn't take is counted. Any thread. */
void log_event(struct log *log, const struct tlsmsg_event *event);

/* The same for what answers an operator, such as a reload that he asked for: told at every level. */
void log_answer(struct log *log, const struct tlsmsg_event *event);

/* Tells what was left out where that is due. Returns when to call again (monotonic clock), 0 for
 * no reason to. Main thread. */
int64_t log_tell_left_out(struct log *log, int64_t now_ns);

#endif
