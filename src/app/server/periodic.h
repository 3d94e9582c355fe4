/* What the main thread of a running server does from time to time: the service manager's
 * watchdog, the metrics file, the daily look at what ends. */
#ifndef APP_SERVER_PERIODIC_H
#define APP_SERVER_PERIODIC_H

#include <tlsmsg/server.h>

#include "app/server/keeper.h"
#include "app/server/log.h"
#include "app/server/storing.h"
#include "app/server/systemd.h"

struct periodic {
    struct systemd *systemd;            /* borrowed */
    const struct tlsmsg_server *server; /* borrowed */
    struct log *log;                    /* borrowed */
    struct storing *storing;            /* borrowed; NULL: nothing is stored */
    struct keeper *keeper;              /* borrowed; it writes the metrics, if any */
    int64_t metrics_due_ns;
    bool metrics_failed;     /* was told; the next success ends it, and is told */
    int64_t metrics_tell_ns; /* when it is told again */
    int64_t started_unix_s;
    int64_t warned_unix_s;   /* when all that ends was told of last, or could have been */
    int64_t told_unix_s;     /* ... or what came near its end since */
    int64_t next_end_unix_s; /* when there is more to tell; 0: never */
};

/* Begins now. */
void periodic_init(struct periodic *periodic, struct systemd *systemd,
                   const struct tlsmsg_server *server, struct log *log, struct storing *storing,
                   struct keeper *keeper);

/* Does what is due. Returns when to call again (monotonic clock), 0 for no reason to; the
 * what ends is looked at whenever it is called, and wakes nobody before its last minute. */
int64_t periodic_run(struct periodic *periodic, int64_t now_ns);

/* The library has just told of what ends. */
void periodic_reloaded(struct periodic *periodic);

/* Writes the metrics a last time. */
void periodic_end(struct periodic *periodic);

/* ---- what ends soon: certificates, issuers, CAs, revocation lists */

/* True when a day has passed. Wall clock, seconds since the epoch. last_unix_s: when all was told
 * last, which becomes now when the clock was set back behind it. */
bool periodic_day_is_over(int64_t *last_unix_s, int64_t now_unix_s);

#endif
