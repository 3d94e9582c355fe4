/* Writing to stdout: each kind takes what it can, never waits, and leaves the inherited open file
 * description as it was. */
#include "support/unit.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <pty.h>
#include <signal.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <termios.h>
#include <unistd.h>

#include "app/server/stdout.h"

#define MUCH ((size_t)4 * 1024 * 1024)

static char *data;

/* ---- what the system is made to answer */

/* The second look at a file is that at what was opened again. */
static struct {
    int open_errno;           /* 0: files can be opened */
    unsigned fstats;          /* so many calls until now */
    bool fails_to_look_again; /* the second of them */
    bool other_device;        /* what it says */
    bool other_inode;
    mode_t mode; /* 0: what is true */
    int last_opened;
    int writes[4]; /* errno, or 0 for a write that takes nothing and says no cause; then as ever */
    unsigned write_count;
    unsigned written;
} fake;

int __real_open(const char *path, int flags, ...);
int __wrap_open(const char *path, int flags, ...);
int __wrap_open64(const char *path, int flags, ...);
int __real_fstat(int fd, struct stat *is);
int __wrap_fstat(int fd, struct stat *is);
int __wrap_fstat64(int fd, struct stat *is);
ssize_t __real_write(int fd, const void *bytes, size_t len);
ssize_t __wrap_write(int fd, const void *bytes, size_t len);

/* Nothing here makes a file. */
int __wrap_open(const char *path, int flags, ...)
{
    if (fake.open_errno != 0) {
        errno = fake.open_errno;
        return -1;
    }
    return fake.last_opened = __real_open(path, flags);
}

int __wrap_open64(const char *path, int flags, ...)
{
    return __wrap_open(path, flags);
}

int __wrap_fstat(int fd, struct stat *is)
{
    int result = __real_fstat(fd, is);

    if (++fake.fstats == 2) {
        is->st_dev += fake.other_device;
        is->st_ino += fake.other_inode;
        result = fake.fails_to_look_again ? -1 : result;
    }
    is->st_mode = fake.mode != 0 ? fake.mode : is->st_mode;
    return result;
}

int __wrap_fstat64(int fd, struct stat *is)
{
    return __wrap_fstat(fd, is);
}

ssize_t __wrap_write(int fd, const void *bytes, size_t len)
{
    if (fake.written < fake.write_count) {
        int cause = fake.writes[fake.written++];

        errno = cause != 0 ? cause : EAGAIN; /* that of an earlier call */
        return cause != 0 ? -1 : 0;
    }
    return __real_write(fd, bytes, len);
}

static int reset(void **state)
{
    (void)state;
    memset(&fake, 0, sizeof(fake));
    return 0;
}

static bool is_open(int fd)
{
    return fcntl(fd, F_GETFD) >= 0;
}

/* ---- */

static void open_pipe(int ends[2])
{
    assert_int_equal(pipe(ends), 0);
}

static void open_socket(int ends[2])
{
    assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM, 0, ends), 0);
}

static void open_terminal(int ends[2])
{
    struct termios raw;

    assert_int_equal(openpty(&ends[0], &ends[1], NULL, NULL, NULL), 0);
    assert_int_equal(tcgetattr(ends[1], &raw), 0);
    cfmakeraw(&raw);
    assert_int_equal(tcsetattr(ends[1], TCSANOW, &raw), 0);
}

static const struct row {
    const char *name;
    void (*open)(int ends[2]);
    enum stdout_kind kind;
    bool polled; /* as if it could not be opened again */
} rows[] = {
    {"pipe", open_pipe, STDOUT_REOPENED, false},
    {"pipe, polled", open_pipe, STDOUT_REOPENED, true},
    {"socket", open_socket, STDOUT_SOCKET, false},
    {"terminal", open_terminal, STDOUT_REOPENED, false},
};

static void test_slow_reader(void **state)
{
    const struct row *row = *state;
    struct stdout_target target;
    size_t done, more;
    int ends[2];

    row->open(ends);
    stdout_target_init(&target, ends[1]);
    assert_int_equal(target.kind, row->kind);
    if (row->polled) {
        stdout_target_fini(&target);
        target = (struct stdout_target){.fd = ends[1], .kind = STDOUT_POLLED};
    }
    assert_int_equal(stdout_target_write(&target, data, 100, &done), 0);
    assert_int_equal(done, 100);
    assert_int_equal(stdout_target_write(&target, data, MUCH, &done),
                     0); /* returns: did not wait */
    assert_in_range(done, 1, MUCH - 1);
    assert_int_equal(stdout_target_write(&target, data, MUCH, &more), 0);
    assert_in_range(more, 0, 4096);
    assert_int_equal(fcntl(ends[1], F_GETFL) & O_NONBLOCK, 0);
    stdout_target_fini(&target);
    assert_true(fcntl(ends[1], F_GETFD) >= 0); /* borrowed: still open */
    (void)close(ends[0]);
    (void)close(ends[1]);
}

static void test_file_takes_all(void **state)
{
    char path[] = "/tmp/tlsmsg-output-XXXXXX";
    int fd = mkstemp(path);
    struct stdout_target target;
    size_t done;

    (void)state;
    assert_true(fd >= 0);
    (void)unlink(path);
    stdout_target_init(&target, fd);
    assert_int_equal(target.kind, STDOUT_FILE);
    assert_int_equal(stdout_target_write(&target, data, MUCH, &done), 0);
    assert_int_equal(done, MUCH);
    assert_int_equal(lseek(fd, 0, SEEK_CUR), MUCH);
    (void)close(fd);
}

static void test_reader_has_gone(void **state)
{
    struct stdout_target target;
    size_t done;
    int ends[2];

    (void)state;
    open_pipe(ends);
    stdout_target_init(&target, ends[1]);
    (void)close(ends[0]);
    assert_int_equal(stdout_target_write(&target, data, 10, &done), EPIPE);
    stdout_target_fini(&target);
    stdout_target_init(&target, ends[1]); /* whether it can be opened again or not */
    assert_int_equal(stdout_target_write(&target, data, 10, &done), EPIPE);
    stdout_target_fini(&target);
    (void)close(ends[1]);
    open_socket(ends);
    stdout_target_init(&target, ends[1]);
    (void)close(ends[0]);
    assert_int_equal(stdout_target_write(&target, data, 10, &done), EPIPE);
    stdout_target_fini(&target);
    (void)close(ends[1]);
}

static const struct failing {
    const char *name;
    const char *path;
    int flags;
    int cause;
} failing[] = {
    {"a full device", "/dev/full", O_WRONLY, ENOSPC},
    {"what is open for reading stays unwritable", "/dev/null", O_RDONLY, EBADF},
};

static void test_fails(void **state)
{
    const struct failing *row = *state;
    int fd = open(row->path, row->flags);
    struct stdout_target target;
    size_t done;

    assert_true(fd >= 0);
    stdout_target_init(&target, fd);
    assert_int_equal(stdout_target_write(&target, "x", 1, &done), row->cause);
    assert_int_equal(done, 0);
    stdout_target_fini(&target);
    (void)close(fd);
}

/* What could not be written to before does not become writable by being opened again. */
static void test_what_cannot_be_written(void **state)
{
    struct stdout_target target;
    int ends[2];

    (void)state;
    open_pipe(ends);
    stdout_target_init(&target, ends[0]);
    assert_int_equal(target.kind, STDOUT_POLLED);
    stdout_target_fini(&target);
    (void)close(ends[0]);
    (void)close(ends[1]);
}

/* ---- a description of our own */

static void test_what_is_opened_again_is_ours(void **state)
{
    struct stdout_target target;
    int ends[2];
    int copy;

    (void)state;
    open_pipe(ends);
    stdout_target_init(&target, ends[1]);
    copy = target.fd;
    assert_int_not_equal(copy, ends[1]);
    assert_true(target.owns_fd);
    assert_int_equal(fcntl(copy, F_GETFL) & (O_NONBLOCK | O_ACCMODE), O_NONBLOCK | O_WRONLY);
    assert_int_equal(fcntl(copy, F_GETFD), FD_CLOEXEC);
    stdout_target_fini(&target);
    assert_false(is_open(copy));
    assert_int_equal(target.fd, -1);
    assert_false(target.owns_fd);
    assert_true(is_open(ends[1]));
    (void)close(ends[0]);
    (void)close(ends[1]);
}

/* Descriptor 0 is one as any other. */
static void test_the_lowest_descriptor(void **state)
{
    int saved = dup(STDIN_FILENO);
    struct stdout_target target;
    int ends[2];

    (void)state;
    open_pipe(ends);
    assert_int_equal(close(STDIN_FILENO), 0);
    stdout_target_init(&target, ends[1]);
    assert_int_equal(target.kind, STDOUT_REOPENED);
    assert_int_equal(target.fd, STDIN_FILENO);
    stdout_target_fini(&target);
    assert_int_equal(dup2(saved, STDIN_FILENO), STDIN_FILENO);
    (void)close(saved);
    (void)close(ends[0]);
    (void)close(ends[1]);
}

/* Then what was given is written to, piece by piece. */
static void expect_as_given(void)
{
    struct stdout_target target;
    int ends[2];

    open_pipe(ends);
    fake.last_opened = -1;
    fake.fstats = 0;
    stdout_target_init(&target, ends[1]);
    assert_int_equal(target.kind, STDOUT_POLLED);
    assert_int_equal(target.fd, ends[1]);
    assert_false(target.owns_fd);
    assert_false(is_open(fake.last_opened)); /* nothing is left open */
    (void)close(ends[0]);
    (void)close(ends[1]);
}

static void test_what_cannot_be_opened_again(void **state)
{
    (void)state;
    fake.open_errno = EACCES;
    expect_as_given();
}

/* Under that name something else may be by then, or nothing that can be looked at. */
static void test_another_file_under_the_same_name(void **state)
{
    (void)state;
    fake.other_device = true;
    expect_as_given();
    fake.other_device = false;
    fake.other_inode = true;
    expect_as_given();
    fake.other_inode = false;
    fake.fails_to_look_again = true;
    expect_as_given();
}

static void test_devices_and_what_is_none(void **state)
{
    struct stdout_target target;
    size_t done = 7;

    (void)state;
    stdout_target_init(&target, -1);
    assert_int_equal(target.kind, STDOUT_FILE);
    assert_int_equal(stdout_target_write(&target, "x", 1, &done), EBADF);
    assert_int_equal(done, 0);
    stdout_target_fini(&target);
    fake.mode = S_IFBLK;
    stdout_target_init(&target, STDOUT_FILENO);
    assert_int_equal(target.kind, STDOUT_FILE);
    assert_false(target.owns_fd);
    stdout_target_fini(&target);
}

/* ---- writes */

static const struct written {
    const char *name;
    int writes[4];
    unsigned count;
    int result;
    bool is_whole;
} writes[] = {
    {"interrupted, twice", {EINTR, EINTR}, 2, 0, true},
    {"no room now", {EAGAIN}, 1, 0, false},
    {"interrupted, then no room", {EINTR, EWOULDBLOCK}, 2, 0, false},
    {"nothing taken, and no cause", {0}, 1, EIO, false},
    {"an error", {EIO}, 1, EIO, false},
    {"interrupted, then an error", {EINTR, ENOSPC}, 2, ENOSPC, false},
};

static void test_write(void **state)
{
    const struct written *row = *state;
    struct stdout_target target = {.kind = STDOUT_FILE};
    size_t done = 7;
    int ends[2];

    open_pipe(ends);
    target.fd = ends[1];
    (void)reset(state);
    memcpy(fake.writes, row->writes, sizeof(fake.writes));
    fake.write_count = row->count;
    assert_int_equal(stdout_target_write(&target, "abc", 3, &done), row->result);
    assert_int_equal(done, row->is_whole ? 3 : 0);
    assert_int_equal(fake.written, row->count);
    (void)reset(state);
    (void)close(ends[0]);
    (void)close(ends[1]);
}

/* A reader that is slow is looked for before each piece: what fits is known to fit. */
static void test_pieces_of_what_cannot_be_opened_again(void **state)
{
    char buf[2 * PIPE_BUF];
    struct stdout_target target = {.kind = STDOUT_POLLED};
    size_t done;
    int ends[2];

    (void)state;
    open_pipe(ends);
    target.fd = ends[1];
    assert_int_equal(fcntl(ends[1], F_SETPIPE_SZ, PIPE_BUF), PIPE_BUF);
    assert_int_equal(stdout_target_write(&target, data, 2 * PIPE_BUF, &done), 0);
    assert_int_equal(done, PIPE_BUF);
    assert_int_equal(read(ends[0], buf, sizeof(buf)), PIPE_BUF);
    assert_int_equal(stdout_target_write(&target, data, 10, &done), 0);
    assert_int_equal(done, 10);
    (void)close(ends[0]);
    (void)close(ends[1]);
}

/* ---- SIGPIPE */

static volatile sig_atomic_t pipe_signals;

static void count_pipe_signal(int number)
{
    (void)number;
    pipe_signals++;
}

static void test_a_socket_without_a_reader_raises_nothing(void **state)
{
    struct stdout_target target;
    size_t done;
    int ends[2];

    (void)state;
    open_socket(ends);
    stdout_target_init(&target, ends[1]);
    (void)close(ends[0]);
    pipe_signals = 0;
    (void)signal(SIGPIPE, count_pipe_signal);
    assert_int_equal(stdout_target_write(&target, data, 10, &done), EPIPE);
    (void)signal(SIGPIPE, SIG_IGN);
    assert_int_equal(pipe_signals, 0);
    stdout_target_fini(&target);
    (void)close(ends[1]);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(test_file_takes_all, reset),
        cmocka_unit_test_setup(test_reader_has_gone, reset),
        cmocka_unit_test_setup(test_what_cannot_be_written, reset),
        cmocka_unit_test_setup(test_what_is_opened_again_is_ours, reset),
        cmocka_unit_test_setup(test_the_lowest_descriptor, reset),
        cmocka_unit_test_setup(test_what_cannot_be_opened_again, reset),
        cmocka_unit_test_setup(test_another_file_under_the_same_name, reset),
        cmocka_unit_test_setup(test_devices_and_what_is_none, reset),
        cmocka_unit_test_setup(test_pieces_of_what_cannot_be_opened_again, reset),
        cmocka_unit_test_setup(test_a_socket_without_a_reader_raises_nothing, reset),
    };
    int failed = 0;

    (void)signal(SIGPIPE, SIG_IGN);
    data = malloc(MUCH);
    if (data == NULL) {
        return 1;
    }
    memset(data, 'x', MUCH);
    RUN_ROWS(failed, test_slow_reader, rows);
    RUN_ROWS(failed, test_fails, failing);
    RUN_ROWS(failed, test_write, writes);
    failed += cmocka_run_group_tests(tests, NULL, NULL);
    free(data);
    return failed;
}
