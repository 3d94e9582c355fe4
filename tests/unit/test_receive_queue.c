/* The receive queue: edges of records kept, streams cut by the taker, limits held. */
#include <string.h>

#include "support/failmalloc.h"
#include "support/unit.h"

#include "client/receive_queue.h"

static void keeps_the_edges_of_records(void **state)
{
    (void)state;
    struct receive_queue q;
    char out[8];
    receive_queue_init(&q, true, 1024);
    assert_int_equal(receive_queue_append(&q, "one", 3), TLSMSG_OK);
    assert_int_equal(receive_queue_append(&q, "fives", 5), TLSMSG_OK);
    assert_int_equal(receive_queue_take(&q, out, sizeof(out)), 3);
    assert_memory_equal(out, "one", 3);
    assert_int_equal(receive_queue_take(&q, out, sizeof(out)), 5);
    assert_memory_equal(out, "fives", 5);
    assert_int_equal(receive_queue_take(&q, out, sizeof(out)), 0);
    assert_true(receive_queue_is_empty(&q));
    receive_queue_fini(&q);
}

static void joins_a_stream(void **state)
{
    (void)state;
    struct receive_queue q;
    char out[6];
    receive_queue_init(&q, false, 1024);
    assert_int_equal(receive_queue_append(&q, "one", 3), TLSMSG_OK);
    assert_int_equal(receive_queue_append(&q, "fives", 5), TLSMSG_OK);
    assert_int_equal(receive_queue_take(&q, out, sizeof(out)), 6);
    assert_memory_equal(out, "onefiv", 6);
    assert_int_equal(receive_queue_take(&q, out, sizeof(out)), 2);
    assert_memory_equal(out, "es", 2);
    receive_queue_fini(&q);
}

static void holds_its_limit(void **state)
{
    (void)state;
    struct receive_queue q;
    receive_queue_init(&q, false, 4);
    assert_true(receive_queue_has_room(&q, 4));
    assert_false(receive_queue_has_room(&q, 5));
    assert_int_equal(receive_queue_append(&q, "12345", 5), TLSMSG_ERR_LIMIT);
    assert_true(receive_queue_is_empty(&q));
    assert_int_equal(receive_queue_append(&q, "1234", 4), TLSMSG_OK);
    assert_false(receive_queue_has_room(&q, 1));
    receive_queue_raise_limit(&q, 2);
    assert_false(receive_queue_has_room(&q, 1));
    receive_queue_raise_limit(&q, 5);
    assert_true(receive_queue_has_room(&q, 1));
    receive_queue_fini(&q);
}

/* What has_room promises, append keeps: the length of a record counts too. */
static void counts_the_overhead_of_records(void **state)
{
    (void)state;
    struct receive_queue q;
    receive_queue_init(&q, true, 8);
    assert_true(receive_queue_has_room(&q, 4));
    assert_false(receive_queue_has_room(&q, 5));
    assert_int_equal(receive_queue_append(&q, "1234", 4), TLSMSG_OK);
    assert_false(receive_queue_has_room(&q, 0));
    assert_int_equal(receive_queue_append(&q, "1", 1), TLSMSG_ERR_LIMIT);
    receive_queue_fini(&q);
}

static void says_when_memory_is_out(void **state)
{
    (void)state;
    struct receive_queue q;
    receive_queue_init(&q, true, 1024);
    failmalloc_at(1);
    assert_int_equal(receive_queue_append(&q, "1234", 4), TLSMSG_ERR_NOMEM);
    failmalloc_at(0);
    assert_true(receive_queue_is_empty(&q));
    assert_int_equal(receive_queue_append(&q, "1234", 4), TLSMSG_OK);
    receive_queue_fini(&q);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(keeps_the_edges_of_records),
        cmocka_unit_test(joins_a_stream),
        cmocka_unit_test(holds_its_limit),
        cmocka_unit_test(counts_the_overhead_of_records),
        cmocka_unit_test(says_when_memory_is_out),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
