/* A token bucket: a burst at once, then as much as time gives back.
 *
 * The whole state is when the bucket will be full again. All zero is a full bucket. The owner
 * guards it where several threads ask. */
#ifndef BASE_RATELIMIT_H
#define BASE_RATELIMIT_H

#include <stdbool.h>
#include <stdint.h>

struct ratelimit {
    int64_t full_ns; /* on the monotonic clock; past: full */
};

/* Takes one token, which time gives back in cost_ns; a full bucket holds burst_ns worth of them.
 * False: too few are left, and none is taken. */
static inline bool ratelimit_take(struct ratelimit *limit, int64_t now_ns, int64_t cost_ns,
                                  int64_t burst_ns)
{
    int64_t full_ns = limit->full_ns > now_ns ? limit->full_ns : now_ns;

    if (full_ns - now_ns > burst_ns - cost_ns) {
        return false;
    }
    limit->full_ns = full_ns + cost_ns;
    return true;
}

/* True where the bucket says nothing any more that a new one doesn't. */
static inline bool ratelimit_is_full(const struct ratelimit *limit, int64_t now_ns)
{
    return limit->full_ns <= now_ns;
}

#endif
