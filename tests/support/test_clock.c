/* See test_clock.h. */
#include "support/test_clock.h"

#include <stdatomic.h>

#include "base/clock.h"

static _Atomic int64_t ahead_ns;
static _Atomic int64_t asleep_ns;
static _Atomic int64_t stopped_ns; /* 0: the clock goes */

int64_t __real_clock_now_ns(void);
int64_t __wrap_clock_now_ns(void);

int64_t __wrap_clock_now_ns(void)
{
    int64_t stopped = atomic_load(&stopped_ns);

    return (stopped != 0 ? stopped : __real_clock_now_ns()) + atomic_load(&ahead_ns);
}

int64_t __real_clock_since_boot_ns(void);
int64_t __wrap_clock_since_boot_ns(void);

int64_t __wrap_clock_since_boot_ns(void)
{
    int64_t stopped = atomic_load(&stopped_ns);

    return (stopped != 0 ? stopped : __real_clock_since_boot_ns()) + atomic_load(&ahead_ns) +
           atomic_load(&asleep_ns);
}

void test_clock_stop(void)
{
    atomic_store(&stopped_ns, __real_clock_now_ns());
}

void test_clock_advance(int64_t ms)
{
    (void)atomic_fetch_add(&ahead_ns, ms * CLOCK_NS_PER_MS);
}

void test_clock_sleep(int64_t ms)
{
    (void)atomic_fetch_add(&asleep_ns, ms * CLOCK_NS_PER_MS);
}
