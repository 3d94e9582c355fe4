/* Log: levels, limits, and writing without ever waiting for stderr.
 *
 * One write a line under one lock, so that lines stay whole. A peer can cause events as fast as
 * it likes: each cause has a bucket (log_limit.h), and what overflows is told as a number.
 * Workers' threads and the main thread. */
#include "app/log.h"

#include <inttypes.h>
#include <poll.h>
#include <stdio.h>
#include <unistd.h>

#include "app/log_line.h"
#include "base/clock.h"

#define FLUSH_WAIT_MS 1000 /* for stderr, at the end */

const char *const log_level_names[LOG_LEVELS] = {"error", "warning", "info", "debug"};

void log_init(struct log *log, enum tlsmsg_log_level level, enum log_format format)
{
    *log = (struct log){.level = level, .format = format};
    (void)pthread_mutex_init(&log->lock, NULL);
}

/* Under the lock: one line, if stderr takes it within wait_ms. */
static bool write_line(const struct log *log, const struct tlsmsg_event *event, uint64_t left_out,
                       int wait_ms)
{
    struct pollfd entry = {.fd = STDERR_FILENO, .events = POLLOUT};
    const char *level = log_level_names[event->level];
    char buf[LOG_LINE_MAX];
    char time[32];
    size_t len;

    clock_print_wall(time, sizeof(time));
    if (log->format == LOG_JSON) {
        len = log_line_json(buf, time, level, event, left_out);
    } else {
        len = log_line_text(buf, time, level, event);
    }
    if (poll(&entry, 1, wait_ms) != 1 || (entry.revents & POLLOUT) == 0) {
        return false;
    }
    return write(STDERR_FILENO, buf, len) == (ssize_t)len;
}

void log_event(struct log *log, const struct tlsmsg_event *event)
{
    struct log_limit *limit = &log->limits[event->cause];
    int64_t now_ns;

    if (event->level > log->level) {
        return;
    }
    (void)pthread_mutex_lock(&log->lock);
    now_ns = clock_now_ns();
    if (log_limit_allow(limit, (int)event->level, now_ns) && !write_line(log, event, 0, 0)) {
        log_limit_lost(limit, (int)event->level, now_ns);
    }
    (void)pthread_mutex_unlock(&log->lock);
}

/* Under the lock: tells what was left out of one cause. */
static void tell(struct log *log, enum tlsmsg_cause cause, int64_t now_ns, int wait_ms)
{
    struct log_limit *limit = &log->limits[cause];
    char text[96];
    struct tlsmsg_event event = {
        .level = (enum tlsmsg_log_level)limit->worst, .cause = cause, .text = text};

    (void)snprintf(text, sizeof(text), "%" PRIu64 " more of these in %" PRId64 " s were left out",
                   limit->left_out, (now_ns - limit->left_out_ns) / CLOCK_NS_PER_S + 1);
    if (write_line(log, &event, limit->left_out, wait_ms)) {
        log_limit_told(limit);
    } else {
        limit->left_out_ns = now_ns; /* to be tried again, not at once */
    }
}

int64_t log_tell_left_out(struct log *log, int64_t now_ns)
{
    int64_t next_ns = 0;
    size_t i;

    (void)pthread_mutex_lock(&log->lock);
    for (i = 0; i < TLSMSG_CAUSE_COUNT; i++) {
        int64_t due_ns = log_limit_due_ns(&log->limits[i]);

        if (due_ns != 0 && due_ns <= now_ns) {
            tell(log, (enum tlsmsg_cause)i, now_ns, 0);
            due_ns = log_limit_due_ns(&log->limits[i]);
        }
        if (due_ns != 0 && (next_ns == 0 || due_ns < next_ns)) {
            next_ns = due_ns;
        }
    }
    (void)pthread_mutex_unlock(&log->lock);
    return next_ns;
}

void log_fini(struct log *log)
{
    int wait_ms = FLUSH_WAIT_MS;
    size_t i;

    for (i = 0; i < TLSMSG_CAUSE_COUNT; i++) {
        if (log_limit_due_ns(&log->limits[i]) != 0) {
            tell(log, (enum tlsmsg_cause)i, clock_now_ns(), wait_ms);
            wait_ms = log_limit_due_ns(&log->limits[i]) != 0 ? 0 : wait_ms; /* waited once */
        }
    }
    (void)pthread_mutex_destroy(&log->lock);
}
