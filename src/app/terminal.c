/* Terminal: questions on stderr, answers from stdin.
 *
 * While a password is typed the terminal doesn't echo and doesn't turn keys into signals, so that
 * no way out leaves it mute; Ctrl-C and Ctrl-D are taken as a refusal. One thread at a time. */
#include "app/terminal.h"

#include <errno.h>
#include <poll.h>
#include <string.h>
#include <termios.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/escape.h"

#define PATIENCE_MS 120000
#define KEY_INTERRUPT 3 /* Ctrl-C */
#define KEY_END 4       /* Ctrl-D */
#define KEY_BACKSPACE 8
#define KEY_DELETE 127

bool terminal_can_ask(void)
{
    return isatty(STDIN_FILENO) && isatty(STDERR_FILENO);
}

static void say(const char *text)
{
    if (write(STDERR_FILENO, text, strlen(text)) < 0) {
        /* Then nobody answers either. */
    }
}

/* One byte from stdin before the deadline. Byte by byte, so that no later line is taken along. */
static bool read_key(int64_t deadline_ns, char *key)
{
    struct pollfd entry = {.fd = STDIN_FILENO, .events = POLLIN};
    ssize_t n;

    do {
        int ready = poll(&entry, 1, clock_poll_ms(clock_now_ns(), deadline_ns));

        if (ready == 0 || (ready < 0 && errno != EINTR)) {
            return false;
        }
        n = ready > 0 ? read(STDIN_FILENO, key, 1) : -1;
    } while (n < 0 && (errno == EINTR || errno == EAGAIN));
    return n == 1;
}

/* Reads up to the end of the line. False: nobody answered, or it was refused, or too long. */
static bool read_answer(char *buf, size_t cap)
{
    int64_t deadline_ns = clock_deadline_ns(clock_now_ns(), PATIENCE_MS);
    size_t len = 0;
    char key;

    while (read_key(deadline_ns, &key)) {
        if (key == '\n' || key == '\r') {
            buf[len] = '\0';
            return true;
        }
        if (key == KEY_INTERRUPT || key == KEY_END) {
            return false;
        }
        if (key == KEY_BACKSPACE || key == KEY_DELETE) {
            len -= len > 0;
        } else if (len + 1 < cap) {
            buf[len++] = key;
        } else {
            return false;
        }
    }
    return false;
}

bool terminal_ask_password(const char *file, char *buf, size_t cap, void *user)
{
    struct termios before, mute;
    char name[256];
    bool answered;

    (void)user;
    if (cap == 0 || !terminal_can_ask() || tcgetattr(STDIN_FILENO, &before) != 0) {
        return false;
    }
    mute = before;
    mute.c_lflag &= ~(tcflag_t)(ECHO | ECHONL | ISIG | ICANON);
    mute.c_cc[VMIN] = 1;
    mute.c_cc[VTIME] = 0;
    say("Password of key '");
    say(escape_name(name, sizeof(name), file));
    say("': ");
    if (tcsetattr(STDIN_FILENO, TCSAFLUSH, &mute) != 0) {
        return false;
    }
    answered = read_answer(buf, cap);
    (void)tcsetattr(STDIN_FILENO, TCSAFLUSH, &before);
    say("\n");
    return answered;
}

bool terminal_confirm(const char *question, void *user)
{
    char answer[16];

    (void)user;
    if (!terminal_can_ask()) {
        return false;
    }
    say(question);
    say(" (yes/no) ");
    return read_answer(answer, sizeof(answer)) && strcmp(answer, "yes") == 0;
}
