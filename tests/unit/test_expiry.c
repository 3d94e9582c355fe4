/* When the daily warning about a certificate is due, with a clock of the test's own. */
#include "support/unit.h"

#include <string.h>

#include "app/expiry.h"

#define DAY 86400
#define NOW (1000 * (int64_t)DAY)

static const struct row {
    const char *name;
    int64_t expiry;
    int64_t last;
    bool due;
    int64_t last_after;
} rows[] = {
    {"no certificate", 0, NOW - 9 * DAY, false, NOW - 9 * DAY},
    {"far away", NOW + 31 * DAY, NOW - 2 * DAY, false, NOW - 2 * DAY},
    {"30 days are enough", NOW + 30 * DAY, NOW - 2 * DAY, false, NOW - 2 * DAY},
    {"a second less", NOW + 30 * DAY - 1, NOW - 2 * DAY, true, NOW},
    {"told today", NOW + DAY, NOW - DAY + 1, false, NOW - DAY + 1},
    {"told a day ago", NOW + DAY, NOW - DAY, true, NOW},
    {"past, and told each day", NOW - 3 * DAY, NOW - DAY, true, NOW},
    {"the clock was set back", NOW + DAY, NOW + 300 * DAY, false, NOW},
};

static void test_due(void **state)
{
    const struct row *row = *state;
    int64_t last = row->last;

    assert_int_equal(expiry_is_due(row->expiry, &last, NOW), row->due);
    assert_int_equal(last, row->last_after);
}

static void test_once_a_day(void **state)
{
    int64_t last = NOW;
    unsigned told = 0;

    (void)state;
    for (int64_t now = NOW; now < NOW + 10 * DAY; now += 600) {
        told += expiry_is_due(NOW + 40 * DAY - 5 * DAY, &last, now) ? 1 : 0;
    }
    assert_int_equal(told, 5); /* once in each of the last five days */
}

static void test_text(void **state)
{
    char text[192];

    (void)state;
    expiry_print(12 * DAY + 5, DAY, text, sizeof(text));
    assert_non_null(strstr(text, "ends in 11 days, on 1970-01-13"));
    expiry_print(12 * DAY, 13 * DAY, text, sizeof(text));
    assert_non_null(strstr(text, "ended on 1970-01-13"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_once_a_day),
                                       cmocka_unit_test(test_text)};
    int failed = cmocka_run_group_tests(tests, NULL, NULL);

    RUN_ROWS(failed, test_due, rows);
    return failed;
}
