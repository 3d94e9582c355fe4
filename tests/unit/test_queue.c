/* Queue: bytes come out as they went in, the limit holds, failures change nothing. */
#include "support/unit.h"

#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include "base/queue.h"
#include "support/failmalloc.h"

static void assert_holds(const struct queue *q, const char *want, size_t len)
{
    assert_int_equal(q->len, len);
    if (len > 0) {
        assert_memory_equal(queue_head(q), want, len);
    }
}

static void test_bytes_come_out_in_order(void **state)
{
    struct queue q;

    (void)state;
    queue_init(&q, 100);
    assert_int_equal(queue_append(&q, "hello ", 6), TLSMSG_OK);
    assert_int_equal(queue_append(&q, "world", 5), TLSMSG_OK);
    assert_holds(&q, "hello world", 11);
    queue_consume(&q, 6);
    assert_holds(&q, "world", 5);
    assert_int_equal(queue_append(&q, "!", 1), TLSMSG_OK);
    assert_holds(&q, "world!", 6);
    queue_fini(&q);
}

static void test_empty_costs_no_memory(void **state)
{
    struct queue q;

    (void)state;
    queue_init(&q, 100);
    assert_null(q.data);
    assert_null(queue_head(&q));
    assert_int_equal(queue_append(&q, NULL, 0), TLSMSG_OK);
    assert_null(q.data);
    assert_int_equal(queue_append(&q, "abc", 3), TLSMSG_OK);
    assert_non_null(q.data);
    queue_consume(&q, 0);
    assert_holds(&q, "abc", 3);
    queue_consume(&q, 3);
    assert_null(q.data);
    assert_int_equal(q.cap, 0);
    queue_consume(&q, 0);
    assert_null(q.data);
    queue_fini(&q);
    queue_fini(&q);
}

static void test_limit_is_all_or_nothing(void **state)
{
    struct queue q;
    enum tlsmsg_code code = TLSMSG_OK;

    (void)state;
    queue_init(&q, 8);
    assert_int_equal(queue_append(&q, "123456789", 9), TLSMSG_ERR_LIMIT);
    assert_null(q.data);
    assert_int_equal(queue_append(&q, "12345678", 8), TLSMSG_OK);
    assert_int_equal(queue_append(&q, "9", 1), TLSMSG_ERR_LIMIT);
    assert_null(queue_reserve(&q, SIZE_MAX, &code));
    assert_int_equal(code, TLSMSG_ERR_LIMIT);
    assert_holds(&q, "12345678", 8);
    queue_consume(&q, 3);
    assert_int_equal(queue_append(&q, "abc", 3), TLSMSG_OK);
    assert_int_equal(queue_append(&q, "d", 1), TLSMSG_ERR_LIMIT);
    assert_holds(&q, "45678abc", 8);
    assert_true(q.cap <= 8);
    queue_fini(&q);
}

static void test_nothing_fits_a_limit_of_zero(void **state)
{
    struct queue q;
    enum tlsmsg_code code;

    (void)state;
    queue_init(&q, 0);
    assert_int_equal(queue_append(&q, "1", 1), TLSMSG_ERR_LIMIT);
    assert_non_null(queue_reserve(&q, 0, &code));
    queue_commit(&q, 0);
    assert_null(q.data);
    queue_fini(&q);
}

static void test_reserved_bytes_count_once_committed(void **state)
{
    struct queue q;
    enum tlsmsg_code code;
    char *to;

    (void)state;
    queue_init(&q, 5000);
    to = queue_reserve(&q, 5000, &code);
    assert_non_null(to);
    assert_int_equal(code, TLSMSG_OK);
    assert_int_equal(q.len, 0);
    memset(to, 'x', 5000);
    queue_commit(&q, 0);
    assert_null(q.data);
    to = queue_reserve(&q, 5000, &code);
    assert_non_null(to);
    to[0] = 'a';
    to[1] = 'b';
    queue_commit(&q, 2);
    assert_holds(&q, "ab", 2);
    queue_fini(&q);
}

/* Queues that never empty: the cost of a trickle is a few allocations, not one a message. */
static void test_trickle_reuses_memory(void **state)
{
    struct queue q;
    size_t i;

    (void)state;
    queue_init(&q, 1 << 20);
    failmalloc_at(0);
    assert_int_equal(queue_append(&q, "0123456789", 10), TLSMSG_OK);
    for (i = 0; i < 100000; i++) {
        assert_int_equal(queue_append(&q, "0123456789", 10), TLSMSG_OK);
        queue_consume(&q, 10);
    }
    assert_holds(&q, "0123456789", 10);
    assert_true(failmalloc_count() <= 2);
    assert_true(q.cap <= 4096);
    queue_fini(&q);
}

/* Moving to the front pays only where little is left to move. */
static void test_moves_little_or_grows(void **state)
{
    static const char block[1024];
    struct queue q;

    (void)state;
    queue_init(&q, 4096);
    assert_int_equal(queue_append(&q, block, 1024), TLSMSG_OK);
    assert_int_equal(q.cap, 1024);
    queue_consume(&q, 600);
    assert_int_equal(queue_append(&q, block, 500), TLSMSG_OK);
    assert_int_equal(q.cap, 1024);
    assert_int_equal(q.head, 0);
    queue_consume(&q, 100);
    assert_int_equal(queue_append(&q, block, 200), TLSMSG_OK);
    assert_int_equal(q.cap, 2048);
    assert_int_equal(q.len, 1024);
    queue_fini(&q);
}

static void test_growth_doubles(void **state)
{
    struct queue q;
    size_t i;

    (void)state;
    queue_init(&q, 1 << 20);
    failmalloc_at(0);
    for (i = 0; i < 1 << 20; i++) {
        assert_int_equal(queue_append(&q, "x", 1), TLSMSG_OK);
    }
    assert_true(failmalloc_count() <= 12);
    assert_int_equal(q.cap, 1 << 20);
    queue_fini(&q);
}

/* What stands at a place of the endless text that goes through the queue. */
static char byte_at(size_t place)
{
    return (char)(place * 2654435761U >> 7);
}

/* Two counters are the model, driven by a fixed sequence of pseudo-random sizes. */
static void test_equals_a_model(void **state)
{
    enum { LIMIT = 6000, STEPS = 20000 };
    static char piece[2000];
    size_t appended = 0;
    size_t consumed = 0;
    uint32_t random = 1;
    struct queue q;
    size_t i;
    size_t step;

    (void)state;
    queue_init(&q, LIMIT);
    for (step = 0; step < STEPS; step++) {
        size_t n;

        random = random * 1664525 + 1013904223;
        n = (random >> 8) % ((random >> 28) == 0 ? sizeof(piece) : 100);
        if ((random >> 24 & 1) == 0) {
            bool fits = appended - consumed + n <= LIMIT;

            for (i = 0; i < n; i++) {
                piece[i] = byte_at(appended + i);
            }
            assert_int_equal(queue_append(&q, piece, n), fits ? TLSMSG_OK : TLSMSG_ERR_LIMIT);
            appended += fits ? n : 0;
        } else {
            n = n < q.len ? n : q.len;
            queue_consume(&q, n);
            consumed += n;
        }
        assert_int_equal(q.len, appended - consumed);
        assert_true((q.data == NULL) == (q.len == 0));
        for (i = 0; i < q.len; i++) {
            if (queue_head(&q)[i] != byte_at(consumed + i)) {
                fail_msg("step %zu: wrong byte at %zu of %zu", step, i, q.len);
            }
        }
    }
    assert_true(consumed > 500000);
    queue_fini(&q);
}

/* Appends until three allocations were needed; one of them may fail, after which the same
 * append must succeed. */
static void scenario_append(void *state)
{
    static const char piece[700] = "piece";
    struct queue q;
    size_t done = 0;
    unsigned failures = 0;

    (void)state;
    queue_init(&q, 1 << 16);
    while (done < 6) {
        size_t before = q.len;
        enum tlsmsg_code code = queue_append(&q, piece, sizeof(piece));

        if (code == TLSMSG_OK) {
            done++;
            continue;
        }
        assert_int_equal(code, TLSMSG_ERR_NOMEM);
        assert_int_equal(q.len, before);
        assert_int_equal(++failures, 1);
    }
    assert_int_equal(q.len, 6 * sizeof(piece));
    while (done-- > 0) {
        assert_memory_equal(queue_head(&q), piece, sizeof(piece));
        queue_consume(&q, sizeof(piece));
    }
    queue_fini(&q);
}

static void test_every_failed_allocation_changes_nothing(void **state)
{
    size_t n;

    (void)state;
    for (n = 1; failmalloc_try(n, scenario_append, NULL); n++) {
    }
    assert_true(n >= 4);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_bytes_come_out_in_order),
        cmocka_unit_test(test_empty_costs_no_memory),
        cmocka_unit_test(test_limit_is_all_or_nothing),
        cmocka_unit_test(test_nothing_fits_a_limit_of_zero),
        cmocka_unit_test(test_reserved_bytes_count_once_committed),
        cmocka_unit_test(test_trickle_reuses_memory),
        cmocka_unit_test(test_moves_little_or_grows),
        cmocka_unit_test(test_growth_doubles),
        cmocka_unit_test(test_equals_a_model),
        cmocka_unit_test(test_every_failed_allocation_changes_nothing),
    };

    return cmocka_run_group_tests_name("queue", tests, NULL, NULL);
}
