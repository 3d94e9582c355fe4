/* The command line: how words become options, what is refused, and that --help fits a screen. */
#include "support/unit.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "app/arguments.h"
#include "app/build.h"
#include "app/client_arguments.h"
#include "app/server_arguments.h"

#define WORDS_MAX 8

static const char *const titles[] = {"All:"};

static const struct argument rows_of_table[] = {
    {"listen", 'l', "PORT", "", 0, 1},
    {"cert", 0, "FILE", "", 0, 2},
    {"client-ca", 0, "FILE", "", 0, 3},
    {"quiet", 'q', NULL, "", 0, 4},
    {"key", 0, "FILE", "", 0, 5},
    {"keylog-file", 0, "FILE", "", 0, 6},
    {"verbose", 'v', NULL, "", 0, 7},
    {"help", 0, NULL, "", 0, ARGUMENT_HELP},
    {"version", 0, NULL, "", 0, ARGUMENT_VERSION},
};

static const struct arguments table = {
    .program = "prog",
    .synopsis = "",
    .purpose = "",
    .groups = titles,
    .group_count = 1,
    .rows = rows_of_table,
    .count = COUNT_OF(rows_of_table),
    .operands_max = 1,
    .closing = "",
};

/* Writes what it is given as "id=value ". */
static enum tlsmsg_code take(int id, const char *value, void *user, struct tlsmsg_error *err)
{
    char *taken = user;
    char one[64];

    if (strcmp(value, "bad") == 0) {
        err->code = TLSMSG_ERR_LIMIT;
        return TLSMSG_ERR_LIMIT;
    }
    (void)snprintf(one, sizeof(one), "%d=%s ", id, value);
    assert_true(strlen(taken) + strlen(one) < 256);
    (void)strcat(taken, one);
    return TLSMSG_OK;
}

static const struct row {
    const char *name;
    const char *words[WORDS_MAX];
    const char *taken;
    const char *says; /* in the error; NULL: there is none */
    int stopped;
} rows[] = {
    {"nothing", {NULL}, "", NULL, ARGUMENT_NONE},
    {"value as a word", {"--listen", "1"}, "1=1 ", NULL, ARGUMENT_NONE},
    {"value after =", {"--listen=1"}, "1=1 ", NULL, ARGUMENT_NONE},
    {"empty value after =", {"--listen="}, "1= ", NULL, ARGUMENT_NONE},
    {"= in a value", {"--listen=a=b"}, "1=a=b ", NULL, ARGUMENT_NONE},
    {"value that looks like an option", {"--cert", "--key"}, "2=--key ", NULL, ARGUMENT_NONE},
    {"letter and word", {"-l", "1"}, "1=1 ", NULL, ARGUMENT_NONE},
    {"letter and value in one", {"-l1"}, "1=1 ", NULL, ARGUMENT_NONE},
    {"letters in a bundle", {"-qv"}, "4=1 7=1 ", NULL, ARGUMENT_NONE},
    {"a bundle that ends with a value", {"-qvl", "1"}, "4=1 7=1 1=1 ", NULL, ARGUMENT_NONE},
    {"order is kept",
     {"--cert", "a", "--key", "b", "--cert", "c"},
     "2=a 5=b 2=c ",
     NULL,
     ARGUMENT_NONE},
    {"operand before options", {"x", "-q"}, "-1=x 4=1 ", NULL, ARGUMENT_NONE},
    {"a dash alone is an operand", {"-"}, "-1=- ", NULL, ARGUMENT_NONE},
    {"-- ends the options", {"--", "-q"}, "-1=-q ", NULL, ARGUMENT_NONE},
    {"unique beginning", {"--li", "1"}, "1=1 ", NULL, ARGUMENT_NONE},
    {"whole name is not ambiguous", {"--key", "1"}, "5=1 ", NULL, ARGUMENT_NONE},
    {"beginning of one alone", {"--keyl=1"}, "6=1 ", NULL, ARGUMENT_NONE},
    {"help", {"--help"}, "", NULL, ARGUMENT_HELP},
    {"version, whatever follows", {"-q", "--version", "--bogus"}, "4=1 ", NULL, ARGUMENT_VERSION},
    {"ambiguous",
     {"--c", "x"},
     "",
     "option '--c' can mean --cert, --client-ca (try",
     ARGUMENT_NONE},
    {"ambiguous with a value",
     {"--ke=x"},
     "",
     "'--ke' can mean --key, --keylog-file",
     ARGUMENT_NONE},
    {"unknown", {"--bogus"}, "", "unknown option '--bogus' (try 'prog --help')", ARGUMENT_NONE},
    {"unknown letter", {"-x"}, "", "unknown option '-x'", ARGUMENT_NONE},
    {"empty name", {"--=x"}, "", "unknown option '--=x'", ARGUMENT_NONE},
    {"longer than a name", {"--quietly"}, "", "unknown option '--quietly'", ARGUMENT_NONE},
    {"control characters are escaped", {"--\x1b[1m"}, "", "'--\\x1b[1m'", ARGUMENT_NONE},
    {"missing value", {"--cert"}, "", "option '--cert' needs a value: FILE (try", ARGUMENT_NONE},
    {"missing value of a letter", {"-l"}, "", "option '-l' needs a value: PORT", ARGUMENT_NONE},
    {"surplus value", {"--quiet=1"}, "", "option '--quiet=1' takes no value", ARGUMENT_NONE},
    {"surplus operand", {"a", "b"}, "-1=a ", "unexpected argument 'b' (try", ARGUMENT_NONE},
    {"the taker's refusal", {"--cert", "bad", "-q"}, "", "", ARGUMENT_NONE},
};

static void test_words(void **state)
{
    const struct row *row = *state;
    struct tlsmsg_error err = {.code = TLSMSG_OK};
    char taken[256] = "";
    char *argv[WORDS_MAX + 1] = {(char *)"prog"};
    int stopped = 99;
    int argc = 1;
    enum tlsmsg_code code;

    while (argc <= WORDS_MAX && row->words[argc - 1] != NULL) {
        argv[argc] = (char *)row->words[argc - 1];
        argc++;
    }
    code = arguments_parse(&table, argc, argv, take, taken, &stopped, &err);
    assert_string_equal(taken, row->taken);
    assert_int_equal(stopped, row->stopped);
    assert_int_equal(code != TLSMSG_OK, row->says != NULL);
    assert_int_equal(err.code, code);
    if (row->says != NULL && strstr(err.text, row->says) == NULL) {
        fail_msg("'%s' lacks '%s'", err.text, row->says);
    }
}

static void test_choice(void **state)
{
    static const char *const names[] = {"text", "json", "csv"};
    struct tlsmsg_error err = {.code = TLSMSG_OK};
    size_t i = 9;

    (void)state;
    assert_int_equal(arguments_choice("format", names, 3, "json", &i, &err), TLSMSG_OK);
    assert_int_equal(i, 1);
    assert_int_equal(arguments_choice("format", names, 3, "x\n", &i, &err), TLSMSG_ERR_CONFIG);
    assert_string_equal(err.text, "--format wants text, json or csv, not 'x\\n'");
}

/* --help of a program: at most 60 lines of 80 columns, every row on it. */
static void check_help(const struct arguments *arguments)
{
    char *text = NULL;
    char *line;
    char *rest = NULL;
    size_t len = 0;
    size_t lines = 0;
    size_t i;
    FILE *out = open_memstream(&text, &len);

    assert_non_null(out);
    arguments_print(arguments, ARGUMENT_HELP, out);
    assert_int_equal(fclose(out), 0);
    for (i = 0; i < arguments->count; i++) {
        char name[64];

        (void)snprintf(name, sizeof(name), "--%s", arguments->rows[i].name);
        assert_non_null(strstr(text, name));
    }
    for (i = 0; i < len; i++) {
        lines += text[i] == '\n';
    }
    assert_in_range(lines, 20, 60);
    for (line = strtok_r(text, "\n", &rest); line != NULL; line = strtok_r(NULL, "\n", &rest)) {
        if (strlen(line) > 80) {
            fail_msg("%zu columns: %s", strlen(line), line);
        }
    }
    free(text);
}

static void test_help_fits_a_screen(void **state)
{
    (void)state;
    check_help(&server_arguments);
    check_help(&client_arguments);
}

/* No name or letter twice, each in a group that exists. */
static void check_table(const struct arguments *arguments)
{
    size_t i, j;

    for (i = 0; i < arguments->count; i++) {
        const struct argument *a = &arguments->rows[i];

        assert_true(a->group < arguments->group_count);
        for (j = 0; j < i; j++) {
            const struct argument *b = &arguments->rows[j];

            assert_string_not_equal(a->name, b->name);
            assert_int_not_equal(a->id, b->id);
            assert_true(a->letter == 0 || a->letter != b->letter);
        }
    }
}

static void test_tables(void **state)
{
    (void)state;
    check_table(&server_arguments);
    check_table(&client_arguments);
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
    assert_int_equal(arguments_parse(&client_arguments, 4, argv, client_settings_take, &settings,
                                     &stopped, &err),
                     TLSMSG_OK);
    assert_int_equal(settings.message_count, 2);
    assert_string_equal(settings.messages[1], "two");
    for (i = 0; i < COUNT_OF(messages_refused); i++) {
        argv[2] = (char *)messages_refused[i];
        tlsmsg_error_clear(&err);
        assert_int_equal(arguments_parse(&client_arguments, 3, argv, client_settings_take,
                                         &settings, &stopped, &err),
                         TLSMSG_ERR_CONFIG);
    }
    client_settings_fini(&settings);
}

static void test_too_long_a_message(void **state)
{
    struct client_settings settings;
    struct tlsmsg_error err = {.code = TLSMSG_OK};
    char *text = malloc(app_line_max_bytes + 2);
    char *argv[] = {(char *)"tlsmsg-client", (char *)"-m", text};
    char wanted[128];
    int stopped;

    (void)state;
    assert_non_null(text);
    memset(text, 'x', app_line_max_bytes + 1);
    text[app_line_max_bytes + 1] = '\0';
    assert_int_equal(client_settings_init(&settings, &err), TLSMSG_OK);
    assert_int_equal(arguments_parse(&client_arguments, 3, argv, client_settings_take, &settings,
                                     &stopped, &err),
                     TLSMSG_ERR_CONFIG);
    (void)snprintf(wanted, sizeof(wanted),
                   "--message: %zu bytes are too long for a message (at most %zu)",
                   app_line_max_bytes + 1, app_line_max_bytes);
    assert_string_equal(err.text, wanted);
    tlsmsg_error_clear(&err);
    text[app_line_max_bytes] = '\0';
    assert_int_equal(arguments_parse(&client_arguments, 3, argv, client_settings_take, &settings,
                                     &stopped, &err),
                     TLSMSG_OK);
    client_settings_fini(&settings);
    free(text);
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
    assert_int_equal(arguments_parse(&server_arguments, COUNT_OF(argv), argv, server_settings_take,
                                     &settings, &stopped, &err),
                     TLSMSG_OK);
    assert_true(settings.listening.has_free);
    assert_ptr_equal(settings.phrases, phrases_get(1));
    assert_int_equal(settings.format, TRANSCRIPT_JSON);
    assert_int_equal(settings.log_level, TLSMSG_LOG_DEBUG);
    assert_int_equal(settings.log_format, LOG_JSON);
    assert_true(settings.quiet && settings.check);
    assert_int_equal(tlsmsg_options_number(settings.options, TLSMSG_OPT_DRAIN_TIMEOUT), 250);
    server_settings_fini(&settings);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_choice),
        cmocka_unit_test(test_help_fits_a_screen),
        cmocka_unit_test(test_tables),
        cmocka_unit_test(test_messages),
        cmocka_unit_test(test_too_long_a_message),
        cmocka_unit_test(test_server_settings),
    };
    int failed = cmocka_run_group_tests(tests, NULL, NULL);

    RUN_ROWS(failed, test_words, rows);
    return failed;
}
