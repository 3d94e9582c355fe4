/* A spool: see spool.h. */
#include "store/spool.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/error.h"
#include "base/escape.h"
#include "store/sqlite.h"
#include "store/sqlite_internal.h"

/* No certificate's identity begins with '@'. */
#define IDENTITY "@spool"
#define SENT_IDENTITY "@sent" /* of a row that holds the highest number that may have been sent */
#define RUN_NAME IDENTITY
#define NAME_RANDOM_BYTES 16
/* Left free, so that what was answered can leave and the log be moved when all else is taken. */
#define MIN_FREE_BYTES ((uint64_t)1024 * 1024)
#define SPOOL_NAME_BYTES (sizeof("spool-") + 2 * (size_t)NAME_RANDOM_BYTES)

struct spool {
    struct store_backend *backend;
    sqlite3_stmt *next;
    sqlite3_stmt *remove;
    sqlite3_stmt *mark;
    char name[SPOOL_NAME_BYTES];
    int64_t producer;
    uint64_t last; /* the last number that was given */
    uint64_t sent; /* the highest that may have been sent */
    bool failed;   /* nothing may be written any more */
};

static sqlite3 *db_of(const struct spool *spool)
{
    return sqlite_of(spool->backend)->db;
}

static const char *path_of(const struct spool *spool)
{
    return sqlite_of(spool->backend)->file.path;
}

static enum tlsmsg_code failed(struct spool *spool, const char *doing, struct tlsmsg_error *err)
{
    spool->failed = true;
    return sqlite_db_error(db_of(spool), &sqlite_of(spool->backend)->file, TLSMSG_ERR_SYSTEM, doing,
                           err);
}

/* Random, so that no two spools meet at a server; no '~': it outlives the program. */
static enum tlsmsg_code give_name(struct spool *spool, struct tlsmsg_error *err)
{
    unsigned char random[NAME_RANDOM_BYTES];
    size_t i;
    int at = snprintf(spool->name, sizeof(spool->name), "spool-");

    if (getentropy(random, sizeof(random)) != 0) {
        return error_set(err, TLSMSG_ERR_SYSTEM, errno, "cannot get random bytes");
    }
    for (i = 0; i < sizeof(random); i++) {
        at += snprintf(spool->name + at, sizeof(spool->name) - (size_t)at, "%02x", random[i]);
    }
    return TLSMSG_OK;
}

/* The spool's own rows; false: there are none yet. */
static enum tlsmsg_code load(struct spool *spool, bool *found, struct tlsmsg_error *err)
{
    sqlite3_stmt *statement = NULL;
    int result = sqlite3_prepare_v2(
        db_of(spool),
        "SELECT own.id, own.name, own.seq, sent.seq FROM producer AS own JOIN producer AS sent"
        " ON sent.name = own.name AND sent.identity = '" SENT_IDENTITY
        "' WHERE own.identity = '" IDENTITY "'",
        -1, &statement, NULL);

    if (result == SQLITE_OK) {
        result = sqlite3_step(statement);
    }
    *found = result == SQLITE_ROW;
    if (*found) {
        const char *name = (const char *)sqlite3_column_text(statement, 1);

        spool->producer = sqlite3_column_int64(statement, 0);
        (void)snprintf(spool->name, sizeof(spool->name), "%s", name != NULL ? name : "");
        spool->last = (uint64_t)sqlite3_column_int64(statement, 2);
        spool->sent = (uint64_t)sqlite3_column_int64(statement, 3);
    }
    (void)sqlite3_finalize(statement);
    return result == SQLITE_ROW || result == SQLITE_DONE ? TLSMSG_OK : failed(spool, "read", err);
}

/* One transaction: the name where there is none, and no rows of runs that have ended. */
static enum tlsmsg_code begin(struct spool *spool, struct tlsmsg_error *err)
{
    struct sqlite_backend *store = sqlite_of(spool->backend);
    char forget[96];
    char add[256];
    bool found;
    enum tlsmsg_code code = load(spool, &found, err);

    if (code == TLSMSG_OK && !found) {
        code = give_name(spool, err);
    }
    if (code != TLSMSG_OK) {
        return code;
    }
    (void)snprintf(forget, sizeof(forget), "DELETE FROM run WHERE id < %lld",
                   (long long)store->run);
    (void)snprintf(add, sizeof(add),
                   "INSERT INTO producer(identity, name, seq, seen) VALUES('" IDENTITY
                   "', '%s', 0, 0), ('" SENT_IDENTITY "', '%s', 0, 0)",
                   spool->name, spool->name);
    if (sqlite_run(store, BEGIN) != SQLITE_OK ||
        sqlite3_exec(store->db, forget, NULL, NULL, NULL) != SQLITE_OK ||
        (!found && sqlite3_exec(store->db, add, NULL, NULL, NULL) != SQLITE_OK) ||
        sqlite_run(store, COMMIT) != SQLITE_OK) {
        return failed(spool, "write to", err);
    }
    return found ? TLSMSG_OK : load(spool, &found, err);
}

static enum tlsmsg_code prepare(struct spool *spool, struct tlsmsg_error *err)
{
    if (sqlite3_prepare_v3(db_of(spool),
                           "SELECT seq, body, hash FROM message WHERE producer = ?1 AND seq > ?2"
                           " ORDER BY seq LIMIT 1",
                           -1, SQLITE_PREPARE_PERSISTENT, &spool->next, NULL) != SQLITE_OK ||
        sqlite3_prepare_v3(db_of(spool), "DELETE FROM message WHERE producer = ?1 AND seq <= ?2",
                           -1, SQLITE_PREPARE_PERSISTENT, &spool->remove, NULL) != SQLITE_OK ||
        sqlite3_prepare_v3(db_of(spool),
                           "UPDATE producer SET seq = ?1 WHERE identity = '" SENT_IDENTITY "'", -1,
                           SQLITE_PREPARE_PERSISTENT, &spool->mark, NULL) != SQLITE_OK) {
        return failed(spool, "use", err);
    }
    return TLSMSG_OK;
}

enum tlsmsg_code spool_open(const char *path, const char *version, struct spool **out,
                            struct tlsmsg_error *err)
{
    struct spool *spool = calloc(1, sizeof(*spool));
    enum store_promise promise;
    enum tlsmsg_code code;

    if (spool == NULL) {
        return error_set(err, TLSMSG_ERR_NOMEM, 0, "out of memory");
    }
    code = sqlite_backend_open_spool(path, &spool->backend, err);
    if (code != TLSMSG_OK) {
        free(spool);
        return code;
    }
    code = spool->backend->ops->prove(spool->backend, &promise, err);
    if (code == TLSMSG_OK) {
        code = spool->backend->ops->begin_run(spool->backend, RUN_NAME, version, err);
    }
    if (code == TLSMSG_OK) {
        code = begin(spool, err);
    }
    if (code == TLSMSG_OK) {
        code = prepare(spool, err);
    }
    if (code != TLSMSG_OK) {
        spool->failed = true;
        spool_close(spool);
        return code;
    }
    *out = spool;
    return TLSMSG_OK;
}

const char *spool_producer(const struct spool *spool)
{
    return spool->name;
}

uint64_t spool_last(const struct spool *spool)
{
    return spool->last;
}

/* Each has to be there as a new one: its number was free. */
static enum tlsmsg_code count_kept(struct spool *spool, const struct store_item *items,
                                   size_t count, struct tlsmsg_error *err)
{
    size_t i;

    for (i = 0; i < count; i++) {
        if (items[i].verdict != STORE_TAKEN) {
            spool->failed = true;
            return error_set(err, TLSMSG_ERR_SYSTEM, 0,
                             "the spool was changed by another program meanwhile");
        }
    }
    spool->last += count;
    return TLSMSG_OK;
}

/* What became of a transaction that was not done. Where there was no room, the log may have some once
 * all of it is in its place: the next transaction then begins it anew. */
static enum tlsmsg_code not_written(struct spool *spool, enum store_result result,
                                    struct tlsmsg_error *err)
{
    int moved;

    if (result == STORE_RESULT_FAILED) {
        spool->failed = true;
        return TLSMSG_ERR_SYSTEM;
    }
    if (result == STORE_RESULT_AWAY) {
        return error_set(err, TLSMSG_ERR_LIMIT, 0,
                         "another program writes to the spool (try: end it)");
    }
    moved =
        sqlite3_wal_checkpoint_v2(db_of(spool), NULL, SQLITE_CHECKPOINT_PASSIVE, NULL, NULL) & 0xFF;
    if (moved != SQLITE_OK && moved != SQLITE_BUSY && moved != SQLITE_FULL) {
        return failed(spool, "checkpoint", err);
    }
    return error_set(err, TLSMSG_ERR_LIMIT, 0, "the spool has no room (try: make some)");
}

static enum tlsmsg_code append(struct spool *spool, struct store_item *items, size_t count,
                               struct store_item **list, struct tlsmsg_error *err)
{
    struct store_batch batch = {.items = list, .count = count, .take_new = true};
    enum store_result result;
    size_t i;

    for (i = 0; i < count; i++) {
        list[i] = &items[i];
    }
    result = spool->backend->ops->append(spool->backend, &batch, err);
    return result == STORE_RESULT_DONE ? count_kept(spool, items, count, err)
                                       : not_written(spool, result, err);
}

/* Moves the log to its place once it is long. */
static enum tlsmsg_code move_log(struct spool *spool, struct tlsmsg_error *err)
{
    uint64_t log_bytes;
    enum store_result result = spool->backend->ops->tidy(spool->backend, &log_bytes, err);

    return result == STORE_RESULT_DONE ? TLSMSG_OK : not_written(spool, result, err);
}

/* Whether messages may be kept: both they and what is in the log have to fit into the file, too. */
static bool has_room(const struct spool *spool, const struct spool_message *messages, size_t count)
{
    const struct sqlite_backend *store = sqlite_of(spool->backend);
    uint64_t needed = MIN_FREE_BYTES + (uint64_t)store->log_pages * (uint64_t)store->page_bytes;
    uint64_t bytes;
    size_t i;

    for (i = 0; i < count; i++) {
        needed += 2 * (uint64_t)messages[i].len;
    }
    return !spool->backend->ops->room(spool->backend, &bytes) || bytes >= needed;
}

enum tlsmsg_code spool_keep(struct spool *spool, struct spool_message *messages, size_t count,
                            bool sends, struct tlsmsg_error *err)
{
    struct sqlite_backend *store = sqlite_of(spool->backend);
    struct store_item *items = calloc(count, sizeof(*items));
    struct store_item **list = calloc(count, sizeof(struct store_item *));
    enum tlsmsg_code code;
    struct timespec now;
    size_t i;

    (void)sqlite3_reset(spool->next); /* as in spool_answered */
    if (!has_room(spool, messages, count)) {
        free(list);
        free(items);
        return not_written(spool, STORE_RESULT_NO_ROOM, err);
    }
    (void)clock_gettime(CLOCK_REALTIME, &now);
    for (i = 0; i < count && items != NULL; i++) {
        messages[i].number = spool->last + 1 + i;
        items[i] = (struct store_item){.identity = IDENTITY,
                                       .producer = spool->name,
                                       .peer = "",
                                       .hash = messages[i].hash,
                                       .body = messages[i].body,
                                       .body_len = messages[i].len,
                                       .seq = messages[i].number,
                                       .connection = 1, /* 0 is none */
                                       .time_ms = (int64_t)now.tv_sec * 1000 +
                                                  now.tv_nsec / CLOCK_NS_PER_MS};
    }
    store->also = sends ? spool->mark : NULL;
    (void)sqlite3_bind_int64(spool->mark, 1, (sqlite3_int64)spool->last + (sqlite3_int64)count);
    code = items != NULL && list != NULL ? append(spool, items, count, list, err)
                                         : error_set(err, TLSMSG_ERR_NOMEM, 0, "out of memory");
    if (code == TLSMSG_OK) {
        spool->sent = sends ? spool->last : spool->sent;
        code = move_log(spool, err);
    }
    free(list);
    free(items);
    return code;
}

enum tlsmsg_code spool_next(struct spool *spool, uint64_t after, struct spool_message *out,
                            struct tlsmsg_error *err)
{
    int result;

    (void)sqlite3_reset(spool->next);
    (void)sqlite3_bind_int64(spool->next, 1, spool->producer);
    (void)sqlite3_bind_int64(spool->next, 2, (sqlite3_int64)after);
    result = sqlite3_step(spool->next);
    *out = (struct spool_message){0};
    if (result == SQLITE_ROW) {
        out->number = (uint64_t)sqlite3_column_int64(spool->next, 0);
        out->body = sqlite3_column_blob(spool->next, 1);
        out->len = (size_t)sqlite3_column_bytes(spool->next, 1);
        out->hash = sqlite3_column_blob(spool->next, 2);
    }
    return result == SQLITE_ROW || result == SQLITE_DONE ? TLSMSG_OK : failed(spool, "read", err);
}

enum tlsmsg_code spool_answered(struct spool *spool, uint64_t number, struct tlsmsg_error *err)
{
    enum store_result result;

    /* A read that goes on would keep the log from being moved. */
    (void)sqlite3_reset(spool->next);
    (void)sqlite3_bind_int64(spool->remove, 1, spool->producer);
    (void)sqlite3_bind_int64(spool->remove, 2, (sqlite3_int64)number);
    result = sqlite_change(sqlite_of(spool->backend), spool->remove, "write to", err);
    return result == STORE_RESULT_DONE ? move_log(spool, err) : not_written(spool, result, err);
}

enum tlsmsg_code spool_will_send(struct spool *spool, struct tlsmsg_error *err)
{
    enum tlsmsg_code code = TLSMSG_OK;
    enum store_result result;

    (void)sqlite3_reset(spool->next);
    /* Without room it is tried once more, in the log that begins anew. */
    for (int i = 0; i < 2 && spool->sent != spool->last && code != TLSMSG_ERR_SYSTEM; i++) {
        (void)sqlite3_bind_int64(spool->mark, 1, (sqlite3_int64)spool->last);
        result = sqlite_change(sqlite_of(spool->backend), spool->mark, "write to", err);
        code = result == STORE_RESULT_DONE ? TLSMSG_OK : not_written(spool, result, err);
        spool->sent = code == TLSMSG_OK ? spool->last : spool->sent;
    }
    return code;
}

enum tlsmsg_code spool_meet(struct spool *spool, uint64_t last, uint64_t *first,
                            struct tlsmsg_error *err)
{
    struct spool_message message;
    char name[NAME_MAX_SHOWN];
    enum tlsmsg_code code;

    *first = 0;
    if (last > spool->sent) {
        return error_set(
            err, TLSMSG_ERR_CONFIG, 0,
            "the server has message %llu of spool '%s', which has sent up to %llu "
            "only: it was set back or copied (try: a new file; tlsmsg-store list shows "
            "what waits in this one)",
            (unsigned long long)last, escape_name(name, sizeof(name), path_of(spool)),
            (unsigned long long)spool->sent);
    }
    code = spool_next(spool, last > 0 ? last - 1 : 0, &message, err);
    *first = message.number;
    return code;
}

enum tlsmsg_code spool_waiting(struct spool *spool, uint64_t *count, struct tlsmsg_error *err)
{
    int64_t found = 0;

    if (spool->failed) {
        return error_set(err, TLSMSG_ERR_SYSTEM, 0, "the spool has failed");
    }
    if (sqlite_db_number(db_of(spool), "SELECT count(*) FROM message", &found) != SQLITE_OK) {
        return failed(spool, "read", err);
    }
    *count = (uint64_t)found;
    return TLSMSG_OK;
}

void spool_close(struct spool *spool)
{
    if (spool != NULL) {
        (void)sqlite3_finalize(spool->next);
        (void)sqlite3_finalize(spool->remove);
        (void)sqlite3_finalize(spool->mark);
        spool->backend->ops->close(spool->backend, spool->failed);
        free(spool);
    }
}
