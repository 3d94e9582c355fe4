/* Session: the document's loop of the client, and the loop over given messages.
 *
 * One message is unanswered at a time. While a line is waited for the server is watched too, so
 * that its leaving is told at once; a line that is here goes first. In every wait SIGUSR1 is
 * answered. Main thread. */
#include "app/client/session.h"

#include <errno.h>
#include <poll.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "app/client/report.h"
#include "app/signals.h"
#include "base/escape.h"
#include "base/utf8.h"

/* ---- stdout: a prompt or a reply is one write, nothing is kept back. A slow one is waited for,
 * since a client has nothing else to do. */

void console_init(struct console *console, int fd, const struct phrases *phrases, bool quiet,
                  bool raw_text)
{
    *console = (struct console){.fd = fd, .phrases = phrases, .quiet = quiet};
    console->is_terminal = isatty(fd) == 1;
    console->raw = (raw_text || quiet) && !console->is_terminal;
    buffer_init(&console->reply, SIZE_MAX, BUFFER_KEEP);
}

void console_fini(struct console *console)
{
    buffer_fini(&console->reply);
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
    struct buffer *out = &console->reply;
    size_t shown = console->raw ? len : len * ESCAPE_EXPANSION_MAX;

    buffer_truncate(out, 0);
    if (buffer_reserve(out, console->phrases->reply.len + shown + 1) != TLSMSG_OK) {
        console->cause = ENOMEM;
        return false;
    }
    if (!console->quiet) {
        buffer_put(out, console->phrases->reply.text, console->phrases->reply.len);
    }
    if (console->raw) {
        buffer_put(out, reply, len);
    } else {
        buffer_commit(out, escape_text(buffer_end(out), buffer_room(out), reply, len));
    }
    BUFFER_PUT(out, "\n");
    console->has_prompt = false;
    return write_all(console, buffer_head(out), out->len);
}

/* ---- beside the conversation */

/* What is waited for while a line is. */
enum { WAIT_INPUT, WAIT_MORE, WAIT_SIGUSR1, WAIT_SERVER, WAITS };

/* The prompt is left standing on a screen that shows both; the line on stderr is then one of its own.
 * True: so it was. */
static bool leave_prompt(const struct session *session)
{
    if (!session->console->has_prompt || !session->console->is_terminal || !isatty(STDERR_FILENO)) {
        return false;
    }
    session->console->has_prompt = false;
    if (write(STDERR_FILENO, "\n", 1) < 0) {
        /* Only looks are lost. */
    }
    return true;
}

/* Ends a wait, or a message: lost says what became of that. */
static enum exit_code cut(const struct session *session, const struct tlsmsg_error *err,
                          const char *lost)
{
    (void)leave_prompt(session);
    startup_warn(session->program, "%s%s", err->text, lost);
    return exit_code_for(err->code, EXIT_WHILE_TALKING);
}

static enum exit_code stdout_gone(const struct session *session)
{
    startup_warn(session->program, "cannot write to stdout: %s", strerror(session->console->cause));
    return EXIT_OTHER;
}

/* Answers SIGUSR1; asking: a line is waited for, so the prompt comes back. */
static void answer_sigusr1(const struct session *session, bool asking)
{
    bool left;

    if (signals_next(session->sigusr1_fd) == 0) {
        return;
    }
    if (asking && session->editor != NULL) {
        editor_step_aside(session->editor);
    }
    left = leave_prompt(session);
    report_connection(session->program, session->client);
    if (asking && left) {
        (void)console_prompt(session->console); /* should it fail, the next write says so */
    }
}

/* ---- a message and its reply */

/* One wait of the client's non-blocking form. */
static void wait_for_server(const struct session *session)
{
    struct pollfd entries[2] = {
        {.fd = tlsmsg_client_fd(session->client), .events = tlsmsg_client_events(session->client)},
        {.fd = session->sigusr1_fd, .events = POLLIN}};

    /* Interrupted or not: the call that follows looks again. */
    if (poll(entries, 2, tlsmsg_client_timeout_ms(session->client)) > 0 &&
        entries[1].revents != 0) {
        answer_sigusr1(session, false);
    }
}

static enum tlsmsg_client_result send_message(const struct session *session, const char *message,
                                              size_t len, struct tlsmsg_error *err)
{
    enum tlsmsg_client_result result;

    while ((result = tlsmsg_client_send(session->client, message, len, err)) ==
           TLSMSG_CLIENT_AGAIN) {
        wait_for_server(session);
    }
    return result;
}

static enum tlsmsg_client_result receive_reply(const struct session *session, const char **reply,
                                               size_t *len, struct tlsmsg_error *err)
{
    enum tlsmsg_client_result result;

    while ((result = tlsmsg_client_receive(session->client, reply, len, err)) ==
           TLSMSG_CLIENT_AGAIN) {
        wait_for_server(session);
    }
    return result;
}

/* A reply means that the message was taken; its sender wants to know when there is none. */
static const char *fate_of_message(enum tlsmsg_code code)
{
    switch (code) {
    case TLSMSG_ERR_CLOSED:
    case TLSMSG_ERR_TRUNCATED:
    case TLSMSG_ERR_RESET:
    case TLSMSG_ERR_PROTOCOL:
        return "; the last message has no reply";
    default:
        return ""; /* the text says it, or the message was refused whole */
    }
}

/* Sends a message and prints its reply. */
static enum exit_code exchange(const struct session *session, const char *message, size_t len)
{
    struct tlsmsg_error err = {.code = TLSMSG_OK};
    const char *reply;
    size_t reply_len;

    if (send_message(session, message, len, &err) != TLSMSG_CLIENT_OK ||
        receive_reply(session, &reply, &reply_len, &err) != TLSMSG_CLIENT_OK) {
        return cut(session, &err, fate_of_message(err.code));
    }
    return console_reply(session->console, reply, reply_len) ? EXIT_DONE : stdout_gone(session);
}

enum exit_code session_send(struct session *session, const char *const *messages, size_t count)
{
    enum exit_code code = EXIT_DONE;
    size_t i;

    for (i = 0; i < count && code == EXIT_DONE; i++) {
        code = exchange(session, messages[i], strlen(messages[i]));
    }
    return code;
}

/* 'exit', whose reply is not waited for. */
static enum exit_code say_exit(const struct session *session, const char *line, size_t len)
{
    struct tlsmsg_error err = {.code = TLSMSG_OK};

    return send_message(session, line, len, &err) == TLSMSG_CLIENT_OK ? EXIT_DONE
                                                                      : cut(session, &err, "");
}

/* ---- lines */

/* Waits until one of the first two entries is readable, which the caller has filled in, or the
 * server leaves. What is here of the input goes first; then the client is asked, since it can have
 * read the server's end together with the last reply, of which no poll would tell.
 * False: the server has left, err says how. */
static bool wait_for_line(const struct session *session, struct pollfd entries[WAITS],
                          struct tlsmsg_error *err)
{
    if (poll(entries, WAIT_SIGUSR1, 0) > 0) {
        return true;
    }
    if (tlsmsg_client_watch(session->client, err) != TLSMSG_CLIENT_OK) {
        return false;
    }
    entries[WAIT_SIGUSR1] = (struct pollfd){.fd = session->sigusr1_fd, .events = POLLIN};
    entries[WAIT_SERVER] = (struct pollfd){.fd = tlsmsg_client_fd(session->client),
                                           .events = tlsmsg_client_events(session->client)};
    if (entries[WAIT_SERVER].events == 0) {
        entries[WAIT_SERVER].fd = -1;
    }
    if (poll(entries, WAITS, -1) < 0) {
        entries[WAIT_INPUT].revents = 0; /* interrupted: the caller looks again */
    } else if (entries[WAIT_SIGUSR1].revents != 0) {
        answer_sigusr1(session, true);
    }
    return true;
}

/* For the editor. */
static bool wait_for_key(int signal_fd, void *user)
{
    struct session *session = user;
    struct pollfd entries[WAITS] = {
        [WAIT_INPUT] = {.fd = STDIN_FILENO, .events = POLLIN},
        [WAIT_MORE] = {.fd = signal_fd, .events = POLLIN},
    };

    return wait_for_line(session, entries, &session->left);
}

static enum exit_code read_line(const struct session *session, struct input *input,
                                enum input_result *result, const char **line, size_t *len)
{
    struct tlsmsg_error err = {.code = TLSMSG_OK};

    if (!console_prompt(session->console)) {
        return stdout_gone(session);
    }
    while ((*result = input_next(input, line, len)) == INPUT_MORE) {
        struct pollfd entries[WAITS] = {
            [WAIT_INPUT] = {.fd = input->fd, .events = POLLIN},
            [WAIT_MORE] = {.fd = -1},
        };

        if (!wait_for_line(session, entries, &err)) {
            return cut(session, &err, "");
        }
        if (entries[WAIT_INPUT].revents != 0) {
            input_read(input);
        }
    }
    /* Whoever types has ended the prompt's line with his own. */
    session->console->has_prompt &= input->ended || isatty(input->fd) != 1;
    return EXIT_DONE;
}

static enum exit_code edit_line(const struct session *session, enum input_result *result,
                                const char **line, size_t *len)
{
    *result = editor_next(session->editor, line, len);
    return *result == INPUT_MORE ? cut(session, &session->left, "") : EXIT_DONE;
}

/* Asks for the next line; *result is INPUT_LINE, INPUT_TOO_LONG or INPUT_END on EXIT_DONE. */
static enum exit_code ask(const struct session *session, struct input *input,
                          enum input_result *result, const char **line, size_t *len)
{
    enum exit_code code = session->editor != NULL ? edit_line(session, result, line, len)
                                                  : read_line(session, input, result, line, len);

    if (code == EXIT_DONE && *result == INPUT_FAILED) {
        startup_warn(session->program, "cannot read stdin: %s", strerror(input->cause));
        code = EXIT_OTHER;
    }
    return code;
}

static void refuse(struct session *session, const struct input *input, const char *why)
{
    (void)leave_prompt(session);
    startup_warn(session->program, "line %llu of stdin was not sent: %s",
                 (unsigned long long)input->number, why);
    session->refused = true;
}

static enum exit_code talk(struct session *session, struct input *input)
{
    enum input_result result = INPUT_END;
    enum exit_code code = EXIT_DONE;
    const char *line = NULL;
    char limit[64];
    size_t len = 0;

    while (code == EXIT_DONE) {
        code = ask(session, input, &result, &line, &len);
        if (code != EXIT_DONE || result == INPUT_END) {
            break;
        }
        if (result == INPUT_TOO_LONG) {
            (void)snprintf(limit, sizeof(limit), "it is longer than %zu bytes", input->line_max);
            refuse(session, input, limit);
        } else if (!utf8_is_valid(line, len)) {
            refuse(session, input, "it is not valid UTF-8");
        } else if (len == strlen("exit") && memcmp(line, "exit", len) == 0) {
            code = say_exit(session, line, len);
            break;
        } else if (len > 0) {
            code = exchange(session, line, len);
        }
    }
    return code == EXIT_DONE && session->refused ? EXIT_OTHER : code;
}

enum exit_code session_talk(struct session *session, struct input *input)
{
    const struct console *console = session->console;
    enum exit_code code;

    session->editor = editor_new(console->quiet ? "" : console->phrases->prompt.text, input,
                                 wait_for_key, session);
    code = talk(session, input);
    editor_free(session->editor);
    session->editor = NULL;
    return code;
}
