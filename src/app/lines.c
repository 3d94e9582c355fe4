/* Lines: see lines.h. One owner at a time, no I/O. */
#include "app/lines.h"

#include <stdlib.h>

bool lines_init(struct lines *lines, size_t cap_bytes)
{
    lines->data = malloc(cap_bytes);
    lines->len = 0;
    lines->cap = lines->data != NULL ? cap_bytes : 0;
    return lines->data != NULL;
}

void lines_fini(struct lines *lines)
{
    free(lines->data);
    *lines = (struct lines){0};
}

bool lines_grow(struct lines *lines, size_t n)
{
    char *data;

    if (n <= lines_room(lines)) {
        return true;
    }
    if (n > SIZE_MAX - lines->len) {
        return false;
    }
    data = realloc(lines->data, lines->len + n);
    if (data == NULL) {
        return false;
    }
    lines->data = data;
    lines->cap = lines->len + n;
    return true;
}

void lines_add_number(struct lines *lines, uint64_t number)
{
    char digits[LINES_NUMBER_MAX];
    size_t at = sizeof(digits);

    do {
        digits[--at] = (char)('0' + number % 10);
        number /= 10;
    } while (number > 0);
    lines_add(lines, digits + at, sizeof(digits) - at);
}
