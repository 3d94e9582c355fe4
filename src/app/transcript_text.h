/* The text transcript: the document's lines. */
#ifndef APP_TRANSCRIPT_TEXT_H
#define APP_TRANSCRIPT_TEXT_H

#include "app/lines.h"
#include "app/phrases.h"

struct text_style {
    const struct phrases *phrases;
    bool raw;            /* messages as they came */
    bool drops_line_end; /* one "\n" or "\r\n" at the end of a message isn't shown */
};

/* Most bytes of a line for a message or a peer's tuple of len bytes. The adding functions need
 * that much room and write one line with its end. */
size_t transcript_text_bound(const struct text_style *style, size_t len);

void transcript_text_waiting(struct lines *lines, const struct text_style *style);
void transcript_text_connected(struct lines *lines, const struct text_style *style,
                               const char *tuple);
void transcript_text_message(struct lines *lines, const struct text_style *style,
                             const char *message, size_t len);

#endif
