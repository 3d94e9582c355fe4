/* Periodic tasks: small jobs with a time of their own, none of which may end the server.
 *
 * Nothing here waits but for the metrics file, which lies on a disk or in memory. Main thread. */
#include "app/server/periodic.h"

#include <stdlib.h>
#include <time.h>

#include <tlsmsg/tlsmsg.h>

#include "app/server/metrics.h"
#include "base/clock.h"

#define SOON_S 60
/* A failure of the metrics that lasts is told again. */
#define TELL_AGAIN_NS (600 * (int64_t)CLOCK_NS_PER_S)

void periodic_init(struct periodic *periodic, struct systemd *systemd,
                   const struct tlsmsg_server *server, struct log *log, struct storing *storing,
                   struct keeper *keeper)
{
    int64_t now_unix_s = (int64_t)time(NULL);

    *periodic = (struct periodic){.systemd = systemd,
                                  .server = server,
                                  .log = log,
                                  .storing = storing,
                                  .keeper = keeper,
                                  .started_unix_s = now_unix_s,
                                  .warned_unix_s = now_unix_s};
    periodic_reloaded(periodic);
}

static void warn(const struct periodic *periodic, enum tlsmsg_cause cause, const char *text)
{
    const struct tlsmsg_event event = {.level = TLSMSG_LOG_WARNING, .cause = cause, .text = text};

    log_event(periodic->log, &event);
}

/* Once when it begins, and then now and again: whoever reads the log later must find it, too. */
static void tell_metrics_failure(struct periodic *periodic, const struct tlsmsg_error *err,
                                 int64_t now_ns)
{
    if (periodic->metrics_failed && now_ns < periodic->metrics_tell_ns) {
        return;
    }
    warn(periodic, TLSMSG_CAUSE_OTHER, err->text);
    periodic->metrics_tell_ns = now_ns + TELL_AGAIN_NS;
}

static void write_metrics(struct periodic *periodic, int64_t now_ns)
{
    struct metrics_about about = {
        .version = tlsmsg_version(),
        .transport = tlsmsg_transport(),
        .started_unix_s = periodic->started_unix_s,
    };
    struct tlsmsg_error err = {.code = TLSMSG_ERR_NOMEM, .text = "cannot write metrics: no memory"};
    struct tlsmsg_stats stats = {.size = sizeof(stats)};
    bool written = false;
    char *text;

    for (int what = 0; what < TLSMSG_EXPIRY_COUNT; what++) {
        about.ends_unix_s[what] = tlsmsg_server_expiry(periodic->server, (enum tlsmsg_expiry)what);
    }
    tlsmsg_server_stats(periodic->server, &stats);
    about.has_store = storing_stats(periodic->storing, &about.store, &about.promise);
    text = metrics_print(&stats, &about);
    if (text != NULL) {
        tlsmsg_error_clear(&err);
        written = keeper_write_metrics(periodic->keeper, text, &err) == TLSMSG_OK;
        free(text);
    }
    if (!written) {
        tell_metrics_failure(periodic, &err, now_ns);
    } else if (periodic->metrics_failed) {
        warn(periodic, TLSMSG_CAUSE_OTHER, "metrics are written again");
    }
    periodic->metrics_failed = !written;
}

bool periodic_day_is_over(int64_t *last_unix_s, int64_t now_unix_s)
{
    if (now_unix_s < *last_unix_s) {
        *last_unix_s = now_unix_s;
    }
    return now_unix_s - *last_unix_s >= CLOCK_S_PER_DAY;
}

static void look_at_ends(struct periodic *periodic)
{
    int64_t now_unix_s = (int64_t)time(NULL);

    bool daily = periodic_day_is_over(&periodic->warned_unix_s, now_unix_s);

    if (daily || (periodic->next_end_unix_s != 0 && now_unix_s >= periodic->next_end_unix_s)) {
        periodic->next_end_unix_s =
            tlsmsg_server_tell_ends(periodic->server, daily ? 0 : periodic->told_unix_s);
        periodic->told_unix_s = now_unix_s;
    }
    if (daily) {
        periodic->warned_unix_s = now_unix_s;
    }
}

/* When the next end comes near, on the monotonic clock, where that is so soon that a short life could
 * be over before the next look; 0: the other occasions do. */
static int64_t next_end_ns(const struct periodic *periodic, int64_t now_ns)
{
    int64_t left_s = periodic->next_end_unix_s - (int64_t)time(NULL);

    if (periodic->next_end_unix_s == 0 || left_s > SOON_S) {
        return 0;
    }
    return now_ns + (left_s > 0 ? left_s : 1) * (int64_t)CLOCK_NS_PER_S;
}

int64_t periodic_run(struct periodic *periodic, int64_t now_ns)
{
    int64_t due_ns = systemd_watchdog(periodic->systemd, now_ns);

    look_at_ends(periodic);
    due_ns = clock_earlier_ns(due_ns, next_end_ns(periodic, now_ns));
    if (!keeper_has(periodic->keeper, KEEPER_METRICS)) {
        return due_ns;
    }
    if (now_ns >= periodic->metrics_due_ns) {
        write_metrics(periodic, now_ns);
        periodic->metrics_due_ns = now_ns + METRICS_INTERVAL_NS;
    }
    return clock_earlier_ns(due_ns, periodic->metrics_due_ns);
}

void periodic_reloaded(struct periodic *periodic)
{
    int64_t now_unix_s = (int64_t)time(NULL);

    periodic->warned_unix_s = now_unix_s;
    periodic->told_unix_s = now_unix_s;
    periodic->next_end_unix_s = tlsmsg_server_tell_ends(periodic->server, now_unix_s);
}

void periodic_end(struct periodic *periodic)
{
    if (keeper_has(periodic->keeper, KEEPER_METRICS)) {
        write_metrics(periodic, periodic->metrics_due_ns);
    }
}
