/* JSON transcript: the events of product texts as objects (RFC 8259), fields in a fixed order.
 *
 * Owns the form of the lines; where they go is transcript.c's. Built by copies rather than by
 * printf, since one line a message is in the server's message path. A worker's thread; no
 * allocation, no I/O. */
#include "app/transcript_json.h"

#include "base/escape.h"

/* All names and punctuation of the longest object, its numbers and the time. */
#define FRAME_MAX 320

size_t transcript_json_bound(size_t len)
{
    return FRAME_MAX + len * ESCAPE_EXPANSION_MAX;
}

static size_t length(const char *text)
{
    return text != NULL ? strlen(text) : 0;
}

size_t transcript_json_peer_bound(const struct tlsmsg_peer *peer)
{
    const struct tlsmsg_tls *tls = peer->tls;
    size_t texts = length(peer->address);

    if (tls != NULL) {
        texts +=
            length(tls->version) + length(tls->cipher) + length(tls->group) + length(tls->identity);
    }
    return transcript_json_bound(texts);
}

static void add_string(struct lines *lines, const char *text, size_t len)
{
    LINES_ADD(lines, "\"");
    lines->len += escape_json(lines->data + lines->len, lines_room(lines), text, len);
    LINES_ADD(lines, "\"");
}

static void begin(struct lines *lines, const char *time, const char *event)
{
    LINES_ADD(lines, "{\"time\":\"");
    lines_add(lines, time, strlen(time));
    LINES_ADD(lines, "\",\"event\":\"");
    lines_add(lines, event, strlen(event));
    LINES_ADD(lines, "\"");
}

static void end(struct lines *lines)
{
    LINES_ADD(lines, "}\n");
}

static void add_connection(struct lines *lines, uint64_t connection)
{
    LINES_ADD(lines, ",\"connection\":");
    lines_add_number(lines, connection);
}

/* A field inside an object whose first field is still to come when *first. */
static void add_text_field(struct lines *lines, const char *name, const char *text, bool *first)
{
    if (text == NULL) {
        return;
    }
    if (!*first) {
        LINES_ADD(lines, ",");
    }
    *first = false;
    LINES_ADD(lines, "\"");
    lines_add(lines, name, strlen(name));
    LINES_ADD(lines, "\":");
    add_string(lines, text, strlen(text));
}

static void add_tls(struct lines *lines, const struct tlsmsg_tls *tls)
{
    bool first = true;

    if (tls == NULL) {
        return;
    }
    LINES_ADD(lines, ",\"tls\":{");
    add_text_field(lines, "version", tls->version, &first);
    add_text_field(lines, "cipher", tls->cipher, &first);
    add_text_field(lines, "group", tls->group, &first);
    if (tls->resumed) {
        LINES_ADD(lines, ",\"resumed\":true");
    } else {
        LINES_ADD(lines, ",\"resumed\":false");
    }
    add_text_field(lines, "identity", tls->identity, &first);
    LINES_ADD(lines, "}");
}

static void add_peer(struct lines *lines, const struct tlsmsg_peer *peer)
{
    if (peer->address != NULL) {
        LINES_ADD(lines, ",\"peer\":");
        add_string(lines, peer->address, strlen(peer->address));
    }
}

void transcript_json_listening(struct lines *lines, const char *time, const char *address)
{
    begin(lines, time, "listening");
    LINES_ADD(lines, ",\"address\":");
    add_string(lines, address, strlen(address));
    end(lines);
}

void transcript_json_connected(struct lines *lines, const char *time,
                               const struct tlsmsg_peer *peer)
{
    begin(lines, time, "connected");
    add_connection(lines, peer->connection);
    add_peer(lines, peer);
    add_tls(lines, peer->tls);
    end(lines);
}

void transcript_json_message(struct lines *lines, const char *time, uint64_t connection,
                             const char *message, size_t len)
{
    begin(lines, time, "message");
    add_connection(lines, connection);
    LINES_ADD(lines, ",\"bytes\":");
    lines_add_number(lines, len);
    LINES_ADD(lines, ",\"message\":");
    add_string(lines, message, len);
    end(lines);
}

/* Milliseconds as seconds with three places. */
static void add_seconds(struct lines *lines, int64_t ms)
{
    uint64_t value = ms > 0 ? (uint64_t)ms : 0;
    char places[4] = {'.', (char)('0' + value / 100 % 10), (char)('0' + value / 10 % 10),
                      (char)('0' + value % 10)};

    lines_add_number(lines, value / 1000);
    lines_add(lines, places, sizeof(places));
}

void transcript_json_closed(struct lines *lines, const char *time,
                            const struct tlsmsg_closed *closed)
{
    const char *how = tlsmsg_close_reason_name(closed->reason);

    if (closed->reason == TLSMSG_CLOSE_HANDSHAKE && !closed->heard) {
        return;
    }
    begin(lines, time, "closed");
    add_connection(lines, closed->peer->connection);
    if (closed->reason == TLSMSG_CLOSE_HANDSHAKE) {
        add_peer(lines, closed->peer); /* no "connected" line has told it */
    }
    LINES_ADD(lines, ",\"how\":\"");
    lines_add(lines, how, strlen(how));
    LINES_ADD(lines, "\",\"messages\":");
    lines_add_number(lines, closed->messages);
    LINES_ADD(lines, ",\"seconds\":");
    add_seconds(lines, closed->duration_ms);
    end(lines);
}
