/* The command line: how words become options, and what is refused. */
#include "support/unit.h"

#include <stdio.h>
#include <string.h>

#include "app/args.h"

#define WORDS_MAX 8

static const char *const titles[] = {"All:"};

static const struct args_option rows_of_table[] = {
    {1, 'l', "listen", "PORT", "", 0},
    {2, 0, "cert", "FILE", "", 0},
    {3, 0, "client-ca", "FILE", "", 0},
    {4, 'q', "quiet", NULL, "", 0},
    {5, 0, "key", "FILE", "", 0},
    {6, 0, "keylog-file", "FILE", "", 0},
    {7, 'v', "verbose", NULL, "", 0},
    {ARGS_HELP, 0, "help", NULL, "", 0},
    {ARGS_VERSION, 0, "version", NULL, "", 0},
};

static const struct args_table table = {
    .program = "prog",
    .english = {.synopsis = "", .purpose = "", .closing = ""},
    .groups = titles,
    .group_count = 1,
    .rows = rows_of_table,
    .count = COUNT_OF(rows_of_table),
    .operands_max = 1,
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
    {"nothing", {NULL}, "", NULL, ARGS_NONE},
    {"value as a word", {"--listen", "1"}, "1=1 ", NULL, ARGS_NONE},
    {"value after =", {"--listen=1"}, "1=1 ", NULL, ARGS_NONE},
    {"empty value after =", {"--listen="}, "1= ", NULL, ARGS_NONE},
    {"= in a value", {"--listen=a=b"}, "1=a=b ", NULL, ARGS_NONE},
    {"value that looks like an option", {"--cert", "--key"}, "2=--key ", NULL, ARGS_NONE},
    {"letter and word", {"-l", "1"}, "1=1 ", NULL, ARGS_NONE},
    {"letter and value in one", {"-l1"}, "1=1 ", NULL, ARGS_NONE},
    {"letters in a bundle", {"-qv"}, "4=1 7=1 ", NULL, ARGS_NONE},
    {"a bundle that ends with a value", {"-qvl", "1"}, "4=1 7=1 1=1 ", NULL, ARGS_NONE},
    {"order is kept",
     {"--cert", "a", "--key", "b", "--cert", "c"},
     "2=a 5=b 2=c ",
     NULL,
     ARGS_NONE},
    {"operand before options", {"x", "-q"}, "-1=x 4=1 ", NULL, ARGS_NONE},
    {"a dash alone is an operand", {"-"}, "-1=- ", NULL, ARGS_NONE},
    {"-- ends the options", {"--", "-q"}, "-1=-q ", NULL, ARGS_NONE},
    {"unique beginning", {"--li", "1"}, "1=1 ", NULL, ARGS_NONE},
    {"whole name is not ambiguous", {"--key", "1"}, "5=1 ", NULL, ARGS_NONE},
    {"beginning of one alone", {"--keyl=1"}, "6=1 ", NULL, ARGS_NONE},
    {"help", {"--help"}, "", NULL, ARGS_HELP},
    {"version, whatever follows", {"-q", "--version", "--bogus"}, "4=1 ", NULL, ARGS_VERSION},
    {"ambiguous", {"--c", "x"}, "", "option '--c' can mean --cert, --client-ca (try", ARGS_NONE},
    {"ambiguous with a value", {"--ke=x"}, "", "'--ke' can mean --key, --keylog-file", ARGS_NONE},
    {"unknown", {"--bogus"}, "", "unknown option '--bogus' (try 'prog --help')", ARGS_NONE},
    {"unknown letter", {"-x"}, "", "unknown option '-x'", ARGS_NONE},
    {"empty name", {"--=x"}, "", "unknown option '--=x'", ARGS_NONE},
    {"longer than a name", {"--quietly"}, "", "unknown option '--quietly'", ARGS_NONE},
    {"control characters are escaped", {"--\x1b[1m"}, "", "'--\\x1b[1m'", ARGS_NONE},
    {"missing value", {"--cert"}, "", "option '--cert' needs a value: FILE (try", ARGS_NONE},
    {"missing value of a letter", {"-l"}, "", "option '-l' needs a value: PORT", ARGS_NONE},
    {"surplus value", {"--quiet=1"}, "", "option '--quiet=1' takes no value", ARGS_NONE},
    {"surplus operand", {"a", "b"}, "-1=a ", "unexpected argument 'b' (try", ARGS_NONE},
    {"the taker's refusal", {"--cert", "bad", "-q"}, "", "", ARGS_NONE},
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
    code = args_parse(&table, argc, argv, take, taken, &stopped, &err);
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
    assert_int_equal(args_choice("format", names, 3, "json", &i, &err), TLSMSG_OK);
    assert_int_equal(i, 1);
    assert_int_equal(args_choice("format", names, 3, "x\n", &i, &err), TLSMSG_ERR_CONFIG);
    assert_string_equal(err.text, "--format wants text, json or csv, not 'x\\n'");
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_choice)};
    int failed = cmocka_run_group_tests(tests, NULL, NULL);

    RUN_ROWS(failed, test_words, rows);
    return failed;
}
