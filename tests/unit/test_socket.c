/* Sockets over loopback: accepting and connecting, and what the kernel answers meanwhile. */
#include "support/unit.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdbool.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "net/socket.h"
#include "support/loopback.h"
#include "support/socket_script.h"

static void assert_nonblocking_cloexec(int fd)
{
    assert_true((fcntl(fd, F_GETFL) & O_NONBLOCK) != 0);
    assert_true((fcntl(fd, F_GETFD) & FD_CLOEXEC) != 0);
}

static void test_conversation_over_loopback(void **state)
{
    struct address bound;
    struct address peer;
    struct address local;
    int listener = loopback_listen(&bound);
    int sys_errno = 0;
    bool done;
    int client;
    int server;
    char byte;

    (void)state;
    assert_true(loopback_port(&bound) != 0);
    assert_nonblocking_cloexec(listener);
    assert_int_equal(loopback_option(listener, SOL_SOCKET, SO_REUSEADDR), 1);
    client = socket_connect_start(&bound, &done, &sys_errno);
    assert_true(client >= 0);
    assert_true(loopback_is_writable(client));
    assert_int_equal(socket_connect_result(client), 0);
    assert_true(loopback_is_readable(listener));
    server = socket_accept(listener, &peer);
    assert_true(server >= 0);
    assert_int_equal(socket_local(client, &local, NULL), TLSMSG_OK);
    assert_int_equal(loopback_port(&local), loopback_port(&peer));
    assert_int_equal(peer.len, sizeof(struct sockaddr_in));
    assert_nonblocking_cloexec(client);
    assert_nonblocking_cloexec(server);
    assert_true(loopback_option(client, IPPROTO_TCP, TCP_NODELAY) != 0);
    assert_true(loopback_option(server, IPPROTO_TCP, TCP_NODELAY) != 0);
    assert_int_equal(send(client, "x", 1, MSG_NOSIGNAL), 1);
    assert_true(loopback_is_readable(server));
    assert_int_equal(recv(server, &byte, 1, 0), 1);
    loopback_close((int[]){client, server, listener}, 3);
}

static void test_nobody_to_accept(void **state)
{
    struct address bound;
    struct address peer;
    int listener = loopback_listen(&bound);

    (void)state;
    errno = 0;
    assert_int_equal(socket_accept(listener, &peer), -1);
    assert_int_equal(errno, EAGAIN);
    loopback_close(&listener, 1);
}

struct accept_row {
    const char *name;
    int errors[24];
    int want_errno; /* 0: the waiting connection is accepted */
    unsigned want_calls;
};

static const struct accept_row accept_rows[] = {
    {"interrupted", {EINTR}, 0, 2},
    {"gone connections are passed over", {ECONNABORTED, EPROTO, EHOSTUNREACH}, 0, 4},
    {"out of descriptors", {EMFILE}, EMFILE, 1},
    {"out of descriptors after a gone one", {ECONNABORTED, ENFILE}, ENFILE, 2},
    {"no memory", {ENOMEM}, ENOMEM, 1},
    {"gone ones without end come back later",
     {EPERM, EPERM, EPERM, EPERM, EPERM, EPERM, EPERM, EPERM, EPERM, EPERM,
      EPERM, EPERM, EPERM, EPERM, EPERM, EPERM, EPERM, EPERM, EPERM, EPERM},
     EAGAIN,
     16},
};

static void test_accept_errors(void **state)
{
    const struct accept_row *row = *state;
    struct address bound;
    struct address peer;
    int listener = loopback_listen(&bound);
    int sys_errno;
    bool done;
    int client = socket_connect_start(&bound, &done, &sys_errno);
    int server;

    assert_true(loopback_is_readable(listener));
    socket_script_follow(&on_accept, row->errors);
    errno = 0;
    server = socket_accept(listener, &peer);
    assert_int_equal(on_accept.calls, row->want_calls);
    socket_script_follow(&on_accept, NULL);
    if (row->want_errno == 0) {
        assert_true(server >= 0);
        loopback_close(&server, 1);
    } else {
        assert_int_equal(server, -1);
        assert_int_equal(errno, row->want_errno);
    }
    loopback_close((int[]){client, listener}, 2);
}

static void test_refused_connection(void **state)
{
    struct address bound;
    int listener = loopback_listen(&bound);
    int sys_errno = 0;
    bool done;
    int client;

    (void)state;
    loopback_close(&listener, 1);
    client = socket_connect_start(&bound, &done, &sys_errno);
    if (client < 0) {
        assert_int_equal(sys_errno, ECONNREFUSED);
        return;
    }
    assert_false(done);
    assert_true(loopback_is_writable(client));
    assert_int_equal(socket_connect_result(client), ECONNREFUSED);
    loopback_close(&client, 1);
}

struct connect_row {
    const char *name;
    int answers[2];
    bool want_done;
    int want_errno; /* 0: a descriptor is returned */
};

static const struct connect_row connect_rows[] = {
    {"connected at once", {SCRIPT_DONE}, true, 0},
    {"in progress", {EINPROGRESS}, false, 0},
    {"interrupted goes on", {EINTR}, false, 0},
    {"unreachable", {ENETUNREACH}, false, ENETUNREACH},
};

static void test_connect_start(void **state)
{
    const struct connect_row *row = *state;
    struct address bound;
    int listener = loopback_listen(&bound);
    int sys_errno = 0;
    bool done = !row->want_done;
    int free_fd = loopback_next_fd();
    int fd;

    socket_script_follow(&on_connect, row->answers);
    fd = socket_connect_start(&bound, &done, &sys_errno);
    assert_true((fd < 0) == (row->want_errno != 0));
    assert_int_equal(sys_errno, row->want_errno);
    assert_true(done == row->want_done);
    if (fd >= 0) {
        loopback_close(&fd, 1);
    }
    assert_int_equal(loopback_next_fd(), free_fd);
    loopback_close(&listener, 1);
    (void)socket_script_forget(NULL);
}

static void test_out_of_descriptors(void **state)
{
    static const int answers[] = {EMFILE, EMFILE};
    struct address_name n = loopback_name("127.0.0.1", 0);
    struct address bound = {0};
    struct tlsmsg_error err = {0};
    size_t count;
    int sys_errno = 0;
    bool done = true;
    int fd;

    (void)state;
    socket_script_follow(&on_socket, answers);
    assert_int_equal(socket_listen(&n, &fd, &bound, 1, &count, &err), TLSMSG_ERR_SYSTEM);
    assert_int_equal(err.sys_errno, EMFILE);
    assert_int_equal(socket_connect_start(&bound, &done, &sys_errno), -1);
    assert_int_equal(sys_errno, EMFILE);
    assert_false(done);
}

static void test_unusable_address_and_descriptor(void **state)
{
    struct address nonsense = {0};
    struct tlsmsg_error err = {0};
    struct address out;
    int sys_errno = 0;
    bool done = true;

    (void)state;
    nonsense.socket.any.sa_family = AF_UNIX;
    nonsense.len = sizeof(sa_family_t);
    assert_int_equal(socket_connect_start(&nonsense, &done, &sys_errno), -1);
    assert_true(sys_errno != 0);
    assert_false(done);
    assert_int_equal(socket_connect_result(-1), EBADF);
    assert_int_equal(socket_local(-1, &out, &err), TLSMSG_ERR_SYSTEM);
    assert_int_equal(err.sys_errno, EBADF);
}

/* How long a peer that says nothing is waited for: half the time until the first probe, then four of
 * them, and the end after seven eighths. */
static void test_keepalive(void **state)
{
    static const struct {
        int system_idle_s, system_interval_s, system_probes;
        int64_t timeout_ms;
        int idle_s, interval_s, probes, end_ms;
    } rows[] = {
        {7200, 75, 9, 120000, 60, 15, 4, 105000},
        {7200, 75, 9, 16000, 8, 2, 4, 14000},
        {7200, 75, 9, 8000, 4, 1, 4, 7000},
        {7200, 75, 9, 4000, 2, 1, 4, 3500},
        {7200, 75, 9, 1000, 1, 1, 4, 875},
        /* More than the kernel waits by itself, such as two hours and nine probes: no longer. */
        {7200, 75, 9, INT64_C(10000000000), 3937, 984, 4, 6890625},
        {100, 10, 5, 150100, 75, 18, 4, 131250},
        {100, 10, 5, 150000, 75, 18, 4, 131250},
        {100, 10, 5, 149000, 74, 18, 4, 130375},
        /* Longer than the kernel takes, where the system's own is. */
        {32767, 20215, 127, INT64_C(10000000000), 32767, 20215, 4, INT_MAX},
        {32767, 17853, 127, INT64_C(10000000000), 32767, 17853, 4, 2012585750},
    };

    (void)state;
    for (size_t i = 0; i < COUNT_OF(rows); i++) {
        int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
        int idle_s = rows[i].system_idle_s;
        int interval_s = rows[i].system_interval_s;
        int probes = rows[i].system_probes;

        assert_true(fd >= 0);
        (void)setsockopt(fd, IPPROTO_TCP, TCP_KEEPIDLE, &idle_s, sizeof(idle_s));
        (void)setsockopt(fd, IPPROTO_TCP, TCP_KEEPINTVL, &interval_s, sizeof(interval_s));
        (void)setsockopt(fd, IPPROTO_TCP, TCP_KEEPCNT, &probes, sizeof(probes));
        socket_keepalive(fd, 0);
        assert_int_equal(loopback_option(fd, SOL_SOCKET, SO_KEEPALIVE), 0);
        socket_keepalive(fd, rows[i].timeout_ms);
        assert_int_equal(loopback_option(fd, SOL_SOCKET, SO_KEEPALIVE), 1);
        assert_int_equal(loopback_option(fd, IPPROTO_TCP, TCP_KEEPIDLE), rows[i].idle_s);
        assert_int_equal(loopback_option(fd, IPPROTO_TCP, TCP_KEEPINTVL), rows[i].interval_s);
        assert_int_equal(loopback_option(fd, IPPROTO_TCP, TCP_KEEPCNT), rows[i].probes);
        assert_int_equal(loopback_option(fd, IPPROTO_TCP, TCP_USER_TIMEOUT), rows[i].end_ms);
        assert_int_equal(close(fd), 0);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_conversation_over_loopback),
        cmocka_unit_test(test_nobody_to_accept),
        cmocka_unit_test(test_refused_connection),
        cmocka_unit_test_teardown(test_out_of_descriptors, socket_script_forget),
        cmocka_unit_test(test_unusable_address_and_descriptor),
        cmocka_unit_test(test_keepalive),
    };
    int failed = 0;

    RUN_ROWS(failed, test_accept_errors, accept_rows);
    RUN_ROWS(failed, test_connect_start, connect_rows);
    failed += cmocka_run_group_tests_name("socket", tests, NULL, NULL);
    return failed;
}
