/* Mutexes that are checked: one that is unlocked without being locked, locked twice, or left locked
 * at its end stops the test, and so does a test's end with one that was not destroyed, or with more
 * destroyed than made. Needs WRAP ${checked_lock} (tests/unit/CMakeLists.txt). Any thread. */
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

int __real_pthread_mutex_init(pthread_mutex_t *lock, const pthread_mutexattr_t *kind);
int __real_pthread_mutex_lock(pthread_mutex_t *lock);
int __real_pthread_mutex_unlock(pthread_mutex_t *lock);
int __real_pthread_mutex_destroy(pthread_mutex_t *lock);

int __wrap_pthread_mutex_init(pthread_mutex_t *lock, const pthread_mutexattr_t *kind);
int __wrap_pthread_mutex_lock(pthread_mutex_t *lock);
int __wrap_pthread_mutex_unlock(pthread_mutex_t *lock);
int __wrap_pthread_mutex_destroy(pthread_mutex_t *lock);

static atomic_int live;

static __attribute__((destructor)) void check_live(void)
{
    if (atomic_load(&live) != 0) {
        (void)fprintf(stderr, "mutexes made and not destroyed: %d\n", atomic_load(&live));
        abort();
    }
}

static int checked(const char *what, int result)
{
    if (result != 0) {
        (void)fprintf(stderr, "%s: %s\n", what, strerror(result));
        abort();
    }
    return 0;
}

int __wrap_pthread_mutex_init(pthread_mutex_t *lock, const pthread_mutexattr_t *kind)
{
    pthread_mutexattr_t checking;

    (void)kind;
    atomic_fetch_add(&live, 1);
    checked("mutex kind", pthread_mutexattr_init(&checking));
    checked("mutex kind", pthread_mutexattr_settype(&checking, PTHREAD_MUTEX_ERRORCHECK));
    checked("mutex init", __real_pthread_mutex_init(lock, &checking));
    return checked("mutex kind", pthread_mutexattr_destroy(&checking));
}

int __wrap_pthread_mutex_lock(pthread_mutex_t *lock)
{
    return checked("mutex lock", __real_pthread_mutex_lock(lock));
}

int __wrap_pthread_mutex_unlock(pthread_mutex_t *lock)
{
    return checked("mutex unlock", __real_pthread_mutex_unlock(lock));
}

int __wrap_pthread_mutex_destroy(pthread_mutex_t *lock)
{
    atomic_fetch_sub(&live, 1);
    return checked("mutex destroy", __real_pthread_mutex_destroy(lock));
}
