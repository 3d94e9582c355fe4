/* Upkeep: small jobs with a time of their own, none of which may end the server.
 *
 * Nothing here waits but for the metrics file, which lies on a disk or in memory. Main thread. */
#include "app/upkeep.h"

#include <stdlib.h>
#include <time.h>

#include <tlsmsg/tlsmsg.h>

#include "app/expiry.h"
#include "app/metrics.h"

void upkeep_init(struct upkeep *upkeep, struct service *service, const struct tlsmsg_server *server,
                 struct log *log, const char *metrics_file)
{
    int64_t now_unix_s = (int64_t)time(NULL);

    *upkeep = (struct upkeep){.service = service,
                              .server = server,
                              .log = log,
                              .metrics_file = metrics_file,
                              .started_unix_s = now_unix_s,
                              .warned_unix_s = now_unix_s};
}

static void warn(const struct upkeep *upkeep, enum tlsmsg_cause cause, const char *text)
{
    const struct tlsmsg_event event = {.level = TLSMSG_LOG_WARNING, .cause = cause, .text = text};

    log_event(upkeep->log, &event);
}

static void write_metrics(struct upkeep *upkeep)
{
    struct metrics_facts facts = {
        .version = tlsmsg_version(),
        .transport = tlsmsg_transport(),
        .started_unix_s = upkeep->started_unix_s,
        .certificate_unix_s = tlsmsg_server_certificate_expiry(upkeep->server),
        .now_unix_s = (int64_t)time(NULL),
    };
    struct tlsmsg_error err = {.code = TLSMSG_ERR_NOMEM, .text = "cannot write metrics: no memory"};
    struct tlsmsg_stats stats = {.size = sizeof(stats)};
    bool written = false;
    char *text;

    tlsmsg_server_stats(upkeep->server, &stats);
    text = metrics_print(&stats, &facts);
    if (text != NULL) {
        tlsmsg_error_clear(&err);
        written = metrics_write(upkeep->metrics_file, text, &err) == TLSMSG_OK;
        free(text);
    }
    if (!written && !upkeep->metrics_failed) {
        warn(upkeep, TLSMSG_CAUSE_OTHER, err.text);
    }
    upkeep->metrics_failed = !written;
}

static void look_at_certificates(struct upkeep *upkeep)
{
    int64_t expiry_unix_s = tlsmsg_server_certificate_expiry(upkeep->server);
    int64_t now_unix_s = (int64_t)time(NULL);
    char text[192];

    if (expiry_is_due(expiry_unix_s, &upkeep->warned_unix_s, now_unix_s)) {
        expiry_print(expiry_unix_s, now_unix_s, text, sizeof(text));
        warn(upkeep, TLSMSG_CAUSE_CERTIFICATE, text);
    }
}

int64_t upkeep_turn(struct upkeep *upkeep, int64_t now_ns)
{
    int64_t beat_ns = service_beat(upkeep->service, now_ns);

    look_at_certificates(upkeep);
    if (upkeep->metrics_file == NULL) {
        return beat_ns;
    }
    if (now_ns >= upkeep->metrics_due_ns) {
        write_metrics(upkeep);
        upkeep->metrics_due_ns = now_ns + METRICS_INTERVAL_NS;
    }
    return beat_ns != 0 && beat_ns < upkeep->metrics_due_ns ? beat_ns : upkeep->metrics_due_ns;
}

void upkeep_reloaded(struct upkeep *upkeep)
{
    upkeep->warned_unix_s = (int64_t)time(NULL);
}

void upkeep_end(struct upkeep *upkeep)
{
    if (upkeep->metrics_file != NULL) {
        write_metrics(upkeep);
    }
}
