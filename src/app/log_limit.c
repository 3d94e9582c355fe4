/* Log limit: see log_limit.h. Pure; the log's lock guards it. */
#include "app/log_limit.h"

#include "base/clock.h"

#define REFILL_NS ((int64_t)LOG_LIMIT_REFILL_MS * CLOCK_NS_PER_MS)

static void refill(struct log_limit *limit, int64_t now_ns)
{
    int64_t gained;

    if (limit->refilled_ns == 0) {
        limit->tokens = LOG_LIMIT_BURST;
        limit->refilled_ns = now_ns;
        return;
    }
    gained = (now_ns - limit->refilled_ns) / REFILL_NS;
    if (gained >= (int64_t)(LOG_LIMIT_BURST - limit->tokens)) {
        limit->tokens = LOG_LIMIT_BURST;
        limit->refilled_ns = now_ns;
    } else if (gained > 0) {
        limit->tokens += (unsigned)gained;
        limit->refilled_ns += gained * REFILL_NS;
    }
}

void log_limit_lost(struct log_limit *limit, int level, int64_t now_ns)
{
    if (limit->left_out == 0) {
        limit->left_out_ns = now_ns;
        limit->worst = level;
    }
    limit->left_out++;
    if (level < limit->worst) {
        limit->worst = level;
    }
}

bool log_limit_allow(struct log_limit *limit, int level, int64_t now_ns)
{
    refill(limit, now_ns);
    if (limit->tokens == 0) {
        log_limit_lost(limit, level, now_ns);
        return false;
    }
    limit->tokens--;
    return true;
}

int64_t log_limit_due_ns(const struct log_limit *limit)
{
    if (limit->left_out == 0) {
        return 0;
    }
    return limit->left_out_ns + (int64_t)LOG_LIMIT_SUMMARY_MS * CLOCK_NS_PER_MS;
}

void log_limit_told(struct log_limit *limit)
{
    limit->left_out = 0;
    limit->left_out_ns = 0;
}
