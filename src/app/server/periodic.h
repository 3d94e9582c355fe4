/* What the main thread of a running server does from time to time: the service manager's
 * watchdog, the metrics file, the daily look at the certificates. */
#ifndef APP_SERVER_PERIODIC_H
#define APP_SERVER_PERIODIC_H

#include <tlsmsg/server.h>

#include "app/server/log.h"
#include "app/server/storing.h"
#include "app/server/systemd.h"

struct periodic {
    struct systemd *systemd;            /* borrowed */
    const struct tlsmsg_server *server; /* borrowed */
    struct log *log;                    /* borrowed */
    struct storing *storing;            /* borrowed; NULL: nothing is stored */
    const char *metrics_file;           /* borrowed; NULL: none is written */
    int64_t metrics_due_ns;
    bool metrics_failed; /* was told; the next success ends it */
    int64_t started_unix_s;
    int64_t warned_unix_s; /* when certificates were warned about last, or could have been */
};

/* Begins now. */
void periodic_init(struct periodic *periodic, struct systemd *systemd,
                   const struct tlsmsg_server *server, struct log *log, struct storing *storing,
                   const char *metrics_file);

/* Does what is due. Returns when to call again (monotonic clock), 0 for no reason to; the
 * certificates are looked at whenever it is called, and wake nobody. */
int64_t periodic_run(struct periodic *periodic, int64_t now_ns);

/* The library has just warned about certificates. */
void periodic_reloaded(struct periodic *periodic);

/* Writes the metrics a last time. */
void periodic_end(struct periodic *periodic);

/* ---- certificates that end soon */

/* Days before a certificate's end from which on it is warned about. */
#define PERIODIC_EXPIRY_DAYS 30

/* True when a day has passed since the last warning, or the last occasion for one (the library
 * warns at start and on reload), and the certificate has under PERIODIC_EXPIRY_DAYS left or is past.
 * All times are wall clock, seconds since the epoch. expiry_unix_s: 0 for no certificate.
 * *last_unix_s becomes now when the answer is true, and when the clock was set back behind it. */
bool periodic_expiry_is_due(int64_t expiry_unix_s, int64_t *last_unix_s, int64_t now_unix_s);

/* The warning, NUL-terminated. */
void periodic_print_expiry(int64_t expiry_unix_s, int64_t now_unix_s, char *buf, size_t cap);

#endif
