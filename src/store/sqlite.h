/* The store in a file, by SQLite. */
#ifndef STORE_SQLITE_H
#define STORE_SQLITE_H

#include "store/backend.h"

/* Pages in the log from which on it is moved to its place after a batch. */
#define SQLITE_CHECKPOINT_PAGES 1000

/* Opens or makes the file and locks it. path: borrowed. out: owned, ended by its close.
 * TLSMSG_OK, TLSMSG_ERR_CONFIG, TLSMSG_ERR_SYSTEM or TLSMSG_ERR_NOMEM. */
enum tlsmsg_code sqlite_backend_open(const char *path, int checkpoint_pages,
                                     struct store_backend **out, struct tlsmsg_error *err);

/* The same for a client's spool. */
enum tlsmsg_code sqlite_backend_open_spool(const char *path, struct store_backend **out,
                                           struct tlsmsg_error *err);

/* Opens an existing store beside the server that uses it, for prune alone; to be closed as one that
 * has failed, since its log is the server's. Codes as above. */
enum tlsmsg_code sqlite_backend_join(const char *path, struct store_backend **out,
                                     struct tlsmsg_error *err);

#endif
