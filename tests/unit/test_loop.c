/* The poll: readiness, changed interest, hangups, wake-ups from elsewhere, removal. */
#include "support/unit.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#include "net/loop.h"

/* What the kernel is asked, and refuses by an errno. */
static struct {
    unsigned controls; /* calls of epoll_ctl */
    uint32_t events;   /* of the last */
    int refuses_create, refuses_wake, refuses_control;
} kernel;

int __real_epoll_create1(int flags);
int __wrap_epoll_create1(int flags);
int __real_epoll_ctl(int epoll_fd, int how, int fd, struct epoll_event *event);
int __wrap_epoll_ctl(int epoll_fd, int how, int fd, struct epoll_event *event);
int __real_wake_open(void);
int __wrap_wake_open(void);

static int refuse(int sys_errno)
{
    errno = sys_errno;
    return -1;
}

int __wrap_epoll_create1(int flags)
{
    assert_int_equal(flags, EPOLL_CLOEXEC);
    return kernel.refuses_create != 0 ? refuse(kernel.refuses_create) : __real_epoll_create1(flags);
}

int __wrap_epoll_ctl(int epoll_fd, int how, int fd, struct epoll_event *event)
{
    kernel.controls++;
    kernel.events = event != NULL ? event->events : 0;
    return kernel.refuses_control != 0 ? refuse(kernel.refuses_control)
                                       : __real_epoll_ctl(epoll_fd, how, fd, event);
}

int __wrap_wake_open(void)
{
    return kernel.refuses_wake != 0 ? refuse(kernel.refuses_wake) : __real_wake_open();
}

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
    assert_int_equal(errno, EBADF);
    assert_false(bad.registered);
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

static void test_the_kernel_is_asked_for_what_changes(void **state)
{
    struct fixture *f = *state;

    loop_set(&f->loop, &f->watch, LOOP_READ); /* not watched yet */
    assert_false(f->watch.registered);
    kernel.controls = 0;
    assert_true(loop_add(&f->loop, &f->watch, LOOP_READ | LOOP_EXCLUSIVE));
    assert_int_equal(kernel.events, EPOLLIN | EPOLLEXCLUSIVE);
    loop_remove(&f->loop, &f->watch);
    assert_false(f->watch.registered);
    assert_true(loop_add(&f->loop, &f->watch, LOOP_WRITE));
    assert_int_equal(kernel.events, EPOLLOUT);
    assert_int_equal(f->watch.armed, LOOP_WRITE);
    assert_int_equal(kernel.controls, 3);
    loop_set(&f->loop, &f->watch, LOOP_WRITE);
    assert_int_equal(kernel.controls, 3);
    loop_set(&f->loop, &f->watch, LOOP_READ);
    assert_int_equal(kernel.controls, 4);
    assert_int_equal(kernel.events, EPOLLIN);
    assert_int_equal(f->watch.armed, LOOP_READ);
    loop_remove(&f->loop, &f->watch);
    loop_remove(&f->loop, &f->watch);
    assert_int_equal(kernel.controls, 5);
}

static void test_all_that_is_ready_is_told_in_turns(void **state)
{
    enum { MANY = 130, AT_ONCE = 128 };
    struct fixture *f = *state;
    struct loop_watch *many = calloc(MANY, sizeof(*many));
    struct loop_event events[MANY];
    bool woken = true;

    assert_non_null(many);
    for (size_t i = 0; i < MANY; i++) {
        many[i].fd = dup(f->pair[0]);
        assert_true(many[i].fd >= 0);
        assert_true(loop_add(&f->loop, &many[i], LOOP_WRITE));
    }
    assert_int_equal(loop_wait(&f->loop, events, 3, 0, &woken), 3);
    assert_false(woken);
    assert_int_equal(loop_wait(&f->loop, events, MANY, 0, &woken), AT_ONCE);
    for (size_t i = 0; i < AT_ONCE; i++) {
        assert_int_equal(events[i].ready, LOOP_WRITE);
        assert_true(events[i].watch >= many && events[i].watch < many + MANY);
    }
    /* A wake-up takes a place among them, and is none of them. */
    for (size_t i = 0; i < MANY; i++) {
        loop_set(&f->loop, &many[i], i == 7 ? LOOP_WRITE : 0);
    }
    loop_wake(&f->loop);
    assert_int_equal(loop_wait(&f->loop, events, MANY, 0, &woken), 1);
    assert_true(woken);
    assert_ptr_equal(events[0].watch, &many[7]);
    for (size_t i = 0; i < MANY; i++) {
        loop_remove(&f->loop, &many[i]);
        (void)close(many[i].fd);
    }
    free(many);
}

/* A pipe that nobody reads is an error to who writes; it is told as a hangup. */
static void test_an_error_is_a_hangup(void **state)
{
    struct fixture *f = *state;
    struct loop_watch watch;
    struct loop_event events[2];
    bool woken;
    int ends[2];

    assert_int_equal(pipe(ends), 0);
    watch = (struct loop_watch){.fd = ends[1]};
    assert_true(loop_add(&f->loop, &watch, 0));
    (void)close(ends[0]);
    assert_int_equal(loop_wait(&f->loop, events, 2, 0, &woken), 1);
    assert_int_equal(events[0].ready, LOOP_HANGUP);
    loop_remove(&f->loop, &watch);
    (void)close(ends[1]);
}

static void test_a_loop_that_cannot_be_had_is_told(void **state)
{
    static const struct {
        int *call;
        const char *text;
    } rows[] = {
        {&kernel.refuses_create, "cannot create an event loop: Too many open files"},
        {&kernel.refuses_wake, "cannot create an event loop's wake-up: Too many open files"},
        {&kernel.refuses_control, "cannot create an event loop's wake-up: Too many open files"},
    };

    (void)state;
    for (size_t i = 0; i < COUNT_OF(rows); i++) {
        struct loop loop;
        struct tlsmsg_error err = {.code = TLSMSG_OK};
        int before = dup(STDERR_FILENO);
        int after;

        (void)close(before);
        *rows[i].call = EMFILE;
        assert_int_equal(loop_init(&loop, &err), TLSMSG_ERR_SYSTEM);
        *rows[i].call = 0;
        assert_int_equal(err.code, TLSMSG_ERR_SYSTEM);
        assert_int_equal(err.sys_errno, EMFILE);
        assert_string_equal(err.text, rows[i].text);
        assert_int_equal(loop.epoll_fd, -1);
        assert_int_equal(loop.wake_fd, -1);
        after = dup(STDERR_FILENO);
        assert_int_equal(after, before); /* nothing stays open */
        (void)close(after);
        loop_fini(&loop);
    }
}

/* Be the first descriptor among them. */
static void test_nothing_stays_open(void **state)
{
    int saved = dup(STDIN_FILENO);
    int next = dup(STDIN_FILENO);
    struct loop loop;
    bool good;

    (void)state;
    assert_int_equal(close(next), 0);
    assert_int_equal(close(STDIN_FILENO), 0);
    good = loop_init(&loop, NULL) == TLSMSG_OK && loop.epoll_fd == STDIN_FILENO;
    loop_fini(&loop);
    good = good && fcntl(STDIN_FILENO, F_GETFD) == -1;
    assert_int_equal(dup2(saved, STDIN_FILENO), STDIN_FILENO);
    assert_true(good);
    assert_int_equal(loop.epoll_fd, -1);
    assert_int_equal(loop.wake_fd, -1);
    assert_int_equal(dup(STDIN_FILENO), next);
    assert_int_equal(close(next), 0);
    assert_int_equal(close(saved), 0);
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
        cmocka_unit_test_setup_teardown(test_the_kernel_is_asked_for_what_changes, set_up,
                                        tear_down),
        cmocka_unit_test_setup_teardown(test_all_that_is_ready_is_told_in_turns, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_an_error_is_a_hangup, set_up, tear_down),
        cmocka_unit_test(test_a_loop_that_cannot_be_had_is_told),
        cmocka_unit_test(test_nothing_stays_open),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
