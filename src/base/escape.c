/* Escape: makes bytes of strangers safe to show, in the text form and in the JSON form.
 *
 * Owns the list of what a terminal, a log or a reader could be fooled by; it does not decide
 * where escaping applies. Pure functions, no allocation, any thread. Runs of harmless bytes are
 * found first and copied whole, since nearly every message is one such run. */
#include "base/escape.h"

#include <stdint.h>
#include <string.h>

#include "base/utf8.h"

#define ONES UINT64_C(0x0101010101010101)

enum form { FORM_TEXT, FORM_STRICT, FORM_JSON };

/* A character that a JSON string can't hold as it is, beside those escaped in both forms. */
static bool is_json_special(unsigned char b)
{
    return b == '"' || b == '\\';
}

/* Unicode's Default_Ignorable_Code_Point, and blanks: two names that differ in these look alike. */
static const uint32_t unseen[][2] = {
    {0xA0, 0xA0},     {0xAD, 0xAD},     {0x34F, 0x34F},     {0x115F, 0x1160},   {0x1680, 0x1680},
    {0x17B4, 0x17B5}, {0x180B, 0x180F}, {0x2000, 0x200F},   {0x202F, 0x202F},   {0x205F, 0x206F},
    {0x2800, 0x2800}, {0x3000, 0x3000}, {0x3164, 0x3164},   {0xFE00, 0xFE0F},   {0xFEFF, 0xFEFF},
    {0xFFA0, 0xFFA0}, {0xFFF0, 0xFFFB}, {0x1BCA0, 0x1BCA3}, {0x1D173, 0x1D17A}, {0xE0000, 0xE0FFF},
};

static bool is_unseen(uint32_t c)
{
    for (size_t i = 0; i < sizeof(unseen) / sizeof(unseen[0]); i++) {
        if (c >= unseen[i][0] && c <= unseen[i][1]) {
            return true;
        }
    }
    return false;
}

static bool is_special(uint32_t c, enum form form)
{
    if (c < 0x80) {
        return c < 0x20 || c == 0x7F || (form == FORM_JSON && is_json_special((unsigned char)c));
    }
    return (form == FORM_STRICT && is_unseen(c)) || c <= 0x9F || c == 0x061C || c == 0x200E ||
           c == 0x200F || (c >= 0x2028 && c <= 0x202E) || (c >= 0x2066 && c <= 0x2069);
}

/* True when a byte can begin a special character. Of those above U+007F the lead bytes are C2,
 * D8 and E2, in the strict form any; a continuation byte is never any of these. */
static bool is_suspect(unsigned char b, enum form form)
{
    if (b < 0x80) {
        return is_special(b, form);
    }
    return b == 0xC2 || b == 0xD8 || b == 0xE2 || (form == FORM_STRICT && b > 0xC2);
}

/* Eight bytes at once: a word's bytes are compared with a constant in each of them. Where a byte
 * is hit its high bit is set in the result; bytes above a hit may be set too, which changes
 * nothing about whether there is one. */
static uint64_t bytes_equal(uint64_t word, unsigned char b)
{
    uint64_t difference = word ^ ONES * b;

    return (difference - ONES) & ~difference & UTF8_HIGH_BITS;
}

static uint64_t bytes_below(uint64_t word, unsigned char b)
{
    return (word - ONES * b) & ~word & UTF8_HIGH_BITS;
}

static uint64_t json_specials(uint64_t word, enum form form)
{
    return form == FORM_JSON ? bytes_equal(word, '"') | bytes_equal(word, '\\') : 0;
}

/* True when all eight bytes are from U+0020 to U+007E: the common case has the shortest test. */
static bool is_plain_ascii(uint64_t word, enum form form)
{
    /* The difference has the high bit below U+0020 and from U+00A0 on, the sum from U+007F on. */
    uint64_t hit = (word - ONES * 0x20) | (word + ONES);

    return ((hit & UTF8_HIGH_BITS) | json_specials(word, form)) == 0;
}

/* True when none of eight bytes of valid UTF-8 is suspect. */
static bool is_harmless_word(uint64_t word, enum form form)
{
    if (form == FORM_STRICT) {
        return is_plain_ascii(word, form);
    }
    return (bytes_below(word, 0x20) | bytes_equal(word, 0x7F) | bytes_equal(word, 0xC2) |
            bytes_equal(word, 0xD8) | bytes_equal(word, 0xE2) | json_specials(word, form)) == 0;
}

static uint64_t load_word(const char *s)
{
    uint64_t word;

    memcpy(&word, s, sizeof(word));
    return word;
}

/* True when len bytes are ASCII that needs no escape. */
static bool is_all_plain_ascii(const char *s, size_t len, enum form form)
{
    size_t i = 0;

    while (len - i >= sizeof(uint64_t)) {
        if (!is_plain_ascii(load_word(s + i), form)) {
            return false;
        }
        i += sizeof(uint64_t);
    }
    while (i < len && (unsigned char)s[i] < 0x80 && !is_suspect((unsigned char)s[i], form)) {
        i++;
    }
    return i == len;
}

/* Length of the longest prefix of valid UTF-8 that needs no escape. */
static size_t harmless_run(const char *s, size_t len, enum form form)
{
    size_t i = 0;

    while (i < len) {
        size_t length;
        uint32_t c;

        while (len - i >= sizeof(uint64_t) && is_harmless_word(load_word(s + i), form)) {
            i += sizeof(uint64_t);
        }
        while (i < len && !is_suspect((unsigned char)s[i], form)) {
            i++;
        }
        if (i == len) {
            break;
        }
        length = utf8_decode(s + i, len - i, &c);
        if (is_special(c, form)) {
            break;
        }
        i += length;
    }
    return i;
}

static size_t write_hex(char *out, char kind, uint32_t value, unsigned digits)
{
    static const char hex[] = "0123456789abcdef";
    unsigned i;

    out[0] = '\\';
    out[1] = kind;
    for (i = 0; i < digits; i++) {
        out[2 + i] = hex[value >> 4 * (digits - 1 - i) & 0xF];
    }
    return 2 + digits;
}

/* The letter of a two-character escape, or 0. */
static char short_escape(uint32_t c, enum form form)
{
    switch (c) {
    case '\n':
        return 'n';
    case '\r':
        return 'r';
    case '\t':
        return 't';
    case '\b':
        return form == FORM_JSON ? 'b' : '\0';
    case '\f':
        return form == FORM_JSON ? 'f' : '\0';
    case '"':
        return '"';
    case '\\':
        return '\\';
    default:
        return '\0';
    }
}

/* Writes the escape of a special character; returns its length. */
static size_t write_escape(char out[ESCAPE_LONGEST], uint32_t c, enum form form)
{
    char letter = short_escape(c, form);

    if (letter != '\0') {
        out[0] = '\\';
        out[1] = letter;
        return 2;
    }
    if (form != FORM_JSON && c < 0x80) {
        return write_hex(out, 'x', c, 2);
    }
    if (c > 0xFFFF) {
        return write_hex(out, 'U', c, 8);
    }
    return write_hex(out, 'u', c, 4);
}

static size_t write_invalid(char out[ESCAPE_LONGEST], unsigned char b, enum form form)
{
    if (form != FORM_JSON) {
        return write_hex(out, 'x', b, 2);
    }
    memcpy(out, "\xEF\xBF\xBD", 3); /* U+FFFD */
    return 3;
}

/* The longest prefix of whole characters of valid UTF-8 in at most cap bytes. */
static size_t fitting(const char *s, size_t len, size_t cap)
{
    size_t whole = len;

    if (len > cap) {
        (void)utf8_check(s, cap, &whole);
    }
    return whole;
}

/* Escapes valid UTF-8 into out; *used receives the bytes of s that went in. */
static size_t escape_valid(char *out, size_t cap, const char *s, size_t len, enum form form,
                           size_t *used)
{
    char escaped[ESCAPE_LONGEST];
    size_t written = 0;
    size_t i = 0;

    while (i < len) {
        size_t run = harmless_run(s + i, len - i, form);
        size_t fits = fitting(s + i, run, cap - written);
        size_t length;
        uint32_t c;

        memcpy(out + written, s + i, fits);
        written += fits;
        i += fits;
        if (fits < run || i == len) {
            break;
        }
        run = utf8_decode(s + i, len - i, &c);
        length = write_escape(escaped, c, form);
        if (length > cap - written) {
            break;
        }
        memcpy(out + written, escaped, length);
        written += length;
        i += run;
    }
    *used = i;
    return written;
}

/* Escapes any bytes into out; *used receives the bytes of s that went in. */
static size_t escape(char *out, size_t cap, const char *s, size_t len, enum form form, size_t *used)
{
    char escaped[ESCAPE_LONGEST];
    size_t written = 0;
    size_t i = 0;

    if (len <= cap && is_all_plain_ascii(s, len, form)) {
        memcpy(out, s, len);
        *used = len;
        return len;
    }
    while (i < len) {
        size_t whole;
        size_t done;
        size_t length;

        (void)utf8_check(s + i, len - i, &whole);
        written += escape_valid(out + written, cap - written, s + i, whole, form, &done);
        i += done;
        if (done < whole || i == len) {
            break;
        }
        length = write_invalid(escaped, (unsigned char)s[i], form);
        if (length > cap - written) {
            break;
        }
        memcpy(out + written, escaped, length);
        written += length;
        i++;
    }
    *used = i;
    return written;
}

size_t escape_text(char *out, size_t cap, const char *s, size_t len)
{
    size_t used;

    return escape(out, cap, s, len, FORM_TEXT, &used);
}

size_t escape_strict(char *out, size_t cap, const char *s, size_t len)
{
    size_t used;

    return escape(out, cap, s, len, FORM_STRICT, &used);
}

size_t escape_json(char *out, size_t cap, const char *s, size_t len)
{
    size_t used;

    return escape(out, cap, s, len, FORM_JSON, &used);
}

const char *escape_name(char *out, size_t cap, const char *s)
{
    static const char dots[] = "...";
    size_t len = strlen(s);
    size_t mark = sizeof(dots) - 1;
    size_t written;
    size_t used;

    if (cap == 0) {
        return out;
    }
    written = escape(out, cap - 1, s, len, FORM_STRICT, &used);
    if (used < len) {
        mark = mark < cap - 1 ? mark : cap - 1;
        written = escape(out, cap - 1 - mark, s, len, FORM_STRICT, &used);
        memcpy(out + written, dots, mark);
        written += mark;
    }
    out[written] = '\0';
    return out;
}
