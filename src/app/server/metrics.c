/* See metrics.h. */
#include "app/server/metrics.h"

#include <errno.h>
#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "base/clock.h"
#include "base/file.h"

/* ---- Prometheus */

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
        {"buffered_bytes", "gauge", "Bytes held because of messages.", s->buffered_bytes},
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

/* tlsmsg/1. */
static void print_numbered(FILE *out, const struct tlsmsg_stats *s)
{
    const struct row rows[] = {
        {"duplicates_total", "counter", "Numbered messages that came again.", s->duplicates},
        {"set_back_total", "counter",
         "Clients that were promised more than is stored: an old backup came back.", s->set_back},
    };

    head(out, "flow_conversations_total", "counter", "Conversations begun, by flow.");
    (void)fprintf(out,
                  "tlsmsg_flow_conversations_total{flow=\"document\"} %" PRIu64
                  "\ntlsmsg_flow_conversations_total{flow=\"tlsmsg/1\"} %" PRIu64 "\n",
                  s->conversations - s->numbered, s->numbered);
    print_rows(out, rows, sizeof(rows) / sizeof(rows[0]));
    head(out, "bye_total", "counter", "Numbered conversations that the server ended, by code.");
    for (unsigned i = 0; tlsmsg_bye_code(i) != 0; i++) {
        (void)fprintf(out, "tlsmsg_bye_total{code=\"%u\"} %" PRIu64 "\n", tlsmsg_bye_code(i),
                      s->byes[i]);
    }
}

static void print_store(FILE *out, const struct metrics_about *about)
{
    const struct store_stats *s = &about->store;
    const struct row rows[] = {
        {"store_batches_total", "counter", "Transactions committed, each with one sync.",
         s->batches},
        {"store_messages_total", "counter", "Messages stored.", s->taken},
        {"store_duplicates_total", "counter", "Messages that were stored before.", s->duplicates},
        {"store_no_room_total", "counter", "Messages not taken for want of room.", s->no_room},
        {"store_away_total", "counter", "Messages not taken since the engine was away.", s->away},
        {"store_pruned_total", "counter", "Messages deleted for their age.", s->pruned},
        {"store_away", "gauge", "1 while the engine can't be reached.", s->is_away},
        {"store_log_bytes", "gauge", "Bytes of the write-ahead log in use.", s->log_bytes},
    };

    head(out, "store_promise", "gauge", "1 at what a reply means.");
    (void)fprintf(out, "tlsmsg_store_promise{promise=\"%s\"} 1\n",
                  about->promise == STORE_PROMISE_REPLICATED ? "replicated" : "disk");
    print_rows(out, rows, sizeof(rows) / sizeof(rows[0]));
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

/* What ends, for both. */
static const struct {
    const char *metric;
    const char *help;
    const char *name; /* on the screen */
} ends[TLSMSG_EXPIRY_COUNT] = {
    [TLSMSG_EXPIRY_CERTIFICATE] = {"certificate_not_after_timestamp_seconds",
                                   "When the first of the server's certificates or of their "
                                   "issuers ends, since the epoch.",
                                   "certificate"},
    [TLSMSG_EXPIRY_CA] = {"ca_not_after_timestamp_seconds",
                          "When the first CA that verifies clients ends, since the epoch.", "CA"},
    [TLSMSG_EXPIRY_CRL] = {"crl_next_update_timestamp_seconds",
                           "When the first revocation list ends, since the epoch.",
                           "revocation list"},
};

static void print_about(FILE *out, const struct metrics_about *about)
{
    head(out, "build_info", "gauge", "The version and transport that run.");
    (void)fprintf(out, "tlsmsg_build_info{version=\"%s\",transport=\"%s\"} 1\n", about->version,
                  about->transport);
    head(out, "start_time_seconds", "gauge", "When the server started, since the epoch.");
    (void)fprintf(out, "tlsmsg_start_time_seconds %" PRId64 "\n", about->started_unix_s);
    for (int what = 0; what < TLSMSG_EXPIRY_COUNT; what++) {
        if (about->ends_unix_s[what] != 0) {
            head(out, ends[what].metric, "gauge", ends[what].help);
            (void)fprintf(out, "tlsmsg_%s %" PRId64 "\n", ends[what].metric,
                          about->ends_unix_s[what]);
        }
    }
}

char *metrics_print(const struct tlsmsg_stats *stats, const struct metrics_about *about)
{
    char *text = NULL;
    size_t len = 0;
    FILE *out = open_memstream(&text, &len);
    int failed;

    if (out == NULL) {
        return NULL;
    }
    print_about(out, about);
    print_counters(out, stats);
    print_ends(out, stats);
    print_numbered(out, stats);
    print_latency(out, stats);
    if (about->has_store) {
        print_store(out, about);
    }
    failed = ferror(out);
    if (fclose(out) != 0 || failed != 0) {
        free(text);
        return NULL;
    }
    return text;
}

/* Readable by all, whatever the umask: the collector runs as another user, and nothing in it is
 * secret. */
enum tlsmsg_code metrics_check(const char *path, struct tlsmsg_error *err)
{
    struct stat is;

    if (path == NULL || lstat(path, &is) != 0 || S_ISREG(is.st_mode)) {
        return TLSMSG_OK;
    }
    return file_error(path, "write", "metrics", S_ISDIR(is.st_mode) ? EISDIR : EOPNOTSUPP, err);
}

enum tlsmsg_code metrics_write(const char *path, const char *text, struct tlsmsg_error *err)
{
    static const struct file_replacement how = {.mode = 0644};
    int failed = file_replace(path, &how, text, strlen(text));

    return failed == 0 ? TLSMSG_OK : file_error(path, "write", "metrics", failed, err);
}

/* ---- the screen */

struct screen {
    char *buf;
    size_t cap;
    size_t len;
};

static void add(struct screen *screen, const char *format, ...)
    __attribute__((format(printf, 2, 3)));

static void add(struct screen *screen, const char *format, ...)
{
    va_list args;
    int n;

    if (screen->len >= screen->cap) {
        return;
    }
    va_start(args, format);
    n = vsnprintf(screen->buf + screen->len, screen->cap - screen->len, format, args);
    va_end(args);
    screen->len += n > 0 ? (size_t)n : 0;
    if (screen->len >= screen->cap) {
        screen->len = screen->cap - 1; /* cut; the NUL is not part of it */
    }
}

static void add_head(struct screen *screen, const struct metrics_screen *about)
{
    int64_t seconds = about->up_ms / 1000;
    const char *address;
    size_t i;

    add(screen, "%s %s (%s)%s\n", about->program, tlsmsg_version(), tlsmsg_transport(),
        about->stopping ? ", stopping" : "");
    add(screen, "  up %" PRId64 " d %02d:%02d:%02d, workers: %u, listening on", seconds / 86400,
        (int)(seconds / 3600 % 24), (int)(seconds / 60 % 60), (int)(seconds % 60),
        tlsmsg_server_workers(about->server));
    for (i = 0; i < 8 && (address = tlsmsg_server_address(about->server, i)) != NULL; i++) {
        add(screen, " %s", address);
    }
    add(screen, "\n");
}

static void add_ends(struct screen *screen, const struct tlsmsg_stats *stats)
{
    const char *before = "  ended:         ";
    size_t i;

    for (i = 0; i < TLSMSG_CLOSE_COUNT; i++) {
        if (stats->closed[i] > 0) {
            add(screen, "%s%" PRIu64 " %s", before, stats->closed[i],
                tlsmsg_close_reason_name((enum tlsmsg_close_reason)i));
            before = ", ";
        }
    }
    if (before[0] == ',') {
        add(screen, "\n");
    }
}

static void add_events(struct screen *screen, const struct tlsmsg_stats *stats)
{
    const char *before = "  noticed:       ";
    size_t i;

    for (i = 0; i < TLSMSG_CAUSE_COUNT; i++) {
        if (stats->events[i] > 0) {
            add(screen, "%s%" PRIu64 " %s", before, stats->events[i],
                tlsmsg_cause_name((enum tlsmsg_cause)i));
            before = ", ";
        }
    }
    if (before[0] == ',') {
        add(screen, "\n");
    }
}

static void add_expiries(struct screen *screen, const struct metrics_screen *about)
{
    const char *before = "  ends first:    ";

    for (size_t i = 0; i < TLSMSG_EXPIRY_COUNT; i++) {
        char date[32];

        if (about->ends_unix_s[i] != 0) {
            clock_print_utc(about->ends_unix_s[i], 0, date, sizeof(date));
            add(screen, "%s%s on %.*s", before, ends[i].name, CLOCK_DATE_CHARS, date);
            before = ", ";
        }
    }
    if (before[0] == ',') {
        add(screen, "\n");
    }
}

size_t metrics_print_screen(char *buf, size_t cap, const struct metrics_screen *about)
{
    struct screen screen = {.buf = buf, .cap = cap};
    struct tlsmsg_stats stats = {.size = sizeof(stats)};

    tlsmsg_server_stats(about->server, &stats);
    add_head(&screen, about);
    add(&screen,
        "  connections:   %" PRIu64 " open (%" PRIu64 " in handshake), %" PRIu64 " accepted\n",
        stats.open, stats.handshaking, stats.accepted);
    add(&screen, "  conversations: %" PRIu64 " begun", stats.conversations);
    if (stats.resumed > 0) {
        add(&screen, ", %" PRIu64 " resumed", stats.resumed);
    }
    if (stats.tls12 > 0) {
        add(&screen, ", %" PRIu64 " in TLS 1.2", stats.tls12);
    }
    add(&screen, "\n");
    add(&screen, "  messages:      %" PRIu64 " in %" PRIu64 " bytes\n", stats.messages,
        stats.bytes_in);
    add(&screen, "  replies:       %" PRIu64 " in %" PRIu64 " bytes, %" PRIu64 " bytes wait\n",
        stats.replies, stats.bytes_out, stats.queued_bytes);
    add_ends(&screen, &stats);
    add_events(&screen, &stats);
    add_expiries(&screen, about);
    if (about->has_transcript) {
        add(&screen, "  transcript:    %zu bytes wait for stdout\n", about->waiting_bytes);
    }
    if (about->has_store) {
        add(&screen, "  store:         %" PRIu64 " messages in %" PRIu64 " commits",
            about->store.taken, about->store.batches);
        if (about->store.no_room + about->store.away > 0) {
            add(&screen, ", %" PRIu64 " not taken", about->store.no_room + about->store.away);
        }
        add(&screen, "\n");
    }
    return screen.len;
}
