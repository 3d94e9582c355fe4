/* A client's conversation: what is sent, what is printed, how it ends, and what is left of the input
 * then. */
#ifndef APP_CLIENT_SESSION_H
#define APP_CLIENT_SESSION_H

#include <stdbool.h>
#include <stddef.h>

#include <tlsmsg/client.h>

#include "app/client/console.h"
#include "app/client/delivery.h"
#include "app/client/editor.h"
#include "app/client/input.h"
#include "app/client/tally.h"
#include "app/startup.h"

struct session {
    const char *program;
    struct tlsmsg_client *client; /* connected, in its non-blocking form; borrowed */
    struct delivery *delivery;    /* in tlsmsg/1, borrowed; NULL: the document's flow */
    struct spooling *spooling;    /* borrowed; NULL: nothing is kept */
    const char *spool_path;
    const struct tlsmsg_options *options; /* the client's */
    struct console *console;              /* borrowed */
    struct input *input;                  /* lines to send, borrowed; NULL: messages were given */
    int sigusr1_fd;                       /* asks for a report on the connection; -1: none */
    int sigcont_fd;                       /* -1: none; while lines are asked for at a terminal */
    bool exit_is_message;                 /* 'exit' is sent and answered as any other line */
    bool is_whole; /* after an error the input is to be sent from its begin again */
    bool verbose;  /* the last line is told in any case */
    struct tally tally;
    uint64_t given;              /* messages, where there is no input */
    uint64_t earlier;            /* messages of earlier runs that were answered */
    enum exit_code cause;        /* of EXIT_KEPT, where nothing was to be kept */
    struct tlsmsg_error no_room; /* why something is still gathered */
    uint64_t held_up_bytes;   /* of the spool's next message, which is too long; 0: there is none */
    int64_t resume_at;        /* of the input: where the first line begins that was not sent */
    bool completed;           /* the input has ended, or 'exit' the conversation */
    bool exited;              /* it was 'exit' */
    bool discarded;           /* something typed was thrown away */
    struct editor *editor;    /* while lines are asked for at a terminal; NULL: none */
    struct tlsmsg_error left; /* why the server left while a line was edited */
};

/* A message that was given, valid UTF-8. */
struct session_message {
    const char *data;
    size_t len;
};

/* Sends each message and prints its reply. The document's flow, see stream.h. */
enum exit_code session_send(struct session *session, const struct session_message *messages,
                            size_t count);

/* Prompts for lines of the input and sends each until 'exit' or the end of the input. */
enum exit_code session_talk(struct session *session);

/* Why the delivery has ended, told: returns code, or EXIT_KEPT where a later run may do. */
enum exit_code session_fail(struct session *session, enum exit_code code);

/* Answers SIGUSR1 where it has come. */
void session_answer_sigusr1(const struct session *session);

/* For struct delivery_style; user: the session. */
void session_sent(const struct delivery_message *message, void *user);
bool session_answered(const struct delivery_message *message, const char *reply, size_t len,
                      void *user);

#endif
