/* The client's stdout: prompts and replies. */
#ifndef APP_CONSOLE_H
#define APP_CONSOLE_H

#include <stdbool.h>
#include <stddef.h>

#include "app/lines.h"
#include "app/phrases.h"

struct console {
    int fd;
    const struct phrases *phrases;
    bool quiet; /* replies alone */
    bool raw;   /* replies as they came */
    bool is_terminal;
    bool has_prompt; /* the cursor stands behind a prompt */
    int cause;       /* errno of the first failure, 0: none */
    struct lines lines;
};

/* raw_text: replies go raw where stdout is no terminal; with quiet they do in any build.
 * False: out of memory. */
bool console_init(struct console *console, int fd, const struct phrases *phrases, bool quiet,
                  bool raw_text);
void console_fini(struct console *console);

/* Each writes at once and returns false when stdout has failed; see cause. */
bool console_prompt(struct console *console);
bool console_reply(struct console *console, const char *reply, size_t len);

#endif
