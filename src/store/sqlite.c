/* The store by SQLite: a write-ahead log that is synced at each commit, one transaction a batch. The
 * commit thread. */
#include "store/sqlite.h"

#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "base/error.h"
#include "store/sqlite_internal.h"

#define BUSY_MS 200
#define START_BUSY_MS 5000

static int64_t now_ms(void)
{
    struct timespec now;

    (void)clock_gettime(CLOCK_REALTIME, &now);
    return (int64_t)now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

static int find_producer(struct sqlite_backend *store, struct batch_producer *producer)
{
    sqlite3_stmt *statement = store->statements[PRODUCER_GET];
    int result;

    (void)sqlite3_bind_text(statement, 1, producer->identity, -1, SQLITE_STATIC);
    (void)sqlite3_bind_text(statement, 2, producer->name, -1, SQLITE_STATIC);
    result = sqlite3_step(statement);
    if (result == SQLITE_ROW) {
        producer->id = sqlite3_column_int64(statement, 0);
        producer->seq = (uint64_t)sqlite3_column_int64(statement, 1);
        producer->seen = sqlite3_column_int64(statement, 2);
        result = SQLITE_DONE;
    }
    (void)sqlite3_reset(statement);
    return result == SQLITE_DONE ? SQLITE_OK : result;
}

static int add_producer(struct sqlite_backend *store, struct batch_producer *producer)
{
    sqlite3_stmt *statement = store->statements[PRODUCER_ADD];
    int result;

    (void)sqlite3_bind_text(statement, 1, producer->identity, -1, SQLITE_STATIC);
    (void)sqlite3_bind_text(statement, 2, producer->name, -1, SQLITE_STATIC);
    result = sqlite_run(store, PRODUCER_ADD);
    if (result == SQLITE_OK) {
        producer->id = sqlite3_last_insert_rowid(store->db);
    }
    return result;
}

/* Whether the stored message of that number has the item's bytes. A row that was pruned is told
 * by its number alone. */
static int compare(struct sqlite_backend *store, const struct batch_producer *producer,
                   const struct store_item *item, bool *same)
{
    sqlite3_stmt *statement = store->statements[MESSAGE_HASH];
    int result;

    *same = true;
    (void)sqlite3_bind_int64(statement, 1, producer->id);
    (void)sqlite3_bind_int64(statement, 2, (sqlite3_int64)item->seq);
    result = sqlite3_step(statement);
    if (result == SQLITE_ROW) {
        const void *hash = sqlite3_column_blob(statement, 0);
        int bytes = sqlite3_column_bytes(statement, 0);

        *same = item->hash == NULL
                    ? bytes == 0
                    : bytes == STORE_HASH_BYTES && memcmp(hash, item->hash, STORE_HASH_BYTES) == 0;
        result = SQLITE_DONE;
    }
    (void)sqlite3_reset(statement);
    return result == SQLITE_DONE ? SQLITE_OK : result;
}

static int add_message(struct sqlite_backend *store, const struct batch_producer *producer,
                       const struct store_item *item)
{
    sqlite3_stmt *statement = store->statements[MESSAGE_ADD];

    (void)sqlite3_bind_int64(statement, 1, item->time_ms);
    (void)sqlite3_bind_int64(statement, 2, store->run);
    (void)sqlite3_bind_int64(statement, 3, (sqlite3_int64)item->connection);
    (void)sqlite3_bind_text(statement, 4, item->peer, -1, SQLITE_STATIC);
    (void)sqlite3_bind_int64(statement, 5, producer->id);
    (void)sqlite3_bind_int64(statement, 6, (sqlite3_int64)item->seq);
    if (item->hash != NULL) {
        (void)sqlite3_bind_blob(statement, 7, item->hash, STORE_HASH_BYTES, SQLITE_STATIC);
    } else {
        (void)sqlite3_bind_null(statement, 7);
    }
    (void)sqlite3_bind_blob64(statement, 8, item->body, item->body_len, SQLITE_STATIC);
    return sqlite_run(store, MESSAGE_ADD);
}

/* A message whose number the producer has not had yet. */
static int decide_new(struct sqlite_backend *store, struct batch_producer *producer,
                      struct store_item *item, bool take_new)
{
    int result = SQLITE_OK;

    /* Behind a number that is undecided nothing is taken: else that one would pass for taken. */
    if (producer->refused == item->connection || (item->seq != producer->seq + 1 && !item->jumps)) {
        item->verdict = STORE_AWAY;
        return SQLITE_OK;
    }
    if (!take_new) {
        item->verdict = STORE_NO_ROOM;
        return SQLITE_OK;
    }
    if (producer->id == 0) {
        result = add_producer(store, producer);
    }
    if (result == SQLITE_OK) {
        result = add_message(store, producer, item);
    }
    if (result == SQLITE_OK) {
        producer->seq = item->seq;
        item->verdict = STORE_TAKEN;
    }
    return result;
}

static int decide(struct sqlite_backend *store, struct store_item *item, bool take_new)
{
    bool fresh;
    bool same;
    struct batch_producer *producer =
        batch_producers_get(&store->producers, item->identity, item->producer, &fresh);
    int result = fresh ? find_producer(store, producer) : SQLITE_OK;

    if (result == SQLITE_OK && item->seq == 0) {
        item->verdict = STORE_TAKEN;
    } else if (result == SQLITE_OK && item->seq > producer->seq) {
        result = decide_new(store, producer, item, take_new);
    } else if (result == SQLITE_OK) {
        result = compare(store, producer, item, &same);
        item->verdict = same ? STORE_DUPLICATE : STORE_OTHER_BYTES;
        if (!same) {
            producer->refused = item->connection;
        }
    }
    item->last = producer->seq;
    return result;
}

/* Every producer that is in the store is written, also where nothing new came: what was only
 * visible so far (a crash may have left it so) is durable once this is. SQLite leaves a page alone
 * whose bytes stay the same, so `seen` always grows. */
static int write_producers(struct sqlite_backend *store, int64_t now)
{
    sqlite3_stmt *statement = store->statements[PRODUCER_SET];
    int result = SQLITE_OK;
    size_t i;

    for (i = 0; i < store->producers.capacity && result == SQLITE_OK; i++) {
        const struct batch_producer *producer = &store->producers.places[i];

        if (producer->identity == NULL || producer->id == 0) {
            continue;
        }
        (void)sqlite3_bind_int64(statement, 1, producer->id);
        (void)sqlite3_bind_int64(statement, 2, (sqlite3_int64)producer->seq);
        (void)sqlite3_bind_int64(statement, 3, now > producer->seen ? now : producer->seen + 1);
        result = sqlite_run(store, PRODUCER_SET);
    }
    return result;
}

static enum store_result sqlite_append(struct store_backend *backend, struct store_batch *batch,
                                       struct tlsmsg_error *err)
{
    struct sqlite_backend *store = sqlite_of(backend);
    int64_t last_id = 0;
    size_t i;
    int result;

    if (!batch_producers_begin(&store->producers, batch->count)) {
        (void)error_set(err, TLSMSG_ERR_NOMEM, 0, "out of memory");
        return STORE_RESULT_FAILED;
    }
    result = sqlite_begin(store);
    if (result == SQLITE_BUSY) {
        return STORE_RESULT_AWAY;
    }
    if (result == SQLITE_OK) {
        result = sqlite_ask(store, LAST_ID, &last_id);
    }
    for (i = 0; i < batch->count && result == SQLITE_OK; i++) {
        result = decide(store, batch->items[i], batch->take_new);
    }
    if (result == SQLITE_OK) {
        result = write_producers(store, now_ms());
    }
    if (result == SQLITE_OK && store->also != NULL) {
        result = sqlite3_step(store->also);
        (void)sqlite3_reset(store->also);
        result = result == SQLITE_DONE ? SQLITE_OK : result;
    }
    if (result == SQLITE_OK) {
        result = sqlite_run(store, COMMIT);
    }
    if (result != SQLITE_OK) {
        return sqlite_give_up(store, result, last_id, "write to", err);
    }
    return sqlite_file_in_place(&store->file, err) == TLSMSG_OK ? STORE_RESULT_DONE
                                                                : STORE_RESULT_FAILED;
}

/* Called by SQLite after each commit, with the log's length. */
static int note_log(void *user, sqlite3 *db, const char *schema_name, int pages)
{
    struct sqlite_backend *store = user;

    (void)db;
    (void)schema_name;
    store->log_pages = pages;
    return SQLITE_OK;
}

static enum tlsmsg_code sqlite_prove(struct store_backend *backend, enum store_promise *promise,
                                     struct tlsmsg_error *err)
{
    struct sqlite_backend *store = sqlite_of(backend);

    *promise = STORE_PROMISE_DISK;
    return sqlite_db_prove(store->db, &store->file, err);
}

/* Makes the log what it seems to be. What a crash has left there may be in the machine's memory
 * alone; were it moved to its place as it is, a cut in the middle would leave half of it there and
 * no log to mend it from. The transaction keeps other writers away. */
static enum tlsmsg_code harden_log(struct sqlite_backend *store, struct tlsmsg_error *err)
{
    enum tlsmsg_code code;

    if (sqlite_run(store, BEGIN) != SQLITE_OK) {
        return sqlite_db_error(store->db, &store->file, TLSMSG_ERR_SYSTEM, "recover", err);
    }
    code = sqlite_file_rewrite_log(&store->file, err);
    if (sqlite_run(store, ROLLBACK) != SQLITE_OK && code == TLSMSG_OK) {
        code = sqlite_db_error(store->db, &store->file, TLSMSG_ERR_SYSTEM, "recover", err);
    }
    return code;
}

/* Empties the log, so that nothing is left that is visible only. */
static enum tlsmsg_code settle_log(struct sqlite_backend *store, struct tlsmsg_error *err)
{
    int frames = 0;
    int moved = 0;
    enum tlsmsg_code code = harden_log(store, err);
    int result;

    if (code != TLSMSG_OK) {
        return code;
    }
    result =
        sqlite3_wal_checkpoint_v2(store->db, NULL, SQLITE_CHECKPOINT_TRUNCATE, &frames, &moved);
    (void)sqlite3_busy_timeout(store->db, BUSY_MS);
    if ((result & 0xFF) == SQLITE_BUSY || (result == SQLITE_OK && frames != moved)) {
        return error_set(err, TLSMSG_ERR_SYSTEM, 0,
                         "another program keeps a transaction open in the %s, which can't be "
                         "recovered meanwhile (try: end it)",
                         store->file.what);
    }
    if (result != SQLITE_OK) {
        return sqlite_db_error(store->db, &store->file, TLSMSG_ERR_SYSTEM, "recover", err);
    }
    return TLSMSG_OK;
}

static enum tlsmsg_code sqlite_begin_run(struct store_backend *backend, const char *name,
                                         const char *version, struct tlsmsg_error *err)
{
    struct sqlite_backend *store = sqlite_of(backend);
    sqlite3_stmt *statement = NULL;
    enum tlsmsg_code code = settle_log(store, err);
    int result;

    if (code != TLSMSG_OK) {
        return code;
    }
    result = sqlite3_prepare_v2(
        store->db, "INSERT INTO run(name, time, version) VALUES(?1, ?2, ?3)", -1, &statement, NULL);
    if (result == SQLITE_OK) {
        (void)sqlite3_bind_text(statement, 1, name, -1, SQLITE_STATIC);
        (void)sqlite3_bind_int64(statement, 2, now_ms());
        (void)sqlite3_bind_text(statement, 3, version, -1, SQLITE_STATIC);
        result = sqlite3_step(statement);
    }
    if (result != SQLITE_DONE) {
        code = sqlite_db_error(store->db, &store->file, TLSMSG_ERR_SYSTEM, "write to", err);
    }
    store->run = sqlite3_last_insert_rowid(store->db);
    (void)sqlite3_finalize(statement);
    sqlite_file_note_log(&store->file);
    /* Only now the log has its name, and the journal of a creation has lost its own. */
    return code == TLSMSG_OK ? sqlite_file_sync_folder(&store->file, err) : code;
}

static void sqlite_close(struct store_backend *backend, bool has_failed)
{
    struct sqlite_backend *store = sqlite_of(backend);
    size_t i;

    for (i = 0; i < STATEMENTS; i++) {
        (void)sqlite3_finalize(store->statements[i]);
    }
    if (has_failed && store->db != NULL) {
        (void)sqlite3_db_config(store->db, SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, 1, NULL);
    }
    (void)sqlite3_close(store->db);
    sqlite_file_close(&store->file);
    batch_producers_fini(&store->producers);
    free(store);
}

static const struct store_backend_ops sqlite_ops = {
    .prove = sqlite_prove,
    .begin_run = sqlite_begin_run,
    .append = sqlite_append,
    .room = sqlite_room,
    .prune = sqlite_prune,
    .forget = sqlite_forget,
    .tidy = sqlite_tidy,
    .close = sqlite_close,
};

static enum tlsmsg_code prepare(struct sqlite_backend *store, bool joins, struct tlsmsg_error *err)
{
    const char *path = store->file.path;
    enum sqlite_db_kind kind = SQLITE_DB_EMPTY;
    enum tlsmsg_code code = sqlite_db_open(&store->file, &store->db, err);

    if (code == TLSMSG_OK && !sqlite_file_is_same(&store->file)) {
        code = error_set(err, TLSMSG_ERR_CONFIG, 0, "the %s was replaced while it was opened",
                         store->file.what);
    }
    if (code == TLSMSG_OK) {
        (void)sqlite3_busy_timeout(store->db, START_BUSY_MS);
        code = sqlite_db_identify(store->db, &store->file, &kind, err);
    }
    if (code == TLSMSG_OK) {
        code = sqlite_db_expect(path, kind, store->kind, err);
    }
    if (code == TLSMSG_OK && kind == SQLITE_DB_EMPTY && joins) {
        code = error_set(err, TLSMSG_ERR_CONFIG, 0, "the store is empty (try: tlsmsg-store init)");
    } else if (code == TLSMSG_OK && kind == SQLITE_DB_EMPTY) {
        code = sqlite_db_create(store->db, &store->file, store->kind, err);
    }
    if (code == TLSMSG_OK) {
        code = sqlite_db_configure(store->db, &store->file, err);
    }
    if (code == TLSMSG_OK && kind == SQLITE_DB_EMPTY) {
        code = sqlite_file_sync_folder(&store->file, err);
    }
    if (code == TLSMSG_OK) {
        code = sqlite_prepare(store, err);
    }
    if (code == TLSMSG_OK &&
        sqlite_db_number(store->db, "PRAGMA page_size", &store->page_bytes) != SQLITE_OK) {
        code = sqlite_db_error(store->db, &store->file, TLSMSG_ERR_SYSTEM, "read", err);
    }
    return code;
}

static enum tlsmsg_code open_backend(const char *path, enum sqlite_db_kind kind,
                                     int checkpoint_pages, bool joins, struct store_backend **out,
                                     struct tlsmsg_error *err)
{
    struct sqlite_backend *store = calloc(1, sizeof(*store));
    enum tlsmsg_code code;

    if (store == NULL) {
        return error_set(err, TLSMSG_ERR_NOMEM, 0, "out of memory");
    }
    store->base.ops = &sqlite_ops;
    store->file = SQLITE_FILE_CLOSED;
    store->kind = kind;
    store->checkpoint_pages = checkpoint_pages;
    code = sqlite_file_open(&store->file, path, kind == SQLITE_DB_SPOOL ? "spool" : "store", !joins,
                            err);
    if (code == TLSMSG_OK && kind == SQLITE_DB_SPOOL) {
        code = sqlite_file_expect_own(&store->file, err);
    }
    if (code == TLSMSG_OK && !joins) {
        code = sqlite_file_lock(&store->file, err);
    }
    if (code == TLSMSG_OK) {
        code = prepare(store, joins, err);
    }
    if (code != TLSMSG_OK) {
        sqlite_close(&store->base, true);
        return code;
    }
    (void)sqlite3_wal_hook(store->db, note_log, store);
    *out = &store->base;
    return TLSMSG_OK;
}

enum tlsmsg_code sqlite_backend_open(const char *path, int checkpoint_pages,
                                     struct store_backend **out, struct tlsmsg_error *err)
{
    return open_backend(path, SQLITE_DB_STORE, checkpoint_pages, false, out, err);
}

enum tlsmsg_code sqlite_backend_open_spool(const char *path, struct store_backend **out,
                                           struct tlsmsg_error *err)
{
    return open_backend(path, SQLITE_DB_SPOOL, SQLITE_CHECKPOINT_PAGES, false, out, err);
}

enum tlsmsg_code sqlite_backend_join(const char *path, struct store_backend **out,
                                     struct tlsmsg_error *err)
{
    return open_backend(path, SQLITE_DB_STORE, SQLITE_CHECKPOINT_PAGES, true, out, err);
}
