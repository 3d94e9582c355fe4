/* Time, locks and the thread of a scripted engine: all on the test's own thread. */
#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <string.h>
#include <time.h>

#include "base/clock.h"
#include "support/fake_libpq.h"
#include "support/fake_libpq_internal.h"
#include "support/unit.h"

#define FIRST_NS (INT64_C(1000) * CLOCK_NS_PER_S)

static struct {
    int64_t now_ns;
    enum fake_thread when;
    void *(*begin)(void *user); /* NULL: no thread is to run */
    void *user;
    bool is_locked;
    bool is_signalled;
    int made; /* locks, conditions and attributes that are there */
} fake;

void fake_libpq_pass_ms(int ms)
{
    fake.now_ns += (int64_t)ms * CLOCK_NS_PER_MS;
}

void fake_libpq_begin_threads(void)
{
    memset(&fake, 0, sizeof(fake));
    fake.now_ns = FIRST_NS;
}

void fake_libpq_end_threads(void)
{
    assert_null(fake.begin);
    assert_int_equal(fake.made, 0);
}

void fake_libpq_threads(enum fake_thread when)
{
    fake.when = when;
}

void fake_libpq_run_thread(void)
{
    void *(*begin)(void *user) = fake.begin;

    assert_non_null(begin);
    fake.begin = NULL;
    (void)begin(fake.user);
}

/* ---- time */

int64_t __wrap_clock_now_ns(void);
int64_t __wrap_clock_now_ns(void)
{
    return fake.now_ns;
}

int __wrap_clock_gettime(clockid_t clock, struct timespec *now);
int __wrap_clock_gettime(clockid_t clock, struct timespec *now)
{
    assert_int_equal(clock, CLOCK_REALTIME);
    now->tv_sec = FAKE_NOW_MS / 1000;
    now->tv_nsec = FAKE_NOW_MS % 1000 * CLOCK_NS_PER_MS + 999999;
    return 0;
}

time_t __wrap_time(time_t *now);
time_t __wrap_time(time_t *now)
{
    assert_null(now);
    return FAKE_NOW_MS / 1000;
}

/* ---- threads */

int __wrap_pthread_create(pthread_t *thread, const pthread_attr_t *attr, void *(*begin)(void *),
                          void *user);
int __wrap_pthread_create(pthread_t *thread, const pthread_attr_t *attr, void *(*begin)(void *),
                          void *user)
{
    int detached = PTHREAD_CREATE_JOINABLE;
    sigset_t blocked;

    (void)thread;
    assert_int_equal(pthread_attr_getdetachstate(attr, &detached), 0);
    assert_int_equal(detached, PTHREAD_CREATE_DETACHED);
    (void)pthread_sigmask(SIG_SETMASK, NULL, &blocked);
    assert_true(sigismember(&blocked, SIGTERM) && sigismember(&blocked, SIGUSR1));
    assert_null(fake.begin);
    if (fake.when == FAKE_NO_THREAD) {
        return EAGAIN;
    }
    fake.begin = begin;
    fake.user = user;
    fake.is_signalled = false;
    if (fake.when == FAKE_AT_ONCE) {
        fake_libpq_run_thread();
    }
    return 0;
}

int __real_pthread_attr_init(pthread_attr_t *attr);
int __wrap_pthread_attr_init(pthread_attr_t *attr);
int __wrap_pthread_attr_init(pthread_attr_t *attr)
{
    fake.made++;
    return __real_pthread_attr_init(attr);
}

int __real_pthread_attr_destroy(pthread_attr_t *attr);
int __wrap_pthread_attr_destroy(pthread_attr_t *attr);
int __wrap_pthread_attr_destroy(pthread_attr_t *attr)
{
    fake.made--;
    return __real_pthread_attr_destroy(attr);
}

int __wrap_pthread_mutex_init(pthread_mutex_t *mutex, const pthread_mutexattr_t *attr);
int __wrap_pthread_mutex_init(pthread_mutex_t *mutex, const pthread_mutexattr_t *attr)
{
    (void)mutex;
    assert_null(attr);
    fake.made++;
    return 0;
}

int __wrap_pthread_mutex_destroy(pthread_mutex_t *mutex);
int __wrap_pthread_mutex_destroy(pthread_mutex_t *mutex)
{
    (void)mutex;
    assert_false(fake.is_locked);
    fake.made--;
    return 0;
}

int __wrap_pthread_mutex_lock(pthread_mutex_t *mutex);
int __wrap_pthread_mutex_lock(pthread_mutex_t *mutex)
{
    (void)mutex;
    assert_false(fake.is_locked);
    fake.is_locked = true;
    return 0;
}

int __wrap_pthread_mutex_unlock(pthread_mutex_t *mutex);
int __wrap_pthread_mutex_unlock(pthread_mutex_t *mutex)
{
    (void)mutex;
    assert_true(fake.is_locked);
    fake.is_locked = false;
    return 0;
}

int __real_pthread_condattr_init(pthread_condattr_t *attr);
int __wrap_pthread_condattr_init(pthread_condattr_t *attr);
int __wrap_pthread_condattr_init(pthread_condattr_t *attr)
{
    fake.made++;
    return __real_pthread_condattr_init(attr);
}

int __real_pthread_condattr_destroy(pthread_condattr_t *attr);
int __wrap_pthread_condattr_destroy(pthread_condattr_t *attr);
int __wrap_pthread_condattr_destroy(pthread_condattr_t *attr)
{
    fake.made--;
    return __real_pthread_condattr_destroy(attr);
}

/* The clock of a wait is the one that nobody sets. */
int __wrap_pthread_cond_init(pthread_cond_t *cond, const pthread_condattr_t *attr);
int __wrap_pthread_cond_init(pthread_cond_t *cond, const pthread_condattr_t *attr)
{
    clockid_t clock = CLOCK_REALTIME;

    (void)cond;
    assert_int_equal(pthread_condattr_getclock(attr, &clock), 0);
    assert_int_equal(clock, CLOCK_MONOTONIC);
    fake.made++;
    return 0;
}

int __wrap_pthread_cond_destroy(pthread_cond_t *cond);
int __wrap_pthread_cond_destroy(pthread_cond_t *cond)
{
    (void)cond;
    fake.made--;
    return 0;
}

int __wrap_pthread_cond_signal(pthread_cond_t *cond);
int __wrap_pthread_cond_signal(pthread_cond_t *cond)
{
    (void)cond;
    assert_true(fake.is_locked);
    fake.is_signalled = true;
    return 0;
}

int __wrap_pthread_cond_timedwait(pthread_cond_t *cond, pthread_mutex_t *mutex,
                                  const struct timespec *until);
int __wrap_pthread_cond_timedwait(pthread_cond_t *cond, pthread_mutex_t *mutex,
                                  const struct timespec *until)
{
    int64_t until_ns = (int64_t)until->tv_sec * CLOCK_NS_PER_S + until->tv_nsec;

    (void)cond;
    (void)mutex;
    assert_true(fake.is_locked);
    assert_in_range(until_ns - fake.now_ns, 0, 100 * CLOCK_NS_PER_MS);
    assert_in_range(until->tv_nsec, 0, CLOCK_NS_PER_S - 1);
    if (fake.when != FAKE_IN_WAIT || fake.begin == NULL) {
        fake.now_ns = until_ns > fake.now_ns ? until_ns : fake.now_ns;
        return ETIMEDOUT;
    }
    fake.is_locked = false;
    fake_libpq_run_thread();
    assert_true(fake.is_signalled);
    fake.is_locked = true;
    return 0;
}
