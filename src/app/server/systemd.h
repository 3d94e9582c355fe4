/* The service manager's protocol: sockets it passes in, and what it wants to be told.
 *
 * Spoken directly (sd_listen_fds(3), sd_notify(3)), without a library: it is three environment
 * variables and a datagram. Without a manager all of it does nothing. Main thread only. */
#ifndef APP_SERVER_SYSTEMD_H
#define APP_SERVER_SYSTEMD_H

#include <stdbool.h>
#include <stdint.h>

/* Sockets that the manager passes start at this descriptor (SD_LISTEN_FDS_START). */
#define SYSTEMD_FIRST_FD 3

struct systemd {
    int notify_fd;           /* connected datagram socket, -1 without a manager */
    int64_t watchdog_ns;     /* how often to say that all is well; 0: never */
    int64_t next_beat_ns;    /* when next */
    unsigned passed_sockets; /* from SYSTEMD_FIRST_FD on, close-on-exec */
};

/* Reads the environment and opens the notify socket, which a sandbox would forbid later. The
 * variables are removed, so that nothing started later takes them for its own. */
void systemd_open(struct systemd *systemd);
void systemd_close(struct systemd *systemd);

/* Sends one datagram of assignments, such as "READY=1\nSTATUS=serving". Failures are ignored: a
 * manager that is gone must not take the server with it. */
void systemd_notify(const struct systemd *systemd, const char *format, ...)
    __attribute__((format(printf, 2, 3)));

/* RELOADING=1 with the time that systemd wants beside it; READY=1 ends it. */
void systemd_notify_reloading(const struct systemd *systemd);

/* Says WATCHDOG=1 when it is time. Returns when it will be next, 0 for never. */
int64_t systemd_watchdog(struct systemd *systemd, int64_t now_ns);

#endif
