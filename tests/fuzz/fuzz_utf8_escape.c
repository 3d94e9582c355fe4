/* UTF-8 validation and the two escapes, held against what they promise. The first byte chooses how
 * little room the output has; the rest is the text. */
#include "fuzz.h"

#include <string.h>

#include "base/escape.h"
#include "base/utf8.h"

typedef size_t escape_function(char *out, size_t cap, const char *s, size_t len);

int LLVMFuzzerInitialize(int *argc, char ***argv)
{
    (void)argc;
    (void)argv;
    return 0;
}

static void check_utf8(const char *s, size_t len)
{
    bool incomplete;
    size_t expected = fuzz_utf8_whole(s, len, &incomplete);
    size_t whole = len + 1;
    enum utf8_status status = utf8_check(s, len, &whole);

    FUZZ_CHECK(whole == expected);
    FUZZ_CHECK((status == UTF8_VALID) == (whole == len));
    FUZZ_CHECK((status == UTF8_INCOMPLETE) == incomplete);
    FUZZ_CHECK(status != UTF8_INCOMPLETE || len - whole <= UTF8_TAIL_MAX);
    FUZZ_CHECK(utf8_is_valid(s, len) == (status == UTF8_VALID));
}

/* Four hexadecimal digits. */
static uint32_t read_hex(const char *s)
{
    uint32_t value = 0;

    for (int i = 0; i < 4; i++) {
        const char *digit = strchr("0123456789abcdef", s[i]);

        FUZZ_CHECK(digit != NULL && *digit != '\0');
        value = value << 4 | (uint32_t)(digit - "0123456789abcdef");
    }
    return value;
}

static size_t put_utf8(char *out, uint32_t c)
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
    out[0] = (char)(0xE0 | c >> 12);
    out[1] = (char)(0x80 | (c >> 6 & 0x3F));
    out[2] = (char)(0x80 | (c & 0x3F));
    return 3;
}

/* Reads the inside of a JSON string back (RFC 8259 section 7); fails on what must not stand there. */
static size_t read_json(char *out, const char *s, size_t len)
{
    static const char letters[] = "bfnrt\"\\/";
    static const char meanings[] = "\b\f\n\r\t\"\\/";
    size_t at = 0;

    for (size_t i = 0; i < len; i++) {
        const char *letter;

        FUZZ_CHECK(s[i] != '"');
        if (s[i] != '\\') {
            out[at++] = s[i];
            continue;
        }
        FUZZ_CHECK(++i < len);
        if (s[i] == 'u') {
            FUZZ_CHECK(len - i > 4);
            at += put_utf8(out + at, read_hex(s + i + 1));
            i += 4;
            continue;
        }
        letter = strchr(letters, s[i]);
        FUZZ_CHECK(letter != NULL && *letter != '\0');
        out[at++] = meanings[letter - letters];
    }
    return at;
}

/* What JSON can hold of a text: each byte that is no part of a character becomes U+FFFD. */
static size_t replace_invalid(char *out, const char *s, size_t len)
{
    size_t at = 0;
    size_t i = 0;

    while (i < len) {
        bool incomplete;
        size_t whole = fuzz_utf8_whole(s + i, len - i, &incomplete);

        memcpy(out + at, s + i, whole);
        at += whole;
        i += whole;
        if (i < len) {
            at += put_utf8(out + at, 0xFFFD);
            i++;
        }
    }
    return at;
}

/* Escapes into a buffer of its own; the caller frees it. */
static char *escaped(escape_function *escape, const char *s, size_t len, size_t *out_len)
{
    size_t cap = ESCAPE_EXPANSION_MAX * len;
    char *out = malloc(cap > 0 ? cap : 1);

    FUZZ_CHECK(out != NULL);
    *out_len = escape(out, cap, s, len);
    FUZZ_CHECK(*out_len <= cap);
    FUZZ_CHECK(fuzz_is_printable(out, *out_len));
    return out;
}

/* With less room the output is a prefix of the whole one and still whole characters. */
static void check_cut(escape_function *escape, const char *s, size_t len, const char *whole,
                      size_t whole_len, size_t cap)
{
    char *out = malloc(cap > 0 ? cap : 1);
    size_t n;

    FUZZ_CHECK(out != NULL);
    n = escape(out, cap, s, len);
    FUZZ_CHECK(n <= cap && n <= whole_len);
    FUZZ_CHECK(memcmp(out, whole, n) == 0);
    FUZZ_CHECK(n == whole_len || cap - n < ESCAPE_EXPANSION_MAX);
    FUZZ_CHECK(fuzz_is_printable(out, n));
    free(out);
}

static void check_text(const char *s, size_t len, size_t cap)
{
    size_t once_len;
    size_t twice_len;
    char *once = escaped(escape_text, s, len, &once_len);
    char *twice = escaped(escape_text, once, once_len, &twice_len);

    FUZZ_CHECK(once_len == twice_len && memcmp(once, twice, once_len) == 0);
    check_cut(escape_text, s, len, once, once_len, cap);
    free(twice);
    free(once);
}

static void check_json(const char *s, size_t len, size_t cap)
{
    size_t json_len;
    char *json = escaped(escape_json, s, len, &json_len);
    char *back = malloc(json_len + 1);
    char *expected = malloc(3 * len + 1);
    size_t back_len;

    FUZZ_CHECK(back != NULL && expected != NULL);
    back_len = read_json(back, json, json_len);
    FUZZ_CHECK(back_len == replace_invalid(expected, s, len));
    FUZZ_CHECK(memcmp(back, expected, back_len) == 0);
    check_cut(escape_json, s, len, json, json_len, cap);
    free(expected);
    free(back);
    free(json);
}

static void check_name(const char *name, size_t cap)
{
    size_t whole_len;
    char *whole = escaped(escape_strict, name, strlen(name), &whole_len);
    char *out = malloc(cap > 0 ? cap : 1);
    size_t len;

    FUZZ_CHECK(out != NULL);
    FUZZ_CHECK(escape_name(out, cap, name) == out);
    if (cap > 0) {
        len = strnlen(out, cap);
        FUZZ_CHECK(len < cap);
        FUZZ_CHECK(fuzz_is_printable(out, len));
        if (whole_len < cap) {
            FUZZ_CHECK(len == whole_len && memcmp(out, whole, len) == 0);
        } else {
            FUZZ_CHECK(cap < 4 || (len >= 3 && strcmp(out + len - 3, "...") == 0));
        }
    }
    free(out);
    free(whole);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
    size_t cap = len > 0 ? data[0] : 0;
    char *s = fuzz_copy(data + (len > 0), len - (len > 0));
    char *name = fuzz_text(data + (len > 0), len - (len > 0));

    len -= len > 0;
    check_utf8(s, len);
    check_text(s, len, cap);
    check_json(s, len, cap);
    check_name(name, cap);
    free(name);
    free(s);
    return 0;
}
