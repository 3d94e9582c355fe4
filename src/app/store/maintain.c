/* Looking after a store: prune, backup, init. */
#include "app/store/maintain.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "app/store/progress.h"
#include "base/clock.h"
#include "base/error.h"
#include "base/escape.h"
#include "store/sqlite.h"
#include "store/sqlite_db.h"

#define BACKUP_SHOWN 256
#define STEP_ROWS 500
#define PAUSE_MS 5
#define LOCKED_PAUSE_MS 100
#define LOCKED_MAX 300
#define BACKUP_PAGES 256
#define BACKUP_RESTARTS_MAX 3

static void pause_ms(int64_t ms)
{
    struct timespec pause = {.tv_nsec = (long)(ms * CLOCK_NS_PER_MS)};

    (void)nanosleep(&pause, NULL);
}

/* Steps with pauses: the server's own commits come between them. */
enum tlsmsg_code maintain_prune(const char *path, int64_t keep_ms, struct tlsmsg_error *err)
{
    struct store_backend *backend = NULL;
    enum store_result result = STORE_RESULT_DONE;
    enum tlsmsg_code code = sqlite_backend_join(path, &backend, err);
    int64_t before_ms = (int64_t)time(NULL) * 1000 - keep_ms;
    uint64_t deleted = 0;
    unsigned rows = 1;
    unsigned away = 0;

    if (code != TLSMSG_OK) {
        return code;
    }
    while (rows > 0 && (result == STORE_RESULT_DONE || result == STORE_RESULT_AWAY)) {
        result = backend->ops->prune(backend, before_ms, STEP_ROWS, &rows, err);
        deleted += rows;
        away = result == STORE_RESULT_AWAY ? away + 1 : 0;
        rows = result == STORE_RESULT_AWAY && away < LOCKED_MAX ? 1 : rows;
        pause_ms(result == STORE_RESULT_AWAY ? LOCKED_PAUSE_MS : PAUSE_MS);
    }
    backend->ops->close(backend, true);
    if (result == STORE_RESULT_AWAY || result == STORE_RESULT_NO_ROOM) {
        return error_set(err, TLSMSG_ERR_SYSTEM, 0, "%s",
                         result == STORE_RESULT_AWAY ? "another program keeps the store locked"
                                                     : "the file system is full");
    }
    if (result == STORE_RESULT_FAILED) {
        return err->code;
    }
    printf("%" PRIu64 " messages deleted\n", deleted);
    return TLSMSG_OK;
}

/* Makes the file for the backup, which must not be there yet. */
static enum tlsmsg_code make_file(const char *path, struct tlsmsg_error *err)
{
    char name[BACKUP_SHOWN];
    int fd = open(path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, 0600);

    if (fd < 0) {
        bool refused = errno == EACCES;

        (void)error_set(err, TLSMSG_ERR_CONFIG, errno, "cannot make backup '%s'",
                        escape_name(name, sizeof(name), path));
        if (refused) {
            error_append(err, " (as the store's owner; try: a folder of that user's)");
        }
        return TLSMSG_ERR_CONFIG;
    }
    (void)close(fd);
    return TLSMSG_OK;
}

/* Copies in steps, each a short read. A server that writes meanwhile has it begin anew; when that
 * happens again and again, one read takes all. */
static int copy_pages(sqlite3_backup *backup, struct progress *progress)
{
    int before = INT_MAX;
    int restarts = 0;
    int result;

    do {
        result =
            sqlite3_backup_step(backup, restarts < BACKUP_RESTARTS_MAX ? BACKUP_PAGES : -1) & 0xFF;
        restarts += sqlite3_backup_remaining(backup) >= before;
        before = sqlite3_backup_remaining(backup);
        progress_tell(progress, (uint64_t)(sqlite3_backup_pagecount(backup) - before),
                      (uint64_t)sqlite3_backup_pagecount(backup));
        if (result == SQLITE_BUSY || result == SQLITE_LOCKED) {
            pause_ms(LOCKED_PAUSE_MS);
            restarts++;
        }
    } while ((result == SQLITE_OK || result == SQLITE_BUSY || result == SQLITE_LOCKED) &&
             restarts < LOCKED_MAX);
    return result;
}

static enum tlsmsg_code sync_backup(const char *path, struct tlsmsg_error *err)
{
    struct sqlite_file file;
    enum tlsmsg_code code = sqlite_file_open(&file, path, "backup", false, err);

    if (code != TLSMSG_OK) {
        return code;
    }
    if (fsync(file.fd) != 0) {
        code = error_set(err, TLSMSG_ERR_SYSTEM, errno, "cannot sync the backup");
    }
    if (code == TLSMSG_OK) {
        code = sqlite_file_sync_folder(&file, err);
    }
    sqlite_file_close(&file);
    return code;
}

static enum tlsmsg_code copy_store(struct reader *reader, const char *to, struct tlsmsg_error *err)
{
    const struct sqlite_file file = {.path = to, .what = "backup"}; /* for errors alone */
    struct progress progress;
    sqlite3_backup *backup;
    sqlite3 *db;
    enum tlsmsg_code code = sqlite_db_open(&file, &db, err);

    if (code != TLSMSG_OK) {
        return code;
    }
    progress_begin(&progress, "copied page");
    backup = sqlite3_backup_init(db, "main", reader->db, "main");
    if (backup == NULL || copy_pages(backup, &progress) != SQLITE_DONE) {
        code = sqlite_db_error(db, &file, TLSMSG_ERR_SYSTEM, "write to", err);
    }
    if (sqlite3_backup_finish(backup) != SQLITE_OK && code == TLSMSG_OK) {
        code = sqlite_db_error(db, &file, TLSMSG_ERR_SYSTEM, "write to", err);
    }
    progress_end(&progress);
    if (sqlite3_close(db) != SQLITE_OK && code == TLSMSG_OK) {
        code = error_set(err, TLSMSG_ERR_SYSTEM, 0, "cannot close the backup");
    }
    return code == TLSMSG_OK ? sync_backup(to, err) : code;
}

enum tlsmsg_code maintain_backup(struct reader *reader, const char *to, struct tlsmsg_error *err)
{
    enum tlsmsg_code code = make_file(to, err);

    if (code != TLSMSG_OK) {
        return code;
    }
    code = copy_store(reader, to, err);
    if (code != TLSMSG_OK) {
        (void)unlink(to);
    }
    return code;
}

enum tlsmsg_code maintain_init(const char *path, struct tlsmsg_error *err)
{
    struct store_backend *backend = NULL;
    enum tlsmsg_code code = sqlite_backend_open(path, SQLITE_CHECKPOINT_PAGES, &backend, err);

    if (code == TLSMSG_OK) {
        backend->ops->close(backend, false);
    }
    return code;
}
