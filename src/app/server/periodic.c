/* Periodic tasks: small jobs with a time of their own, none of which may end the server.
 *
 * Nothing here waits but for the metrics file, which lies on a disk or in memory. Main thread. */
#include "app/server/periodic.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#include <tlsmsg/tlsmsg.h>

#include "app/server/metrics.h"
#include "base/clock.h"
#include "base/tools.h"

void periodic_init(struct periodic *periodic, struct systemd *systemd,
                   const struct tlsmsg_server *server, struct log *log, struct storing *storing,
                   const char *metrics_file)
{
    int64_t now_unix_s = (int64_t)time(NULL);

    *periodic = (struct periodic){.systemd = systemd,
                                  .server = server,
                                  .log = log,
                                  .storing = storing,
                                  .metrics_file = metrics_file,
                                  .started_unix_s = now_unix_s,
                                  .warned_unix_s = now_unix_s};
}

static void warn(const struct periodic *periodic, enum tlsmsg_cause cause, const char *text)
{
    const struct tlsmsg_event event = {.level = TLSMSG_LOG_WARNING, .cause = cause, .text = text};

    log_event(periodic->log, &event);
}

static void write_metrics(struct periodic *periodic)
{
    struct metrics_about about = {
        .version = tlsmsg_version(),
        .transport = tlsmsg_transport(),
        .started_unix_s = periodic->started_unix_s,
        .certificate_unix_s = tlsmsg_server_certificate_expiry(periodic->server),
    };
    struct tlsmsg_error err = {.code = TLSMSG_ERR_NOMEM, .text = "cannot write metrics: no memory"};
    struct tlsmsg_stats stats = {.size = sizeof(stats)};
    bool written = false;
    char *text;

    tlsmsg_server_stats(periodic->server, &stats);
    about.has_store = storing_stats(periodic->storing, &about.store, &about.promise);
    text = metrics_print(&stats, &about);
    if (text != NULL) {
        tlsmsg_error_clear(&err);
        written = metrics_write(periodic->metrics_file, text, &err) == TLSMSG_OK;
        free(text);
    }
    if (!written && !periodic->metrics_failed) {
        warn(periodic, TLSMSG_CAUSE_OTHER, err.text);
    }
    periodic->metrics_failed = !written;
}

bool periodic_expiry_is_due(int64_t expiry_unix_s, int64_t *last_unix_s, int64_t now_unix_s)
{
    if (now_unix_s < *last_unix_s) {
        *last_unix_s = now_unix_s;
    }
    if (expiry_unix_s == 0 || now_unix_s - *last_unix_s < CLOCK_S_PER_DAY ||
        expiry_unix_s - now_unix_s >= PERIODIC_EXPIRY_DAYS * (int64_t)CLOCK_S_PER_DAY) {
        return false;
    }
    *last_unix_s = now_unix_s;
    return true;
}

void periodic_print_expiry(int64_t expiry_unix_s, int64_t now_unix_s, char *buf, size_t cap)
{
    char date[32];

    clock_print_utc(expiry_unix_s, 0, date, sizeof(date));
    if (expiry_unix_s <= now_unix_s) {
        (void)snprintf(buf, cap,
                       "a certificate of this server ended on %.*s: clients refuse it "
                       "(%s renew, then SIGHUP)",
                       CLOCK_DATE_CHARS, date, tools()->certs);
    } else {
        (void)snprintf(buf, cap,
                       "a certificate of this server ends in %" PRId64 " days, on %.*s "
                       "(%s renew, then SIGHUP)",
                       (expiry_unix_s - now_unix_s) / CLOCK_S_PER_DAY, CLOCK_DATE_CHARS, date,
                       tools()->certs);
    }
}

static void look_at_certificates(struct periodic *periodic)
{
    int64_t expiry_unix_s = tlsmsg_server_certificate_expiry(periodic->server);
    int64_t now_unix_s = (int64_t)time(NULL);
    char text[192];

    if (periodic_expiry_is_due(expiry_unix_s, &periodic->warned_unix_s, now_unix_s)) {
        periodic_print_expiry(expiry_unix_s, now_unix_s, text, sizeof(text));
        warn(periodic, TLSMSG_CAUSE_CERTIFICATE, text);
    }
}

int64_t periodic_run(struct periodic *periodic, int64_t now_ns)
{
    int64_t beat_ns = systemd_watchdog(periodic->systemd, now_ns);

    look_at_certificates(periodic);
    if (periodic->metrics_file == NULL) {
        return beat_ns;
    }
    if (now_ns >= periodic->metrics_due_ns) {
        write_metrics(periodic);
        periodic->metrics_due_ns = now_ns + METRICS_INTERVAL_NS;
    }
    return beat_ns != 0 && beat_ns < periodic->metrics_due_ns ? beat_ns : periodic->metrics_due_ns;
}

void periodic_reloaded(struct periodic *periodic)
{
    periodic->warned_unix_s = (int64_t)time(NULL);
}

void periodic_end(struct periodic *periodic)
{
    if (periodic->metrics_file != NULL) {
        write_metrics(periodic);
    }
}
