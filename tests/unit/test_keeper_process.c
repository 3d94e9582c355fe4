/* The file keeper's process: what it serves, what it has let go of, and how its start fails. In any build
 * and on any kernel, for the sandbox itself is not entered. */
#include "support/unit.h"

#include <errno.h>
#include <fcntl.h>
#include <stdint.h>
#include <string.h>
#include <unistd.h>

#include "support/failmalloc.h"
#include "support/keeper_ends.h"

#define END_WAIT_MS 60000 /* for a process to end, on a machine that has other work */

/* ---- the process's side */

/* Serves what was asked before, until the end of the requests; ours is `end`. */
static void serve(int end, int fd)
{
    assert_int_equal(shutdown(end, SHUT_WR), 0);
    keeper_serve(fd, names);
}

static void close_ends(const int ends[2])
{
    assert_int_equal(close(ends[0]), 0);
    assert_int_equal(close(ends[1]), 0);
}

static void ask_for(int end, uint32_t file)
{
    assert_int_equal(send(end, &file, sizeof(file), MSG_NOSIGNAL), sizeof(file));
}

/* The code of an answer, and the descriptor that it brings, or -1. */
static enum tlsmsg_code take(int end, int *fd)
{
    union {
        char bytes[CMSG_SPACE(sizeof(int))];
        struct cmsghdr head;
    } beside;
    struct tlsmsg_error said;
    struct iovec part = {.iov_base = &said, .iov_len = sizeof(said)};
    struct msghdr packet = {.msg_iov = &part,
                            .msg_iovlen = 1,
                            .msg_control = beside.bytes,
                            .msg_controllen = sizeof(beside.bytes)};

    assert_int_equal(__real_recvmsg(end, &packet, MSG_DONTWAIT), sizeof(said));
    *fd = -1;
    if (CMSG_FIRSTHDR(&packet) != NULL) {
        memcpy(fd, CMSG_DATA(CMSG_FIRSTHDR(&packet)), sizeof(*fd));
    }
    return said.code;
}

static void test_interrupted_serving_goes_on(void **state)
{
    static const int takes[] = {EINTR, 0, EINTR, LAST};
    int ends[2];
    int fd;

    (void)state;
    connect_ends(ends);
    ask_for(ends[0], KEEPER_METRICS);
    on.recv.answers = takes;
    serve(ends[0], ends[1]);
    assert_int_equal(on.recv.calls, 4);
    assert_int_equal(take(ends[0], &fd), TLSMSG_OK);
    assert_int_equal(fd, -1);
    close_ends(ends);
}

static void test_serving_ends_with_the_server(void **state)
{
    static const int ended[] = {NOTHING, LAST};
    static const int failed[] = {ECONNRESET, LAST};
    static const int *const scripts[] = {ended, failed};
    static const int unread[] = {EPIPE, LAST};
    int ends[2];

    (void)state;
    connect_ends(ends);
    for (size_t i = 0; i < COUNT_OF(scripts); i++) {
        on.recv.calls = 0;
        on.stale_errno = EINTR;
        on.recv.answers = scripts[i];
        ask_for(ends[0], KEEPER_METRICS);
        keeper_serve(ends[1], names);
        assert_int_equal(on.recv.calls, 1);
    }
    on.recv.calls = 0;
    on.sendmsg.answers = unread;
    keeper_serve(ends[1], names);
    assert_int_equal(on.recv.calls, 1);
    close_ends(ends);
}

/* Also where the first descriptor is free, which is then what a file gets. */
static void test_served_descriptors_are_closed(void **state)
{
    int ends[2];
    int fd;

    (void)state;
    for (int i = 0; i < 2; i++) {
        int saved = -1;
        int free_fd;

        connect_ends(ends);
        if (i == 1) {
            saved = take_stdin();
        }
        free_fd = next_fd();
        ask_for(ends[0], KEEPER_KEY_LOG);
        serve(ends[0], ends[1]);
        assert_int_equal(next_fd(), free_fd);
        assert_int_equal(take(ends[0], &fd), TLSMSG_OK);
        assert_int_equal(fd, free_fd);
        assert_int_equal(close(fd), 0);
        close_ends(ends);
        if (i == 1) {
            give_stdin(saved);
        }
    }
}

/* Far more than is taken: the rest must not come to lie behind the room for it. */
static void test_requests_that_are_far_too_long(void **state)
{
    static char packet[sizeof(uint32_t) + 2 * KEEPER_TEXT_MAX];
    int ends[2];
    int fd;

    (void)state;
    connect_ends(ends);
    assert_int_equal(send(ends[0], packet, sizeof(packet), MSG_NOSIGNAL), sizeof(packet));
    serve(ends[0], ends[1]);
    assert_int_equal(take(ends[0], &fd), TLSMSG_ERR_LIMIT);
    assert_int_equal(access(metrics, F_OK), -1);
    close_ends(ends);
}

static void test_first_descriptor_here(void **state)
{
    struct tlsmsg_error err = {.code = TLSMSG_OK};
    struct keeper keeper;
    int saved;
    int fd = -1;
    enum tlsmsg_code code;

    (void)state;
    keeper_init(&keeper, names);
    saved = take_stdin();
    code = keeper_open(&keeper, KEEPER_KEY_LOG, &fd, &err);
    give_stdin(saved);
    assert_int_equal(code, TLSMSG_OK);
    assert_int_equal(fd, STDIN_FILENO);
}

/* ---- the start */

static void begin(struct keeper *keeper, struct sandbox *sandbox)
{
    keeper_init(keeper, names);
    *sandbox = (struct sandbox){.connects = true};
    for (size_t i = 0; i < KEEPER_FILES; i++) {
        assert_true(sandbox_may_write(sandbox, names[i]));
    }
}

static void test_started_process(void **state)
{
    struct sandbox sandbox;
    struct keeper keeper;

    (void)state;
    begin(&keeper, &sandbox);
    assert_int_equal(keeper_start(&keeper, "somebody", &sandbox, command_line, NULL), TLSMSG_OK);
    assert_int_equal(sandbox.writes, SANDBOX_WRITES_NOTHING);
    assert_true(seen->std_lead_nowhere);
    assert_true(seen->has_no_more);
    assert_true(seen->blocks_signals);
    assert_string_equal(seen->name, "tlsmsg-keeper");
    assert_string_equal(seen->title, "tlsmsg-keeper");
    assert_string_equal(command_line[0], "tlsmsg-server"); /* its own memory */
    assert_true(seen->has_user);
    assert_int_equal(seen->entered.writes, SANDBOX_WRITES_ANEW);
    assert_int_equal(seen->entered.write_count, KEEPER_FILES);
    assert_memory_equal(seen->entered.write, names, sizeof(names));
    assert_int_equal(seen->entered.read_count, 0);
    assert_null(seen->entered.store);
    assert_false(seen->entered.connects);
    assert_int_equal(keeper_write_metrics(&keeper, "x", NULL), TLSMSG_OK);
    keeper_fini(&keeper);
    assert_int_equal(on.waits, 1);
    assert_int_equal(keeper_fd(&keeper), -1);
}

/* The socket may be the first descriptor. */
static void test_start_without_stdin(void **state)
{
    static const int takes[] = {0, 0, EINTR, LAST};
    struct sandbox sandbox;
    struct keeper keeper;
    int saved;
    bool good;

    (void)state;
    begin(&keeper, &sandbox);
    on.recvmsg.answers = takes;
    saved = take_stdin();
    good = keeper_start(&keeper, "somebody", &sandbox, NULL, NULL) == TLSMSG_OK &&
           keeper_fd(&keeper) == STDIN_FILENO &&
           keeper_write_metrics(&keeper, "x", NULL) == TLSMSG_OK && !keeper_look(&keeper);
    keeper_fini(&keeper);
    good = good && keeper_fd(&keeper) == -1 && on.waits == 1;
    give_stdin(saved);
    assert_true(good);
    assert_true(seen->std_lead_nowhere);
    assert_true(seen->has_no_more);
}

static void assert_no_start(struct keeper *keeper, enum tlsmsg_code code, int sys_errno,
                            const char *text)
{
    struct tlsmsg_error err = {.code = TLSMSG_OK};
    struct sandbox sandbox;

    begin(keeper, &sandbox);
    assert_int_equal(keeper_start(keeper, "somebody", &sandbox, command_line, &err), code);
    assert_int_equal(err.code, code);
    assert_int_equal(err.sys_errno, sys_errno);
    assert_string_equal(err.text, text);
}

/* It says what is wrong and ends by itself. */
static void assert_ended(struct keeper *keeper)
{
    struct pollfd entry = {.fd = keeper_fd(keeper), .events = POLLIN};
    char byte;

    assert_int_equal(__real_poll(&entry, 1, END_WAIT_MS), 1);
    assert_int_equal(__real_recv(entry.fd, &byte, 1, MSG_DONTWAIT), 0);
    keeper_fini(keeper);
    assert_int_equal(on.waits, 1);
}

static void test_no_socket(void **state)
{
    static const int fails[] = {EMFILE, LAST};
    struct keeper keeper;

    (void)state;
    on.socketpair.answers = fails;
    assert_no_start(&keeper, TLSMSG_ERR_SYSTEM, EMFILE,
                    "cannot start the file keeper: Too many open files");
    assert_int_equal(keeper_fd(&keeper), -1);
    assert_int_equal(keeper.pid, 0);
    assert_int_equal(on.fork.calls, 0);
}

static void test_no_process(void **state)
{
    static const int fails[] = {EAGAIN, LAST};
    struct keeper keeper;
    int free_fd = next_fd();

    (void)state;
    on.fork.answers = fails;
    assert_no_start(&keeper, TLSMSG_ERR_SYSTEM, EAGAIN,
                    "cannot start the file keeper: Resource temporarily unavailable");
    assert_int_equal(keeper.pid, 0);
    keeper_fini(&keeper);
    assert_int_equal(next_fd(), free_fd);
}

static void test_no_descriptors_to_put_away(void **state)
{
    int fails[6];
    struct keeper keeper;

    (void)state;
    for (size_t i = 0; i < 4; i++) {
        keeper_ends_forget();
        memset(fails, 0, sizeof(fails));
        fails[i] = EMFILE;
        fails[i + 1] = LAST;
        on.dup2.answers = fails;
        assert_no_start(&keeper, TLSMSG_ERR_SYSTEM, 0,
                        "cannot start the file keeper: Too many open files");
        assert_ended(&keeper);
    }
}

static void test_no_memory_for_the_process(void **state)
{
    struct keeper keeper;

    (void)state;
    for (size_t n = 1; n <= KEEPER_FILES; n++) {
        keeper_ends_forget();
        failmalloc_at(n);
        assert_no_start(&keeper, TLSMSG_ERR_SYSTEM, 0,
                        "cannot start the file keeper: Cannot allocate memory");
        failmalloc_at(0);
        assert_ended(&keeper);
    }
}

static void test_no_sandbox(void **state)
{
    struct keeper keeper;

    (void)state;
    on.enters_with = TLSMSG_ERR_CONFIG;
    assert_no_start(&keeper, TLSMSG_ERR_CONFIG, 0,
                    "cannot become user 'somebody': Operation not permitted");
    assert_ended(&keeper);
}

static void test_no_word_from_the_process(void **state)
{
    static const int fails[] = {EPIPE, LAST};
    struct keeper keeper;

    (void)state;
    on.sendmsg.answers = fails;
    assert_no_start(&keeper, TLSMSG_ERR_SYSTEM, 0, "the file keeper didn't start");
    assert_int_equal(keeper_fd(&keeper), -1);
    assert_int_equal(on.waits, 1);
    keeper_fini(&keeper);
    assert_int_equal(on.waits, 1);
}

#define TEST(test) cmocka_unit_test_setup_teardown(test, keeper_ends_set_up, keeper_ends_tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(test_interrupted_serving_goes_on),
        TEST(test_serving_ends_with_the_server),
        TEST(test_served_descriptors_are_closed),
        TEST(test_requests_that_are_far_too_long),
        TEST(test_first_descriptor_here),
        TEST(test_started_process),
        TEST(test_start_without_stdin),
        TEST(test_no_socket),
        TEST(test_no_process),
        TEST(test_no_descriptors_to_put_away),
        TEST(test_no_memory_for_the_process),
        TEST(test_no_sandbox),
        TEST(test_no_word_from_the_process),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
