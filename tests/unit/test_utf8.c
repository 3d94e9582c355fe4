/* UTF-8: compared with an oracle that knows only how to encode, and at every cut and offset. */
#include "support/unit.h"

#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include "base/utf8.h"

/* The oracle: what the bit patterns of RFC 3629 section 3 make of a code point. */
static size_t encode(uint32_t c, unsigned char out[4])
{
    if (c < 0x80) {
        out[0] = (unsigned char)c;
        return 1;
    }
    if (c < 0x800) {
        out[0] = (unsigned char)(0xC0 | c >> 6);
        out[1] = (unsigned char)(0x80 | (c & 0x3F));
        return 2;
    }
    if (c < 0x10000) {
        out[0] = (unsigned char)(0xE0 | c >> 12);
        out[1] = (unsigned char)(0x80 | (c >> 6 & 0x3F));
        out[2] = (unsigned char)(0x80 | (c & 0x3F));
        return 3;
    }
    out[0] = (unsigned char)(0xF0 | c >> 18);
    out[1] = (unsigned char)(0x80 | (c >> 12 & 0x3F));
    out[2] = (unsigned char)(0x80 | (c >> 6 & 0x3F));
    out[3] = (unsigned char)(0x80 | (c & 0x3F));
    return 4;
}

static bool is_scalar(uint32_t c)
{
    return c <= 0x10FFFF && (c < 0xD800 || c > 0xDFFF);
}

/* All that some code point's encoding begins with: prefixes[n] is a bitmap of n + 1 bytes. */
static unsigned char *prefixes[3];
/* All encodings of one to three bytes, as bitmaps. Those of four are found by encoding. */
static unsigned char *encodings[3];

static size_t bit_index(const unsigned char *s, size_t len)
{
    size_t index = 0;

    while (len-- > 0) {
        index = index << 8 | *s++;
    }
    return index;
}

static void set_bit(unsigned char *map, size_t i)
{
    map[i / 8] = (unsigned char)(map[i / 8] | 1U << i % 8);
}

static bool has_bit(const unsigned char *map, size_t i)
{
    return (map[i / 8] >> i % 8 & 1) != 0;
}

static int make_oracle(void **state)
{
    unsigned char s[4];
    uint32_t c;
    size_t n;

    (void)state;
    for (n = 0; n < 3; n++) {
        prefixes[n] = calloc(1, ((size_t)1 << 8 * (n + 1)) / 8);
        encodings[n] = calloc(1, ((size_t)1 << 8 * (n + 1)) / 8);
        if (prefixes[n] == NULL || encodings[n] == NULL) {
            return -1;
        }
    }
    for (c = 0; c <= 0x10FFFF; c++) {
        size_t len = encode(c, s);

        if (!is_scalar(c)) {
            continue;
        }
        if (len < 4) {
            set_bit(encodings[len - 1], bit_index(s, len));
        }
        for (n = 1; n < len; n++) {
            set_bit(prefixes[n - 1], bit_index(s, n));
        }
    }
    return 0;
}

static int free_oracle(void **state)
{
    size_t n;

    (void)state;
    for (n = 0; n < 3; n++) {
        free(prefixes[n]);
        free(encodings[n]);
    }
    return 0;
}

static bool oracle_is_encoding(const unsigned char *s, size_t len)
{
    unsigned char again[4];
    uint32_t c;

    if (len < 4) {
        return has_bit(encodings[len - 1], bit_index(s, len));
    }
    c = (s[0] & 7U) << 18 | (s[1] & 0x3FU) << 12 | (s[2] & 0x3FU) << 6 | (s[3] & 0x3FU);
    return is_scalar(c) && encode(c, again) == 4 && memcmp(s, again, 4) == 0;
}

static enum utf8_status oracle_check(const unsigned char *s, size_t len, size_t *whole)
{
    size_t n;

    *whole = 0;
    while (*whole < len) {
        size_t left = len - *whole;

        for (n = 1; n <= 4 && n <= left; n++) {
            if (oracle_is_encoding(s + *whole, n)) {
                break;
            }
        }
        if (n <= 4 && n <= left) {
            *whole += n;
            continue;
        }
        if (left <= 3 && has_bit(prefixes[left - 1], bit_index(s + *whole, left))) {
            return UTF8_INCOMPLETE;
        }
        return UTF8_INVALID;
    }
    return UTF8_VALID;
}

static void compare(const unsigned char *s, size_t len)
{
    size_t want_whole;
    size_t whole = SIZE_MAX;
    enum utf8_status want = oracle_check(s, len, &want_whole);
    enum utf8_status got = utf8_check((const char *)s, len, &whole);

    if (got != want || whole != want_whole) {
        fail_msg("%02x %02x %02x %02x, %zu bytes: status %d for %d, whole %zu for %zu", s[0], s[1],
                 s[2], s[3], len, (int)got, (int)want, whole, want_whole);
    }
    assert_true(utf8_is_valid((const char *)s, len) == (want == UTF8_VALID));
}

static void test_every_sequence_of_one_and_two_bytes(void **state)
{
    unsigned char s[4] = {0};
    unsigned a;
    unsigned b;

    (void)state;
    for (a = 0; a < 256; a++) {
        s[0] = (unsigned char)a;
        compare(s, 1);
        for (b = 0; b < 256; b++) {
            s[1] = (unsigned char)b;
            compare(s, 2);
        }
    }
}

/* Edges of every range in the table of RFC 3629 section 4, and the bytes beside them. */
static const unsigned char edges[] = {
    0x00, 0x41, 0x7F, 0x80, 0x81, 0x8F, 0x90, 0x91, 0x9F, 0xA0, 0xA1, 0xBE, 0xBF, 0xC0, 0xC1, 0xC2,
    0xDF, 0xE0, 0xE1, 0xEC, 0xED, 0xEE, 0xEF, 0xF0, 0xF1, 0xF3, 0xF4, 0xF5, 0xF7, 0xF8, 0xFE, 0xFF};

static void test_every_edge_in_three_and_four_bytes(void **state)
{
    unsigned char s[4];
    size_t i;

    (void)state;
    for (i = 0; i < COUNT_OF(edges) * COUNT_OF(edges) * COUNT_OF(edges) * COUNT_OF(edges); i++) {
        size_t rest = i;
        size_t k;

        for (k = 0; k < 4; k++) {
            s[k] = edges[rest % COUNT_OF(edges)];
            rest /= COUNT_OF(edges);
        }
        compare(s, 4);
        if (s[3] == edges[0]) {
            compare(s, 3);
        }
    }
}

static void test_every_code_point_there_and_back(void **state)
{
    unsigned char s[4];
    char made[UTF8_BYTES_MAX];
    uint32_t c;
    uint32_t got;

    (void)state;
    for (c = 0; c <= 0x10FFFF; c++) {
        size_t len = encode(c, s);

        if (!is_scalar(c)) {
            assert_false(utf8_is_valid((const char *)s, len));
            continue;
        }
        assert_true(utf8_is_valid((const char *)s, len));
        assert_int_equal(utf8_decode((const char *)s, len, &got), len);
        assert_int_equal(got, c);
        assert_int_equal(utf8_encode(c, made), len);
        assert_memory_equal(made, s, len);
    }
}

static void test_decoding_reads_within_its_bounds(void **state)
{
    char *s = malloc(1);
    uint32_t c = 0;

    (void)state;
    assert_non_null(s);
    s[0] = '\xF0';
    assert_int_equal(utf8_decode(s, 1, &c), 1);
    assert_int_equal(c, 0xFFFD);
    free(s);
}

/* A byte that is no character, at every place of an ASCII text that is longer than what is looked at
 * in one piece. */
static void test_a_stray_byte_in_ascii(void **state)
{
    unsigned char s[100];
    size_t at;

    (void)state;
    for (at = 0; at < sizeof(s); at++) {
        memset(s, 'a', sizeof(s));
        compare(s, at);
        s[at] = 0x80;
        compare(s, sizeof(s));
    }
}

/* Mixed text in memory of exactly its size, at every offset, cut at every byte. */
static void test_every_cut_of_a_text(void **state)
{
    static const char text[] = "plain ASCII, long enough\xE4\xBD\xA0\xE5\xA5\xBD\xEF\xBC\x8C"
                               "\xE6\x88\x91 \xC3\xA9\xF0\x9F\x98\x80x\xE6\xB6\x88\xE6\x81\xAF"
                               "\xED\x9F\xBF\xEE\x80\x80\xE0\xA0\x80\xF4\x8F\xBF\xBF.";
    const size_t len = sizeof(text) - 1;
    size_t from;
    size_t to;

    (void)state;
    assert_true(utf8_is_valid(text, len));
    for (from = 0; from <= len; from++) {
        for (to = from; to <= len; to++) {
            unsigned char *copy = malloc(to - from + 4);
            size_t whole;
            size_t want_whole;
            enum utf8_status want;

            assert_non_null(copy);
            memcpy(copy, text + from, to - from);
            want = oracle_check(copy, to - from, &want_whole);
            copy = realloc(copy, to - from == 0 ? 1 : to - from);
            assert_non_null(copy);
            assert_int_equal(utf8_check((const char *)copy, to - from, &whole), want);
            assert_int_equal(whole, want_whole);
            free(copy);
        }
    }
}

/* One wrong byte at every place of a long run, so that no fast path passes it by. */
static void test_one_wrong_byte_anywhere(void **state)
{
    static const char wrong[] = {'\x80', '\xC0', '\xC1', '\xF5', '\xFF'};
    char ascii[48];
    char chinese[48];
    size_t i;
    size_t k;
    size_t whole;

    (void)state;
    for (i = 0; i < sizeof(ascii); i++) {
        for (k = 0; k < sizeof(wrong); k++) {
            size_t j;

            memset(ascii, 'a', sizeof(ascii));
            ascii[i] = wrong[k];
            assert_int_equal(utf8_check(ascii, sizeof(ascii), &whole), UTF8_INVALID);
            assert_int_equal(whole, i);
            for (j = 0; j < sizeof(chinese); j++) {
                chinese[j] = "\xE6\x81\xAF"[j % 3];
            }
            chinese[i] = wrong[k] == '\x80' ? 'a' : wrong[k];
            assert_int_equal(utf8_check(chinese, sizeof(chinese), &whole), UTF8_INVALID);
            assert_int_equal(whole, i / 3 * 3 + (i % 3 == 0 && chinese[i] == 'a'));
        }
    }
}

struct tail_row {
    const char *name;
    const char *bytes;
    size_t len;
    enum utf8_status want;
    size_t want_whole;
};

static const struct tail_row tail_rows[] = {
    {"nothing", "", 0, UTF8_VALID, 0},
    {"a NUL is a character", "\0", 1, UTF8_VALID, 1},
    {"two of three", "a\xE4\xBD", 3, UTF8_INCOMPLETE, 1},
    {"three of four", "\xF0\x9F\x98", 3, UTF8_INCOMPLETE, 0},
    {"tail of an overlong form", "ab\xE0\x80", 4, UTF8_INVALID, 2},
    {"tail of a surrogate", "\xED\xA0", 2, UTF8_INVALID, 0},
    {"tail above the last", "\xF4\x90", 2, UTF8_INVALID, 0},
    {"lone lead of a surrogate's row", "\xED", 1, UTF8_INCOMPLETE, 0},
    {"tail with a wrong third byte", "\xF0\x9F\x41", 3, UTF8_INVALID, 0},
    {"overlong NUL", "\xC0\x80", 2, UTF8_INVALID, 0},
    {"lone continuation", "\xBF", 1, UTF8_INVALID, 0},
    {"five bytes form", "\xF8\x88\x80\x80\x80", 5, UTF8_INVALID, 0},
};

static void test_tail(void **state)
{
    const struct tail_row *row = *state;
    size_t whole;

    assert_int_equal(utf8_check(row->bytes, row->len, &whole), row->want);
    assert_int_equal(whole, row->want_whole);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_every_sequence_of_one_and_two_bytes),
        cmocka_unit_test(test_every_edge_in_three_and_four_bytes),
        cmocka_unit_test(test_every_code_point_there_and_back),
        cmocka_unit_test(test_decoding_reads_within_its_bounds),
        cmocka_unit_test(test_a_stray_byte_in_ascii),
        cmocka_unit_test(test_every_cut_of_a_text),
        cmocka_unit_test(test_one_wrong_byte_anywhere),
    };
    int failed = 0;

    RUN_ROWS(failed, test_tail, tail_rows);
    failed += cmocka_run_group_tests_name("utf8", tests, make_oracle, free_oracle);
    return failed;
}
