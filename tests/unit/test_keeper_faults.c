/* What the server hears of a file keeper whose answers are interrupted, late or none. */
#include "support/unit.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "support/keeper_ends.h"

/* The keeper's end of a socket, and ours in keeper. */
static int connect_keeper(struct keeper *keeper)
{
    int ends[2];

    keeper_init(keeper, names);
    connect_ends(ends);
    keeper->fd = ends[0];
    keeper->pid = getpid(); /* nobody's parent */
    return ends[1];
}

static void assert_fails_to_write(struct keeper *keeper, const char *how)
{
    struct tlsmsg_error err = {.code = TLSMSG_OK};
    char wanted[TEST_PATH_MAX + 96];

    (void)snprintf(wanted, sizeof(wanted), "cannot write metrics '%s': the file keeper %s", metrics,
                   how);
    assert_int_equal(keeper_write_metrics(keeper, "x", &err), TLSMSG_ERR_SYSTEM);
    assert_int_equal(err.code, TLSMSG_ERR_SYSTEM);
    assert_int_equal(err.sys_errno, 0);
    assert_string_equal(err.text, wanted);
}

static const char is_late[] = "doesn't answer";
static const char has_ended[] = "has ended (try: a restart)";

/* ---- the server's side */

static void test_interrupted_waiting_goes_on(void **state)
{
    /* The first look is for an answer that comes late. */
    static const int polls[] = {EINTR, 0, 0, EINTR, 0, LAST};
    static const int takes[] = {0, EINTR, EAGAIN, 0, LAST};
    struct keeper keeper;
    int end = connect_keeper(&keeper);

    (void)state;
    on.replies_by = end;
    on.poll.answers = polls;
    on.recvmsg.answers = takes;
    assert_int_equal(keeper_write_metrics(&keeper, "x", NULL), TLSMSG_OK);
    assert_int_equal(on.poll.calls, 5);
    assert_int_equal(on.recvmsg.calls, 4);
    (void)close(end);
    keeper_fini(&keeper);
}

static void test_waiting_that_fails_is_over(void **state)
{
    static const int failing[] = {ENOMEM, LAST};
    static const int nothing[] = {NOTHING, LAST};
    static const int *const scripts[] = {failing, nothing};
    struct keeper keeper;

    (void)state;
    for (size_t i = 0; i < COUNT_OF(scripts); i++) {
        int end = connect_keeper(&keeper);

        keeper_ends_forget();
        on.stale_errno = EINTR;
        on.replies_by = end;
        on.poll.answers = scripts[i];
        assert_fails_to_write(&keeper, is_late);
        assert_int_equal(on.poll.calls, 1);
        assert_int_equal(on.recvmsg.calls, 1);
        /* What came meanwhile is taken before the next question. */
        assert_int_equal(keeper_write_metrics(&keeper, "y", NULL), TLSMSG_OK);
        (void)close(end);
        keeper_fini(&keeper);
    }
}

static void test_end_is_seen(void **state)
{
    static const int ended[] = {0, NOTHING, LAST};
    static const int reset[] = {0, ECONNRESET, LAST};
    static const int *const scripts[] = {ended, reset, NULL};
    struct keeper keeper;

    (void)state;
    for (size_t i = 0; i < COUNT_OF(scripts); i++) {
        int free_fd = next_fd();
        int end = connect_keeper(&keeper);

        keeper_ends_forget();
        on.stale_errno = EAGAIN;
        on.replies_by = end;
        on.reply_len = scripts[i] == NULL ? sizeof(on.reply) - 1 : sizeof(on.reply);
        on.recvmsg.answers = scripts[i];
        assert_fails_to_write(&keeper, has_ended);
        assert_int_equal(keeper_fd(&keeper), -1);
        assert_int_equal(on.waits, 1);
        assert_true(keeper_look(&keeper));
        assert_false(keeper_look(&keeper));
        /* Nobody is waited for any more. */
        on.poll.calls = 0;
        assert_fails_to_write(&keeper, has_ended);
        keeper_fini(&keeper);
        assert_int_equal(on.poll.calls, 0);
        (void)close(end);
        assert_int_equal(next_fd(), free_fd);
    }
}

static void test_end_is_seen_by_looking(void **state)
{
    struct keeper keeper;

    (void)state;
    (void)close(connect_keeper(&keeper));
    assert_true(keeper_look(&keeper));
    assert_false(keeper_look(&keeper));
    assert_int_equal(keeper_fd(&keeper), -1);
}

static void test_nothing_is_awaited_that_was_not_asked(void **state)
{
    static const int late[] = {NOTHING, LAST};
    static const int refused[] = {EPIPE, LAST};
    struct keeper keeper;
    int end = connect_keeper(&keeper);

    (void)state;
    on.sendmsg.answers = refused;
    assert_fails_to_write(&keeper, is_late);
    assert_int_equal(on.poll.calls, 0);
    on.poll.answers = late;
    assert_fails_to_write(&keeper, is_late);
    assert_fails_to_write(&keeper, is_late);
    assert_int_equal(on.poll.calls, 1);
    assert_int_equal(on.sendmsg.calls, 2);
    (void)close(end);
    keeper_fini(&keeper);
}

static void test_answer_without_an_end(void **state)
{
    struct tlsmsg_error err = {.code = TLSMSG_OK};
    char wanted[sizeof(err.text)];
    struct keeper keeper;
    int end = connect_keeper(&keeper);

    (void)state;
    on.replies_by = end;
    on.reply.code = TLSMSG_ERR_CONFIG;
    memset(on.reply.text, 'x', sizeof(on.reply.text));
    memset(wanted, 'x', sizeof(wanted));
    wanted[sizeof(wanted) - 1] = '\0';
    assert_int_equal(keeper_write_metrics(&keeper, "x", &err), TLSMSG_ERR_CONFIG);
    assert_string_equal(err.text, wanted);
    /* A cause that is known already stays. */
    on.reply.code = TLSMSG_ERR_SYSTEM;
    memset(on.reply.text, 'y', sizeof(on.reply.text));
    assert_int_equal(keeper_write_metrics(&keeper, "x", &err), TLSMSG_ERR_SYSTEM);
    assert_int_equal(err.code, TLSMSG_ERR_CONFIG);
    assert_string_equal(err.text, wanted);
    (void)close(end);
    keeper_fini(&keeper);
}

/* Opened, but the server had no room for another descriptor. */
static void test_descriptor_that_is_lost(void **state)
{
    struct tlsmsg_error err = {.code = TLSMSG_OK};
    char wanted[TEST_PATH_MAX + 128];
    struct keeper keeper;
    int end = connect_keeper(&keeper);
    int fd;

    (void)state;
    on.replies_by = end;
    (void)snprintf(wanted, sizeof(wanted),
                   "cannot open key log '%s' (try: a higher LimitNOFILE= or ulimit -n): Too many "
                   "open files",
                   key_log);
    assert_int_equal(keeper_open(&keeper, KEEPER_KEY_LOG, &fd, &err), TLSMSG_ERR_CONFIG);
    assert_int_equal(fd, -1);
    assert_int_equal(err.sys_errno, EMFILE);
    assert_string_equal(err.text, wanted);
    (void)close(end);
    keeper_fini(&keeper);
}

/* Sends an answer that brings the end of a pipe, and lets go of that. Returns the other end. */
static int send_late(int end)
{
    union {
        char bytes[CMSG_SPACE(sizeof(int))];
        struct cmsghdr head;
    } beside = {.head = {.cmsg_level = SOL_SOCKET, .cmsg_type = SCM_RIGHTS}};
    struct iovec part = {.iov_base = &on.reply, .iov_len = sizeof(on.reply)};
    struct msghdr packet = {.msg_iov = &part,
                            .msg_iovlen = 1,
                            .msg_control = beside.bytes,
                            .msg_controllen = sizeof(beside.bytes)};
    int ends[2];

    assert_int_equal(pipe(ends), 0);
    assert_int_equal(fcntl(ends[0], F_SETFL, O_NONBLOCK), 0);
    beside.head.cmsg_len = CMSG_LEN(sizeof(ends[1]));
    memcpy(CMSG_DATA(&beside.head), &ends[1], sizeof(ends[1]));
    assert_int_equal(__real_sendmsg(end, &packet, 0), sizeof(on.reply));
    (void)close(ends[1]);
    return ends[0];
}

static void assert_other_end_is_closed(int fd)
{
    char byte;

    assert_int_equal(read(fd, &byte, 1), 0);
    assert_int_equal(close(fd), 0);
}

static void test_late_descriptor_is_closed(void **state)
{
    struct keeper keeper;
    int end = connect_keeper(&keeper);
    int fd = send_late(end);

    (void)state;
    assert_false(keeper_look(&keeper));
    assert_other_end_is_closed(fd);
    (void)close(end);
    keeper_fini(&keeper);
}

/* Be it that of the socket, or the one that an answer brings too late. */
static void test_first_descriptor_is_one_like_others(void **state)
{
    struct keeper keeper;
    int saved = take_stdin();
    int end = connect_keeper(&keeper);
    int fd = send_late(end);
    bool is_first = keeper_fd(&keeper) == STDIN_FILENO;

    (void)state;
    assert_false(keeper_look(&keeper));
    assert_other_end_is_closed(fd);
    give_stdin(saved);
    assert_true(is_first);
    (void)close(end);

    end = connect_keeper(&keeper);
    fd = send_late(end);
    saved = take_stdin();
    assert_false(keeper_look(&keeper));
    assert_int_equal(fcntl(STDIN_FILENO, F_GETFD), -1);
    give_stdin(saved);
    assert_other_end_is_closed(fd);
    (void)close(end);
    keeper_fini(&keeper);
}

/* One that a disk holds. */
static void test_end_is_not_waited_for_long(void **state)
{
    static const int late[] = {NOTHING, LAST};
    struct keeper keeper;
    int free_fd = next_fd();
    int end = connect_keeper(&keeper);
    char byte;

    (void)state;
    on.poll.answers = late;
    keeper_fini(&keeper);
    assert_int_equal(on.poll.calls, 1);
    assert_int_equal(on.waits, 0);
    assert_int_equal(keeper_fd(&keeper), -1);
    assert_int_equal(__real_recv(end, &byte, 1, MSG_DONTWAIT), 0);
    (void)close(end);
    assert_int_equal(next_fd(), free_fd);
    keeper_fini(&keeper);
    assert_int_equal(on.poll.calls, 1);
}

#define TEST(test) cmocka_unit_test_setup_teardown(test, keeper_ends_set_up, keeper_ends_tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(test_interrupted_waiting_goes_on),
        TEST(test_waiting_that_fails_is_over),
        TEST(test_end_is_seen),
        TEST(test_end_is_seen_by_looking),
        TEST(test_nothing_is_awaited_that_was_not_asked),
        TEST(test_answer_without_an_end),
        TEST(test_descriptor_that_is_lost),
        TEST(test_late_descriptor_is_closed),
        TEST(test_first_descriptor_is_one_like_others),
        TEST(test_end_is_not_waited_for_long),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
