/* What a build without PostgreSQL says to a database's address. */
#include "app/store/database.h"
#include "store/postgresql.h"
#include "support/unit.h"

#define TARGET "postgresql://u@a/d"

static void assert_refused(enum tlsmsg_code code, const struct tlsmsg_error *err, const char *text)
{
    assert_int_equal(code, TLSMSG_ERR_CONFIG);
    assert_int_equal(err->code, TLSMSG_ERR_CONFIG);
    assert_int_equal(err->sys_errno, 0);
    assert_string_equal(err->text, text);
}

static void test_store(void **state)
{
    static const char text[] =
        "this build stores in files alone (the build option TLSMSG_POSTGRESQL is off)";
    struct store_backend *backend = NULL;
    struct store_reach reach = {.file_count = 0};
    struct tlsmsg_error err = {.code = TLSMSG_OK};

    (void)state;
    assert_refused(postgresql_backend_open(TARGET, &backend, &err), &err, text);
    assert_null(backend);
    tlsmsg_error_clear(&err);
    assert_refused(postgresql_check(TARGET, &err), &err, text);
    tlsmsg_error_clear(&err);
    assert_refused(postgresql_reach(TARGET, "/h", &reach, &err), &err, text);
    assert_int_equal(reach.file_count + reach.port_count, 0);
}

static void test_tool(void **state)
{
    const struct store_options_taken taken = {.command = COMMAND_LIST, .target = TARGET};
    struct tlsmsg_error err = {.code = TLSMSG_OK};
    uint64_t faults = 7;

    (void)state;
    assert_refused(database_run(&taken, &faults, &err), &err,
                   "this build knows stores in files alone (the build option TLSMSG_POSTGRESQL is "
                   "off)");
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_store), cmocka_unit_test(test_tool)};

    return cmocka_run_group_tests(tests, NULL, NULL);
}
