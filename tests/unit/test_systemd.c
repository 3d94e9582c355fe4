/* The service manager's protocol against a socket of the test's own. */
#include "support/unit.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "app/server/systemd.h"
#include "support/test_folder.h"

static int manager; /* the manager's end */

static int set_up(void **state)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    socklen_t len = sizeof(sa_family_t); /* autobind: a free abstract name */
    char path[64];

    (void)state;
    manager = socket(AF_UNIX, SOCK_DGRAM | SOCK_NONBLOCK, 0);
    assert_true(manager >= 0);
    assert_int_equal(bind(manager, (struct sockaddr *)&address, len), 0);
    len = sizeof(address);
    assert_int_equal(getsockname(manager, (struct sockaddr *)&address, &len), 0);
    (void)snprintf(path, sizeof(path), "@%.*s", (int)(len - sizeof(sa_family_t) - 1),
                   address.sun_path + 1);
    assert_int_equal(setenv("NOTIFY_SOCKET", path, 1), 0);
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    (void)unsetenv("NOTIFY_SOCKET");
    return close(manager);
}

static void assert_told(const char *text)
{
    char buf[2048] = {0};
    ssize_t n = recv(manager, buf, sizeof(buf) - 1, 0);

    assert_true(n >= 0);
    assert_string_equal(buf, text);
}

static void assert_told_nothing(void)
{
    char buf[16];

    assert_int_equal(recv(manager, buf, sizeof(buf), 0), -1);
}

static void test_ready_is_told_and_environment_cleared(void **state)
{
    struct systemd s;

    (void)state;
    systemd_open(&s);
    assert_null(getenv("NOTIFY_SOCKET"));
    assert_int_equal(fcntl(s.notify_fd, F_GETFD), FD_CLOEXEC);
    systemd_notify(&s, "READY=1\nSTATUS=%s", "serving");
    assert_told("READY=1\nSTATUS=serving");
    assert_int_equal(systemd_watchdog(&s, 5000000000), 0); /* none was asked for */
    assert_told_nothing();
    systemd_close(&s);
}

/* It is closed, whichever it is, and once. */
static void test_the_end(void **state)
{
    int saved = dup(STDIN_FILENO);
    struct systemd s;
    int fd;

    (void)state;
    systemd_open(&s);
    fd = s.notify_fd;
    systemd_close(&s);
    assert_int_equal(fcntl(fd, F_GETFD), -1);
    assert_int_equal(s.notify_fd, -1);
    systemd_notify(&s, "%s", "READY=1");
    assert_told_nothing();
    s.notify_fd = dup2(manager, STDIN_FILENO);
    systemd_close(&s);
    assert_int_equal(fcntl(STDIN_FILENO, F_GETFD), -1);
    systemd_close(&s);
    assert_int_equal(dup2(saved, STDIN_FILENO), STDIN_FILENO);
    assert_int_equal(close(saved), 0);
}

/* ---- which socket */

/* A manager that listens at a path, or with @ at a name; -1 where another does. */
static int listen_at(const char *path)
{
    /* valgrind looks for the end of a path that fills the structure behind it. */
    struct {
        struct sockaddr_un un;
        char end;
    } address = {.un = {.sun_family = AF_UNIX}};
    size_t len = strlen(path);
    int fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_NONBLOCK, 0);

    assert_true(fd >= 0);
    assert_true(len <= sizeof(address.un.sun_path));
    memcpy(address.un.sun_path, path, len);
    address.un.sun_path[0] = (char)(path[0] == '@' ? '\0' : path[0]);
    if (bind(fd, (struct sockaddr *)&address.un, (socklen_t)(sizeof(sa_family_t) + len)) != 0) {
        (void)close(fd);
        return -1;
    }
    return fd;
}

static void expect_ready_at(const char *path, int fd)
{
    char buf[32] = "";
    struct systemd s;

    (void)setenv("NOTIFY_SOCKET", path, 1);
    systemd_open(&s);
    systemd_notify(&s, "%s", "READY=1");
    assert_int_equal(recv(fd, buf, sizeof(buf) - 1, 0), 7);
    assert_string_equal(buf, "READY=1");
    systemd_close(&s);
}

/* The longest path that has room for its NUL, and one that has not. */
static void test_a_socket_at_a_path(void **state)
{
    const size_t longest = sizeof(((struct sockaddr_un *)NULL)->sun_path) - 1;
    struct test_folder folder;
    char path[TEST_PATH_MAX] = "";
    struct systemd s;
    int fd;

    (void)state;
    test_folder_make(&folder);
    (void)test_folder_file(&folder, "s", path);
    assert_true(strlen(path) < longest);
    memset(path + strlen(path), 's', longest + 1 - strlen(path));
    fd = listen_at(path);
    assert_true(fd >= 0);
    (void)setenv("NOTIFY_SOCKET", path, 1);
    systemd_open(&s);
    assert_int_equal(s.notify_fd, -1);
    (void)close(fd);
    (void)unlink(path);
    path[longest] = '\0';
    fd = listen_at(path);
    expect_ready_at(path, fd);
    (void)close(fd);
    test_folder_remove(&folder);
}

/* One character is a name, too. */
static void test_the_shortest_name(void **state)
{
    char name[] = "@a";
    int fd;

    (void)state;
    while ((fd = listen_at(name)) < 0) {
        assert_in_range(name[1], 'a', 'y');
        name[1]++;
    }
    expect_ready_at(name, fd);
    (void)close(fd);
}

/* Descriptor 0 is one as any other. */
static void test_the_lowest_descriptor(void **state)
{
    int saved = dup(STDIN_FILENO);
    struct systemd s;

    (void)state;
    assert_int_equal(close(STDIN_FILENO), 0);
    (void)setenv("WATCHDOG_USEC", "2", 1);
    systemd_open(&s);
    assert_int_equal(s.notify_fd, STDIN_FILENO);
    systemd_notify(&s, "%s", "READY=1");
    assert_told("READY=1");
    assert_int_equal(systemd_watchdog(&s, 10), 1010);
    assert_told("WATCHDOG=1");
    systemd_close(&s);
    assert_int_equal(dup2(saved, STDIN_FILENO), STDIN_FILENO);
    (void)close(saved);
}

static void test_a_long_status_is_cut(void **state)
{
    char status[1100];
    struct systemd s;

    (void)state;
    memset(status, 'x', sizeof(status));
    status[1023] = '\0';
    systemd_open(&s);
    systemd_notify(&s, "%s", status);
    assert_told(status);
    status[1023] = 'x';
    status[1024] = '\0';
    systemd_notify(&s, "%s", status);
    status[1023] = '\0';
    assert_told(status);
    status[1023] = status[1024] = 'x';
    status[sizeof(status) - 1] = '\0';
    systemd_notify(&s, "%s", status);
    status[1023] = '\0';
    assert_told(status);
    systemd_notify(&s, "%s", "");
    assert_told_nothing();
    systemd_close(&s);
}

static void test_reloading_carries_the_monotonic_time(void **state)
{
    struct systemd s;
    char buf[128] = {0};
    long long usec = 0;

    (void)state;
    systemd_open(&s);
    systemd_notify_reloading(&s);
    assert_true(recv(manager, buf, sizeof(buf) - 1, 0) > 0);
    assert_int_equal(sscanf(buf, "RELOADING=1\nMONOTONIC_USEC=%lld", &usec), 1);
    assert_true(usec > 0);
    systemd_close(&s);
}

static void test_watchdog_beats_twice_an_interval(void **state)
{
    struct systemd s;
    char pid[16];

    (void)state;
    (void)snprintf(pid, sizeof(pid), "%d", (int)getpid());
    (void)setenv("WATCHDOG_USEC", "2000000", 1);
    (void)setenv("WATCHDOG_PID", pid, 1);
    systemd_open(&s);
    assert_int_equal(systemd_watchdog(&s, 5000000000), 6000000000);
    assert_told("WATCHDOG=1");
    assert_int_equal(systemd_watchdog(&s, 5500000000), 6000000000);
    assert_told_nothing();
    systemd_close(&s);
}

/* Without a process's number it is for whoever reads it; without a manager there is nobody to tell. */
static void test_watchdog_of_any_process(void **state)
{
    struct systemd s;

    (void)state;
    (void)unsetenv("WATCHDOG_PID");
    (void)setenv("WATCHDOG_USEC", "3", 1);
    systemd_open(&s);
    assert_null(getenv("WATCHDOG_USEC"));
    assert_int_equal(systemd_watchdog(&s, 10), 1510);
    assert_told("WATCHDOG=1");
    assert_int_equal(systemd_watchdog(&s, 1509), 1510);
    assert_told_nothing();
    assert_int_equal(systemd_watchdog(&s, 1510), 3010);
    assert_told("WATCHDOG=1");
    systemd_close(&s);
    (void)setenv("WATCHDOG_USEC", "3", 1);
    (void)unsetenv("NOTIFY_SOCKET");
    systemd_open(&s);
    assert_int_equal(systemd_watchdog(&s, 10), 0);
}

static void test_watchdog_of_another_process_is_not_ours(void **state)
{
    struct systemd s;

    (void)state;
    (void)setenv("WATCHDOG_USEC", "2000000", 1);
    (void)setenv("WATCHDOG_PID", "1", 1);
    systemd_open(&s);
    assert_null(getenv("WATCHDOG_PID"));
    assert_null(getenv("WATCHDOG_USEC"));
    assert_int_equal(systemd_watchdog(&s, 5000000000), 0);
    assert_told_nothing();
    systemd_close(&s);
}

static void test_sockets(void **state)
{
    static const struct {
        const char *name;
        const char *count;
        bool ours;
        unsigned want;
    } rows[] = {{"one for us", "1", true, 1},
                {"two for us", "2", true, 2},
                {"for another", "2", false, 0},
                {"no number", "2x", true, 0},
                {"negative", "-1", true, 0},
                {"empty", "", true, 0},
                {"far too many", "99999999999999999999", true, 0},
                {"as many as we take", "64", true, 64},
                {"more than we take", "65", true, 0}};

    (void)state;
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        struct systemd s;
        char pid[16];

        (void)snprintf(pid, sizeof(pid), "%d", (int)getpid() + (rows[i].ours ? 0 : 1));
        (void)setenv("LISTEN_PID", pid, 1);
        (void)setenv("LISTEN_FDS", rows[i].count, 1);
        (void)setenv("LISTEN_FDNAMES", "a:b", 1);
        systemd_open(&s);
        if (s.passed_sockets != rows[i].want) {
            fail_msg("%s: %u", rows[i].name, s.passed_sockets);
        }
        assert_null(getenv("LISTEN_PID"));
        assert_null(getenv("LISTEN_FDS"));
        assert_null(getenv("LISTEN_FDNAMES"));
        systemd_close(&s);
    }
}

/* What this program starts doesn't get them. */
static void test_sockets_that_are_passed_are_closed_on_exec(void **state)
{
    int saved[3];
    struct systemd s;
    char pid[16];

    (void)state;
    for (int i = 0; i < 3; i++) {
        saved[i] = fcntl(SYSTEMD_FIRST_FD + i, F_DUPFD, 100);
        assert_int_equal(dup2(manager, SYSTEMD_FIRST_FD + i), SYSTEMD_FIRST_FD + i);
    }
    (void)snprintf(pid, sizeof(pid), "%d", (int)getpid());
    (void)setenv("LISTEN_PID", pid, 1);
    (void)setenv("LISTEN_FDS", "2", 1);
    (void)unsetenv("NOTIFY_SOCKET");
    systemd_open(&s);
    for (int i = 0; i < 3; i++) {
        assert_int_equal(fcntl(SYSTEMD_FIRST_FD + i, F_GETFD), i < 2 ? FD_CLOEXEC : 0);
        (void)close(SYSTEMD_FIRST_FD + i);
        if (saved[i] >= 0) {
            assert_int_equal(dup2(saved[i], SYSTEMD_FIRST_FD + i), SYSTEMD_FIRST_FD + i);
            (void)close(saved[i]);
        }
    }
}

static void test_without_a_manager_nothing_happens(void **state)
{
    static const char *const paths[] = {"", "relative", "/", "@", "/nowhere/at/all"};
    struct systemd s;

    (void)state;
    for (size_t i = 0; i < sizeof(paths) / sizeof(paths[0]); i++) {
        (void)setenv("NOTIFY_SOCKET", paths[i], 1);
        systemd_open(&s);
        assert_int_equal(s.notify_fd, -1);
        systemd_notify(&s, "READY=1");
        systemd_close(&s);
    }
    assert_told_nothing();
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_ready_is_told_and_environment_cleared, set_up,
                                        tear_down),
        cmocka_unit_test_setup_teardown(test_a_long_status_is_cut, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_reloading_carries_the_monotonic_time, set_up,
                                        tear_down),
        cmocka_unit_test_setup_teardown(test_watchdog_beats_twice_an_interval, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_watchdog_of_another_process_is_not_ours, set_up,
                                        tear_down),
        cmocka_unit_test_setup_teardown(test_the_end, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_a_socket_at_a_path, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_the_shortest_name, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_the_lowest_descriptor, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_watchdog_of_any_process, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_sockets, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_sockets_that_are_passed_are_closed_on_exec, set_up,
                                        tear_down),
        cmocka_unit_test_setup_teardown(test_without_a_manager_nothing_happens, set_up, tear_down),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
