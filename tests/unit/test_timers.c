/* Deadlines: order, lazy postponement, removal from the middle, many at random. */
#include "support/unit.h"

#include <stdlib.h>

#include "net/timers.h"
#include "support/failmalloc.h"

static void test_pops_in_order_of_time(void **state)
{
    struct timers timers;
    struct timer t[5] = {0};
    const int64_t due[5] = {50, 10, 40, 20, 30};
    int64_t last = 0;

    (void)state;
    timers_init(&timers);
    assert_true(timers_reserve(&timers, 5));
    for (int i = 0; i < 5; i++) {
        timers_set(&timers, &t[i], due[i]);
    }
    assert_int_equal(timers_next_ns(&timers), 10);
    assert_null(timers_pop(&timers, 9));
    for (int i = 0; i < 5; i++) {
        struct timer *popped = timers_pop(&timers, 50);

        assert_non_null(popped);
        assert_true(due[popped - t] > last);
        last = due[popped - t];
    }
    assert_null(timers_pop(&timers, 1000));
    assert_int_equal(timers_next_ns(&timers), 0);
    timers_fini(&timers);
}

static void test_later_deadline_is_not_popped_early(void **state)
{
    struct timers timers;
    struct timer t = {0};

    (void)state;
    timers_init(&timers);
    assert_true(timers_reserve(&timers, 1));
    timers_set(&timers, &t, 10);
    timers_set(&timers, &t, 100);
    assert_int_equal(timers_next_ns(&timers), 10);
    assert_null(timers_pop(&timers, 50));
    assert_int_equal(timers_next_ns(&timers), 100);
    assert_ptr_equal(timers_pop(&timers, 100), &t);
    timers_fini(&timers);
}

static void test_earlier_deadline_moves_up(void **state)
{
    struct timers timers;
    struct timer a = {0};
    struct timer b = {0};

    (void)state;
    timers_init(&timers);
    assert_true(timers_reserve(&timers, 2));
    timers_set(&timers, &a, 100);
    timers_set(&timers, &b, 200);
    timers_set(&timers, &b, 50);
    assert_ptr_equal(timers_pop(&timers, 60), &b);
    assert_null(timers_pop(&timers, 60));
    timers_fini(&timers);
}

static void test_cleared_timer_never_pops(void **state)
{
    struct timers timers;
    struct timer a = {0};
    struct timer b = {0};

    (void)state;
    timers_init(&timers);
    assert_true(timers_reserve(&timers, 2));
    timers_set(&timers, &a, 10);
    timers_set(&timers, &b, 20);
    timers_set(&timers, &a, 0);
    assert_ptr_equal(timers_pop(&timers, 100), &b);
    assert_null(timers_pop(&timers, 100));
    timers_fini(&timers);
}

static void test_many_at_random_keep_the_heap(void **state)
{
    enum { N = 500, ROUNDS = 20000 };
    struct timers timers;
    struct timer *t = calloc(N, sizeof(*t));
    unsigned seed = 12345;
    int64_t now = 1;

    (void)state;
    assert_non_null(t);
    timers_init(&timers);
    assert_true(timers_reserve(&timers, N));
    for (int i = 0; i < ROUNDS; i++) {
        struct timer *timer = &t[(unsigned)rand_r(&seed) % N];
        int action = rand_r(&seed) % 4;

        if (action == 0) {
            timers_remove(&timers, timer);
        } else {
            timers_set(&timers, timer, now + 1 + rand_r(&seed) % 1000);
        }
        now += rand_r(&seed) % 10;
        for (struct timer *due = timers_pop(&timers, now); due != NULL;
             due = timers_pop(&timers, now)) {
            assert_int_equal(due->place, 0);
        }
        for (int k = 0; k < N; k++) {
            assert_true(t[k].due_ns == 0 || t[k].due_ns > now);
        }
    }
    timers_fini(&timers);
    free(t);
}

/* Growing keeps what there is; where it can't, too. */
static void test_room_grows_in_steps(void **state)
{
    enum { MANY = 65 };
    struct timers timers;
    struct timer t[MANY] = {0};

    (void)state;
    timers_init(&timers);
    assert_true(timers_reserve(&timers, 0));
    assert_null(timers.heap);
    assert_true(timers_reserve(&timers, 1));
    assert_int_equal(timers.cap, 64);
    failmalloc_at(0);
    assert_true(timers_reserve(&timers, 64));
    assert_int_equal(failmalloc_count(), 0);
    for (int i = 0; i < 64; i++) {
        timers_set(&timers, &t[i], 1000 - i);
    }
    failmalloc_at(1);
    assert_false(timers_reserve(&timers, MANY));
    failmalloc_at(0);
    assert_int_equal(timers.cap, 64);
    assert_true(timers_reserve(&timers, MANY));
    assert_int_equal(timers.cap, 128);
    timers_set(&timers, &t[64], 1);
    assert_int_equal(timers_next_ns(&timers), 1);
    for (int i = 0; i < MANY; i++) {
        assert_ptr_equal(timers_pop(&timers, 2000), &t[MANY - 1 - i]);
    }
    assert_true(timers_reserve(&timers, 1000));
    assert_int_equal(timers.cap, 1024);
    timers_fini(&timers);
    assert_int_equal(timers.cap, 0);
    assert_int_equal(timers.count, 0);
    assert_null(timers.heap);
}

/* At its very time a timer is due, and not a nanosecond before. */
static void test_due_to_the_nanosecond(void **state)
{
    struct timers timers;
    struct timer t = {0};

    (void)state;
    timers_init(&timers);
    assert_true(timers_reserve(&timers, 1));
    timers_set(&timers, &t, 100);
    timers_set(&timers, &t, 200);
    assert_null(timers_pop(&timers, 199));
    assert_int_equal(t.due_ns, 200);
    assert_ptr_equal(timers_pop(&timers, 200), &t);
    assert_int_equal(t.due_ns, 0);
    assert_int_equal(t.place, 0);
    timers_remove(&timers, &t); /* once more: it is not there */
    timers_set(&timers, &t, 0); /* none */
    assert_int_equal(timers.count, 0);
    timers_set(&timers, &t, 10);
    timers_set(&timers, &t, 10);
    assert_int_equal(timers.count, 1);
    timers_remove(&timers, &t);
    assert_int_equal(t.due_ns, 0);
    assert_int_equal(timers.count, 0);
    timers_fini(&timers);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_pops_in_order_of_time),
        cmocka_unit_test(test_later_deadline_is_not_popped_early),
        cmocka_unit_test(test_earlier_deadline_moves_up),
        cmocka_unit_test(test_cleared_timer_never_pops),
        cmocka_unit_test(test_many_at_random_keep_the_heap),
        cmocka_unit_test(test_room_grows_in_steps),
        cmocka_unit_test(test_due_to_the_nanosecond),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
