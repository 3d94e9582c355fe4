/* Mutexes that are checked: one that is unlocked without being locked, locked twice, or left locked
 * at its end stops the test. Needs WRAP ${checked_lock} in tests/unit/app.cmake. Any thread. */
#include <pthread.h>
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
    return checked("mutex destroy", __real_pthread_mutex_destroy(lock));
}
