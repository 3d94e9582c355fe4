/* See stream.h. A line that is not a message, and the prompt for it, waits behind the messages before
 * it, so that the order of what is printed tells nothing of the window. Main thread. */
#include "app/client/stream.h"

#include <inttypes.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "app/terminal.h"
#include "base/clock.h"
#include "base/utf8.h"

#define PROGRESS_MS 250 /* between two looks of the progress line */
#define PROGRESS_AFTER_NS CLOCK_NS_PER_S

struct stream {
    struct session *session;
    struct delivery *delivery;
    const struct session_message *messages; /* NULL: the input's lines */
    size_t count;
    size_t taken;   /* of the messages */
    uint64_t seq;   /* messages so far */
    uint64_t known; /* that the server had */
    bool ended;     /* nothing more comes */
    bool stopped;   /* a message can't be sent, and none may be left out */
    bool waits;     /* for more of the input */
    bool shows;     /* a progress line */
    bool has_line;  /* it stands on the screen */
    int64_t began_ns;
    int64_t shown_ns;
};

/* ---- progress */

static void wipe_progress(struct stream *s)
{
    if (s->has_line) {
        (void)fputs("\r\033[K", stderr);
        s->has_line = false;
    }
}

static void show_progress(struct stream *s)
{
    const struct tally *tally = &s->session->tally;
    int64_t now_ns = clock_now_ns();
    double seconds = (double)(now_ns - s->began_ns) / CLOCK_NS_PER_S;

    if (!s->shows || now_ns - s->began_ns < PROGRESS_AFTER_NS ||
        now_ns - s->shown_ns < PROGRESS_MS * CLOCK_NS_PER_MS) {
        return;
    }
    s->shown_ns = now_ns;
    s->has_line = true;
    (void)fprintf(stderr, "\r%" PRIu64 " messages, %.0f a second, %" PRIu64 " unanswered\033[K",
                  tally->answered, (double)tally->answered / seconds,
                  tally->sent - tally->answered);
}

/* ---- what is sent */

/* Something that is not sent, behind the messages before it. */
static enum exit_code pass(struct stream *s, uint64_t number, int64_t next_at, bool refused)
{
    struct session *session = s->session;
    struct delivery_message *tail = delivery_tail(s->delivery);
    bool waits = tail != NULL && tail->sent_ns == 0;

    session->tally.refused += refused;
    if (waits) {
        tail->next_number = number + 1;
        tail->next_at = next_at;
    } else {
        tally_passed(&session->tally, number, false);
        session->resume_at = next_at;
    }
    if (session->input == NULL) {
        return EXIT_DONE;
    }
    if (tail != NULL) {
        tail->prompts++;
        return EXIT_DONE;
    }
    return console_prompt(session->console) ? EXIT_DONE : session_fail(session, EXIT_OTHER);
}

static enum exit_code refuse(struct stream *s, uint64_t number, int64_t next_at, const char *why)
{
    const struct session *session = s->session;

    wipe_progress(s);
    session_leave_prompt(session);
    if (session->input != NULL) {
        startup_warn(session->program, "line %" PRIu64 " of stdin was not sent: %s", number, why);
    } else {
        startup_warn(session->program, "message %" PRIu64 " was not sent: %s", number, why);
    }
    return pass(s, number, next_at, true);
}

/* A message over the server's max. With a producer the numbers of all that follow hang on it. */
static enum exit_code refuse_long(struct stream *s, uint64_t number, int64_t next_at)
{
    char why[96];

    (void)snprintf(why, sizeof(why),
                   "it is longer than the %" PRIu64 " bytes that the server takes",
                   s->delivery->max);
    s->stopped = s->ended = s->session->is_whole;
    return refuse(s, number, next_at, why);
}

/* Adds a message, or counts it as one that the server has. */
static enum exit_code add(struct stream *s, struct delivery_message *message, const char *data,
                          size_t len)
{
    struct tally *tally = &s->session->tally;

    message->seq = ++s->seq;
    message->next_number = message->number + 1;
    if (message->seq < s->known) {
        session_sent(message, s->session);
        tally_answered(tally, 0);
        return EXIT_DONE;
    }
    if (message->seq == s->known) {
        message->is_silent = true;
        message->prompts = 0;
    }
    if (delivery_add(s->delivery, message, data, len) == NULL) {
        startup_warn(s->session->program, "out of memory");
        return EXIT_OTHER;
    }
    return EXIT_DONE;
}

static enum exit_code take_given(struct stream *s)
{
    const struct session_message *given = &s->messages[s->taken++];
    struct delivery_message message = {.number = s->taken};

    s->ended = s->taken == s->count;
    return given->len > s->delivery->max ? refuse_long(s, message.number, 0)
                                         : add(s, &message, given->data, given->len);
}

static enum exit_code take_line(struct stream *s, const char *line, size_t len)
{
    struct session *session = s->session;
    const struct input *input = session->input;
    struct delivery_message message = {.number = input->number,
                                       .line_at = input->line_at,
                                       .next_at = input->next_at,
                                       .prompts = 1};

    if (!utf8_is_valid(line, len)) {
        return refuse(s, input->number, input->next_at, "it is not valid UTF-8");
    }
    if (len == 0) {
        return pass(s, input->number, input->next_at, false);
    }
    if (!session->exit_is_message && len == strlen("exit") && memcmp(line, "exit", len) == 0) {
        s->ended = session->exited = true;
        message.is_silent = message.is_exit = true;
        message.prompts = 0;
    }
    return add(s, &message, line, len);
}

static enum exit_code take_input(struct stream *s)
{
    struct input *input = s->session->input;
    const char *line = NULL;
    size_t len = 0;

    switch (input_next(input, &line, &len)) {
    case INPUT_LINE:
        return take_line(s, line, len);
    case INPUT_TOO_LONG:
        return refuse_long(s, input->number, input->next_at);
    case INPUT_MORE:
        s->waits = true;
        return EXIT_DONE;
    case INPUT_END:
        s->ended = true;
        return EXIT_DONE;
    case INPUT_FAILED:
        break;
    }
    wipe_progress(s);
    startup_warn(s->session->program, "cannot read stdin: %s", strerror(input->cause));
    return EXIT_OTHER;
}

static enum exit_code fill(struct stream *s)
{
    enum exit_code code = EXIT_DONE;

    s->waits = false;
    while (code == EXIT_DONE && !s->ended && !s->waits && delivery_has_room(s->delivery)) {
        code = s->messages != NULL ? take_given(s) : take_input(s);
    }
    return code;
}

/* ---- the loop */

static void wait_for_something(struct stream *s)
{
    struct session *session = s->session;
    struct pollfd entries[3] = {
        [1] = {.fd = session->sigusr1_fd, .events = POLLIN},
        [2] = {.fd = s->waits ? session->input->fd : -1, .events = POLLIN},
    };
    int timeout_ms = delivery_poll(s->delivery, &entries[0]);

    if (s->shows && (timeout_ms < 0 || timeout_ms > PROGRESS_MS)) {
        timeout_ms = PROGRESS_MS;
    }
    if (poll(entries, 3, timeout_ms) <= 0) {
        return;
    }
    if (entries[1].revents != 0) {
        wipe_progress(s);
        session_answer_sigusr1(session);
    }
    if (entries[2].revents != 0) {
        input_read(session->input);
    }
}

static enum exit_code go_on(struct stream *s)
{
    enum exit_code code;

    for (;;) {
        code = fill(s);
        if (code != EXIT_DONE) {
            return code;
        }
        if (s->ended && delivery_head(s->delivery) == NULL) {
            return EXIT_DONE;
        }
        code = delivery_step(s->delivery);
        if (code != EXIT_DONE) {
            wipe_progress(s);
            return session_fail(s->session, code);
        }
        show_progress(s);
        if (s->ended ? delivery_head(s->delivery) != NULL
                     : s->waits || !delivery_has_room(s->delivery)) {
            wait_for_something(s);
        }
    }
}

/* An input that has less than the server is another one, or was cut. */
static enum exit_code judge_end(struct stream *s)
{
    struct session *session = s->session;

    session->completed = !s->stopped;
    if (s->seq < s->known && !s->stopped) {
        startup_warn(session->program,
                     "the input ends with message %" PRIu64 ", and the server has %" PRIu64
                     " of this producer (is it another input?)",
                     s->seq, s->known);
        return EXIT_OTHER;
    }
    return session->tally.refused > 0 ? EXIT_OTHER : EXIT_DONE;
}

enum exit_code stream_run(struct session *session, const struct session_message *messages,
                          size_t count)
{
    struct stream s = {.session = session,
                       .delivery = session->delivery,
                       .messages = count > 0 ? messages : NULL,
                       .count = count,
                       .known = delivery_known(session->delivery),
                       .shows = terminal_takes_style(STDERR_FILENO) && isatty(STDOUT_FILENO) != 1,
                       .began_ns = clock_now_ns()};
    enum exit_code code = EXIT_DONE;

    tally_init(&session->tally, count > 0 ? "message" : "line");
    session->given = count;
    if (count == 0 && !console_prompt(session->console)) {
        tlsmsg_error_clear(&s.delivery->err);
        code = session_fail(session, EXIT_OTHER);
    }
    if (code == EXIT_DONE) {
        code = go_on(&s);
    }
    wipe_progress(&s);
    if (code == EXIT_DONE) {
        code = judge_end(&s);
    }
    if (count == 0) {
        console_end(session->console);
    }
    return code;
}
