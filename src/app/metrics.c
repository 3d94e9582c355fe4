/* The text of the metrics and the atomic replacement of their file; see metrics.h. */
#include "app/metrics.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/error.h"
#include "base/escape.h"

struct row {
    const char *name;
    const char *type;
    const char *help;
    uint64_t value;
};

static void head(FILE *out, const char *name, const char *type, const char *help)
{
    (void)fprintf(out, "# HELP tlsmsg_%s %s\n# TYPE tlsmsg_%s %s\n", name, help, name, type);
}

static void print_rows(FILE *out, const struct row *rows, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        head(out, rows[i].name, rows[i].type, rows[i].help);
        (void)fprintf(out, "tlsmsg_%s %" PRIu64 "\n", rows[i].name, rows[i].value);
    }
}

static void print_counters(FILE *out, const struct tlsmsg_stats *s)
{
    const struct row rows[] = {
        {"connections_accepted_total", "counter", "Connections accepted.", s->accepted},
        {"connections_open", "gauge", "Connections open now.", s->open},
        {"handshakes_open", "gauge", "Connections whose handshake is not finished.",
         s->handshaking},
        {"conversations_total", "counter", "Conversations begun.", s->conversations},
        {"conversations_resumed_total", "counter", "Conversations with a resumed session.",
         s->resumed},
        {"conversations_tls12_total", "counter", "Conversations over TLS 1.2.", s->tls12},
        {"messages_total", "counter", "Messages received.", s->messages},
        {"replies_total", "counter", "Replies handed to the kernel whole.", s->replies},
        {"received_bytes_total", "counter", "Bytes of messages received.", s->bytes_in},
        {"sent_bytes_total", "counter", "Bytes of replies sent.", s->bytes_out},
        {"queued_bytes", "gauge", "Bytes of replies that wait to be sent.", s->queued_bytes},
    };

    print_rows(out, rows, sizeof(rows) / sizeof(rows[0]));
}

static void print_ends(FILE *out, const struct tlsmsg_stats *s)
{
    head(out, "closed_total", "counter", "Connections ended, by how.");
    for (int reason = 0; reason < TLSMSG_CLOSE_COUNT; reason++) {
        (void)fprintf(out, "tlsmsg_closed_total{how=\"%s\"} %" PRIu64 "\n",
                      tlsmsg_close_reason_name((enum tlsmsg_close_reason)reason),
                      s->closed[reason]);
    }
    head(out, "events_total", "counter", "What an operator should know of, by cause.");
    for (int cause = 0; cause < TLSMSG_CAUSE_COUNT; cause++) {
        (void)fprintf(out, "tlsmsg_events_total{cause=\"%s\"} %" PRIu64 "\n",
                      tlsmsg_cause_name((enum tlsmsg_cause)cause), s->events[cause]);
    }
}

static void print_latency(FILE *out, const struct tlsmsg_stats *s)
{
    uint64_t sum = 0;

    head(out, "reply_seconds", "histogram",
         "From the receipt of a message to its reply's sending.");
    for (unsigned i = 0; i < TLSMSG_LATENCY_BUCKETS; i++) {
        int64_t bound_us = tlsmsg_latency_bound_us(i);

        sum += s->latency[i];
        if (bound_us < 0) {
            (void)fprintf(out, "tlsmsg_reply_seconds_bucket{le=\"+Inf\"} %" PRIu64 "\n", sum);
        } else {
            (void)fprintf(out, "tlsmsg_reply_seconds_bucket{le=\"%g\"} %" PRIu64 "\n",
                          (double)bound_us / 1e6, sum);
        }
    }
    (void)fprintf(out, "tlsmsg_reply_seconds_sum %.6f\ntlsmsg_reply_seconds_count %" PRIu64 "\n",
                  (double)s->latency_sum_us / 1e6, sum);
}

static void print_facts(FILE *out, const struct metrics_facts *facts)
{
    head(out, "build_info", "gauge", "The version and transport that run.");
    (void)fprintf(out, "tlsmsg_build_info{version=\"%s\",transport=\"%s\"} 1\n", facts->version,
                  facts->transport);
    head(out, "start_time_seconds", "gauge", "When the server started, since the epoch.");
    (void)fprintf(out, "tlsmsg_start_time_seconds %" PRId64 "\n", facts->started_unix_s);
    if (facts->certificate_unix_s != 0) {
        head(out, "certificate_days_left", "gauge", "Days until the first certificate ends.");
        (void)fprintf(out, "tlsmsg_certificate_days_left %.2f\n",
                      (double)(facts->certificate_unix_s - facts->now_unix_s) / 86400);
    }
}

char *metrics_print(const struct tlsmsg_stats *stats, const struct metrics_facts *facts)
{
    char *text = NULL;
    size_t len = 0;
    FILE *out = open_memstream(&text, &len);
    int failed;

    if (out == NULL) {
        return NULL;
    }
    print_facts(out, facts);
    print_counters(out, stats);
    print_ends(out, stats);
    print_latency(out, stats);
    failed = ferror(out);
    if (fclose(out) != 0 || failed != 0) {
        free(text);
        return NULL;
    }
    return text;
}

static bool write_all(int fd, const char *data, size_t len)
{
    while (len > 0) {
        ssize_t n = write(fd, data, len);

        if (n < 0 && errno == EINTR) {
            continue;
        }
        if (n <= 0) {
            return false;
        }
        data += n;
        len -= (size_t)n;
    }
    return true;
}

/* Readable by all, whatever the umask: the collector runs as another user, and nothing in it is
 * secret. */
static bool write_beside(const char *path, const char *temporary, const char *text)
{
    int fd = open(temporary, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC | O_NOFOLLOW, 0644);
    bool ok = fd >= 0 && fchmod(fd, 0644) == 0 && write_all(fd, text, strlen(text));

    if (fd >= 0) {
        ok = close(fd) == 0 && ok;
    }
    return ok && rename(temporary, path) == 0;
}

enum tlsmsg_code metrics_write(const char *path, const char *text, struct tlsmsg_error *err)
{
    char temporary[PATH_MAX];
    char name[256];
    int saved;

    if (snprintf(temporary, sizeof(temporary), "%s.new", path) >= (int)sizeof(temporary)) {
        return error_set(err, TLSMSG_ERR_SYSTEM, ENAMETOOLONG, "cannot write metrics '%s'",
                         escape_name(name, sizeof(name), path));
    }
    if (write_beside(path, temporary, text)) {
        return TLSMSG_OK;
    }
    saved = errno;
    (void)unlink(temporary);
    return error_set(err, TLSMSG_ERR_SYSTEM, saved, "cannot write metrics '%s'",
                     escape_name(name, sizeof(name), path));
}
