/* Resolve, what two threads share: who holds the lock, what is let go of at the end, and threads
 * that can't be had. */
#include "support/unit.h"

#include <errno.h>
#include <netdb.h>
#include <pthread.h>
#include <sched.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>

#include "base/clock.h"
#include "net/resolve.h"
#include "support/failmalloc.h"
#include "support/fake_lookup.h"

/* What is made and not yet let go of, and what went wrong meanwhile. */
static atomic_int live;
static atomic_int lost_unlocks; /* of a lock that the thread does not hold */
static atomic_int detached;     /* threads that were begun so */

/* The calls that fail, by an errno. */
static struct {
    int condattr_init, setclock, cond_init, mutex_init, attr_init;
} fails;

static int count(int failed)
{
    if (failed == 0) {
        atomic_fetch_add(&live, 1);
    }
    return failed;
}

int __real_pthread_condattr_init(pthread_condattr_t *attr);
int __wrap_pthread_condattr_init(pthread_condattr_t *attr);
int __real_pthread_condattr_destroy(pthread_condattr_t *attr);
int __wrap_pthread_condattr_destroy(pthread_condattr_t *attr);
int __real_pthread_condattr_setclock(pthread_condattr_t *attr, clockid_t clock);
int __wrap_pthread_condattr_setclock(pthread_condattr_t *attr, clockid_t clock);
int __real_pthread_cond_init(pthread_cond_t *cond, const pthread_condattr_t *attr);
int __wrap_pthread_cond_init(pthread_cond_t *cond, const pthread_condattr_t *attr);
int __real_pthread_cond_destroy(pthread_cond_t *cond);
int __wrap_pthread_cond_destroy(pthread_cond_t *cond);
int __real_pthread_mutex_init(pthread_mutex_t *mutex, const pthread_mutexattr_t *attr);
int __wrap_pthread_mutex_init(pthread_mutex_t *mutex, const pthread_mutexattr_t *attr);
int __real_pthread_mutex_destroy(pthread_mutex_t *mutex);
int __wrap_pthread_mutex_destroy(pthread_mutex_t *mutex);
int __real_pthread_mutex_unlock(pthread_mutex_t *mutex);
int __wrap_pthread_mutex_unlock(pthread_mutex_t *mutex);
int __real_pthread_attr_init(pthread_attr_t *attr);
int __wrap_pthread_attr_init(pthread_attr_t *attr);
int __real_pthread_attr_destroy(pthread_attr_t *attr);
int __wrap_pthread_attr_destroy(pthread_attr_t *attr);
int __real_pthread_attr_setdetachstate(pthread_attr_t *attr, int how);
int __wrap_pthread_attr_setdetachstate(pthread_attr_t *attr, int how);

int __wrap_pthread_condattr_init(pthread_condattr_t *attr)
{
    return count(fails.condattr_init != 0 ? fails.condattr_init
                                          : __real_pthread_condattr_init(attr));
}

int __wrap_pthread_condattr_destroy(pthread_condattr_t *attr)
{
    atomic_fetch_sub(&live, 1);
    return __real_pthread_condattr_destroy(attr);
}

int __wrap_pthread_condattr_setclock(pthread_condattr_t *attr, clockid_t clock)
{
    assert_int_equal(clock, CLOCK_MONOTONIC);
    return fails.setclock != 0 ? fails.setclock : __real_pthread_condattr_setclock(attr, clock);
}

int __wrap_pthread_cond_init(pthread_cond_t *cond, const pthread_condattr_t *attr)
{
    return count(fails.cond_init != 0 ? fails.cond_init : __real_pthread_cond_init(cond, attr));
}

int __wrap_pthread_cond_destroy(pthread_cond_t *cond)
{
    atomic_fetch_sub(&live, 1);
    return __real_pthread_cond_destroy(cond);
}

/* One that knows who holds it. */
int __wrap_pthread_mutex_init(pthread_mutex_t *mutex, const pthread_mutexattr_t *attr)
{
    pthread_mutexattr_t checking;
    int failed = fails.mutex_init;

    assert_null(attr);
    if (failed == 0) {
        assert_int_equal(pthread_mutexattr_init(&checking), 0);
        assert_int_equal(pthread_mutexattr_settype(&checking, PTHREAD_MUTEX_ERRORCHECK), 0);
        failed = __real_pthread_mutex_init(mutex, &checking);
        assert_int_equal(pthread_mutexattr_destroy(&checking), 0);
    }
    return count(failed);
}

int __wrap_pthread_mutex_destroy(pthread_mutex_t *mutex)
{
    atomic_fetch_sub(&live, 1);
    return __real_pthread_mutex_destroy(mutex);
}

int __wrap_pthread_mutex_unlock(pthread_mutex_t *mutex)
{
    int failed = __real_pthread_mutex_unlock(mutex);

    if (failed != 0) {
        atomic_fetch_add(&lost_unlocks, 1);
    }
    return failed;
}

int __wrap_pthread_attr_init(pthread_attr_t *attr)
{
    return count(fails.attr_init != 0 ? fails.attr_init : __real_pthread_attr_init(attr));
}

int __wrap_pthread_attr_destroy(pthread_attr_t *attr)
{
    atomic_fetch_sub(&live, 1);
    return __real_pthread_attr_destroy(attr);
}

int __wrap_pthread_attr_setdetachstate(pthread_attr_t *attr, int how)
{
    atomic_fetch_add(&detached, how == PTHREAD_CREATE_DETACHED);
    return __real_pthread_attr_setdetachstate(attr, how);
}

static const char *const one[] = {"127.0.0.1"};

static enum tlsmsg_code look_up(size_t *found, struct tlsmsg_error *err)
{
    struct address_name n = {.host = "one.test", .port = 1};
    struct address out[1];

    fake_lookup_set("one.test", one, 1, 0);
    return resolve_name(&n, clock_deadline_ns(clock_now_ns(), 30000), out, 1, found, err);
}

/* The other thread may be on its way out yet. */
static void expect_all_let_go(void)
{
    int64_t deadline = clock_deadline_ns(clock_now_ns(), 30000);

    while (atomic_load(&live) != 0) {
        assert_true(clock_now_ns() < deadline);
        (void)sched_yield();
    }
    assert_int_equal(atomic_load(&lost_unlocks), 0);
}

static void test_all_is_let_go_of_by_who_holds_it(void **state)
{
    size_t found = 0;

    (void)state;
    for (int i = 1; i <= 20; i++) {
        assert_int_equal(look_up(&found, NULL), TLSMSG_OK);
        assert_int_equal(found, 1);
        assert_int_equal(atomic_load(&detached), i);
        expect_all_let_go();
    }
}

/* The asking thread goes first; then the other one lets go of it all. */
static void test_all_is_let_go_of_after_the_deadline(void **state)
{
    struct address_name n = {.host = "one.test", .port = 1};
    struct address out[1];
    size_t found = 99;

    (void)state;
    fake_lookup_block();
    assert_int_equal(resolve_name(&n, 1, out, 1, &found, NULL), TLSMSG_ERR_TIMEOUT);
    assert_true(atomic_load(&live) > 0);
    fake_lookup_release();
    expect_all_let_go();
}

struct failing {
    const char *name;
    int *call;
    enum tlsmsg_code code;
    int sys_errno;
    const char *text;
};

static const struct failing failings[] = {
    {"attributes of a condition", &fails.condattr_init, TLSMSG_ERR_NOMEM, 0, "out of memory"},
    {"its clock", &fails.setclock, TLSMSG_ERR_NOMEM, 0, "out of memory"},
    {"a condition", &fails.cond_init, TLSMSG_ERR_NOMEM, 0, "out of memory"},
    {"a lock", &fails.mutex_init, TLSMSG_ERR_NOMEM, 0, "out of memory"},
    {"attributes of a thread", &fails.attr_init, TLSMSG_ERR_SYSTEM, ENOMEM,
     "cannot start a thread to look up a name: Cannot allocate memory"},
};

static void test_what_cannot_be_had_is_told(void **state)
{
    const struct failing *row = *state;
    struct tlsmsg_error err = {.code = TLSMSG_OK};
    long blocks = failmalloc_live();
    size_t found = 99;

    *row->call = ENOMEM;
    assert_int_equal(look_up(&found, &err), row->code);
    *row->call = 0;
    assert_int_equal(err.code, row->code);
    assert_int_equal(err.sys_errno, row->sys_errno);
    assert_string_equal(err.text, row->text);
    assert_int_equal(found, 0);
    assert_int_equal(failmalloc_live(), blocks);
    expect_all_let_go();
}

static void test_causes_are_told_in_full(void **state)
{
    static const struct {
        int gai;
        enum tlsmsg_code code;
        int sys_errno;
    } rows[] = {
        {EAI_NONAME, TLSMSG_ERR_CONNECT, 0},
        {EAI_AGAIN, TLSMSG_ERR_CONNECT, 0},
        {EAI_MEMORY, TLSMSG_ERR_NOMEM, 0},
    };

    (void)state;
    for (size_t i = 0; i < COUNT_OF(rows); i++) {
        struct address_name n = {.host = "bad\x1b.test", .port = 1};
        struct address out[1];
        struct tlsmsg_error err = {.code = TLSMSG_OK};
        char text[128];
        size_t found = 99;

        fake_lookup_set("bad\x1b.test", one, 1, rows[i].gai);
        (void)snprintf(text, sizeof(text), "cannot look up 'bad\\x1b.test': %s",
                       gai_strerror(rows[i].gai));
        errno = EIO; /* of something else */
        assert_int_equal(resolve_name(&n, 0, out, 1, &found, &err), rows[i].code);
        assert_int_equal(err.sys_errno, rows[i].sys_errno);
        assert_string_equal(err.text, rows[i].code == TLSMSG_ERR_NOMEM ? "out of memory" : text);
        assert_int_equal(found, 0);
        expect_all_let_go();
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_all_is_let_go_of_by_who_holds_it),
        cmocka_unit_test(test_all_is_let_go_of_after_the_deadline),
        cmocka_unit_test(test_causes_are_told_in_full),
    };
    int failed = 0;

    failed += cmocka_run_group_tests_name("threads", tests, NULL, NULL);
    RUN_ROWS(failed, test_what_cannot_be_had_is_told, failings);
    return failed;
}
