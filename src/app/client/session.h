/* A client's conversation: what is sent, what is printed, how it ends, and what is left of the input
 * then. */
#ifndef APP_CLIENT_SESSION_H
#define APP_CLIENT_SESSION_H

#include <stdbool.h>
#include <stddef.h>

#include <tlsmsg/client.h>

#include "app/client/console.h"
#include "app/client/editor.h"
#include "app/client/input.h"
#include "app/client/tally.h"
#include "app/startup.h"

struct session {
    const char *program;
    struct tlsmsg_client *client; /* connected, in its non-blocking form; borrowed */
    struct console *console;      /* borrowed */
    struct input *input;          /* lines to send, borrowed; NULL: messages were given */
    int sigusr1_fd;               /* asks for a report on the connection; -1: none */
    int sigcont_fd;               /* -1: none; while lines are asked for at a terminal */
    bool exit_is_message;         /* 'exit' is sent and answered as any other line */
    bool verbose;                 /* the last line is told in any case */
    struct tally tally;
    uint64_t given;           /* messages, where there is no input */
    int64_t resume_at;        /* of the input: where the first line begins that was not sent */
    bool completed;           /* the input has ended, or 'exit' the conversation */
    bool exited;              /* it was 'exit' */
    bool discarded;           /* something typed was thrown away */
    struct editor *editor;    /* while lines are asked for at a terminal; NULL: none */
    struct tlsmsg_error left; /* why the server left while a line was edited */
};

/* Sends each message and prints its reply. */
enum exit_code session_send(struct session *session, const char *const *messages, size_t count);

/* Prompts for lines of the input and sends each until 'exit' or the end of the input. */
enum exit_code session_talk(struct session *session);

/* When all else was told: discards what was typed for a conversation that has failed, sets a
 * seekable input back to the first line that was not sent, and tells what is left in one line. */
void session_end(struct session *session, enum exit_code code);

#endif
