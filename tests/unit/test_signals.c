/* Signals read as data: only those asked for, each once, and none twice. */
#include "support/unit.h"

#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <unistd.h>

#include "app/signals.h"

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

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_signals)};

    return cmocka_run_group_tests(tests, NULL, NULL);
}
