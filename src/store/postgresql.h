/* The store by PostgreSQL: one database for any number of servers. */
#ifndef STORE_POSTGRESQL_H
#define STORE_POSTGRESQL_H

#include "store/backend.h"

/* Connects to what a string of libpq names, and makes the schema where it is missing and that is
 * granted. *out: closed by its own close. TLSMSG_OK, TLSMSG_ERR_CONFIG, TLSMSG_ERR_SYSTEM or
 * TLSMSG_ERR_NOMEM. */
enum tlsmsg_code postgresql_backend_open(const char *target, struct store_backend **out,
                                         struct tlsmsg_error *err);

/* Connects and proves the engine's settings; changes nothing. Codes as above. */
enum tlsmsg_code postgresql_check(const char *target, struct tlsmsg_error *err);

/* See store_reach. */
enum tlsmsg_code postgresql_reach(const char *target, const char *home, struct store_reach *reach,
                                  struct tlsmsg_error *err);

#endif
