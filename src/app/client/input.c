/* Input: cuts what read(2) gives at "\n", as Python's input() does on Linux ("\r" belongs to the
 * line).
 *
 * Plain read(2) and no stdio, since a poll(2) for the socket at the same time must know of
 * every byte that is here already. Grows with a line up to the limit; one thread. */
#include "app/client/input.h"

#include <errno.h>
#include <string.h>
#include <unistd.h>

#define READ_BYTES ((size_t)64 * 1024)

void input_init(struct input *input, int fd, size_t line_max_bytes)
{
    *input = (struct input){.fd = fd, .line_max = line_max_bytes};
    buffer_init(&input->unread, SIZE_MAX, BUFFER_KEEP);
}

void input_fini(struct input *input)
{
    buffer_fini(&input->unread);
}

static void drop(struct input *input, size_t n)
{
    buffer_consume(&input->unread, n);
    input->scanned = 0;
}

/* No line end so far: skips what is too long already, hands out the last line at the end. */
static enum input_result next_unended(struct input *input, const char **line, size_t *len)
{
    if (input->skipping || input->unread.len > input->line_max) {
        input->skipping = true;
        drop(input, input->unread.len);
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
    if (input->unread.len == 0) {
        return INPUT_END;
    }
    *line = buffer_head(&input->unread);
    *len = input->unread.len;
    drop(input, *len);
    input->number++;
    return INPUT_LINE;
}

enum input_result input_next(struct input *input, const char **line, size_t *len)
{
    const char *start = NULL;
    const char *end = NULL;
    bool too_long;

    if (input->scanned < input->unread.len) {
        start = buffer_head(&input->unread);
        end = memchr(start + input->scanned, '\n', input->unread.len - input->scanned);
    }
    if (end == NULL) {
        input->scanned = input->unread.len;
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

void input_read(struct input *input)
{
    ssize_t n;

    if (input->ended || input->cause != 0) {
        return;
    }
    if (buffer_reserve(&input->unread, READ_BYTES) != TLSMSG_OK) {
        input->cause = ENOMEM;
        return;
    }
    n = read(input->fd, buffer_end(&input->unread), buffer_room(&input->unread));
    if (n > 0) {
        buffer_commit(&input->unread, (size_t)n);
    } else if (n == 0) {
        input->ended = true;
    } else if (errno != EINTR && errno != EAGAIN && errno != EWOULDBLOCK) {
        input->cause = errno;
    }
}
