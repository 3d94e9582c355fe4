/* See still_clock.h. */
#include "support/still_clock.h"

#include <errno.h>
#include <pthread.h>
#include <stdbool.h>
#include <stddef.h>
#include <time.h>

#include "base/clock.h"

/* Not a whole second, nor a whole millisecond. */
#define START_NS ((int64_t)5000123456789)

static struct {
    pthread_mutex_t lock;
    pthread_cond_t rests;
    int64_t now_ns;
    int64_t until_ns;
    int64_t slept_at_ns; /* what the clock said when it fell asleep */
    bool asleep;
    pthread_cond_t *bed; /* the condition that it sleeps on */
    pthread_mutex_t *bed_lock;
    unsigned naps;
    int64_t nap_ns;
} still = {
    .lock = PTHREAD_MUTEX_INITIALIZER, .rests = PTHREAD_COND_INITIALIZER, .now_ns = START_NS};

int64_t __wrap_clock_now_ns(void);
int __wrap_nanosleep(const struct timespec *wanted, struct timespec *left);
int __wrap_pthread_cond_timedwait(pthread_cond_t *cond, pthread_mutex_t *mutex,
                                  const struct timespec *until);

void still_clock_reset(void)
{
    (void)pthread_mutex_lock(&still.lock);
    still.now_ns = START_NS;
    still.asleep = false;
    still.bed = NULL;
    still.naps = 0;
    still.nap_ns = 0;
    (void)pthread_mutex_unlock(&still.lock);
}

int64_t __wrap_clock_now_ns(void)
{
    int64_t now_ns;

    (void)pthread_mutex_lock(&still.lock);
    now_ns = still.now_ns;
    (void)pthread_mutex_unlock(&still.lock);
    return now_ns;
}

int64_t still_clock_ms(void)
{
    return (__wrap_clock_now_ns() - START_NS) / CLOCK_NS_PER_MS;
}

void still_clock_advance(int64_t ms)
{
    pthread_cond_t *bed;
    pthread_mutex_t *bed_lock;

    (void)pthread_mutex_lock(&still.lock);
    still.now_ns += ms * CLOCK_NS_PER_MS;
    bed = still.asleep ? still.bed : NULL;
    bed_lock = still.bed_lock;
    (void)pthread_mutex_unlock(&still.lock);
    if (bed != NULL) {
        (void)pthread_mutex_lock(bed_lock);
        (void)pthread_cond_broadcast(bed);
        (void)pthread_mutex_unlock(bed_lock);
    }
}

int64_t still_clock_rest(void)
{
    int64_t until_ns;

    (void)pthread_mutex_lock(&still.lock);
    while (!still.asleep || still.slept_at_ns != still.now_ns) {
        (void)pthread_cond_wait(&still.rests, &still.lock);
    }
    until_ns = still.until_ns - START_NS;
    (void)pthread_mutex_unlock(&still.lock);
    return until_ns;
}

unsigned still_clock_naps(int64_t *total_ns)
{
    unsigned naps;

    (void)pthread_mutex_lock(&still.lock);
    naps = still.naps;
    *total_ns = still.nap_ns;
    (void)pthread_mutex_unlock(&still.lock);
    return naps;
}

int __wrap_nanosleep(const struct timespec *wanted, struct timespec *left)
{
    int64_t ns = (int64_t)wanted->tv_sec * CLOCK_NS_PER_S + wanted->tv_nsec;

    (void)left;
    (void)pthread_mutex_lock(&still.lock);
    still.naps++;
    still.nap_ns += ns;
    still.now_ns += ns;
    (void)pthread_mutex_unlock(&still.lock);
    return 0;
}

/* Falls asleep; false: it is late already. */
static bool falls_asleep(pthread_cond_t *cond, pthread_mutex_t *mutex, int64_t until_ns)
{
    bool asleep;

    (void)pthread_mutex_lock(&still.lock);
    asleep = still.now_ns < until_ns;
    still.until_ns = until_ns;
    still.slept_at_ns = still.now_ns;
    still.asleep = asleep;
    still.bed = cond;
    still.bed_lock = mutex;
    (void)pthread_cond_broadcast(&still.rests);
    (void)pthread_mutex_unlock(&still.lock);
    return asleep;
}

int __wrap_pthread_cond_timedwait(pthread_cond_t *cond, pthread_mutex_t *mutex,
                                  const struct timespec *until)
{
    const int64_t until_ns = (int64_t)until->tv_sec * CLOCK_NS_PER_S + until->tv_nsec;
    bool is_late;

    if (!falls_asleep(cond, mutex, until_ns)) {
        return ETIMEDOUT;
    }
    (void)pthread_cond_wait(cond, mutex);
    (void)pthread_mutex_lock(&still.lock);
    still.asleep = false;
    is_late = still.now_ns >= until_ns;
    (void)pthread_mutex_unlock(&still.lock);
    return is_late ? ETIMEDOUT : 0;
}
