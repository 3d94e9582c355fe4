/* Decimal numbers, read and written. Digits alone: strtoll(3) and strtod(3) take blanks, signs,
 * hexadecimal, exponents and the locale's decimal point as well, and snprintf(3) costs ten times
 * as much where every message has numbers. Pure functions, any thread. */
#ifndef BASE_DECIMAL_H
#define BASE_DECIMAL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/buffer.h"

#define DECIMAL_DIGITS_MAX 20 /* of any 64-bit number */

/* Reads the digits at the begin of a text (perhaps none), saturating at UINT64_MAX.
 * Returns how many bytes they are. */
size_t decimal_digits(const char *text, size_t len, uint64_t *out);

/* Reads a text that is digits and nothing else, from min to max. False: *out is as it was. */
bool decimal_parse(const char *text, size_t len, uint64_t min, uint64_t max, uint64_t *out);

/* Reads "2", "2.5" or ".5" as a whole number of 10^-places: seconds to milliseconds with places 3.
 * Rounded up, since a time that is not 0 must not become 0; saturates at UINT64_MAX.
 * False: it is not such a number, *out is as it was. */
bool decimal_parse_scaled(const char *text, size_t len, unsigned places, uint64_t *out);

/* Prints a number, without a NUL. Returns the bytes written. */
size_t decimal_print(char out[DECIMAL_DIGITS_MAX], uint64_t number);

/* Appends a number, for which DECIMAL_DIGITS_MAX bytes must be reserved. */
void decimal_put(struct buffer *b, uint64_t number);

/* As decimal_put, with zeros in front up to `width` <= DECIMAL_DIGITS_MAX digits. */
void decimal_put_padded(struct buffer *b, uint64_t number, unsigned width);

#endif
