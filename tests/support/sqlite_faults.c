/* See sqlite_faults.h. */
#include "support/sqlite_faults.h"

#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include <sqlite3.h>

void (*sqlite_on_open)(void);
void (*sqlite_on_step)(const char *sql);

#define FAULTS_MAX 512

static struct fault {
    enum sqlite_call call;
    const char *sql;
    unsigned nth;
    unsigned calls;
    int result;
    bool met;
} faults[FAULTS_MAX];

static size_t fault_count;
static int said; /* the error that SQLite speaks of; SQLITE_OK: its own */
static int said_errno;

static int frames_told = -1;
static int moved_told = -1;
static int checkpoint_mode = -1;
static int busy_timeout = -1;
static unsigned busy_at_begin;
static int backup_pages;

int __real_sqlite3_step(sqlite3_stmt *statement);
int __wrap_sqlite3_step(sqlite3_stmt *statement);
int __real_sqlite3_prepare_v2(sqlite3 *db, const char *sql, int bytes, sqlite3_stmt **out,
                              const char **tail);
int __wrap_sqlite3_prepare_v2(sqlite3 *db, const char *sql, int bytes, sqlite3_stmt **out,
                              const char **tail);
int __real_sqlite3_prepare_v3(sqlite3 *db, const char *sql, int bytes, unsigned flags,
                              sqlite3_stmt **out, const char **tail);
int __wrap_sqlite3_prepare_v3(sqlite3 *db, const char *sql, int bytes, unsigned flags,
                              sqlite3_stmt **out, const char **tail);
int __real_sqlite3_exec(sqlite3 *db, const char *sql, int (*row)(void *, int, char **, char **),
                        void *user, char **text);
int __wrap_sqlite3_exec(sqlite3 *db, const char *sql, int (*row)(void *, int, char **, char **),
                        void *user, char **text);
int __real_sqlite3_wal_checkpoint_v2(sqlite3 *db, const char *name, int mode, int *frames,
                                     int *moved);
int __wrap_sqlite3_wal_checkpoint_v2(sqlite3 *db, const char *name, int mode, int *frames,
                                     int *moved);
int __real_sqlite3_txn_state(sqlite3 *db, const char *name);
int __wrap_sqlite3_txn_state(sqlite3 *db, const char *name);
int __real_sqlite3_open_v2(const char *name, sqlite3 **out, int flags, const char *vfs);
int __wrap_sqlite3_open_v2(const char *name, sqlite3 **out, int flags, const char *vfs);
int __real_sqlite3_close(sqlite3 *db);
int __wrap_sqlite3_close(sqlite3 *db);
sqlite3_backup *__real_sqlite3_backup_init(sqlite3 *to, const char *to_name, sqlite3 *from,
                                           const char *from_name);
sqlite3_backup *__wrap_sqlite3_backup_init(sqlite3 *to, const char *to_name, sqlite3 *from,
                                           const char *from_name);
int __real_sqlite3_backup_step(sqlite3_backup *backup, int pages);
int __wrap_sqlite3_backup_step(sqlite3_backup *backup, int pages);
int __real_sqlite3_backup_finish(sqlite3_backup *backup);
int __wrap_sqlite3_backup_finish(sqlite3_backup *backup);
int __real_sqlite3_busy_timeout(sqlite3 *db, int ms);
int __wrap_sqlite3_busy_timeout(sqlite3 *db, int ms);
int __real_sqlite3_errcode(sqlite3 *db);
int __wrap_sqlite3_errcode(sqlite3 *db);
int __real_sqlite3_extended_errcode(sqlite3 *db);
int __wrap_sqlite3_extended_errcode(sqlite3 *db);
const char *__real_sqlite3_errmsg(sqlite3 *db);
const char *__wrap_sqlite3_errmsg(sqlite3 *db);
int __real_sqlite3_system_errno(sqlite3 *db);
int __wrap_sqlite3_system_errno(sqlite3 *db);

void sqlite_fault_also(enum sqlite_call call, const char *sql, unsigned nth, int result)
{
    if (fault_count == FAULTS_MAX) {
        abort();
    }
    faults[fault_count++] = (struct fault){.call = call, .sql = sql, .nth = nth, .result = result};
}

void sqlite_fault_at(enum sqlite_call call, const char *sql, unsigned nth, int result)
{
    fault_count = 0;
    said = SQLITE_OK;
    said_errno = 0;
    sqlite_fault_also(call, sql, nth, result);
}

void sqlite_fault_errno(int sys_errno)
{
    said_errno = sys_errno;
}

bool sqlite_fault_end(void)
{
    bool met = fault_count > 0;
    size_t i;

    for (i = 0; i < fault_count; i++) {
        met &= faults[i].met;
    }
    fault_count = 0;
    said = SQLITE_OK;
    frames_told = -1;
    moved_told = -1;
    return met;
}

unsigned sqlite_fault_calls(void)
{
    return fault_count > 0 ? faults[0].calls : 0;
}

int sqlite_last_checkpoint_mode(void)
{
    return checkpoint_mode;
}

int sqlite_last_busy_timeout(void)
{
    return busy_timeout;
}

unsigned sqlite_busy_at_begin(void)
{
    return busy_at_begin;
}

void sqlite_checkpoint_tells(int frames, int moved)
{
    frames_told = frames;
    moved_told = moved;
}

/* Whether this call is one that answers something else. */
static bool fails(enum sqlite_call call, const char *sql, int *result)
{
    size_t i;

    for (i = 0; i < fault_count; i++) {
        struct fault *fault = &faults[i];

        if (fault->call == call &&
            (fault->sql == NULL ||
             (sql != NULL && strncmp(sql, fault->sql, strlen(fault->sql)) == 0)) &&
            ++fault->calls == fault->nth) {
            fault->met = true;
            *result = fault->result;
            /* A success is no error to speak of. */
            if (*result != SQLITE_OK && *result != SQLITE_ROW && *result != SQLITE_DONE) {
                said = *result;
            }
            return true;
        }
    }
    return false;
}

static void note_busy(sqlite3_stmt *statement)
{
    sqlite3 *db = sqlite3_db_handle(statement);
    sqlite3_stmt *other = NULL;

    if (strncmp(sqlite3_sql(statement), "BEGIN", 5) == 0) {
        busy_at_begin = 0;
        while ((other = sqlite3_next_stmt(db, other)) != NULL) {
            busy_at_begin += sqlite3_stmt_busy(other) != 0;
        }
    }
}

int __wrap_sqlite3_step(sqlite3_stmt *statement)
{
    int result;

    note_busy(statement);
    if (fails(SQLITE_CALL_STEP, sqlite3_sql(statement), &result)) {
        return result;
    }
    if (sqlite_on_step != NULL) {
        sqlite_on_step(sqlite3_sql(statement));
    }
    return __real_sqlite3_step(statement);
}

int __wrap_sqlite3_prepare_v2(sqlite3 *db, const char *sql, int bytes, sqlite3_stmt **out,
                              const char **tail)
{
    int result;

    return fails(SQLITE_CALL_PREPARE, sql, &result)
               ? result
               : __real_sqlite3_prepare_v2(db, sql, bytes, out, tail);
}

int __wrap_sqlite3_prepare_v3(sqlite3 *db, const char *sql, int bytes, unsigned flags,
                              sqlite3_stmt **out, const char **tail)
{
    int result;

    return fails(SQLITE_CALL_PREPARE, sql, &result)
               ? result
               : __real_sqlite3_prepare_v3(db, sql, bytes, flags, out, tail);
}

int __wrap_sqlite3_exec(sqlite3 *db, const char *sql, int (*row)(void *, int, char **, char **),
                        void *user, char **text)
{
    int result;

    return fails(SQLITE_CALL_EXEC, sql, &result) ? result
                                                 : __real_sqlite3_exec(db, sql, row, user, text);
}

int __wrap_sqlite3_wal_checkpoint_v2(sqlite3 *db, const char *name, int mode, int *frames,
                                     int *moved)
{
    int result;

    checkpoint_mode = mode;
    if (fails(SQLITE_CALL_CHECKPOINT, NULL, &result)) {
        return result;
    }
    result = __real_sqlite3_wal_checkpoint_v2(db, name, mode, frames, moved);
    if (frames_told >= 0) {
        *frames = frames_told;
        *moved = moved_told;
    }
    return result;
}

int __wrap_sqlite3_txn_state(sqlite3 *db, const char *name)
{
    int result;

    return fails(SQLITE_CALL_TXN_STATE, NULL, &result) ? result
                                                       : __real_sqlite3_txn_state(db, name);
}

int __wrap_sqlite3_open_v2(const char *name, sqlite3 **out, int flags, const char *vfs)
{
    int result;

    if (fails(SQLITE_CALL_OPEN, NULL, &result)) {
        *out = NULL;
        if (result != SQLITE_NOMEM) {
            (void)__real_sqlite3_open_v2(name, out, flags, vfs);
        }
        return result;
    }
    result = __real_sqlite3_open_v2(name, out, flags, vfs);
    if (result == SQLITE_OK && sqlite_on_open != NULL) {
        sqlite_on_open();
    }
    return result;
}

/* It is closed all the same. */
int __wrap_sqlite3_close(sqlite3 *db)
{
    int closed = __real_sqlite3_close(db);
    int result;

    return fails(SQLITE_CALL_CLOSE, NULL, &result) ? result : closed;
}

int sqlite_last_backup_pages(void)
{
    return backup_pages;
}

sqlite3_backup *__wrap_sqlite3_backup_init(sqlite3 *to, const char *to_name, sqlite3 *from,
                                           const char *from_name)
{
    int result;

    return fails(SQLITE_CALL_BACKUP_INIT, NULL, &result)
               ? NULL
               : __real_sqlite3_backup_init(to, to_name, from, from_name);
}

int __wrap_sqlite3_backup_step(sqlite3_backup *backup, int pages)
{
    int result;

    backup_pages = pages;
    return fails(SQLITE_CALL_BACKUP_STEP, NULL, &result)
               ? result
               : __real_sqlite3_backup_step(backup, pages);
}

/* It is finished all the same. */
int __wrap_sqlite3_backup_finish(sqlite3_backup *backup)
{
    int finished = __real_sqlite3_backup_finish(backup);
    int result;

    return fails(SQLITE_CALL_BACKUP_FINISH, NULL, &result) ? result : finished;
}

int __wrap_sqlite3_busy_timeout(sqlite3 *db, int ms)
{
    busy_timeout = ms;
    return __real_sqlite3_busy_timeout(db, ms);
}

int __wrap_sqlite3_errcode(sqlite3 *db)
{
    return said != SQLITE_OK ? said & 0xFF : __real_sqlite3_errcode(db);
}

int __wrap_sqlite3_extended_errcode(sqlite3 *db)
{
    return said != SQLITE_OK ? said : __real_sqlite3_extended_errcode(db);
}

const char *__wrap_sqlite3_errmsg(sqlite3 *db)
{
    return said != SQLITE_OK ? "a planted fault" : __real_sqlite3_errmsg(db);
}

int __wrap_sqlite3_system_errno(sqlite3 *db)
{
    return said != SQLITE_OK ? said_errno : __real_sqlite3_system_errno(db);
}
