/* Escaping: every code point against a list of what is dangerous, and no byte out of bounds. */
#include "support/unit.h"

#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/escape.h"
#include "base/utf8.h"

typedef size_t escape_function(char *out, size_t cap, const char *s, size_t len);

struct row {
    const char *name;
    const char *in;
    size_t len;
    const char *text;
    const char *json;
};

#define IN(literal) literal, sizeof(literal) - 1

static const struct row rows[] = {
    {"nothing", IN(""), "", ""},
    {"plain", IN("hello, world"), "hello, world", "hello, world"},
    {"Chinese", IN("你好，世界"), "你好，世界", "你好，世界"},
    {"emoji", IN("a😀b"), "a😀b", "a😀b"},
    {"line breaks and tab", IN("a\nb\rc\td"), "a\\nb\\rc\\td", "a\\nb\\rc\\td"},
    {"backspace and form feed", IN("\b\f"), "\\x08\\x0c", "\\b\\f"},
    {"escape sequence", IN("\x1b[2J"), "\\x1b[2J", "\\u001b[2J"},
    {"NUL", IN("a\0b"), "a\\x00b", "a\\u0000b"},
    {"DEL", IN("\x7f"), "\\x7f", "\\u007f"},
    {"quote and backslash", IN("\"\\n'"), "\"\\n'", "\\\"\\\\n'"},
    {"beside a control lead byte", IN("©“ا"), "©“ا", "©“ا"},
    {"slash stays", IN("a/b"), "a/b", "a/b"},
    {"first of C1", IN("\xc2\x80"), "\\u0080", "\\u0080"},
    {"control sequence introducer", IN("\xc2\x9b"), "\\u009b", "\\u009b"},
    {"no-break space stays", IN("\xc2\xa0"), "\xc2\xa0", "\xc2\xa0"},
    {"line separator", IN("\xe2\x80\xa8"), "\\u2028", "\\u2028"},
    {"bidi override", IN("a\xe2\x80\xae"), "a\\u202e", "a\\u202e"},
    {"bidi isolate", IN("\xe2\x81\xa6"), "\\u2066", "\\u2066"},
    {"Arabic letter mark", IN("\xd8\x9c"), "\\u061c", "\\u061c"},
    {"the least continuations", IN("\xc3\x80\xe1\x80\x80\xf1\x80\x80\x80"),
     "\xc3\x80\xe1\x80\x80\xf1\x80\x80\x80", "\xc3\x80\xe1\x80\x80\xf1\x80\x80\x80"},
    {"a lone continuation", IN("a\x80z"), "a\\x80z", "a\xef\xbf\xbdz"},
    {"a cut character", IN("\xe4\xbd"), "\\xe4\\xbd", "\xef\xbf\xbd\xef\xbf\xbd"},
    {"overlong line break", IN("\xc0\x8a"), "\\xc0\\x8a", "\xef\xbf\xbd\xef\xbf\xbd"},
    {"surrogate", IN("\xed\xa0\x80"), "\\xed\\xa0\\x80", "\xef\xbf\xbd\xef\xbf\xbd\xef\xbf\xbd"},
    {"valid after invalid", IN("\xff你\xff\n"), "\\xff你\\xff\\n", "\xef\xbf\xbd你\xef\xbf\xbd\\n"},
    {"special at the end of a word", IN("1234567\n12345678\n"), "1234567\\n12345678\\n",
     "1234567\\n12345678\\n"},
};

/* Escapes into memory of exactly `cap` bytes, so that a byte too many is caught. */
static size_t escape_exactly(escape_function *escape, size_t cap, const char *s, size_t len,
                             const char *want, size_t want_len)
{
    char *out = malloc(cap == 0 ? 1 : cap);
    size_t got;

    assert_non_null(out);
    got = escape(out, cap, s, len);
    assert_true(got <= cap);
    assert_true(got <= want_len);
    assert_memory_equal(out, want, got);
    free(out);
    return got;
}

/* With all room the whole, with less a prefix that ends between characters or escapes. */
static void check_form(escape_function *escape, const struct row *row, const char *want)
{
    const size_t want_len = strlen(want);
    size_t cap;
    size_t before = 0;

    assert_true(want_len <= row->len * ESCAPE_EXPANSION_MAX);
    assert_int_equal(
        escape_exactly(escape, row->len * ESCAPE_EXPANSION_MAX, row->in, row->len, want, want_len),
        want_len);
    for (cap = 0; cap <= want_len; cap++) {
        size_t got = escape_exactly(escape, cap, row->in, row->len, want, want_len);

        assert_true(got >= before);
        assert_true(cap - got < ESCAPE_EXPANSION_MAX);
        assert_true(utf8_is_valid(want, got));
        before = got;
    }
    assert_int_equal(before, want_len);
}

static void test_row(void **state)
{
    const struct row *row = *state;

    check_form(escape_text, row, row->text);
    check_form(escape_json, row, row->json);
}

/* The list as it stands in the contract, written out once more. */
static bool is_dangerous(uint32_t c)
{
    return c < 0x20 || (c >= 0x7F && c <= 0x9F) || c == 0x061C || c == 0x200E || c == 0x200F ||
           c == 0x2028 || c == 0x2029 || (c >= 0x202A && c <= 0x202E) ||
           (c >= 0x2066 && c <= 0x2069);
}

static size_t encode(uint32_t c, char *out)
{
    if (c < 0x80) {
        out[0] = (char)c;
        return 1;
    }
    if (c < 0x800) {
        out[0] = (char)(0xC0 | c >> 6);
        out[1] = (char)(0x80 | (c & 0x3F));
        return 2;
    }
    if (c < 0x10000) {
        out[0] = (char)(0xE0 | c >> 12);
        out[1] = (char)(0x80 | (c >> 6 & 0x3F));
        out[2] = (char)(0x80 | (c & 0x3F));
        return 3;
    }
    out[0] = (char)(0xF0 | c >> 18);
    out[1] = (char)(0x80 | (c >> 12 & 0x3F));
    out[2] = (char)(0x80 | (c >> 6 & 0x3F));
    out[3] = (char)(0x80 | (c & 0x3F));
    return 4;
}

/* The escape of a dangerous code point. */
static void expect_escape(uint32_t c, bool json, char *want, size_t cap)
{
    static const char letters[] = "\n\r\t\b\f";
    const char *letter = c != 0 && c < 0x80 ? strchr(letters, (int)c) : NULL;

    if (letter != NULL && (json || letter - letters < 3)) {
        (void)snprintf(want, cap, "\\%c", "nrtbf"[letter - letters]);
    } else {
        (void)snprintf(want, cap, json || c > 0x7F ? "\\u%04x" : "\\x%02x", c);
    }
}

static void check_code_point(uint32_t c, bool json)
{
    char in[20];
    char want[40];
    char out[40];
    size_t len = encode(c, in + 4);
    size_t got;

    memcpy(in, "1234", 4);
    memcpy(in + 4 + len, "56789", 5);
    if (is_dangerous(c)) {
        char escaped[12];

        expect_escape(c, json, escaped, sizeof(escaped));
        (void)snprintf(want, sizeof(want), "1234%s56789", escaped);
    } else {
        (void)snprintf(want, sizeof(want), "1234%.*s56789", (int)len, in + 4);
    }
    got = (json ? escape_json : escape_text)(out, sizeof(out), in, len + 9);
    if (got != strlen(want) || memcmp(out, want, got) != 0) {
        fail_msg("U+%04X: '%.*s' for '%s'", c, (int)got, out, want);
    }
}

static void test_every_code_point(void **state)
{
    uint32_t c;

    (void)state;
    for (c = 0; c <= 0x10FFFF; c++) {
        if (c >= 0xD800 && c <= 0xDFFF) {
            continue;
        }
        check_code_point(c, false);
        if (c != '"' && c != '\\') {
            check_code_point(c, true);
        }
    }
}

/* Every byte at every place of a run of words, beside a whole-word path that must not miss it. */
static void test_every_byte_at_every_place(void **state)
{
    char in[33];
    char out[sizeof(in) * ESCAPE_EXPANSION_MAX];
    unsigned byte;
    size_t i;

    (void)state;
    for (byte = 0; byte < 256; byte++) {
        bool plain = byte >= 0x20 && byte < 0x7F;
        bool json_plain = plain && byte != '"' && byte != '\\';

        for (i = 0; i < sizeof(in); i++) {
            memset(in, '~', sizeof(in)); /* beside DEL */
            in[i] = (char)byte;
            assert_true((escape_text(out, sizeof(out), in, sizeof(in)) == sizeof(in)) == plain);
            assert_true((escape_json(out, sizeof(out), in, sizeof(in)) == sizeof(in)) ==
                        json_plain);
            memset(in, ' ', sizeof(in)); /* beside the last of C0 */
            in[i] = (char)byte;
            assert_true((escape_text(out, sizeof(out), in, sizeof(in)) == sizeof(in)) == plain);
        }
    }
}

/* Each row's bytes at every place of a Chinese text, in every position of a word. */
static void test_row_inside_chinese(void **state)
{
    static const char chinese[] = "息息息息息息息息息";
    const struct row *row = *state;
    size_t i;

    for (i = 0; i < sizeof(chinese); i += 3) {
        const int before = (int)i;
        char in[128];
        char want[2][256];
        struct row around = {.in = in, .text = want[0], .json = want[1]};

        assert_true(sizeof(chinese) + row->len < sizeof(in));
        memcpy(in, chinese, i);
        memcpy(in + i, row->in, row->len);
        memcpy(in + i + row->len, chinese + i, sizeof(chinese) - 1 - i);
        around.len = sizeof(chinese) - 1 + row->len;
        (void)snprintf(want[0], sizeof(want[0]), "%.*s%s%s", before, chinese, row->text,
                       chinese + i);
        (void)snprintf(want[1], sizeof(want[1]), "%.*s%s%s", before, chinese, row->json,
                       chinese + i);
        check_form(escape_text, &around, around.text);
        check_form(escape_json, &around, around.json);
    }
}

struct strict_row {
    const char *name;
    const char *in;
    const char *want;
};

static const struct strict_row strict_rows[] = {
    {"what the text form escapes", "a\n\x1b\xe2\x80\xae", "a\\n\\x1b\\u202e"},
    {"letters stay", "Jürgen 你好 ا 😀", "Jürgen 你好 ا 😀"},
    {"zero width", "a\u200bb\u200cc\u200dd\u2060\ufeff", "a\\u200bb\\u200cc\\u200dd\\u2060\\ufeff"},
    {"soft hyphen", "a\u00adb", "a\\u00adb"},
    {"fillers", "\u115f\u1160\u3164\uffa0", "\\u115f\\u1160\\u3164\\uffa0"},
    {"blanks", "\u00a0\u2003\u202f\u3000\u2800", "\\u00a0\\u2003\\u202f\\u3000\\u2800"},
    {"vowel separator", "\u180e", "\\u180e"},
    {"variation selectors and tags", "\ufe0f\U000e0041", "\\ufe0f\\U000e0041"},
    {"beside these", "\u00ae\u1161\u2010\u2070\u3163\ufefe\U000dffff",
     "\u00ae\u1161\u2010\u2070\u3163\ufefe\U000dffff"},
    {"behind plain words", "12345678\u00ad12345678", "12345678\\u00ad12345678"},
};

static void test_strict(void **state)
{
    const struct strict_row *row = *state;
    size_t len = strlen(row->in);
    size_t want_len = strlen(row->want);

    assert_true(want_len <= len * ESCAPE_EXPANSION_MAX);
    for (size_t cap = 0; cap <= len * ESCAPE_EXPANSION_MAX; cap++) {
        size_t got = escape_exactly(escape_strict, cap, row->in, len, row->want, want_len);

        assert_true(cap >= want_len ? got == want_len : cap - got < ESCAPE_LONGEST);
    }
}

struct name_row {
    const char *name;
    const char *in;
    size_t cap;
    const char *want;
};

static const struct name_row name_rows[] = {
    {"fits", "x.key", 10, "x.key"},
    {"fits exactly", "x.key", 6, "x.key"},
    {"one too many", "abcdef", 6, "ab..."},
    {"is escaped", "a\nb", 10, "a\\nb"},
    {"is cut before an escape", "ab\ncdef", 7, "ab..."},
    {"is cut before a character", "你好你好", 10, "你好..."},
    {"room for dots only", "abcdef", 4, "..."},
    {"room for two dots", "abcdef", 3, ".."},
    {"room for one dot", "abcdef", 2, "."},
    {"room for nothing", "abcdef", 1, ""},
    {"empty", "", 1, ""},
};

static void test_name(void **state)
{
    const struct name_row *row = *state;
    char *out = malloc(row->cap);

    assert_non_null(out);
    assert_ptr_equal(escape_name(out, row->cap, row->in), out);
    assert_string_equal(out, row->want);
    free(out);
}

static void test_name_without_room_is_untouched(void **state)
{
    char out = 'x';

    (void)state;
    (void)escape_name(&out, 0, "abc");
    assert_int_equal(out, 'x');
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_every_code_point),
        cmocka_unit_test(test_every_byte_at_every_place),
        cmocka_unit_test(test_name_without_room_is_untouched),
    };
    int failed = 0;

    RUN_ROWS(failed, test_strict, strict_rows);
    RUN_ROWS(failed, test_row, rows);
    RUN_ROWS(failed, test_row_inside_chinese, rows);
    RUN_ROWS(failed, test_name, name_rows);
    failed += cmocka_run_group_tests_name("escape", tests, NULL, NULL);
    return failed;
}
