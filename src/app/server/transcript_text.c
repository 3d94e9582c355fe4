/* Text transcript: what the document's server prints, one line a message.
 *
 * Owns the texts' order and the escaping of what peers sent; where the lines go is
 * transcript.c's. A worker's thread; no allocation, no I/O. */
#include "app/server/transcript_text.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <stdio.h>

#include "base/escape.h"

size_t transcript_text_bound(const struct transcript_style *style, size_t len)
{
    size_t phrase = style->phrases->waiting.len;

    phrase = style->phrases->connected.len > phrase ? style->phrases->connected.len : phrase;
    phrase = style->phrases->message.len > phrase ? style->phrases->message.len : phrase;
    return phrase + (style->raw ? len : len * ESCAPE_EXPANSION_MAX) + 1;
}

void transcript_text_waiting(struct buffer *lines, const struct transcript_style *style)
{
    buffer_put(lines, style->phrases->waiting.text, style->phrases->waiting.len);
    BUFFER_PUT(lines, "\n");
}

void transcript_text_connected(struct buffer *lines, const struct transcript_style *style,
                               const char *tuple)
{
    buffer_put(lines, style->phrases->connected.text, style->phrases->connected.len);
    buffer_put(lines, tuple, strlen(tuple));
    BUFFER_PUT(lines, "\n");
}

void transcript_text_tuple(const struct sockaddr *peer, char *buf, size_t cap)
{
    char host[INET6_ADDRSTRLEN];

    if (peer->sa_family == AF_INET) {
        const struct sockaddr_in *v4 = (const struct sockaddr_in *)(const void *)peer;

        (void)inet_ntop(AF_INET, &v4->sin_addr, host, sizeof(host));
        (void)snprintf(buf, cap, "('%s', %u)", host, ntohs(v4->sin_port));
    } else if (peer->sa_family == AF_INET6) {
        const struct sockaddr_in6 *v6 = (const struct sockaddr_in6 *)(const void *)peer;

        (void)inet_ntop(AF_INET6, &v6->sin6_addr, host, sizeof(host));
        (void)snprintf(buf, cap, "('%s', %u, %u, %u)", host, ntohs(v6->sin6_port),
                       ntohl(v6->sin6_flowinfo), v6->sin6_scope_id);
    } else {
        (void)snprintf(buf, cap, "''"); /* what Python shows of an unnamed local socket */
    }
}

static size_t without_line_end(const char *message, size_t len)
{
    if (len > 0 && message[len - 1] == '\n') {
        len--;
        if (len > 0 && message[len - 1] == '\r') {
            len--;
        }
    }
    return len;
}

void transcript_text_message(struct buffer *lines, const struct transcript_style *style,
                             const char *message, size_t len)
{
    buffer_put(lines, style->phrases->message.text, style->phrases->message.len);
    if (style->raw) {
        buffer_put(lines, message, len);
    } else {
        if (style->drops_line_end) {
            len = without_line_end(message, len);
        }
        buffer_commit(lines, escape_text(buffer_end(lines), buffer_room(lines), message, len));
    }
    BUFFER_PUT(lines, "\n");
}

void transcript_text_long(struct buffer *lines, const struct transcript_style *style, size_t len,
                          struct stdout_line *line)
{
    bool cuts = !style->raw && style->drops_line_end;

    buffer_put(lines, style->phrases->message.text, style->phrases->message.len);
    line->text_len = cuts ? without_line_end(line->text, len) : len;
    line->escape = style->raw ? NULL : escape_text;
    line->tail = "\n";
    line->tail_len = 1;
}
