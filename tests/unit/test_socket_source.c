/* Socket source: budget, the dry state, and what the kernel is asked with which flags. */
#include "support/unit.h"

#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "net/socket.h"

/* What the next call answers, once for each count; and what was asked. */
static int inject_errno;
static unsigned inject_count;
static unsigned recv_calls;
static unsigned send_calls;
static int last_send_flags;
static size_t last_recv_cap;

ssize_t __real_recv(int fd, void *buf, size_t cap, int flags);
ssize_t __real_send(int fd, const void *buf, size_t len, int flags);
ssize_t __wrap_recv(int fd, void *buf, size_t cap, int flags);
ssize_t __wrap_send(int fd, const void *buf, size_t len, int flags);

static bool is_injected(void)
{
    if (inject_count == 0) {
        return false;
    }
    inject_count--;
    errno = inject_errno;
    return true;
}

ssize_t __wrap_recv(int fd, void *buf, size_t cap, int flags)
{
    recv_calls++;
    last_recv_cap = cap;
    return is_injected() ? -1 : __real_recv(fd, buf, cap, flags);
}

ssize_t __wrap_send(int fd, const void *buf, size_t len, int flags)
{
    send_calls++;
    last_send_flags = flags;
    return is_injected() ? -1 : __real_send(fd, buf, len, flags);
}

/* A source over one end of a pair, the test's hand on the other. */
struct fixture {
    struct socket_source source;
    int ours;
    int theirs;
};

static int open_pair(void **state)
{
    struct fixture *f = calloc(1, sizeof(*f));
    int fds[2];

    if (f == NULL || socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, fds) != 0) {
        free(f);
        return -1;
    }
    f->ours = fds[0];
    f->theirs = fds[1];
    socket_source_init(&f->source, f->ours);
    inject_count = 0;
    recv_calls = 0;
    send_calls = 0;
    *state = f;
    return 0;
}

static int close_pair(void **state)
{
    struct fixture *f = *state;

    (void)close(f->ours);
    if (f->theirs >= 0) {
        (void)close(f->theirs);
    }
    free(f);
    return 0;
}

static enum byte_result read_some(struct fixture *f, char *buf, size_t cap, size_t *got)
{
    return f->source.base.read(&f->source.base, buf, cap, got);
}

static enum byte_result write_some(struct fixture *f, const char *buf, size_t len, bool more,
                                   size_t *put)
{
    return f->source.base.write(&f->source.base, buf, len, more, put);
}

static void feed(struct fixture *f, const char *bytes, size_t len)
{
    assert_int_equal(__real_send(f->theirs, bytes, len, MSG_NOSIGNAL), (ssize_t)len);
}

static void test_short_read_drains_until_the_next_poll(void **state)
{
    struct fixture *f = *state;
    char buf[16];
    size_t got = 99;

    feed(f, "hello", 5);
    assert_int_equal(read_some(f, buf, sizeof(buf), &got), BYTE_OK);
    assert_int_equal(got, 5);
    assert_memory_equal(buf, "hello", 5);
    assert_true(f->source.base.dry);
    feed(f, "more", 4);
    assert_int_equal(read_some(f, buf, sizeof(buf), &got), BYTE_AGAIN);
    assert_int_equal(got, 0);
    assert_int_equal(recv_calls, 1);
    socket_source_ready(&f->source);
    assert_int_equal(read_some(f, buf, sizeof(buf), &got), BYTE_OK);
    assert_int_equal(got, 4);
}

static void test_full_read_is_not_dry(void **state)
{
    struct fixture *f = *state;
    char buf[4];
    size_t got;

    feed(f, "fullmore", 8);
    assert_int_equal(read_some(f, buf, 4, &got), BYTE_OK);
    assert_int_equal(got, 4);
    assert_false(f->source.base.dry);
    assert_int_equal(read_some(f, buf, 4, &got), BYTE_OK);
    assert_memory_equal(buf, "more", 4);
    assert_int_equal(read_some(f, buf, 4, &got), BYTE_AGAIN);
    assert_int_equal(got, 0);
    assert_true(f->source.base.dry);
    assert_int_equal(read_some(f, buf, 4, &got), BYTE_AGAIN);
    assert_int_equal(recv_calls, 3);
}

/* What had arrived when the limit was set, and then nothing, whatever a poll says. */
static void test_limit_ends_reading(void **state)
{
    struct fixture *f = *state;
    char buf[16];
    size_t got;

    feed(f, "hello", 5);
    socket_source_limit(&f->source);
    feed(f, "more", 4);
    assert_int_equal(read_some(f, buf, 2, &got), BYTE_OK);
    assert_int_equal(got, 2);
    assert_false(f->source.base.dry);
    assert_int_equal(read_some(f, buf, sizeof(buf), &got), BYTE_OK);
    assert_int_equal(got, 3);
    assert_int_equal(last_recv_cap, 3);
    assert_true(f->source.base.dry);
    socket_source_ready(&f->source);
    assert_int_equal(read_some(f, buf, sizeof(buf), &got), BYTE_AGAIN);
    assert_int_equal(got, 0);
    assert_true(f->source.base.dry);
    assert_int_equal(recv_calls, 2);
    socket_source_unlimit(&f->source);
    assert_false(f->source.base.dry);
    assert_int_equal(read_some(f, buf, sizeof(buf), &got), BYTE_OK);
    assert_int_equal(got, 4);
    assert_int_equal(f->source.limit_bytes, SIZE_MAX);
}

static void test_limit_of_nothing(void **state)
{
    struct fixture *f = *state;
    char buf[16];
    size_t got;

    socket_source_limit(&f->source);
    feed(f, "more", 4);
    assert_int_equal(read_some(f, buf, sizeof(buf), &got), BYTE_AGAIN);
    assert_int_equal(recv_calls, 0);
}

/* Whatever the memory held before. */
static void test_begins_with_nothing(void **state)
{
    struct fixture *f = *state;
    size_t put;

    memset(&f->source, 0xFF, sizeof(f->source));
    socket_source_init(&f->source, f->ours);
    assert_int_equal(f->source.write_errno, 0);
    assert_false(f->source.sticky);
    assert_false(f->source.write_is_shut);
    assert_int_equal(write_some(f, "x", 1, false, &put), BYTE_OK);
    f->source.base.shut_write(&f->source.base);
    assert_true(f->source.write_is_shut);
}

static void test_no_room_reads_nothing(void **state)
{
    struct fixture *f = *state;
    char buf[1];
    size_t got = 99;

    feed(f, "x", 1);
    assert_int_equal(read_some(f, buf, 0, &got), BYTE_AGAIN);
    assert_int_equal(got, 0);
    assert_int_equal(recv_calls, 0);
    assert_int_equal(read_some(f, buf, 1, &got), BYTE_OK);
}

static void test_budget_ends_reading(void **state)
{
    struct fixture *f = *state;
    char buf[8];
    size_t got;

    assert_int_equal(f->source.budget_bytes, SOCKET_SOURCE_BUDGET_BYTES);
    f->source.budget_bytes = 6;
    feed(f, "0123456789", 10);
    assert_int_equal(read_some(f, buf, 4, &got), BYTE_OK);
    assert_int_equal(f->source.budget_bytes, 2);
    assert_int_equal(read_some(f, buf, 8, &got), BYTE_OK);
    assert_int_equal(got, 2);
    assert_int_equal(last_recv_cap, 2);
    assert_false(f->source.base.dry); /* cut by the budget, not by the kernel */
    assert_int_equal(read_some(f, buf, 8, &got), BYTE_AGAIN);
    assert_int_equal(got, 0);
    assert_int_equal(recv_calls, 2);
    socket_source_ready(&f->source);
    assert_int_equal(f->source.budget_bytes, SOCKET_SOURCE_BUDGET_BYTES);
    assert_int_equal(read_some(f, buf, 8, &got), BYTE_OK);
    assert_int_equal(got, 4);
    assert_memory_equal(buf, "6789", 4);
}

static void test_end_of_file(void **state)
{
    struct fixture *f = *state;
    char buf[8];
    size_t got = 99;

    assert_int_equal(shutdown(f->theirs, SHUT_WR), 0);
    errno = EINTR; /* of long ago */
    assert_int_equal(read_some(f, buf, 8, &got), BYTE_EOF);
    assert_int_equal(got, 0);
    assert_int_equal(read_some(f, buf, 8, &got), BYTE_EOF);
}

static void test_interrupted_calls_are_repeated(void **state)
{
    struct fixture *f = *state;
    char buf[8];
    size_t n;

    feed(f, "abc", 3);
    inject_errno = EINTR;
    inject_count = 3;
    assert_int_equal(read_some(f, buf, 8, &n), BYTE_OK);
    assert_int_equal(n, 3);
    assert_int_equal(recv_calls, 4);
    inject_count = 2;
    assert_int_equal(write_some(f, "abc", 3, false, &n), BYTE_OK);
    assert_int_equal(n, 3);
    assert_int_equal(send_calls, 3);
}

static void test_failed_read_keeps_its_cause(void **state)
{
    struct fixture *f = *state;
    char buf[8];
    size_t got = 99;

    inject_errno = ECONNRESET;
    inject_count = 1;
    assert_int_equal(read_some(f, buf, 8, &got), BYTE_ERROR);
    assert_int_equal(f->source.base.sys_errno, ECONNRESET);
    assert_int_equal(got, 0);
    assert_false(f->source.base.dry);
}

static void test_write_flags(void **state)
{
    struct fixture *f = *state;
    char buf[8];
    size_t put;

    assert_int_equal(write_some(f, "ab", 2, true, &put), BYTE_OK);
    assert_int_equal(put, 2);
    assert_int_equal(last_send_flags, MSG_NOSIGNAL | MSG_MORE);
    assert_int_equal(write_some(f, "c", 1, false, &put), BYTE_OK);
    assert_int_equal(last_send_flags, MSG_NOSIGNAL);
    assert_int_equal(__real_recv(f->theirs, buf, 8, 0), 3);
    assert_memory_equal(buf, "abc", 3);
}

static void test_full_socket_says_again(void **state)
{
    struct fixture *f = *state;
    static const char block[65536];
    size_t put;
    unsigned i;

    for (i = 0; i < 1000; i++) {
        enum byte_result result = write_some(f, block, sizeof(block), false, &put);

        if (result == BYTE_AGAIN) {
            assert_int_equal(put, 0);
            return;
        }
        assert_int_equal(result, BYTE_OK);
        assert_true(put >= 1);
    }
    fail_msg("64 MiB went into a socket that nobody reads");
}

/* With SIGPIPE at its default the test would not live to see the result. */
static void test_closed_peer_raises_no_signal(void **state)
{
    struct fixture *f = *state;
    size_t put = 99;

    (void)close(f->theirs);
    f->theirs = -1;
    assert_int_equal(write_some(f, "x", 1, false, &put), BYTE_ERROR);
    assert_int_equal(f->source.base.sys_errno, EPIPE);
    assert_int_equal(put, 0);
}

static void test_shutting_twice_is_shutting_once(void **state)
{
    struct fixture *f = *state;
    char buf[8];
    size_t got;

    f->source.base.shut_write(&f->source.base);
    f->source.base.shut_write(&f->source.base);
    assert_int_equal(__real_recv(f->theirs, buf, 8, 0), 0);
    feed(f, "still", 5);
    assert_int_equal(read_some(f, buf, 8, &got), BYTE_OK);
    assert_int_equal(got, 5);
}

#define WITH_PAIR(test) cmocka_unit_test_setup_teardown(test, open_pair, close_pair)

static enum byte_result write_text(struct fixture *f, const char *text, size_t *put)
{
    return f->source.base.write(&f->source.base, text, strlen(text), false, put);
}

/* The reason for a failed write may lie unread in the kernel. */
static void test_kept_write_error(void **state)
{
    struct fixture *f = *state;
    char buf[8];
    size_t n = 99;

    socket_source_keep_write_error(&f->source);
    assert_int_equal(write_text(f, "ab", &n), BYTE_OK);
    assert_int_equal(n, 2);
    assert_int_equal(f->source.write_errno, 0);
    feed(f, "why", 3);
    inject_errno = EPIPE;
    inject_count = 1;
    assert_int_equal(write_text(f, "cde", &n), BYTE_OK);
    assert_int_equal(n, 3);
    assert_int_equal(f->source.write_errno, EPIPE);
    inject_errno = ECONNRESET;
    inject_count = 1;
    assert_int_equal(write_text(f, "f", &n), BYTE_OK);
    assert_int_equal(n, 1);
    assert_int_equal(f->source.write_errno, EPIPE);
    assert_int_equal(send_calls, 2); /* the kernel isn't asked again */
    inject_count = 0;
    assert_int_equal(read_some(f, buf, sizeof(buf), &n), BYTE_OK);
    assert_memory_equal(buf, "why", 3);
    assert_int_equal(read_some(f, buf, sizeof(buf), &n), BYTE_AGAIN);
}

static void test_kept_write_error_is_no_blocked_write(void **state)
{
    struct fixture *f = *state;
    size_t n = 99;

    socket_source_keep_write_error(&f->source);
    inject_errno = EAGAIN;
    inject_count = 1;
    assert_int_equal(write_text(f, "ab", &n), BYTE_AGAIN);
    assert_int_equal(n, 0);
    assert_int_equal(f->source.write_errno, 0);
    assert_int_equal(write_text(f, "ab", &n), BYTE_OK);
    assert_int_equal(n, 2);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        WITH_PAIR(test_short_read_drains_until_the_next_poll),
        WITH_PAIR(test_kept_write_error),
        WITH_PAIR(test_kept_write_error_is_no_blocked_write),
        WITH_PAIR(test_full_read_is_not_dry),
        WITH_PAIR(test_limit_ends_reading),
        WITH_PAIR(test_limit_of_nothing),
        WITH_PAIR(test_begins_with_nothing),
        WITH_PAIR(test_no_room_reads_nothing),
        WITH_PAIR(test_budget_ends_reading),
        WITH_PAIR(test_end_of_file),
        WITH_PAIR(test_interrupted_calls_are_repeated),
        WITH_PAIR(test_failed_read_keeps_its_cause),
        WITH_PAIR(test_write_flags),
        WITH_PAIR(test_full_socket_says_again),
        WITH_PAIR(test_closed_peer_raises_no_signal),
        WITH_PAIR(test_shutting_twice_is_shutting_once),
    };

    return cmocka_run_group_tests_name("socket_source", tests, NULL, NULL);
}
