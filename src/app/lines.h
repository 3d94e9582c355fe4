/* Memory that lines of the transcript are put together in.
 *
 * A piece is added by a copy and nothing else: whoever adds has made sure of the room first,
 * once a line, with a bound on the whole line. */
#ifndef APP_LINES_H
#define APP_LINES_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

struct lines {
    char *data; /* owned */
    size_t len;
    size_t cap;
};

bool lines_init(struct lines *lines, size_t cap_bytes);
void lines_fini(struct lines *lines);

/* Makes room for n more bytes by getting more memory. False when there is none. */
bool lines_grow(struct lines *lines, size_t n);

static inline size_t lines_room(const struct lines *lines)
{
    return lines->cap - lines->len;
}

static inline void lines_add(struct lines *lines, const char *data, size_t len)
{
    memcpy(lines->data + lines->len, data, len);
    lines->len += len;
}

/* Adds a string literal. */
#define LINES_ADD(lines, literal) lines_add((lines), (literal), sizeof(literal) - 1)

/* Adds a number in decimal: at most LINES_NUMBER_MAX bytes. */
#define LINES_NUMBER_MAX 20
void lines_add_number(struct lines *lines, uint64_t number);

#endif
