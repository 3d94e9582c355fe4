/* A connection to a scripted engine, which a test's statements go over. */
#ifndef SUPPORT_FAKE_DB_H
#define SUPPORT_FAKE_DB_H

#include "support/fake_store.h"

/* What stands in errors: the engine is late, or its connection is lost. */
#define FAKE_LATE_TEXT "the store's engine has not answered in time (does it wait for a standby?)"
#define FAKE_LOST_TEXT "the store's engine: " FAKE_LOST

extern struct pg_db db;
extern struct tlsmsg_error err;
extern int patience; /* of whoever waits for the engine: how often it may still be asked */

/* No connection yet, to this target; and, for teardowns, none any more. */
int fake_db_begin(const char *target);
int fake_db_end(void **state);

#endif
