/* What the server's own options become, and what is refused of them, with the whole text. */
#include "support/unit.h"

#include <string.h>

#include "app/server/options.h"
#include "base/build.h"

#define WORDS_MAX 6

static enum tlsmsg_code take(struct server_settings *settings, const char *const *given,
                             struct tlsmsg_error *err)
{
    char *argv[WORDS_MAX + 1] = {(char *)"tlsmsg-server"};
    enum tlsmsg_code code;
    int argc = 1;
    int stopped;

    for (; argc <= WORDS_MAX && given[argc - 1] != NULL; argc++) {
        argv[argc] = (char *)given[argc - 1];
    }
    *err = (struct tlsmsg_error){.code = TLSMSG_OK};
    assert_int_equal(server_settings_init(settings, err), TLSMSG_OK);
    code = args_parse(&server_options, argc, argv, server_settings_take, settings, &stopped, err);
    return code == TLSMSG_OK ? server_settings_finish(settings, err) : code;
}

static const struct refused {
    const char *name;
    const char *words[WORDS_MAX];
    const char *text;
} refused[] = {
    {"an operand", {"x"}, "unexpected argument 'x' (try 'tlsmsg-server --help')"},
    {"another language", {"--lang", "fr"}, "--lang wants zh or en, not 'fr'"},
    {"another format", {"--format", "x\n"}, "--format wants text or json, not 'x\\n'"},
    {"another log format", {"--log-format", "xml"}, "--log-format wants text or json, not 'xml'"},
    {"another level",
     {"--log-level", "all"},
     "--log-level wants error, warning, info or debug, not 'all'"},
    {"an age without a unit",
     {"--store-keep", "90"},
     "--store-keep wants an age such as 90d (units: s, m, h, d, w)"},
    {"an age that is nothing",
     {"--store-keep", "0d"},
     "--store-keep wants an age such as 90d (units: s, m, h, d, w)"},
    {"bytes that are none", {"--store-min-free", "x"}, "--store-min-free wants a number of bytes"},
    {"more bytes than there are",
     {"--store-min-free", "9223372036854775808"},
     "--store-min-free wants a number of bytes"},
    {"seconds that are none",
     {"--store-timeout", "x"},
     "--store-timeout wants seconds, such as 5 or 0.5"},
    {"too many seconds",
     {"--store-timeout", "2147483.648"},
     "--store-timeout wants seconds, such as 5 or 0.5"},
    {"an age without a store",
     {"--store-keep", "1d"},
     "--store-keep, --store-min-free and --store-timeout need --store"},
    {"room without a store",
     {"--store-min-free", "0"},
     "--store-keep, --store-min-free and --store-timeout need --store"},
    {"a timeout without a store",
     {"--store-timeout", "1"},
     "--store-keep, --store-min-free and --store-timeout need --store"},
    {"an age in a database",
     {"--store", "postgresql://x/y", "--store-keep", "1d"},
     "--store-keep and --store-min-free are for a store in a file (try: tlsmsg-store prune, run "
     "now and then by the database's owner)"},
    {"room in a database",
     {"--store", "postgres://x/y", "--store-min-free", "1"},
     "--store-keep and --store-min-free are for a store in a file (try: tlsmsg-store prune, run "
     "now and then by the database's owner)"},
};

static void is_refused(void **state)
{
    const struct refused *row = *state;
    struct server_settings settings;
    struct tlsmsg_error err;

    assert_int_equal(take(&settings, row->words, &err), TLSMSG_ERR_CONFIG);
    assert_string_equal(err.text, row->text);
    assert_int_equal(err.sys_errno, 0);
    server_settings_fini(&settings);
}

static void test_what_is_set_without_an_option(void **state)
{
    const char *given[] = {NULL};
    struct server_settings settings;
    struct tlsmsg_error err;

    (void)state;
    assert_int_equal(take(&settings, given, &err), TLSMSG_OK);
    assert_false(settings.quiet || settings.check || settings.has_store_option ||
                 settings.has_file_option || settings.sandbox.connects);
    assert_int_equal(settings.format, TRANSCRIPT_TEXT);
    assert_int_equal(settings.log_format, LOG_TEXT);
    assert_int_equal(settings.log_level, TLSMSG_LOG_WARNING);
    assert_null(settings.user);
    assert_null(settings.metrics_file);
    assert_null(settings.transcript_file);
    assert_null(settings.storing.target);
    assert_null(settings.sandbox.store);
    assert_ptr_equal(settings.sandbox.reach, &settings.reach);
    assert_int_equal(settings.sandbox.read_count, 0);
    assert_int_equal(settings.sandbox.write_count, 0);
    server_settings_fini(&settings);
}

static void test_a_store_in_a_file(void **state)
{
    const char *given[] = {"--store=s", "--store-keep=2w", "--store-min-free=9223372036854775807",
                           "--store-timeout=2147483.647", NULL};
    struct server_settings settings;
    struct tlsmsg_error err;

    (void)state;
    assert_int_equal(take(&settings, given, &err), TLSMSG_OK);
    assert_string_equal(settings.storing.target, "s");
    assert_int_equal(settings.storing.keep_ms, INT64_C(2) * 604800 * 1000);
    assert_true(settings.storing.min_free == INT64_MAX);
    assert_int_equal(settings.storing.timeout_ms, INT32_MAX);
    assert_string_equal(settings.sandbox.store, "s");
    assert_false(settings.sandbox.connects);
    server_settings_fini(&settings);
}

static void test_files_that_are_written(void **state)
{
    const char *given[] = {"--transcript", "t", "--metrics-file", "m", "--user=u", NULL};
    const char *quiet[] = {"--transcript", "t", "-q", "--config=c", NULL};
    struct server_settings settings;
    struct tlsmsg_error err;

    (void)state;
    assert_int_equal(take(&settings, given, &err), TLSMSG_OK);
    assert_string_equal(settings.user, "u");
    assert_int_equal(settings.sandbox.write_count, 2);
    assert_string_equal(settings.sandbox.write[0], "m");
    assert_string_equal(settings.sandbox.write[1], "t");
    server_settings_fini(&settings);
    assert_int_equal(take(&settings, quiet, &err), TLSMSG_OK);
    assert_null(settings.transcript_file);
    assert_int_equal(settings.sandbox.write_count, 0);
    server_settings_fini(&settings);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_what_is_set_without_an_option),
        cmocka_unit_test(test_a_store_in_a_file),
        cmocka_unit_test(test_files_that_are_written),
    };
    int failed = 0;

    if (BUILD_HAS_TLS) {
        RUN_ROWS(failed, is_refused, refused);
        failed += cmocka_run_group_tests(tests, NULL, NULL);
    }
    return failed;
}
