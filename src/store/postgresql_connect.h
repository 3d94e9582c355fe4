/* Connecting to PostgreSQL without waiting for it: names are resolved, hosts tried and handshakes made
 * by a thread of their own, since libpq bounds none of these but in its waiting form. And what a
 * connection string says. */
#ifndef STORE_POSTGRESQL_CONNECT_H
#define STORE_POSTGRESQL_CONNECT_H

#include <stdbool.h>

#include <libpq-fe.h>

#include <tlsmsg/error.h>

struct pg_connecting;

/* A text that names the engine that runs, as long as it runs: two hosts may lead to one. */
#define PG_ENGINE "extract(epoch FROM pg_postmaster_start_time())::text"
#define PG_ENGINE_CHARS 32

/* What a connection is not to be: the host of this one is left out where the string has others, and
 * this engine is no result, nor is a connection that failed. */
struct pg_but {
    PGconn *connection;
    const char *engine;
};

/* Begins. target: copied. reads: a standby will do. but: NULL: all will do. NULL: no memory, or no
 * thread. */
struct pg_connecting *pg_connecting_begin(const char *target, bool reads, const struct pg_but *but);

/* Waits at most ms. True: it is finished and *connecting NULL; *out is the caller's, perhaps a failed
 * one, or NULL: no memory, or the engine that it is not to be. */
bool pg_connecting_wait(struct pg_connecting **connecting, int ms, PGconn **out);

/* Leaves it to itself: its thread closes what comes of it. NULL: nothing is done. */
void pg_connecting_abandon(struct pg_connecting *connecting);

/* Whether the string can be one, told without what it says: a password may be anywhere in it.
 * TLSMSG_OK, TLSMSG_ERR_CONFIG or TLSMSG_ERR_NOMEM. */
enum tlsmsg_code pg_target_check(const char *target, struct tlsmsg_error *err);

#endif
