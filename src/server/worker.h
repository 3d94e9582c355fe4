/* A worker: one thread with a loop, its conversations, and what they share. */
#ifndef SERVER_WORKER_H
#define SERVER_WORKER_H

#include "server/internal.h"

/* Prepares a worker. The listeners' descriptors are borrowed from the server. */
enum tlsmsg_code worker_init(struct worker *w, struct tlsmsg_server *server, unsigned index,
                             struct tlsmsg_error *err);
void worker_fini(struct worker *w);

/* The thread's function; arg is the worker. */
void *worker_run(void *arg);

#endif
