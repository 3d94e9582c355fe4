/* Control: one poll(2) loop over the signals, the server's end and what stdout has not taken.
 *
 * The workers never wait for any of these. The first SIGTERM or SIGINT stops the server in order
 * and gives the signals back their default action. Main thread. */
#include "app/control.h"

#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "app/complain.h"
#include "app/signal_fd.h"
#include "app/signals.h"
#include "app/status.h"
#include "app/upkeep.h"
#include "base/clock.h"

#define STATUS_MAX 4096

struct state {
    const struct control *control;
    struct journal *journal; /* the transcript's; NULL: there is none */
    struct upkeep upkeep;
    int64_t begun_ns;
    int64_t stopped_ns;  /* 0: not stopped by a signal */
    int64_t deadline_ns; /* for the rest of the transcript, once the server has ended; 0: none */
    bool ended;
    enum tlsmsg_code result; /* once ended */
    struct tlsmsg_error err;
};

static void tell_ready(const struct control *control, const char *remark)
{
    const char *first = tlsmsg_server_address(control->server, 0);
    const char *second = first != NULL ? tlsmsg_server_address(control->server, 1) : NULL;

    service_notify(control->service, "READY=1\nSTATUS=Serving on %s%s%s",
                   first != NULL ? first : "no address", second != NULL ? " and others" : "",
                   remark);
}

static void stop(struct state *state)
{
    if (state->stopped_ns == 0) {
        service_notify(state->control->service, "STOPPING=1\nSTATUS=Ending conversations");
        state->stopped_ns = clock_now_ns();
        tlsmsg_server_stop(state->control->server);
        signals_restore_stop();
    }
}

static void reload(struct state *state)
{
    const struct control *control = state->control;
    struct tlsmsg_error err = {.code = TLSMSG_OK};
    struct tlsmsg_event event = {.level = TLSMSG_LOG_ERROR, .cause = TLSMSG_CAUSE_CERTIFICATE};
    char text[sizeof(err.text) + 64];

    service_notify_reloading(control->service);
    if (tlsmsg_server_reload(control->server, control->options, &err) == TLSMSG_OK) {
        event.level = TLSMSG_LOG_INFO;
        event.text = "configuration reloaded";
        upkeep_reloaded(&state->upkeep);
    } else {
        (void)snprintf(text, sizeof(text),
                       "the old configuration stays, since the new one fails: %s", err.text);
        event.text = text;
    }
    log_event(control->log, &event);
    tell_ready(control, err.code == TLSMSG_OK ? "" : "; the last reload failed, see the log");
}

static void tell_status(const struct state *state)
{
    const struct control *control = state->control;
    struct pollfd entry = {.fd = STDERR_FILENO, .events = POLLOUT};
    struct status_facts facts = {
        .program = control->program,
        .server = control->server,
        .up_ms = (clock_now_ns() - state->begun_ns) / CLOCK_NS_PER_MS,
        .has_transcript = state->journal != NULL,
        .waiting_bytes = state->journal != NULL ? journal_waiting_bytes(state->journal) : 0,
        .stopping = state->stopped_ns != 0,
    };
    char screen[STATUS_MAX];
    size_t len = status_print(screen, sizeof(screen), &facts);

    if (poll(&entry, 1, 0) == 1 && write(STDERR_FILENO, screen, len) < 0) {
        /* A stderr that is gone has no reader either. */
    }
}

static void take_signals(struct state *state)
{
    int number;

    while ((number = signal_fd_next(state->control->signal_fd)) != 0) {
        if (number == SIGTERM || number == SIGINT) {
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

    tlsmsg_server_release(state->control->server, worker, fail);
}

/* The server has ended: what is left of the transcript has the rest of the drain timeout. */
static void note_end(struct state *state)
{
    int64_t from_ns = state->stopped_ns != 0 ? state->stopped_ns : clock_now_ns();

    if (state->stopped_ns == 0) {
        service_notify(state->control->service, "STOPPING=1\nSTATUS=Done");
    }
    state->ended = true;
    state->result = tlsmsg_server_wait(state->control->server, &state->err);
    if (state->control->transcript != NULL) {
        transcript_end(state->control->transcript);
    }
    state->deadline_ns = clock_deadline_ns(from_ns, state->control->drain_ms);
}

static int64_t earlier(int64_t a_ns, int64_t b_ns)
{
    return a_ns == 0 || (b_ns != 0 && b_ns < a_ns) ? b_ns : a_ns;
}

/* One wait and what follows from it. False: all is done. */
static bool turn(struct state *state)
{
    const struct control *control = state->control;
    struct pollfd entries[4] = {
        {.fd = control->signal_fd, .events = POLLIN},
        {.fd = state->ended ? -1 : tlsmsg_server_done_fd(control->server), .events = POLLIN},
        {.fd = state->journal != NULL ? journal_wake_fd(state->journal) : -1, .events = POLLIN},
        {.fd = -1, .events = POLLOUT},
    };
    int64_t now_ns = clock_now_ns();
    int64_t due_ns =
        earlier(log_tell_left_out(control->log, now_ns), upkeep_turn(&state->upkeep, now_ns));
    bool waits = false;

    if (state->journal != NULL) {
        waits = journal_go_on(state->journal, release, state, &entries[3].fd);
        entries[3].fd = waits ? entries[3].fd : -1;
    }
    if (state->ended) {
        if (!waits) {
            return false;
        }
        if (state->deadline_ns != 0 && state->deadline_ns <= now_ns) {
            journal_abandon(state->journal, ETIMEDOUT);
            return false;
        }
    }
    due_ns = earlier(due_ns, state->ended ? state->deadline_ns : 0);
    /* A worker that leaves a line out of the log wakes nobody; it is seen at the next look. */
    due_ns = earlier(due_ns, clock_deadline_ns(now_ns, LOG_LIMIT_SUMMARY_MS));
    if (poll(entries, 4, clock_poll_ms(now_ns, due_ns)) > 0) {
        if (entries[1].revents != 0) {
            note_end(state);
        }
        if (entries[0].revents != 0) {
            take_signals(state);
        }
    }
    return true;
}

/* Says why the server failed; a transcript that can't be written is the cause of all else. */
static void tell_failure(const struct state *state)
{
    const struct control *control = state->control;
    int cause = state->journal != NULL ? journal_cause(state->journal) : 0;

    if (cause == ETIMEDOUT) {
        complain(control->program, "cannot write the transcript: stdout took no more of it within "
                                   "the drain timeout");
    } else if (cause != 0) {
        complain(control->program, "cannot write the transcript: %s", strerror(cause));
    } else if (state->result != TLSMSG_OK) {
        complain(control->program, "%s", state->err.text);
    }
}

bool control_run(const struct control *control)
{
    struct state state = {
        .control = control,
        .journal = control->transcript != NULL ? control->transcript->journal : NULL,
        .begun_ns = clock_now_ns(),
    };

    upkeep_init(&state.upkeep, control->service, control->server, control->log,
                control->metrics_file);
    tell_ready(control, "");
    while (turn(&state)) {
    }
    upkeep_end(&state.upkeep);
    tell_failure(&state);
    return state.result == TLSMSG_OK &&
           (state.journal == NULL || journal_cause(state.journal) == 0);
}
