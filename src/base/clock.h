/* The monotonic clock. Deadlines are absolute points on it, in nanoseconds; 0 means none. */
#ifndef BASE_CLOCK_H
#define BASE_CLOCK_H

#include <stddef.h>
#include <stdint.h>

#define CLOCK_NS_PER_MS 1000000
#define CLOCK_NS_PER_S 1000000000
#define CLOCK_S_PER_DAY 86400
#define CLOCK_DATE_CHARS 10 /* of the texts below: "2026-11-22" */

/* Nanoseconds since an arbitrary start (clock_gettime(2), CLOCK_MONOTONIC). */
int64_t clock_now_ns(void);

/* The same, and it goes on while the machine sleeps (CLOCK_BOOTTIME): for what another machine
 * measures as well. Not to be compared with clock_now_ns. */
int64_t clock_since_boot_ns(void);

/* now + ms as a deadline; 0 (none) when ms is 0. */
int64_t clock_deadline_ns(int64_t now_ns, int64_t ms);

/* The earlier of two deadlines, of which 0 is none. */
int64_t clock_earlier_ns(int64_t a_ns, int64_t b_ns);

/* Milliseconds until a deadline for poll(2): rounded up, 0 when past, -1 for none. */
int clock_poll_ms(int64_t now_ns, int64_t deadline_ns);

/* Wall-clock time as "2026-11-22T15:00:00.123Z" (RFC 3339, UTC); cap >= 25. */
void clock_print_wall(char *buf, size_t cap);

/* As above for a given time: seconds since 1970 (years 0 to 9999) and 0 to 999 milliseconds. */
void clock_print_utc(int64_t seconds, int milliseconds, char *buf, size_t cap);

#endif
