/* The receive-ahead queue: edges of records kept, streams cut by the taker, limits held. */
#include <string.h>

#include "support/failmalloc.h"
#include "support/unit.h"

#include "client/ahead.h"

static void keeps_the_edges_of_records(void **state)
{
    (void)state;
    struct ahead a;
    char out[8];
    ahead_init(&a, true, 1024);
    assert_int_equal(ahead_append(&a, "one", 3), TLSMSG_OK);
    assert_int_equal(ahead_append(&a, "fives", 5), TLSMSG_OK);
    assert_int_equal(ahead_take(&a, out, sizeof(out)), 3);
    assert_memory_equal(out, "one", 3);
    assert_int_equal(ahead_take(&a, out, sizeof(out)), 5);
    assert_memory_equal(out, "fives", 5);
    assert_int_equal(ahead_take(&a, out, sizeof(out)), 0);
    assert_true(ahead_is_empty(&a));
    ahead_fini(&a);
}

static void joins_a_stream(void **state)
{
    (void)state;
    struct ahead a;
    char out[6];
    ahead_init(&a, false, 1024);
    assert_int_equal(ahead_append(&a, "one", 3), TLSMSG_OK);
    assert_int_equal(ahead_append(&a, "fives", 5), TLSMSG_OK);
    assert_int_equal(ahead_take(&a, out, sizeof(out)), 6);
    assert_memory_equal(out, "onefiv", 6);
    assert_int_equal(ahead_take(&a, out, sizeof(out)), 2);
    assert_memory_equal(out, "es", 2);
    ahead_fini(&a);
}

static void holds_its_limit(void **state)
{
    (void)state;
    struct ahead a;
    ahead_init(&a, false, 4);
    assert_true(ahead_has_room(&a, 4));
    assert_false(ahead_has_room(&a, 5));
    assert_int_equal(ahead_append(&a, "12345", 5), TLSMSG_ERR_LIMIT);
    assert_true(ahead_is_empty(&a));
    assert_int_equal(ahead_append(&a, "1234", 4), TLSMSG_OK);
    assert_false(ahead_has_room(&a, 1));
    ahead_raise_limit(&a, 2);
    assert_false(ahead_has_room(&a, 1));
    ahead_raise_limit(&a, 5);
    assert_true(ahead_has_room(&a, 1));
    ahead_fini(&a);
}

/* What has_room promises, append keeps: the length of a record counts too. */
static void counts_the_overhead_of_records(void **state)
{
    (void)state;
    struct ahead a;
    ahead_init(&a, true, 8);
    assert_true(ahead_has_room(&a, 4));
    assert_false(ahead_has_room(&a, 5));
    assert_int_equal(ahead_append(&a, "1234", 4), TLSMSG_OK);
    assert_false(ahead_has_room(&a, 0));
    assert_int_equal(ahead_append(&a, "1", 1), TLSMSG_ERR_LIMIT);
    ahead_fini(&a);
}

static void says_when_memory_is_out(void **state)
{
    (void)state;
    struct ahead a;
    ahead_init(&a, true, 1024);
    failmalloc_at(1);
    assert_int_equal(ahead_append(&a, "1234", 4), TLSMSG_ERR_NOMEM);
    failmalloc_at(0);
    assert_true(ahead_is_empty(&a));
    assert_int_equal(ahead_append(&a, "1234", 4), TLSMSG_OK);
    ahead_fini(&a);
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
