/* What the files of the store by SQLite share. */
#ifndef STORE_SQLITE_INTERNAL_H
#define STORE_SQLITE_INTERNAL_H

#include "store/batch.h"
#include "store/sqlite_db.h"
#include "store/sqlite_file.h"

enum statement {
    BEGIN,
    COMMIT,
    ROLLBACK,
    PRODUCER_GET,
    PRODUCER_ADD,
    PRODUCER_SET,
    MESSAGE_ADD,
    MESSAGE_HASH,
    LAST_ID,
    FREE_PAGES,
    OLDEST,
    PRUNE,
    FORGET,
    STATEMENTS
};

struct sqlite_backend {
    struct store_backend base;
    struct sqlite_file file;
    sqlite3 *db;
    sqlite3_stmt *statements[STATEMENTS];
    sqlite3_stmt *also; /* run in each batch's transaction; NULL: nothing */
    struct batch_producers producers;
    enum sqlite_db_kind kind; /* what it is to be */
    int64_t run;
    int64_t page_bytes;
    int checkpoint_pages;
    int log_pages; /* of the write-ahead log, after the last commit */
};

static inline struct sqlite_backend *sqlite_of(struct store_backend *backend)
{
    return (struct sqlite_backend *)backend;
}

/* ---- sqlite_statements.c */

/* Prepares all statements. */
enum tlsmsg_code sqlite_prepare(struct sqlite_backend *store, struct tlsmsg_error *err);

/* Runs a statement that gives no row, and makes it ready again. */
int sqlite_run(struct sqlite_backend *store, enum statement which);

/* The same for a query of one number; 0 where it is NULL. */
int sqlite_ask(struct sqlite_backend *store, enum statement which, int64_t *value);

/* Begins to write. SQLITE_BUSY: another program does, and nothing was begun. */
int sqlite_begin(struct sqlite_backend *store);

/* What a failed transaction means: STORE_RESULT_NO_ROOM where it is proved undone, else
 * STORE_RESULT_FAILED. last_id: of the messages, before it. */
enum store_result sqlite_give_up(struct sqlite_backend *store, int result, int64_t last_id,
                                 const char *doing, struct tlsmsg_error *err);

/* Runs a statement, whose parameters are bound, in a transaction of its own. STORE_RESULT_AWAY:
 * another program writes. */
enum store_result sqlite_change(struct sqlite_backend *store, sqlite3_stmt *statement,
                                const char *doing, struct tlsmsg_error *err);

/* Records SQLite's words. Returns STORE_RESULT_FAILED. */
enum store_result sqlite_failed(struct sqlite_backend *store, const char *doing,
                                struct tlsmsg_error *err);

/* ---- sqlite_upkeep.c: see struct store_backend_ops */

bool sqlite_room(struct store_backend *backend, uint64_t *bytes);
enum store_result sqlite_prune(struct store_backend *backend, int64_t before_ms, unsigned limit,
                               unsigned *deleted, struct tlsmsg_error *err);
enum store_result sqlite_forget(struct store_backend *backend, int64_t before_ms, unsigned limit,
                                unsigned *forgotten, struct tlsmsg_error *err);
enum store_result sqlite_tidy(struct store_backend *backend, uint64_t *log_bytes,
                              struct tlsmsg_error *err);

#endif
