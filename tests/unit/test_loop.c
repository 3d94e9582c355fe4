/* The poll: readiness, changed interest, hangups, wake-ups from elsewhere, removal. */
#include "support/unit.h"

#include <pthread.h>
#include <sys/socket.h>
#include <unistd.h>

#include "net/loop.h"

struct fixture {
    struct loop loop;
    struct loop_watch watch;
    int pair[2];
};

static int set_up(void **state)
{
    static struct fixture f;

    f = (struct fixture){0};
    assert_int_equal(loop_init(&f.loop, NULL), TLSMSG_OK);
    assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, f.pair), 0);
    f.watch.fd = f.pair[0];
    *state = &f;
    return 0;
}

static int tear_down(void **state)
{
    struct fixture *f = *state;

    loop_remove(&f->loop, &f->watch);
    loop_fini(&f->loop);
    (void)close(f->pair[0]);
    if (f->pair[1] >= 0) {
        (void)close(f->pair[1]);
    }
    return 0;
}

static uint32_t ready(struct fixture *f)
{
    struct loop_event events[4];
    bool woken;
    size_t n = loop_wait(&f->loop, events, 4, 0, &woken);

    return n == 0 ? 0 : events[0].ready;
}

static void test_readable_is_told_again_until_read(void **state)
{
    struct fixture *f = *state;
    char byte;

    assert_true(loop_add(&f->loop, &f->watch, LOOP_READ));
    assert_int_equal(ready(f), 0);
    assert_int_equal(write(f->pair[1], "x", 1), 1);
    assert_int_equal(ready(f), LOOP_READ);
    assert_int_equal(ready(f), LOOP_READ);
    assert_int_equal(read(f->pair[0], &byte, 1), 1);
    assert_int_equal(ready(f), 0);
}

static void test_interest_follows_loop_set(void **state)
{
    struct fixture *f = *state;

    assert_true(loop_add(&f->loop, &f->watch, LOOP_READ));
    loop_set(&f->loop, &f->watch, LOOP_READ | LOOP_WRITE);
    assert_int_equal(ready(f), LOOP_WRITE);
    loop_set(&f->loop, &f->watch, 0);
    assert_int_equal(ready(f), 0);
}

static void test_hangup_is_told_without_interest(void **state)
{
    struct fixture *f = *state;

    assert_true(loop_add(&f->loop, &f->watch, 0));
    (void)close(f->pair[1]);
    f->pair[1] = -1;
    assert_true((ready(f) & LOOP_HANGUP) != 0);
}

static void test_removed_watch_is_silent(void **state)
{
    struct fixture *f = *state;

    assert_true(loop_add(&f->loop, &f->watch, LOOP_WRITE));
    loop_remove(&f->loop, &f->watch);
    loop_remove(&f->loop, &f->watch);
    assert_int_equal(ready(f), 0);
}

static void test_bad_descriptor_is_refused(void **state)
{
    struct fixture *f = *state;
    struct loop_watch bad = {.fd = -1};

    assert_false(loop_add(&f->loop, &bad, LOOP_READ));
}

static void *wake(void *arg)
{
    loop_wake(arg);
    return NULL;
}

static void test_wake_ends_a_wait(void **state)
{
    struct fixture *f = *state;
    struct loop_event events[1];
    pthread_t thread;
    bool woken = false;

    assert_int_equal(pthread_create(&thread, NULL, wake, &f->loop), 0);
    assert_int_equal(loop_wait(&f->loop, events, 1, 10000, &woken), 0);
    assert_true(woken);
    assert_int_equal(pthread_join(thread, NULL), 0);
    (void)loop_wait(&f->loop, events, 1, 0, &woken);
    assert_false(woken);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_readable_is_told_again_until_read, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_interest_follows_loop_set, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_hangup_is_told_without_interest, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_removed_watch_is_silent, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_bad_descriptor_is_refused, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_wake_ends_a_wait, set_up, tear_down),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
