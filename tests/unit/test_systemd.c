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
    systemd_notify(&s, "READY=1\nSTATUS=%s", "serving");
    assert_told("READY=1\nSTATUS=serving");
    systemd_close(&s);
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

static void test_watchdog_of_another_process_is_not_ours(void **state)
{
    struct systemd s;

    (void)state;
    (void)setenv("WATCHDOG_USEC", "2000000", 1);
    (void)setenv("WATCHDOG_PID", "1", 1);
    systemd_open(&s);
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
    } rows[] = {{"two for us", "2", true, 2},
                {"for another", "2", false, 0},
                {"no number", "2x", true, 0},
                {"negative", "-1", true, 0},
                {"empty", "", true, 0},
                {"far too many", "99999999999999999999", true, 0},
                {"more than we take", "65", true, 0}};

    (void)state;
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        struct systemd s;
        char pid[16];

        (void)snprintf(pid, sizeof(pid), "%d", (int)getpid() + (rows[i].ours ? 0 : 1));
        (void)setenv("LISTEN_PID", pid, 1);
        (void)setenv("LISTEN_FDS", rows[i].count, 1);
        systemd_open(&s);
        if (s.passed_sockets != rows[i].want) {
            fail_msg("%s: %u", rows[i].name, s.passed_sockets);
        }
        assert_null(getenv("LISTEN_FDS"));
        systemd_close(&s);
    }
}

static void test_without_a_manager_nothing_happens(void **state)
{
    static const char *const paths[] = {"", "relative", "/", "/nowhere/at/all"};
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
        cmocka_unit_test_setup_teardown(test_sockets, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_without_a_manager_nothing_happens, set_up, tear_down),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
