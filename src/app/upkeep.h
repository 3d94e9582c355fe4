/* What the main thread of a running server does from time to time: the service manager's
 * watchdog, the metrics file, the daily look at the certificates. */
#ifndef APP_UPKEEP_H
#define APP_UPKEEP_H

#include <tlsmsg/server.h>

#include "app/log.h"
#include "app/service.h"

struct upkeep {
    struct service *service;            /* borrowed */
    const struct tlsmsg_server *server; /* borrowed */
    struct log *log;                    /* borrowed */
    const char *metrics_file;           /* borrowed; NULL: none is written */
    int64_t metrics_due_ns;
    bool metrics_failed; /* was told; the next success ends it */
    int64_t started_unix_s;
    int64_t warned_unix_s; /* when certificates were warned about last, or could have been */
};

/* Begins now. */
void upkeep_init(struct upkeep *upkeep, struct service *service, const struct tlsmsg_server *server,
                 struct log *log, const char *metrics_file);

/* Does what is due. Returns when to call again (monotonic clock), 0 for no reason to; the
 * certificates are looked at whenever it is called, and wake nobody. */
int64_t upkeep_turn(struct upkeep *upkeep, int64_t now_ns);

/* The library has just warned about certificates. */
void upkeep_reloaded(struct upkeep *upkeep);

/* Writes the metrics a last time. */
void upkeep_end(struct upkeep *upkeep);

#endif
