/* Console: see console.h. A prompt or a reply is one write, nothing is kept back. One thread;
 * waits for a slow stdout, since a client has nothing else to do. */
#include "app/console.h"

#include <errno.h>
#include <poll.h>
#include <unistd.h>

#include "base/escape.h"

#define FIRST_BYTES 4096

bool console_init(struct console *console, int fd, const struct phrases *phrases, bool quiet,
                  bool raw_text)
{
    *console = (struct console){.fd = fd, .phrases = phrases, .quiet = quiet};
    console->is_terminal = isatty(fd) == 1;
    console->raw = (raw_text || quiet) && !console->is_terminal;
    return lines_init(&console->lines, FIRST_BYTES);
}

void console_fini(struct console *console)
{
    lines_fini(&console->lines);
}

static bool write_all(struct console *console, const char *data, size_t len)
{
    while (len > 0 && console->cause == 0) {
        ssize_t n = write(console->fd, data, len);

        if (n > 0) {
            data += n;
            len -= (size_t)n;
        } else if (n < 0 && (errno == EAGAIN || errno == EWOULDBLOCK)) {
            /* Someone else has made the shared description non-blocking. */
            struct pollfd entry = {.fd = console->fd, .events = POLLOUT};

            (void)poll(&entry, 1, -1);
        } else if (n == 0 || errno != EINTR) {
            console->cause = n == 0 ? EIO : errno;
        }
    }
    return console->cause == 0;
}

bool console_prompt(struct console *console)
{
    if (console->quiet) {
        return console->cause == 0;
    }
    console->has_prompt = true;
    return write_all(console, console->phrases->prompt.text, console->phrases->prompt.len);
}

bool console_reply(struct console *console, const char *reply, size_t len)
{
    struct lines *lines = &console->lines;
    size_t shown = console->raw ? len : len * ESCAPE_EXPANSION_MAX;

    lines->len = 0;
    if (!lines_grow(lines, console->phrases->reply.len + shown + 1)) {
        console->cause = ENOMEM;
        return false;
    }
    if (!console->quiet) {
        lines_add(lines, console->phrases->reply.text, console->phrases->reply.len);
    }
    if (console->raw) {
        lines_add(lines, reply, len);
    } else {
        lines->len += escape_text(lines->data + lines->len, lines_room(lines), reply, len);
    }
    LINES_ADD(lines, "\n");
    console->has_prompt = false;
    return write_all(console, lines->data, lines->len);
}
