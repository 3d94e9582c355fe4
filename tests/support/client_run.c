/* See client_run.h. */
#include "support/client_run.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <poll.h>
#include <semaphore.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <termios.h>
#include <time.h>
#include <unistd.h>

#include "support/client_ends.h"
#include "support/client_main.h"
#include "support/ends_identity.h"
#include "support/glob_text.h"
#include "support/test_clock.h"
#include "support/test_folder.h"
#include "support/unit.h"

#include "app/client/console.h"
#include "base/build.h"
#include "base/clock.h"

/* Of the client. */
struct ends {
    int saved[3];
    int master; /* of a terminal; -1: none */
    int writer; /* of a pipe that stays open; -1: none */
};

void __real_console_init(struct console *console, int fd, const struct console_style *style);
void __wrap_console_init(struct console *console, int fd, const struct console_style *style);
int __wrap_nanosleep(const struct timespec *pause, struct timespec *left);

static struct test_folder folder;
static struct ends ends;
static const struct client_run *playing;
static struct client_ran ran;
static sem_t go;
static char server_address[32];

int client_run_setup(void **state)
{
    sigset_t asked;

    /* Every thread must have them blocked, so that they wait for the client. */
    (void)sigemptyset(&asked);
    (void)sigaddset(&asked, SIGUSR1);
    (void)sigaddset(&asked, SIGCONT);
    assert_int_equal(pthread_sigmask(SIG_BLOCK, &asked, NULL), 0);
    assert_int_equal(sem_init(&go, 0, 0), 0);
    assert_int_equal(setenv("NO_COLOR", "1", 1), 0);
    assert_int_equal(setenv("TERM", "dumb", 1), 0); /* no line editor in any build */
    test_folder_make(&folder);
    return ends_setup(state);
}

int client_run_teardown(void **state)
{
    test_folder_remove(&folder);
    return ends_teardown(state);
}

const char *client_run_path(const char *name)
{
    static char paths[4][TEST_PATH_MAX];
    static unsigned i;

    return test_folder_file(&folder, name, paths[i++ % 4]);
}

const char *client_run_address(void)
{
    return server_address;
}

/* ---- what it prints */

static void take(int fd, char *buf, size_t cap)
{
    size_t len = strlen(buf);
    ssize_t n;

    while (len + 1 < cap && (n = read(fd, buf + len, cap - 1 - len)) > 0) {
        len += (size_t)n;
    }
    buf[len] = '\0';
}

static void take_terminal(void)
{
    take(ends.master, ran.out, sizeof(ran.out));
}

static void take_file(int fd, char *buf, size_t cap)
{
    (void)lseek(fd, 0, SEEK_SET);
    buf[0] = '\0';
    take(fd, buf, cap);
}

/* ---- the server */

static void take_hello(struct peer *peer)
{
    size_t len = 0;

    while (len == 0 || ran.hello[len - 1] != '\n') {
        long got = len + 1 < sizeof(ran.hello)
                       ? peer_recv(peer, ran.hello + len, sizeof(ran.hello) - 1 - len)
                       : 0;

        if (got <= 0) {
            peer_fail(peer, "hello", "none came");
            return;
        }
        len += (size_t)got;
    }
    ran.hello[len] = '\0';
}

static void part(struct peer *peer)
{
    transport_free(peer->transport);
    peer->transport = NULL;
    peer_close(peer);
}

static void drain(struct peer *peer)
{
    char buf[4096];

    while (peer_recv(peer, buf, sizeof(buf)) > 0) {
    }
}

/* A handshake that fails here. */
static void refuse(struct peer *peer)
{
    peer_handshake(peer);
    if (peer->failure[0] != '\0') {
        peer->failure[0] = '\0';
    } else {
        peer_fail(peer, "refuse", "the handshake is done");
    }
}

static void play_end(struct peer *peer, const char *how)
{
    if (strcmp(how, "end") == 0) {
        peer_expect_end(peer);
        peer_end(peer);
    } else if (strcmp(how, "close") == 0) {
        peer_end(peer);
        drain(peer);
    } else if (strcmp(how, "leave") == 0) {
        drain(peer);
    } else if (strcmp(how, "cut") == 0) {
        peer_truncate(peer);
        drain(peer);
    } else if (strcmp(how, "reset") == 0) {
        peer_reset(peer);
    } else {
        peer_fail(peer, how, "unknown step");
    }
    part(peer);
}

/* What it has printed so far is taken from its terminal, which can't be looked at otherwise. */
static const char *printed(void)
{
    if (ends.master >= 0) {
        take_terminal();
        return ran.out;
    }
    ran.err[pread(STDERR_FILENO, ran.err, sizeof(ran.err) - 1, 0)] = '\0';
    return ran.err;
}

static void await_shown(struct peer *peer, const char *text)
{
    for (int ms = 0; strstr(printed(), text) == NULL; ms++) {
        if (ms == PEER_LIMIT_MS) {
            peer_fail(peer, "shown", text);
            return;
        }
        (void)poll(NULL, 0, 1);
    }
}

static void play(struct peer *peer)
{
    for (const char *const *step = playing->steps; *step != NULL; step++) {
        if (strcmp(*step, "accept") == 0) {
            peer_handshake(peer);
        } else if (strcmp(*step, "refuse") == 0) {
            refuse(peer);
        } else if (strcmp(*step, "hello") == 0) {
            take_hello(peer);
        } else if (**step == '<') {
            peer_expect(peer, *step + 1);
        } else if (**step == '>') {
            peer_say(peer, *step + 1);
        } else if (strcmp(*step, "fin") == 0) {
            peer_end(peer);
        } else if (strcmp(*step, "go") == 0) {
            (void)sem_post(&go);
        } else if (strcmp(*step, "usr1") == 0 || strcmp(*step, "cont") == 0) {
            (void)kill(getpid(), **step == 'u' ? SIGUSR1 : SIGCONT);
        } else if (strcmp(*step, "deaf") == 0) {
            (void)shutdown(peer->listener, SHUT_RD);
        } else if (strncmp(*step, "shown ", 6) == 0) {
            await_shown(peer, *step + 6);
        } else if (strncmp(*step, "late ", 5) == 0) {
            test_clock_advance(strtol(*step + 5, NULL, 10));
        } else {
            play_end(peer, *step);
        }
    }
}

/* The first thing that the client does once it is connected. */
void __wrap_console_init(struct console *console, int fd, const struct console_style *style)
{
    if (playing->is_held) {
        while (sem_wait(&go) != 0) {
        }
    }
    __real_console_init(console, fd, style);
}

/* Nothing is waited for: the clock is later. */
int __wrap_nanosleep(const struct timespec *pause, struct timespec *left)
{
    (void)left;
    test_clock_advance((int64_t)pause->tv_sec * 1000 + pause->tv_nsec / CLOCK_NS_PER_MS + 1);
    return 0;
}

static atomic_uint syncs;
static atomic_uint failing_sync;

unsigned client_run_fail_sync(unsigned nth)
{
    atomic_store(&failing_sync, nth);
    return atomic_exchange(&syncs, 0);
}

/* In place of the C library's, for SQLite, too: nothing here has to last. */
int fdatasync(int fd)
{
    (void)fd;
    if (atomic_fetch_add(&syncs, 1) + 1 == atomic_load(&failing_sync)) {
        errno = EIO;
        return -1;
    }
    return 0;
}

int fsync(int fd)
{
    return fdatasync(fd);
}

/* ---- the client's descriptors */

static void write_whole(int fd, const char *text, size_t len)
{
    assert_int_equal(write(fd, text, len), (ssize_t)len);
}

/* Echoes nothing and changes no byte, so that what comes out is what was written. */
static int open_terminal(void)
{
    struct termios mode;
    int slave;

    ends.master = posix_openpt(O_RDWR | O_NOCTTY | O_CLOEXEC | O_NONBLOCK);
    assert_true(ends.master >= 0 && grantpt(ends.master) == 0 && unlockpt(ends.master) == 0);
    slave = open(ptsname(ends.master), O_RDWR | O_NOCTTY | O_CLOEXEC);
    assert_true(slave >= 0 && tcgetattr(slave, &mode) == 0);
    mode.c_lflag &= ~(tcflag_t)(ECHO | ECHONL);
    mode.c_oflag &= ~(tcflag_t)OPOST;
    assert_int_equal(tcsetattr(slave, TCSANOW, &mode), 0);
    return slave;
}

static int open_stdin(const struct client_run *run)
{
    const char *input = run->input != NULL ? run->input : "";
    size_t len = run->input_len != 0 ? run->input_len : strlen(input);
    int fd = -1;
    int pair[2];

    switch (run->kind) {
    case STDIN_FILE:
        fd = memfd_create("stdin", MFD_CLOEXEC);
        write_whole(fd, input, len);
        assert_int_equal(lseek(fd, 0, SEEK_SET), 0);
        break;
    case STDIN_PIPE:
    case STDIN_OPEN:
        assert_int_equal(pipe(pair), 0);
        write_whole(pair[1], input, len);
        fd = pair[0];
        if (run->kind == STDIN_OPEN) {
            ends.writer = pair[1];
        } else {
            close(pair[1]);
        }
        break;
    case STDIN_TERMINAL:
        fd = open_terminal();
        write_whole(ends.master, input, len);
        break;
    case STDIN_FOLDER:
        fd = open(folder.path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
        break;
    }
    assert_true(fd >= 0);
    return fd;
}

static int open_output(const struct client_run *run, int fd, int in)
{
    int opened = run->kind == STDIN_TERMINAL               ? dup(in)
                 : fd == STDOUT_FILENO && run->full_stdout ? open("/dev/full", O_WRONLY | O_CLOEXEC)
                                                           : memfd_create("output", MFD_CLOEXEC);

    assert_true(opened >= 0);
    return opened;
}

static void begin(const struct client_run *run)
{
    int fds[3];

    ends = (struct ends){.master = -1, .writer = -1};
    (void)fflush(stdout);
    (void)fflush(stderr);
    fds[0] = open_stdin(run);
    if (run->is_watched) {
        fds[2] = open_terminal();
        assert_int_equal(unsetenv("NO_COLOR") | setenv("TERM", "xterm", 1), 0);
    }
    for (int i = 1; i < 3; i++) {
        fds[i] = i == 2 && run->is_watched ? fds[i] : open_output(run, i, fds[0]);
    }
    for (int i = 0; i < 3; i++) {
        ends.saved[i] = fcntl(i, F_DUPFD_CLOEXEC, 3);
        assert_true(ends.saved[i] >= 0 && dup2(fds[i], i) == i);
        close(fds[i]);
    }
}

static void finish(const struct client_run *run)
{
    (void)fflush(stdout);
    (void)fflush(stderr);
    clearerr(stdout);
    ran.left_at = run->kind == STDIN_FILE ? lseek(STDIN_FILENO, 0, SEEK_CUR) : 0;
    if (ends.master >= 0) {
        take_terminal();
        close(ends.master);
    }
    if (run->is_watched) {
        memcpy(ran.err, ran.out, sizeof(ran.err));
        take_file(STDOUT_FILENO, ran.out, sizeof(ran.out));
        assert_int_equal(setenv("NO_COLOR", "1", 1) | setenv("TERM", "dumb", 1), 0);
    } else if (run->kind != STDIN_TERMINAL) {
        take_file(STDERR_FILENO, ran.err, sizeof(ran.err));
        if (!run->full_stdout) {
            take_file(STDOUT_FILENO, ran.out, sizeof(ran.out));
        }
    }
    if (ends.writer >= 0) {
        close(ends.writer);
    }
    for (int i = 0; i < 3; i++) {
        assert_int_equal(dup2(ends.saved[i], i), i);
        close(ends.saved[i]);
    }
}

/* ---- a run */

/* Copies, since the program blanks what is secret in them. */
static int fill_arguments(const struct client_run *run, unsigned port, char texts[][TEST_PATH_MAX],
                          char **argv)
{
    const char *before[] = {"tlsmsg-client", "--lang", "en", "--ca", ends_identity_ca()};
    size_t fixed = BUILD_HAS_TLS && !run->by_system ? 5 : 3;
    int argc = 0;

    for (size_t i = 0; i < fixed; i++) {
        (void)snprintf(texts[argc++], TEST_PATH_MAX, "%s", before[i]);
    }
    for (size_t i = 0; i < CLIENT_RUN_ARGS && run->args[i] != NULL; i++) {
        const char *text = run->args[i];

        (void)snprintf(texts[argc++], TEST_PATH_MAX, "%s",
                       *text == '@'                ? client_run_path(text + 1)
                       : strcmp(text, "CERT") == 0 ? ends_identity_cert()
                                                   : text);
    }
    if (!run->is_alone && run->address == NULL) {
        (void)snprintf(texts[argc++], TEST_PATH_MAX, "%s", server_address);
    } else if (!run->is_alone) {
        const char *hole = strstr(run->address, "%u");

        (void)snprintf(texts[argc++], TEST_PATH_MAX, "%.*s%u", (int)(hole - run->address),
                       run->address, port);
    }
    for (int i = 0; i < argc; i++) {
        argv[i] = texts[i];
    }
    argv[argc] = NULL;
    return argc;
}

/* So that a server that still waits for a client goes on, and fails. */
static void connect_once_more(const struct peer *peer)
{
    const struct sockaddr_in at = {.sin_family = AF_INET,
                                   .sin_port = htons(peer->port),
                                   .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

    assert_true(fd >= 0);
    assert_int_equal(connect(fd, (const struct sockaddr *)&at, sizeof(at)), 0);
    close(fd);
}

static const struct client_ran *run_client(const struct client_run *run, bool may_be_short)
{
    struct peer *peer = run->is_strict ? ends_strict_peer() : ends_peer();
    char texts[CLIENT_RUN_ARGS + 6][TEST_PATH_MAX];
    char *argv[CLIENT_RUN_ARGS + 7];
    int argc;

    (void)snprintf(server_address, sizeof(server_address), "%s", peer->address);
    argc = fill_arguments(run, peer->port, texts, argv);
    if (run->by_system) {
        assert_int_equal(setenv("SSL_CERT_FILE", ends_identity_ca(), 1), 0);
    }
    ran = (struct client_ran){.exit = -1};
    playing = run;
    if (run->before != NULL) {
        run->before();
    }
    begin(run);
    if (run->steps[0] != NULL) {
        peer_start(peer, play);
    }
    ran.exit = client_main(argc, argv);
    if (may_be_short) {
        connect_once_more(peer);
    }
    if (run->steps[0] != NULL) {
        pthread_join(peer->thread, NULL);
        peer->playing = false;
    }
    finish(run);
    (void)unsetenv("SSL_CERT_FILE");
    if (!may_be_short) {
        peer_finish(peer);
    }
    peer_free(peer);
    return &ran;
}

const struct client_ran *client_run(const struct client_run *run)
{
    return run_client(run, false);
}

const struct client_ran *client_run_cut_short(const struct client_run *run)
{
    return run_client(run, true);
}

void client_run_expect(const struct client_run *run)
{
    const struct client_ran *left = client_run(run);

    expect_text("stderr", run->err, left->err);
    expect_text("stdout", run->out, left->out);
    assert_int_equal(left->exit, run->exit);
    assert_int_equal(left->left_at, run->left_at);
}

void client_run_row(void **state)
{
    client_run_expect(*state);
}
