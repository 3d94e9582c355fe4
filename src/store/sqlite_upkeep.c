/* What the store by SQLite does beside taking messages: how much room there is, pruning in small
 * steps, forgetting producers, moving the log to its place. The commit thread. */
#include "store/sqlite_internal.h"

#include <sys/statvfs.h>

#define FRAME_HEADER_BYTES 24 /* of each page in the log */
#define PRUNE_STEP_BYTES ((int64_t)4 * 1024 * 1024)

bool sqlite_room(struct store_backend *backend, uint64_t *bytes)
{
    struct sqlite_backend *store = sqlite_of(backend);
    struct statvfs system;
    int64_t pages = 0;

    if (fstatvfs(store->file.fd, &system) != 0 ||
        sqlite_ask(store, FREE_PAGES, &pages) != SQLITE_OK) {
        return false;
    }
    *bytes = (uint64_t)system.f_bavail * system.f_frsize + (uint64_t)(pages * store->page_bytes);
    return true;
}

/* The last of the oldest messages that one step deletes: those before the first younger one, so
 * that what is left has no hole; 0 where none is due. */
static int oldest(struct sqlite_backend *store, int64_t before_ms, unsigned limit, int64_t *up_to)
{
    sqlite3_stmt *statement = store->statements[OLDEST];
    int64_t bytes = 0;
    int result;

    *up_to = 0;
    (void)sqlite3_bind_int64(statement, 1, limit);
    while ((result = sqlite3_step(statement)) == SQLITE_ROW && bytes < PRUNE_STEP_BYTES &&
           sqlite3_column_int64(statement, 1) < before_ms) {
        *up_to = sqlite3_column_int64(statement, 0);
        bytes += sqlite3_column_int64(statement, 2);
    }
    (void)sqlite3_reset(statement);
    return result == SQLITE_ROW || result == SQLITE_DONE ? SQLITE_OK : result;
}

enum store_result sqlite_prune(struct store_backend *backend, int64_t before_ms, unsigned limit,
                               unsigned *deleted, struct tlsmsg_error *err)
{
    struct sqlite_backend *store = sqlite_of(backend);
    sqlite3_stmt *statement = store->statements[PRUNE];
    enum store_result done;
    int64_t up_to = 0;
    int result = oldest(store, before_ms, limit, &up_to);

    *deleted = 0;
    if (result == SQLITE_BUSY) {
        return STORE_RESULT_AWAY;
    }
    if (result != SQLITE_OK) {
        return sqlite_give_up(store, result, 0, "prune", err);
    }
    if (up_to == 0) {
        return STORE_RESULT_DONE; /* nothing is due, and so nothing is locked */
    }
    (void)sqlite3_bind_int64(statement, 1, up_to);
    done = sqlite_change(store, statement, "prune", err);
    *deleted = done == STORE_RESULT_DONE ? (unsigned)sqlite3_changes(store->db) : 0;
    return done;
}

enum store_result sqlite_forget(struct store_backend *backend, int64_t before_ms, unsigned limit,
                                unsigned *forgotten, struct tlsmsg_error *err)
{
    struct sqlite_backend *store = sqlite_of(backend);
    sqlite3_stmt *statement = store->statements[FORGET];
    enum store_result done;

    (void)sqlite3_bind_int64(statement, 1, before_ms);
    (void)sqlite3_bind_int64(statement, 2, limit);
    done = sqlite_change(store, statement, "forget producers in", err);
    *forgotten = done == STORE_RESULT_DONE ? (unsigned)sqlite3_changes(store->db) : 0;
    return done;
}

enum store_result sqlite_tidy(struct store_backend *backend, uint64_t *log_bytes,
                              struct tlsmsg_error *err)
{
    struct sqlite_backend *store = sqlite_of(backend);
    int result = SQLITE_OK;

    *log_bytes = (uint64_t)store->log_pages * (uint64_t)(store->page_bytes + FRAME_HEADER_BYTES);
    if (store->log_pages >= store->checkpoint_pages) {
        result = sqlite3_wal_checkpoint_v2(store->db, NULL, SQLITE_CHECKPOINT_PASSIVE, NULL, NULL);
    }
    /* A file that can't grow leaves all of it in the log, where it is as durable. */
    if (result == SQLITE_OK || (result & 0xFF) == SQLITE_BUSY || (result & 0xFF) == SQLITE_FULL) {
        return STORE_RESULT_DONE;
    }
    return sqlite_failed(store, "checkpoint", err);
}
