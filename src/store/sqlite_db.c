/* SQLite's side of a store: see sqlite_db.h. Owns the schema, the settings and their proof. */
#include "store/sqlite_db.h"

#include <errno.h>
#include <fcntl.h>
#include <libgen.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/error.h"
#include "base/escape.h"

#define HEADER_BYTES 100
#define HEADER_MAGIC "SQLite format 3" /* with its NUL */
#define HEADER_VERSION 60
#define HEADER_MARK 68
#define LOG_LIMIT_BYTES "16777216"
#define TEXT_OF(number) TEXT_OF_VALUE(number)
#define TEXT_OF_VALUE(number) #number

/* Ids are dense: no transaction that failed has used one up (AUTOINCREMENT's row rolls back with
 * it). So an id that is missing is a row that was deleted, and pruning deletes the lowest. */
static const char schema[] =
    "BEGIN EXCLUSIVE;"
    "CREATE TABLE producer(id INTEGER PRIMARY KEY, identity TEXT NOT NULL, name TEXT NOT NULL,"
    " seq INTEGER NOT NULL, seen INTEGER NOT NULL, UNIQUE(identity, name));"
    "CREATE TABLE message(id INTEGER PRIMARY KEY AUTOINCREMENT, time INTEGER NOT NULL,"
    " run INTEGER NOT NULL, connection INTEGER NOT NULL, peer TEXT NOT NULL,"
    " producer INTEGER NOT NULL, seq INTEGER NOT NULL, hash BLOB, body BLOB NOT NULL,"
    " UNIQUE(producer, seq));"
    "CREATE TABLE run(id INTEGER PRIMARY KEY, name TEXT NOT NULL, time INTEGER NOT NULL,"
    " version TEXT NOT NULL);"
    "CREATE VIEW messages AS SELECT message.id AS id,"
    " strftime('%Y-%m-%dT%H:%M:', message.time / 1000, 'unixepoch') ||"
    " printf('%06.3fZ', (message.time % 60000) / 1000.0) AS time, run.name AS run,"
    " message.connection AS connection,"
    " message.peer AS peer, producer.identity AS identity, producer.name AS producer,"
    " message.seq AS seq, CAST(message.body AS TEXT) AS text"
    " FROM message LEFT JOIN producer ON producer.id = message.producer"
    " LEFT JOIN run ON run.id = message.run;"
    "PRAGMA user_version = " TEXT_OF(SQLITE_DB_SCHEMA) ";";

enum tlsmsg_code sqlite_db_error(sqlite3 *db, const struct sqlite_file *file, enum tlsmsg_code code,
                                 const char *doing, struct tlsmsg_error *err)
{
    char name[NAME_MAX_SHOWN];
    int cause = sqlite3_system_errno(db);
    int kind = sqlite3_errcode(db) & 0xFF;
    bool is_full = kind == SQLITE_FULL || sqlite_file_lacks_room(cause);

    /* A full or failing disk, and a damaged file, are no faults of the command line. */
    if (is_full || kind == SQLITE_IOERR || kind == SQLITE_CORRUPT) {
        code = TLSMSG_ERR_SYSTEM;
    }
    error_set(err, code, cause, "cannot %s %s '%s': %s (SQLite %d)", doing, file->what,
              escape_name(name, sizeof(name), file->path), sqlite3_errmsg(db),
              sqlite3_extended_errcode(db));
    if (is_full) {
        error_append(err, " (try: make room)");
    }
    return code;
}

enum tlsmsg_code sqlite_db_open(const struct sqlite_file *file, sqlite3 **out,
                                struct tlsmsg_error *err)
{
    const char *path = file->real != NULL ? file->real : file->path;
    char plain[PATH_MAX + 2];
    sqlite3 *db = NULL;
    /* A name is a name: neither "file:..." nor ":memory:" means anything else. */
    int n = snprintf(plain, sizeof(plain), "%s%s", path[0] == '/' ? "" : "./", path);
    enum tlsmsg_code code;

    if (n < 0 || (size_t)n >= sizeof(plain)) {
        return error_set(err, TLSMSG_ERR_CONFIG, 0, "the %s's name is too long", file->what);
    }
    if (sqlite3_open_v2(plain, &db, SQLITE_OPEN_READWRITE | SQLITE_OPEN_NOMUTEX, NULL) !=
        SQLITE_OK) {
        code = db == NULL ? error_set(err, TLSMSG_ERR_NOMEM, 0, "out of memory")
                          : sqlite_db_error(db, file, TLSMSG_ERR_CONFIG, "open", err);
        (void)sqlite3_close(db);
        return code;
    }
    (void)sqlite3_extended_result_codes(db, 1);
    /* What a file of somebody else may hold (views, triggers) must not run as code of ours. */
    (void)sqlite3_db_config(db, SQLITE_DBCONFIG_DEFENSIVE, 1, NULL);
    (void)sqlite3_db_config(db, SQLITE_DBCONFIG_TRUSTED_SCHEMA, 0, NULL);
    (void)sqlite3_db_config(db, SQLITE_DBCONFIG_ENABLE_TRIGGER, 0, NULL);
    *out = db;
    return TLSMSG_OK;
}

int sqlite_db_number(sqlite3 *db, const char *sql, int64_t *value)
{
    sqlite3_stmt *statement = NULL;
    int result = sqlite3_prepare_v2(db, sql, -1, &statement, NULL);

    if (result == SQLITE_OK) {
        result = sqlite3_step(statement);
    }
    if (result == SQLITE_ROW) {
        *value = sqlite3_column_int64(statement, 0);
        result = SQLITE_OK;
    }
    (void)sqlite3_finalize(statement);
    return result;
}

static enum tlsmsg_code judge(const struct sqlite_file *file, bool is_empty, int64_t mark,
                              int64_t version, enum sqlite_db_kind *kind, struct tlsmsg_error *err)
{
    char name[NAME_MAX_SHOWN];

    *kind = is_empty                       ? SQLITE_DB_EMPTY
            : mark == SQLITE_DB_SPOOL_MARK ? SQLITE_DB_SPOOL
                                           : SQLITE_DB_STORE;
    (void)escape_name(name, sizeof(name), file->path);
    if (!is_empty && mark != SQLITE_DB_STORE_MARK && mark != SQLITE_DB_SPOOL_MARK) {
        return error_set(err, TLSMSG_ERR_CONFIG, 0,
                         "'%s' is not a store of tlsmsg, but another program's database", name);
    }
    if (!is_empty && version != SQLITE_DB_SCHEMA) {
        return error_set(err, TLSMSG_ERR_CONFIG, 0,
                         "%s '%s' has schema %lld, and this program knows schema %d (try: the "
                         "version that made it)",
                         file->what, name, (long long)version, SQLITE_DB_SCHEMA);
    }
    return TLSMSG_OK;
}

enum tlsmsg_code sqlite_db_identify(sqlite3 *db, const struct sqlite_file *file,
                                    enum sqlite_db_kind *kind, struct tlsmsg_error *err)
{
    int64_t pages = 0;
    int64_t mark = 0;
    int64_t version = 0;

    if (sqlite_db_number(db, "PRAGMA page_count", &pages) != SQLITE_OK ||
        sqlite_db_number(db, "PRAGMA application_id", &mark) != SQLITE_OK ||
        sqlite_db_number(db, "PRAGMA user_version", &version) != SQLITE_OK) {
        return sqlite_db_error(db, file, TLSMSG_ERR_CONFIG, "read", err);
    }
    return judge(file, pages == 0, mark, version, kind, err);
}

enum tlsmsg_code sqlite_db_expect(const char *path, enum sqlite_db_kind kind,
                                  enum sqlite_db_kind wanted, struct tlsmsg_error *err)
{
    char name[NAME_MAX_SHOWN];

    if (kind == wanted || kind == SQLITE_DB_EMPTY) {
        return TLSMSG_OK;
    }
    return error_set(err, TLSMSG_ERR_CONFIG, 0,
                     wanted == SQLITE_DB_STORE
                         ? "'%s' is not a store, but a client's spool (try: another file)"
                         : "'%s' is not a spool, but a server's store (try: another file)",
                     escape_name(name, sizeof(name), path));
}

static int64_t big_endian(const unsigned char *p)
{
    return (int64_t)((uint32_t)p[0] << 24 | (uint32_t)p[1] << 16 | (uint32_t)p[2] << 8 | p[3]);
}

/* A store that is still to be made: whether its folder takes a file. */
static enum tlsmsg_code check_folder(const char *path, struct tlsmsg_error *err)
{
    char name[NAME_MAX_SHOWN];
    char copy[PATH_MAX];

    (void)snprintf(copy, sizeof(copy), "%s", path);
    if (faccessat(AT_FDCWD, dirname(copy), W_OK | X_OK, AT_EACCESS) != 0) {
        return error_set(err, TLSMSG_ERR_CONFIG, errno, "cannot make store '%s'",
                         escape_name(name, sizeof(name), path));
    }
    return TLSMSG_OK;
}

/* SQLite itself would leave files beside it, and so the header is read here: its format is fixed
 * for good (https://www.sqlite.org/fileformat2.html), and ours never waits in the log. */
enum tlsmsg_code sqlite_db_check(const char *path, struct tlsmsg_error *err)
{
    char name[NAME_MAX_SHOWN];
    unsigned char header[HEADER_BYTES];
    struct sqlite_file file;
    struct stat status;
    enum sqlite_db_kind kind;
    enum tlsmsg_code code;
    ssize_t got;

    if (lstat(path, &status) != 0 && errno == ENOENT) {
        return check_folder(path, err);
    }
    code = sqlite_file_open(&file, path, "store", false, err);
    if (code != TLSMSG_OK) {
        return code;
    }
    got = pread(file.fd, header, sizeof(header), 0);
    if (got < 0) {
        code = error_set(err, TLSMSG_ERR_CONFIG, errno, "cannot read store '%s'",
                         escape_name(name, sizeof(name), path));
    } else if (got > 0 && (got < HEADER_BYTES || memcmp(header, HEADER_MAGIC, 16) != 0)) {
        code = error_set(err, TLSMSG_ERR_CONFIG, 0, "'%s' is not a store, nor empty",
                         escape_name(name, sizeof(name), path));
    } else {
        code = judge(&file, got == 0, big_endian(header + HEADER_MARK),
                     big_endian(header + HEADER_VERSION), &kind, err);
        code = code == TLSMSG_OK ? sqlite_db_expect(path, kind, SQLITE_DB_STORE, err) : code;
    }
    sqlite_file_close(&file);
    return code;
}

enum tlsmsg_code sqlite_db_create(sqlite3 *db, const struct sqlite_file *file,
                                  enum sqlite_db_kind kind, struct tlsmsg_error *err)
{
    char mark[64];

    (void)snprintf(mark, sizeof(mark), "PRAGMA application_id = %d; COMMIT",
                   kind == SQLITE_DB_SPOOL ? SQLITE_DB_SPOOL_MARK : SQLITE_DB_STORE_MARK);
    /* Still with a rollback journal: mark, version and tables appear together or not at all. */
    if (sqlite3_exec(db, schema, NULL, NULL, NULL) != SQLITE_OK ||
        sqlite3_exec(db, mark, NULL, NULL, NULL) != SQLITE_OK) {
        return sqlite_db_error(db, file, TLSMSG_ERR_SYSTEM, "create", err);
    }
    return TLSMSG_OK;
}

enum tlsmsg_code sqlite_db_configure(sqlite3 *db, const struct sqlite_file *file,
                                     struct tlsmsg_error *err)
{
    /* Checkpoints are the commit thread's: SQLite's own ones swallow their errors. Deleted bytes
     * are overwritten where that costs no further write. */
    static const char settings[] = "PRAGMA journal_mode = WAL;"
                                   "PRAGMA synchronous = FULL;"
                                   "PRAGMA journal_size_limit = " LOG_LIMIT_BYTES ";"
                                   "PRAGMA wal_autocheckpoint = 0;"
                                   "PRAGMA temp_store = MEMORY;"
                                   "PRAGMA secure_delete = FAST;"
                                   "PRAGMA mmap_size = 0";

    if (sqlite3_exec(db, settings, NULL, NULL, NULL) != SQLITE_OK) {
        return sqlite_db_error(db, file, TLSMSG_ERR_SYSTEM, "set up", err);
    }
    return TLSMSG_OK;
}

/* Whether a query's text is what it should be. */
static bool says(sqlite3 *db, const char *sql, const char *wanted)
{
    sqlite3_stmt *statement = NULL;
    const char *text = NULL;
    bool same;

    if (sqlite3_prepare_v2(db, sql, -1, &statement, NULL) == SQLITE_OK &&
        sqlite3_step(statement) == SQLITE_ROW) {
        text = (const char *)sqlite3_column_text(statement, 0);
    }
    same = text != NULL && strcmp(text, wanted) == 0;
    (void)sqlite3_finalize(statement);
    return same;
}

enum tlsmsg_code sqlite_db_prove(sqlite3 *db, const struct sqlite_file *file,
                                 struct tlsmsg_error *err)
{
    static const struct {
        const char *sql;
        const char *wanted;
        const char *meaning;
    } proofs[] = {
        {"PRAGMA journal_mode", "wal", "it keeps no write-ahead log"},
        {"PRAGMA synchronous", "2", "it does not sync each commit"},
        {"PRAGMA encoding", "UTF-8", "its encoding is not UTF-8"},
    };
    char name[NAME_MAX_SHOWN];
    size_t i;

    for (i = 0; i < sizeof(proofs) / sizeof(proofs[0]); i++) {
        if (!says(db, proofs[i].sql, proofs[i].wanted)) {
            return error_set(err, TLSMSG_ERR_CONFIG, 0, "%s '%s' can't keep a promise: %s",
                             file->what, escape_name(name, sizeof(name), file->path),
                             proofs[i].meaning);
        }
    }
    return TLSMSG_OK;
}
