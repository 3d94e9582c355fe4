/* Session: the document's loop of the client, and the loop over given messages.
 *
 * One message is unanswered at a time. While a line is waited for the server is watched too, so
 * that its leaving is told at once; a line that is here goes first. Main thread. */
#include "app/session.h"

#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "app/complain.h"
#include "base/utf8.h"

/* The prompt is left standing on a screen that shows both; the complaint gets a line of its own. */
static void leave_prompt(const struct session *session)
{
    if (session->console->has_prompt && session->console->is_terminal && isatty(STDERR_FILENO) &&
        write(STDERR_FILENO, "\n", 1) < 0) {
        /* Only looks are lost. */
    }
}

static enum exit_code cut(const struct session *session, const struct tlsmsg_error *err)
{
    leave_prompt(session);
    complain(session->program, "%s", err->text);
    return exit_code_for(err->code, EXIT_WHILE_TALKING);
}

static enum exit_code stdout_gone(const struct session *session)
{
    complain(session->program, "cannot write to stdout: %s", strerror(session->console->cause));
    return EXIT_OTHER;
}

static enum exit_code send_one(const struct session *session, const char *message, size_t len)
{
    struct tlsmsg_error err = {.code = TLSMSG_OK};

    if (tlsmsg_client_send(session->client, message, len, &err) != TLSMSG_CLIENT_OK) {
        return cut(session, &err);
    }
    return EXIT_DONE;
}

/* Sends a message and prints its reply. */
static enum exit_code exchange(const struct session *session, const char *message, size_t len)
{
    struct tlsmsg_error err = {.code = TLSMSG_OK};
    const char *reply;
    size_t reply_len;
    enum exit_code code = send_one(session, message, len);

    if (code != EXIT_DONE) {
        return code;
    }
    if (tlsmsg_client_receive(session->client, &reply, &reply_len, &err) != TLSMSG_CLIENT_OK) {
        return cut(session, &err);
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

/* Waits until the input has more, or the server leaves. What is here of the input goes first; then
 * the client is asked, since it can have read the server's end together with the last reply, of
 * which no poll would tell. */
static enum exit_code wait_for_input(const struct session *session, struct input *input)
{
    struct tlsmsg_error err = {.code = TLSMSG_OK};
    struct pollfd entries[2] = {{.fd = input->fd, .events = POLLIN}, {.fd = -1}};

    if (poll(entries, 1, 0) != 1) {
        if (tlsmsg_client_watch(session->client, &err) != TLSMSG_CLIENT_OK) {
            return cut(session, &err);
        }
        entries[1].events = tlsmsg_client_events(session->client);
        entries[1].fd = entries[1].events != 0 ? tlsmsg_client_fd(session->client) : -1;
        entries[0].revents = 0;
        (void)poll(entries, 2, -1); /* interrupted or not: the caller looks again */
    }
    if (entries[0].revents != 0) {
        input_read(input);
    }
    return EXIT_DONE;
}

static void refuse(struct session *session, const struct input *input, const char *why)
{
    leave_prompt(session);
    complain(session->program, "line %llu of stdin was not sent: %s",
             (unsigned long long)input->number, why);
    session->refused = true;
}

/* Asks for the next line; *result is INPUT_LINE, INPUT_TOO_LONG or INPUT_END on EXIT_DONE. */
static enum exit_code ask(const struct session *session, struct input *input,
                          enum input_result *result, const char **line, size_t *len)
{
    enum exit_code code = EXIT_DONE;

    if (!console_prompt(session->console)) {
        return stdout_gone(session);
    }
    while (code == EXIT_DONE && (*result = input_next(input, line, len)) == INPUT_MORE) {
        code = wait_for_input(session, input);
    }
    if (code == EXIT_DONE && *result == INPUT_FAILED) {
        complain(session->program, "cannot read stdin: %s", strerror(input->cause));
        code = EXIT_OTHER;
    }
    return code;
}

enum exit_code session_talk(struct session *session, struct input *input)
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
            code = send_one(session, line, len);
            break;
        } else if (len > 0) {
            code = exchange(session, line, len);
        }
    }
    return code == EXIT_DONE && session->refused ? EXIT_OTHER : code;
}
