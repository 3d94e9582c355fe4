/* A client's spool when something fails: what it tells, whether it may go on, and what it holds then. */
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <time.h>

#include <sqlite3.h>

#include "base/error.h"
#include "store/spool.h"
#include "support/failmalloc.h"
#include "support/sqlite_faults.h"
#include "support/sqlite_scene.h"
#include "support/system_faults.h"
#include "support/unit.h"

#define MIB ((uint64_t)1024 * 1024)

static struct spool *spool;
static struct statvfs room;
static bool room_fails;

int __wrap_fstatvfs(int fd, struct statvfs *out);
int __wrap_fstatvfs64(int fd, struct statvfs *out);

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

static void set_room(uint64_t bytes)
{
    room = (struct statvfs){.f_bavail = bytes, .f_frsize = 1};
}

static enum tlsmsg_code open_spool(void)
{
    spool = NULL;
    return spool_open(scene.path, "1.0", &spool, &scene.err);
}

static int begin(void **state)
{
    (void)scene_set_up(state);
    room_fails = false;
    set_room(100 * MIB);
    if (open_spool() != TLSMSG_OK) {
        fail_msg("%s", scene.err.text);
    }
    return 0;
}

static int end(void **state)
{
    spool_close(spool);
    system_faults_end();
    return scene_tear_down(state);
}

static enum tlsmsg_code keep(const char *text, size_t len, bool sends)
{
    struct spool_message message = {.body = text, .len = len, .hash = scene_hash_a};

    return spool_keep(spool, &message, 1, sends, &scene.err);
}

static void keep_one(bool sends)
{
    assert_int_equal(keep("a", 1, sends), TLSMSG_OK);
}

static void assert_says(enum tlsmsg_code code, int sys_errno, const char *text)
{
    scene_assert_error(code, sys_errno, text);
    tlsmsg_error_clear(&scene.err);
}

/* SQLite's error of the given words. */
static void assert_fault(const char *doing, int sqlite_code)
{
    char text[TEST_PATH_MAX + 100];

    (void)snprintf(text, sizeof(text), "cannot %s spool '%s': " SQLITE_FAULT_WORDS "%d)", doing,
                   scene.path, sqlite_code);
    assert_true(sqlite_fault_end());
    assert_says(TLSMSG_ERR_SYSTEM, 0, text);
}

static void assert_usable(bool usable)
{
    uint64_t count;

    assert_int_equal(spool_waiting(spool, &count, &scene.err),
                     usable ? TLSMSG_OK : TLSMSG_ERR_SYSTEM);
    assert_says(usable ? TLSMSG_OK : TLSMSG_ERR_SYSTEM, 0, usable ? "" : "the spool has failed");
}

/* ---- opening */

static const struct open_row {
    const char *name;
    enum sqlite_call call;
    const char *sql;
    unsigned nth;
    const char *doing;
} open_rows[] = {
    {"a look for its own rows", SQLITE_CALL_PREPARE, "SELECT own.id", 1, "read"},
    {"its own rows", SQLITE_CALL_STEP, "SELECT own.id", 1, "read"},
    {"begin", SQLITE_CALL_STEP, "BEGIN", 2, "write to"},
    {"runs that have ended", SQLITE_CALL_EXEC, "DELETE FROM run", 1, "write to"},
    {"its own rows, new", SQLITE_CALL_EXEC, "INSERT INTO producer", 1, "write to"},
    {"commit", SQLITE_CALL_STEP, "COMMIT", 1, "write to"},
    {"its own rows again", SQLITE_CALL_STEP, "SELECT own.id", 2, "read"},
    {"to read the next", SQLITE_CALL_PREPARE, "SELECT seq, body, hash", 1, "use"},
    {"to remove", SQLITE_CALL_PREPARE, "DELETE FROM message WHERE producer", 1, "use"},
    {"to note what is sent", SQLITE_CALL_PREPARE, "UPDATE producer SET seq = ?1 WHERE identity", 1,
     "use"},
    {"a run", SQLITE_CALL_STEP, "INSERT INTO run", 1, "write to"},
};

static void test_open_fails(void **state)
{
    const struct open_row *row = *state;
    int descriptors;

    (void)scene_set_up(state);
    descriptors = scene_descriptors();
    sqlite_fault_at(row->call, row->sql, row->nth, SQLITE_IOERR_READ);
    assert_int_equal(open_spool(), TLSMSG_ERR_SYSTEM);
    assert_fault(row->doing, SQLITE_IOERR_READ);
    assert_null(spool);
    assert_int_equal(scene_descriptors(), descriptors);
    assert_int_equal(open_spool(), TLSMSG_OK);
    (void)end(state);
}

static void test_open_without_what_it_needs(void **state)
{
    char text[TEST_PATH_MAX + 100];
    enum tlsmsg_code code;

    (void)state;
    spool_close(spool);
    failmalloc_at(1);
    code = open_spool();
    failmalloc_at(0);
    assert_int_equal(code, TLSMSG_ERR_NOMEM);
    assert_says(TLSMSG_ERR_NOMEM, 0, "out of memory");
    failmalloc_at(2);
    code = open_spool();
    failmalloc_at(0);
    assert_int_equal(code, TLSMSG_ERR_NOMEM);
    assert_says(TLSMSG_ERR_NOMEM, 0, "out of memory");
    sqlite_fault_at(SQLITE_CALL_STEP, "PRAGMA synchronous", 1, SQLITE_DONE);
    assert_int_equal(open_spool(), TLSMSG_ERR_CONFIG);
    (void)sqlite_fault_end();
    (void)snprintf(text, sizeof(text),
                   "spool '%s' can't keep a promise: it does not sync each commit", scene.path);
    assert_says(TLSMSG_ERR_CONFIG, 0, text);
    test_folder_remove(&scene.folder);
    (void)scene_set_up(state);
    system_fault_at(SYSTEM_GETENTROPY, 1, EIO);
    assert_int_equal(open_spool(), TLSMSG_ERR_SYSTEM);
    assert_says(TLSMSG_ERR_SYSTEM, EIO, "cannot get random bytes: Input/output error");
    assert_null(spool);
    spool_close(NULL);
}

/* A name that no other spool has, and no rows of runs but this one. */
static void test_a_spool_has_a_name_for_good(void **state)
{
    char name[64];
    char other[TEST_PATH_MAX];
    struct spool *second = NULL;

    (void)state;
    (void)snprintf(name, sizeof(name), "%s", spool_producer(spool));
    assert_int_equal(strncmp(name, "spool-", 6), 0);
    assert_int_equal(strspn(name + 6, "0123456789abcdef"), 32);
    assert_int_equal(strlen(name), 38);
    assert_int_equal(spool_last(spool), 0);
    assert_int_equal(
        spool_open(test_folder_file(&scene.folder, "other.db", other), "1", &second, &scene.err),
        TLSMSG_OK);
    assert_string_not_equal(spool_producer(second), name);
    spool_close(second);
    keep_one(true);
    spool_close(spool);
    assert_int_equal(open_spool(), TLSMSG_OK);
    assert_string_equal(spool_producer(spool), name);
    assert_int_equal(spool_last(spool), 1);
    assert_int_equal(scene_ask("SELECT count(*) FROM run"), 1);
    assert_int_equal(scene_ask("SELECT version = '1.0' AND name = '@spool' FROM run"), 1);
    assert_int_equal(scene_ask("SELECT count(*) FROM producer"), 2);
}

/* ---- keeping */

static void test_what_is_kept(void **state)
{
    struct timespec before;
    struct timespec after;
    int64_t time_ms;

    (void)state;
    (void)clock_gettime(CLOCK_REALTIME, &before);
    keep_one(false);
    (void)clock_gettime(CLOCK_REALTIME, &after);
    assert_int_equal(
        scene_ask("SELECT message.connection = 1 AND message.peer = '' AND message.seq = 1 AND"
                  " message.body = CAST('a' AS BLOB) AND length(message.hash) = 32 AND"
                  " producer.identity = '@spool' AND producer.seq = 1"
                  " FROM message JOIN producer ON producer.id = message.producer"),
        1);
    time_ms = scene_ask("SELECT time FROM message");
    assert_in_range(time_ms, before.tv_sec * 1000 + before.tv_nsec / 1000000,
                    after.tv_sec * 1000 + after.tv_nsec / 1000000);
    assert_int_equal(scene_ask("SELECT seq FROM producer WHERE identity = '@sent'"), 0);
    keep_one(true);
    assert_int_equal(scene_ask("SELECT seq FROM producer WHERE identity = '@sent'"), 2);
    assert_int_equal(spool_last(spool), 2);
    keep_one(false);
    assert_int_equal(scene_ask("SELECT seq FROM producer WHERE identity = '@sent'"), 2);
}

static void test_no_memory_to_keep(void **state)
{
    enum tlsmsg_code code;

    (void)state;
    for (size_t n = 1; n <= 2; n++) {
        failmalloc_at(n);
        code = keep("a", 1, true);
        failmalloc_at(0);
        assert_int_equal(code, TLSMSG_ERR_NOMEM);
        assert_says(TLSMSG_ERR_NOMEM, 0, "out of memory");
        assert_int_equal(spool_last(spool), 0);
    }
    keep_one(true);
    assert_int_equal(spool_last(spool), 1);
    assert_usable(true);
}

/* A megabyte stays free, room for all of the log in the file, and twice what is kept. */
static void test_the_room_that_is_needed_to_the_byte(void **state)
{
    static const char body[1000] = "x";
    struct spool_message messages[] = {{.body = body, .len = 1000, .hash = scene_hash_a},
                                       {.body = body, .len = 10, .hash = scene_hash_a}};
    char name[TEST_PATH_MAX];
    struct stat status;
    uint64_t log;
    uint64_t page;

    (void)state;
    keep_one(true);
    page = (uint64_t)scene_ask("PRAGMA page_size");
    /* The log's pages, without its header and those of its frames. */
    assert_int_equal(stat(test_folder_file(&scene.folder, "store.db-wal", name), &status), 0);
    log = ((uint64_t)status.st_size - 32) / (page + 24) * page;
    set_room(MIB + log + 2 * 1010 - 1);
    assert_int_equal(spool_keep(spool, messages, 2, true, &scene.err), TLSMSG_ERR_LIMIT);
    assert_says(TLSMSG_ERR_LIMIT, 0, "the spool has no room (try: make some)");
    assert_int_equal(scene_ask("SELECT count(*) FROM message"), 1);
    assert_usable(true);
    set_room(MIB + log + 2 * 1010);
    assert_int_equal(spool_keep(spool, messages, 2, true, &scene.err), TLSMSG_OK);
    assert_int_equal(messages[1].number, 3);
    set_room(0);
    room_fails = true;
    assert_int_equal(spool_keep(spool, messages, 2, true, &scene.err), TLSMSG_OK);
    assert_int_equal(messages[0].number, 4);
}

static void test_a_number_that_somebody_else_has_taken(void **state)
{
    (void)state;
    keep_one(true);
    (void)scene_ask("UPDATE producer SET seq = 5 WHERE identity = '@spool' RETURNING id");
    assert_int_equal(keep("b", 1, true), TLSMSG_ERR_SYSTEM);
    assert_says(TLSMSG_ERR_SYSTEM, 0, "the spool was changed by another program meanwhile");
    assert_usable(false);
}

/* ---- what a change of the spool meets */

enum change { KEEP, ANSWERED, WILL_SEND };

static const struct change_row {
    const char *name;
    enum change change;
    const char *sql;
} change_rows[] = {
    {"keep: begin", KEEP, "BEGIN"},
    {"keep: a message", KEEP, "INSERT INTO message"},
    {"keep: what is sent", KEEP, "UPDATE producer SET seq = ?1"},
    {"keep: commit", KEEP, "COMMIT"},
    {"answered: begin", ANSWERED, "BEGIN"},
    {"answered: the last id", ANSWERED, "SELECT max(id)"},
    {"answered: remove", ANSWERED, "DELETE FROM message"},
    {"answered: commit", ANSWERED, "COMMIT"},
    {"will send: begin", WILL_SEND, "BEGIN"},
    {"will send: the last id", WILL_SEND, "SELECT max(id)"},
    {"will send: the mark", WILL_SEND, "UPDATE producer SET seq = ?1"},
    {"will send: commit", WILL_SEND, "COMMIT"},
};

static enum tlsmsg_code change(enum change which)
{
    switch (which) {
    case KEEP:
        return keep("b", 1, true);
    case ANSWERED:
        return spool_answered(spool, 1, &scene.err);
    default:
        return spool_will_send(spool, &scene.err);
    }
}

static void test_change_fails(void **state)
{
    const struct change_row *row = *state;

    (void)begin(state);
    keep_one(false);
    sqlite_fault_at(SQLITE_CALL_STEP, row->sql, 1, SQLITE_IOERR_WRITE);
    assert_int_equal(change(row->change), TLSMSG_ERR_SYSTEM);
    assert_fault("write to", SQLITE_IOERR_WRITE);
    assert_usable(false);
    spool_close(spool);
    spool = NULL;
    assert_int_equal(scene_ask("SELECT count(*) FROM message"), 1);
    assert_int_equal(scene_ask("SELECT seq FROM producer WHERE identity = '@sent'"), 0);
    (void)end(state);
}

/* Where there is no room the log is moved, and all is as it was. */
static void test_change_without_room(void **state)
{
    const enum change *which = *state;
    unsigned tries = *which == WILL_SEND ? 2 : 1;

    (void)begin(state);
    keep_one(false);
    sqlite_fault_at(SQLITE_CALL_CHECKPOINT, NULL, 99, SQLITE_OK);
    for (unsigned i = 0; i < tries; i++) {
        sqlite_fault_also(SQLITE_CALL_STEP, "COMMIT", 1, SQLITE_FULL);
    }
    assert_int_equal(change(*which), TLSMSG_ERR_LIMIT);
    assert_int_equal(sqlite_fault_calls(), tries);
    assert_int_equal(sqlite_last_checkpoint_mode(), SQLITE_CHECKPOINT_PASSIVE);
    (void)sqlite_fault_end();
    assert_says(TLSMSG_ERR_LIMIT, 0, "the spool has no room (try: make some)");
    assert_usable(true);
    assert_int_equal(scene_ask("SELECT count(*) FROM message"), 1);
    assert_int_equal(scene_ask("SELECT seq FROM producer WHERE identity = '@sent'"), 0);
    assert_int_equal(change(*which), TLSMSG_OK);
    scene_assert_error(TLSMSG_OK, 0, "");
    (void)end(state);
}

static void test_change_while_another_writes(void **state)
{
    const enum change *which = *state;

    (void)begin(state);
    keep_one(false);
    sqlite_fault_at(SQLITE_CALL_STEP, "BEGIN", 1, SQLITE_BUSY);
    sqlite_fault_also(SQLITE_CALL_STEP, "BEGIN", 1, SQLITE_BUSY);
    assert_int_equal(change(*which), TLSMSG_ERR_LIMIT);
    (void)sqlite_fault_end();
    assert_says(TLSMSG_ERR_LIMIT, 0, "another program writes to the spool (try: end it)");
    assert_usable(true);
    assert_int_equal(change(*which), TLSMSG_OK);
    (void)end(state);
}

static const struct named_change {
    enum change change;
    const char *name;
} changes[] = {{KEEP, "keep"}, {ANSWERED, "answered"}, {WILL_SEND, "will send"}};

/* A log that can't be moved is the end, unless it is in use or the disk is full. */
static void test_a_log_that_can_not_be_moved(void **state)
{
    static const int harmless[] = {SQLITE_BUSY_RECOVERY, SQLITE_FULL};
    size_t i;

    (void)state;
    for (i = 0; i < COUNT_OF(harmless); i++) {
        sqlite_fault_at(SQLITE_CALL_CHECKPOINT, NULL, 1, harmless[i]);
        sqlite_fault_also(SQLITE_CALL_STEP, "COMMIT", 1, SQLITE_FULL);
        assert_int_equal(keep("a", 1, true), TLSMSG_ERR_LIMIT);
        assert_true(sqlite_fault_end());
        assert_says(TLSMSG_ERR_LIMIT, 0, "the spool has no room (try: make some)");
    }
    sqlite_fault_at(SQLITE_CALL_CHECKPOINT, NULL, 1, SQLITE_IOERR_FSYNC);
    sqlite_fault_also(SQLITE_CALL_STEP, "COMMIT", 1, SQLITE_FULL);
    assert_int_equal(keep("a", 1, true), TLSMSG_ERR_SYSTEM);
    assert_fault("checkpoint", SQLITE_IOERR_FSYNC);
    assert_usable(false);
}

/* Behind a long log, whichever change made it long. */
static void test_a_long_log_is_moved(void **state)
{
    static const char body[5 * 1024 * 1024] = "x";

    (void)state;
    set_room(1000 * MIB);
    sqlite_fault_at(SQLITE_CALL_CHECKPOINT, NULL, 1, SQLITE_IOERR_FSYNC);
    assert_int_equal(keep(body, sizeof(body), true), TLSMSG_ERR_SYSTEM);
    assert_fault("checkpoint", SQLITE_IOERR_FSYNC);
    /* It is kept all the same. */
    assert_int_equal(spool_last(spool), 1);
    assert_usable(false);
    spool_close(spool);
    assert_int_equal(open_spool(), TLSMSG_OK);
    assert_int_equal(spool_last(spool), 1);
    keep_one(true);
    sqlite_fault_at(SQLITE_CALL_CHECKPOINT, NULL, 1, SQLITE_IOERR_FSYNC);
    assert_int_equal(keep(body, sizeof(body), true), TLSMSG_ERR_SYSTEM);
    (void)sqlite_fault_end();
    tlsmsg_error_clear(&scene.err);
    sqlite_fault_at(SQLITE_CALL_CHECKPOINT, NULL, 1, SQLITE_IOERR_FSYNC);
    assert_int_equal(spool_answered(spool, 1, &scene.err), TLSMSG_ERR_SYSTEM);
    assert_fault("checkpoint", SQLITE_IOERR_FSYNC);
}

/* ---- reading, and what is sent */

static void test_a_read_that_fails(void **state)
{
    struct spool_message message = {.number = 9, .body = "x", .len = 1};
    uint64_t first = 9;

    (void)state;
    keep_one(true);
    sqlite_fault_at(SQLITE_CALL_STEP, "SELECT seq, body, hash", 1, SQLITE_IOERR_READ);
    assert_int_equal(spool_next(spool, 0, &message, &scene.err), TLSMSG_ERR_SYSTEM);
    assert_fault("read", SQLITE_IOERR_READ);
    assert_int_equal(message.number, 0);
    assert_null(message.body);
    assert_usable(false);
    sqlite_fault_at(SQLITE_CALL_STEP, "SELECT seq, body, hash", 1, SQLITE_IOERR_READ);
    assert_int_equal(spool_meet(spool, 1, &first, &scene.err), TLSMSG_ERR_SYSTEM);
    assert_fault("read", SQLITE_IOERR_READ);
    assert_int_equal(first, 0);
}

static void test_waiting_that_can_not_be_counted(void **state)
{
    uint64_t count = 9;

    (void)state;
    sqlite_fault_at(SQLITE_CALL_STEP, "SELECT count(*)", 1, SQLITE_IOERR_READ);
    assert_int_equal(spool_waiting(spool, &count, &scene.err), TLSMSG_ERR_SYSTEM);
    assert_fault("read", SQLITE_IOERR_READ);
    assert_int_equal(count, 9);
    assert_usable(false);
}

/* A read that goes on would keep the log from being moved: it ends before anything is written. */
static void test_no_read_goes_on_into_a_change(void **state)
{
    struct spool_message message;
    size_t i;

    (void)state;
    keep_one(false);
    keep_one(false);
    for (i = 0; i < COUNT_OF(changes); i++) {
        assert_int_equal(spool_next(spool, 0, &message, &scene.err), TLSMSG_OK);
        assert_true(message.number > 0);
        sqlite_fault_at(SQLITE_CALL_STEP, "BEGIN", 99, SQLITE_OK);
        assert_int_equal(change(i == 0 ? ANSWERED : i == 1 ? WILL_SEND : KEEP), TLSMSG_OK);
        assert_int_equal(sqlite_fault_calls(), 1);
        (void)sqlite_fault_end();
        assert_int_equal(sqlite_busy_at_begin(), 0);
    }
}

static void test_nothing_new_to_send_writes_nothing(void **state)
{
    (void)state;
    sqlite_fault_at(SQLITE_CALL_STEP, "BEGIN", 1, SQLITE_IOERR_WRITE);
    assert_int_equal(spool_will_send(spool, &scene.err), TLSMSG_OK);
    assert_false(sqlite_fault_end());
    keep_one(false);
    assert_int_equal(spool_will_send(spool, &scene.err), TLSMSG_OK);
    assert_int_equal(scene_ask("SELECT seq FROM producer WHERE identity = '@sent'"), 1);
    sqlite_fault_at(SQLITE_CALL_STEP, "BEGIN", 1, SQLITE_IOERR_WRITE);
    assert_int_equal(spool_will_send(spool, &scene.err), TLSMSG_OK);
    assert_false(sqlite_fault_end());
}

/* Without room it is tried a second time, in the log that begins anew. */
static void test_what_is_sent_is_noted_at_the_second_try(void **state)
{
    uint64_t first;

    (void)state;
    keep_one(false);
    sqlite_fault_at(SQLITE_CALL_STEP, "COMMIT", 1, SQLITE_FULL);
    assert_int_equal(spool_will_send(spool, &scene.err), TLSMSG_OK);
    assert_true(sqlite_fault_end());
    tlsmsg_error_clear(&scene.err);
    assert_int_equal(spool_meet(spool, 1, &first, &scene.err), TLSMSG_OK);
    assert_int_equal(first, 1);
    assert_int_equal(scene_ask("SELECT seq FROM producer WHERE identity = '@sent'"), 1);
}

static void test_a_server_that_knows_more(void **state)
{
    char text[TEST_PATH_MAX + 200];
    uint64_t first = 9;

    (void)state;
    keep_one(true);
    keep_one(false);
    assert_int_equal(spool_meet(spool, 2, &first, &scene.err), TLSMSG_ERR_CONFIG);
    (void)snprintf(text, sizeof(text),
                   "the server has message 2 of spool '%s', which has sent up to 1 only: it was "
                   "set back or copied (try: a new file; tlsmsg-store list shows what waits in "
                   "this one)",
                   scene.path);
    assert_says(TLSMSG_ERR_CONFIG, 0, text);
    assert_int_equal(first, 0);
    assert_int_equal(spool_meet(spool, 1, &first, &scene.err), TLSMSG_OK);
    assert_int_equal(first, 1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_open_without_what_it_needs, begin, end),
        cmocka_unit_test_setup_teardown(test_a_spool_has_a_name_for_good, begin, end),
        cmocka_unit_test_setup_teardown(test_what_is_kept, begin, end),
        cmocka_unit_test_setup_teardown(test_no_memory_to_keep, begin, end),
        cmocka_unit_test_setup_teardown(test_the_room_that_is_needed_to_the_byte, begin, end),
        cmocka_unit_test_setup_teardown(test_a_number_that_somebody_else_has_taken, begin, end),
        cmocka_unit_test_setup_teardown(test_a_log_that_can_not_be_moved, begin, end),
        cmocka_unit_test_setup_teardown(test_a_long_log_is_moved, begin, end),
        cmocka_unit_test_setup_teardown(test_a_read_that_fails, begin, end),
        cmocka_unit_test_setup_teardown(test_waiting_that_can_not_be_counted, begin, end),
        cmocka_unit_test_setup_teardown(test_no_read_goes_on_into_a_change, begin, end),
        cmocka_unit_test_setup_teardown(test_nothing_new_to_send_writes_nothing, begin, end),
        cmocka_unit_test_setup_teardown(test_what_is_sent_is_noted_at_the_second_try, begin, end),
        cmocka_unit_test_setup_teardown(test_a_server_that_knows_more, begin, end),
    };
    int failed = cmocka_run_group_tests(tests, NULL, NULL);

    RUN_ROWS(failed, test_open_fails, open_rows);
    RUN_ROWS(failed, test_change_fails, change_rows);
    RUN_ROWS(failed, test_change_without_room, changes);
    RUN_ROWS(failed, test_change_while_another_writes, changes);
    return failed;
}
