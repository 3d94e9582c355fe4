/* Log: levels, limits, and writing without ever waiting for stderr.
 *
 * One write a line under one lock, so that lines stay whole. A peer can cause events as fast as
 * it likes: each cause has a bucket of its own, and what overflows is told as a number. Texts come
 * escaped from the library; they are cut rather than let grow a line past what a pipe takes at once.
 * Workers' threads and the main thread. */
#include "app/server/log.h"

#include <inttypes.h>
#include <poll.h>
#include <stdio.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/json.h"

#define FLUSH_WAIT_MS 1000 /* for stderr, at the end */
#define ADDRESS_MAX 256    /* bytes kept of a peer's address */
#define TEXT_MAX 3072      /* and of a text */
#define REFILL_NS ((int64_t)LOG_REFILL_MS * CLOCK_NS_PER_MS)

const char *const log_level_names[LOG_LEVELS] = {"error", "warning", "info", "debug"};

void log_init(struct log *log, enum tlsmsg_log_level level, enum log_format format)
{
    *log = (struct log){.level = level, .format = format};
    (void)pthread_mutex_init(&log->lock, NULL);
}

/* ---- a line: "TIME LEVEL connection N PEER: CAUSE: TEXT", or the same as a JSON object */

static size_t print_text(char buf[LOG_LINE_MAX], const char *time, const struct tlsmsg_event *event)
{
    char number[64] = "";
    const char *address = event->address != NULL ? event->address : "";
    int n;

    if (event->connection != 0) {
        (void)snprintf(number, sizeof(number), " connection %" PRIu64, event->connection);
    }
    n = snprintf(buf, LOG_LINE_MAX, "%s %s%s%s%.*s: %s: %.*s\n", time,
                 log_level_names[event->level], number, address[0] != '\0' ? " " : "", ADDRESS_MAX,
                 address, tlsmsg_cause_name(event->cause), TEXT_MAX, event->text);
    return n > 0 ? (size_t)n : 0;
}

/* left_out: 0, or the line is a summary of that many events (its text says so too). */
static size_t print_json(char buf[LOG_LINE_MAX], const char *time, const struct tlsmsg_event *event,
                         uint64_t left_out)
{
    struct buffer line;
    struct json json;

    buffer_init_fixed(&line, buf, LOG_LINE_MAX);
    json_begin(&json, &line);
    json_string(&json, "time", time);
    json_string(&json, "level", log_level_names[event->level]);
    if (event->connection != 0) {
        json_number(&json, "connection", event->connection);
    }
    json_string_cut(&json, "peer", event->address, ADDRESS_MAX);
    json_string(&json, "cause", tlsmsg_cause_name(event->cause));
    if (left_out > 0) {
        json_number(&json, "left_out", left_out);
    }
    json_string_cut(&json, "text", event->text, TEXT_MAX);
    (void)json_end(&json, "\n"); /* it fits: LOG_LINE_MAX is more than the parts above */
    return line.len;
}

/* Under the lock: one line, if stderr takes it within wait_ms. */
static bool write_line(const struct log *log, const struct tlsmsg_event *event, uint64_t left_out,
                       int wait_ms)
{
    struct pollfd entry = {.fd = STDERR_FILENO, .events = POLLOUT};
    char buf[LOG_LINE_MAX];
    char time[32];
    size_t len;

    clock_print_wall(time, sizeof(time));
    len = log->format == LOG_JSON ? print_json(buf, time, event, left_out)
                                  : print_text(buf, time, event);
    if (poll(&entry, 1, wait_ms) != 1 || (entry.revents & POLLOUT) == 0) {
        return false;
    }
    return write(STDERR_FILENO, buf, len) == (ssize_t)len;
}

/* ---- limits */

static void leave_out(struct log_cause *cause, enum tlsmsg_log_level level, int64_t now_ns)
{
    if (cause->left_out == 0) {
        cause->left_out_ns = now_ns;
        cause->worst = level;
    }
    cause->left_out++;
    if (level < cause->worst) {
        cause->worst = level;
    }
}

static void write_limited(struct log *log, const struct tlsmsg_event *event)
{
    struct log_cause *cause = &log->causes[event->cause];
    int64_t now_ns;

    (void)pthread_mutex_lock(&log->lock);
    now_ns = clock_now_ns();
    if (!ratelimit_take(&cause->limit, now_ns, REFILL_NS, LOG_BURST * REFILL_NS) ||
        !write_line(log, event, 0, 0)) {
        leave_out(cause, event->level, now_ns);
    }
    (void)pthread_mutex_unlock(&log->lock);
}

void log_event(struct log *log, const struct tlsmsg_event *event)
{
    if (event->level <= log->level) {
        write_limited(log, event);
    }
}

void log_answer(struct log *log, const struct tlsmsg_event *event)
{
    write_limited(log, event);
}

/* When the next summary of a cause is due; 0: nothing was left out. */
static int64_t summary_due_ns(const struct log_cause *cause)
{
    return cause->left_out == 0 ? 0
                                : cause->left_out_ns + (int64_t)LOG_SUMMARY_MS * CLOCK_NS_PER_MS;
}

/* Under the lock: tells what was left out of one cause. */
static void tell(struct log *log, size_t i, int64_t now_ns, int wait_ms)
{
    struct log_cause *cause = &log->causes[i];
    char text[96];
    struct tlsmsg_event event = {
        .level = cause->worst, .cause = (enum tlsmsg_cause)i, .text = text};

    (void)snprintf(text, sizeof(text), "%" PRIu64 " more of these in %" PRId64 " s were left out",
                   cause->left_out, (now_ns - cause->left_out_ns) / CLOCK_NS_PER_S + 1);
    if (write_line(log, &event, cause->left_out, wait_ms)) {
        cause->left_out = 0;
    } else {
        cause->left_out_ns = now_ns; /* to be tried again, not at once */
    }
}

int64_t log_tell_left_out(struct log *log, int64_t now_ns)
{
    int64_t next_ns = 0;
    size_t i;

    (void)pthread_mutex_lock(&log->lock);
    for (i = 0; i < TLSMSG_CAUSE_COUNT; i++) {
        int64_t due_ns = summary_due_ns(&log->causes[i]);

        if (due_ns != 0 && due_ns <= now_ns) {
            tell(log, i, now_ns, 0);
            due_ns = summary_due_ns(&log->causes[i]);
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
        if (log->causes[i].left_out > 0) {
            tell(log, i, clock_now_ns(), wait_ms);
            wait_ms = log->causes[i].left_out > 0 ? 0 : wait_ms; /* waited once */
        }
    }
    (void)pthread_mutex_destroy(&log->lock);
}
