/* See tally.h. Counts have their thousands set apart, as people read them; numbers of lines don't,
 * as tools take them. Pure functions. */
#include "app/client/tally.h"

#include <inttypes.h>
#include <stdarg.h>
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

__attribute__((format(printf, 3, 4))) static void add(char *buf, size_t cap, const char *format,
                                                      ...)
{
    size_t len = strlen(buf);
    va_list args;

    va_start(args, format);
    (void)vsnprintf(buf + len, cap - len, format, args);
    va_end(args);
}

static void add_open(const struct tally *tally, char *buf, size_t cap)
{
    uint64_t open = tally->sent - tally->answered;
    char count[COUNT_CHARS_MAX];

    if (open == 0) {
        return;
    }
    print_count(open, count);
    if (tally->open_first == tally->open_last) {
        add(buf, cap, ", %s without an answer (%s %" PRIu64 ")", count, tally->unit,
            tally->open_first);
    } else {
        add(buf, cap, ", %s without an answer (%ss %" PRIu64 " to %" PRIu64 ")", count, tally->unit,
            tally->open_first, tally->open_last);
    }
}

void tally_print_rest(const struct tally *tally, enum input_rest rest, uint64_t count, char *buf,
                      size_t cap)
{
    char text[COUNT_CHARS_MAX];

    buf[0] = '\0';
    if (rest == INPUT_REST_COUNTED) {
        print_count(count, text);
        add(buf, cap, "%s not sent (from %s %" PRIu64 ")", text, tally->unit, tally->next);
    } else if (rest != INPUT_REST_NONE) {
        add(buf, cap, "not sent from %s %" PRIu64, tally->unit, tally->next);
    }
}

void tally_print(const struct tally *tally, enum input_rest rest, uint64_t count, char *buf,
                 size_t cap)
{
    uint64_t known = tally->sent + tally->refused + (rest == INPUT_REST_COUNTED ? count : 0);
    char left[TALLY_TEXT_MAX];
    char text[COUNT_CHARS_MAX];

    buf[0] = '\0';
    print_count(known, text);
    add(buf, cap, "%s message%s: ", text, known == 1 ? "" : "s");
    print_count(tally->answered, text);
    add(buf, cap, "%s answered", text);
    add_open(tally, buf, cap);
    if (tally->refused > 0) {
        print_count(tally->refused, text);
        add(buf, cap, ", %s refused", text);
    }
    tally_print_rest(tally, rest, count, left, sizeof(left));
    add(buf, cap, "%s%s", left[0] != '\0' ? ", " : "", left);
}
