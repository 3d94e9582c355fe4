/* A client's conversation: what is sent, what is printed, and how it ends. */
#ifndef APP_SESSION_H
#define APP_SESSION_H

#include <tlsmsg/client.h>

#include "app/console.h"
#include "app/exit_codes.h"
#include "app/input.h"

struct session {
    const char *program;
    struct tlsmsg_client *client; /* connected; borrowed */
    struct console *console;      /* borrowed */
    bool refused;                 /* a line was not sent */
};

/* Sends each message and prints its reply. */
enum exit_code session_send(struct session *session, const char *const *messages, size_t count);

/* Prompts for lines and sends each until 'exit' or the end of the input. */
enum exit_code session_talk(struct session *session, struct input *input);

#endif
