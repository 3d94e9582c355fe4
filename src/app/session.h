/* A client's conversation: what is sent, what is printed, and how it ends. */
#ifndef APP_SESSION_H
#define APP_SESSION_H

#include <tlsmsg/client.h>

#include "app/console.h"
#include "app/editor.h"
#include "app/exit_codes.h"
#include "app/input.h"

struct session {
    const char *program;
    struct tlsmsg_client *client; /* connected, in its non-blocking form; borrowed */
    struct console *console;      /* borrowed */
    int request_fd;               /* see request.h; -1: none */
    bool refused;                 /* a line was not sent */
    struct editor *editor;        /* while lines are asked for at a terminal; NULL: none */
    struct tlsmsg_error left;     /* why the server left while a line was edited */
};

/* Sends each message and prints its reply. */
enum exit_code session_send(struct session *session, const char *const *messages, size_t count);

/* Prompts for lines and sends each until 'exit' or the end of the input. */
enum exit_code session_talk(struct session *session, struct input *input);

#endif
