/* An SQLite database as the store and its tool use it: opened, known by its mark, its schema. */
#ifndef STORE_SQLITE_DB_H
#define STORE_SQLITE_DB_H

#include <stdbool.h>
#include <stdint.h>

#include <sqlite3.h>

#include <tlsmsg/error.h>

#include "store/backend.h"
#include "store/sqlite_file.h"

/* "tlsm" and "tlsp", in the header of a store and of a client's spool (PRAGMA application_id). */
#define SQLITE_DB_STORE_MARK 0x746C736D
#define SQLITE_DB_SPOOL_MARK 0x746C7370
#define SQLITE_DB_SCHEMA 1

enum sqlite_db_kind { SQLITE_DB_EMPTY, SQLITE_DB_STORE, SQLITE_DB_SPOOL };

/* Opens the file, which exists. Of it this and what follows need the names alone. Nothing of it is changed. *out is set only with TLSMSG_OK; closed by
 * sqlite3_close. */
enum tlsmsg_code sqlite_db_open(const struct sqlite_file *file, sqlite3 **out,
                                struct tlsmsg_error *err);

/* What it is: nothing yet, or ours, of a version that is known. Reads only. TLSMSG_OK or
 * TLSMSG_ERR_CONFIG. */
enum tlsmsg_code sqlite_db_identify(sqlite3 *db, const struct sqlite_file *file,
                                    enum sqlite_db_kind *kind, struct tlsmsg_error *err);

/* Refuses a store where a spool is wanted, and the other way round: what clients have sent is not to
 * be sent again, nor what waits to be sent to be served. An empty one can become either. */
enum tlsmsg_code sqlite_db_expect(const char *path, enum sqlite_db_kind kind,
                                  enum sqlite_db_kind wanted, struct tlsmsg_error *err);

/* Makes the schema in an empty database, as one transaction, and marks it as that kind. */
enum tlsmsg_code sqlite_db_create(sqlite3 *db, const struct sqlite_file *file,
                                  enum sqlite_db_kind kind, struct tlsmsg_error *err);

/* The write-ahead log, and every commit synced. */
enum tlsmsg_code sqlite_db_configure(sqlite3 *db, const struct sqlite_file *file,
                                     struct tlsmsg_error *err);

/* Asks the engine itself whether that is so. */
enum tlsmsg_code sqlite_db_prove(sqlite3 *db, const struct sqlite_file *file,
                                 struct tlsmsg_error *err);

/* Whether a store could be opened or made there, judged by its header; creates and changes nothing.
 * TLSMSG_OK, TLSMSG_ERR_CONFIG or TLSMSG_ERR_SYSTEM. */
enum tlsmsg_code sqlite_db_check(const char *path, struct tlsmsg_error *err);

/* Runs a query for one number. An SQLite result code; SQLITE_DONE: there was no row. */
int sqlite_db_number(sqlite3 *db, const char *sql, int64_t *value);

/* Records what SQLite says about its last failed call on db. Returns code. */
enum tlsmsg_code sqlite_db_error(sqlite3 *db, const struct sqlite_file *file, enum tlsmsg_code code,
                                 const char *doing, struct tlsmsg_error *err);

#endif
