/* Signals read as data: only those asked for, each once, and none twice. Which ones wait for whom. */
#include "support/unit.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdint.h>
#include <sys/resource.h>
#include <unistd.h>

#include "app/signals.h"
#include "support/dirty_stack.h"

static void test_signals(void **state)
{
    struct pollfd entry = {.events = POLLIN};
    sigset_t signals, before;

    (void)state;
    (void)sigemptyset(&signals);
    (void)sigaddset(&signals, SIGUSR1);
    (void)sigaddset(&signals, SIGTERM);
    assert_int_equal(pthread_sigmask(SIG_BLOCK, &signals, &before), 0);
    entry.fd = signals_open(&signals);
    assert_true(entry.fd >= 0);
    assert_true((fcntl(entry.fd, F_GETFD) & FD_CLOEXEC) != 0);
    assert_int_equal(signals_next(entry.fd), 0); /* doesn't wait */
    assert_int_equal(poll(&entry, 1, 0), 0);

    assert_int_equal(raise(SIGTERM), 0);
    assert_int_equal(raise(SIGTERM), 0); /* pending signals don't add up */
    assert_int_equal(raise(SIGUSR1), 0);
    assert_int_equal(poll(&entry, 1, 0), 1);
    assert_int_equal(signals_next(entry.fd) + signals_next(entry.fd), SIGTERM + SIGUSR1);
    assert_int_equal(signals_next(entry.fd), 0);
    assert_int_equal(close(entry.fd), 0);
    assert_int_equal(pthread_sigmask(SIG_SETMASK, &before, NULL), 0);
}

static uint64_t bit(int number)
{
    return UINT64_C(1) << (number - 1);
}

/* Those that are blocked now. From here on none is. */
static uint64_t take_blocked(void)
{
    sigset_t none, was;
    uint64_t bits = 0;

    (void)sigemptyset(&none);
    assert_int_equal(pthread_sigmask(SIG_SETMASK, &none, &was), 0);
    for (int number = 1; number < 32; number++) {
        bits |= sigismember(&was, number) == 1 ? bit(number) : 0;
    }
    return bits;
}

/* Each of these signals, and none of the others, can be read. */
static void expect_to_read(int fd, const int *numbers, size_t count)
{
    assert_true(fd >= 0);
    assert_int_equal(signals_next(fd), 0);
    for (size_t i = 0; i < count; i++) {
        assert_int_equal(raise(numbers[i]), 0);
        assert_int_equal(signals_next(fd), numbers[i]);
    }
}

static void test_what_waits_for_a_server(void **state)
{
    static const int all[] = {SIGTERM, SIGINT, SIGHUP, SIGUSR1};
    struct tlsmsg_error err = {.code = TLSMSG_OK};
    int fd = -1;

    (void)state;
    (void)take_blocked();
    dirty_stack();
    signals_keep_for_server();
    assert_int_equal(take_blocked(), bit(SIGHUP) | bit(SIGUSR1));
    dirty_stack();
    assert_int_equal(signals_open_for_server(&fd, &err), TLSMSG_OK);
    expect_to_read(fd, all, COUNT_OF(all));
    assert_int_equal(take_blocked(), bit(SIGTERM) | bit(SIGINT) | bit(SIGHUP) | bit(SIGUSR1));
    assert_int_equal(close(fd), 0);
}

static void test_what_waits_for_a_client(void **state)
{
    static const int asks[] = {SIGUSR1};
    static const int goes_on[] = {SIGCONT};
    int fd;

    (void)state;
    (void)take_blocked();
    dirty_stack();
    fd = signals_open_for_client();
    expect_to_read(fd, asks, 1);
    assert_int_equal(take_blocked(), bit(SIGUSR1));
    assert_int_equal(close(fd), 0);
    dirty_stack();
    fd = signals_open_for_prompt();
    expect_to_read(fd, goes_on, 1);
    assert_int_equal(take_blocked(), bit(SIGCONT));
    assert_int_equal(close(fd), 0);
}

/* A second signal ends a server that is slow to stop, even one that was told to ignore it. */
static void test_stopping_by_force(void **state)
{
    struct tlsmsg_error err = {.code = TLSMSG_OK};
    struct sigaction action;
    int fd = -1;

    (void)state;
    (void)signal(SIGTERM, SIG_IGN);
    (void)signal(SIGINT, SIG_IGN);
    assert_int_equal(signals_open_for_server(&fd, &err), TLSMSG_OK);
    dirty_stack();
    signals_restore_stop();
    assert_int_equal(take_blocked(), bit(SIGHUP) | bit(SIGUSR1));
    assert_int_equal(sigaction(SIGTERM, NULL, &action), 0);
    assert_true(action.sa_handler == SIG_DFL);
    assert_int_equal(sigaction(SIGINT, NULL, &action), 0);
    assert_true(action.sa_handler == SIG_DFL);
    assert_int_equal(close(fd), 0);
}

static void test_no_descriptor_for_signals(void **state)
{
    struct tlsmsg_error err = {.code = TLSMSG_OK};
    struct rlimit limit, none;
    int fd = 0;

    (void)state;
    assert_int_equal(getrlimit(RLIMIT_NOFILE, &limit), 0);
    none = limit;
    none.rlim_cur = 0;
    assert_int_equal(setrlimit(RLIMIT_NOFILE, &none), 0);
    assert_int_equal(signals_open_for_server(&fd, &err), TLSMSG_ERR_SYSTEM);
    assert_int_equal(setrlimit(RLIMIT_NOFILE, &limit), 0);
    (void)take_blocked();
    assert_int_equal(fd, -1);
    assert_int_equal(err.code, TLSMSG_ERR_SYSTEM);
    assert_int_equal(err.sys_errno, EMFILE);
    assert_string_equal(err.text, "cannot make a descriptor for signals: Too many open files");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_signals),
        cmocka_unit_test(test_what_waits_for_a_server),
        cmocka_unit_test(test_what_waits_for_a_client),
        cmocka_unit_test(test_stopping_by_force),
        cmocka_unit_test(test_no_descriptor_for_signals),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
