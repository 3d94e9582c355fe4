/* Which addresses are told: those whose port the system chose. */
#include "support/unit.h"

#include "app/listening.h"

static const struct row {
    const char *name;
    const char *values[4];
    const char *address;
    bool told;
} rows[] = {
    {"the default", {NULL}, "127.0.0.1:12345", false},
    {"a named port", {"4000"}, "127.0.0.1:4000", false},
    {"port 0 alone", {"0"}, "127.0.0.1:40213", true},
    {"port 0 of a host", {"localhost:0"}, "[::1]:40213", true},
    {"port 0 of a v6 literal", {"[::1]:0"}, "[::1]:40213", true},
    {"named beside chosen: the named", {"[::1]:4000", "127.0.0.1:0"}, "[::1]:4000", false},
    {"named beside chosen: the chosen", {"[::1]:4000", "127.0.0.1:0"}, "127.0.0.1:40213", true},
};

static void test_told(void **state)
{
    const struct row *row = *state;
    struct listening listening = {0};
    size_t i;

    for (i = 0; row->values[i] != NULL; i++) {
        listening_note(&listening, row->values[i]);
    }
    assert_int_equal(listening_is_chosen(&listening, row->address), row->told);
}

static void test_many_values(void **state)
{
    struct listening listening = {0};
    size_t i;

    (void)state;
    for (i = 0; i < 2 * LISTENING_MAX; i++) {
        listening_note(&listening, "4000");
    }
    assert_int_equal(listening.fixed_count, LISTENING_MAX);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_many_values)};
    int failed = cmocka_run_group_tests(tests, NULL, NULL);

    RUN_ROWS(failed, test_told, rows);
    return failed;
}
