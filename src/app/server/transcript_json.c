/* JSON transcript: the events as objects (RFC 8259), fields in a fixed order.
 *
 * Owns the form of the lines; where they go is transcript.c's. A worker's thread; no allocation, no
 * I/O. */
#include "app/server/transcript_json.h"

#include "base/escape.h"
#include "base/json.h"

/* All names and punctuation of the longest object, its numbers and the time. */
#define AROUND_MAX 480

size_t transcript_json_bound(size_t len)
{
    return AROUND_MAX + len * ESCAPE_EXPANSION_MAX;
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

static void begin(struct json *json, struct buffer *lines, const char *time, const char *event)
{
    json_begin(json, lines);
    json_plain(json, "time", time, strlen(time));
    json_plain(json, "event", event, strlen(event));
}

/* Whoever calls has made sure of the room, so no line fails. */
static void end(struct json *json)
{
    (void)json_end(json, "\n");
}

static void put_tls(struct json *json, const struct tlsmsg_tls *tls)
{
    if (tls == NULL) {
        return;
    }
    json_begin_object(json, "tls");
    json_string(json, "version", tls->version);
    json_string(json, "cipher", tls->cipher);
    json_string(json, "group", tls->group);
    json_bool(json, "resumed", tls->resumed);
    json_string(json, "identity", tls->identity);
    json_end_object(json);
}

void transcript_json_listening(struct buffer *lines, const char *time, const char *address)
{
    struct json json;

    begin(&json, lines, time, "listening");
    json_string(&json, "address", address);
    end(&json);
}

void transcript_json_connected(struct buffer *lines, const char *time,
                               const struct tlsmsg_peer *peer)
{
    struct json json;

    begin(&json, lines, time, "connected");
    json_number(&json, "connection", peer->connection);
    json_string(&json, "peer", peer->address);
    put_tls(&json, peer->tls);
    if (peer->tls != NULL) {
        json_string(&json, "flow", peer->tls->protocol != NULL ? peer->tls->protocol : "document");
    }
    end(&json);
}

size_t transcript_json_message_bound(const struct transcript_message *message)
{
    return transcript_json_bound(message->len + length(message->peer) + length(message->identity) +
                                 length(message->producer));
}

/* All of a message but its bytes, which come last. */
static void begin_message(struct json *json, struct buffer *lines, const char *time,
                          const struct transcript_message *message)
{
    begin(json, lines, time, "message");
    json_number(json, "connection", message->connection);
    json_string(json, "peer", message->peer);
    json_string(json, "identity", message->identity);
    json_string(json, "producer", message->producer);
    if (message->seq > 0) {
        json_number(json, "seq", message->seq);
    }
    json_number(json, "bytes", message->len);
}

void transcript_json_message(struct buffer *lines, const char *time,
                             const struct transcript_message *message)
{
    struct json json;

    begin_message(&json, lines, time, message);
    json_bytes(&json, "message", message->data, message->len);
    end(&json);
}

void transcript_json_long(struct buffer *lines, const char *time,
                          const struct transcript_message *message, struct stdout_line *line)
{
    static const char tail[] = "\"}\n";
    struct json json;

    begin_message(&json, lines, time, message);
    BUFFER_PUT(lines, ",\"message\":\"");
    line->escape = escape_json;
    line->tail = tail;
    line->tail_len = sizeof(tail) - 1;
}

void transcript_json_closed(struct buffer *lines, const char *time,
                            const struct tlsmsg_closed *closed)
{
    struct json json;

    if (closed->reason == TLSMSG_CLOSE_HANDSHAKE && !closed->heard) {
        return;
    }
    begin(&json, lines, time, "closed");
    json_number(&json, "connection", closed->peer->connection);
    if (closed->reason == TLSMSG_CLOSE_HANDSHAKE) {
        json_string(&json, "peer", closed->peer->address); /* no "connected" line has told it */
    }
    json_string(&json, "producer", closed->producer);
    json_string(&json, "how", tlsmsg_close_reason_name(closed->reason));
    if (closed->reason == TLSMSG_CLOSE_REFUSED) {
        json_number(&json, "code", closed->code);
    }
    json_number(&json, "messages", closed->messages);
    if (closed->duplicates > 0) {
        json_number(&json, "duplicates", closed->duplicates);
    }
    json_seconds(&json, "seconds", closed->duration_ms);
    end(&json);
}
