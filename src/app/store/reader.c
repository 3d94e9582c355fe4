/* Reader: a read-only connection that never moves the log, which is the server's to look after. */
#include "app/store/reader.h"

#include <errno.h>
#include <grp.h>
#include <libgen.h>
#include <limits.h>
#include <pwd.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/error.h"
#include "store/sqlite_db.h"

#define READ_BUSY_MS 5000
#define PIECE_ROWS 1000
#define PIECE_BYTES ((size_t)4 * 1024 * 1024)

static enum tlsmsg_code become(uid_t user, gid_t group, struct tlsmsg_error *err)
{
    const struct passwd *entry = getpwuid(user);

    if ((entry != NULL ? initgroups(entry->pw_name, entry->pw_gid) : setgroups(0, NULL)) != 0 ||
        setresgid(entry != NULL ? entry->pw_gid : group, entry != NULL ? entry->pw_gid : group,
                  entry != NULL ? entry->pw_gid : group) != 0 ||
        setresuid(user, user, user) != 0) {
        return error_set(err, TLSMSG_ERR_SYSTEM, errno, "cannot become the store's owner");
    }
    return TLSMSG_OK;
}

enum tlsmsg_code reader_become_owner(const char *path, struct tlsmsg_error *err)
{
    char copy[PATH_MAX];
    struct sqlite_file file;
    struct stat status;
    enum tlsmsg_code code;

    if (geteuid() != 0) {
        return TLSMSG_OK;
    }
    if (lstat(path, &status) != 0) {
        (void)snprintf(copy, sizeof(copy), "%s", path);
        if (errno != ENOENT || stat(dirname(copy), &status) != 0) {
            return TLSMSG_OK; /* opening it says why */
        }
    } else {
        code = sqlite_file_open(&file, path, "store", false, err);
        if (code != TLSMSG_OK) {
            return code;
        }
        (void)fstat(file.fd, &status);
        sqlite_file_close(&file);
    }
    return status.st_uid == 0 ? TLSMSG_OK : become(status.st_uid, status.st_gid, err);
}

static enum tlsmsg_code prepare(struct reader *reader, struct tlsmsg_error *err)
{
    static const char rows[] =
        "SELECT message.id, message.time, message.connection, message.peer, producer.identity,"
        " producer.name, message.seq, message.hash, message.body FROM message"
        " LEFT JOIN producer ON producer.id = message.producer"
        " WHERE message.id > ?1 ORDER BY message.id LIMIT ?2";
    enum sqlite_db_kind kind;
    enum tlsmsg_code code = sqlite_db_open(&reader->file, &reader->db, err);

    if (code == TLSMSG_OK && !sqlite_file_is_same(&reader->file)) {
        code = error_set(err, TLSMSG_ERR_CONFIG, 0, "the store was replaced while it was opened");
    }
    if (code == TLSMSG_OK) {
        (void)sqlite3_busy_timeout(reader->db, READ_BUSY_MS);
        code = sqlite_db_identify(reader->db, &reader->file, &kind, err);
    }
    if (code == TLSMSG_OK && kind == SQLITE_DB_EMPTY) {
        code = error_set(err, TLSMSG_ERR_CONFIG, 0, "the store is empty (try: tlsmsg-store init)");
    }
    if (code == TLSMSG_OK &&
        (sqlite3_exec(reader->db, "PRAGMA query_only = ON; PRAGMA wal_autocheckpoint = 0", NULL,
                      NULL, NULL) != SQLITE_OK ||
         sqlite3_prepare_v2(reader->db, rows, -1, &reader->rows, NULL) != SQLITE_OK)) {
        code = sqlite_db_error(reader->db, &reader->file, TLSMSG_ERR_SYSTEM, "read", err);
    }
    return code;
}

enum tlsmsg_code reader_open(struct reader *reader, const char *path, struct tlsmsg_error *err)
{
    enum tlsmsg_code code;

    *reader = (struct reader){.path = path};
    code = sqlite_file_open(&reader->file, path, "store", false, err);
    if (code == TLSMSG_OK) {
        code = prepare(reader, err);
    }
    if (code != TLSMSG_OK) {
        reader_close(reader);
    }
    return code;
}

/* Whether the log holds something. */
static bool has_log(const struct reader *reader)
{
    char path[PATH_MAX];
    struct stat status;

    (void)snprintf(path, sizeof(path), "%s-wal", reader->file.real);
    return stat(path, &status) != 0 || status.st_size > 0;
}

void reader_close(struct reader *reader)
{
    (void)sqlite3_finalize(reader->rows);
    if (reader->db != NULL) {
        /* What a crashed server has left in the log is for the next server to judge. */
        (void)sqlite3_db_config(reader->db, SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, has_log(reader),
                                NULL);
        (void)sqlite3_close(reader->db);
    }
    sqlite_file_close(&reader->file);
}

static void fill(sqlite3_stmt *from, struct reader_row *row)
{
    const char *identity = (const char *)sqlite3_column_text(from, 4);
    const char *body = sqlite3_column_blob(from, 8); /* NULL: no bytes */

    *row = (struct reader_row){
        .id = sqlite3_column_int64(from, 0),
        .time_ms = sqlite3_column_int64(from, 1),
        .connection = (uint64_t)sqlite3_column_int64(from, 2),
        .peer = (const char *)sqlite3_column_text(from, 3),
        .identity = identity != NULL && identity[0] != '\0' ? identity : NULL,
        .producer = (const char *)sqlite3_column_text(from, 5),
        .seq = (uint64_t)sqlite3_column_int64(from, 6),
        .hash = sqlite3_column_blob(from, 7),
        .hash_len = (size_t)sqlite3_column_bytes(from, 7),
        .body = body != NULL ? body : "",
        .len = (size_t)sqlite3_column_bytes(from, 8),
    };
}

enum tlsmsg_code reader_next(struct reader *reader, int64_t *last, bool *more, reader_take *take,
                             void *user, struct tlsmsg_error *err)
{
    enum tlsmsg_code code = TLSMSG_OK;
    struct reader_row row;
    size_t bytes = 0;
    int result = SQLITE_DONE;

    *more = false;
    (void)sqlite3_bind_int64(reader->rows, 1, *last);
    (void)sqlite3_bind_int64(reader->rows, 2, PIECE_ROWS);
    while (code == TLSMSG_OK && bytes < PIECE_BYTES &&
           (result = sqlite3_step(reader->rows)) == SQLITE_ROW) {
        fill(reader->rows, &row);
        bytes += row.len;
        *last = row.id;
        *more = true;
        code = take(&row, user, err);
    }
    if (code == TLSMSG_OK && result != SQLITE_ROW && result != SQLITE_DONE) {
        code = sqlite_db_error(reader->db, &reader->file, TLSMSG_ERR_SYSTEM, "read", err);
    }
    (void)sqlite3_reset(reader->rows);
    return code;
}

enum tlsmsg_code reader_number(struct reader *reader, const char *sql, int64_t *value,
                               struct tlsmsg_error *err)
{
    int result = sqlite_db_number(reader->db, sql, value);

    if (result == SQLITE_DONE) {
        *value = 0;
    } else if (result != SQLITE_OK) {
        return sqlite_db_error(reader->db, &reader->file, TLSMSG_ERR_SYSTEM, "read", err);
    }
    return TLSMSG_OK;
}
