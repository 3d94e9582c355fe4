/* Input: cuts what read(2) gives at "\n", as Python's input() does on Linux ("\r" belongs to the
 * line).
 *
 * Own buffer and plain read(2), since a poll(2) for the socket at the same time must know of
 * every byte that is here already. Grows with a line up to the limit; one thread. */
#include "app/input.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define READ_BYTES ((size_t)64 * 1024)

void input_init(struct input *input, int fd, size_t line_max_bytes)
{
    *input = (struct input){.fd = fd, .line_max = line_max_bytes};
}

void input_fini(struct input *input)
{
    free(input->data);
    input->data = NULL;
}

static void drop(struct input *input, size_t n)
{
    input->head += n;
    input->len -= n;
    input->scanned = 0;
}

/* No line end so far: skips what is too long already, hands out the last line at the end. */
static enum input_result next_unended(struct input *input, const char **line, size_t *len)
{
    if (input->skipping || input->len > input->line_max) {
        input->skipping = true;
        drop(input, input->len);
    }
    if (input->cause != 0) {
        return INPUT_FAILED;
    }
    if (!input->ended) {
        return INPUT_MORE;
    }
    if (input->skipping) {
        input->skipping = false;
        input->number++;
        return INPUT_TOO_LONG;
    }
    if (input->len == 0) {
        return INPUT_END;
    }
    *line = input->data + input->head;
    *len = input->len;
    drop(input, input->len);
    input->number++;
    return INPUT_LINE;
}

enum input_result input_next(struct input *input, const char **line, size_t *len)
{
    const char *start = NULL;
    const char *end = NULL;
    bool too_long;

    if (input->scanned < input->len) {
        start = input->data + input->head;
        end = memchr(start + input->scanned, '\n', input->len - input->scanned);
    }
    if (end == NULL) {
        input->scanned = input->len;
        return next_unended(input, line, len);
    }
    *line = start;
    *len = (size_t)(end - start);
    too_long = input->skipping || *len > input->line_max;
    input->skipping = false;
    drop(input, *len + 1);
    input->number++;
    return too_long ? INPUT_TOO_LONG : INPUT_LINE;
}

/* Room for one more read behind what is here. */
static bool make_room(struct input *input)
{
    size_t cap = input->cap;
    char *data;

    if (input->head > 0) {
        memmove(input->data, input->data + input->head, input->len);
        input->head = 0;
    }
    if (input->cap - input->len >= READ_BYTES) {
        return true;
    }
    cap = cap * 2 > input->len + READ_BYTES ? cap * 2 : input->len + READ_BYTES;
    data = realloc(input->data, cap);
    if (data == NULL) {
        return false;
    }
    input->data = data;
    input->cap = cap;
    return true;
}

void input_read(struct input *input)
{
    ssize_t n;

    if (input->ended || input->cause != 0) {
        return;
    }
    if (!make_room(input)) {
        input->cause = ENOMEM;
        return;
    }
    n = read(input->fd, input->data + input->len, input->cap - input->len);
    if (n > 0) {
        input->len += (size_t)n;
    } else if (n == 0) {
        input->ended = true;
    } else if (errno != EINTR && errno != EAGAIN && errno != EWOULDBLOCK) {
        input->cause = errno;
    }
}
