/* Writing to stdout: each kind takes what it can, never waits, and leaves the inherited open file
 * description as it was. */
#include "support/unit.h"

#include <errno.h>
#include <fcntl.h>
#include <pty.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <termios.h>
#include <unistd.h>

#include "app/server/stdout.h"

#define MUCH ((size_t)4 * 1024 * 1024)

static char *data;

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

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_file_takes_all),
                                       cmocka_unit_test(test_reader_has_gone),
                                       cmocka_unit_test(test_what_cannot_be_written)};
    int failed = 0;

    (void)signal(SIGPIPE, SIG_IGN);
    data = malloc(MUCH);
    if (data == NULL) {
        return 1;
    }
    memset(data, 'x', MUCH);
    RUN_ROWS(failed, test_slow_reader, rows);
    RUN_ROWS(failed, test_fails, failing);
    failed += cmocka_run_group_tests(tests, NULL, NULL);
    free(data);
    return failed;
}
