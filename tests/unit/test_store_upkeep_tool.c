/* tlsmsg-store prune, backup and init: what they do to the file, how long they wait for others, and
 * what is told where something fails. */
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include <sqlite3.h>

#include "base/clock.h"
#include "support/sqlite_faults.h"
#include "support/system_faults.h"
#include "support/tool_run.h"
#include "support/unit.h"

#define PLANTED SQLITE_FAULT_WORDS
#define HUNDRED_MS (100 * (int64_t)CLOCK_NS_PER_MS)

/* Pauses, which take no time. */
static unsigned naps;
static int64_t nap_ns;
static void (*on_nap)(void);

int __wrap_nanosleep(const struct timespec *wanted, struct timespec *left);

int __wrap_nanosleep(const struct timespec *wanted, struct timespec *left)
{
    (void)left;
    naps++;
    nap_ns += (int64_t)wanted->tv_sec * CLOCK_NS_PER_S + wanted->tv_nsec;
    if (on_nap != NULL) {
        on_nap();
    }
    return 0;
}

static char copy[TEST_PATH_MAX];

static int begin(void **state)
{
    (void)scene_set_up(state);
    (void)test_folder_file(&scene.folder, "copy.db", copy);
    naps = 0;
    nap_ns = 0;
    on_nap = NULL;
    tool_init();
    tool_change("INSERT INTO producer VALUES(1, '', 'p', 0, 1)");
    return 0;
}

static int end(void **state)
{
    (void)sqlite_fault_end();
    system_faults_end();
    return scene_tear_down(state);
}

/* So many messages, the first of them a week old. */
static void add_many(unsigned count, unsigned old)
{
    char sql[512];

    (void)snprintf(sql, sizeof(sql),
                   "WITH RECURSIVE n(i) AS (VALUES(1) UNION ALL SELECT i + 1 FROM n WHERE i < %u)"
                   " INSERT INTO message(time, run, connection, peer, producer, seq, body)"
                   " SELECT 1000 * (strftime('%%s') - 604800 * (i <= %u)), 1, 1, 'a', 1, i,"
                   " zeroblob(100) FROM n",
                   count, old);
    tool_change(sql);
}

static int prune(const char *age)
{
    return tool_run("prune", scene.path, "--store-keep", age, NULL);
}

/* ---- prune */

static void test_prunes_in_steps(void **state)
{
    (void)state;
    add_many(1300, 1200);
    (void)prune("8d");
    tool_assert(0, "0 messages deleted\n", NULL);
    assert_int_equal(naps, 1);
    (void)prune("6d");
    tool_assert(0, "1200 messages deleted\n", NULL);
    assert_int_equal(scene_ask("SELECT count(*) FROM message"), 100);
    /* 500, 500, 200 and none: the server's commits come between. */
    assert_int_equal(naps, 5);
    assert_int_equal(nap_ns, 25 * (int64_t)CLOCK_NS_PER_MS);
}

/* Beside a server: what is in the log stays there. */
static void test_prune_leaves_the_log_to_the_server(void **state)
{
    struct stat log;
    char name[TEST_PATH_MAX];

    (void)state;
    add_many(10, 5);
    (void)prune("6d");
    tool_assert(0, "5 messages deleted\n", NULL);
    assert_int_equal(stat(test_folder_file(&scene.folder, "store.db-wal", name), &log), 0);
    assert_true(log.st_size > 0);
}

static void plant_locks(unsigned count)
{
    unsigned i;

    sqlite_fault_at(SQLITE_CALL_STEP, "BEGIN", 1, SQLITE_BUSY);
    for (i = 1; i < count; i++) {
        sqlite_fault_also(SQLITE_CALL_STEP, "BEGIN", 1, SQLITE_BUSY);
    }
}

static void test_prune_waits_for_a_lock(void **state)
{
    (void)state;
    add_many(10, 5);
    plant_locks(299);
    (void)prune("6d");
    tool_assert(0, "5 messages deleted\n", NULL);
    assert_true(sqlite_fault_end());
    assert_int_equal(naps, 301);
    assert_int_equal(nap_ns, 299 * HUNDRED_MS + 10 * (int64_t)CLOCK_NS_PER_MS);
}

static void test_prune_does_not_wait_for_ever(void **state)
{
    (void)state;
    add_many(10, 5);
    plant_locks(300);
    (void)prune("6d");
    tool_assert(1, "", "another program keeps the store locked");
    assert_true(sqlite_fault_end());
    assert_int_equal(naps, 300);
}

/* Only locks one behind the other count. */
static void test_prune_counts_locks_anew_behind_each_step(void **state)
{
    unsigned i;

    (void)state;
    add_many(1300, 1200);
    plant_locks(200);
    sqlite_fault_also(SQLITE_CALL_STEP, "BEGIN", 2, SQLITE_BUSY);
    for (i = 1; i < 200; i++) {
        sqlite_fault_also(SQLITE_CALL_STEP, "BEGIN", 2, SQLITE_BUSY);
    }
    (void)prune("6d");
    tool_assert(0, "1200 messages deleted\n", NULL);
}

static void test_prune_without_room(void **state)
{
    (void)state;
    add_many(10, 5);
    sqlite_fault_at(SQLITE_CALL_STEP, "COMMIT", 1, SQLITE_FULL);
    (void)prune("6d");
    tool_assert(1, "", "the file system is full");
    assert_true(sqlite_fault_end());
    assert_int_equal(scene_ask("SELECT count(*) FROM message"), 10);
}

static void test_prune_that_fails(void **state)
{
    (void)state;
    add_many(10, 5);
    sqlite_fault_at(SQLITE_CALL_STEP, "DELETE FROM message", 1, SQLITE_IOERR_WRITE);
    (void)prune("6d");
    tool_assert(1, "", "cannot prune store '%s': " PLANTED "778)");
    assert_true(sqlite_fault_end());
}

/* ---- backup */

static int backup(void)
{
    return tool_run("backup", scene.path, copy, NULL);
}

static int64_t ask_copy(const char *sql)
{
    char before[TEST_PATH_MAX];
    int64_t value;

    (void)snprintf(before, sizeof(before), "%s", scene.path);
    (void)snprintf(scene.path, sizeof(scene.path), "%s", copy);
    value = scene_ask(sql);
    (void)snprintf(scene.path, sizeof(scene.path), "%s", before);
    return value;
}

static void assert_copied(int64_t messages)
{
    struct stat status;

    tool_assert(0, "", NULL);
    assert_int_equal(stat(copy, &status), 0);
    assert_int_equal(status.st_mode & 07777, 0600);
    assert_int_equal(ask_copy("SELECT count(*) FROM message"), messages);
    assert_int_equal(ask_copy("PRAGMA application_id"), 0x746C736D);
}

static void take_some_away(void)
{
    tool_change("DELETE FROM message WHERE id <= 10");
}

static void test_a_backup_is_a_store(void **state)
{
    (void)state;
    add_many(3000, 0);
    (void)backup();
    assert_copied(3000);
    assert_int_equal(naps, 0);
    assert_int_equal(sqlite_last_backup_pages(), 256);
    /* What is there already is never written over. */
    take_some_away();
    (void)backup();
    assert_int_equal(tool_ran.exit, 2);
    assert_non_null(strstr(tool_ran.err, "tlsmsg-store: cannot make backup '"));
    assert_non_null(strstr(tool_ran.err, "copy.db': File exists\n"));
    assert_int_equal(ask_copy("SELECT count(*) FROM message"), 3000);
}

/* The error names the backup. */
static void assert_backup_fails(int exit, const char *first, const char *then)
{
    char text[TEST_PATH_MAX + 200];

    (void)snprintf(text, sizeof(text), "%s%s%s", first, then == NULL ? "" : copy,
                   then == NULL ? "" : then);
    tool_assert(exit, "", text);
    /* Nothing half made stays. */
    assert_int_not_equal(access(copy, F_OK), 0);
}

/* Whatever can't be opened on the way is told by its name. */
static void test_a_backup_and_what_it_opens(void **state)
{
    /* The first two of a run are the test's own. The store's folder, itself and its true folder come
     * next, twice where root looks whose they are; then the backup is made, and the same three of it
     * are synced. */
    const unsigned first = 3;
    const unsigned made = first + (geteuid() == 0 ? 6 : 3);
    unsigned n;

    (void)state;
    for (n = first; n <= made + 3; n++) {
        system_fault_at(SYSTEM_OPEN, n, EACCES);
        (void)backup();
        assert_int_equal(system_fault_left(SYSTEM_OPEN), 0);
        if (n < made) {
            tool_assert(2, "", "cannot open store '%s': Permission denied");
            assert_int_not_equal(access(copy, F_OK), 0);
        } else if (n == made) {
            assert_backup_fails(2, "cannot make backup '",
                                "': Permission denied (as the store's owner; try: a folder of "
                                "that user's)");
        } else {
            assert_backup_fails(2, "cannot open backup '", "': Permission denied");
        }
    }
    (void)backup();
    assert_copied(0);
}

static const struct backup_row {
    const char *name;
    enum sqlite_call call;
    unsigned nth;
    int result;
    int exit;
    const char *first;
    const char *then;
} backup_rows[] = {
    {"to open it", SQLITE_CALL_OPEN, 2, SQLITE_CANTOPEN, 2, "cannot open backup '",
     "': " PLANTED "14)"},
    {"to begin", SQLITE_CALL_BACKUP_INIT, 1, SQLITE_ERROR, 1, "cannot write to backup '",
     "': not an error (SQLite 0)"},
    {"a step", SQLITE_CALL_BACKUP_STEP, 2, SQLITE_IOERR_WRITE, 1, "cannot write to backup '",
     "': " PLANTED "778)"},
    {"no room", SQLITE_CALL_BACKUP_STEP, 1, SQLITE_FULL, 1, "cannot write to backup '",
     "': " PLANTED "13) (try: make room)"},
    {"to finish", SQLITE_CALL_BACKUP_FINISH, 1, SQLITE_IOERR_FSYNC, 1, "cannot write to backup '",
     "': " PLANTED "1034)"},
    {"to close", SQLITE_CALL_CLOSE, 1, SQLITE_BUSY, 1, "cannot close the backup", NULL},
};

static void test_backup_fails(void **state)
{
    const struct backup_row *row = *state;
    int descriptors;

    (void)begin(state);
    add_many(10000, 0);
    descriptors = scene_descriptors();
    sqlite_fault_at(row->call, NULL, row->nth, row->result);
    (void)backup();
    if (row->call == SQLITE_CALL_BACKUP_INIT) {
        (void)sqlite_fault_end();
        assert_int_equal(tool_ran.exit, 1);
        assert_non_null(strstr(tool_ran.err, "cannot write to backup '"));
        assert_int_not_equal(access(copy, F_OK), 0);
    } else {
        assert_true(sqlite_fault_end());
        assert_backup_fails(row->exit, row->first, row->then);
    }
    assert_int_equal(scene_descriptors(), descriptors);
    (void)end(state);
}

static void test_a_backup_that_can_not_be_synced(void **state)
{
    (void)state;
    system_fault_at(SYSTEM_FSYNC, 1, EIO);
    (void)backup();
    assert_backup_fails(1, "cannot sync the backup: Input/output error", NULL);
    system_fault_at(SYSTEM_FSYNC, 2, EIO);
    (void)backup();
    assert_backup_fails(1, "cannot sync the folder of backup '", "': Input/output error");
}

static void plant_busy_steps(unsigned count, int result)
{
    unsigned i;

    sqlite_fault_at(SQLITE_CALL_BACKUP_STEP, NULL, 1, result);
    for (i = 1; i < count; i++) {
        sqlite_fault_also(SQLITE_CALL_BACKUP_STEP, NULL, 1, result);
    }
}

/* A lock is waited for; when that happens again and again, one read takes all. */
static void test_a_backup_waits_for_locks(void **state)
{
    static const int locks[] = {SQLITE_BUSY, SQLITE_BUSY_RECOVERY, SQLITE_LOCKED};
    size_t i;

    (void)state;
    add_many(10000, 0);
    for (i = 0; i < COUNT_OF(locks); i++) {
        naps = 0;
        nap_ns = 0;
        plant_busy_steps(2, locks[i]);
        (void)backup();
        assert_true(sqlite_fault_end());
        assert_copied(10000);
        assert_int_equal(naps, 2);
        assert_int_equal(nap_ns, 2 * HUNDRED_MS);
        assert_int_equal(sqlite_last_backup_pages(), -1);
        assert_int_equal(unlink(copy), 0);
    }
    plant_busy_steps(1, SQLITE_BUSY);
    (void)backup();
    assert_true(sqlite_fault_end());
    assert_copied(10000);
    assert_int_equal(sqlite_last_backup_pages(), 256);
}

/* A server that writes meanwhile has the copy begin anew: a step then has brought it no further. */
static void test_a_backup_that_begins_anew(void **state)
{
    unsigned again;

    (void)state;
    add_many(10000, 0);
    for (again = 2; again <= 3; again++) {
        sqlite_fault_at(SQLITE_CALL_BACKUP_STEP, NULL, 2, SQLITE_OK);
        for (unsigned i = 1; i < again; i++) {
            sqlite_fault_also(SQLITE_CALL_BACKUP_STEP, NULL, 2, SQLITE_OK);
        }
        (void)backup();
        assert_true(sqlite_fault_end());
        assert_copied(10000);
        assert_int_equal(naps, 0);
        assert_int_equal(sqlite_last_backup_pages(), again == 3 ? -1 : 256);
        assert_int_equal(unlink(copy), 0);
    }
}

static void test_a_backup_does_not_wait_for_ever(void **state)
{
    (void)state;
    plant_busy_steps(400, SQLITE_BUSY);
    (void)backup();
    (void)sqlite_fault_end();
    assert_backup_fails(1, "cannot write to backup '", "': " PLANTED "5)");
    /* A step that brought it no further counts, too. */
    assert_int_equal(naps, 151);
}

/* ---- init */

static void test_init(void **state)
{
    struct stat status;
    char name[TEST_PATH_MAX];

    (void)state;
    add_many(3, 0);
    (void)tool_run("init", scene.path, NULL);
    tool_assert(0, "", NULL);
    assert_int_equal(scene_ask("SELECT count(*) FROM message"), 3);
    assert_int_equal(unlink(scene.path), 0);
    (void)tool_run("init", scene.path, NULL);
    tool_assert(0, "", NULL);
    assert_int_equal(stat(scene.path, &status), 0);
    assert_int_equal(status.st_mode & 07777, 0600);
    assert_int_equal(scene_ask("SELECT count(*) FROM message"), 0);
    assert_int_not_equal(stat(test_folder_file(&scene.folder, "store.db-wal", name), &status), 0);
    sqlite_fault_at(SQLITE_CALL_EXEC, "PRAGMA journal_mode", 1, SQLITE_IOERR_WRITE);
    (void)tool_run("init", scene.path, NULL);
    assert_true(sqlite_fault_end());
    tool_assert(1, "", "cannot set up store '%s': " PLANTED "778)");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_prunes_in_steps, begin, end),
        cmocka_unit_test_setup_teardown(test_prune_leaves_the_log_to_the_server, begin, end),
        cmocka_unit_test_setup_teardown(test_prune_waits_for_a_lock, begin, end),
        cmocka_unit_test_setup_teardown(test_prune_does_not_wait_for_ever, begin, end),
        cmocka_unit_test_setup_teardown(test_prune_counts_locks_anew_behind_each_step, begin, end),
        cmocka_unit_test_setup_teardown(test_prune_without_room, begin, end),
        cmocka_unit_test_setup_teardown(test_prune_that_fails, begin, end),
        cmocka_unit_test_setup_teardown(test_a_backup_is_a_store, begin, end),
        cmocka_unit_test_setup_teardown(test_a_backup_and_what_it_opens, begin, end),
        cmocka_unit_test_setup_teardown(test_a_backup_that_can_not_be_synced, begin, end),
        cmocka_unit_test_setup_teardown(test_a_backup_waits_for_locks, begin, end),
        cmocka_unit_test_setup_teardown(test_a_backup_does_not_wait_for_ever, begin, end),
        cmocka_unit_test_setup_teardown(test_a_backup_that_begins_anew, begin, end),
        cmocka_unit_test_setup_teardown(test_init, begin, end),
    };
    int failed = cmocka_run_group_tests(tests, NULL, NULL);

    RUN_ROWS(failed, test_backup_fails, backup_rows);
    return failed;
}
