/* A monotonic clock that stands still until a test moves it, and sleeps that take no time: what is due
 * when is told to the nanosecond, and no test waits for it.
 *
 * Needs WRAP clock_now_ns nanosleep pthread_cond_timedwait in tests/unit/CMakeLists.txt. For one
 * thread that sleeps, and others that look at it. */
#ifndef SUPPORT_STILL_CLOCK_H
#define SUPPORT_STILL_CLOCK_H

#include <stdint.h>

/* Back to its start; nothing has slept. */
void still_clock_reset(void);

/* From now on the clock is later by ms more; whoever waits for that wakes up. */
void still_clock_advance(int64_t ms);

/* Milliseconds since the reset. */
int64_t still_clock_ms(void);

/* Waits until the thread sleeps on its condition and knows what time it is. Returns until when it
 * sleeps, in nanoseconds since the reset. */
int64_t still_clock_rest(void);

/* How often nanosleep(2) was called, and for how many nanoseconds in all; each moves the clock. */
unsigned still_clock_naps(int64_t *total_ns);

#endif
