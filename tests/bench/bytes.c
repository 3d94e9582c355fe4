/* The byte run: see bytes.h. Capacity doubles, and an emptied run starts over at its front, so that
 * in steady state nothing is moved or allocated. */
#include "bytes.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

char *bytes_reserve(struct bytes *b, size_t len)
{
    size_t held = bytes_len(b);
    size_t cap = b->cap == 0 ? 256 : b->cap;
    char *grown;

    if (b->data != NULL && b->cap - b->end >= len) {
        return b->data + b->end;
    }
    if (b->data != NULL && b->start > 0) {
        memmove(b->data, b->data + b->start, held);
        b->start = 0;
        b->end = held;
    }
    while (cap - held < len) {
        cap *= 2;
    }
    if (cap > b->cap) {
        grown = realloc(b->data, cap);
        if (grown == NULL) {
            fputs("bench: out of memory\n", stderr);
            exit(1);
        }
        b->data = grown;
        b->cap = cap;
    }
    return b->data + b->end;
}

void bytes_append(struct bytes *b, const char *data, size_t len)
{
    if (len > 0) {
        memcpy(bytes_reserve(b, len), data, len);
        b->end += len;
    }
}

void bytes_take(struct bytes *b, size_t len)
{
    b->start += len;
    if (b->start == b->end) {
        bytes_clear(b);
    }
}

void bytes_clear(struct bytes *b)
{
    b->start = 0;
    b->end = 0;
}

void bytes_fini(struct bytes *b)
{
    free(b->data);
    *b = (struct bytes){0};
}
