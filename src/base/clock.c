/* Clock: the monotonic time that deadlines are measured on, and the wall time that people read.
 *
 * Owns the arithmetic of deadlines, which saturates instead of overflowing. Holds no timers.
 * Any thread. The calendar is computed here because gmtime_r(3) takes glibc's lock on the time
 * zone, which the workers' transcripts would then share, and printed by hand because
 * snprintf(3) costs ten times as much. */
#include "base/clock.h"

#include <limits.h>
#include <string.h>
#include <time.h>

#define SECONDS_PER_DAY 86400
#define DAYS_PER_ERA 146097 /* 400 years of the Gregorian calendar */

int64_t clock_now_ns(void)
{
    struct timespec ts;

    (void)clock_gettime(CLOCK_MONOTONIC, &ts); /* can't fail with this clock */
    return (int64_t)ts.tv_sec * CLOCK_NS_PER_S + ts.tv_nsec;
}

int64_t clock_deadline_ns(int64_t now_ns, int64_t ms)
{
    if (ms == 0) {
        return 0;
    }
    if (ms < 0) {
        return now_ns;
    }
    if (ms > (INT64_MAX - now_ns) / CLOCK_NS_PER_MS) {
        return INT64_MAX;
    }
    return now_ns + ms * CLOCK_NS_PER_MS;
}

int clock_poll_ms(int64_t now_ns, int64_t deadline_ns)
{
    uint64_t left_ns;
    uint64_t left_ms;

    if (deadline_ns == 0) {
        return -1;
    }
    if (deadline_ns <= now_ns) {
        return 0;
    }
    left_ns = (uint64_t)deadline_ns - (uint64_t)now_ns;
    left_ms = left_ns / CLOCK_NS_PER_MS + (left_ns % CLOCK_NS_PER_MS != 0);
    return left_ms > INT_MAX ? INT_MAX : (int)left_ms;
}

/* Writes value as `width` digits at p. */
static void put_digits(char *p, int value, int width)
{
    while (width-- > 0) {
        p[width] = (char)('0' + value % 10);
        value /= 10;
    }
}

void clock_print_utc(int64_t seconds, int milliseconds, char *buf, size_t cap)
{
    char text[] = "0000-00-00T00:00:00.000Z";
    int64_t days = seconds / SECONDS_PER_DAY;
    int second = (int)(seconds % SECONDS_PER_DAY);
    int era, day, year, month;

    if (second < 0) {
        second += SECONDS_PER_DAY;
        days--;
    }
    /* Years that begin on 1 March put the leap day at their end; 719468 days lie between
     * 0000-03-01 and 1970-01-01. Then month m begins at day (153 m + 2) / 5. */
    days += 719468;
    era = (int)((days >= 0 ? days : days - DAYS_PER_ERA + 1) / DAYS_PER_ERA);
    day = (int)(days - (int64_t)era * DAYS_PER_ERA);
    year = (day - day / 1460 + day / 36524 - day / (DAYS_PER_ERA - 1)) / 365;
    day -= 365 * year + year / 4 - year / 100;
    month = (5 * day + 2) / 153;
    day -= (153 * month + 2) / 5;
    put_digits(text, year + era * 400 + (month >= 10), 4);
    put_digits(text + 5, month < 10 ? month + 3 : month - 9, 2);
    put_digits(text + 8, day + 1, 2);
    put_digits(text + 11, second / 3600, 2);
    put_digits(text + 14, second / 60 % 60, 2);
    put_digits(text + 17, second % 60, 2);
    put_digits(text + 20, milliseconds, 3);
    if (cap > 0) {
        cap = cap < sizeof(text) ? cap : sizeof(text);
        memcpy(buf, text, cap - 1);
        buf[cap - 1] = '\0';
    }
}

void clock_print_wall(char *buf, size_t cap)
{
    struct timespec ts;

    (void)clock_gettime(CLOCK_REALTIME, &ts);
    clock_print_utc((int64_t)ts.tv_sec, (int)(ts.tv_nsec / CLOCK_NS_PER_MS), buf, cap);
}
