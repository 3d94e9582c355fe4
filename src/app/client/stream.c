/* See stream.h. A line that is not a message, and the prompt for it, waits behind the messages before
 * it, so that the order of what is printed tells nothing of the window. Main thread. */
#include "app/client/stream.h"

#include <inttypes.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "app/client/keeping.h"
#include "app/terminal.h"
#include "base/clock.h"
#include "base/utf8.h"

#define PROGRESS_MS 250 /* between two looks of the progress line */
#define PROGRESS_AFTER_NS CLOCK_NS_PER_S
#define AT_HAND_NS CLOCK_NS_PER_S /* for which what is at hand is kept before a first connection */

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
    /* with a spool */
    const char *held; /* a message that only the server can judge, which hasn't been reached yet */
    size_t held_len;
    uint64_t next_number; /* of the input, behind what was gathered */
    int64_t next_at;
    bool is_full;           /* what is gathered has no room */
    bool has_given_up;      /* nothing is sent any more, the rest is kept */
    enum exit_code outcome; /* of that */
    /* the progress */
    bool shows;    /* a progress line */
    bool has_line; /* it stands on the screen */
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
    if (session->spooling != NULL) {
        s->next_number = number + 1;
        s->next_at = next_at;
        return session->input == NULL || spooling_add_prompt(session->spooling) ||
                       console_prompt(session->console)
                   ? EXIT_DONE
                   : session_fail(session, EXIT_OTHER);
    }
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
    const char *done = session->spooling != NULL ? "kept" : "sent";

    wipe_progress(s);
    (void)console_leave_prompt(session->console);
    if (session->input != NULL) {
        startup_warn(session->program, "line %" PRIu64 " of stdin was not %s: %s", number, done,
                     why);
    } else {
        startup_warn(session->program, "message %" PRIu64 " was not %s: %s", number, done, why);
    }
    return pass(s, number, next_at, true);
}

/* A message over the server's max. With a producer the numbers of all that follow hang on it. */
static enum exit_code refuse_long(struct stream *s, uint64_t number, int64_t next_at)
{
    char why[128];

    (void)snprintf(why, sizeof(why),
                   s->session->spooling != NULL && !s->delivery->greeted
                       ? "it is longer than %" PRIu64
                         " bytes, and the server, which may take more, "
                         "was not reached"
                       : "it is longer than the %" PRIu64 " bytes that the server takes",
                   s->delivery->max);
    s->stopped = s->session->is_whole;
    s->ended |= s->stopped;
    return refuse(s, number, next_at, why);
}

/* Gathers a message for the spool. */
static enum exit_code gather(struct stream *s, const struct delivery_message *message,
                             const char *data, size_t len)
{
    const struct spooling_print print = {.prompts = message->prompts,
                                         .is_silent = message->is_silent};

    if (!spooling_add(s->session->spooling, data, len, &print)) {
        startup_warn(s->session->program, "out of memory");
        return EXIT_OTHER;
    }
    s->next_number = message->number + 1;
    s->next_at = message->next_at;
    return EXIT_DONE;
}

/* Adds a message, or counts it as one that the server has. */
static enum exit_code add(struct stream *s, struct delivery_message *message, const char *data,
                          size_t len)
{
    struct tally *tally = &s->session->tally;

    if (s->session->spooling != NULL) {
        return gather(s, message, data, len);
    }
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

/* Whether a message has to wait until the server has said how long one may be. */
static bool hold(struct stream *s, const char *data, size_t len)
{
    bool waits = s->session->spooling != NULL && !s->delivery->greeted && !s->has_given_up &&
                 len > s->delivery->max;

    s->held = waits ? data : NULL;
    s->held_len = len;
    s->delivery->wanted |= waits;
    return waits;
}

static enum exit_code take_given(struct stream *s)
{
    const struct session_message *given = &s->messages[s->taken];
    struct delivery_message message = {.number = s->taken + 1};

    if (hold(s, given->data, given->len)) {
        return EXIT_DONE;
    }
    s->taken++;
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

    if (hold(s, line, len)) {
        return EXIT_DONE;
    }
    if (session->spooling != NULL && len > s->delivery->max) {
        return refuse_long(s, input->number, input->next_at);
    }
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
    const char *line = s->held;
    size_t len = s->held_len;

    switch (line != NULL ? INPUT_LINE : input_next(input, &line, &len)) {
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

/* Whether nothing comes behind what was taken. An end that is at hand is seen before the replies that
 * may be, too: the server may leave with the last one. */
static bool is_last(struct stream *s)
{
    struct input *input = s->session->input;

    if (s->waits && input_read_ready(input)) {
        s->waits = false;
        s->ended = input->ended && input->unread.len == 0;
    }
    return s->ended;
}

static void wait_for_something(struct stream *s)
{
    struct session *session = s->session;
    struct pollfd entries[3] = {
        [1] = {.fd = session->sigusr1_fd, .events = POLLIN},
        [2] = {.fd = s->waits ? session->input->fd : -1, .events = POLLIN},
    };
    int timeout_ms = -1;

    entries[0].fd = -1;
    if (!s->has_given_up) {
        timeout_ms = delivery_poll(s->delivery, &entries[0]);
    }

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
        s->delivery->is_last = is_last(s);
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

/* ---- the loop with a spool */

/* Whether more of the input is taken now. What is held is looked at again once it can be judged. */
static bool takes(const struct stream *s)
{
    const struct session *session = s->session;
    bool can_judge = s->held == NULL || s->delivery->greeted || s->has_given_up;

    return !s->ended && !s->waits && can_judge && !s->is_full &&
           (s->messages != NULL || !(spooling_is_gathered(session->spooling) ||
                                     (!s->has_given_up && keeping_is_behind(session))));
}

/* Gathers what is at hand, and keeps it. */
static enum exit_code keep(struct stream *s)
{
    enum exit_code code = EXIT_DONE;
    enum exit_code kept;

    s->waits = false;
    while (code == EXIT_DONE && takes(s)) {
        code = s->messages != NULL ? take_given(s) : take_input(s);
    }
    /* Also where the input can't be read on. */
    kept = keeping_keep(s->session, s->next_number, s->next_at, &s->is_full);
    return kept != EXIT_DONE ? kept : code;
}

/* The delivery's part. What fails there ends the sending, not the keeping. */
static enum exit_code send_kept(struct stream *s)
{
    enum exit_code code = keeping_load(s->session);

    if (code == EXIT_DONE) {
        s->delivery->is_patient =
            s->messages == NULL && !s->ended && s->held == NULL && !s->is_full;
        s->delivery->is_last = is_last(s) && !spooling_has_next(s->session->spooling);
        code = delivery_step(s->delivery);
        if (code != EXIT_DONE) {
            wipe_progress(s);
            s->outcome = session_fail(s->session, code);
            s->has_given_up = true;
            return EXIT_DONE;
        }
        code = keeping_settle(s->session, delivery_head(s->delivery) == NULL);
    } else {
        s->outcome = code;
        s->has_given_up = true;
        code = EXIT_DONE;
    }
    return code;
}

/* Connecting may take long, so all that is at hand is kept first. */
static bool keeps_first(const struct stream *s)
{
    struct pollfd entry = {.fd = s->waits ? s->session->input->fd : -1, .events = POLLIN};

    if (s->delivery->connected || s->delivery->greeted || s->ended ||
        clock_now_ns() - s->began_ns > AT_HAND_NS) {
        return false;
    }
    return s->waits ? poll(&entry, 1, 0) > 0 : takes(s);
}

/* What is gathered has no room, and nothing that is sent will make some. */
static enum exit_code fail_full(struct stream *s)
{
    wipe_progress(s);
    startup_warn(s->session->program, "--spool: %s", s->session->no_room.text);
    return EXIT_OTHER;
}

/* Whether the spool has a message that can be sent. */
static bool has_next(const struct stream *s)
{
    return spooling_has_next(s->session->spooling) && !keeping_is_held_up(s->session);
}

/* Whether nothing is left to be sent. */
static bool is_sent(const struct stream *s)
{
    return s->has_given_up ||
           (delivery_head(s->delivery) == NULL && !has_next(s) && !s->delivery->wanted);
}

static bool loads(const struct stream *s)
{
    return !s->has_given_up && delivery_has_room(s->delivery) && has_next(s);
}

static enum exit_code keep_and_send(struct stream *s)
{
    for (;;) {
        enum exit_code code = keep(s);
        bool has_more = keeps_first(s);

        if (code == EXIT_DONE && !s->has_given_up && !has_more) {
            code = send_kept(s);
        }
        if (code != EXIT_DONE) {
            return code;
        }
        if (is_sent(s) && s->is_full) {
            code = keep(s); /* what was answered may have made room */
            if (code != EXIT_DONE || s->is_full) {
                return code == EXIT_DONE ? fail_full(s) : code;
            }
        }
        if (is_sent(s) && s->ended) {
            return EXIT_DONE;
        }
        show_progress(s);
        if (!takes(s) && (has_more || !loads(s))) {
            wait_for_something(s);
        }
    }
}

enum exit_code stream_catch_up(struct session *session)
{
    struct stream s = {.session = session,
                       .delivery = session->delivery,
                       .ended = true,
                       .next_number = 1,
                       .began_ns = clock_now_ns()};
    enum exit_code code;

    /* Should it fail, what was typed in vain is told by lines. */
    tally_init(&session->tally, "line");
    session->tally.keeps = true;
    s.delivery->wanted = true;
    code = keep_and_send(&s);
    code = code == EXIT_DONE ? s.outcome : code;
    return code == EXIT_DONE && keeping_is_held_up(session) ? EXIT_OTHER : code;
}

/* An input that has less than the server is another one, or was cut. */
static enum exit_code judge_end(struct stream *s)
{
    struct session *session = s->session;
    bool is_for_a_person = session->tally.refused > 0 || keeping_is_held_up(session);

    session->completed = !s->stopped;
    if (s->outcome != EXIT_DONE) {
        return s->outcome == EXIT_KEPT && is_for_a_person ? EXIT_OTHER : s->outcome;
    }
    if (s->seq < s->known && !s->stopped) {
        startup_warn(session->program,
                     "the input ends with message %" PRIu64 ", and the server has %" PRIu64
                     " of this producer (is it another input?)",
                     s->seq, s->known);
        return EXIT_OTHER;
    }
    return is_for_a_person ? EXIT_OTHER : EXIT_DONE;
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
    session->tally.keeps = session->spooling != NULL;
    s.next_number = 1;
    session->given = count;
    if (count == 0 && !console_prompt(session->console)) {
        tlsmsg_error_clear(&s.delivery->err);
        code = session_fail(session, EXIT_OTHER);
    }
    if (code == EXIT_DONE) {
        code = session->spooling != NULL ? keep_and_send(&s) : go_on(&s);
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
