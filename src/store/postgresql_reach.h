/* Which files and ports a connection string leads to: what it says, else the environment, else the
 * defaults of libpq (https://www.postgresql.org/docs/current/libpq-connect.html). */
#ifndef STORE_POSTGRESQL_REACH_H
#define STORE_POSTGRESQL_REACH_H

#include "store/store.h"

/* target: one that libpq can read. False: no memory. */
bool pg_reach(const char *target, const char *home, struct store_reach *reach);

#endif
