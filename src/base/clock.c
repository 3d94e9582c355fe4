/* Clock: the monotonic time that deadlines are measured on, and the wall time that people read.
 *
 * Owns the arithmetic of deadlines, which saturates instead of overflowing. Holds no timers.
 * Any thread. Digits are printed by hand, because snprintf(3) costs ten times as much; gmtime_r(3)
 * takes glibc's lock on the time zone, so who prints for each message keeps the text for a
 * millisecond. */
#include "base/clock.h"

#include <limits.h>
#include <string.h>
#include <time.h>

int64_t clock_now_ns(void)
{
    struct timespec ts;

    (void)clock_gettime(CLOCK_MONOTONIC, &ts); /* can't fail with this clock */
    return (int64_t)ts.tv_sec * CLOCK_NS_PER_S + ts.tv_nsec;
}

int64_t clock_since_boot_ns(void)
{
    struct timespec ts;

    (void)clock_gettime(CLOCK_BOOTTIME, &ts);
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

int64_t clock_earlier_ns(int64_t a_ns, int64_t b_ns)
{
    if (a_ns == 0 || b_ns == 0) {
        return a_ns == 0 ? b_ns : a_ns;
    }
    return a_ns < b_ns ? a_ns : b_ns;
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
    time_t time = (time_t)seconds;
    struct tm tm = {0};

    if (cap == 0) {
        return;
    }
    (void)gmtime_r(&time, &tm); /* fails only for years that need more than 32 bits */
    put_digits(text, tm.tm_year + 1900, 4);
    put_digits(text + 5, tm.tm_mon + 1, 2);
    put_digits(text + 8, tm.tm_mday, 2);
    put_digits(text + 11, tm.tm_hour, 2);
    put_digits(text + 14, tm.tm_min, 2);
    put_digits(text + 17, tm.tm_sec, 2);
    put_digits(text + 20, milliseconds, 3);
    cap = cap < sizeof(text) ? cap : sizeof(text);
    memcpy(buf, text, cap - 1);
    buf[cap - 1] = '\0';
}

void clock_print_wall(char *buf, size_t cap)
{
    struct timespec ts;

    (void)clock_gettime(CLOCK_REALTIME, &ts);
    clock_print_utc((int64_t)ts.tv_sec, (int)(ts.tv_nsec / CLOCK_NS_PER_MS), buf, cap);
}
