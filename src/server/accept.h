/* Accepting: from the shared listening sockets into a worker's table. Owning worker's thread. */
#ifndef SERVER_ACCEPT_H
#define SERVER_ACCEPT_H

#include "server/internal.h"

/* Connections taken from one listener in one iteration, before the running ones have theirs. */
#define ACCEPT_BATCH 32
/* How long a worker leaves the listeners when descriptors are out or others have less to do. */
#define ACCEPT_PAUSE_MS 100

/* Puts the listeners into the worker's loop. False when the kernel refuses. */
bool accept_begin(struct worker *w);

/* For good: no more connections come to this worker. */
void accept_stop(struct worker *w);

/* A listener is readable. */
void accept_ready(struct worker *w, struct loop_watch *watch);

/* The pause is over when its time has come. */
void accept_resume(struct worker *w);

/* When the server stops: takes those that have connected already, which closing would reset. Not of
 * a passed socket, whose keeper gives them to the next server. */
void accept_last(struct worker *w);

#endif
