/* First-use records: what a line is, and whose it is. */
#include "transport/tls/known_servers.h"

#include <stdbool.h>
#include <stdio.h>
#include <string.h>

#include "support/test_folder.h"
#include "support/unit.h"

#define PIN_A "sha256//AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA="
#define PIN_B "sha256//BBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBA="
#define DATE " 2026-01-31"

static const struct pin pin_a = {PIN_A};
static struct test_folder folder;
static char path[TEST_PATH_MAX];

static void write_text(const char *text)
{
    FILE *out = fopen(path, "wb");

    assert_non_null(out);
    assert_true(fputs(text, out) >= 0);
    assert_int_equal(fclose(out), 0);
}

static enum known_answer find(const char *server, const struct pin *pin)
{
    struct known_record record;
    enum known_answer answer;

    assert_int_equal(known_servers_find(path, server, pin, &answer, &record, NULL), TLSMSG_OK);
    return answer;
}

struct line {
    const char *name;
    const char *text;
    const char *says; /* NULL: all lines are fine, and a:1 is recorded with PIN_A */
};

static const struct line lines[] = {
    {"a record", "a:1 " PIN_A DATE "\n", NULL},
    {"no end of the line", "a:1 " PIN_A DATE, NULL},
    {"comments and empty lines", "# mine\n\na:1 " PIN_A DATE "\n# more\n\n", NULL},
    {"among others", "b:1 " PIN_B DATE "\na:1 " PIN_A DATE "\na:2 " PIN_B DATE "\n", NULL},
    {"two keys of one server", "a:1 " PIN_B DATE "\na:1 " PIN_A DATE "\n", NULL},
    {"two keys, the other order", "a:1 " PIN_A DATE "\na:1 " PIN_B DATE "\n", NULL},
    {"a name in other case", "A:1 " PIN_A DATE "\n", NULL},
    {"a name with the dot at its end", "a.:1 " PIN_A DATE "\n", NULL},
    {"one word", "a:1 " PIN_A DATE "\nnonsense\n", "line 2"},
    {"no port", "a " PIN_A DATE "\n", "line 1"},
    {"no date", "# x\n\na:1 " PIN_A "\n", "line 3"},
    {"no pin", "a:1" DATE "\n", "line 1"},
    {"no server", " " PIN_A DATE "\n", "line 1"},
    {"a bad pin", "a:1 sha256//AAAA=" DATE "\n", "line 1"},
    {"a pin with bits to spare",
     "a:1 sha256//AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAB=" DATE "\n", "line 1"},
    {"a bad date", "a:1 " PIN_A " 31.01.2026\n", "line 1"},
    {"a short date", "a:1 " PIN_A " 2026-01-3\n", "line 1"},
    {"more after the date", "a:1 " PIN_A DATE " x\n", "line 1"},
    {"a carriage return", "a:1 " PIN_A DATE "\r\n", NULL},
    {"blanks at the end", "a:1 " PIN_A DATE " \t\n", NULL},
    {"a byte order mark",
     "\xEF\xBB\xBF"
     "a:1 " PIN_A DATE "\n",
     NULL},
    {"a byte order mark further down",
     "#\n\xEF\xBB\xBF"
     "a:1 " PIN_A DATE "\n",
     NULL},
    {"an address", "[::1]:1 " PIN_B DATE "\n[fe80::1%eth0]:1 " PIN_B DATE "\na:1 " PIN_A DATE "\n",
     NULL},
    {"brackets around a letter", "[a]:1 " PIN_B DATE "\na:1 " PIN_A DATE "\n", NULL},
    {"an address that ends in a colon", "[fd00::]:1 " PIN_B DATE "\na:1 " PIN_A DATE "\n", NULL},
    {"a port with zeros in front", "a:01 " PIN_A DATE "\n", "line 1"},
    {"a port beyond all", "a:65536 " PIN_A DATE "\n", "line 1"},
    {"port 0", "a:0 " PIN_A DATE "\n", "line 1"},
    {"an address without brackets", "::1:1 " PIN_A DATE "\n", "line 1"},
    {"brackets that don't end", "[::1:1 " PIN_A DATE "\n", "line 1"},
    {"brackets around nothing", "[]:1 " PIN_A DATE "\n", "line 1"},
    {"several names, as ssh has them", "a,b:1 " PIN_A DATE "\n", "line 1"},
    {"a star, as ssh has it", "*:1 " PIN_A DATE "\n", "line 1"},
    {"a hashed name, as ssh has it", "|1|AAAA=|AAAA=:1 " PIN_A DATE "\n", "line 1"},
    {"an URL", "https://a:1 " PIN_A DATE "\n", "line 1"},
    {"tabs", "a:1\t" PIN_A "\t2026-01-31\n", "line 1"},
    {"a pin in other case", "a:1 SHA256//AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=" DATE "\n",
     "line 1"},
    {"a pin without its end", "a:1 sha256//AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA" DATE "\n",
     "line 1"},
    {"lines that end in CR alone", "a:1 " PIN_A DATE "\ra:2 " PIN_A DATE "\r", "CR alone"},
    {"a letter without width", "a\xE2\x80\x8B:1 " PIN_A DATE "\n", "line 1"},
    {"no port", "a: " PIN_A DATE "\n", "line 1"},
    {"two blanks", "a:1  " PIN_A DATE "\n", "line 1"},
    {"nothing behind the name", "a:1 ", "line 1"},
    {"nothing before the pin", " " PIN_A DATE "\n", "line 1"},
    {"the highest port", "a:1 " PIN_A DATE "\nb:65535 " PIN_A DATE "\n", NULL},
    {"a port above it", "b:65536 " PIN_A DATE "\n", "line 1"},
    {"a port of six digits", "b:100000 " PIN_A DATE "\n", "line 1"},
    {"a port with a nought before it", "b:01 " PIN_A DATE "\n", "line 1"},
    {"letters behind the port", "b:1x " PIN_A DATE "\n", "line 1"},
    {"a bracket in a name", "b[c:1 " PIN_A DATE "\n", "line 1"},
    {"a bracket at its end", "bc]:1 " PIN_A DATE "\n", "line 1"},
    {"a date with a letter", "b:1 " PIN_A " 2026-0a-31\n", "line 1"},
    {"a date that goes on", "b:1 " PIN_A " 2026-01-311\n", "line 1"},
    {"a date with slashes", "b:1 " PIN_A " 2026/01/31\n", "line 1"},
    {"a bad line after the one that counts", "a:1 " PIN_A DATE "\n\n\nb\n", "line 4"},
};

/* A bad line is told word for word; what is wrong with the file as a whole, by its name. */
static void expect_refusal(struct tlsmsg_error *err, const char *says)
{
    char text[512];

    assert_int_equal(err->code, TLSMSG_ERR_CONFIG);
    assert_int_equal(err->sys_errno, 0);
    if (strncmp(says, "line ", 5) == 0) {
        (void)snprintf(text, sizeof(text),
                       "known servers file '%s', %s: not 'host:port sha256//... YYYY-MM-DD'; try: "
                       "mend the line (without it, its server would be a new one)",
                       path, says);
        assert_string_equal(err->text, text);
    } else {
        assert_non_null(strstr(err->text, says));
        assert_non_null(strstr(err->text, path));
    }
    tlsmsg_error_clear(err);
}

static void test_lines(void **state)
{
    const struct line *row = *state;
    struct tlsmsg_error err = {.code = TLSMSG_OK};
    struct known_record record;
    enum known_answer answer;

    write_text(row->text);
    if (row->says == NULL) {
        assert_int_equal(find("a:1", &pin_a), KNOWN_SAME);
        assert_int_equal(find("c:1", &pin_a), KNOWN_NOT);
        return;
    }
    assert_int_equal(known_servers_find(path, "a:1", &pin_a, &answer, &record, &err),
                     TLSMSG_ERR_CONFIG);
    expect_refusal(&err, row->says);
    assert_int_equal(known_servers_add(path, "z:1", &pin_a, &err), TLSMSG_ERR_CONFIG);
    expect_refusal(&err, row->says);
}

/* Though all that can be read of it is fine. */
static void test_a_zero_byte(void **state)
{
    static const char bytes[] = "a:1 " PIN_A DATE "\n\0";
    FILE *out = fopen(path, "wb");
    struct tlsmsg_error err = {.code = TLSMSG_OK};
    struct known_record record;
    enum known_answer answer;
    char text[512];

    (void)state;
    assert_non_null(out);
    assert_int_equal(fwrite(bytes, 1, sizeof(bytes) - 1, out), sizeof(bytes) - 1);
    assert_int_equal(fclose(out), 0);
    assert_int_equal(known_servers_find(path, "a:1", &pin_a, &answer, &record, &err),
                     TLSMSG_ERR_CONFIG);
    (void)snprintf(text, sizeof(text), "known servers file '%s' is not text: it holds a zero byte",
                   path);
    assert_string_equal(err.text, text);
}

/* Without case and without the dot at the end, on one port. */
static void test_names_that_are_the_same(void **state)
{
    static const struct {
        const char *recorded, *asked;
        bool same;
    } names[] = {
        {"a.test:1", "a.test:1", true},
        {"a.test:1", "A.TEST:1", true},
        {"a.test.:1", "a.test:1", true},
        {"a.test:1", "a.test.:1", true},
        {"a.test.:1", "a.test.:1", true},
        {"a.:1", "a:1", true},
        {"a:1", "a.:1", true},
        {"x.y:1", "x.y:1", true},
        {"x.y:1", "x:1", false},
        {"x:1", "x.y:1", false},
        {"a.test:1", "a.test:11", false},
        {"a.test:11", "a.test:1", false},
        {"a.test:1", "b.test:1", false},
        {"a.test:1", "a.tes:1", false},
        {"a.test:1", "a.test..:1", false},
        {"a.test..:1", "a.test:1", false},
        {".:1", ".:1", true},
        {"[::1]:1", "[::1]:1", true},
        {"[::1]:1", "[::2]:1", false},
        {"a:1", "a", false},
        {"a:1", ":1", false},
    };

    (void)state;
    for (size_t i = 0; i < COUNT_OF(names); i++) {
        char line[256];

        (void)snprintf(line, sizeof(line), "%s " PIN_A DATE "\n", names[i].recorded);
        write_text(line);
        assert_int_equal(find(names[i].asked, &pin_a), names[i].same ? KNOWN_SAME : KNOWN_NOT);
    }
}

int main(void)
{
    static const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_a_zero_byte),
        cmocka_unit_test(test_names_that_are_the_same),
    };
    int failed = 0;

    test_folder_make(&folder);
    test_folder_file(&folder, "known", path);
    RUN_ROWS(failed, test_lines, lines);
    failed += cmocka_run_group_tests(tests, NULL, NULL);
    test_folder_remove(&folder);
    return failed;
}
