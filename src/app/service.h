/* The service manager's protocol: sockets it passes in, and what it wants to be told.
 *
 * Spoken directly (sd_listen_fds(3), sd_notify(3)), without a library: it is three environment
 * variables and a datagram. Without a manager all of it does nothing. Main thread only. */
#ifndef APP_SERVICE_H
#define APP_SERVICE_H

#include <stdbool.h>
#include <stdint.h>

/* Sockets that the manager passes start at this descriptor (SD_LISTEN_FDS_START). */
#define SERVICE_FIRST_FD 3

struct service {
    int notify_fd;           /* connected datagram socket, -1 without a manager */
    int64_t watchdog_ns;     /* how often to say that all is well; 0: never */
    int64_t next_beat_ns;    /* when next */
    unsigned passed_sockets; /* from SERVICE_FIRST_FD on, close-on-exec */
};

/* Reads the environment and opens the notify socket, which a sandbox would forbid later. The
 * variables are removed, so that nothing started later takes them for its own. */
void service_open(struct service *service);
void service_close(struct service *service);

/* Sends one datagram of assignments, such as "READY=1\nSTATUS=serving". Failures are ignored: a
 * manager that is gone must not take the server with it. */
void service_notify(const struct service *service, const char *format, ...)
    __attribute__((format(printf, 2, 3)));

/* RELOADING=1 with the time that systemd wants beside it; READY=1 ends it. */
void service_notify_reloading(const struct service *service);

/* Says WATCHDOG=1 when it is time. Returns when it will be next, 0 for never. */
int64_t service_beat(struct service *service, int64_t now_ns);

#endif
