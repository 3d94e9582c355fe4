/* The client's options: the table, and what the program makes of its own. */
#include "support/unit.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "app/client/options.h"
#include "base/build.h"
#include "support/args_table.h"

static void test_table(void **state)
{
    (void)state;
    assert_help_fits_a_screen(&client_options);
    assert_table_is_sound(&client_options);
}

static const char *messages_refused[] = {"", "\xff", "a\xc3"};

static void test_messages(void **state)
{
    struct client_settings settings;
    struct tlsmsg_error err = {.code = TLSMSG_OK};
    char *argv[] = {(char *)"tlsmsg-client", (char *)"-m", (char *)"one", (char *)"-mtwo"};
    int stopped;
    size_t i;

    (void)state;
    assert_int_equal(client_settings_init(&settings, &err), TLSMSG_OK);
    assert_int_equal(
        args_parse(&client_options, 4, argv, client_settings_take, &settings, &stopped, &err),
        TLSMSG_OK);
    assert_int_equal(settings.message_count, 2);
    assert_int_equal(settings.messages[1].len, 3);
    assert_memory_equal(settings.messages[1].data, "two", 3);
    for (i = 0; i < COUNT_OF(messages_refused); i++) {
        argv[2] = (char *)messages_refused[i];
        tlsmsg_error_clear(&err);
        assert_int_equal(
            args_parse(&client_options, 3, argv, client_settings_take, &settings, &stopped, &err),
            TLSMSG_ERR_CONFIG);
    }
    client_settings_fini(&settings);
}

static void test_too_long_a_message(void **state)
{
    struct client_settings settings;
    struct tlsmsg_error err = {.code = TLSMSG_OK};
    const size_t limit = BUILD_HAS_TLS ? (size_t)64 * 1024 * 1024 : (size_t)BUILD_LINE_MAX_BYTES;
    char *text = malloc(limit + 2);
    char *argv[] = {(char *)"tlsmsg-client", (char *)"-m", text};
    char wanted[128];
    int stopped;

    (void)state;
    assert_non_null(text);
    memset(text, 'x', limit + 1);
    text[limit + 1] = '\0';
    assert_int_equal(client_settings_init(&settings, &err), TLSMSG_OK);
    assert_int_equal(
        args_parse(&client_options, 3, argv, client_settings_take, &settings, &stopped, &err),
        TLSMSG_ERR_CONFIG);
    (void)snprintf(wanted, sizeof(wanted),
                   "--message: %zu bytes are too long for a message (at most %zu)", limit + 1,
                   limit);
    assert_string_equal(err.text, wanted);
    tlsmsg_error_clear(&err);
    text[limit] = '\0';
    assert_int_equal(
        args_parse(&client_options, 3, argv, client_settings_take, &settings, &stopped, &err),
        TLSMSG_OK);
    client_settings_fini(&settings);
    free(text);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_table),
        cmocka_unit_test(test_messages),
        cmocka_unit_test(test_too_long_a_message),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
