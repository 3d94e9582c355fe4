/* Values: from text to number, and what a text must hold.
 *
 * Owns how numbers and seconds are written and the words of the errors about them; keeps
 * nothing. Pure functions, any thread. Digits are read by hand, because strtoll(3) and strtod(3)
 * take blanks, signs, hexadecimal, exponents and the locale's decimal point as well. */
#include "options/value.h"

#include <inttypes.h>
#include <string.h>

#include "base/error.h"
#include "base/escape.h"
#include "base/utf8.h"

#define SHOWN_MAX 160             /* bytes of a wrong value that an error shows */
#define SATURATED 100000000000000 /* above every range, and times 1000 still an int64_t */

/* Reads decimal digits (perhaps none) into *out, saturating; returns what follows them. */
static const char *read_digits(const char *p, int64_t *out)
{
    *out = 0;
    while (*p >= '0' && *p <= '9') {
        if (*out < SATURATED) {
            *out = *out * 10 + (*p - '0');
        }
        p++;
    }
    return p;
}

static bool parse_number(const char *text, int64_t *out)
{
    const char *end = read_digits(text, out);

    return end != text && *end == '\0';
}

/* "2", "2.5", ".5" to milliseconds, rounded up: a time that is not 0 must not become 0, which
 * means none. */
static bool parse_seconds(const char *text, int64_t *out_ms)
{
    int64_t unit = 100;
    bool has_rest = false;
    const char *p = read_digits(text, out_ms);

    *out_ms *= 1000;
    if (*p != '.') {
        return p != text && *p == '\0';
    }
    p++;
    if (*p == '\0') {
        return false;
    }
    for (; *p >= '0' && *p <= '9'; p++) {
        *out_ms += unit * (*p - '0');
        has_rest = has_rest || (unit == 0 && *p != '0');
        unit /= 10;
    }
    *out_ms += has_rest;
    return *p == '\0';
}

static bool parse_tls_version(const char *text, int64_t *out)
{
    if (strcmp(text, "1.2") == 0 || strcmp(text, "1.3") == 0) {
        *out = 10 + (text[2] - '0');
        return true;
    }
    return false;
}

static enum tlsmsg_code wrong(const struct option_row *row, const char *text,
                              struct tlsmsg_error *err)
{
    char shown[SHOWN_MAX];

    (void)escape_name(shown, sizeof(shown), text);
    switch (row->kind) {
    case KIND_MILLIS:
        return error_set(err, TLSMSG_ERR_CONFIG, 0,
                         "%s wants seconds from %" PRId64 " to %" PRId64 ", such as 2.5, not '%s'",
                         row->label, row->min / 1000, row->max / 1000, shown);
    case KIND_FLAG:
        return error_set(err, TLSMSG_ERR_CONFIG, 0, "%s wants 1 or 0, not '%s'", row->label, shown);
    case KIND_TLS_MIN:
        return error_set(err, TLSMSG_ERR_CONFIG, 0, "%s wants 1.2 or 1.3, not '%s'", row->label,
                         shown);
    default:
        return error_set(err, TLSMSG_ERR_CONFIG, 0,
                         "%s wants a number from %" PRId64 " to %" PRId64 ", not '%s'", row->label,
                         row->min, row->max, shown);
    }
}

enum tlsmsg_code value_parse(const struct option_row *row, const char *text, int64_t *out,
                             struct tlsmsg_error *err)
{
    bool good;

    switch (row->kind) {
    case KIND_MILLIS:
        good = parse_seconds(text, out);
        break;
    case KIND_TLS_MIN:
        good = parse_tls_version(text, out);
        break;
    default:
        good = parse_number(text, out);
        break;
    }
    if (!good || *out < row->min || *out > row->max) {
        return wrong(row, text, err);
    }
    return TLSMSG_OK;
}

enum tlsmsg_code value_check_number(const struct option_row *row, int64_t number,
                                    struct tlsmsg_error *err)
{
    if (number >= row->min && number <= row->max) {
        return TLSMSG_OK;
    }
    return error_set(err, TLSMSG_ERR_CONFIG, 0,
                     "%s wants %s from %" PRId64 " to %" PRId64 ", not %" PRId64, row->label,
                     row->kind == KIND_MILLIS ? "milliseconds" : "a number", row->min, row->max,
                     number);
}

/* Names with other than ASCII travel as their xn-- form, which no library function of ours
 * makes; a silent guess would verify another name than the one that was typed. */
static enum tlsmsg_code check_domain(const struct option_row *row, const char *text,
                                     struct tlsmsg_error *err)
{
    char shown[SHOWN_MAX];
    const char *p;

    for (p = text; *p > ' ' && *p < 0x7F; p++) {
    }
    if (*p == '\0') {
        return TLSMSG_OK;
    }
    (void)escape_name(shown, sizeof(shown), text);
    if (!utf8_is_valid(text, strlen(text))) {
        return error_set(err, TLSMSG_ERR_CONFIG, 0, "%s: '%s' is not valid UTF-8", row->label,
                         shown);
    }
    return error_set(err, TLSMSG_ERR_CONFIG, 0,
                     "%s: '%s' holds other than ASCII letters, digits and signs"
                     " (give such a name in its xn-- form)",
                     row->label, shown);
}

static enum tlsmsg_code check_reply(const struct option_row *row, const char *text,
                                    struct tlsmsg_error *err)
{
    const size_t placeholder_len = sizeof(VALUE_PLACEHOLDER) - 1;
    const char *first = strstr(text, VALUE_PLACEHOLDER);
    size_t len = strlen(text);
    char shown[SHOWN_MAX];

    (void)escape_name(shown, sizeof(shown), text);
    if (!utf8_is_valid(text, len)) {
        return error_set(err, TLSMSG_ERR_CONFIG, 0, "%s wants valid UTF-8, not '%s'", row->label,
                         shown);
    }
    if (first == NULL || strstr(first + placeholder_len, VALUE_PLACEHOLDER) != NULL) {
        return error_set(err, TLSMSG_ERR_CONFIG, 0,
                         "%s wants " VALUE_PLACEHOLDER " exactly once, not as in '%s'", row->label,
                         shown);
    }
    if (len - placeholder_len > VALUE_REPLY_MAX_BYTES) {
        return error_set(err, TLSMSG_ERR_CONFIG, 0,
                         "%s wants at most %d bytes beside " VALUE_PLACEHOLDER ", not %zu",
                         row->label, VALUE_REPLY_MAX_BYTES, len - placeholder_len);
    }
    return TLSMSG_OK;
}

enum tlsmsg_code value_check_text(const struct option_row *row, const char *text,
                                  struct tlsmsg_error *err)
{
    if (text[0] == '\0') {
        return error_set(err, TLSMSG_ERR_CONFIG, 0, "%s wants a value that is not empty",
                         row->label);
    }
    switch (row->text) {
    case TEXT_DOMAIN:
        return check_domain(row, text, err);
    case TEXT_REPLY:
        return check_reply(row, text, err);
    default:
        return TLSMSG_OK;
    }
}
