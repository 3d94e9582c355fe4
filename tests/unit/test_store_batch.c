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

/* A search for what is not there ends, though all that is there meets at every second place. */
static void test_a_search_ends(void **state)
{
    enum { HALF = 32 };
    static struct store_item items[HALF];
    struct batch_producer owner = {.id = 1};
    struct batch_items table = {.places = NULL};
    struct batch_producers producers = {.places = NULL};
    uint64_t even_seqs[HALF + 1];
    const char *even_names[HALF + 1];
    struct store_item probe = {.seq = 0};
    size_t found;
    bool fresh;
    size_t i;

    (void)state;
    name_all();
    assert_true(batch_items_begin(&table, HALF));
    for (found = 0; found <= HALF; found++) {
        do {
            probe.seq++;
            assert_true(batch_items_begin(&table, HALF));
            batch_items_add(&table, &owner, &probe);
            for (i = 0; table.places[i].producer == NULL; i++) {
            }
        } while (i % 2 != 0);
        even_seqs[found] = probe.seq;
    }
    assert_true(batch_items_begin(&table, HALF));
    for (i = 0; i < HALF; i++) {
        items[i].seq = even_seqs[i];
        batch_items_add(&table, &owner, &items[i]);
    }
    assert_null(batch_items_get(&table, &owner, even_seqs[HALF]));
    batch_items_fini(&table);
    for (found = 0, i = 0; found <= HALF; i++) {
        assert_true(batch_producers_begin(&producers, HALF));
        if ((batch_producers_get(&producers, "", names[i], &fresh) - producers.places) % 2 == 0) {
            even_names[found++] = names[i];
        }
    }
    assert_true(batch_producers_begin(&producers, HALF));
    for (i = 0; i <= HALF; i++) {
        (void)batch_producers_get(&producers, "", even_names[i], &fresh);
        assert_true(fresh);
    }
    batch_producers_fini(&producers);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_producers_are_told_apart),
        cmocka_unit_test(test_identity_and_name_are_two_things),
        cmocka_unit_test(test_a_table_is_empty_at_each_beginning),
        cmocka_unit_test(test_items_are_found_by_producer_and_number),
        cmocka_unit_test(test_a_search_ends),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
