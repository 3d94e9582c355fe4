/* Terminal: questions on stderr, answers from stdin.
 *
 * While a password is typed the terminal doesn't echo and doesn't turn keys into signals; Ctrl-C
 * and Ctrl-D are taken as a refusal, and a signal from elsewhere waits until the terminal is as it
 * was, so that no way out leaves it mute. One thread, while the program starts. */
#include "app/terminal.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <termios.h>
#include <unistd.h>

#include "app/phrases.h"
#include "app/signals.h"
#include "base/clock.h"
#include "base/escape.h"
#include "base/tools.h"

#define PATIENCE_MS 120000
#define ASKED_MAX 1024 /* bytes; what a certificate holds is cut before */
#define QUIET_MS 200
#define DISCARD_MS 2000
#define TYPED_BYTES 4096
#define KEY_INTERRUPT 3 /* Ctrl-C */
#define KEY_END 4       /* Ctrl-D */
#define KEY_BACKSPACE 8
#define KEY_DELETE 127

bool terminal_can_ask(void)
{
    return isatty(STDIN_FILENO) && isatty(STDERR_FILENO);
}

/* https://no-color.org: any value but an empty one counts. */
bool terminal_takes_style(int fd)
{
    const char *no_colour = getenv("NO_COLOR");
    const char *term = getenv("TERM");

    return isatty(fd) == 1 && (no_colour == NULL || *no_colour == '\0') &&
           (term == NULL || strcmp(term, "dumb") != 0);
}

static void say(const char *text)
{
    if (write(STDERR_FILENO, text, strlen(text)) < 0) {
        /* Then nobody answers either. */
    }
}

/* One byte from stdin before the deadline. Byte by byte, so that no later line is taken along.
 * signal_fd: polls readable when there is no more time for an answer; -1: none. */
static bool read_key(int signal_fd, int64_t deadline_ns, char *key)
{
    struct pollfd entries[2] = {{.fd = STDIN_FILENO, .events = POLLIN},
                                {.fd = signal_fd, .events = POLLIN}};
    ssize_t n;

    do {
        int ready = poll(entries, 2, clock_poll_ms(clock_now_ns(), deadline_ns));

        if (ready == 0 || (ready < 0 && errno != EINTR) || (ready > 0 && entries[1].revents != 0)) {
            return false;
        }
        n = ready > 0 ? read(STDIN_FILENO, key, 1) : -1;
    } while (n < 0 && (errno == EINTR || errno == EAGAIN));
    return n == 1;
}

enum answer { ANSWER_NONE, ANSWER_LINE, ANSWER_TOO_LONG };

/* Reads a line, also one that is too long, up to its end. ANSWER_NONE: nobody answered, or it was
 * refused. */
static enum answer read_answer(int signal_fd, int64_t deadline_ns, char *buf, size_t cap)
{
    bool too_long = false;
    size_t len = 0;
    char key;

    while (read_key(signal_fd, deadline_ns, &key)) {
        if (key == '\n' || key == '\r') {
            buf[len] = '\0';
            return too_long ? ANSWER_TOO_LONG : ANSWER_LINE;
        }
        if (key == KEY_INTERRUPT || key == KEY_END) {
            return ANSWER_NONE;
        }
        if (key == KEY_BACKSPACE || key == KEY_DELETE) {
            len -= len > 0;
        } else if (len + 1 < cap) {
            buf[len++] = key;
        } else {
            too_long = true;
        }
    }
    return ANSWER_NONE;
}

/* With the terminal muted: asks, and reads what is typed. */
static bool ask_muted(const char *file, int signal_fd, char *buf, size_t cap)
{
    int64_t deadline_ns = clock_deadline_ns(clock_now_ns(), PATIENCE_MS);
    char name[256];
    bool answered;

    say("Password of key '");
    say(escape_name(name, sizeof(name), file));
    say("': ");
    answered = read_answer(signal_fd, deadline_ns, buf, cap) == ANSWER_LINE;
    say("\n");
    return answered;
}

/* A terminal that gives each key at once and shows none, until it is given back. Signals wait
 * meanwhile, so that no way out leaves it mute. */
struct mute {
    struct termios before;
    sigset_t mask;
    int signal_fd; /* polls readable when a signal waits; never read from, so that it takes its
                    * action when it is unblocked */
};

/* False: it can't be; nothing was changed. */
static bool mute_begin(struct mute *mute)
{
    struct termios mode;
    sigset_t watched;

    if (tcgetattr(STDIN_FILENO, &mute->before) != 0) {
        return false;
    }
    mode = mute->before;
    mode.c_lflag &= ~(tcflag_t)(ECHO | ECHONL | ISIG | ICANON);
    mode.c_cc[VMIN] = 1;
    mode.c_cc[VTIME] = 0;
    (void)sigemptyset(&watched);
    (void)sigaddset(&watched, SIGTERM);
    (void)sigaddset(&watched, SIGINT);
    (void)sigaddset(&watched, SIGQUIT);
    (void)sigaddset(&watched, SIGHUP);
    (void)pthread_sigmask(SIG_BLOCK, &watched, &mute->mask);
    mute->signal_fd = signals_open(&watched);
    if (mute->signal_fd >= 0 && tcsetattr(STDIN_FILENO, TCSANOW, &mode) == 0) {
        return true;
    }
    if (mute->signal_fd >= 0) {
        (void)close(mute->signal_fd);
    }
    (void)pthread_sigmask(SIG_SETMASK, &mute->mask, NULL);
    return false;
}

static void mute_end(struct mute *mute)
{
    (void)tcsetattr(STDIN_FILENO, TCSAFLUSH, &mute->before);
    (void)close(mute->signal_fd);
    (void)pthread_sigmask(SIG_SETMASK, &mute->mask, NULL);
}

bool terminal_ask_password(const char *file, char *buf, size_t cap, void *user)
{
    struct mute mute;
    bool answered;

    (void)user;
    if (cap == 0 || !terminal_can_ask() || !mute_begin(&mute)) {
        return false;
    }
    (void)tcflush(STDIN_FILENO, TCIFLUSH); /* typed before the question was put */
    answered = ask_muted(file, mute.signal_fd, buf, cap);
    mute_end(&mute);
    return answered;
}

bool terminal_is_foreground(void)
{
    pid_t group = tcgetpgrp(STDIN_FILENO);

    /* A terminal that doesn't control this session has no jobs. */
    return isatty(STDIN_FILENO) == 1 && (group < 0 || group == getpgrp());
}

/* Canonical mode would keep back what has no line end yet, and its buffer is full after 4,096
 * bytes while the rest of a paste is still on its way: so one flush alone isn't enough. */
bool terminal_discard_input(void)
{
    struct pollfd entry = {.fd = STDIN_FILENO, .events = POLLIN};
    int64_t end_ns = clock_deadline_ns(clock_now_ns(), DISCARD_MS);
    char typed[TYPED_BYTES];
    struct mute mute;
    bool any = false;

    if (!terminal_is_foreground() || !mute_begin(&mute)) {
        return false;
    }
    while (clock_now_ns() < end_ns && poll(&entry, 1, QUIET_MS) > 0 &&
           read(STDIN_FILENO, typed, sizeof(typed)) > 0) {
        any = true;
    }
    mute_end(&mute);
    return any;
}

/* A question anew, without what was typed before it was put: that answers something else. */
static enum answer ask_line(const char *text, const char *after, char *buf, size_t cap)
{
    (void)tcflush(STDIN_FILENO, TCIFLUSH);
    say(text);
    say(after);
    return read_answer(-1, 0, buf, cap);
}

static void print_question(const struct tlsmsg_new_server *server, const struct phrases *phrases,
                           char *buf, size_t cap)
{
    const struct new_server_phrases *words = &phrases->new_server;

    (void)snprintf(buf, cap, "%s%s%s%s%s%s%s%s%s%s%s", words->unknown, server->server, words->pin,
                   server->pin, words->names, server->names, words->until, server->until,
                   words->compare, tools()->certs, words->trust);
}

bool terminal_confirm(const struct tlsmsg_new_server *server, void *user)
{
    const struct phrases *phrases = *(const struct phrases *const *)user;
    char question[ASKED_MAX];
    char line[sizeof("yes")];
    enum answer answer;

    if (!terminal_can_ask()) {
        return false;
    }
    print_question(server, phrases, question, sizeof(question));
    answer = ask_line(question, " (yes/no) ", line, sizeof(line));
    while (answer != ANSWER_NONE) {
        bool yes = strcmp(line, "yes") == 0;

        if (answer == ANSWER_LINE && (yes || strcmp(line, "no") == 0)) {
            return yes;
        }
        answer = ask_line(phrases->new_server.again, "", line, sizeof(line));
    }
    return false;
}

/* ---- hanging up */

int terminal_hold(void)
{
    struct sigaction action;

    if (sigaction(SIGHUP, NULL, &action) != 0 || action.sa_handler == SIG_IGN) {
        return -1;
    }
    return open("/dev/tty", O_RDONLY | O_NOCTTY | O_NONBLOCK | O_CLOEXEC);
}

bool terminal_is_hung_up(int fd)
{
    struct pollfd entry = {.fd = fd, .events = POLLIN};

    return fd >= 0 && poll(&entry, 1, 0) == 1 && (entry.revents & (POLLHUP | POLLERR)) != 0;
}
