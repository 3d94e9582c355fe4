/* See tally.h. Counts have their thousands set apart, as people read them; numbers of lines don't,
 * as tools take them. Pure functions. */
#include "app/client/tally.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#define COUNT_CHARS_MAX 32 /* bytes of a count with its commas */

void tally_init(struct tally *tally, const char *unit)
{
    *tally = (struct tally){.unit = unit, .next = 1};
}

void tally_sent(struct tally *tally, uint64_t number)
{
    if (tally->sent == tally->answered) {
        tally->open_first = number;
    }
    tally->sent++;
    tally->open_last = number;
    tally->next = number + 1;
}

void tally_answered(struct tally *tally, uint64_t number)
{
    tally->answered++;
    tally->open_first = number;
}

void tally_passed(struct tally *tally, uint64_t number, bool refused)
{
    tally->refused += refused;
    tally->next = number + 1;
}

static void print_count(uint64_t count, char out[COUNT_CHARS_MAX])
{
    char digits[COUNT_CHARS_MAX];
    size_t len = (size_t)snprintf(digits, sizeof(digits), "%" PRIu64, count);
    size_t used = 0;

    for (size_t i = 0; i < len; i++) {
        if (i > 0 && (len - i) % 3 == 0) {
            out[used++] = ',';
        }
        out[used++] = digits[i];
    }
    out[used] = '\0';
}

/* ", 1 without an answer (line 19)", or nothing. */
static void print_open(const struct tally *tally, char *buf, size_t cap)
{
    uint64_t open = tally->sent - tally->answered;
    char count[COUNT_CHARS_MAX];

    print_count(open, count);
    if (open == 0) {
        buf[0] = '\0';
    } else if (tally->keeps) {
        (void)snprintf(buf, cap, ", %s kept", count);
    } else if (tally->open_first == tally->open_last) {
        (void)snprintf(buf, cap, ", %s without an answer (%s %" PRIu64 ")", count, tally->unit,
                       tally->open_first);
    } else {
        (void)snprintf(buf, cap, ", %s without an answer (%ss %" PRIu64 " to %" PRIu64 ")", count,
                       tally->unit, tally->open_first, tally->open_last);
    }
}

void tally_print_rest(const struct tally *tally, enum input_rest rest, uint64_t count, char *buf,
                      size_t cap)
{
    const char *done = tally->keeps ? "kept" : "sent";
    char text[COUNT_CHARS_MAX];

    if (rest == INPUT_REST_COUNTED) {
        print_count(count, text);
        (void)snprintf(buf, cap, "%s not %s (from %s %" PRIu64 ")", text, done, tally->unit,
                       tally->next);
    } else if (rest == INPUT_REST_NONE) {
        buf[0] = '\0';
    } else {
        (void)snprintf(buf, cap, "not %s from %s %" PRIu64, done, tally->unit, tally->next);
    }
}

void tally_print(const struct tally *tally, enum input_rest rest, uint64_t count, char *buf,
                 size_t cap)
{
    uint64_t known = tally->sent + tally->refused + (rest == INPUT_REST_COUNTED ? count : 0);
    char messages[COUNT_CHARS_MAX], answered[COUNT_CHARS_MAX], refused[COUNT_CHARS_MAX];
    char open[TALLY_TEXT_MAX];
    char left[TALLY_TEXT_MAX];

    print_count(known, messages);
    print_count(tally->answered, answered);
    print_count(tally->refused, refused);
    print_open(tally, open, sizeof(open));
    tally_print_rest(tally, rest, count, left, sizeof(left));
    (void)snprintf(buf, cap, "%s message%s: %s answered%s%s%s%s%s%s", messages,
                   known == 1 ? "" : "s", answered, open, tally->refused > 0 ? ", " : "",
                   tally->refused > 0 ? refused : "", tally->refused > 0 ? " refused" : "",
                   left[0] != '\0' ? ", " : "", left);
}
