/* Lines: numbers, and growing without losing what is there. */
#include "support/unit.h"

#include "app/lines.h"

static const struct row {
    const char *name;
    uint64_t number;
} rows[] = {{"0", 0}, {"9", 9}, {"10", 10}, {"1203", 1203}, {"18446744073709551615", UINT64_MAX}};

static void test_number(void **state)
{
    const struct row *row = *state;
    struct lines lines;

    assert_true(lines_init(&lines, LINES_NUMBER_MAX));
    lines_add_number(&lines, row->number);
    assert_int_equal(lines.len, strlen(row->name));
    assert_memory_equal(lines.data, row->name, lines.len);
    lines_fini(&lines);
}

static void test_grow(void **state)
{
    struct lines lines;

    (void)state;
    assert_true(lines_init(&lines, 4));
    LINES_ADD(&lines, "abcd");
    assert_int_equal(lines_room(&lines), 0);
    assert_true(lines_grow(&lines, 2));
    LINES_ADD(&lines, "ef");
    assert_memory_equal(lines.data, "abcdef", 6);
    assert_false(lines_grow(&lines, SIZE_MAX));
    assert_int_equal(lines.len, 6);
    lines_fini(&lines);
    assert_null(lines.data);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_grow)};
    int failed = cmocka_run_group_tests(tests, NULL, NULL);

    RUN_ROWS(failed, test_number, rows);
    return failed;
}
