/* Console: a prompt or a reply is one write, nothing is kept back. A slow stdout is waited for,
 * since a client has nothing else to do. Main thread. */
#include "app/client/console.h"

#include <errno.h>
#include <poll.h>
#include <string.h>
#include <unistd.h>

#include "base/escape.h"
#include "base/json.h"

#define NS_PER_US 1000

void console_init(struct console *console, int fd, const struct console_style *style)
{
    *console = (struct console){.fd = fd, .style = *style};
    console->is_terminal = isatty(fd) == 1;
    console->raw = (style->raw_text || style->quiet) && !console->is_terminal;
    buffer_init(&console->line, SIZE_MAX, BUFFER_KEEP);
}

void console_fini(struct console *console)
{
    buffer_fini(&console->line);
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

const char *console_prompt_text(const struct console *console)
{
    return console->style.quiet || console->style.json ? "" : console->style.phrases->prompt.text;
}

bool console_prompt(struct console *console)
{
    const char *prompt = console_prompt_text(console);

    console->has_prompt = *prompt != '\0';
    return write_all(console, prompt, strlen(prompt));
}

bool console_leave_prompt(struct console *console)
{
    if (!console->has_prompt || !console->is_terminal || isatty(STDERR_FILENO) != 1) {
        return false;
    }
    console->has_prompt = false;
    if (write(STDERR_FILENO, "\n", 1) < 0) {
        /* Only looks are lost. */
    }
    return true;
}

/* ---- replies */

static bool put_text(struct console *console, const struct console_reply *reply)
{
    const struct phrase *label = &console->style.phrases->reply;
    struct buffer *out = &console->line;
    size_t shown = console->raw ? reply->len : reply->len * ESCAPE_EXPANSION_MAX;

    if (buffer_reserve(out, label->len + shown + 1) != TLSMSG_OK) {
        return false;
    }
    if (!console->style.quiet) {
        buffer_put(out, label->text, label->len);
    }
    if (console->raw) {
        buffer_put(out, reply->text, reply->len);
    } else {
        buffer_commit(out, escape_text(buffer_end(out), buffer_room(out), reply->text, reply->len));
    }
    BUFFER_PUT(out, "\n");
    return true;
}

/* {"seq":1,"bytes":5,"reply":"...","seconds":0.001234} */
static bool put_json(struct console *console, const struct console_reply *reply)
{
    struct json json;

    json_begin(&json, &console->line);
    json_number(&json, "seq", reply->seq);
    json_number(&json, "bytes", reply->message_bytes);
    json_bytes(&json, "reply", reply->text, reply->len);
    json_seconds_us(&json, "seconds", reply->took_ns / NS_PER_US);
    return json_end(&json, "\n") == TLSMSG_OK;
}

bool console_reply(struct console *console, const struct console_reply *reply)
{
    buffer_truncate(&console->line, 0);
    if (!(console->style.json ? put_json(console, reply) : put_text(console, reply))) {
        console->cause = ENOMEM;
        return false;
    }
    console->has_prompt = false;
    return write_all(console, buffer_head(&console->line), console->line.len);
}

void console_end(struct console *console)
{
    if (console->is_terminal && console->has_prompt) {
        console->has_prompt = false;
        (void)write_all(console, "\n", 1); /* only looks are lost */
    }
}
