/* The store in a file when a call of SQLite fails: what the engine makes of it, in whole texts, and what
 * is in the file then. */
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <time.h>

#include <sqlite3.h>

#include "base/error.h"
#include "store/sqlite.h"
#include "store/sqlite_internal.h"
#include "support/failmalloc.h"
#include "support/sqlite_faults.h"
#include "support/sqlite_scene.h"
#include "support/unit.h"

#define LAST_ID_SQL "SELECT max(id)"
#define MIB ((size_t)1024 * 1024)

static const char unproved[] = "the store is full, and what was begun there can't be proved undone";

static struct store_backend *backend;

/* The wall's clock, where it is set. */
static struct timespec wall;
static struct statvfs room;
static bool room_fails;

int __wrap_clock_gettime(clockid_t clock, struct timespec *out);
int __real_clock_gettime(clockid_t clock, struct timespec *out);
int __wrap_fstatvfs(int fd, struct statvfs *out);
int __wrap_fstatvfs64(int fd, struct statvfs *out);

int __wrap_clock_gettime(clockid_t clock, struct timespec *out)
{
    if (clock == CLOCK_REALTIME && wall.tv_sec != 0) {
        *out = wall;
        return 0;
    }
    return __real_clock_gettime(clock, out);
}

int __wrap_fstatvfs(int fd, struct statvfs *out)
{
    (void)fd;
    *out = room;
    return room_fails ? -1 : 0;
}

int __wrap_fstatvfs64(int fd, struct statvfs *out)
{
    return __wrap_fstatvfs(fd, out);
}

/* A store that has taken one message. */
static int begin(void **state)
{
    struct store_item once = scene_item("p", 1, scene_hash_a);

    (void)scene_set_up(state);
    wall.tv_sec = 0;
    backend = scene_open();
    scene_append(backend, &once, 1, true);
    return 0;
}

static int end(void **state)
{
    backend->ops->close(backend, false);
    return scene_tear_down(state);
}

static void assert_failed(enum store_result result, enum tlsmsg_code code, const char *doing,
                          int sqlite_code)
{
    char text[TEST_PATH_MAX + 128];

    assert_int_equal(result, STORE_RESULT_FAILED);
    (void)snprintf(text, sizeof(text), "cannot %s store '%s': " SQLITE_FAULT_WORDS "%d)", doing,
                   scene.path, sqlite_code);
    scene_assert_error(code, 0, text);
}

/* Of what had no room nothing is left, which is proved, or it is the end. */
static void assert_no_room(enum store_result result, bool is_early)
{
    assert_true(sqlite_fault_end());
    if (is_early) {
        assert_int_equal(result, STORE_RESULT_FAILED);
        scene_assert_error(TLSMSG_ERR_SYSTEM, 0, unproved);
        tlsmsg_error_clear(&scene.err);
    } else {
        assert_int_equal(result, STORE_RESULT_NO_ROOM);
        scene_assert_error(TLSMSG_OK, 0, "");
    }
}

/* ---- a batch */

static const struct append_row {
    const char *name;
    const char *sql;
    bool is_early; /* before it is known what there was: no rollback can be proved then */
} append_rows[] = {
    {"begin", "BEGIN", true},
    {"the last id", LAST_ID_SQL, true},
    {"a producer's number", "SELECT id, seq, seen", false},
    {"a stored hash", "SELECT hash", false},
    {"a message", "INSERT INTO message", false},
    {"a new producer", "INSERT INTO producer", false},
    {"producers", "UPDATE producer", false},
    {"commit", "COMMIT", false},
    {"what is run along", "DELETE FROM run", false},
};

/* A duplicate, the next message, and one of a new producer. */
static enum store_result try_three(struct store_item items[3])
{
    items[0] = scene_item("p", 1, scene_hash_a);
    items[1] = scene_item("p", 2, scene_hash_b);
    items[2] = scene_item("q", 1, scene_hash_a);
    return scene_try(backend, items, 3, true);
}

static void prepare_also(void)
{
    struct sqlite_backend *store = sqlite_of(backend);

    assert_int_equal(
        sqlite3_prepare_v2(store->db, "DELETE FROM run WHERE id < 0", -1, &store->also, NULL),
        SQLITE_OK);
}

static void drop_also(void)
{
    struct sqlite_backend *store = sqlite_of(backend);

    (void)sqlite3_finalize(store->also);
    store->also = NULL;
}

/* An error of the disk at any step is the end: nothing is tried again. */
static void test_append_fails(void **state)
{
    const struct append_row *row = *state;
    struct store_item items[3];
    enum store_result result;

    (void)begin(state);
    prepare_also();
    sqlite_fault_at(SQLITE_CALL_STEP, row->sql, 1, SQLITE_IOERR_WRITE);
    result = try_three(items);
    assert_failed(result, TLSMSG_ERR_SYSTEM, "write to", SQLITE_IOERR_WRITE);
    assert_true(sqlite_fault_end());
    drop_also();
    backend->ops->close(backend, true);
    assert_int_equal(scene_ask("SELECT count(*) FROM message"), 1);
    assert_int_equal(scene_ask("SELECT count(*) FROM producer"), 1);
    (void)scene_tear_down(state);
}

/* A full disk at any step leaves nothing behind, and the next attempt takes all of it. */
static void test_append_without_room(void **state)
{
    const struct append_row *row = *state;
    struct store_item items[3];

    (void)begin(state);
    prepare_also();
    sqlite_fault_at(SQLITE_CALL_STEP, row->sql, 1, SQLITE_FULL);
    assert_no_room(try_three(items), row->is_early);
    assert_int_equal(scene_ask("SELECT count(*) FROM message"), 1);
    assert_int_equal(scene_ask("SELECT seq FROM producer"), 1);
    assert_int_equal(try_three(items), STORE_RESULT_DONE);
    assert_int_equal(items[0].verdict, STORE_DUPLICATE);
    assert_int_equal(items[1].verdict, STORE_TAKEN);
    assert_int_equal(items[2].verdict, STORE_TAKEN);
    assert_int_equal(scene_ask("SELECT count(*) FROM message"), 3);
    drop_also();
    (void)end(state);
}

/* What SQLite says of a lock, in more words or fewer. */
static void test_a_lock_is_away_whatever_it_is_called(void **state)
{
    static const int codes[] = {SQLITE_BUSY, SQLITE_BUSY_RECOVERY, SQLITE_BUSY_SNAPSHOT};
    struct store_item items[3];
    unsigned rows = 9;
    size_t i;

    (void)state;
    for (i = 0; i < COUNT_OF(codes); i++) {
        sqlite_fault_at(SQLITE_CALL_STEP, "BEGIN", 1, codes[i]);
        assert_int_equal(try_three(items), STORE_RESULT_AWAY);
        sqlite_fault_at(SQLITE_CALL_STEP, "BEGIN", 1, codes[i]);
        assert_int_equal(backend->ops->prune(backend, 5000, 1, &rows, &scene.err),
                         STORE_RESULT_AWAY);
        assert_int_equal(rows, 0);
        rows = 9;
        sqlite_fault_at(SQLITE_CALL_STEP, "BEGIN", 1, codes[i]);
        assert_int_equal(backend->ops->forget(backend, 5000, 1, &rows, &scene.err),
                         STORE_RESULT_AWAY);
        assert_int_equal(rows, 0);
        assert_true(sqlite_fault_end());
        scene_assert_error(TLSMSG_OK, 0, "");
    }
}

static void test_no_memory_for_a_batch(void **state)
{
    struct store_item items[200];
    size_t i;

    (void)state;
    for (i = 0; i < COUNT_OF(items); i++) {
        items[i] = scene_item("p", i + 2, scene_hash_a);
    }
    failmalloc_at(1);
    assert_int_equal(scene_try(backend, items, COUNT_OF(items), true), STORE_RESULT_FAILED);
    failmalloc_at(0);
    scene_assert_error(TLSMSG_ERR_NOMEM, 0, "out of memory");
    tlsmsg_error_clear(&scene.err);
    scene_append(backend, items, COUNT_OF(items), true);
    assert_int_equal(scene_ask("SELECT count(*) FROM message"), 201);
}

/* ---- a rollback has to be proved */

static const struct proof_row {
    const char *name;
    enum sqlite_call call;
    const char *sql;
    unsigned nth;
    int result;
} proof_rows[] = {
    {"it did nothing", SQLITE_CALL_STEP, "ROLLBACK", 1, SQLITE_DONE},
    {"a transaction goes on", SQLITE_CALL_TXN_STATE, NULL, 1, SQLITE_TXN_READ},
    {"the last id is not told", SQLITE_CALL_STEP, LAST_ID_SQL, 2, SQLITE_IOERR_READ},
    {"the last id is another", SQLITE_CALL_STEP, LAST_ID_SQL, 2, SQLITE_ROW},
};

/* A message for which there is no room, and what else goes wrong then. */
static enum store_result try_when_full(enum sqlite_call call, const char *sql, unsigned nth,
                                       int result)
{
    struct store_item item = scene_item("p", 2, scene_hash_b);

    sqlite_fault_at(SQLITE_CALL_STEP, "INSERT INTO message", 1, SQLITE_FULL);
    sqlite_fault_also(call, sql, nth, result);
    return scene_try(backend, &item, 1, true);
}

static void test_rollback_is_not_proved(void **state)
{
    const struct proof_row *row = *state;

    (void)begin(state);
    assert_int_equal(try_when_full(row->call, row->sql, row->nth, row->result),
                     STORE_RESULT_FAILED);
    assert_true(sqlite_fault_end());
    scene_assert_error(TLSMSG_ERR_SYSTEM, 0, unproved);
    backend->ops->close(backend, true);
    (void)scene_tear_down(state);
}

static void test_a_rollback_that_fails(void **state)
{
    enum store_result result = try_when_full(SQLITE_CALL_STEP, "ROLLBACK", 1, SQLITE_IOERR_WRITE);

    (void)state;
    assert_failed(result, TLSMSG_ERR_SYSTEM, "roll back in", SQLITE_IOERR_WRITE);
    assert_true(sqlite_fault_end());
    assert_int_equal(sqlite3_exec(sqlite_of(backend)->db, "ROLLBACK", NULL, NULL, NULL), SQLITE_OK);
}

/* ---- upkeep */

static const struct upkeep_row {
    const char *name;
    const char *sql;
    bool forgets;
    bool is_early;
} upkeep_rows[] = {
    {"prune: the oldest", "SELECT id, time", false, true},
    {"prune: begin", "BEGIN", false, true},
    {"prune: the last id", LAST_ID_SQL, false, true},
    {"prune: messages", "DELETE FROM message", false, false},
    {"prune: commit", "COMMIT", false, false},
    {"forget: begin", "BEGIN", true, true},
    {"forget: the last id", LAST_ID_SQL, true, true},
    {"forget: producers", "DELETE FROM producer", true, false},
    {"forget: commit", "COMMIT", true, false},
};

static enum store_result look_after(const struct upkeep_row *row, unsigned *rows)
{
    *rows = 9;
    return row->forgets ? backend->ops->forget(backend, INT64_MAX, 10, rows, &scene.err)
                        : backend->ops->prune(backend, INT64_MAX, 10, rows, &scene.err);
}

/* One message to be pruned, one producer to be forgotten. */
static void begin_upkeep(void **state)
{
    (void)begin(state);
    (void)scene_ask("INSERT INTO producer(identity, name, seq, seen) VALUES('', '~gone', 1, 1)"
                    " RETURNING id");
}

static void test_upkeep_fails(void **state)
{
    const struct upkeep_row *row = *state;
    enum store_result result;
    unsigned rows;

    begin_upkeep(state);
    sqlite_fault_at(SQLITE_CALL_STEP, row->sql, 1, SQLITE_IOERR_READ);
    result = look_after(row, &rows);
    assert_failed(result, TLSMSG_ERR_SYSTEM, row->forgets ? "forget producers in" : "prune",
                  SQLITE_IOERR_READ);
    assert_true(sqlite_fault_end());
    assert_int_equal(rows, 0);
    backend->ops->close(backend, true);
    assert_int_equal(scene_ask("SELECT count(*) FROM message"), 1);
    assert_int_equal(scene_ask("SELECT count(*) FROM producer"), 2);
    (void)scene_tear_down(state);
}

static void test_upkeep_without_room(void **state)
{
    const struct upkeep_row *row = *state;
    unsigned rows;

    begin_upkeep(state);
    sqlite_fault_at(SQLITE_CALL_STEP, row->sql, 1, SQLITE_FULL);
    assert_no_room(look_after(row, &rows), row->is_early);
    assert_int_equal(rows, 0);
    assert_int_equal(look_after(row, &rows), STORE_RESULT_DONE);
    assert_int_equal(rows, 1);
    assert_int_equal(scene_ask("SELECT count(*) FROM message"), row->forgets ? 1 : 0);
    assert_int_equal(scene_ask("SELECT count(*) FROM producer"), row->forgets ? 1 : 2);
    (void)end(state);
}

/* Where nothing is due nobody is kept waiting, and nobody waited for. */
static void test_pruning_nothing_locks_nothing(void **state)
{
    unsigned rows = 9;

    (void)state;
    sqlite_fault_at(SQLITE_CALL_STEP, "BEGIN", 1, SQLITE_BUSY);
    assert_int_equal(backend->ops->prune(backend, 1001, 10, &rows, &scene.err), STORE_RESULT_DONE);
    assert_false(sqlite_fault_end());
    assert_int_equal(rows, 0);
}

static void append_long(uint64_t seq, size_t len)
{
    static const char body[4 * MIB] = "x";
    struct store_item item = scene_item("long", seq, scene_hash_a);

    item.body = body;
    item.body_len = len;
    scene_append(backend, &item, 1, true);
}

/* A step ends with the message that makes it four megabytes. */
static void test_a_step_of_pruning_has_a_bound_in_bytes(void **state)
{
    unsigned rows;

    (void)state;
    assert_int_equal(backend->ops->prune(backend, INT64_MAX, 10, &rows, &scene.err),
                     STORE_RESULT_DONE);
    append_long(1, 4 * MIB);
    append_long(2, 4 * MIB - 1);
    append_long(3, 1);
    append_long(4, 1);
    assert_int_equal(backend->ops->prune(backend, INT64_MAX, 10, &rows, &scene.err),
                     STORE_RESULT_DONE);
    assert_int_equal(rows, 1);
    assert_int_equal(backend->ops->prune(backend, INT64_MAX, 10, &rows, &scene.err),
                     STORE_RESULT_DONE);
    assert_int_equal(rows, 2);
    assert_int_equal(backend->ops->prune(backend, INT64_MAX, 10, &rows, &scene.err),
                     STORE_RESULT_DONE);
    assert_int_equal(rows, 1);
    assert_int_equal(scene_ask("SELECT count(*) FROM message"), 0);
}

static void test_forgetting_has_a_bound_in_rows(void **state)
{
    unsigned rows;

    (void)state;
    (void)scene_ask("INSERT INTO producer(identity, name, seq, seen) VALUES('', '~1', 1, 10),"
                    " ('', '~2', 1, 10), ('', '@3', 1, 10), ('', 'A', 1, 10) RETURNING id");
    assert_int_equal(backend->ops->forget(backend, 10, 2, &rows, &scene.err), STORE_RESULT_DONE);
    assert_int_equal(rows, 0);
    assert_int_equal(backend->ops->forget(backend, 11, 2, &rows, &scene.err), STORE_RESULT_DONE);
    assert_int_equal(rows, 2);
    assert_int_equal(backend->ops->forget(backend, 11, 2, &rows, &scene.err), STORE_RESULT_DONE);
    assert_int_equal(rows, 1);
    assert_int_equal(scene_ask("SELECT count(*) FROM producer WHERE name IN ('A', 'p')"), 2);
}

/* The file system's blocks that users may take, and the file's own free pages. */
static void test_room(void **state)
{
    uint64_t bytes = 7;
    int64_t free_pages;

    (void)state;
    append_long(1, MIB);
    (void)scene_ask("DELETE FROM message WHERE length(body) > 5 RETURNING id");
    free_pages = scene_ask("PRAGMA freelist_count");
    assert_true(free_pages > 200);
    room = (struct statvfs){.f_bavail = 1000, .f_bfree = 5000, .f_frsize = 512, .f_bsize = 4096};
    assert_true(backend->ops->room(backend, &bytes));
    assert_int_equal(bytes, 512000 + free_pages * scene_ask("PRAGMA page_size"));
    sqlite_fault_at(SQLITE_CALL_STEP, "PRAGMA freelist_count", 1, SQLITE_IOERR_READ);
    assert_false(backend->ops->room(backend, &bytes));
    assert_true(sqlite_fault_end());
    room_fails = true;
    assert_false(backend->ops->room(backend, &bytes));
    room_fails = false;
}

/* ---- the log */

static void test_the_log_is_moved_once_it_is_long(void **state)
{
    struct sqlite_backend *store = sqlite_of(backend);
    const uint64_t frame = (uint64_t)scene_ask("PRAGMA page_size") + 24;
    uint64_t log_bytes = 0;
    struct stat log;
    char name[TEST_PATH_MAX];

    (void)state;
    assert_int_equal(stat(test_folder_file(&scene.folder, "store.db-wal", name), &log), 0);
    sqlite_fault_at(SQLITE_CALL_CHECKPOINT, NULL, 99, SQLITE_OK);
    store->checkpoint_pages = store->log_pages + 1;
    assert_int_equal(backend->ops->tidy(backend, &log_bytes, &scene.err), STORE_RESULT_DONE);
    assert_int_equal(log_bytes, (uint64_t)log.st_size - 32);
    assert_int_equal(log_bytes, (uint64_t)store->log_pages * frame);
    assert_int_equal(sqlite_fault_calls(), 0);
    store->checkpoint_pages = store->log_pages;
    assert_int_equal(backend->ops->tidy(backend, &log_bytes, &scene.err), STORE_RESULT_DONE);
    assert_int_equal(sqlite_fault_calls(), 1);
    assert_int_equal(sqlite_last_checkpoint_mode(), SQLITE_CHECKPOINT_PASSIVE);
    (void)sqlite_fault_end();
}

static void test_a_log_that_can_not_be_moved(void **state)
{
    static const int harmless[] = {SQLITE_BUSY, SQLITE_BUSY_RECOVERY, SQLITE_FULL};
    uint64_t log_bytes;
    size_t i;

    (void)state;
    sqlite_of(backend)->checkpoint_pages = 0;
    for (i = 0; i < COUNT_OF(harmless); i++) {
        sqlite_fault_at(SQLITE_CALL_CHECKPOINT, NULL, 1, harmless[i]);
        assert_int_equal(backend->ops->tidy(backend, &log_bytes, &scene.err), STORE_RESULT_DONE);
        scene_assert_error(TLSMSG_OK, 0, "");
    }
    sqlite_fault_at(SQLITE_CALL_CHECKPOINT, NULL, 1, SQLITE_IOERR_FSYNC);
    assert_failed(backend->ops->tidy(backend, &log_bytes, &scene.err), TLSMSG_ERR_SYSTEM,
                  "checkpoint", SQLITE_IOERR_FSYNC);
    assert_true(sqlite_fault_end());
}

/* A store that has failed leaves its log to who comes next. */
static void test_what_has_failed_moves_no_log(void **state)
{
    struct stat log;
    char name[TEST_PATH_MAX];

    backend->ops->close(backend, true);
    assert_int_equal(stat(test_folder_file(&scene.folder, "store.db-wal", name), &log), 0);
    assert_true(log.st_size > 0);
    backend = scene_open();
    assert_int_equal(scene_ask("SELECT count(*) FROM message"), 1);
    backend->ops->close(backend, false);
    assert_int_not_equal(stat(name, &log), 0);
    (void)scene_tear_down(state);
}

/* What is seen of a producer is the wall's time, and later than before in any case. */
static void test_seen_is_the_time_and_grows(void **state)
{
    struct store_item once = scene_item("p", 1, scene_hash_a);

    (void)state;
    (void)scene_ask("UPDATE producer SET seen = 1795741801068 RETURNING seen");
    wall = (struct timespec){.tv_sec = 1795741801, .tv_nsec = 69999999};
    scene_append(backend, &once, 1, true);
    assert_int_equal(scene_ask("SELECT seen FROM producer"), INT64_C(1795741801069));
    scene_append(backend, &once, 1, true);
    assert_int_equal(scene_ask("SELECT seen FROM producer"), INT64_C(1795741801070));
    wall.tv_sec = 0;
}

/* A full disk is told with what to do; the code is the system's, whatever was done. */
static void test_a_full_disk_has_a_hint(void **state)
{
    static const struct {
        int result;
        int sys_errno;
        const char *end;
    } rows[] = {
        {SQLITE_IOERR_WRITE, ENOSPC, "778): No space left on device (try: make room)"},
        {SQLITE_IOERR_WRITE, EDQUOT, "778): Disk quota exceeded (try: make room)"},
        {SQLITE_FULL, 0, "13) (try: make room)"},
        {SQLITE_IOERR_WRITE, EIO, "778): Input/output error"},
    };
    struct sqlite_backend *store = sqlite_of(backend);
    char text[TEST_PATH_MAX + 128];
    size_t i;

    (void)state;
    for (i = 0; i < COUNT_OF(rows); i++) {
        sqlite_fault_at(SQLITE_CALL_EXEC, "PRAGMA", 1, rows[i].result);
        sqlite_fault_errno(rows[i].sys_errno);
        assert_int_equal(sqlite_db_configure(store->db, &store->file, &scene.err),
                         TLSMSG_ERR_SYSTEM);
        (void)snprintf(text, sizeof(text), "cannot set up store '%s': " SQLITE_FAULT_WORDS "%s",
                       scene.path, rows[i].end);
        scene_assert_error(TLSMSG_ERR_SYSTEM, rows[i].sys_errno, text);
        tlsmsg_error_clear(&scene.err);
    }
    sqlite_fault_at(SQLITE_CALL_EXEC, "PRAGMA", 1, SQLITE_FULL);
    (void)sqlite3_exec(store->db, "SELECT 1", NULL, NULL, NULL);
    assert_int_equal(sqlite_db_configure(store->db, &store->file, &scene.err), TLSMSG_ERR_SYSTEM);
    tlsmsg_error_clear(&scene.err);
    assert_int_equal(sqlite_db_error(store->db, &store->file, TLSMSG_ERR_CONFIG, "use", &scene.err),
                     TLSMSG_ERR_SYSTEM);
    assert_int_equal(scene.err.code, TLSMSG_ERR_SYSTEM);
    (void)sqlite_fault_end();
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_a_lock_is_away_whatever_it_is_called, begin, end),
        cmocka_unit_test_setup_teardown(test_no_memory_for_a_batch, begin, end),
        cmocka_unit_test_setup_teardown(test_a_rollback_that_fails, begin, end),
        cmocka_unit_test_setup_teardown(test_pruning_nothing_locks_nothing, begin, end),
        cmocka_unit_test_setup_teardown(test_a_step_of_pruning_has_a_bound_in_bytes, begin, end),
        cmocka_unit_test_setup_teardown(test_forgetting_has_a_bound_in_rows, begin, end),
        cmocka_unit_test_setup_teardown(test_room, begin, end),
        cmocka_unit_test_setup_teardown(test_the_log_is_moved_once_it_is_long, begin, end),
        cmocka_unit_test_setup_teardown(test_a_log_that_can_not_be_moved, begin, end),
        cmocka_unit_test_setup(test_what_has_failed_moves_no_log, begin),
        cmocka_unit_test_setup_teardown(test_seen_is_the_time_and_grows, begin, end),
        cmocka_unit_test_setup_teardown(test_a_full_disk_has_a_hint, begin, end),
    };
    int failed = cmocka_run_group_tests(tests, NULL, NULL);

    RUN_ROWS(failed, test_append_fails, append_rows);
    RUN_ROWS(failed, test_append_without_room, append_rows);
    RUN_ROWS(failed, test_rollback_is_not_proved, proof_rows);
    RUN_ROWS(failed, test_upkeep_fails, upkeep_rows);
    RUN_ROWS(failed, test_upkeep_without_room, upkeep_rows);
    return failed;
}
