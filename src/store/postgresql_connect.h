/* Connecting to PostgreSQL without waiting for it: names are resolved, hosts tried and handshakes made
 * by a thread of their own, since libpq bounds none of these but in its waiting form. And what a
 * connection string says. */
#ifndef STORE_POSTGRESQL_CONNECT_H
#define STORE_POSTGRESQL_CONNECT_H

#include <stdbool.h>

#include <libpq-fe.h>

#include <tlsmsg/error.h>

struct pg_connecting;

/* Begins. target: copied. reads: a standby will do. elsewhere: a connection whose host is left out
 * where the string has others; NULL: none is. NULL: no memory, or no thread. */
struct pg_connecting *pg_connecting_begin(const char *target, bool reads, PGconn *elsewhere);

/* Waits at most ms. True: it is finished and *connecting NULL; *out is the caller's, perhaps a failed
 * one, or NULL without memory. */
bool pg_connecting_wait(struct pg_connecting **connecting, int ms, PGconn **out);

/* Leaves it to itself: its thread closes what comes of it. NULL: nothing is done. */
void pg_connecting_abandon(struct pg_connecting *connecting);

/* Whether the string can be one, told without what it says: a password may be anywhere in it.
 * TLSMSG_OK, TLSMSG_ERR_CONFIG or TLSMSG_ERR_NOMEM. */
enum tlsmsg_code pg_target_check(const char *target, struct tlsmsg_error *err);

#endif
