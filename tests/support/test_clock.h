/* A monotonic clock that a test can put forward, so that no test sleeps through a timeout.
 *
 * Needs WRAP clock_now_ns clock_since_boot_ns in tests/unit/CMakeLists.txt. Any thread. */
#ifndef SUPPORT_TEST_CLOCK_H
#define SUPPORT_TEST_CLOCK_H

#include <stdint.h>

/* From now on only the calls below move the clock: deadlines can be told to the nanosecond. */
void test_clock_stop(void);

/* From now on the clock is later by ms more. */
void test_clock_advance(int64_t ms);

/* As if the machine had slept: only clock_since_boot_ns is later by ms more, and no deadline of a
 * peer's steps has passed. */
void test_clock_sleep(int64_t ms);

#endif
