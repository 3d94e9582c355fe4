/* The client's stdout: prompts and replies. */
#ifndef APP_CLIENT_CONSOLE_H
#define APP_CLIENT_CONSOLE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "app/phrases.h"
#include "base/buffer.h"

struct console_style {
    const struct phrases *phrases;
    bool quiet;    /* replies alone: no prompt, nothing before a reply */
    bool raw_text; /* replies as they came where stdout is not a terminal; with quiet always so */
    bool json;     /* replies as JSON objects: no prompt either */
};

struct console {
    int fd;
    struct console_style style;
    bool raw; /* replies as they came */
    bool is_terminal;
    bool has_prompt; /* the cursor stands behind a prompt */
    int cause;       /* errno of the first failure, 0: none */
    struct buffer line;
};

/* A reply, and the message that it answers. */
struct console_reply {
    const char *text; /* UTF-8, borrowed */
    size_t len;
    uint64_t seq;         /* of the message, from 1 */
    size_t message_bytes; /* of the message */
    int64_t took_ns;      /* since the message was first sent */
};

void console_init(struct console *console, int fd, const struct console_style *style);
void console_fini(struct console *console);

/* What stands before a line that is typed; empty where there is no prompt. */
const char *console_prompt_text(const struct console *console);

/* Each writes at once and returns false when stdout has failed; see cause. */
bool console_prompt(struct console *console);
bool console_reply(struct console *console, const struct console_reply *reply);

/* Where the prompt stands on a screen that shows stderr, too: ends its line, so that the line on
 * stderr is one of its own. True: so it was. */
bool console_leave_prompt(struct console *console);

/* Ends the line of a prompt that stands on a terminal, after the last line. Elsewhere the prompt
 * stays the last text, as in the tutorial. */
void console_end(struct console *console);

#endif
