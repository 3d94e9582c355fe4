/* What all workers of a server share.
 *
 * Immutable after tlsmsg_server_new, except: the configuration of new
 * connections (replaced whole on reload, under its lock), and atomics. The
 * server owns the listening sockets; workers borrow them. */
#ifndef SERVER_SERVER_STATE_H
#define SERVER_SERVER_STATE_H

#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include <tlsmsg/server.h>

#include "options/options.h"
#include "server/admission.h"
#include "server/worker.h"

/* How far the server has come; it only grows. */
enum server_phase {
    SERVER_RUNNING,
    SERVER_FULL,     /* the accept budget is used up: no more connections */
    SERVER_STOPPING, /* asked to stop: conversations end in order */
    SERVER_FAILED    /* the handler failed: everything ends at once */
};

struct server_listener {
    int fd;
    char text[ADDRESS_TEXT_MAX];
};

struct server {
    struct tlsmsg_options *options; /* a copy, which the settings borrow from */
    struct server_settings settings;
    struct tlsmsg_handler handler;

    struct server_listener listeners[WORKER_LISTENERS_MAX];
    size_t listener_count;
    struct worker *workers;
    unsigned worker_count;
    unsigned started; /* threads to join */
    int done_fd;      /* base/wake.h, readable once the last worker has ended */

    pthread_mutex_t config_lock;
    struct transport_config *config;
    atomic_uint config_generation;

    struct admission admission;
    atomic_uint_fast64_t taken;
    atomic_uint_fast64_t next_id;
    atomic_uint running;   /* workers that have not ended */
    atomic_uint listening; /* workers that have not left the listeners for good */
    atomic_int phase;
    atomic_bool undelivered; /* a reply could not be delivered while stopping */
};

/* Moves the phase forward, never back, and wakes all workers. Async-signal-safe. */
void server_advance(struct server *server, enum server_phase phase);

/* A worker has left the listening sockets for good; the last one closes them, so that clients
 * are refused rather than left waiting. */
void server_leave_listeners(struct server *server);

/* A reference to the configuration of new connections, and its generation. */
struct transport_config *server_config(struct server *server, unsigned *generation);

#endif
