/* Opening a store in a file: each step that fails, in whole texts, with nothing left open; and the run
 * that begins it. */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <sqlite3.h>

#include "base/error.h"
#include "store/sqlite.h"
#include "store/sqlite_internal.h"
#include "support/failmalloc.h"
#include "support/sqlite_faults.h"
#include "support/sqlite_scene.h"
#include "support/system_faults.h"
#include "support/unit.h"

#define NOBODY 65534
#define HEADER_BYTES 100
#define STORE_MARK "tlsm"
#define SPOOL_MARK "tlsp"

static struct store_backend *backend;

static int begin(void **state)
{
    backend = NULL;
    return scene_set_up(state);
}

static void make_store(void)
{
    backend = scene_open();
    backend->ops->close(backend, false);
    backend = NULL;
}

static void make_spool(void)
{
    assert_int_equal(sqlite_backend_open_spool(scene.path, &backend, &scene.err), TLSMSG_OK);
    backend->ops->close(backend, false);
    backend = NULL;
}

static enum tlsmsg_code open_store(void)
{
    return sqlite_backend_open(scene.path, SQLITE_CHECKPOINT_PAGES, &backend, &scene.err);
}

static enum tlsmsg_code open_spool(void)
{
    return sqlite_backend_open_spool(scene.path, &backend, &scene.err);
}

static enum tlsmsg_code join_store(void)
{
    return sqlite_backend_join(scene.path, &backend, &scene.err);
}

/* The text names the path between its two parts, where it has an end. */
static void assert_text(enum tlsmsg_code code, int sys_errno, const char *begin_text,
                        const char *end_text)
{
    char text[TEST_PATH_MAX + 200];

    (void)snprintf(text, sizeof(text), "%s%s%s", begin_text, end_text == NULL ? "" : scene.path,
                   end_text == NULL ? "" : end_text);
    scene_assert_error(code, sys_errno, text);
}

/* ---- steps that fail */

static const struct step_row {
    const char *name;
    enum sqlite_call call;
    const char *sql;
    int result;
    bool on_new; /* a store that is still to be made */
    enum tlsmsg_code code;
    const char *begin;
    const char *end;
} step_rows[] = {
    {"no memory for a connection", SQLITE_CALL_OPEN, NULL, SQLITE_NOMEM, false, TLSMSG_ERR_NOMEM,
     "out of memory", NULL},
    {"no connection", SQLITE_CALL_OPEN, NULL, SQLITE_CANTOPEN, false, TLSMSG_ERR_CONFIG,
     "cannot open store '", "': " SQLITE_FAULT_WORDS "14)"},
    {"pages can't be counted", SQLITE_CALL_STEP, "PRAGMA page_count", SQLITE_NOTADB, false,
     TLSMSG_ERR_CONFIG, "cannot read store '", "': " SQLITE_FAULT_WORDS "26)"},
    {"no mark", SQLITE_CALL_PREPARE, "PRAGMA application_id", SQLITE_NOTADB, false,
     TLSMSG_ERR_CONFIG, "cannot read store '", "': " SQLITE_FAULT_WORDS "26)"},
    {"pages that are damaged", SQLITE_CALL_STEP, "PRAGMA page_count", SQLITE_CORRUPT, false,
     TLSMSG_ERR_SYSTEM, "cannot read store '", "': " SQLITE_FAULT_WORDS "11)"},
    {"no version", SQLITE_CALL_STEP, "PRAGMA user_version", SQLITE_IOERR_READ, false,
     TLSMSG_ERR_SYSTEM, "cannot read store '", "': " SQLITE_FAULT_WORDS "266)"},
    {"no tables", SQLITE_CALL_EXEC, "BEGIN EXCLUSIVE", SQLITE_IOERR_WRITE, true, TLSMSG_ERR_SYSTEM,
     "cannot create store '", "': " SQLITE_FAULT_WORDS "778)"},
    {"no mark of ours", SQLITE_CALL_EXEC, "PRAGMA application_id", SQLITE_IOERR_WRITE, true,
     TLSMSG_ERR_SYSTEM, "cannot create store '", "': " SQLITE_FAULT_WORDS "778)"},
    {"no settings", SQLITE_CALL_EXEC, "PRAGMA journal_mode", SQLITE_IOERR_LOCK, false,
     TLSMSG_ERR_SYSTEM, "cannot set up store '", "': " SQLITE_FAULT_WORDS "3850)"},
    {"a table that lacks", SQLITE_CALL_PREPARE, "INSERT INTO message", SQLITE_ERROR, false,
     TLSMSG_ERR_CONFIG, "cannot use store '", "': " SQLITE_FAULT_WORDS "1)"},
    {"tables that are damaged", SQLITE_CALL_PREPARE, "INSERT INTO message", SQLITE_CORRUPT_INDEX,
     false, TLSMSG_ERR_SYSTEM, "cannot use store '", "': " SQLITE_FAULT_WORDS "779)"},
    {"no statement to forget", SQLITE_CALL_PREPARE, "DELETE FROM producer", SQLITE_ERROR, false,
     TLSMSG_ERR_CONFIG, "cannot use store '", "': " SQLITE_FAULT_WORDS "1)"},
    {"no page size", SQLITE_CALL_STEP, "PRAGMA page_size", SQLITE_IOERR_READ, false,
     TLSMSG_ERR_SYSTEM, "cannot read store '", "': " SQLITE_FAULT_WORDS "266)"},
};

static void test_step(void **state)
{
    const struct step_row *row = *state;
    int descriptors;

    (void)begin(state);
    if (!row->on_new) {
        make_store();
    }
    descriptors = scene_descriptors();
    sqlite_fault_at(row->call, row->sql, 1, row->result);
    assert_int_equal(open_store(), row->code);
    assert_true(sqlite_fault_end());
    assert_text(row->code, 0, row->begin, row->end);
    assert_null(backend);
    assert_int_equal(scene_descriptors(), descriptors);
    tlsmsg_error_clear(&scene.err);
    backend = scene_open();
    backend->ops->close(backend, false);
    (void)scene_tear_down(state);
}

static void test_no_memory_for_an_engine(void **state)
{
    enum tlsmsg_code code;

    (void)state;
    failmalloc_at(1);
    code = open_store();
    failmalloc_at(0);
    assert_int_equal(code, TLSMSG_ERR_NOMEM);
    assert_text(TLSMSG_ERR_NOMEM, 0, "out of memory", NULL);
}

/* The names that a creation leaves are made durable: of the file, and of its log with the run. */
static void test_a_folder_that_can_not_be_synced(void **state)
{
    (void)state;
    system_fault_at(SYSTEM_FSYNC, 1, EIO);
    assert_int_equal(open_store(), TLSMSG_ERR_SYSTEM);
    assert_text(TLSMSG_ERR_SYSTEM, EIO, "cannot sync the folder of store '",
                "': Input/output error");
    tlsmsg_error_clear(&scene.err);
    /* It is there now, and has nothing to make; its log is synced before the folder. */
    system_fault_at(SYSTEM_FSYNC, 1, EIO);
    assert_int_equal(open_store(), TLSMSG_OK);
    assert_int_equal(backend->ops->begin_run(backend, "@run", "1", &scene.err), TLSMSG_ERR_SYSTEM);
    assert_text(TLSMSG_ERR_SYSTEM, EIO, "cannot recover store '", "': Input/output error");
    tlsmsg_error_clear(&scene.err);
    system_fault_at(SYSTEM_FSYNC, 2, EIO);
    assert_int_equal(backend->ops->begin_run(backend, "@run", "1", &scene.err), TLSMSG_ERR_SYSTEM);
    assert_text(TLSMSG_ERR_SYSTEM, EIO, "cannot sync the folder of store '",
                "': Input/output error");
    system_faults_end();
    backend->ops->close(backend, true);
}

static void replace(void)
{
    char other[TEST_PATH_MAX];
    int fd = open(test_folder_file(&scene.folder, "other", other), O_WRONLY | O_CREAT, 0600);

    (void)close(fd);
    (void)rename(other, scene.path);
}

static void test_a_file_that_is_replaced_while_it_is_opened(void **state)
{
    int descriptors;

    (void)state;
    make_store();
    descriptors = scene_descriptors();
    sqlite_on_open = replace;
    assert_int_equal(open_store(), TLSMSG_ERR_CONFIG);
    sqlite_on_open = NULL;
    assert_text(TLSMSG_ERR_CONFIG, 0, "the store was replaced while it was opened", NULL);
    assert_int_equal(scene_descriptors(), descriptors);
}

/* ---- stores and spools */

static void test_each_kind_is_refused_as_the_other(void **state)
{
    (void)state;
    make_spool();
    assert_int_equal(open_store(), TLSMSG_ERR_CONFIG);
    assert_text(TLSMSG_ERR_CONFIG, 0, "'",
                "' is not a store, but a client's spool (try: another file)");
    tlsmsg_error_clear(&scene.err);
    assert_int_equal(join_store(), TLSMSG_ERR_CONFIG);
    assert_text(TLSMSG_ERR_CONFIG, 0, "'",
                "' is not a store, but a client's spool (try: another file)");
    tlsmsg_error_clear(&scene.err);
    assert_int_equal(unlink(scene.path), 0);
    make_store();
    assert_int_equal(open_spool(), TLSMSG_ERR_CONFIG);
    assert_text(TLSMSG_ERR_CONFIG, 0, "'",
                "' is not a spool, but a server's store (try: another file)");
}

/* Root could change what another one's client is to send; nobody else opens such a file. */
static void test_a_spool_is_ones_own(void **state)
{
    (void)state;
    if (geteuid() != 0) {
        skip();
    }
    make_spool();
    assert_int_equal(chown(scene.path, NOBODY, NOBODY), 0);
    assert_int_equal(open_spool(), TLSMSG_ERR_CONFIG);
    assert_text(TLSMSG_ERR_CONFIG, 0, "'", "' is another user's file (try: a file of your own)");
}

static void test_who_joins_makes_nothing(void **state)
{
    (void)state;
    assert_int_equal(join_store(), TLSMSG_ERR_CONFIG);
    assert_text(TLSMSG_ERR_CONFIG, ENOENT, "cannot open store '", "': No such file or directory");
    assert_int_not_equal(access(scene.path, F_OK), 0);
    tlsmsg_error_clear(&scene.err);
    (void)close(open(scene.path, O_WRONLY | O_CREAT, 0600));
    assert_int_equal(join_store(), TLSMSG_ERR_CONFIG);
    assert_text(TLSMSG_ERR_CONFIG, 0, "the store is empty (try: tlsmsg-store init)", NULL);
}

/* Beside the server that has it, whose messages it may prune. */
static void test_who_joins_takes_no_lock(void **state)
{
    struct store_item once = scene_item("p", 1, scene_hash_a);
    struct store_backend *server = scene_open();
    unsigned rows;

    (void)state;
    scene_append(server, &once, 1, true);
    assert_int_equal(join_store(), TLSMSG_OK);
    assert_int_equal(backend->ops->prune(backend, INT64_MAX, 10, &rows, &scene.err),
                     STORE_RESULT_DONE);
    assert_int_equal(rows, 1);
    assert_int_equal(sqlite_of(backend)->checkpoint_pages, SQLITE_CHECKPOINT_PAGES);
    backend->ops->close(backend, true);
    server->ops->close(server, false);
}

/* ---- the run */

static void test_a_run_waits_long_and_a_batch_does_not(void **state)
{
    struct store_item once = scene_item("p", 1, scene_hash_a);

    (void)state;
    assert_int_equal(open_store(), TLSMSG_OK);
    assert_int_equal(sqlite_last_busy_timeout(), 5000);
    assert_int_equal(backend->ops->begin_run(backend, "@run", "2.0", &scene.err), TLSMSG_OK);
    assert_int_equal(sqlite_last_busy_timeout(), 200);
    assert_int_equal(sqlite_last_checkpoint_mode(), SQLITE_CHECKPOINT_TRUNCATE);
    scene_append(backend, &once, 1, true);
    assert_int_equal(scene_ask("SELECT count(*) FROM run JOIN message ON run.id = message.run WHERE"
                               " name = '@run' AND version = '2.0' AND"
                               " abs(run.time - 1000 * strftime('%s')) < 60000"),
                     1);
    backend->ops->close(backend, false);
}

static const struct run_row {
    const char *name;
    enum sqlite_call call;
    const char *sql;
    int result;
    const char *doing;
} run_rows[] = {
    {"begin", SQLITE_CALL_STEP, "BEGIN", SQLITE_IOERR_LOCK, "cannot recover store '"},
    {"rollback", SQLITE_CALL_STEP, "ROLLBACK", SQLITE_IOERR_LOCK, "cannot recover store '"},
    {"checkpoint", SQLITE_CALL_CHECKPOINT, NULL, SQLITE_IOERR_LOCK, "cannot recover store '"},
    {"the row's statement", SQLITE_CALL_PREPARE, "INSERT INTO run", SQLITE_IOERR_LOCK,
     "cannot write to store '"},
    {"the row", SQLITE_CALL_STEP, "INSERT INTO run", SQLITE_IOERR_LOCK, "cannot write to store '"},
};

static void test_run_fails(void **state)
{
    const struct run_row *row = *state;

    (void)begin(state);
    assert_int_equal(open_store(), TLSMSG_OK);
    sqlite_fault_at(row->call, row->sql, 1, row->result);
    assert_int_equal(backend->ops->begin_run(backend, "@run", "1", &scene.err), TLSMSG_ERR_SYSTEM);
    assert_true(sqlite_fault_end());
    assert_text(TLSMSG_ERR_SYSTEM, 0, row->doing, "': " SQLITE_FAULT_WORDS "3850)");
    backend->ops->close(backend, true);
    assert_int_equal(scene_ask("SELECT count(*) FROM run"), 0);
    (void)scene_tear_down(state);
}

/* Somebody reads on and on: what a crash has left can't be moved to its place. */
static void test_a_log_that_is_held_is_told(void **state)
{
    static const char text[] = "another program keeps a transaction open in the store, which can't "
                               "be recovered meanwhile (try: end it)";

    (void)state;
    assert_int_equal(open_store(), TLSMSG_OK);
    sqlite_fault_at(SQLITE_CALL_CHECKPOINT, NULL, 1, SQLITE_BUSY_SNAPSHOT);
    assert_int_equal(backend->ops->begin_run(backend, "@run", "1", &scene.err), TLSMSG_ERR_SYSTEM);
    assert_true(sqlite_fault_end());
    assert_text(TLSMSG_ERR_SYSTEM, 0, text, NULL);
    tlsmsg_error_clear(&scene.err);
    sqlite_checkpoint_tells(3, 2);
    assert_int_equal(backend->ops->begin_run(backend, "@run", "1", &scene.err), TLSMSG_ERR_SYSTEM);
    (void)sqlite_fault_end();
    assert_text(TLSMSG_ERR_SYSTEM, 0, text, NULL);
    tlsmsg_error_clear(&scene.err);
    assert_int_equal(backend->ops->begin_run(backend, "@run", "1", &scene.err), TLSMSG_OK);
    backend->ops->close(backend, false);
}

static const struct proof_row {
    const char *name;
    const char *change; /* made before the proof; NULL: a fault is planted */
    const char *sql;
    const char *end;
} proof_rows[] = {
    {"no log", "PRAGMA journal_mode = DELETE", NULL,
     "' can't keep a promise: it keeps no write-ahead log"},
    {"no sync", "PRAGMA synchronous = NORMAL", NULL,
     "' can't keep a promise: it does not sync each commit"},
    {"no encoding", NULL, "PRAGMA encoding", "' can't keep a promise: its encoding is not UTF-8"},
};

static void test_proof(void **state)
{
    const struct proof_row *row = *state;
    enum store_promise promise = STORE_PROMISE_REPLICATED;

    (void)begin(state);
    backend = scene_open();
    assert_int_equal(backend->ops->prove(backend, &promise, &scene.err), TLSMSG_OK);
    assert_int_equal(promise, STORE_PROMISE_DISK);
    if (row->change != NULL) {
        assert_int_equal(sqlite3_exec(sqlite_of(backend)->db, row->change, NULL, NULL, NULL),
                         SQLITE_OK);
    } else {
        sqlite_fault_at(SQLITE_CALL_STEP, row->sql, 1, SQLITE_DONE);
    }
    assert_int_equal(backend->ops->prove(backend, &promise, &scene.err), TLSMSG_ERR_CONFIG);
    assert_text(TLSMSG_ERR_CONFIG, 0, "store '", row->end);
    (void)sqlite_fault_end();
    backend->ops->close(backend, false);
    (void)scene_tear_down(state);
}

/* What is asked of SQLite, beside what is proved. */
static void test_settings(void **state)
{
    static const struct {
        const char *sql;
        int64_t wanted;
    } rows[] = {{"PRAGMA journal_size_limit", 16777216},
                {"PRAGMA wal_autocheckpoint", 0},
                {"PRAGMA temp_store", 2},
                {"PRAGMA secure_delete", 2},
                {"PRAGMA application_id", 0x746C736D},
                {"PRAGMA user_version", 1}};
    static const int switched[][2] = {{SQLITE_DBCONFIG_DEFENSIVE, 1},
                                      {SQLITE_DBCONFIG_TRUSTED_SCHEMA, 0},
                                      {SQLITE_DBCONFIG_ENABLE_TRIGGER, 0}};
    sqlite3 *db;
    size_t i;

    (void)state;
    backend = scene_open();
    db = sqlite_of(backend)->db;
    for (i = 0; i < COUNT_OF(rows); i++) {
        int64_t value = -1;

        assert_int_equal(sqlite_db_number(db, rows[i].sql, &value), SQLITE_OK);
        assert_int_equal(value, rows[i].wanted);
    }
    for (i = 0; i < COUNT_OF(switched); i++) {
        int value = -1;

        assert_int_equal(sqlite3_db_config(db, switched[i][0], -1, &value), SQLITE_OK);
        assert_int_equal(value, switched[i][1]);
    }
    /* Of what went wrong all is told. */
    assert_int_equal(sqlite3_exec(db,
                                  "INSERT INTO producer(identity, name, seq, seen) VALUES('a', 'b',"
                                  " 0, 0), ('a', 'b', 0, 0)",
                                  NULL, NULL, NULL),
                     SQLITE_CONSTRAINT_UNIQUE);
    backend->ops->close(backend, false);
}

/* ---- a header, as --check reads it */

static const struct header_row {
    const char *name;
    size_t len;
    const char *magic;
    const char *mark;
    unsigned char version[4];
    const char *begin; /* NULL: it is one */
    const char *end;
} header_rows[] = {
    {"a store", HEADER_BYTES, "SQLite format 3", STORE_MARK, {0, 0, 0, 1}, NULL, NULL},
    {"an empty file", 0, "", "\0\0\0", {0}, NULL, NULL},
    {"a spool",
     HEADER_BYTES,
     "SQLite format 3",
     SPOOL_MARK,
     {0, 0, 0, 1},
     "'",
     "' is not a store, but a client's spool (try: another file)"},
    {"other magic",
     HEADER_BYTES,
     "SQLite format 4",
     STORE_MARK,
     {0, 0, 0, 1},
     "'",
     "' is not a store, nor empty"},
    {"a byte short",
     HEADER_BYTES - 1,
     "SQLite format 3",
     STORE_MARK,
     {0, 0, 0, 1},
     "'",
     "' is not a store, nor empty"},
    {"another mark",
     HEADER_BYTES,
     "SQLite format 3",
     "tlsn",
     {0, 0, 0, 1},
     "'",
     "' is not a store of tlsmsg, but another program's database"},
    {"no mark",
     HEADER_BYTES,
     "SQLite format 3",
     "\0\0\0",
     {0, 0, 0, 1},
     "'",
     "' is not a store of tlsmsg, but another program's database"},
    {"version 0",
     HEADER_BYTES,
     "SQLite format 3",
     STORE_MARK,
     {0, 0, 0, 0},
     "store '",
     "' has schema 0, and this program knows schema 1 (try: the version that made it)"},
    {"a version of four bytes",
     HEADER_BYTES,
     "SQLite format 3",
     STORE_MARK,
     {1, 2, 3, 4},
     "store '",
     "' has schema 16909060, and this program knows schema 1 (try: the version that made it)"},
};

static void write_header(const struct header_row *row)
{
    unsigned char header[HEADER_BYTES] = {0};
    FILE *file = fopen(scene.path, "wb");

    assert_non_null(file);
    memcpy(header, row->magic, strlen(row->magic) + 1);
    memcpy(header + 60, row->version, 4);
    memcpy(header + 68, row->mark, 4);
    assert_int_equal(fwrite(header, 1, row->len, file), row->len);
    assert_int_equal(fclose(file), 0);
}

static void test_header(void **state)
{
    const struct header_row *row = *state;
    int descriptors;

    (void)begin(state);
    write_header(row);
    descriptors = scene_descriptors();
    if (row->begin == NULL) {
        assert_int_equal(sqlite_db_check(scene.path, &scene.err), TLSMSG_OK);
        scene_assert_error(TLSMSG_OK, 0, "");
    } else {
        assert_int_equal(sqlite_db_check(scene.path, &scene.err), TLSMSG_ERR_CONFIG);
        assert_text(TLSMSG_ERR_CONFIG, 0, row->begin, row->end);
    }
    assert_int_equal(scene_descriptors(), descriptors);
    (void)scene_tear_down(state);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_no_memory_for_an_engine, begin, scene_tear_down),
        cmocka_unit_test_setup_teardown(test_a_folder_that_can_not_be_synced, begin,
                                        scene_tear_down),
        cmocka_unit_test_setup_teardown(test_a_file_that_is_replaced_while_it_is_opened, begin,
                                        scene_tear_down),
        cmocka_unit_test_setup_teardown(test_each_kind_is_refused_as_the_other, begin,
                                        scene_tear_down),
        cmocka_unit_test_setup_teardown(test_a_spool_is_ones_own, begin, scene_tear_down),
        cmocka_unit_test_setup_teardown(test_who_joins_makes_nothing, begin, scene_tear_down),
        cmocka_unit_test_setup_teardown(test_who_joins_takes_no_lock, begin, scene_tear_down),
        cmocka_unit_test_setup_teardown(test_a_run_waits_long_and_a_batch_does_not, begin,
                                        scene_tear_down),
        cmocka_unit_test_setup_teardown(test_a_log_that_is_held_is_told, begin, scene_tear_down),
        cmocka_unit_test_setup_teardown(test_settings, begin, scene_tear_down),
    };
    int failed = cmocka_run_group_tests(tests, NULL, NULL);

    RUN_ROWS(failed, test_step, step_rows);
    RUN_ROWS(failed, test_run_fails, run_rows);
    RUN_ROWS(failed, test_proof, proof_rows);
    RUN_ROWS(failed, test_header, header_rows);
    return failed;
}
