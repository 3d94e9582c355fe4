/* The checks that the targets share. Written without the library's own code, which they judge. */
#include "fuzz.h"

#include <string.h>

char *fuzz_copy(const uint8_t *data, size_t len)
{
    char *copy = malloc(len > 0 ? len : 1);

    FUZZ_CHECK(copy != NULL);
    if (len > 0) {
        memcpy(copy, data, len);
    }
    return copy;
}

char *fuzz_text(const uint8_t *data, size_t len)
{
    const uint8_t *end = len > 0 ? memchr(data, 0, len) : NULL;
    size_t text_len = end != NULL ? (size_t)(end - data) : len;
    char *text = malloc(text_len + 1);

    FUZZ_CHECK(text != NULL);
    if (text_len > 0) {
        memcpy(text, data, text_len);
    }
    text[text_len] = '\0';
    return text;
}

/* One character of at most len >= 1 bytes: its length, or 0. */
static size_t decode(const unsigned char *s, size_t len, uint32_t *codepoint)
{
    static const uint32_t least[] = {0, 0, 0x80, 0x800, 0x10000};
    size_t length = s[0] < 0x80 ? 1 : 0;

    *codepoint = s[0];
    for (size_t n = 2; n <= 4 && length == 0; n++) {
        if ((unsigned)s[0] >> (7 - n) == (1U << (n + 1)) - 2) {
            length = n;
            *codepoint = s[0] & (0x7FU >> n);
        }
    }
    if (length == 0 || length > len) {
        return 0;
    }
    for (size_t i = 1; i < length; i++) {
        if (s[i] >> 6 != 2) {
            return 0;
        }
        *codepoint = *codepoint << 6 | (s[i] & 0x3FU);
    }
    if (*codepoint < least[length] || *codepoint > 0x10FFFF || (*codepoint >> 11) == 0x1B) {
        return 0;
    }
    return length;
}

/* Tries to complete 1 to 3 bytes with any continuation. */
static bool can_be_completed(const char *s, size_t len)
{
    unsigned char bytes[4];
    uint32_t ignored;

    if (len >= sizeof(bytes)) {
        return false;
    }
    memcpy(bytes, s, len);
    for (unsigned next = 0x80; next <= 0xBF; next++) {
        memset(bytes + len, 0x80, sizeof(bytes) - len);
        bytes[len] = (unsigned char)next;
        if (decode(bytes, sizeof(bytes), &ignored) > len) {
            return true;
        }
    }
    return false;
}

size_t fuzz_utf8_whole(const char *s, size_t len, bool *incomplete)
{
    size_t whole = 0;
    uint32_t ignored;

    while (whole < len) {
        size_t length = decode((const unsigned char *)s + whole, len - whole, &ignored);

        if (length == 0) {
            break;
        }
        whole += length;
    }
    *incomplete = whole < len && can_be_completed(s + whole, len - whole);
    return whole;
}

bool fuzz_is_printable(const char *s, size_t len)
{
    size_t i = 0;

    while (i < len) {
        uint32_t c;
        size_t length = decode((const unsigned char *)s + i, len - i, &c);

        if (length == 0 || c < 0x20 || (c >= 0x7F && c <= 0x9F) || c == 0x61C || c == 0x200E ||
            c == 0x200F || (c >= 0x2028 && c <= 0x202E) || (c >= 0x2066 && c <= 0x2069)) {
            return false;
        }
        i += length;
    }
    return true;
}

void fuzz_check_error(const struct tlsmsg_error *err, enum tlsmsg_code returned)
{
    const char *end = memchr(err->text, '\0', sizeof(err->text));

    FUZZ_CHECK(err->code == returned);
    if (returned == TLSMSG_OK) {
        return;
    }
    FUZZ_CHECK(end != NULL && end > err->text);
    FUZZ_CHECK(fuzz_is_printable(err->text, (size_t)(end - err->text)));
}
