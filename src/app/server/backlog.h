/* The backlog: lines that stdout has not taken yet, in order.
 *
 * What waits may come near to --max-buffered, so its memory is its own: pages that no other
 * allocation shares, given back one piece after the other as the lines leave. Of a long line the text
 * waits as it came, and is escaped in parts, for escaped it may be six times as long. The writer's
 * lock guards it. */
#ifndef APP_SERVER_BACKLOG_H
#define APP_SERVER_BACKLOG_H

#include <stdbool.h>
#include <stddef.h>

#include "base/escape.h"
#include "base/list.h"

/* Of base/escape.h; NULL: the text stays as it is. */
typedef size_t stdout_escape(char *out, size_t cap, const char *s, size_t len);

/* A long line: `head` and `tail` are ready, the text between them is valid UTF-8. */
struct stdout_line {
    const char *head;
    size_t head_len;
    const char *text;
    size_t text_len;
    stdout_escape *escape;
    const char *tail;
    size_t tail_len;
};

/* Bytes of a long line's text that are escaped at once. */
#define BACKLOG_PART_BYTES ((size_t)64 * 1024 / ESCAPE_EXPANSION_MAX)

struct backlog {
    struct list pieces;
    size_t bytes;    /* that wait; a long line's text counts as it came until it is escaped */
    size_t ready_at; /* of `ready`, a part of the first piece, which is escaped */
    size_t ready_len;
    char ready[BACKLOG_PART_BYTES * ESCAPE_EXPANSION_MAX];
};

void backlog_init(struct backlog *backlog);
void backlog_fini(struct backlog *backlog);

/* Puts whole lines behind what waits. False without memory. */
bool backlog_add(struct backlog *backlog, const char *data, size_t len);

/* The same for a long line. */
bool backlog_add_long(struct backlog *backlog, const struct stdout_line *line);

/* What is to be written next, and how much of it is in one place; *len is 0 when nothing waits. */
const char *backlog_next(struct backlog *backlog, size_t *len);

/* So much of that is written. */
void backlog_written(struct backlog *backlog, size_t len);

/* How many bytes a long line will be. */
size_t backlog_line_len(const struct stdout_line *line);

#endif
