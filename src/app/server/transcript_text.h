/* The text transcript: the document's lines. */
#ifndef APP_SERVER_TRANSCRIPT_TEXT_H
#define APP_SERVER_TRANSCRIPT_TEXT_H

#include <stdbool.h>
#include <sys/socket.h>

#include "app/phrases.h"
#include "app/server/stdout.h"
#include "base/buffer.h"

struct transcript_style {
    const struct phrases *phrases;
    bool raw;            /* messages as they came */
    bool drops_line_end; /* one "\n" or "\r\n" at the end of a message isn't shown */
};

/* Most bytes of a line for a message or a peer's tuple of len bytes. The adding functions need
 * that much room and write one line with its end. */
size_t transcript_text_bound(const struct transcript_style *style, size_t len);

void transcript_text_waiting(struct buffer *lines, const struct transcript_style *style);
void transcript_text_connected(struct buffer *lines, const struct transcript_style *style,
                               const char *tuple);

/* A peer as Python prints its address: "('127.0.0.1', 50412)", "('::1', 50412, 0, 0)" (flow,
 * scope). cap >= TRANSCRIPT_TUPLE_MAX. */
#define TRANSCRIPT_TUPLE_MAX 80
void transcript_text_tuple(const struct sockaddr *peer, char *buf, size_t cap);

void transcript_text_message(struct buffer *lines, const struct transcript_style *style,
                             const char *message, size_t len);

/* The same for a long line of len bytes: its head goes into lines, the rest into line. */
void transcript_text_long(struct buffer *lines, const struct transcript_style *style, size_t len,
                          struct stdout_line *line);

#endif
