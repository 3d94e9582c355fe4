/* The commands on a store in PostgreSQL. */
#ifndef APP_STORE_DATABASE_H
#define APP_STORE_DATABASE_H

#include "app/store/options.h"

/* Runs the command. *faults: how many verify has found. TLSMSG_OK, or a code with its cause; a build
 * without PostgreSQL refuses. */
enum tlsmsg_code database_run(const struct store_options_taken *taken, uint64_t *faults,
                              struct tlsmsg_error *err);

#endif
