/* Status: the server's counters in words.
 *
 * Counters that are 0 and say nothing by being so are left out, so that the screen stays one.
 * Main thread. */
#include "app/status.h"

#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>

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

static void add_head(struct screen *screen, const struct status_facts *facts)
{
    int64_t seconds = facts->up_ms / 1000;
    const char *address;
    size_t i;

    add(screen, "%s %s (%s)%s\n", facts->program, tlsmsg_version(), tlsmsg_transport(),
        facts->stopping ? ", stopping" : "");
    add(screen, "  up %" PRId64 " d %02d:%02d:%02d, workers: %u, listening on", seconds / 86400,
        (int)(seconds / 3600 % 24), (int)(seconds / 60 % 60), (int)(seconds % 60),
        tlsmsg_server_workers(facts->server));
    for (i = 0; i < 8 && (address = tlsmsg_server_address(facts->server, i)) != NULL; i++) {
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

size_t status_print(char *buf, size_t cap, const struct status_facts *facts)
{
    struct screen screen = {.buf = buf, .cap = cap};
    struct tlsmsg_stats stats = {.size = sizeof(stats)};

    tlsmsg_server_stats(facts->server, &stats);
    add_head(&screen, facts);
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
    if (facts->has_transcript) {
        add(&screen, "  transcript:    %zu bytes wait for stdout\n", facts->waiting_bytes);
    }
    return screen.len;
}
