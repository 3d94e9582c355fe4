/* Tables of a batch: each key has one place, however many there are and wherever they meet, and a table
 * keeps its memory. */
#include <stdio.h>

#include "store/backend.h"
#include "store/batch.h"
#include "support/failmalloc.h"
#include "support/unit.h"

#define MANY 5000

static char names[MANY][16];

static void name_all(void)
{
    for (int i = 0; i < MANY; i++) {
        (void)snprintf(names[i], sizeof(names[i]), "p%d", i);
    }
}

static void test_producers_are_told_apart(void **state)
{
    struct batch_producers producers = {.places = NULL};
    bool fresh;
    int64_t i;

    (void)state;
    name_all();
    assert_true(batch_producers_begin(&producers, MANY));
    for (i = 0; i < MANY; i++) {
        struct batch_producer *place =
            batch_producers_get(&producers, i % 2 == 0 ? "" : "CN=a", names[i], &fresh);

        assert_true(fresh);
        assert_int_equal(place->id, 0);
        place->id = i + 1;
    }
    assert_int_equal(producers.count, MANY);
    for (i = 0; i < MANY; i++) {
        struct batch_producer *place =
            batch_producers_get(&producers, i % 2 == 0 ? "" : "CN=a", names[i], &fresh);

        assert_false(fresh);
        assert_int_equal(place->id, i + 1);
        assert_string_equal(place->name, names[i]);
    }
    assert_int_equal(producers.count, MANY);
    batch_producers_fini(&producers);
    assert_null(producers.places);
    assert_int_equal(producers.capacity, 0);
}

/* Where an identity ends and a name begins matters. */
static void test_identity_and_name_are_two_things(void **state)
{
    static const char *const keys[][2] = {{"a", "bc"}, {"ab", "c"}, {"", "abc"},
                                          {"abc", ""}, {"b", "c"},  {"a", "c"}};
    struct batch_producers producers = {.places = NULL};
    bool fresh;
    size_t i;

    (void)state;
    assert_true(batch_producers_begin(&producers, COUNT_OF(keys)));
    for (i = 0; i < COUNT_OF(keys); i++) {
        (void)batch_producers_get(&producers, keys[i][0], keys[i][1], &fresh);
        assert_true(fresh);
    }
    batch_producers_fini(&producers);
}

/* A table of a batch that is no longer is emptied, and takes no memory. */
static void test_a_table_is_empty_at_each_beginning(void **state)
{
    struct batch_producers producers = {.places = NULL};
    bool fresh;

    (void)state;
    assert_true(batch_producers_begin(&producers, 33));
    assert_int_equal(producers.capacity, 128);
    (void)batch_producers_get(&producers, "", "p", &fresh);
    failmalloc_at(0);
    assert_true(batch_producers_begin(&producers, 64));
    assert_true(batch_producers_begin(&producers, 64));
    assert_int_equal(failmalloc_count(), 0);
    assert_int_equal(producers.count, 0);
    (void)batch_producers_get(&producers, "", "p", &fresh);
    assert_true(fresh);
    /* A short one doesn't walk through what a long one needed. */
    assert_true(batch_producers_begin(&producers, 32));
    assert_int_equal(producers.capacity, 64);
    (void)batch_producers_get(&producers, "", "p", &fresh);
    assert_true(fresh);
    failmalloc_at(1);
    assert_false(batch_producers_begin(&producers, 65));
    failmalloc_at(0);
    batch_producers_fini(&producers);
}

static void test_items_are_found_by_producer_and_number(void **state)
{
    static struct store_item items[2][MANY / 2];
    struct batch_producer owners[3] = {{.id = 1}, {.id = 2}, {.id = 3}};
    struct batch_items table = {.places = NULL};
    size_t i;
    size_t j;

    (void)state;
    assert_true(batch_items_begin(&table, MANY));
    for (i = 0; i < MANY / 2; i++) {
        for (j = 0; j < 2; j++) {
            items[j][i].seq = i + 1;
            assert_null(batch_items_get(&table, &owners[j], i + 1));
            batch_items_add(&table, &owners[j], &items[j][i]);
        }
    }
    assert_int_equal(table.count, MANY);
    for (i = 0; i < MANY / 2; i++) {
        for (j = 0; j < 2; j++) {
            assert_ptr_equal(batch_items_get(&table, &owners[j], i + 1), &items[j][i]);
        }
        assert_null(batch_items_get(&table, &owners[2], i + 1));
    }
    assert_null(batch_items_get(&table, &owners[0], MANY));
    assert_true(batch_items_begin(&table, MANY));
    assert_int_equal(table.count, 0);
    assert_null(batch_items_get(&table, &owners[0], 1));
    failmalloc_at(1);
    assert_false(batch_items_begin(&table, 1));
    failmalloc_at(0);
    batch_items_fini(&table);
    assert_null(table.places);
    assert_int_equal(table.capacity, 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_producers_are_told_apart),
        cmocka_unit_test(test_identity_and_name_are_two_things),
        cmocka_unit_test(test_a_table_is_empty_at_each_beginning),
        cmocka_unit_test(test_items_are_found_by_producer_and_number),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
