/* Arrays as PostgreSQL reads them in binary (array_recv): byte for byte, from batch to batch. */
#include <string.h>

#include "store/postgresql_array.h"
#include "support/failmalloc.h"
#include "support/unit.h"

#define HEADER(has_null, type, count)                                                              \
    "\0\0\0\1\0\0\0" has_null "\0\0\0" type "\0\0\0" count "\0\0\0\1"

static void assert_array(const struct pg_array *array, const char *bytes, size_t len)
{
    assert_int_equal(array->len, len);
    assert_memory_equal(array->data, bytes, len);
}

#define ASSERT_ARRAY(array, bytes) assert_array(array, bytes, sizeof(bytes) - 1)

static void test_elements(void **state)
{
    struct pg_array array = {.data = NULL};

    (void)state;
    pg_array_begin(&array, PG_TYPE_TEXT);
    pg_array_text(&array, "ab");
    pg_array_text(&array, "");
    assert_true(pg_array_end(&array));
    ASSERT_ARRAY(&array, HEADER("\0", "\x19", "\2") "\0\0\0\2"
                                                    "ab"
                                                    "\0\0\0\0");
    pg_array_begin(&array, PG_TYPE_INT8);
    pg_array_number(&array, INT64_C(0x0102030405060708));
    pg_array_number(&array, -2);
    assert_true(pg_array_end(&array));
    ASSERT_ARRAY(&array, HEADER("\0", "\x14", "\2") "\0\0\0\x08"
                                                    "\1\2\3\4\5\6\7\x08"
                                                    "\0\0\0\x08"
                                                    "\xff\xff\xff\xff\xff\xff\xff\xfe");
    pg_array_begin(&array, PG_TYPE_BYTEA);
    pg_array_bytes(&array, "\0x", 2);
    pg_array_bytes(&array, NULL, 0);
    assert_true(pg_array_end(&array));
    ASSERT_ARRAY(&array, HEADER("\1", "\x11", "\2") "\0\0\0\2"
                                                    "\0x"
                                                    "\xff\xff\xff\xff");
    pg_array_begin(&array, PG_TYPE_BYTEA);
    assert_true(pg_array_end(&array));
    ASSERT_ARRAY(&array, HEADER("\0", "\x11", "\0"));
    pg_array_fini(&array);
    assert_null(array.data);
}

/* Memory grows with an array, and what a rare large one needed is given back. */
static void test_a_large_one(void **state)
{
    static const char large[5 * 1024 * 1024] = "x";
    struct pg_array array = {.data = NULL};

    (void)state;
    pg_array_begin(&array, PG_TYPE_BYTEA);
    for (size_t i = 0; i < 100; i++) {
        pg_array_bytes(&array, large, i);
    }
    pg_array_bytes(&array, large, sizeof(large));
    assert_true(pg_array_end(&array));
    assert_int_equal(array.count, 101);
    assert_int_equal(array.len, 20 + 101 * 4 + 99 * 50 + sizeof(large));
    assert_memory_equal(array.data + array.len - sizeof(large), large, sizeof(large));
    pg_array_begin(&array, PG_TYPE_BYTEA);
    assert_int_equal(array.capacity, 1024);
    pg_array_fini(&array);
}

/* What fits is put where it is: nothing is allocated for it, also in the next array, and it may fill
 * all that there is. */
static void test_what_fits(void **state)
{
    static const char filling[1024 - 20 - 3 * 4 - 1] = "x";
    struct pg_array array = {.data = NULL};
    int round;

    (void)state;
    failmalloc_at(0);
    for (round = 0; round < 2; round++) {
        pg_array_begin(&array, PG_TYPE_BYTEA);
        pg_array_bytes(&array, "y", 1);
        pg_array_bytes(&array, filling, sizeof(filling));
        pg_array_bytes(&array, NULL, 0);
        assert_true(pg_array_end(&array));
        assert_int_equal(array.len, 1024);
        assert_int_equal(array.capacity, 1024);
        assert_memory_equal(array.data + 20, "\0\0\0\1y", 5);
        assert_memory_equal(array.data + 1020, "\xff\xff\xff\xff", 4);
    }
    pg_array_begin(&array, PG_TYPE_BYTEA);
    pg_array_bytes(&array, filling, sizeof(filling));
    pg_array_bytes(&array, filling, 5);
    assert_int_equal(array.len, 1024);
    assert_int_equal(failmalloc_count(), 1);
    pg_array_bytes(&array, NULL, 0);
    assert_int_equal(array.capacity, 2048);
    assert_int_equal(failmalloc_count(), 2);
    pg_array_fini(&array);
}

/* What is kept from one array to the next. */
static void test_the_most_that_is_kept(void **state)
{
    static const char large[2 * 1024 * 1024] = "x";
    struct pg_array array = {.data = NULL};

    (void)state;
    pg_array_begin(&array, PG_TYPE_BYTEA);
    pg_array_bytes(&array, large, sizeof(large));
    assert_int_equal(array.capacity, 4 * 1024 * 1024);
    pg_array_begin(&array, PG_TYPE_BYTEA);
    assert_int_equal(array.capacity, 4 * 1024 * 1024);
    pg_array_fini(&array);
}

/* Whichever element finds no memory: the end says so, and the next array is whole. */
static void test_no_memory(void **state)
{
    static const char bytes[4096] = "x";
    struct pg_array array = {.data = NULL};

    (void)state;
    for (size_t n = 1; n <= 2; n++) {
        failmalloc_at(n);
        pg_array_begin(&array, PG_TYPE_INT8);
        pg_array_number(&array, 1);
        pg_array_bytes(&array, bytes, sizeof(bytes));
        pg_array_bytes(&array, NULL, 0);
        pg_array_number(&array, 2);
        assert_int_equal(failmalloc_count(), n); /* nothing is tried again */
        failmalloc_at(0);
        assert_false(pg_array_end(&array));
        pg_array_begin(&array, PG_TYPE_INT8);
        pg_array_number(&array, 1);
        assert_true(pg_array_end(&array));
        ASSERT_ARRAY(&array, HEADER("\0", "\x14", "\1") "\0\0\0\x08"
                                                        "\0\0\0\0\0\0\0\1");
        pg_array_fini(&array);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_elements),  cmocka_unit_test(test_a_large_one),
        cmocka_unit_test(test_what_fits), cmocka_unit_test(test_the_most_that_is_kept),
        cmocka_unit_test(test_no_memory),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
