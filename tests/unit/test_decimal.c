/* Decimal numbers: digits and nothing else, bounds that hold, times rounded up. */
#include "support/unit.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "base/decimal.h"

struct parse_row {
    const char *name;
    const char *text;
    uint64_t min;
    uint64_t max;
    bool good;
    uint64_t want;
};

static const struct parse_row parse_rows[] = {
    {"zero", "0", 0, 10, true, 0},
    {"zeros in front", "0007", 0, 10, true, 7},
    {"at the least", "3", 3, 10, true, 3},
    {"below it", "2", 3, 10, false, 0},
    {"at the most", "65535", 0, 65535, true, 65535},
    {"above it", "65536", 0, 65535, false, 0},
    {"largest of all", "18446744073709551615", 0, UINT64_MAX, true, UINT64_MAX},
    {"one less", "18446744073709551614", 0, UINT64_MAX, true, UINT64_MAX - 1},
    {"the last of its tens", "18446744073709551610", 0, UINT64_MAX, true, UINT64_MAX - 5},
    {"saturates above a smaller most", "18446744073709551616", 0, UINT64_MAX - 1, false, 0},
    {"far too large", "99999999999999999999999999", 0, 1000, false, 0},
    {"nothing", "", 0, 10, false, 0},
    {"a sign", "+1", 0, 10, false, 0},
    {"a minus", "-1", 0, UINT64_MAX, false, 0},
    {"a blank in front", " 1", 0, 10, false, 0},
    {"a blank behind", "1 ", 0, 10, false, 0},
    {"hexadecimal", "0x1", 0, 10, false, 0},
    {"a point", "1.0", 0, 10, false, 0},
    {"just under the digits", "/", 0, 100, false, 0},
    {"just over the digits", ":", 0, 100, false, 0},
};

static void test_parse(void **state)
{
    const struct parse_row *row = *state;
    uint64_t got = 4711;

    assert_int_equal(decimal_parse(row->text, strlen(row->text), row->min, row->max, &got),
                     row->good);
    assert_true(got == (row->good ? row->want : 4711));
}

struct scaled_row {
    const char *name;
    const char *text;
    unsigned places;
    bool good;
    uint64_t want;
};

static const struct scaled_row scaled_rows[] = {
    {"whole", "2", 3, true, 2000},
    {"one place", "2.5", 3, true, 2500},
    {"no digit in front", ".5", 3, true, 500},
    {"all places", "1.234", 3, true, 1234},
    {"more zeros than places", "1.2340000", 3, true, 1234},
    {"rounded up", "0.0005", 3, true, 1},
    {"a little over", "1.00000001", 3, true, 1001},
    {"zero", "0.000", 3, true, 0},
    {"no places", "7.1", 0, true, 8},
    {"saturates", "18446744073709551", 3, true, UINT64_C(18446744073709551000)},
    {"saturates above", "18446744073709552", 3, true, UINT64_MAX},
    {"saturated, with a rest", "99999999999999999999.5", 0, true, UINT64_MAX},
    {"nothing", "", 3, false, 0},
    {"a point alone", ".", 3, false, 0},
    {"nothing behind the point", "2.", 3, false, 0},
    {"two points", "1.2.3", 3, false, 0},
    {"a comma", "1,5", 3, false, 0},
    {"an exponent", "1e3", 3, false, 0},
    {"a sign", "-1", 3, false, 0},
    {"a unit", "5s", 3, false, 0},
};

static void test_scaled(void **state)
{
    const struct scaled_row *row = *state;
    uint64_t got = 4711;

    assert_int_equal(decimal_parse_scaled(row->text, strlen(row->text), row->places, &got),
                     row->good);
    assert_true(got == (row->good ? row->want : 4711));
}

/* The length counts, not a NUL. */
static void test_length_ends_a_text(void **state)
{
    uint64_t got;

    (void)state;
    assert_true(decimal_parse("123", 2, 0, 100, &got));
    assert_int_equal(got, 12);
    assert_true(decimal_parse_scaled("1.59", 3, 3, &got));
    assert_int_equal(got, 1500);
    assert_true(decimal_parse_scaled("5.", 1, 3, &got));
    assert_int_equal(got, 5000);
    assert_int_equal(decimal_digits("77x", 3, &got), 2);
    assert_int_equal(got, 77);
}

struct put_row {
    const char *name;
    uint64_t number;
    unsigned width;
    const char *want;
};

static const struct put_row put_rows[] = {
    {"zero", 0, 1, "0"},
    {"nine", 9, 1, "9"},
    {"ten", 10, 1, "10"},
    {"many digits", 1203, 1, "1203"},
    {"largest", UINT64_MAX, 1, "18446744073709551615"},
    {"padded", 7, 3, "007"},
    {"padded zero", 0, 3, "000"},
    {"wider than its width", 1234, 3, "1234"},
    {"widest", 5, DECIMAL_DIGITS_MAX, "00000000000000000005"},
};

static void test_put(void **state)
{
    const struct put_row *row = *state;
    char memory[DECIMAL_DIGITS_MAX + 1];
    struct buffer b;

    buffer_init_fixed(&b, memory, sizeof(memory));
    BUFFER_PUT(&b, "<");
    if (row->width == 1) {
        decimal_put(&b, row->number);
    } else {
        decimal_put_padded(&b, row->number, row->width);
    }
    assert_int_equal(b.len, 1 + strlen(row->want));
    assert_memory_equal(memory + 1, row->want, strlen(row->want));
    if (row->width == 1) {
        char printed[DECIMAL_DIGITS_MAX];

        assert_int_equal(decimal_print(printed, row->number), strlen(row->want));
        assert_memory_equal(printed, row->want, strlen(row->want));
    }
}

/* Where a digit more begins. */
static void test_each_number_of_digits(void **state)
{
    uint64_t number = 1;
    char want[DECIMAL_DIGITS_MAX + 1];
    char got[DECIMAL_DIGITS_MAX];

    (void)state;
    for (size_t digits = 1; digits < DECIMAL_DIGITS_MAX; digits++) {
        number *= 10;
        for (uint64_t near = number - 1; near <= number + 1; near++) {
            int len = snprintf(want, sizeof(want), "%" PRIu64, near);

            assert_int_equal(decimal_print(got, near), len);
            assert_memory_equal(got, want, (size_t)len);
        }
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_length_ends_a_text),
                                       cmocka_unit_test(test_each_number_of_digits)};
    int failed = cmocka_run_group_tests(tests, NULL, NULL);

    RUN_ROWS(failed, test_parse, parse_rows);
    RUN_ROWS(failed, test_scaled, scaled_rows);
    RUN_ROWS(failed, test_put, put_rows);
    return failed;
}
