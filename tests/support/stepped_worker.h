/* A server's worker on the test's own thread.
 *
 * ld's --wrap=loop_wait puts this in the place where the worker waits: while
 * there is something to do it goes on, and where it would wait the test's
 * peers act instead. So a test sees the same order of events in every run,
 * and a worker that spins or that nobody can wake is a failed assertion. */
#ifndef SUPPORT_STEPPED_WORKER_H
#define SUPPORT_STEPPED_WORKER_H

#include <stdbool.h>

#include "server/internal.h"

/* The peers act; the worker has nothing to do. False: neither have they. */
typedef bool stepped_idle(void *user);

enum stepped_end {
    STEPPED_ENDED, /* the worker came to its end by itself */
    STEPPED_STUCK, /* it waited, and nobody had anything to do */
    STEPPED_SPUN   /* too many turns */
};

/* A server of one worker that has left its listeners: only what is adopted becomes a conversation.
 * options: its own, and freed here; NULL, having said why on stderr, where there can't be one. */
struct tlsmsg_server *stepped_server_new(struct tlsmsg_options *options,
                                         const struct tlsmsg_handler *handler);
void stepped_server_free(struct tlsmsg_server *server);

/* Makes the worker as new, before each run. False: no descriptors or memory. */
bool stepped_begin(struct tlsmsg_server *server);

/* Gives the worker a connected, non-blocking socket, as if it had accepted it. False, and the
 * socket is closed: refused or no memory. */
bool stepped_adopt(struct tlsmsg_server *server, int fd);

/* Gives the worker one end of a new pair of sockets. Returns the other end, the caller's, or -1. */
int stepped_connect(struct tlsmsg_server *server);

/* Runs the worker to its end, of a server made here or by tlsmsg_server_new with one worker and not
 * started. patience_ms: how long the real world (TCP, timers) may still bring something where
 * nobody has anything to do; 0: there is none. turns_max: bound of the turns. Where it doesn't
 * end by itself it is made to fail as a handler can. */
enum stepped_end stepped_run(struct tlsmsg_server *server, stepped_idle *idle, void *user,
                             int patience_ms, unsigned long turns_max);

/* Turns of the worker in the run that is on, or in the last one. */
unsigned long stepped_turns(void);

/* How long the worker would wait in the turn that is on, as loop_wait's. */
int stepped_timeout_ms(void);

#endif
