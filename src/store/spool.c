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

/* No certificate's identity begins with '@', so that no server's store has this one. */
#define IDENTITY "@spool"
#define RUN_NAME IDENTITY
#define NAME_RANDOM_BYTES 16
#define SPOOL_NAME_BYTES (sizeof("spool-") + 2 * (size_t)NAME_RANDOM_BYTES)

struct spool {
    struct store_backend *backend;
    sqlite3_stmt *next;
    sqlite3_stmt *remove;
    char name[SPOOL_NAME_BYTES];
    int64_t producer;
    uint64_t last; /* the last number that was given */
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
    return sqlite_db_error(db_of(spool), path_of(spool), TLSMSG_ERR_SYSTEM, doing, err);
}

/* What a server has made is not to be sent again by a client. */
static enum tlsmsg_code identify(const struct spool *spool, struct tlsmsg_error *err)
{
    static const char foreign[] =
        "SELECT (SELECT count(*) FROM producer WHERE identity <> '" IDENTITY
        "') + (SELECT count(*) FROM run WHERE name <> '" RUN_NAME "')";
    char name[NAME_MAX_SHOWN];
    int64_t count = 0;

    if (sqlite_db_number(db_of(spool), foreign, &count) != SQLITE_OK) {
        return sqlite_db_error(db_of(spool), path_of(spool), TLSMSG_ERR_SYSTEM, "read", err);
    }
    if (count != 0) {
        return error_set(err, TLSMSG_ERR_CONFIG, 0,
                         "'%s' is not a spool, but a server's store (try: another file)",
                         escape_name(name, sizeof(name), path_of(spool)));
    }
    return TLSMSG_OK;
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

/* The spool's own row; false: there is none yet. */
static enum tlsmsg_code load(struct spool *spool, bool *found, struct tlsmsg_error *err)
{
    sqlite3_stmt *statement = NULL;
    int result = sqlite3_prepare_v2(
        db_of(spool), "SELECT id, name, seq FROM producer WHERE identity = '" IDENTITY "'", -1,
        &statement, NULL);

    if (result == SQLITE_OK) {
        result = sqlite3_step(statement);
    }
    *found = result == SQLITE_ROW;
    if (*found) {
        const char *name = (const char *)sqlite3_column_text(statement, 1);

        spool->producer = sqlite3_column_int64(statement, 0);
        (void)snprintf(spool->name, sizeof(spool->name), "%s", name != NULL ? name : "");
        spool->last = (uint64_t)sqlite3_column_int64(statement, 2);
    }
    (void)sqlite3_finalize(statement);
    return result == SQLITE_ROW || result == SQLITE_DONE ? TLSMSG_OK : failed(spool, "read", err);
}

/* One transaction: the name where there is none, and no rows of runs that have ended. */
static enum tlsmsg_code begin(struct spool *spool, struct tlsmsg_error *err)
{
    struct sqlite_backend *store = sqlite_of(spool->backend);
    char forget[96];
    char add[160];
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
                   "INSERT OR IGNORE INTO producer(identity, name, seq, seen) VALUES('" IDENTITY
                   "', '%s', 0, 0)",
                   spool->name);
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
                           -1, SQLITE_PREPARE_PERSISTENT, &spool->remove, NULL) != SQLITE_OK) {
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
    code = sqlite_backend_open(path, SQLITE_CHECKPOINT_PAGES, &spool->backend, err);
    if (code != TLSMSG_OK) {
        free(spool);
        return code;
    }
    code = identify(spool, err);
    if (code == TLSMSG_OK) {
        code = spool->backend->ops->prove(spool->backend, &promise, err);
    }
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

static enum tlsmsg_code append(struct spool *spool, struct store_item *items, size_t count,
                               struct store_item **list, struct tlsmsg_error *err)
{
    struct store_batch batch = {.items = list, .count = count, .take_new = true};
    size_t i;

    for (i = 0; i < count; i++) {
        list[i] = &items[i];
    }
    switch (spool->backend->ops->append(spool->backend, &batch, err)) {
    case STORE_RESULT_DONE:
        return count_kept(spool, items, count, err);
    case STORE_RESULT_NO_ROOM:
        return error_set(err, TLSMSG_ERR_LIMIT, 0, "the spool has no room (try: make some)");
    case STORE_RESULT_AWAY:
        return error_set(err, TLSMSG_ERR_LIMIT, 0,
                         "another program writes to the spool (try: end it)");
    default:
        spool->failed = true;
        return TLSMSG_ERR_SYSTEM;
    }
}

enum tlsmsg_code spool_keep(struct spool *spool, struct spool_message *messages, size_t count,
                            struct tlsmsg_error *err)
{
    struct store_item *items = calloc(count, sizeof(*items));
    struct store_item **list = calloc(count, sizeof(struct store_item *));
    enum tlsmsg_code code;
    struct timespec now;
    size_t i;

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
    code = items != NULL && list != NULL ? append(spool, items, count, list, err)
                                         : error_set(err, TLSMSG_ERR_NOMEM, 0, "out of memory");
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
    uint64_t log_bytes;
    int result;

    /* A read that goes on would keep the log from being moved. */
    (void)sqlite3_reset(spool->next);
    (void)sqlite3_bind_int64(spool->remove, 1, spool->producer);
    (void)sqlite3_bind_int64(spool->remove, 2, (sqlite3_int64)number);
    result = sqlite3_step(spool->remove);
    (void)sqlite3_reset(spool->remove);
    if (result != SQLITE_DONE) {
        return failed(spool, "write to", err);
    }
    if (spool->backend->ops->tidy(spool->backend, &log_bytes, err) == STORE_RESULT_FAILED) {
        spool->failed = true;
        return TLSMSG_ERR_SYSTEM;
    }
    return TLSMSG_OK;
}

enum tlsmsg_code spool_meet(struct spool *spool, uint64_t last, uint64_t *first,
                            struct tlsmsg_error *err)
{
    struct spool_message message;
    char name[NAME_MAX_SHOWN];
    enum tlsmsg_code code;

    *first = 0;
    if (last > spool->last) {
        return error_set(err, TLSMSG_ERR_CONFIG, 0,
                         "the server has message %llu of spool '%s', which has given numbers up to "
                         "%llu only: it was set back or copied (try: a new file)",
                         (unsigned long long)last, escape_name(name, sizeof(name), path_of(spool)),
                         (unsigned long long)spool->last);
    }
    code = spool_next(spool, last > 0 ? last - 1 : 0, &message, err);
    *first = message.number;
    return code;
}

enum tlsmsg_code spool_waiting(struct spool *spool, uint64_t *count, struct tlsmsg_error *err)
{
    int64_t found = 0;

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
        spool->backend->ops->close(spool->backend, spool->failed);
        free(spool);
    }
}
