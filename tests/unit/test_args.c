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
    const char *says; /* before the hint; NULL: there is no error */
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
    {"ambiguous", {"--c", "x"}, "", "option '--c' can mean --cert, --client-ca", ARGS_NONE},
    {"ambiguous with a value",
     {"--ke=x"},
     "",
     "option '--ke' can mean --key, --keylog-file",
     ARGS_NONE},
    {"unknown", {"--bogus"}, "", "unknown option '--bogus'", ARGS_NONE},
    {"unknown letter", {"-x"}, "", "unknown option '-x'", ARGS_NONE},
    {"empty name", {"--=x"}, "", "unknown option '--=x'", ARGS_NONE},
    {"longer than a name", {"--quietly"}, "", "unknown option '--quietly'", ARGS_NONE},
    {"control characters are escaped", {"--\x1b[1m"}, "", "unknown option '--\\x1b[1m'", ARGS_NONE},
    {"missing value", {"--cert"}, "", "option '--cert' needs a value: FILE", ARGS_NONE},
    {"missing value of a letter", {"-l"}, "", "option '-l' needs a value: PORT", ARGS_NONE},
    {"surplus value", {"--quiet=1"}, "", "option '--quiet=1' takes no value", ARGS_NONE},
    {"surplus operand", {"a", "b"}, "-1=a ", "unexpected argument 'b'", ARGS_NONE},
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
    assert_int_equal(err.code, code);
    assert_int_equal(err.sys_errno, 0);
    if (row->says == NULL) {
        assert_int_equal(code, TLSMSG_OK);
    } else if (*row->says == '\0') {
        assert_int_equal(code, TLSMSG_ERR_LIMIT);
    } else {
        char text[256];

        (void)snprintf(text, sizeof(text), "%s (try 'prog --help')", row->says);
        assert_int_equal(code, TLSMSG_ERR_CONFIG);
        assert_string_equal(err.text, text);
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

/* ---- ages */

static const struct age {
    const char *value;
    int64_t ms; /* 0: refused */
} ages[] = {
    {"1s", 1000},
    {"2m", 120000},
    {"3h", 10800000},
    {"90d", 7776000000},
    {"2w", 1209600000},
    {"100000s", 100000000},
    {"100001s", 0},
    {"0s", 0},
    {"", 0},
    {"s", 0},
    {"1", 0},
    {"1x", 0},
    {"-1s", 0},
    {"1 s", 0},
    {"1S", 0},
    {"1sd", 0},
};

static void test_ages(void **state)
{
    (void)state;
    for (size_t i = 0; i < COUNT_OF(ages); i++) {
        struct tlsmsg_error err = {.code = TLSMSG_OK};
        int64_t ms = 0;
        enum tlsmsg_code code = args_age("keep", ages[i].value, &ms, &err);

        assert_int_equal(ms, ages[i].ms);
        assert_int_equal(code, ages[i].ms != 0 ? TLSMSG_OK : TLSMSG_ERR_CONFIG);
        assert_string_equal(
            err.text,
            ages[i].ms != 0 ? "" : "--keep wants an age such as 90d (units: s, m, h, d, w)");
        assert_int_equal(err.sys_errno, 0);
    }
}

/* ---- what is printed */

static const char *const two_titles[] = {"First:", "Second:"};

static const struct args_option few_rows[] = {
    {1, 'q', "quiet", NULL, "says nothing", 1},
    {2, 0, "nineteen-letters-19", "VAL", "in one column", 0},
    {3, 0, "twenty-letters-in-20", "VAL", "beyond the column", 0},
    {ARGS_HELP, 'h', "help", NULL, "print this help", 1},
};

static void expect_printed(const struct args_table *printed, int id, bool chinese, const char *text)
{
    char buf[2048] = "";
    FILE *out = fmemopen(buf, sizeof(buf), "w");

    assert_non_null(out);
    args_print(printed, id, chinese, out);
    assert_int_equal(fclose(out), 0);
    assert_string_equal(buf, text);
}

#define FEW_ROWS(help)                                                                             \
    "\nFirst:\n"                                                                                   \
    "      --nineteen-letters-19 VAL in one column\n"                                              \
    "      --twenty-letters-in-20 VAL  beyond the column\n"                                        \
    "\nSecond:\n"                                                                                  \
    "  -q, --quiet                   says nothing\n"                                               \
    "  -h, --help                    " help "\n"                                                   \
    "\n"

static void test_help(void **state)
{
    struct args_table few = {
        .program = "prog",
        .english = {.synopsis = "[X]",
                    .purpose = "Does it.",
                    .examples = "  prog x\n",
                    .closing = "The end.\n"},
        .groups = two_titles,
        .group_count = 2,
        .rows = few_rows,
        .count = COUNT_OF(few_rows),
        .remark = "By the way.\n",
    };

    (void)state;
    expect_printed(&few, ARGS_HELP, false,
                   "Usage: prog [X]\nDoes it.\n\n  prog x\n" FEW_ROWS(
                       "print this help") "The end.\nBy the way.\n");
    few.remark = NULL;
    few.english.examples = NULL;
    expect_printed(&few, ARGS_HELP, true,
                   "Usage: prog [X]\nDoes it.\n" FEW_ROWS("显示本帮助") "The end.\n");
    few.chinese = (struct args_texts){.synopsis = "[Y]", .purpose = "P", .closing = "C\n"};
    expect_printed(&few, ARGS_HELP, true, "用法：prog [Y]\nP\n" FEW_ROWS("显示本帮助") "C\n");
    expect_printed(&few, ARGS_HELP, false,
                   "Usage: prog [X]\nDoes it.\n" FEW_ROWS("print this help") "The end.\n");
}

static void test_version(void **state)
{
    char text[256];

    (void)state;
    (void)snprintf(text, sizeof(text), "prog %s (%s)\n", tlsmsg_version(), tlsmsg_transport());
    expect_printed(&table, ARGS_VERSION, false, text);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_choice),
        cmocka_unit_test(test_ages),
        cmocka_unit_test(test_help),
        cmocka_unit_test(test_version),
    };
    int failed = cmocka_run_group_tests(tests, NULL, NULL);

    RUN_ROWS(failed, test_words, rows);
    return failed;
}
