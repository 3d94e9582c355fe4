/* UTF-8: validation and decoding by the table of RFC 3629 section 4.
 *
 * Owns what counts as a character; what is done about bytes that are none is its callers'
 * business. Pure functions, no allocation, any thread. ASCII goes up to 64 bytes at a time
 * and three-byte characters (Chinese) by a short loop of their own; the rest is rare in messages. */
#include "base/utf8.h"

#include <string.h>

#define REPLACEMENT 0xFFFD
#define ASCII_BLOCK_BYTES 64

static bool is_continuation(unsigned char b)
{
    return (b & 0xC0) == 0x80;
}

/* The length that a lead byte announces, and the range of the byte after it, which is what
 * excludes overlong forms, surrogates and what lies above U+10FFFF. 0: no lead byte. */
static size_t lead_length(unsigned char lead, unsigned char *low, unsigned char *high)
{
    *low = 0x80;
    *high = 0xBF;
    if (lead < 0x80) {
        return 1;
    }
    if (lead < 0xC2) {
        return 0;
    }
    if (lead < 0xE0) {
        return 2;
    }
    if (lead < 0xF0) {
        *low = lead == 0xE0 ? 0xA0 : 0x80;
        *high = lead == 0xED ? 0x9F : 0xBF;
        return 3;
    }
    if (lead < 0xF5) {
        *low = lead == 0xF0 ? 0x90 : 0x80;
        *high = lead == 0xF4 ? 0x8F : 0xBF;
        return 4;
    }
    return 0;
}

/* Looks at one character of at most len >= 1 bytes; *length receives its length when valid. */
static enum utf8_status check_character(const unsigned char *s, size_t len, size_t *length)
{
    unsigned char low;
    unsigned char high;
    size_t i;

    *length = lead_length(s[0], &low, &high);
    if (*length == 0) {
        return UTF8_INVALID;
    }
    if (*length > 1 && len > 1 && (s[1] < low || s[1] > high)) {
        return UTF8_INVALID;
    }
    for (i = 2; i < *length && i < len; i++) {
        if (!is_continuation(s[i])) {
            return UTF8_INVALID;
        }
    }
    return *length <= len ? UTF8_VALID : UTF8_INCOMPLETE;
}

static uint64_t load_word(const unsigned char *s)
{
    uint64_t word;

    memcpy(&word, s, sizeof(word));
    return word;
}

static bool is_ascii_block(const unsigned char *s)
{
    uint64_t all = 0;

    for (size_t i = 0; i < ASCII_BLOCK_BYTES; i += sizeof(uint64_t)) {
        all |= load_word(s + i);
    }
    return (all & UTF8_HIGH_BITS) == 0;
}

static size_t skip_ascii(const unsigned char *s, size_t len)
{
    size_t i = 0;

    while (len - i >= ASCII_BLOCK_BYTES && is_ascii_block(s + i)) {
        i += ASCII_BLOCK_BYTES;
    }
    while (len - i >= sizeof(uint64_t) && (load_word(s + i) & UTF8_HIGH_BITS) == 0) {
        i += sizeof(uint64_t);
    }
    while (i < len && s[i] < 0x80) {
        i++;
    }
    return i;
}

/* Skips three-byte characters whose lead byte allows any continuation: all but E0 and ED. */
static size_t skip_three_byte(const unsigned char *s, size_t len)
{
    size_t i = 0;

    while (len - i >= 3 && s[i] > 0xE0 && s[i] < 0xF0 && s[i] != 0xED &&
           is_continuation(s[i + 1]) && is_continuation(s[i + 2])) {
        i += 3;
    }
    return i;
}

/* From i on, where something stands that is not ASCII. A function of its own: the registers that it
 * saves would be saved for each message. */
static __attribute__((noinline)) enum utf8_status check_from(const unsigned char *bytes, size_t len,
                                                             size_t i, size_t *whole)
{
    enum utf8_status status = UTF8_VALID;
    size_t length;

    while (i < len) {
        if (bytes[i] < 0x80) {
            i += skip_ascii(bytes + i, len - i);
            continue;
        }
        length = skip_three_byte(bytes + i, len - i);
        if (length == 0) {
            status = check_character(bytes + i, len - i, &length);
            if (status != UTF8_VALID) {
                break;
            }
        }
        i += length;
    }
    *whole = i;
    return status;
}

enum utf8_status utf8_check(const char *s, size_t len, size_t *whole)
{
    const unsigned char *bytes = (const unsigned char *)s;
    size_t ascii = skip_ascii(bytes, len);

    /* All that most messages need. */
    if (ascii == len) {
        *whole = len;
        return UTF8_VALID;
    }
    return check_from(bytes, len, ascii, whole);
}

size_t utf8_decode(const char *s, size_t len, uint32_t *codepoint)
{
    const unsigned char *bytes = (const unsigned char *)s;
    size_t length;
    size_t i;

    if (check_character(bytes, len, &length) != UTF8_VALID) {
        *codepoint = REPLACEMENT; /* a caller's mistake must not read past the end */
        return 1;
    }
    *codepoint = length == 1 ? bytes[0] : bytes[0] & (0x7FU >> length);
    for (i = 1; i < length; i++) {
        *codepoint = *codepoint << 6 | (bytes[i] & 0x3FU);
    }
    return length;
}

size_t utf8_encode(uint32_t codepoint, char out[UTF8_BYTES_MAX])
{
    static const unsigned char leads[UTF8_BYTES_MAX + 1] = {0, 0, 0xC0, 0xE0, 0xF0};
    size_t length = codepoint < 0x80 ? 1 : codepoint < 0x800 ? 2 : codepoint < 0x10000 ? 3 : 4;
    size_t i;

    for (i = length - 1; i > 0; i--) {
        out[i] = (char)(0x80 | (codepoint & 0x3F));
        codepoint >>= 6;
    }
    out[0] = (char)(leads[length] | codepoint);
    return length;
}
