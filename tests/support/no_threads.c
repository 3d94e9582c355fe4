/* In place of pthread_create in each test that starts no thread (tests/unit/CMakeLists.txt): one that
 * does belongs into the list of those that the thread sanitizer runs. */
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>

int __wrap_pthread_create(pthread_t *thread, const pthread_attr_t *attributes,
                          void *(*run)(void *user), void *user);

int __wrap_pthread_create(pthread_t *thread, const pthread_attr_t *attributes,
                          void *(*run)(void *user), void *user)
{
    (void)thread;
    (void)attributes;
    (void)run;
    (void)user;
    (void)fputs("this test starts a thread (try: add it to the list 'threaded' in "
                "tests/unit/CMakeLists.txt)\n",
                stderr);
    abort();
}
