/* What a question does to the terminal and to signals: afterwards both are as before. What is thrown
 * away of what was typed, whose terminal it is, and when it is gone. */
#include "support/unit.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <termios.h>

#include "app/terminal.h"
#include "support/dirty_stack.h"
#include "support/pty_scene.h"
#include "support/test_clock.h"

#define QUESTION "Password of key 'file': "
#define PATIENCE_MS 120000
#define QUIET_MS 200
#define LIMIT_MS 60000 /* for a pseudo-terminal's bytes to come through */

/* ---- faults: in the child */

static bool mode_fails; /* tcsetattr(3) */
static int (*on_poll)(struct pollfd *entries, nfds_t count, int timeout_ms);
static unsigned polls;

int __real_tcsetattr(int fd, int when, const struct termios *mode);
int __wrap_tcsetattr(int fd, int when, const struct termios *mode);
int __real_poll(struct pollfd *entries, nfds_t count, int timeout_ms);
int __wrap_poll(struct pollfd *entries, nfds_t count, int timeout_ms);

int __wrap_tcsetattr(int fd, int when, const struct termios *mode)
{
    if (mode_fails) {
        errno = EIO;
        return -1;
    }
    return __real_tcsetattr(fd, when, mode);
}

int __wrap_poll(struct pollfd *entries, nfds_t count, int timeout_ms)
{
    if (on_poll == NULL) { /* the person's own, too */
        return __real_poll(entries, count, timeout_ms);
    }
    polls++;
    return on_poll(entries, count, timeout_ms);
}

/* ---- what is to be as before */

struct before {
    struct termios mode;
    uint64_t mask;
    int free_fd;
};

static uint64_t bit(int number)
{
    return UINT64_C(1) << (number - 1);
}

/* The signals that wait for us. */
static uint64_t blocked(void)
{
    sigset_t mask;
    uint64_t bits = 0;

    PTY_EXPECT(pthread_sigmask(SIG_SETMASK, NULL, &mask) == 0);
    for (int number = 1; number < 32; number++) {
        bits |= sigismember(&mask, number) == 1 ? bit(number) : 0;
    }
    return bits;
}

static int lowest_free_fd(void)
{
    int fd = open("/dev/null", O_RDONLY | O_CLOEXEC);

    (void)close(fd);
    return fd;
}

/* With a mode that differs from what a question sets in all of it, and no signal blocked. */
static void remember(struct before *before)
{
    sigset_t none;

    (void)sigemptyset(&none);
    (void)pthread_sigmask(SIG_SETMASK, &none, NULL);
    PTY_EXPECT(tcgetattr(STDIN_FILENO, &before->mode) == 0);
    before->mode.c_lflag |= ECHO | ECHONL | ISIG | ICANON;
    before->mode.c_cc[VMIN] = 7;
    before->mode.c_cc[VTIME] = 9;
    PTY_EXPECT(__real_tcsetattr(STDIN_FILENO, TCSANOW, &before->mode) == 0);
    before->mask = blocked();
    PTY_EXPECT(before->mask == 0);
    before->free_fd = lowest_free_fd();
}

static void expect_as(const struct before *before)
{
    struct termios mode;

    PTY_EXPECT(tcgetattr(STDIN_FILENO, &mode) == 0);
    PTY_EXPECT(mode.c_lflag == before->mode.c_lflag);
    PTY_EXPECT(memcmp(mode.c_cc, before->mode.c_cc, sizeof(mode.c_cc)) == 0);
    PTY_EXPECT(blocked() == before->mask);
    PTY_EXPECT(lowest_free_fd() == before->free_fd);
}

static bool ask(void)
{
    char password[64];

    dirty_stack();
    return terminal_ask_password("file", password, sizeof(password), NULL);
}

/* ---- while a password is typed */

static int ask_and_compare(void)
{
    struct before before;
    bool answered;

    remember(&before);
    answered = ask();
    expect_as(&before);
    return answered;
}

/* The signals that wait for a process, as the kernel shows them. */
static uint64_t blocked_in(pid_t child)
{
    char name[64], line[256];
    uint64_t bits = 0;
    FILE *status;

    (void)snprintf(name, sizeof(name), "/proc/%d/status", (int)child);
    status = fopen(name, "r");
    assert_non_null(status);
    while (fgets(line, sizeof(line), status) != NULL) {
        (void)sscanf(line, "SigBlk: %" SCNx64, &bits);
    }
    (void)fclose(status);
    return bits;
}

static void test_keys_are_neither_shown_nor_signals(void **state)
{
    struct pty_scene scene;
    struct termios mode;

    (void)state;
    pty_begin(&scene, ask_and_compare, "");
    pty_wait_for(&scene, QUESTION, 1);
    assert_int_equal(tcgetattr(scene.terminal, &mode), 0);
    assert_int_equal(mode.c_lflag & (ECHO | ECHONL | ISIG | ICANON), 0);
    assert_int_equal(mode.c_cc[VMIN], 1);
    assert_int_equal(mode.c_cc[VTIME], 0);
    assert_int_equal(blocked_in(scene.child),
                     bit(SIGTERM) | bit(SIGINT) | bit(SIGQUIT) | bit(SIGHUP));
    pty_type(&scene, "s3cret\r");
    assert_int_equal(pty_end(&scene), 1);
}

static int ask_to_be_ended(void)
{
    static const int numbers[] = {SIGTERM, SIGINT, SIGQUIT, SIGHUP};
    const struct rlimit none = {0, 0};
    struct before before;

    (void)setrlimit(RLIMIT_CORE, &none);
    for (size_t i = 0; i < COUNT_OF(numbers); i++) {
        (void)signal(numbers[i], SIG_DFL);
    }
    remember(&before);
    (void)ask();
    return 1;
}

static const struct signal_row {
    const char *name;
    int number;
} signal_rows[] = {
    {"SIGTERM", SIGTERM}, {"SIGINT", SIGINT}, {"SIGQUIT", SIGQUIT}, {"SIGHUP", SIGHUP}};

/* It ends the question, then the terminal is given back, then it has its way. */
static void test_a_signal_waits_until_the_terminal_is_as_before(void **state)
{
    const struct signal_row *row = *state;
    struct pty_scene scene;
    struct termios mode;
    int status = 0;

    pty_begin(&scene, ask_to_be_ended, "");
    pty_wait_for(&scene, QUESTION, 1);
    assert_int_equal(kill(scene.child, row->number), 0);
    pty_wait_for(&scene, QUESTION "\r\n", 1);
    assert_int_equal(waitpid(scene.child, &status, 0), scene.child);
    assert_true(WIFSIGNALED(status));
    assert_int_equal(WTERMSIG(status), row->number);
    assert_int_equal(tcgetattr(scene.terminal, &mode), 0);
    assert_int_equal(mode.c_lflag & (ECHO | ECHONL | ISIG | ICANON), ECHO | ECHONL | ISIG | ICANON);
    assert_string_equal(scene.screen, QUESTION "\r\n");
    (void)close(scene.terminal);
    (void)close(scene.person);
}

/* ---- a terminal that can't be muted */

static int ask_with_a_mode_that_stays(void)
{
    struct before before;
    bool answered;

    remember(&before);
    mode_fails = true;
    answered = ask() || terminal_discard_input();
    mode_fails = false;
    expect_as(&before);
    return answered;
}

static int ask_without_a_descriptor(void)
{
    struct before before;
    struct rlimit limit, tight;
    bool answered;

    remember(&before);
    PTY_EXPECT(getrlimit(RLIMIT_NOFILE, &limit) == 0);
    tight = limit;
    tight.rlim_cur = (rlim_t)before.free_fd;
    PTY_EXPECT(setrlimit(RLIMIT_NOFILE, &tight) == 0);
    answered = ask() || terminal_discard_input();
    PTY_EXPECT(setrlimit(RLIMIT_NOFILE, &limit) == 0);
    expect_as(&before);
    return answered;
}

static void test_no_question_where_it_would_be_heard(void **state)
{
    static int (*const ways[])(void) = {ask_with_a_mode_that_stays, ask_without_a_descriptor};

    (void)state;
    for (size_t i = 0; i < COUNT_OF(ways); i++) {
        struct pty_scene scene;

        pty_begin(&scene, ways[i], "typed\n");
        assert_int_equal(pty_end(&scene), 0);
        assert_string_equal(scene.screen, "typed\r\n"); /* its echo */
    }
}

/* ---- patience */

/* Time is up at once. */
static int poll_in_vain(struct pollfd *entries, nfds_t count, int timeout_ms)
{
    PTY_EXPECT(count == 2 && entries[0].fd == STDIN_FILENO && entries[0].events == POLLIN);
    PTY_EXPECT(entries[1].fd > STDERR_FILENO && entries[1].events == POLLIN);
    PTY_EXPECT(timeout_ms == PATIENCE_MS);
    return 0;
}

static int ask_nobody(void)
{
    test_clock_stop();
    on_poll = poll_in_vain;
    return ask_and_compare();
}

static int fail_to_poll(struct pollfd *entries, nfds_t count, int timeout_ms)
{
    (void)entries;
    (void)count;
    (void)timeout_ms;
    errno = ENOMEM;
    return -1;
}

static int ask_where_polls_fail(void)
{
    on_poll = fail_to_poll;
    return ask_and_compare();
}

static void test_a_question_that_nobody_answers(void **state)
{
    static int (*const ways[])(void) = {ask_nobody, ask_where_polls_fail};

    (void)state;
    for (size_t i = 0; i < COUNT_OF(ways); i++) {
        struct pty_scene scene;

        pty_begin(&scene, ways[i], "");
        assert_int_equal(pty_end(&scene), 0);
        assert_string_equal(scene.screen, QUESTION "\r\n");
    }
}

/* Interrupted at first, then woken for nothing. */
static int poll_amiss(struct pollfd *entries, nfds_t count, int timeout_ms)
{
    if (polls == 1) {
        errno = EINTR;
        return -1;
    }
    if (polls == 2) {
        entries[0].revents = POLLIN;
        entries[1].revents = 0;
        return 1;
    }
    return __real_poll(entries, count, timeout_ms);
}

static int ask_amiss(void)
{
    PTY_EXPECT(fcntl(STDIN_FILENO, F_SETFL, fcntl(STDIN_FILENO, F_GETFL) | O_NONBLOCK) == 0);
    on_poll = poll_amiss;
    return ask_and_compare();
}

static void test_waking_for_nothing_is_no_answer(void **state)
{
    struct pty_scene scene;

    (void)state;
    pty_begin(&scene, ask_amiss, "");
    pty_wait_for(&scene, QUESTION, 1);
    pty_type(&scene, "s3cret\r");
    assert_int_equal(pty_end(&scene), 1);
}

/* ---- what was typed for a conversation that is over */

static bool has_input(void)
{
    struct pollfd entry = {.fd = STDIN_FILENO, .events = POLLIN};
    struct termios mode, raw;
    int ready;

    PTY_EXPECT(tcgetattr(STDIN_FILENO, &mode) == 0);
    raw = mode;
    raw.c_lflag &= ~(tcflag_t)ICANON;
    raw.c_cc[VMIN] = 1;
    PTY_EXPECT(__real_tcsetattr(STDIN_FILENO, TCSANOW, &raw) == 0);
    ready = __real_poll(&entry, 1, 0);
    PTY_EXPECT(__real_tcsetattr(STDIN_FILENO, TCSANOW, &mode) == 0);
    return ready > 0;
}

/* Nothing comes within the pause that is waited for. */
static int poll_once(struct pollfd *entries, nfds_t count, int timeout_ms)
{
    PTY_EXPECT(count == 1 && entries[0].fd == STDIN_FILENO && timeout_ms == QUIET_MS);
    return __real_poll(entries, count, 0);
}

static int discard(void)
{
    struct before before;
    bool any;

    remember(&before);
    on_poll = poll_once;
    dirty_stack();
    any = terminal_discard_input();
    expect_as(&before);
    PTY_EXPECT(!has_input());
    return any;
}

static void test_what_was_typed_is_thrown_away(void **state)
{
    static const struct {
        const char *typed;
        int any;
    } cases[] = {{"", 0}, {"rm -r\nbegun", 1}};

    (void)state;
    for (size_t i = 0; i < COUNT_OF(cases); i++) {
        struct pty_scene scene;

        pty_begin(&scene, discard, cases[i].typed);
        assert_int_equal(pty_end(&scene), cases[i].any);
    }
}

/* More and more of a paste, 0.4 s each. */
static int poll_a_paste(struct pollfd *entries, nfds_t count, int timeout_ms)
{
    (void)timeout_ms;
    test_clock_advance(400);
    PTY_EXPECT(write(pty_person, "x", 1) == 1);
    return __real_poll(entries, count, LIMIT_MS);
}

static int discard_a_paste(void)
{
    test_clock_stop();
    on_poll = poll_a_paste;
    PTY_EXPECT(terminal_discard_input());
    return (int)polls;
}

static void test_a_paste_without_end_is_left(void **state)
{
    struct pty_scene scene;

    (void)state;
    pty_begin(&scene, discard_a_paste, "");
    assert_int_equal(pty_end(&scene), 2000 / 400);
}

/* What polls readable and isn't. */
static int poll_for_nothing(struct pollfd *entries, nfds_t count, int timeout_ms)
{
    (void)count;
    (void)timeout_ms;
    entries[0].revents = POLLIN;
    return 1;
}

static int discard_nothing(void)
{
    PTY_EXPECT(fcntl(STDIN_FILENO, F_SETFL, fcntl(STDIN_FILENO, F_GETFL) | O_NONBLOCK) == 0);
    on_poll = poll_for_nothing;
    PTY_EXPECT(!terminal_discard_input());
    return (int)polls;
}

static void test_what_cannot_be_read_ends_it(void **state)
{
    struct pty_scene scene;

    (void)state;
    pty_begin(&scene, discard_nothing, "");
    assert_int_equal(pty_end(&scene), 1);
}

static int discard_of_a_pipe(void)
{
    struct pollfd entry = {.fd = STDIN_FILENO, .events = POLLIN};
    int ends[2];

    PTY_EXPECT(pipe(ends) == 0 && write(ends[1], "a line\n", 7) == 7);
    PTY_EXPECT(dup2(ends[0], STDIN_FILENO) == STDIN_FILENO);
    PTY_EXPECT(!terminal_is_foreground());
    PTY_EXPECT(!terminal_discard_input());
    return __real_poll(&entry, 1, 0);
}

static void test_a_pipe_keeps_what_it_holds(void **state)
{
    struct pty_scene scene;

    (void)state;
    pty_begin(&scene, discard_of_a_pipe, "");
    assert_int_equal(pty_end(&scene), 1);
}

/* ---- whose terminal it is */

/* A job in the background, which is none of the person's business now. */
static int be_in_the_background(void)
{
    on_poll = fail_to_poll;
    PTY_EXPECT(setpgid(0, 0) == 0);
    PTY_EXPECT(!terminal_is_foreground());
    PTY_EXPECT(!terminal_discard_input());
    PTY_EXPECT(polls == 0);
    return 0;
}

static int be_in_the_foreground(void)
{
    int status = 0;
    pid_t other;

    PTY_EXPECT(terminal_is_foreground());
    other = fork();
    PTY_EXPECT(other >= 0);
    if (other == 0) {
        exit(be_in_the_background());
    }
    PTY_EXPECT(waitpid(other, &status, 0) == other && status == 0);
    PTY_EXPECT(terminal_discard_input());
    return 0;
}

static void test_whose_terminal_it_is(void **state)
{
    struct pty_scene scene;

    (void)state;
    pty_begin_session(&scene, be_in_the_foreground, "typed\n");
    assert_int_equal(pty_end(&scene), 0);
}

/* ---- hanging up */

static int hold(void)
{
    sigset_t hangup;
    int number = 0;
    int fd;

    (void)sigemptyset(&hangup);
    (void)sigaddset(&hangup, SIGHUP);
    (void)signal(SIGHUP, SIG_DFL);
    fd = terminal_hold();
    PTY_EXPECT(fd > STDERR_FILENO && isatty(fd) == 1);
    PTY_EXPECT((fcntl(fd, F_GETFD) & FD_CLOEXEC) != 0);
    PTY_EXPECT((fcntl(fd, F_GETFL) & (O_NONBLOCK | O_ACCMODE)) == (O_NONBLOCK | O_RDONLY));
    PTY_EXPECT(!terminal_is_hung_up(fd)); /* a line waits there: it isn't gone */
    PTY_EXPECT(!terminal_is_hung_up(-1));
    PTY_EXPECT(pthread_sigmask(SIG_BLOCK, &hangup, NULL) == 0);
    (void)dprintf(STDERR_FILENO, "held\n");
    (void)close(pty_person);
    PTY_EXPECT(sigwait(&hangup, &number) == 0);
    return terminal_is_hung_up(fd) ? 0 : 1;
}

static void test_a_terminal_that_is_held(void **state)
{
    struct pty_scene scene;

    (void)state;
    pty_begin_session(&scene, hold, "a line\n");
    pty_wait_for(&scene, "held\r\n", 1);
    assert_int_equal(close(scene.person), 0);
    scene.person = -1;
    assert_int_equal(pty_end(&scene), 0);
}

/* As nohup(1) starts a program. */
static int hold_where_it_is_ignored(void)
{
    (void)signal(SIGHUP, SIG_IGN);
    return terminal_hold() == -1 ? 0 : 1;
}

static int hold_nothing(void)
{
    (void)signal(SIGHUP, SIG_DFL);
    PTY_EXPECT(setsid() > 0);
    return terminal_hold() == -1 ? 0 : 1;
}

static void test_no_terminal_to_be_held(void **state)
{
    struct pty_scene scene;

    (void)state;
    pty_begin_session(&scene, hold_where_it_is_ignored, "");
    assert_int_equal(pty_end(&scene), 0);
    pty_begin(&scene, hold_nothing, "");
    assert_int_equal(pty_end(&scene), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_keys_are_neither_shown_nor_signals),
        cmocka_unit_test(test_no_question_where_it_would_be_heard),
        cmocka_unit_test(test_a_question_that_nobody_answers),
        cmocka_unit_test(test_waking_for_nothing_is_no_answer),
        cmocka_unit_test(test_what_was_typed_is_thrown_away),
        cmocka_unit_test(test_a_paste_without_end_is_left),
        cmocka_unit_test(test_what_cannot_be_read_ends_it),
        cmocka_unit_test(test_a_pipe_keeps_what_it_holds),
        cmocka_unit_test(test_whose_terminal_it_is),
        cmocka_unit_test(test_a_terminal_that_is_held),
        cmocka_unit_test(test_no_terminal_to_be_held),
    };
    int failed = cmocka_run_group_tests(tests, NULL, NULL);

    RUN_ROWS(failed, test_a_signal_waits_until_the_terminal_is_as_before, signal_rows);
    return failed;
}
