/* Session: the document's loop of the client, and the loop over given messages.
 *
 * One message is unanswered at a time. While a line is waited for the server is watched too, so
 * that its leaving is told at once; a line that is here goes first. In every wait SIGUSR1 is
 * answered. What was sent, answered and left is kept by number, so that the end can say it. Main
 * thread. */
#include "app/client/session.h"

#include <errno.h>
#include <inttypes.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "app/client/keeping.h"
#include "app/client/report.h"
#include "app/client/rest.h"
#include "app/signals.h"
#include "app/terminal.h"
#include "base/build.h"
#include "base/clock.h"
#include "base/utf8.h"

/* ---- beside the conversation */

/* What is waited for while a line is. */
enum { WAIT_INPUT, WAIT_MORE, WAIT_SIGUSR1, WAIT_SIGCONT, WAIT_SERVER, WAITS };

/* What can be done about it, where the cause alone doesn't say. */
static const char *hint_for(const struct session *session, enum tlsmsg_code code)
{
    bool is_gone = code == TLSMSG_ERR_CLOSED || code == TLSMSG_ERR_RESET;

    if (!BUILD_HAS_TLS && is_gone && session->tally.sent > 0 && session->tally.answered == 0) {
        return "; perhaps it speaks TLS, and this is the plaintext build";
    }
    return code == TLSMSG_ERR_CLOSED ? "; try: connect again" : "";
}

/* Names the message without a reply, where others could be meant, and where a writer that is still
 * there would go on. What is known to be left has a line of its own, see session_end. */
static void print_place(const struct session *session, char *buf, size_t cap)
{
    const struct tally *tally = &session->tally;
    bool is_open = tally->sent > tally->answered;
    uint64_t count;

    buf[0] = '\0';
    if (session->spooling != NULL) {
        return; /* nothing is lost: keeping_end says what waits */
    }
    if (is_open && (session->input != NULL || session->given > 1)) {
        (void)snprintf(buf, cap, " (%s %" PRIu64 ")", tally->unit, tally->open_first);
    }
    if (tally->next > 1 && rest_of(session, &count) == INPUT_REST_UNKNOWN) {
        size_t len = strlen(buf);

        (void)snprintf(buf + len, cap - len, "; not sent from line %" PRIu64, tally->next);
    }
}

/* Ends a wait, or a message: lost says what became of that. */
static enum exit_code cut(const struct session *session, const struct tlsmsg_error *err,
                          const char *lost)
{
    char place[TALLY_TEXT_MAX] = "";

    (void)console_leave_prompt(session->console);
    if (err->code == TLSMSG_ERR_KEY_CHANGED && isatty(STDERR_FILENO) == 1) {
        (void)fputs(session->console->style.phrases->key_changed, stderr);
    }
    if (err->code != TLSMSG_ERR_REFUSED) {
        print_place(session, place, sizeof(place));
    }
    startup_warn(session->program, "%s%s%s%s", err->text, lost, place,
                 hint_for(session, err->code));
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
    left = console_leave_prompt(session->console);
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

/* Begins with a message. From here on it counts as sent: what a failed write has left on the way
 * nobody knows. Not so where the server had left before. */
static enum exit_code begin_message(struct session *session, uint64_t number)
{
    struct tlsmsg_error err = {.code = TLSMSG_OK};

    if (tlsmsg_client_watch(session->client, &err) != TLSMSG_CLIENT_OK) {
        return cut(session, &err, session->given == 1 ? "; the message was not sent" : "");
    }
    tally_sent(&session->tally, number);
    session->resume_at = session->input != NULL ? session->input->next_at : 0;
    return EXIT_DONE;
}

/* ---- tlsmsg/1 */

enum exit_code session_fail(struct session *session, enum exit_code code)
{
    if (session->delivery->err.code == TLSMSG_OK) {
        return stdout_gone(session);
    }
    (void)cut(session, &session->delivery->err, "");
    session->cause = code;
    return session->spooling != NULL && session->delivery->is_passing ? EXIT_KEPT : code;
}

void session_answer_sigusr1(const struct session *session)
{
    answer_sigusr1(session, false);
}

void session_sent(const struct delivery_message *message, void *user)
{
    struct session *session = user;

    if (message->spooled != 0) {
        return; /* counted when it was kept */
    }
    if (message->is_exit) {
        tally_passed(&session->tally, message->number, false);
    } else {
        tally_sent(&session->tally, message->number);
    }
    session->tally.next = message->next_number;
    session->resume_at = message->next_at;
}

bool session_answered(const struct delivery_message *message, const char *reply, size_t len,
                      void *user)
{
    struct session *session = user;
    struct console *console = session->console;
    const struct delivery_message *second = delivery_second(session->delivery);
    struct console_reply shown = {.text = reply,
                                  .len = len,
                                  .seq = message->seq,
                                  .message_bytes = message->len,
                                  .took_ns = clock_now_ns() - message->sent_ns};
    bool good;

    if (message->spooled != 0) {
        return keeping_answered(session, message, &shown);
    }
    good = message->is_silent || console_reply(console, &shown);
    if (!message->is_exit) {
        tally_answered(&session->tally, second != NULL ? second->number : 0);
    }
    for (unsigned i = 0; i < message->prompts && good; i++) {
        good = console_prompt(console);
    }
    return good;
}

/* Puts a message on its way. */
static enum exit_code add(struct session *session, const struct delivery_message *message,
                          const char *text, size_t len)
{
    if (session->spooling != NULL) {
        return keeping_line(session, text, len, message->is_exit);
    }
    if (delivery_add(session->delivery, message, text, len) == NULL) {
        startup_warn(session->program, "out of memory");
        return EXIT_OTHER;
    }
    return EXIT_DONE;
}

/* One step of the delivery, with what it needs of the spool. */
static enum exit_code step(struct session *session)
{
    enum exit_code code = EXIT_DONE;

    if (session->spooling != NULL) {
        code = keeping_load(session);
    }
    if (code == EXIT_DONE) {
        code = delivery_step(session->delivery);
        if (code != EXIT_DONE) {
            return session_fail(session, code);
        }
    }
    return code;
}

/* Delivers one message, and waits for its reply however often the connection is lost. */
static enum exit_code deliver(struct session *session, const char *text, size_t len, bool is_exit)
{
    struct delivery *d = session->delivery;
    struct input *input = session->input;
    const struct delivery_message message = {.seq = session->tally.sent + 1,
                                             .number = input->number,
                                             .next_number = input->number + 1,
                                             .line_at = input->line_at,
                                             .next_at = input->next_at,
                                             .is_silent = is_exit,
                                             .is_exit = is_exit};
    struct pollfd entries[2] = {[1] = {.fd = session->sigusr1_fd, .events = POLLIN}};
    enum exit_code code = add(session, &message, text, len);

    while (code == EXIT_DONE) {
        int timeout_ms;

        code = step(session);
        if (code != EXIT_DONE) {
            return code;
        }
        if (delivery_head(d) == NULL) {
            code = session->spooling != NULL ? keeping_settle(session, true) : EXIT_DONE;
            return code == EXIT_DONE && keeping_is_held_up(session) ? EXIT_OTHER : code;
        }
        timeout_ms = delivery_poll(d, &entries[0]);
        if (poll(entries, 2, timeout_ms) > 0 && entries[1].revents != 0) {
            answer_sigusr1(session, false);
        }
    }
    return code;
}

/* ---- a message and its reply */

/* Sends a message and prints its reply. */
static enum exit_code exchange(struct session *session, uint64_t number, const char *message,
                               size_t len)
{
    struct console_reply reply = {.seq = session->tally.sent + 1, .message_bytes = len};
    struct tlsmsg_error err = {.code = TLSMSG_OK};
    int64_t sent_ns = clock_now_ns();
    enum exit_code code;

    if (session->delivery != NULL) {
        return deliver(session, message, len, false);
    }
    code = begin_message(session, number);
    if (code != EXIT_DONE) {
        return code;
    }
    if (send_message(session, message, len, &err) != TLSMSG_CLIENT_OK ||
        receive_reply(session, &reply.text, &reply.len, &err) != TLSMSG_CLIENT_OK) {
        return cut(session, &err, fate_of_message(err.code));
    }
    tally_answered(&session->tally, 0);
    reply.took_ns = clock_now_ns() - sent_ns;
    return console_reply(session->console, &reply) ? EXIT_DONE : stdout_gone(session);
}

enum exit_code session_send(struct session *session, const struct session_message *messages,
                            size_t count)
{
    enum exit_code code = EXIT_DONE;
    size_t i;

    tally_init(&session->tally, "message");
    session->given = count;
    for (i = 0; i < count && code == EXIT_DONE; i++) {
        code = exchange(session, i + 1, messages[i].data, messages[i].len);
    }
    return code;
}

/* ---- lines */

/* A line that is not sent, or sent without an answer to wait for. */
static void pass_line(struct session *session, bool refused)
{
    tally_passed(&session->tally, session->input->number, refused);
    session->resume_at = session->input->next_at;
}

/* 'exit', whose reply is not waited for. */
static enum exit_code say_exit(struct session *session, const char *line, size_t len)
{
    struct tlsmsg_error err = {.code = TLSMSG_OK};

    if (session->delivery != NULL) {
        enum exit_code code = deliver(session, line, len, true);

        if (code != EXIT_DONE) {
            return code;
        }
    } else if (send_message(session, line, len, &err) != TLSMSG_CLIENT_OK) {
        return cut(session, &err, "");
    }
    session->completed = session->exited = true;
    pass_line(session, false);
    return EXIT_DONE;
}

/* After a stop the shell has had the screen, and the kernel has dropped what was half typed. */
static void redraw_prompt(const struct session *session)
{
    if (signals_next(session->sigcont_fd) != 0 && session->console->has_prompt &&
        terminal_is_foreground()) {
        (void)console_prompt(session->console);
    }
}

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
    if (session->delivery != NULL) {
        if (delivery_step(session->delivery) != EXIT_DONE) {
            *err = session->delivery->err;
            return false;
        }
        (void)delivery_poll(session->delivery, &entries[WAIT_SERVER]);
    } else if (tlsmsg_client_watch(session->client, err) != TLSMSG_CLIENT_OK) {
        return false;
    } else {
        entries[WAIT_SERVER] = (struct pollfd){.fd = tlsmsg_client_fd(session->client),
                                               .events = tlsmsg_client_events(session->client)};
    }
    entries[WAIT_SIGUSR1] = (struct pollfd){.fd = session->sigusr1_fd, .events = POLLIN};
    entries[WAIT_SIGCONT] = (struct pollfd){.fd = session->sigcont_fd, .events = POLLIN};
    if (entries[WAIT_SERVER].events == 0) {
        entries[WAIT_SERVER].fd = -1;
    }
    if (poll(entries, WAITS, -1) < 0) {
        entries[WAIT_INPUT].revents = 0; /* interrupted: the caller looks again */
        return true;
    }
    if (entries[WAIT_SIGUSR1].revents != 0) {
        answer_sigusr1(session, true);
    }
    if (entries[WAIT_SIGCONT].revents != 0) {
        redraw_prompt(session);
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

static enum exit_code read_line(const struct session *session, enum input_result *result,
                                const char **line, size_t *len)
{
    struct tlsmsg_error err = {.code = TLSMSG_OK};
    struct input *input = session->input;

    (void)signals_next(session->sigcont_fd); /* of before: this prompt is drawn anyway */
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
    session->console->has_prompt &= input->ended || !input->is_terminal;
    return EXIT_DONE;
}

static enum exit_code edit_line(struct session *session, enum input_result *result,
                                const char **line, size_t *len)
{
    *result = editor_next(session->editor, line, len);
    if (*result == INPUT_MORE) {
        session->discarded = editor_has_rest(session->editor);
        return cut(session, &session->left, "");
    }
    return EXIT_DONE;
}

/* Asks for the next line; *result is INPUT_LINE, INPUT_TOO_LONG or INPUT_END on EXIT_DONE. */
static enum exit_code ask(struct session *session, enum input_result *result, const char **line,
                          size_t *len)
{
    enum exit_code code = session->editor != NULL ? edit_line(session, result, line, len)
                                                  : read_line(session, result, line, len);

    if (code == EXIT_DONE && *result == INPUT_FAILED) {
        startup_warn(session->program, "cannot read stdin: %s", strerror(session->input->cause));
        code = EXIT_OTHER;
    }
    return code;
}

static void refuse(struct session *session, const char *why)
{
    (void)console_leave_prompt(session->console);
    startup_warn(session->program, "line %" PRIu64 " of stdin was not sent: %s",
                 session->input->number, why);
    pass_line(session, true);
}

static bool is_exit(const struct session *session, const char *line, size_t len)
{
    return !session->exit_is_message && len == strlen("exit") && memcmp(line, "exit", len) == 0;
}

/* Bytes of the longest line that is sent. A spool's input may be longer, the server's max is not. */
static size_t longest(const struct session *session)
{
    return session->spooling != NULL ? (size_t)session->delivery->max : session->input->line_max;
}

/* Deals with a line that has come. */
static enum exit_code take_line(struct session *session, enum input_result result, const char *line,
                                size_t len)
{
    const struct input *input = session->input;
    size_t most = longest(session);
    char limit[64];

    if (result == INPUT_TOO_LONG || len > most) {
        (void)snprintf(limit, sizeof(limit), "it is longer than %zu bytes", most);
        refuse(session, limit);
    } else if (session->editor == NULL && input_may_be_cut(input, len)) {
        refuse(session, "the terminal may have cut it at 4095 bytes; try: a file, a pipe or -m");
    } else if (!utf8_is_valid(line, len)) {
        refuse(session, "it is not valid UTF-8");
    } else if (is_exit(session, line, len)) {
        return say_exit(session, line, len);
    } else if (len > 0) {
        return exchange(session, input->number, line, len);
    } else {
        pass_line(session, false);
    }
    return EXIT_DONE;
}

static enum exit_code talk(struct session *session)
{
    enum input_result result = INPUT_END;
    enum exit_code code = EXIT_DONE;
    const char *line = NULL;
    size_t len = 0;

    while (code == EXIT_DONE && !session->completed) {
        code = ask(session, &result, &line, &len);
        if (code == EXIT_DONE && result == INPUT_END) {
            session->completed = true;
        } else if (code == EXIT_DONE) {
            code = take_line(session, result, line, len);
        }
    }
    return code == EXIT_DONE && session->tally.refused > 0 ? EXIT_OTHER : code;
}

enum exit_code session_talk(struct session *session)
{
    enum exit_code code;

    tally_init(&session->tally, "line");
    session->tally.keeps = session->spooling != NULL;
    session->editor =
        editor_new(console_prompt_text(session->console), session->input, wait_for_key, session);
    session->sigcont_fd =
        session->editor == NULL && session->input->is_terminal ? signals_open_for_prompt() : -1;
    code = talk(session);
    /* The tutorial's client leaves it to whoever has typed. */
    if (session->input->is_terminal || BUILD_HAS_TLS) {
        console_end(session->console);
    }
    editor_free(session->editor);
    session->editor = NULL;
    if (session->sigcont_fd >= 0) {
        (void)close(session->sigcont_fd);
    }
    return code;
}
