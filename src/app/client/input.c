/* Input: cuts what read(2) gives at "\n", as Python's input() does on Linux ("\r" belongs to the
 * line).
 *
 * Plain read(2) and no stdio, since a poll(2) for the socket at the same time must know of
 * every byte that is here already. Grows with a line up to the limit; one thread. */
#include "app/client/input.h"

#include <errno.h>
#include <poll.h>
#include <string.h>
#include <sys/stat.h>
#include <termios.h>
#include <unistd.h>

#define READ_BYTES ((size_t)64 * 1024)
#define CANONICAL_MAX_BYTES 4095 /* of a line that the kernel's terminal keeps (n_tty) */

void input_init(struct input *input, int fd, size_t line_max_bytes)
{
    *input = (struct input){.fd = fd, .line_max = line_max_bytes};
    buffer_init(&input->unread, SIZE_MAX, BUFFER_KEEP);
    input->is_terminal = isatty(fd) == 1;
    input->origin_at = lseek(fd, 0, SEEK_CUR);
    input->is_seekable = !input->is_terminal && input->origin_at >= 0;
}

void input_fini(struct input *input)
{
    buffer_fini(&input->unread);
}

static void drop(struct input *input, size_t n)
{
    buffer_consume(&input->unread, n);
    input->scanned = 0;
    input->next_at += (int64_t)n;
}

/* Begins a line: what is dropped from here on is its. */
static void begin_line(struct input *input)
{
    if (!input->skipping) {
        input->line_at = input->next_at;
    }
}

/* No line end so far: skips what is too long already, hands out the last line at the end. */
static enum input_result next_unended(struct input *input, const char **line, size_t *len)
{
    if (input->skipping || input->unread.len > input->line_max) {
        begin_line(input);
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
    begin_line(input);
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
    begin_line(input);
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

bool input_read_ready(struct input *input)
{
    struct pollfd entry = {.fd = input->fd, .events = POLLIN};
    size_t before = input->unread.len;

    if (poll(&entry, 1, 0) <= 0) {
        return false;
    }
    input_read(input);
    return input->unread.len > before || input->ended || input->cause != 0;
}

bool input_may_be_cut(const struct input *input, size_t len)
{
    struct termios mode;

    return input->is_terminal && len >= CANONICAL_MAX_BYTES && tcgetattr(input->fd, &mode) == 0 &&
           (mode.c_lflag & ICANON) != 0;
}

/* ---- what was not sent */

/* Counts the lines of a file that are not empty, from a place to `end`. False: it can't be read. */
static bool count_messages(int fd, off_t at, off_t end, uint64_t *count)
{
    static char chunk[READ_BYTES];
    bool in_line = false;

    *count = 0;
    while (at < end) {
        ssize_t n = pread(fd, chunk, sizeof(chunk), at);

        if (n <= 0) {
            return n == 0;
        }
        for (ssize_t i = 0; i < n; i++) {
            *count += !in_line && chunk[i] != '\n';
            in_line = chunk[i] != '\n';
        }
        at += n;
    }
    return true;
}

/* Looks, without waiting, whether the writer has left more or has gone. */
static enum input_rest rest_of_stream(struct input *input, int64_t at)
{
    if (input->unread.len == 0) {
        (void)input_read_ready(input);
    }
    if (input->unread.len > 0 || at < input->next_at) {
        return INPUT_REST_SOME;
    }
    return input->ended || input->cause != 0 ? INPUT_REST_NONE : INPUT_REST_UNKNOWN;
}

enum input_rest input_rest(struct input *input, int64_t at, uint64_t *count)
{
    struct stat file;

    *count = 0;
    if (input->is_terminal) {
        return input->unread.len > 0 || at < input->next_at ? INPUT_REST_SOME : INPUT_REST_NONE;
    }
    if (input->is_seekable && fstat(input->fd, &file) == 0 && S_ISREG(file.st_mode) &&
        count_messages(input->fd, input->origin_at + at, file.st_size, count)) {
        return *count > 0 ? INPUT_REST_COUNTED : INPUT_REST_NONE;
    }
    return rest_of_stream(input, at);
}

void input_set_back(const struct input *input, int64_t at)
{
    if (input->is_seekable) {
        (void)lseek(input->fd, input->origin_at + at, SEEK_SET);
    }
}
