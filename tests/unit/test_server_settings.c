/* What the server's own options become, and what is refused of them, with the whole text. */
#include "support/unit.h"

#include <stdarg.h>
#include <string.h>

#include "app/server/options.h"
#include "base/build.h"
#include "base/error.h"
#include "support/failmalloc.h"

#define WORDS_MAX 6

/* How a store in a database is reached, as the test has it. */
static struct {
    enum tlsmsg_code code;
    unsigned asked;
    const char *target;
    const char *user;
    struct store_reach *reach;
    struct store_reach *ended;
} reached;

enum tlsmsg_code __wrap_storing_reach(const struct storing_settings *settings, const char *user,
                                      struct store_reach *reach, struct tlsmsg_error *err);
void __wrap_storing_reach_fini(struct store_reach *reach);

enum tlsmsg_code __wrap_storing_reach(const struct storing_settings *settings, const char *user,
                                      struct store_reach *reach, struct tlsmsg_error *err)
{
    reached.asked++;
    reached.target = settings->target;
    reached.user = user;
    reached.reach = reach;
    return reached.code == TLSMSG_OK ? TLSMSG_OK
                                     : error_set(err, reached.code, 0, "how it is reached");
}

void __wrap_storing_reach_fini(struct store_reach *reach)
{
    reached.ended = reach;
}

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
    {"a transcript without a name",
     {"--transcript="},
     "--transcript wants a value that is not empty"},
    {"metrics without a name",
     {"--metrics-file", ""},
     "--metrics-file wants a value that is not empty"},
    {"a store without a name", {"--store", ""}, "--store wants a value that is not empty"},
    {"metrics in a key's place",
     {"--cert=c", "--key=k", "--metrics-file", "./k"},
     "--metrics-file and --key name the same file './k' (try: a file of its own for "
     "--metrics-file)"},
    {"a transcript in the metrics' place",
     {"--metrics-file=m", "--transcript=m"},
     "--metrics-file and --transcript name the same file 'm' (try: a file of its own for "
     "--metrics-file)"},
    {"a transcript in the store's place",
     {"--store=.//s", "--transcript=s"},
     "--transcript and --store name the same file 's' (try: a file of its own for --transcript)"},
    {"keys in the place of a certificate",
     {"--cert=c", "--keylog-file=c"},
     "--keylog-file and --cert name the same file 'c' (try: a file of its own for "
     "--keylog-file)"},
    {"a transcript in the configuration's place",
     {"--config=t", "--transcript=t"},
     "--transcript and --config name the same file 't' (try: a file of its own for --transcript)"},
};

static void is_refused(void **state)
{
    const struct refused *row = *state;
    struct server_settings settings;
    struct tlsmsg_error err;

    memset(&reached, 0, sizeof(reached));
    assert_int_equal(take(&settings, row->words, &err), TLSMSG_ERR_CONFIG);
    assert_int_equal(err.code, TLSMSG_ERR_CONFIG);
    assert_string_equal(err.text, row->text);
    assert_int_equal(reached.asked, 0);
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

/* ---- what is taken */

static void give(struct server_settings *settings, const char *word, ...) __attribute__((sentinel));

/* The settings of these words, all of which are good. */
static void give(struct server_settings *settings, const char *word, ...)
{
    const char *given[WORDS_MAX] = {NULL};
    struct tlsmsg_error err;
    va_list more;
    size_t count = 0;

    va_start(more, word);
    for (; word != NULL; word = va_arg(more, const char *)) {
        assert_true(count < WORDS_MAX);
        given[count++] = word;
    }
    va_end(more);
    if (take(settings, given, &err) != TLSMSG_OK) {
        fail_msg("%s", err.text);
    }
    assert_int_equal(err.code, TLSMSG_OK);
}

static void test_languages(void **state)
{
    static const char *const names[] = {"zh", "en"};
    struct server_settings settings;

    (void)state;
    for (size_t i = 0; i < COUNT_OF(names); i++) {
        give(&settings, "--lang", names[i], NULL);
        assert_ptr_equal(settings.phrases, phrases_get(i));
        assert_int_equal(settings.help_language, i);
        server_settings_fini(&settings);
    }
}

/* The last of them counts. */
static void test_formats_and_levels(void **state)
{
    static const char *const levels[] = {"error", "warning", "info", "debug"};
    struct server_settings settings;

    (void)state;
    give(&settings, "--format=json", "--log-format=json", NULL);
    assert_int_equal(settings.format, TRANSCRIPT_JSON);
    assert_int_equal(settings.log_format, LOG_JSON);
    server_settings_fini(&settings);
    give(&settings, "--format=json", "--log-format=json", "--format=text", "--log-format=text",
         NULL);
    assert_int_equal(settings.format, TRANSCRIPT_TEXT);
    assert_int_equal(settings.log_format, LOG_TEXT);
    server_settings_fini(&settings);
    for (size_t i = 0; i < COUNT_OF(levels); i++) {
        give(&settings, "--log-level", levels[i], NULL);
        assert_int_equal(settings.log_level, i);
        assert_false(settings.quiet || settings.check);
        server_settings_fini(&settings);
    }
    give(&settings, "-q", NULL);
    assert_true(settings.quiet && !settings.check);
    server_settings_fini(&settings);
    give(&settings, "--check", NULL);
    assert_true(settings.check && !settings.quiet);
    server_settings_fini(&settings);
}

static void test_a_store_without_more(void **state)
{
    struct server_settings settings;

    (void)state;
    memset(&reached, 0, sizeof(reached));
    give(&settings, "--store", "s", NULL);
    assert_int_equal(settings.storing.keep_ms, 0);
    assert_int_equal(settings.storing.min_free, 64 * 1024 * 1024);
    assert_int_equal(settings.storing.timeout_ms, 5000);
    assert_false(settings.has_store_option || settings.has_file_option);
    assert_int_equal(reached.asked, 0);
    server_settings_fini(&settings);
    assert_ptr_equal(reached.ended, &settings.reach);
    assert_null(settings.options);
    server_settings_fini(&settings); /* nothing is left to be freed */
    give(&settings, "--store=s", "--store-min-free=0", "--store-timeout=0.0001", NULL);
    assert_int_equal(settings.storing.min_free, 0);
    assert_int_equal(settings.storing.timeout_ms, 1);
    server_settings_fini(&settings);
    give(&settings, "--store=s", "--store-timeout=0", NULL);
    assert_int_equal(settings.storing.timeout_ms, 0);
    server_settings_fini(&settings);
}

/* It is reached over the network, and has no file here. */
static void test_a_store_in_a_database(void **state)
{
    static const char *const targets[] = {"postgresql://x/y", "postgres://x/y"};
    struct server_settings settings;

    (void)state;
    for (size_t i = 0; i < COUNT_OF(targets); i++) {
        memset(&reached, 0, sizeof(reached));
        give(&settings, "--store", targets[i], "--store-timeout=1", "--user=u", NULL);
        assert_string_equal(settings.storing.target, targets[i]);
        assert_int_equal(settings.storing.timeout_ms, 1000);
        assert_true(settings.sandbox.connects);
        assert_null(settings.sandbox.store);
        assert_ptr_equal(settings.sandbox.reach, &settings.reach);
        assert_int_equal(reached.asked, 1);
        assert_string_equal(reached.target, targets[i]);
        assert_string_equal(reached.user, "u");
        assert_ptr_equal(reached.reach, &settings.reach);
        server_settings_fini(&settings);
    }
}

static void test_a_database_that_cannot_be_reached(void **state)
{
    const char *given[] = {"--store=postgresql://x/y", "--metrics-file=m", NULL};
    struct server_settings settings;
    struct tlsmsg_error err;

    (void)state;
    reached.code = TLSMSG_ERR_NOMEM;
    assert_int_equal(take(&settings, given, &err), TLSMSG_ERR_NOMEM);
    reached.code = TLSMSG_OK;
    assert_int_equal(err.code, TLSMSG_ERR_NOMEM);
    assert_string_equal(err.text, "how it is reached");
    assert_null(reached.user);
    server_settings_fini(&settings);
}

static void test_no_memory(void **state)
{
    struct tlsmsg_error err = {.code = TLSMSG_OK};
    struct server_settings settings;
    long before = failmalloc_live();

    (void)state;
    failmalloc_at(1);
    assert_int_equal(server_settings_init(&settings, &err), TLSMSG_ERR_NOMEM);
    failmalloc_at(0);
    assert_int_equal(err.code, TLSMSG_ERR_NOMEM);
    assert_string_equal(err.text, "out of memory");
    server_settings_fini(&settings);
    assert_int_equal(failmalloc_live(), before);
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
        cmocka_unit_test(test_languages),
        cmocka_unit_test(test_formats_and_levels),
        cmocka_unit_test(test_a_store_without_more),
        cmocka_unit_test(test_a_store_in_a_database),
        cmocka_unit_test(test_a_database_that_cannot_be_reached),
        cmocka_unit_test(test_no_memory),
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
