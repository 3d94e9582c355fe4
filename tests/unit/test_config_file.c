/* Options from a file: which lines are taken, what the command line replaces, and what is refused
 * with file and line. */
#include "support/unit.h"

#include <stdio.h>
#include <string.h>

#include "app/config_file.h"
#include "support/test_folder.h"

#define WORDS_MAX 6

static const char *const titles[] = {"All:"};

static const struct args_option options[] = {
    {1, 'l', "listen", "PORT", "", 0},
    {2, 0, "cert", "FILE", "", 0},
    {4, 'q', "quiet", NULL, "", 0},
    {5, 0, "reply", "TEMPLATE", "", 0},
    {ARGS_CONFIG, 0, "config", "FILE", "", 0},
    {ARGS_HELP, 0, "help", NULL, "", 0},
};

static const struct args_table table = {
    .program = "prog",
    .english = {.synopsis = "", .purpose = "", .closing = ""},
    .groups = titles,
    .group_count = 1,
    .rows = options,
    .count = COUNT_OF(options),
    .operands_max = 1,
};

/* Writes what it is given as "id=value;". */
static enum tlsmsg_code take(int id, const char *value, void *user, struct tlsmsg_error *err)
{
    char *taken = user;
    char one[64];

    if (strcmp(value, "bad") == 0) {
        (void)snprintf(err->text, sizeof(err->text), "--thing wants good, not 'bad'");
        err->code = TLSMSG_ERR_CONFIG;
        return TLSMSG_ERR_CONFIG;
    }
    if (id != ARGS_CONFIG) {
        (void)snprintf(one, sizeof(one), "%d=%s;", id, value);
        assert_true(strlen(taken) + strlen(one) < 256);
        (void)strcat(taken, one);
    }
    return TLSMSG_OK;
}

static const struct row {
    const char *name;
    const char *text;
    const char *words[WORDS_MAX]; /* behind --config FILE */
    const char *taken;
    const char *says; /* the error behind the file's name; NULL: there is none */
} rows[] = {
    {"an empty file", "", {NULL}, "", NULL},
    {"a name and a value", "listen 1\n", {NULL}, "1=1;", NULL},
    {"a name alone", "quiet\n", {NULL}, "4=1;", NULL},
    {"no line end at the last", "quiet", {NULL}, "4=1;", NULL},
    {"line ends of Windows and a mark",
     "\xEF\xBB\xBFlisten 1\r\nquiet\r\n",
     {NULL},
     "1=1;4=1;",
     NULL},
    {"order is kept", "cert a\nlisten 1\ncert b\n", {NULL}, "2=a;1=1;2=b;", NULL},
    {"blanks within a value stay", "reply  a  b \t\n", {NULL}, "5=a  b;", NULL},
    {"blanks before a name", "  listen\t1\n", {NULL}, "1=1;", NULL},
    {"quotes are a part of the value", "reply \"a b\"\n", {NULL}, "5=\"a b\";", NULL},
    {"a # within a value", "reply a # b\n", {NULL}, "5=a # b;", NULL},
    {"comments and empty lines", "# one\n\n#quiet\nlisten 1\n", {NULL}, "1=1;", NULL},
    {"the command line comes after", "listen 1\n", {"-q", "x"}, "1=1;4=1;-1=x;", NULL},
    {"the command line wins", "reply a\nquiet\n", {"--reply=b"}, "4=1;5=b;", NULL},
    {"and replaces all of a repeatable one",
     "listen 1\nlisten 2\nquiet\n",
     {"-l3", "-l", "4"},
     "4=1;1=3;1=4;",
     NULL},
    {"what it replaces need not be good", "reply bad\n", {"--reply=b"}, "5=b;", NULL},
    {"an unknown name",
     "quiet\nno-such 1\n",
     {NULL},
     "",
     ":2: 'no-such' is not the name of an option; try: prog --help"},
    {"a beginning of a name",
     "lis 1\n",
     {NULL},
     "",
     ":1: 'lis' is not the name of an option; try: prog --help"},
    {"dashes",
     "--listen 1\n",
     {NULL},
     "",
     ":1: '--listen' is not the name of an option; try: the name without dashes"},
    {"a short form",
     "-l 1\n",
     {NULL},
     "",
     ":1: '-l' is not the name of an option; try: the name without dashes"},
    {"an equals sign",
     "listen=1\n",
     {NULL},
     "",
     ":1: 'listen=1' is not the name of an option; try: a blank instead of ="},
    {"an indented comment",
     " # x\n",
     {NULL},
     "",
     ":1: '#' is not the name of an option; try: prog --help"},
    {"no value", "\nlisten \n", {NULL}, "", ":2: 'listen' needs a value: PORT"},
    {"a value too much", "quiet yes\n", {NULL}, "", ":1: 'quiet' takes no value"},
    {"config within",
     "config other\n",
     {NULL},
     "",
     ":1: 'config' belongs on the command line only"},
    {"help within", "help\n", {NULL}, "", ":1: 'help' belongs on the command line only"},
    {"a wrong value",
     "listen 1\n\ncert bad\n",
     {NULL},
     "1=1;",
     ":3: --thing wants good, not 'bad'"},
};

static void write_text(const char *path, const char *text, size_t len)
{
    FILE *file = fopen(path, "wb");

    assert_non_null(file);
    assert_int_equal(fwrite(text, 1, len, file), len);
    assert_int_equal(fclose(file), 0);
}

static void test_row(void **state)
{
    const struct row *row = *state;
    struct test_folder folder;
    struct config_file config;
    struct tlsmsg_error err = {.code = TLSMSG_OK};
    char path[TEST_PATH_MAX];
    char taken[256] = "";
    char says[TEST_PATH_MAX + 128];
    char *argv[WORDS_MAX + 3] = {(char *)"prog", (char *)"--config", path};
    enum tlsmsg_code code;
    int argc = 3;
    int stopped;

    test_folder_make(&folder);
    write_text(test_folder_file(&folder, "c", path), row->text, strlen(row->text));
    for (size_t i = 0; i < WORDS_MAX && row->words[i] != NULL; i++) {
        argv[argc++] = (char *)row->words[i];
    }
    code = config_file_parse(&config, &table, argc, argv, take, taken, &stopped, &err);
    if (row->says == NULL) {
        assert_string_equal(taken, row->taken);
        assert_int_equal(code, TLSMSG_OK);
    } else {
        (void)snprintf(says, sizeof(says), "%s%s", path, row->says);
        assert_int_equal(code, TLSMSG_ERR_CONFIG);
        assert_string_equal(err.text, says);
    }
    config_file_fini(&config);
    test_folder_remove(&folder);
}

static enum tlsmsg_code parse(char *const *argv, int argc, int *stopped, struct tlsmsg_error *err)
{
    struct config_file config;
    char taken[256] = "";
    enum tlsmsg_code code =
        config_file_parse(&config, &table, argc, argv, take, taken, stopped, err);

    config_file_fini(&config);
    return code;
}

static void test_missing_file(void **state)
{
    struct tlsmsg_error err = {.code = TLSMSG_OK};
    char *argv[] = {(char *)"prog", (char *)"--config=/nowhere/c"};
    int stopped;

    (void)state;
    assert_int_equal(parse(argv, COUNT_OF(argv), &stopped, &err), TLSMSG_ERR_CONFIG);
    assert_string_equal(err.text,
                        "cannot read configuration '/nowhere/c': No such file or directory");
}

static void test_two_files(void **state)
{
    struct tlsmsg_error err = {.code = TLSMSG_OK};
    char *argv[] = {(char *)"prog", (char *)"--config=a", (char *)"--config=b"};
    int stopped;

    (void)state;
    assert_int_equal(parse(argv, COUNT_OF(argv), &stopped, &err), TLSMSG_ERR_CONFIG);
    assert_string_equal(err.text, "--config: there can be one file only");
}

static void test_help_reads_no_file(void **state)
{
    struct tlsmsg_error err = {.code = TLSMSG_OK};
    char *argv[] = {(char *)"prog", (char *)"--config=/nowhere/c", (char *)"--help"};
    int stopped;

    (void)state;
    assert_int_equal(parse(argv, COUNT_OF(argv), &stopped, &err), TLSMSG_OK);
    assert_int_equal(stopped, ARGS_HELP);
}

static void test_zero_byte(void **state)
{
    struct test_folder folder;
    struct tlsmsg_error err = {.code = TLSMSG_OK};
    char path[TEST_PATH_MAX];
    char *argv[] = {(char *)"prog", (char *)"--config", path};
    int stopped;

    (void)state;
    test_folder_make(&folder);
    write_text(test_folder_file(&folder, "c", path), "quiet\0\n", 7);
    assert_int_equal(parse(argv, COUNT_OF(argv), &stopped, &err), TLSMSG_ERR_CONFIG);
    assert_non_null(strstr(err.text, "this is not a text file"));
    test_folder_remove(&folder);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_missing_file),
        cmocka_unit_test(test_two_files),
        cmocka_unit_test(test_help_reads_no_file),
        cmocka_unit_test(test_zero_byte),
    };
    int failed = cmocka_run_group_tests(tests, NULL, NULL);

    RUN_ROWS(failed, test_row, rows);
    return failed;
}
