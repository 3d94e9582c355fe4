/* See decimal.h. */
#include "base/decimal.h"

/* value * 10 + digit, at most UINT64_MAX. */
static uint64_t shift_in(uint64_t value, unsigned digit)
{
    return value > (UINT64_MAX - digit) / 10 ? UINT64_MAX : value * 10 + digit;
}

static bool is_digit(char c)
{
    return c >= '0' && c <= '9';
}

size_t decimal_digits(const char *text, size_t len, uint64_t *out)
{
    uint64_t value = 0;
    size_t i;

    for (i = 0; i < len && is_digit(text[i]); i++) {
        value = shift_in(value, (unsigned)(text[i] - '0'));
    }
    *out = value;
    return i;
}

bool decimal_parse(const char *text, size_t len, uint64_t min, uint64_t max, uint64_t *out)
{
    uint64_t value;

    if (len == 0 || decimal_digits(text, len, &value) != len || value < min || value > max) {
        return false;
    }
    *out = value;
    return true;
}

bool decimal_parse_scaled(const char *text, size_t len, unsigned places, uint64_t *out)
{
    bool has_rest = false;
    uint64_t value;
    size_t at = decimal_digits(text, len, &value);
    size_t digits = at;

    if (at < len && text[at] == '.') {
        at++;
        digits = len - at; /* a point needs a digit behind it */
    }
    if (digits == 0) {
        return false;
    }
    for (; at < len && is_digit(text[at]); at++) {
        if (places > 0) {
            value = shift_in(value, (unsigned)(text[at] - '0'));
            places--;
        } else {
            has_rest = has_rest || text[at] != '0';
        }
    }
    for (; places > 0; places--) {
        value = shift_in(value, 0);
    }
    if (at != len) {
        return false;
    }
    *out = has_rest && value < UINT64_MAX ? value + 1 : value;
    return true;
}

/* Two digits at a time: half the divisions. */
static const char pairs[] = "00010203040506070809"
                            "10111213141516171819"
                            "20212223242526272829"
                            "30313233343536373839"
                            "40414243444546474849"
                            "50515253545556575859"
                            "60616263646566676869"
                            "70717273747576777879"
                            "80818283848586878889"
                            "90919293949596979899";

static size_t digits_of(uint64_t number)
{
    size_t digits = 1;

    for (; number >= 10000; number /= 10000) {
        digits += 4;
    }
    return digits + (number >= 10) + (number >= 100) + (number >= 1000);
}

/* Prints at least `width` >= 1 digits. */
static size_t print_padded(char out[DECIMAL_DIGITS_MAX], uint64_t number, unsigned width)
{
    size_t digits = digits_of(number);
    size_t len = digits > width ? digits : width;
    size_t at;

    assert(width <= DECIMAL_DIGITS_MAX);
    for (at = len; at > 1; at -= 2) {
        memcpy(out + at - 2, pairs + 2 * (number % 100), 2);
        number /= 100;
    }
    if (at > 0) {
        *out = (char)('0' + number);
    }
    return len;
}

size_t decimal_print(char out[DECIMAL_DIGITS_MAX], uint64_t number)
{
    return print_padded(out, number, 1);
}

void decimal_put(struct buffer *b, uint64_t number)
{
    decimal_put_padded(b, number, 1);
}

void decimal_put_padded(struct buffer *b, uint64_t number, unsigned width)
{
    char digits[DECIMAL_DIGITS_MAX];
    size_t len = print_padded(digits, number, width);

    buffer_put(b, digits, len);
}
