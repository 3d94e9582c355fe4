/* The server's options: the table, what the program makes of its own, and which addresses are told,
 * those whose port the system chose. */
#include "support/unit.h"

#include <string.h>

#include "app/server/options.h"
#include "base/build.h"
#include "support/args_table.h"

static void test_table(void **state)
{
    (void)state;
    assert_help_fits_a_screen(&server_options);
    assert_table_is_sound(&server_options);
}

static void test_server_settings(void **state)
{
    struct server_settings settings;
    struct tlsmsg_error err = {.code = TLSMSG_OK};
    char *argv[] = {(char *)"tlsmsg-server",
                    (char *)"-l0",
                    (char *)"--lang=en",
                    (char *)"--format=json",
                    (char *)"--log-level=debug",
                    (char *)"--log-format=json",
                    (char *)"-q",
                    (char *)"--drain-timeout=0.25",
                    (char *)"--check"};
    int stopped;

    (void)state;
    assert_int_equal(server_settings_init(&settings, &err), TLSMSG_OK);
    assert_int_equal(settings.log_level, TLSMSG_LOG_WARNING);
    assert_int_equal(args_parse(&server_options, COUNT_OF(argv), argv, server_settings_take,
                                &settings, &stopped, &err),
                     TLSMSG_OK);
    assert_ptr_equal(settings.phrases, phrases_get(1));
    assert_int_equal(settings.format, TRANSCRIPT_JSON);
    assert_int_equal(settings.log_level, TLSMSG_LOG_DEBUG);
    assert_int_equal(settings.log_format, LOG_JSON);
    assert_true(settings.quiet && settings.check);
    assert_int_equal(tlsmsg_options_number(settings.options, TLSMSG_OPT_DRAIN_TIMEOUT), 250);
    server_settings_fini(&settings);
}

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
    {"a named port without a host beside chosen", {"4321", "[::1]:0"}, "127.0.0.1:4321", false},
    {"named beside chosen: the named", {"[::1]:4000", "127.0.0.1:0"}, "[::1]:4000", false},
    {"named beside chosen: the chosen", {"[::1]:4000", "127.0.0.1:0"}, "127.0.0.1:40213", true},
};

static void test_told(void **state)
{
    const struct row *row = *state;
    struct tlsmsg_options *options;
    size_t i;

    assert_int_equal(tlsmsg_options_new(TLSMSG_ROLE_SERVER, &options, NULL), TLSMSG_OK);
    for (i = 0; row->values[i] != NULL; i++) {
        assert_int_equal(tlsmsg_options_set(options, TLSMSG_OPT_LISTEN, row->values[i], NULL),
                         TLSMSG_OK);
    }
    assert_int_equal(server_port_is_chosen(options, row->address), row->told);
    tlsmsg_options_free(options);
}

/* ---- the files that stay within the sandbox's reach */

static bool holds(const char *const *list, size_t count, const char *path)
{
    for (size_t i = 0; i < count; i++) {
        if (strcmp(list[i], path) == 0) {
            return true;
        }
    }
    return false;
}

static void take_all(struct server_settings *settings, char *const *words, int count)
{
    struct tlsmsg_error err = {.code = TLSMSG_OK};
    int stopped;

    assert_int_equal(server_settings_init(settings, &err), TLSMSG_OK);
    if (args_parse(&server_options, count, words, server_settings_take, settings, &stopped, &err) !=
        TLSMSG_OK) {
        fail_msg("%s", err.text);
    }
}

static void test_files(void **state)
{
    static const char *const words[] = {"p",
                                        "--cert=c1",
                                        "--key=k1",
                                        "--cert=c2",
                                        "--key-password-file=pw",
                                        "--client-ca",
                                        "ca",
                                        "--crl=crl",
                                        "--allow-file=al",
                                        "--ticket-keys=tk",
                                        "--keylog-file=old",
                                        "--keylog-file=log",
                                        "--metrics-file=m"};
    static const char *const read_again[] = {"c1", "k1", "c2", "pw", "ca", "crl", "al", "tk"};
    struct server_settings settings;

    (void)state;
    if (!BUILD_HAS_TLS) {
        skip();
    }
    take_all(&settings, (char *const *)words, COUNT_OF(words));
    assert_int_equal(server_settings_finish(&settings, NULL), TLSMSG_OK);
    assert_int_equal(settings.sandbox.read_count, COUNT_OF(read_again));
    for (size_t i = 0; i < COUNT_OF(read_again); i++) {
        assert_true(holds(settings.sandbox.read, settings.sandbox.read_count, read_again[i]));
    }
    assert_int_equal(settings.sandbox.write_count, 2);
    assert_true(holds(settings.sandbox.write, 2, "log"));
    assert_true(holds(settings.sandbox.write, 2, "m"));
    server_settings_fini(&settings);
}

static void test_too_many_files(void **state)
{
    static const char *words[2 * SANDBOX_PATHS_MAX + 1] = {"p"};
    struct server_settings settings;
    struct tlsmsg_error err = {.code = TLSMSG_OK};

    (void)state;
    if (!BUILD_HAS_TLS) {
        skip();
    }
    for (size_t i = 1; i < COUNT_OF(words); i += 2) {
        words[i] = "--cert=c";
        words[i + 1] = "--key=k";
    }
    take_all(&settings, (char *const *)words, COUNT_OF(words));
    assert_int_equal(server_settings_finish(&settings, &err), TLSMSG_ERR_CONFIG);
    assert_string_equal(err.text, "the options name more than 128 files");
    server_settings_fini(&settings);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_table),
        cmocka_unit_test(test_server_settings),
        cmocka_unit_test(test_files),
        cmocka_unit_test(test_too_many_files),
    };
    int failed = cmocka_run_group_tests(tests, NULL, NULL);

    RUN_ROWS(failed, test_told, rows);
    return failed;
}
