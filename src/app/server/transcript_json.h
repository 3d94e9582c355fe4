/* The JSON transcript: one object a line, lossless. */
#ifndef APP_SERVER_TRANSCRIPT_JSON_H
#define APP_SERVER_TRANSCRIPT_JSON_H

#include <tlsmsg/server.h>

#include "app/server/stdout.h"
#include "base/buffer.h"

/* Most bytes of a line for a message of len bytes, and for what a peer view holds. The adding
 * functions need that much room and write one line with its end. */
size_t transcript_json_bound(size_t len);
size_t transcript_json_peer_bound(const struct tlsmsg_peer *peer);

/* time: RFC 3339, NUL-terminated, in each of these. */
void transcript_json_listening(struct buffer *lines, const char *time, const char *address);
void transcript_json_connected(struct buffer *lines, const char *time,
                               const struct tlsmsg_peer *peer);
/* A message and who sent it; what is absent is NULL, and seq 0. */
struct transcript_message {
    uint64_t connection;
    const char *peer;
    const char *identity;
    const char *producer;
    uint64_t seq;
    const char *data;
    size_t len;
};

size_t transcript_json_message_bound(const struct transcript_message *message);
void transcript_json_message(struct buffer *lines, const char *time,
                             const struct transcript_message *message);

/* The same for a long line: all that stands before the message's bytes goes into lines, the rest
 * into line. */
void transcript_json_long(struct buffer *lines, const char *time,
                          const struct transcript_message *message, struct stdout_line *line);

/* Writes nothing for a connection that neither became a conversation nor sent a byte. */
void transcript_json_closed(struct buffer *lines, const char *time,
                            const struct tlsmsg_closed *closed);

#endif
