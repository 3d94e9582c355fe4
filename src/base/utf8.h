/* UTF-8 as RFC 3629 defines it: no surrogates, nothing above U+10FFFF, no overlong forms. */
#ifndef BASE_UTF8_H
#define BASE_UTF8_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define UTF8_BYTES_MAX 4
#define UTF8_TAIL_MAX (UTF8_BYTES_MAX - 1)
/* In eight bytes at once, the bit that no ASCII character has. */
#define UTF8_HIGH_BITS UINT64_C(0x8080808080808080)

enum utf8_status { UTF8_VALID, UTF8_INCOMPLETE, UTF8_INVALID };

/* Looks at len bytes. *whole receives the length of the longest prefix of whole, valid
 * characters. UTF8_INCOMPLETE: what follows that prefix (1 to 3 bytes) can still become one;
 * UTF8_INVALID: it can't. Fast on ASCII. */
enum utf8_status utf8_check(const char *s, size_t len, size_t *whole);

static inline bool utf8_is_valid(const char *s, size_t len)
{
    size_t whole;

    return utf8_check(s, len, &whole) == UTF8_VALID;
}

/* Decodes the character at s (len >= 1 bytes of valid UTF-8) and returns its length in bytes. */
size_t utf8_decode(const char *s, size_t len, uint32_t *codepoint);

/* Writes the character, a scalar value (no surrogate, at most U+10FFFF), to out and returns its
 * length in bytes. */
size_t utf8_encode(uint32_t codepoint, char out[UTF8_BYTES_MAX]);

#endif
