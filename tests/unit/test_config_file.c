/* Options from a file: which lines are taken, what the command line replaces, and what is refused
 * with file and line. */
#include "support/unit.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

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
        err->code = TLSMSG_ERR_LIMIT; /* any: it is kept */
        return err->code;
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
     "4=1;",
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
    assert_string_equal(taken, row->taken);
    assert_int_equal(stopped, ARGS_NONE);
    assert_true(config.is_read);
    if (row->says == NULL) {
        assert_int_equal(code, TLSMSG_OK);
        assert_int_equal(err.code, TLSMSG_OK);
    } else {
        (void)snprintf(says, sizeof(says), "%s%s", path, row->says);
        assert_int_equal(code, strstr(says, "--thing") ? TLSMSG_ERR_LIMIT : TLSMSG_ERR_CONFIG);
        assert_int_equal(err.code, code);
        assert_int_equal(err.sys_errno, 0);
        assert_string_equal(err.text, says);
    }
    config_file_fini(&config);
    assert_false(config.is_read);
    config_file_fini(&config); /* once more does nothing */
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
    assert_int_equal(err.sys_errno, ENOENT);
    assert_int_equal(stopped, ARGS_NONE);
}

static void test_two_files(void **state)
{
    struct tlsmsg_error err = {.code = TLSMSG_OK};
    char *argv[] = {(char *)"prog", (char *)"--config=a", (char *)"--config=b"};
    int stopped;

    (void)state;
    assert_int_equal(parse(argv, COUNT_OF(argv), &stopped, &err), TLSMSG_ERR_CONFIG);
    assert_string_equal(err.text, "--config: there can be one file only");
    assert_int_equal(err.code, TLSMSG_ERR_CONFIG);
    assert_int_equal(err.sys_errno, 0);
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
    char says[TEST_PATH_MAX + 128];
    char *argv[] = {(char *)"prog", (char *)"--config", path};
    int stopped;

    (void)state;
    test_folder_make(&folder);
    write_text(test_folder_file(&folder, "c", path), "quiet\0\n", 7);
    assert_int_equal(parse(argv, COUNT_OF(argv), &stopped, &err), TLSMSG_ERR_CONFIG);
    (void)snprintf(says, sizeof(says), "%s: a zero byte: this is not a text file", path);
    assert_string_equal(err.text, says);
    assert_int_equal(err.code, TLSMSG_ERR_CONFIG);
    assert_int_equal(err.sys_errno, 0);
    test_folder_remove(&folder);
}

/* A command line that is not sound is told of when it is taken, and the file isn't read. */
static void test_an_unsound_command_line(void **state)
{
    struct tlsmsg_error err = {.code = TLSMSG_OK};
    char *argv[] = {(char *)"prog", (char *)"--config=/nowhere/c", (char *)"--nothing"};
    int stopped;

    (void)state;
    assert_int_equal(parse(argv, COUNT_OF(argv), &stopped, &err), TLSMSG_ERR_CONFIG);
    assert_string_equal(err.text, "unknown option '--nothing' (try 'prog --help')");
}

/* ---- passwords that others can read */

#define WARNING "prog: warning: '%s' holds a password and others can read it; try: chmod o= %s\n"

static const struct password_row {
    const char *name;
    const char *text;
    mode_t mode;
    bool by_pipe;
    bool warns;
} password_rows[] = {
    {"for others, too", "cert postgresql://u:p@h/d\nreply password=x\n", 0644, false, true},
    {"for the group", "cert postgresql://u:p@h/d\n", 0640, false, false},
    {"without one", "cert postgresql://u@h/d\nquiet\n", 0644, false, false},
    {"through a pipe", "cert postgresql://u:p@h/d\n", 0666, true, false},
};

/* What is written to stderr meanwhile. */
static void parse_and_capture(const char *path, char *said, size_t cap)
{
    char *argv[] = {(char *)"prog", (char *)"--config", (char *)path};
    struct tlsmsg_error err = {.code = TLSMSG_OK};
    int file = memfd_create("stderr", MFD_CLOEXEC);
    int saved = dup(STDERR_FILENO);
    enum tlsmsg_code code;
    int stopped;
    ssize_t len;

    assert_true(file >= 0 && saved >= 0 && dup2(file, STDERR_FILENO) == STDERR_FILENO);
    code = parse(argv, COUNT_OF(argv), &stopped, &err);
    assert_int_equal(dup2(saved, STDERR_FILENO), STDERR_FILENO);
    len = pread(file, said, cap - 1, 0);
    assert_true(len >= 0);
    said[len] = '\0';
    (void)close(file);
    (void)close(saved);
    assert_int_equal(code, TLSMSG_OK);
}

static void test_password(void **state)
{
    const struct password_row *row = *state;
    struct test_folder folder;
    char path[TEST_PATH_MAX];
    char said[3 * TEST_PATH_MAX];
    char warning[3 * TEST_PATH_MAX] = "";
    int ends[2] = {-1, -1};

    test_folder_make(&folder);
    write_text(test_folder_file(&folder, "c", path), row->text, strlen(row->text));
    assert_int_equal(chmod(path, row->mode), 0);
    if (row->warns) {
        (void)snprintf(warning, sizeof(warning), WARNING, path, path);
    }
    if (row->by_pipe) {
        assert_int_equal(pipe(ends), 0);
        assert_int_equal(fchmod(ends[0], row->mode), 0);
        assert_int_equal(write(ends[1], row->text, strlen(row->text)), strlen(row->text));
        (void)close(ends[1]);
        (void)snprintf(path, sizeof(path), "/dev/fd/%d", ends[0]);
    }
    parse_and_capture(path, said, sizeof(said));
    assert_string_equal(said, warning);
    if (row->by_pipe) {
        (void)close(ends[0]);
    }
    test_folder_remove(&folder);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_missing_file),
        cmocka_unit_test(test_two_files),
        cmocka_unit_test(test_help_reads_no_file),
        cmocka_unit_test(test_zero_byte),
        cmocka_unit_test(test_an_unsound_command_line),
    };
    int failed = cmocka_run_group_tests(tests, NULL, NULL);

    RUN_ROWS(failed, test_row, rows);
    RUN_ROWS(failed, test_password, password_rows);
    return failed;
}
