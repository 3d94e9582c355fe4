/* Statements of the store by SQLite, and what it means when one fails: only SQLITE_FULL with a proved
 * rollback is "no room", a lock that another program holds before anything was written is "away",
 * all else has failed. The commit thread. */
#include "base/error.h"
#include "store/sqlite_internal.h"

static const char *const statements[STATEMENTS] = {
    [BEGIN] = "BEGIN IMMEDIATE",
    [COMMIT] = "COMMIT",
    [ROLLBACK] = "ROLLBACK",
    [PRODUCER_GET] = "SELECT id, seq, seen FROM producer WHERE identity = ?1 AND name = ?2",
    [PRODUCER_ADD] = "INSERT INTO producer(identity, name, seq, seen) VALUES(?1, ?2, 0, 0)",
    [PRODUCER_SET] = "UPDATE producer SET seq = ?2, seen = ?3 WHERE id = ?1",
    [MESSAGE_ADD] = ("INSERT INTO message(time, run, connection, peer, producer, seq, hash, body)"
                     " VALUES(?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8)"),
    [MESSAGE_HASH] = "SELECT hash FROM message WHERE producer = ?1 AND seq = ?2",
    [LAST_ID] = "SELECT max(id) FROM message",
    [FREE_PAGES] = "PRAGMA freelist_count",
    [OLDEST] = "SELECT id, time, length(body) FROM message ORDER BY id LIMIT ?1",
    [PRUNE] = "DELETE FROM message WHERE id <= ?1",
    /* One that messages still name stays, or nobody could tell any more who sent them. */
    [FORGET] = ("DELETE FROM producer WHERE id IN (SELECT id FROM producer"
                " WHERE (name >= '~' OR name >= '@' AND name < 'A') AND seen < ?1 AND NOT EXISTS"
                " (SELECT 1 FROM message WHERE message.producer = producer.id) LIMIT ?2)"),
};

enum tlsmsg_code sqlite_prepare(struct sqlite_backend *store, struct tlsmsg_error *err)
{
    size_t i;

    for (i = 0; i < STATEMENTS; i++) {
        if (sqlite3_prepare_v3(store->db, statements[i], -1, SQLITE_PREPARE_PERSISTENT,
                               &store->statements[i], NULL) != SQLITE_OK) {
            return sqlite_db_error(store->db, &store->file, TLSMSG_ERR_CONFIG, "use", err);
        }
    }
    return TLSMSG_OK;
}

enum store_result sqlite_failed(struct sqlite_backend *store, const char *doing,
                                struct tlsmsg_error *err)
{
    (void)sqlite_db_error(store->db, &store->file, TLSMSG_ERR_SYSTEM, doing, err);
    return STORE_RESULT_FAILED;
}

/* Runs a statement that gives no row, and makes it ready again. */
int sqlite_run(struct sqlite_backend *store, enum statement which)
{
    sqlite3_stmt *statement = store->statements[which];
    int result = sqlite3_step(statement);

    (void)sqlite3_reset(statement);
    return result == SQLITE_DONE || result == SQLITE_ROW ? SQLITE_OK : result;
}

/* The same for a query of one number; 0 where it is NULL. */
int sqlite_ask(struct sqlite_backend *store, enum statement which, int64_t *value)
{
    sqlite3_stmt *statement = store->statements[which];
    int result = sqlite3_step(statement);

    if (result == SQLITE_ROW) {
        *value = sqlite3_column_int64(statement, 0);
        result = SQLITE_OK;
    }
    (void)sqlite3_reset(statement);
    return result;
}

int sqlite_begin(struct sqlite_backend *store)
{
    int result = sqlite_run(store, BEGIN);

    return (result & 0xFF) == SQLITE_BUSY ? SQLITE_BUSY : result;
}

/* After SQLITE_FULL: nothing of the transaction may be there, and the engine has to say so. */
static enum store_result prove_rollback(struct sqlite_backend *store, int64_t last_id,
                                        struct tlsmsg_error *err)
{
    int64_t now_last_id = -1;

    if (sqlite3_get_autocommit(store->db) == 0 && sqlite_run(store, ROLLBACK) != SQLITE_OK) {
        return sqlite_failed(store, "roll back in", err);
    }
    if (sqlite3_get_autocommit(store->db) == 0 ||
        sqlite3_txn_state(store->db, NULL) != SQLITE_TXN_NONE ||
        sqlite_ask(store, LAST_ID, &now_last_id) != SQLITE_OK || now_last_id != last_id) {
        (void)error_set(err, TLSMSG_ERR_SYSTEM, 0,
                        "the %s is full, and what was begun there can't be proved undone",
                        store->file.what);
        return STORE_RESULT_FAILED;
    }
    return STORE_RESULT_NO_ROOM;
}

/* What a failed transaction means. The error is recorded before ROLLBACK says something else. */
enum store_result sqlite_give_up(struct sqlite_backend *store, int result, int64_t last_id,
                                 const char *doing, struct tlsmsg_error *err)
{
    if ((result & 0xFF) == SQLITE_FULL) {
        return prove_rollback(store, last_id, err);
    }
    return sqlite_failed(store, doing, err);
}

enum store_result sqlite_change(struct sqlite_backend *store, sqlite3_stmt *statement,
                                const char *doing, struct tlsmsg_error *err)
{
    int64_t last_id = 0;
    int result = sqlite_begin(store);

    if (result == SQLITE_BUSY) {
        return STORE_RESULT_AWAY;
    }
    if (result == SQLITE_OK) {
        result = sqlite_ask(store, LAST_ID, &last_id);
    }
    if (result == SQLITE_OK) {
        result = sqlite3_step(statement);
        (void)sqlite3_reset(statement);
        result = result == SQLITE_DONE ? sqlite_run(store, COMMIT) : result;
    }
    return result == SQLITE_OK ? STORE_RESULT_DONE
                               : sqlite_give_up(store, result, last_id, doing, err);
}
