/* A client's conversation: what is sent, what is printed, and how it ends. */
#ifndef APP_CLIENT_SESSION_H
#define APP_CLIENT_SESSION_H

#include <stdbool.h>
#include <stddef.h>

#include <tlsmsg/client.h>

#include "app/client/editor.h"
#include "app/client/input.h"
#include "app/phrases.h"
#include "app/startup.h"
#include "base/buffer.h"

/* ---- stdout: prompts and replies */

struct console {
    int fd;
    const struct phrases *phrases;
    bool quiet; /* replies alone */
    bool raw;   /* replies as they came */
    bool is_terminal;
    bool has_prompt; /* the cursor stands behind a prompt */
    int cause;       /* errno of the first failure, 0: none */
    struct buffer reply;
};

/* raw_text: replies go raw where stdout is not a terminal; with quiet they do in any build. */
void console_init(struct console *console, int fd, const struct phrases *phrases, bool quiet,
                  bool raw_text);
void console_fini(struct console *console);

/* Each writes at once and returns false when stdout has failed; see cause. */
bool console_prompt(struct console *console);
bool console_reply(struct console *console, const char *reply, size_t len);

/* ---- the conversation */

struct session {
    const char *program;
    struct tlsmsg_client *client; /* connected, in its non-blocking form; borrowed */
    struct console *console;      /* borrowed */
    int sigusr1_fd;               /* asks for the report on the connection; -1: none */
    bool refused;                 /* a line was not sent */
    struct editor *editor;        /* while lines are asked for at a terminal; NULL: none */
    struct tlsmsg_error left;     /* why the server left while a line was edited */
};

/* Sends each message and prints its reply. */
enum exit_code session_send(struct session *session, const char *const *messages, size_t count);

/* Prompts for lines and sends each until 'exit' or the end of the input. */
enum exit_code session_talk(struct session *session, struct input *input);

#endif
