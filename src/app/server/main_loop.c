/* Main loop: one poll(2) loop over the signals, the server's end and what stdout has not taken.
 *
 * The workers never wait for any of these. The first SIGTERM or SIGINT stops the server in order
 * and gives the signals back their default action. Main thread. */
#include "app/server/main_loop.h"

#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "app/server/metrics.h"
#include "app/server/periodic.h"
#include "app/signals.h"
#include "app/startup.h"
#include "app/terminal.h"
#include "base/clock.h"

#define SCREEN_MAX 4096

struct state {
    const struct main_loop *loop;
    struct stdout_writer *writer; /* the transcript's; NULL: there is none */
    struct periodic periodic;
    int64_t begun_ns;
    int64_t stopped_ns;  /* 0: not stopped by a signal */
    int64_t deadline_ns; /* for the rest of the transcript, once the server has ended; 0: none */
    bool ended;
    enum tlsmsg_code result; /* once ended */
    struct tlsmsg_error err;
};

static void tell_ready(const struct main_loop *loop, const char *remark)
{
    const char *first = tlsmsg_server_address(loop->server, 0);
    const char *second = first != NULL ? tlsmsg_server_address(loop->server, 1) : NULL;

    systemd_notify(loop->systemd, "READY=1\nSTATUS=Serving on %s%s%s",
                   first != NULL ? first : "no address", second != NULL ? " and others" : "",
                   remark);
}

static void stop(struct state *state)
{
    if (state->stopped_ns == 0) {
        systemd_notify(state->loop->systemd, "STOPPING=1\nSTATUS=Ending conversations");
        state->stopped_ns = clock_now_ns();
        tlsmsg_server_stop(state->loop->server);
        signals_restore_stop();
    }
}

/* What rotates the file has moved it away. True: lines go to a new one. */
static bool reopen_transcript(const struct state *state)
{
    const struct main_loop *loop = state->loop;
    struct tlsmsg_error err = {.code = TLSMSG_OK};
    struct tlsmsg_event event = {.level = TLSMSG_LOG_ERROR, .cause = TLSMSG_CAUSE_OTHER};
    char text[sizeof(err.text) + 64];
    int fd;

    if (state->writer == NULL || !keeper_has(loop->keeper, KEEPER_TRANSCRIPT)) {
        return true;
    }
    if (keeper_open(loop->keeper, KEEPER_TRANSCRIPT, &fd, &err) != TLSMSG_OK) {
        (void)snprintf(text, sizeof(text), "the transcript goes on in the old file: %s", err.text);
        event.text = text;
        log_event(loop->log, &event);
        return false;
    }
    stdout_writer_set_file(state->writer, fd);
    return true;
}

static void reload(struct state *state)
{
    const struct main_loop *loop = state->loop;
    struct tlsmsg_error err = {.code = TLSMSG_OK};
    struct tlsmsg_event event = {.level = TLSMSG_LOG_ERROR, .cause = TLSMSG_CAUSE_CERTIFICATE};
    char text[sizeof(err.text) + 64];
    bool is_whole;

    systemd_notify_reloading(loop->systemd);
    is_whole = reopen_transcript(state);
    if (tlsmsg_server_reload(loop->server, loop->options, &err) == TLSMSG_OK) {
        event.level = TLSMSG_LOG_INFO;
        event.text = "configuration reloaded";
        log_answer(loop->log, &event);
        periodic_reloaded(&state->periodic);
    } else {
        (void)snprintf(text, sizeof(text),
                       "the old configuration stays, since the new one fails: %s", err.text);
        event.text = text;
        log_event(loop->log, &event);
    }
    tell_ready(loop,
               err.code == TLSMSG_OK && is_whole ? "" : "; the last reload failed, see the log");
}

static void tell_status(const struct state *state)
{
    const struct main_loop *loop = state->loop;
    struct pollfd entry = {.fd = STDERR_FILENO, .events = POLLOUT};
    struct metrics_screen about = {
        .program = loop->program,
        .server = loop->server,
        .up_ms = (clock_now_ns() - state->begun_ns) / CLOCK_NS_PER_MS,
        .has_transcript = state->writer != NULL,
        .waiting_bytes = state->writer != NULL ? stdout_writer_waiting_bytes(state->writer) : 0,
        .stopping = state->stopped_ns != 0,
    };
    char screen[SCREEN_MAX];
    enum store_promise promise;
    size_t len;

    about.has_store = storing_stats(state->loop->storing, &about.store, &promise);
    for (int what = 0; what < TLSMSG_EXPIRY_COUNT; what++) {
        about.ends_unix_s[what] = tlsmsg_server_expiry(loop->server, (enum tlsmsg_expiry)what);
    }
    len = metrics_print_screen(screen, sizeof(screen), &about);

    if (poll(&entry, 1, 0) == 1 && write(STDERR_FILENO, screen, len) < 0) {
        /* A stderr that is gone has no reader either. */
    }
}

static void take_signals(struct state *state)
{
    int number;

    while ((number = signals_next(state->loop->signal_fd)) != 0) {
        bool is_over = number == SIGHUP && terminal_is_hung_up(state->loop->terminal_fd);

        if (number == SIGTERM || number == SIGINT || is_over) {
            stop(state);
        } else if (number == SIGHUP && !state->ended) {
            reload(state);
        } else if (number == SIGUSR1) {
            tell_status(state);
        }
    }
}

static void release(unsigned worker, bool fail, void *user)
{
    const struct state *state = user;

    storing_lines_out(state->loop->storing, state->loop->server, worker, fail);
}

/* The server has ended: what is left of the transcript has the rest of the drain timeout. */
static void take_end(struct state *state)
{
    int64_t from_ns = state->stopped_ns != 0 ? state->stopped_ns : clock_now_ns();

    if (state->stopped_ns == 0) {
        systemd_notify(state->loop->systemd, "STOPPING=1\nSTATUS=Done");
    }
    state->ended = true;
    state->result = tlsmsg_server_wait(state->loop->server, &state->err);
    if (state->loop->transcript != NULL) {
        transcript_end(state->loop->transcript);
    }
    state->deadline_ns = clock_deadline_ns(from_ns, state->loop->drain_ms);
}

static void look_at_keeper(const struct main_loop *loop)
{
    const struct tlsmsg_event event = {
        .level = TLSMSG_LOG_ERROR,
        .cause = TLSMSG_CAUSE_OTHER,
        .text =
            "the file keeper (tlsmsg-keeper) has ended: metrics are not written, and transcript "
            "and key log not opened again, until a restart"};

    if (keeper_look(loop->keeper)) {
        log_event(loop->log, &event);
    }
}

/* One wait and what follows from it. False: all is done. */
static bool iterate(struct state *state)
{
    const struct main_loop *loop = state->loop;
    struct pollfd entries[5] = {
        {.fd = loop->signal_fd, .events = POLLIN},
        {.fd = state->ended ? -1 : tlsmsg_server_done_fd(loop->server), .events = POLLIN},
        {.fd = state->writer != NULL ? stdout_writer_wake_fd(state->writer) : -1, .events = POLLIN},
        {.fd = -1, .events = POLLOUT},
        {.fd = keeper_fd(loop->keeper), .events = POLLIN},
    };
    int64_t now_ns = clock_now_ns();
    int64_t due_ns = clock_earlier_ns(log_tell_left_out(loop->log, now_ns),
                                      periodic_run(&state->periodic, now_ns));
    bool waits = false;

    if (state->writer != NULL) {
        waits = stdout_writer_continue(state->writer, release, state, &entries[3].fd);
        entries[3].fd = waits ? entries[3].fd : -1;
    }
    if (state->ended) {
        if (!waits) {
            return false;
        }
        if (state->deadline_ns != 0 && state->deadline_ns <= now_ns) {
            stdout_writer_abandon(state->writer, ETIMEDOUT);
            return false;
        }
    }
    due_ns = clock_earlier_ns(due_ns, state->ended ? state->deadline_ns : 0);
    /* A worker that leaves a line out of the log wakes nobody; it is seen at the next look. */
    due_ns = clock_earlier_ns(due_ns, clock_deadline_ns(now_ns, LOG_SUMMARY_MS));
    if (poll(entries, 5, clock_poll_ms(now_ns, due_ns)) > 0) {
        if (entries[1].revents != 0) {
            take_end(state);
        }
        if (entries[0].revents != 0) {
            take_signals(state);
        }
    }
    look_at_keeper(loop);
    return true;
}

/* Says why the server failed; a transcript that can't be written is the cause of all else. */
static void tell_failure(const struct state *state)
{
    const struct main_loop *loop = state->loop;
    int cause = state->writer != NULL ? stdout_writer_cause(state->writer) : 0;
    const char *store_failure = storing_failure(loop->storing);

    if (cause == ETIMEDOUT) {
        startup_warn(loop->program, "cannot write the transcript: stdout took no more of it within "
                                    "the drain timeout");
    } else if (cause != 0) {
        startup_warn(loop->program, "cannot write the transcript: %s", strerror(cause));
    } else if (store_failure != NULL) {
        startup_warn(loop->program, "%s", store_failure);
    } else if (state->result != TLSMSG_OK) {
        startup_warn(loop->program, "%s", state->err.text);
    }
}

bool main_loop_run(const struct main_loop *loop)
{
    struct state state = {
        .loop = loop,
        .writer = loop->transcript != NULL ? loop->transcript->writer : NULL,
        .begun_ns = clock_now_ns(),
    };

    periodic_init(&state.periodic, loop->systemd, loop->server, loop->log, loop->storing,
                  loop->keeper);
    tell_ready(loop, "");
    while (iterate(&state)) {
    }
    periodic_end(&state.periodic);
    tell_failure(&state);
    return state.result == TLSMSG_OK &&
           (state.writer == NULL || stdout_writer_cause(state.writer) == 0);
}
