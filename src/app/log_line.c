/* Log lines: "TIME LEVEL connection N PEER: CAUSE: TEXT", or the same as a JSON object.
 *
 * Texts come escaped from the library; they are cut rather than let grow a line past what a pipe
 * takes at once. Pure, any thread. */
#include "app/log_line.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "base/escape.h"

#define ADDRESS_MAX 256 /* bytes kept of a peer's address */
#define TEXT_MAX 3072   /* and of a text */

size_t log_line_text(char buf[LOG_LINE_MAX], const char *time, const char *level,
                     const struct tlsmsg_event *event)
{
    char number[64] = "";
    const char *address = event->address != NULL ? event->address : "";
    int n;

    if (event->connection != 0) {
        (void)snprintf(number, sizeof(number), " connection %" PRIu64, event->connection);
    }
    n = snprintf(buf, LOG_LINE_MAX, "%s %s%s%s%.*s: %s: %.*s\n", time, level, number,
                 address[0] != '\0' ? " " : "", ADDRESS_MAX, address,
                 tlsmsg_cause_name(event->cause), TEXT_MAX, event->text);
    return n > 0 ? (size_t)n : 0;
}

/* Appends a field with an escaped text of at most max bytes. */
static size_t add_field(char *buf, size_t len, const char *name, const char *text, size_t max)
{
    int n = snprintf(buf + len, LOG_LINE_MAX - len, ",\"%s\":\"", name);

    len += n > 0 ? (size_t)n : 0;
    len += escape_json(buf + len, max, text, strlen(text));
    buf[len++] = '"';
    return len;
}

size_t log_line_json(char buf[LOG_LINE_MAX], const char *time, const char *level,
                     const struct tlsmsg_event *event, uint64_t left_out)
{
    int n = snprintf(buf, LOG_LINE_MAX, "{\"time\":\"%s\",\"level\":\"%s\"", time, level);
    size_t len = n > 0 ? (size_t)n : 0;

    if (event->connection != 0) {
        n = snprintf(buf + len, LOG_LINE_MAX - len, ",\"connection\":%" PRIu64, event->connection);
        len += n > 0 ? (size_t)n : 0;
    }
    if (event->address != NULL) {
        len = add_field(buf, len, "peer", event->address, ADDRESS_MAX);
    }
    len = add_field(buf, len, "cause", tlsmsg_cause_name(event->cause), ADDRESS_MAX);
    if (left_out > 0) {
        n = snprintf(buf + len, LOG_LINE_MAX - len, ",\"left_out\":%" PRIu64, left_out);
        len += n > 0 ? (size_t)n : 0;
    }
    len = add_field(buf, len, "text", event->text, TEXT_MAX);
    buf[len++] = '}';
    buf[len++] = '\n';
    return len;
}
