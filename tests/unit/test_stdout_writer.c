/* The writer: order, holds and their ends, failures. Both threads' parts are played in turn. */
#include "support/unit.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "app/server/stdout.h"
#include "support/failmalloc.h"

#define WORKERS 3
#define PIPE_BYTES 4096

static bool no_wake;

int __real_wake_open(void);
int __wrap_wake_open(void);

int __wrap_wake_open(void)
{
    if (no_wake) {
        errno = EMFILE;
        return -1;
    }
    return __real_wake_open();
}

/* A writer that writes to a small pipe, and what it released. */
struct fixture {
    struct stdout_writer writer;
    int ends[2];
    unsigned released[WORKERS];
    unsigned failed[WORKERS];
    int64_t told_bytes; /* that wait, by all changes that were told */
};

static void on_change(int64_t delta, void *user)
{
    struct fixture *f = user;

    f->told_bytes += delta;
}

static void release(unsigned worker, bool fail, void *user)
{
    struct fixture *f = user;

    assert_true(worker < WORKERS);
    if (fail) {
        f->failed[worker]++;
    } else {
        f->released[worker]++;
    }
}

static int set_up(void **state)
{
    struct fixture *f = calloc(1, sizeof(*f));

    assert_non_null(f);
    assert_int_equal(pipe(f->ends), 0);
    assert_int_equal(fcntl(f->ends[1], F_SETPIPE_SZ, PIPE_BYTES), PIPE_BYTES);
    assert_int_equal(stdout_writer_init(&f->writer, f->ends[1], NULL), TLSMSG_OK);
    stdout_writer_on_change(&f->writer, on_change, f);
    assert_int_equal(stdout_writer_set_workers(&f->writer, WORKERS), TLSMSG_OK);
    *state = f;
    return 0;
}

static int tear_down(void **state)
{
    struct fixture *f = *state;

    stdout_writer_fini(&f->writer);
    stdout_writer_fini(&f->writer); /* again: no effect */
    (void)close(f->ends[0]);
    (void)close(f->ends[1]);
    free(f);
    return 0;
}

static bool go_on(struct fixture *f)
{
    int fd = -1;
    bool waits = stdout_writer_continue(&f->writer, release, f, &fd);

    assert_int_equal(fd, f->writer.target.fd);
    assert_int_equal(f->told_bytes, stdout_writer_waiting_bytes(&f->writer));
    return waits;
}

static bool is_woken(struct fixture *f)
{
    struct pollfd entry = {.fd = stdout_writer_wake_fd(&f->writer), .events = POLLIN};

    return poll(&entry, 1, 0) == 1;
}

/* Reads n bytes and checks that each is c. */
static void expect(struct fixture *f, char c, size_t n)
{
    char buf[PIPE_BYTES];

    while (n > 0) {
        ssize_t got = read(f->ends[0], buf, n < sizeof(buf) ? n : sizeof(buf));
        ssize_t i;

        assert_true(got > 0);
        for (i = 0; i < got; i++) {
            assert_int_equal(buf[i], c);
        }
        n -= (size_t)got;
    }
}

static enum tlsmsg_turn end_turn(struct fixture *f, unsigned worker, char c, size_t n)
{
    char lines[3 * PIPE_BYTES];
    enum tlsmsg_turn turn;

    assert_true(n <= sizeof(lines));
    memset(lines, c, sizeof(lines));
    turn = stdout_writer_end_turn(&f->writer, worker, lines, n);
    assert_int_equal(f->told_bytes, stdout_writer_waiting_bytes(&f->writer));
    return turn;
}

static void test_fast_reader(void **state)
{
    struct fixture *f = *state;

    assert_int_equal(end_turn(f, 0, 'a', 100), TLSMSG_TURN_RELEASE);
    assert_int_equal(end_turn(f, 1, 'a', 0), TLSMSG_TURN_RELEASE);
    assert_false(is_woken(f));
    assert_false(go_on(f));
    assert_int_equal(f->released[0] + f->released[1], 0);
    expect(f, 'a', 100);
}

static void test_slow_reader(void **state)
{
    struct fixture *f = *state;

    assert_int_equal(end_turn(f, 0, 'a', PIPE_BYTES + 10), TLSMSG_TURN_HOLD);
    assert_true(is_woken(f));
    assert_int_equal(end_turn(f, 1, 'b', 20), TLSMSG_TURN_HOLD);
    assert_int_equal(end_turn(f, 2, 'c', 0), TLSMSG_TURN_RELEASE); /* has nothing to wait for */
    assert_int_equal(stdout_writer_waiting_bytes(&f->writer), 30);
    assert_true(go_on(f));
    assert_false(is_woken(f));
    assert_int_equal(f->released[0] + f->released[1], 0);
    expect(f, 'a', PIPE_BYTES);
    assert_false(go_on(f));
    assert_int_equal(f->released[0], 1);
    assert_int_equal(f->released[1], 1);
    expect(f, 'a', 10);
    expect(f, 'b', 20);
    assert_false(go_on(f)); /* each hold ends once */
    assert_int_equal(f->released[0], 1);
    assert_int_equal(end_turn(f, 0, 'd', 5), TLSMSG_TURN_RELEASE);
    expect(f, 'd', 5);
}

/* A hold ends when its own lines are out, not when all are. */
static void test_holds_end_one_by_one(void **state)
{
    struct fixture *f = *state;

    assert_int_equal(end_turn(f, 0, 'a', PIPE_BYTES + 10), TLSMSG_TURN_HOLD);
    assert_int_equal(end_turn(f, 1, 'b', 2 * PIPE_BYTES), TLSMSG_TURN_HOLD);
    expect(f, 'a', PIPE_BYTES);
    assert_true(go_on(f));
    assert_int_equal(f->released[0], 1);
    assert_int_equal(f->released[1], 0);
    expect(f, 'a', 10);
    expect(f, 'b', PIPE_BYTES - 10);
    assert_true(go_on(f));
    assert_int_equal(f->released[1], 0);
    expect(f, 'b', PIPE_BYTES);
    assert_false(go_on(f));
    assert_int_equal(f->released[1], 1);
    expect(f, 'b', 10);
}

/* Holds are counted: as many ends as there were holds. */
static void test_held_worker_holds_again(void **state)
{
    struct fixture *f = *state;

    assert_int_equal(end_turn(f, 0, 'a', PIPE_BYTES + 10), TLSMSG_TURN_HOLD);
    assert_int_equal(end_turn(f, 0, 'a', 10), TLSMSG_TURN_HOLD);
    assert_int_equal(end_turn(f, 0, 'a', 0), TLSMSG_TURN_HOLD);
    expect(f, 'a', PIPE_BYTES);
    assert_false(go_on(f));
    assert_int_equal(f->released[0], 3);
    expect(f, 'a', 20);
}

static void test_early_lines_stay_in_order(void **state)
{
    struct fixture *f = *state;

    assert_true(stdout_writer_add(&f->writer, "aaaa", 4));
    assert_int_equal(end_turn(f, 0, 'a', PIPE_BYTES), TLSMSG_TURN_HOLD);
    assert_true(stdout_writer_add(&f->writer, "bbbb", 4));
    expect(f, 'a', 4);
    assert_true(go_on(f));
    assert_int_equal(f->released[0], 1);
    expect(f, 'a', PIPE_BYTES);
    assert_false(go_on(f));
    expect(f, 'b', 4);
}

static void test_reader_goes_while_lines_wait(void **state)
{
    struct fixture *f = *state;

    assert_int_equal(end_turn(f, 1, 'a', 2 * PIPE_BYTES), TLSMSG_TURN_HOLD);
    (void)close(f->ends[0]);
    f->ends[0] = -1;
    assert_false(go_on(f));
    assert_int_equal(stdout_writer_cause(&f->writer), EPIPE);
    assert_int_equal(f->failed[1], 1);
    assert_int_equal(f->failed[0], 1); /* tells a server of which no worker held, too */
    assert_false(go_on(f));
    assert_int_equal(f->failed[0] + f->failed[1], 2);
    assert_int_equal(end_turn(f, 2, 'b', 1), TLSMSG_TURN_FAIL);
    assert_int_equal(end_turn(f, 2, 'b', 0), TLSMSG_TURN_FAIL);
    assert_false(stdout_writer_add(&f->writer, "x", 1));
    assert_int_equal(f->released[0] + f->released[1] + f->released[2], 0);
}

static void test_reader_goes_before_a_turn(void **state)
{
    struct fixture *f = *state;

    (void)close(f->ends[0]);
    f->ends[0] = -1;
    assert_int_equal(end_turn(f, 1, 'a', 1), TLSMSG_TURN_FAIL);
    assert_true(is_woken(f));
    assert_false(go_on(f));
    assert_int_equal(f->failed[0], 1);
    assert_int_equal(stdout_writer_cause(&f->writer), EPIPE);
}

static void test_abandoned(void **state)
{
    struct fixture *f = *state;

    assert_int_equal(end_turn(f, 2, 'a', 2 * PIPE_BYTES), TLSMSG_TURN_HOLD);
    stdout_writer_abandon(&f->writer, ETIMEDOUT);
    stdout_writer_abandon(&f->writer, EIO); /* the first cause stays */
    assert_false(go_on(f));
    assert_int_equal(stdout_writer_cause(&f->writer), ETIMEDOUT);
    assert_int_equal(f->failed[2], 1);
}

/* ---- long lines */

/* A turn with nothing but a long line holds for it, and the turn after doesn't. */
static void test_a_long_line_alone(void **state)
{
    const struct stdout_line line = {
        .head = "<", .head_len = 1, .text = "aaa", .text_len = 3, .tail = ">", .tail_len = 1};
    struct fixture *f = *state;
    char buf[8] = "";

    assert_true(stdout_writer_add_long(&f->writer, 1, &line));
    assert_true(is_woken(f));
    assert_int_equal(f->told_bytes, 5);
    assert_int_equal(end_turn(f, 1, 'x', 0), TLSMSG_TURN_HOLD);
    assert_int_equal(end_turn(f, 0, 'x', 0), TLSMSG_TURN_RELEASE);
    assert_false(go_on(f));
    assert_int_equal(f->released[1], 1);
    assert_int_equal(read(f->ends[0], buf, sizeof(buf)), 5);
    assert_string_equal(buf, "<aaa>");
    assert_int_equal(end_turn(f, 0, 'a', PIPE_BYTES + 10), TLSMSG_TURN_HOLD);
    assert_int_equal(end_turn(f, 1, 'x', 0), TLSMSG_TURN_RELEASE);
    expect(f, 'a', PIPE_BYTES);
    assert_false(go_on(f));
    stdout_writer_abandon(&f->writer, EIO);
    assert_false(stdout_writer_add_long(&f->writer, 1, &line));
    assert_int_equal(stdout_writer_waiting_bytes(&f->writer), 0);
}

/* ---- files */

static int open_file(void)
{
    char path[] = "/tmp/tlsmsg-writer-XXXXXX";
    int fd = mkstemp(path);

    assert_true(fd >= 0);
    assert_int_equal(unlink(path), 0);
    return fd;
}

/* What waits goes to the file, a part at a time, so that workers get in between. */
static void test_a_file_instead(void **state)
{
    enum { MUCH = 2 * 1024 * 1024 + 100, PORTION = 1024 * 1024 };
    struct fixture *f = *state;
    char *lines = malloc(PIPE_BYTES + MUCH);
    int first = open_file();
    int second = open_file();

    assert_non_null(lines);
    memset(lines, 'a', PIPE_BYTES + MUCH);
    assert_int_equal(stdout_writer_end_turn(&f->writer, 0, lines, PIPE_BYTES + MUCH),
                     TLSMSG_TURN_HOLD);
    free(lines);
    assert_int_equal(stdout_writer_waiting_bytes(&f->writer), MUCH);
    stdout_writer_set_file(&f->writer, first);
    assert_true(go_on(f));
    assert_int_equal(lseek(first, 0, SEEK_END), PORTION);
    assert_true(go_on(f));
    assert_int_equal(lseek(first, 0, SEEK_END), 2 * PORTION);
    assert_int_equal(f->released[0], 0);
    assert_false(go_on(f));
    assert_int_equal(lseek(first, 0, SEEK_END), MUCH);
    assert_int_equal(f->released[0], 1);
    stdout_writer_set_file(&f->writer, second);
    assert_int_equal(fcntl(first, F_GETFD), -1); /* the writer has closed it */
    assert_int_equal(end_turn(f, 0, 'b', 3), TLSMSG_TURN_RELEASE);
    assert_int_equal(lseek(second, 0, SEEK_END), 3);
    stdout_writer_fini(&f->writer);
    assert_int_equal(fcntl(second, F_GETFD), -1);
}

/* ---- no memory, no descriptor */

static void test_no_memory_to_wait(void **state)
{
    const struct stdout_line line = {.text = "aaa", .text_len = 3};
    struct fixture *f = *state;

    assert_true(stdout_writer_add(&f->writer, "x", 1));
    failmalloc_at(1);
    assert_false(stdout_writer_add_long(&f->writer, 0, &line));
    failmalloc_at(0);
    assert_int_equal(stdout_writer_cause(&f->writer), ENOMEM);
    assert_true(is_woken(f));
    assert_int_equal(end_turn(f, 0, 'a', 0), TLSMSG_TURN_FAIL);
    assert_false(go_on(f));
    assert_int_equal(f->failed[0], 1);
}

static void test_no_memory_for_workers(void **state)
{
    struct fixture f = {.told_bytes = 0};
    struct stdout_writer writer;
    int fd;

    (void)state;
    assert_int_equal(stdout_writer_init(&writer, -1, NULL), TLSMSG_OK);
    failmalloc_at(1);
    assert_int_equal(stdout_writer_set_workers(&writer, WORKERS), TLSMSG_ERR_NOMEM);
    failmalloc_at(0);
    assert_int_equal(writer.workers, 0);
    stdout_writer_abandon(&writer, EIO);
    assert_false(stdout_writer_continue(&writer, release, &f, &fd));
    assert_int_equal(f.failed[0], 0); /* there is nobody to be told */
    stdout_writer_fini(&writer);
}

/* Descriptor 0 is one as any other. */
static void test_the_lowest_descriptor_to_wake_with(void **state)
{
    int saved = dup(STDIN_FILENO);
    struct stdout_writer writer;

    (void)state;
    assert_int_equal(close(STDIN_FILENO), 0);
    assert_int_equal(stdout_writer_init(&writer, -1, NULL), TLSMSG_OK);
    assert_int_equal(stdout_writer_wake_fd(&writer), STDIN_FILENO);
    stdout_writer_fini(&writer);
    assert_int_equal(fcntl(STDIN_FILENO, F_GETFD), -1);
    assert_int_equal(dup2(saved, STDIN_FILENO), STDIN_FILENO);
    (void)close(saved);
}

static void test_no_descriptor_to_wake_with(void **state)
{
    struct tlsmsg_error err = {.code = TLSMSG_OK};
    struct stdout_writer writer;

    (void)state;
    no_wake = true;
    assert_int_equal(stdout_writer_init(&writer, STDOUT_FILENO, &err), TLSMSG_ERR_SYSTEM);
    no_wake = false;
    assert_int_equal(err.code, TLSMSG_ERR_SYSTEM);
    assert_int_equal(err.sys_errno, EMFILE);
    assert_string_equal(err.text, "cannot make an event descriptor: Too many open files");
    stdout_writer_fini(&writer); /* no effect */
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_fast_reader, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_slow_reader, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_holds_end_one_by_one, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_held_worker_holds_again, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_early_lines_stay_in_order, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_reader_goes_while_lines_wait, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_reader_goes_before_a_turn, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_abandoned, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_a_long_line_alone, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_a_file_instead, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_no_memory_to_wait, set_up, tear_down),
        cmocka_unit_test(test_no_memory_for_workers),
        cmocka_unit_test(test_the_lowest_descriptor_to_wake_with),
        cmocka_unit_test(test_no_descriptor_to_wake_with),
    };

    (void)signal(SIGPIPE, SIG_IGN);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
