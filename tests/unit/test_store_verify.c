/* tlsmsg-store verify: what it finds, to the letter, and what it leaves alone. */
#include <stdio.h>
#include <string.h>

#include <sqlite3.h>

#include "support/failmalloc.h"
#include "support/sqlite_faults.h"
#include "support/tool_run.h"
#include "support/unit.h"

#define PLANTED SQLITE_FAULT_WORDS

static int begin(void **state)
{
    (void)scene_set_up(state);
    tool_init();
    tool_change("INSERT INTO producer VALUES(1, '', 'p', 0, 1), (2, '', '@run', 0, 1),"
                " (3, '', 'q', 0, 1)");
    return 0;
}

static void add(int64_t producer, uint64_t first, uint64_t last)
{
    for (uint64_t seq = first; seq <= last; seq++) {
        tool_add(producer, seq, "hello");
    }
}

static const struct verify_row {
    const char *name;
    uint64_t numbers[8]; /* of producer 'p', in their order; 0: no more */
    const char *change;
    int exit;
    const char *out;
} verify_rows[] = {
    {"nothing", {0}, "", 0, "0 messages, 0 with a hash: sound\n"},
    {"sound", {1, 2, 3}, "", 0, "3 messages, 3 with a hash: sound\n"},
    {"the document's flow has no hashes",
     {1, 2},
     "UPDATE message SET hash = NULL, producer = 2 WHERE id = 2; UPDATE producer SET seq = 1 WHERE"
     " id = 1",
     0,
     "2 messages, 1 with a hash: sound\n"},
    {"... and is looked at where it has one",
     {1, 2},
     "UPDATE message SET producer = 2, hash = zeroblob(32) WHERE id = 2; UPDATE producer SET seq ="
     " 1 WHERE id = 1",
     1,
     "message 2 (number 2 of '@run') is not what was stored\n"
     "2 messages, 2 with a hash: 1 faults\n"},
    {"another body",
     {1, 2},
     "UPDATE message SET body = CAST('hallo' AS BLOB) WHERE id = 1",
     1,
     "message 1 (number 1 of 'p') is not what was stored\n2 messages, 2 with a hash: 1 faults\n"},
    {"no body",
     {1},
     "UPDATE message SET body = x''",
     1,
     "message 1 (number 1 of 'p') is not what was stored\n1 messages, 1 with a hash: 1 faults\n"},
    {"a hash that is short",
     {1},
     "UPDATE message SET hash = substr(hash, 1, 31)",
     1,
     "message 1 (number 1 of 'p') is not what was stored\n1 messages, 1 with a hash: 1 faults\n"},
    {"a hash that is long",
     {1},
     "UPDATE message SET hash = hash || x'00'",
     1,
     "message 1 (number 1 of 'p') is not what was stored\n1 messages, 1 with a hash: 1 faults\n"},
    {"no hash",
     {1},
     "UPDATE message SET hash = NULL",
     1,
     "message 1 (number 1 of 'p') is not what was stored\n1 messages, 1 with a hash: 1 faults\n"},
    {"a producer that was forgotten",
     {1},
     "UPDATE message SET hash = NULL; DELETE FROM producer WHERE id = 1",
     1,
     "message 1 (number 1 of '?') is not what was stored\n1 messages, 1 with a hash: 1 faults\n"},
    {"a name that must be escaped",
     {1},
     "UPDATE message SET hash = NULL; UPDATE producer SET name = 'a' || char(10) WHERE id = 1",
     1,
     "message 1 (number 1 of 'a\\n') is not what was stored\n1 messages, 1 with a hash: 1 "
     "faults\n"},
    {"a jump",
     {1, 2, 7, 8},
     "",
     0,
     "4 messages, 4 with a hash, 1 jumps in their senders' numbers: sound\n"},
    {"jumps and a fault",
     {1, 3, 5},
     "UPDATE message SET hash = NULL WHERE id = 1",
     1,
     "message 1 (number 1 of 'p') is not what was stored\n"
     "3 messages, 3 with a hash, 2 jumps in their senders' numbers: 1 faults\n"},
    {"one that is missing",
     {1, 2, 3},
     "DELETE FROM message WHERE id = 2",
     1,
     "messages 2 to 2 are missing: they were deleted\n"
     "numbers 2 to 2 of producer 1 are missing\n"
     "2 messages, 2 with a hash: 2 faults\n"},
    {"some that are missing where numbers jump",
     {1, 2, 3, 9, 10},
     "DELETE FROM message WHERE id IN (2, 3)",
     1,
     "messages 2 to 3 are missing: they were deleted\n"
     "numbers 2 to 8 of producer 1 are missing\n"
     "3 messages, 3 with a hash: 2 faults\n"},
    {"a jump beside a hole",
     {1, 2, 3, 9},
     "DELETE FROM message WHERE id = 2",
     1,
     "messages 2 to 2 are missing: they were deleted\n"
     "numbers 2 to 2 of producer 1 are missing\n"
     "3 messages, 3 with a hash, 1 jumps in their senders' numbers: 2 faults\n"},
    {"the last ones are missing",
     {1, 2, 3},
     "DELETE FROM message WHERE id > 1",
     1,
     "messages 2 to 3 are missing: they were deleted\n"
     "1 producers have another last number than their last message\n"
     "1 messages, 1 with a hash: 2 faults\n"},
    {"the first ones were pruned",
     {1, 2, 3},
     "DELETE FROM message WHERE id < 3",
     0,
     "1 messages, 1 with a hash: sound\n"},
    {"all were pruned", {1, 2}, "DELETE FROM message", 0, "0 messages, 0 with a hash: sound\n"},
    {"numbers against the order",
     {2, 1},
     "UPDATE producer SET seq = 2",
     1,
     "message 1 has number 2, which came after message 2\n"
     "2 messages, 2 with a hash: 1 faults\n"},
    {"a last number beyond",
     {1, 2},
     "UPDATE producer SET seq = 3 WHERE id = 1",
     1,
     "1 producers have another last number than their last message\n"
     "2 messages, 2 with a hash: 1 faults\n"},
    {"of a run the last number is nobody's",
     {1},
     "UPDATE message SET producer = 2; UPDATE producer SET seq = 9 WHERE id = 2",
     0,
     "1 messages, 1 with a hash: sound\n"},
    {"a column that SQLite finds wrong",
     {1},
     "PRAGMA writable_schema = ON; UPDATE sqlite_schema SET sql = replace(sql, 'peer TEXT NOT "
     "NULL',"
     " 'peer TEXT CHECK (peer > ''2'')') WHERE name = 'message'",
     1,
     "the file is damaged: CHECK constraint failed in message\n"
     "1 messages, 1 with a hash: 1 faults\n"},
};

static void test_verify(void **state)
{
    const struct verify_row *row = *state;
    size_t i;

    (void)begin(state);
    for (i = 0; i < COUNT_OF(row->numbers) && row->numbers[i] != 0; i++) {
        tool_add(1, row->numbers[i], "hello");
    }
    tool_change(row->change);
    (void)tool_run("verify", scene.path, NULL);
    tool_assert(row->exit, row->out, NULL);
    (void)scene_tear_down(state);
}

/* Each has numbers of its own; where one begins, another's don't go on. */
static void test_producers_are_looked_at_one_by_one(void **state)
{
    (void)state;
    add(1, 5, 6);
    add(3, 1, 2);
    add(1, 7, 7);
    (void)tool_run("verify", scene.path, NULL);
    tool_assert(0, "5 messages, 5 with a hash: sound\n", NULL);
    tool_change("DELETE FROM message WHERE id = 3");
    (void)tool_run("verify", scene.path, NULL);
    tool_assert(1,
                "messages 3 to 3 are missing: they were deleted\n"
                "4 messages, 4 with a hash: 1 faults\n",
                NULL);
}

/* More holes than the first room for them, each found again by its numbers. */
static void test_many_holes(void **state)
{
    static char wanted[16384];
    size_t at = 0;
    unsigned i;

    (void)state;
    add(1, 1, 81);
    tool_change("DELETE FROM message WHERE id % 2 = 0");
    for (i = 1; i <= 40; i++) {
        at += (size_t)snprintf(wanted + at, sizeof(wanted) - at,
                               "messages %u to %u are missing: they were deleted\n", 2 * i, 2 * i);
    }
    for (i = 1; i <= 40; i++) {
        at += (size_t)snprintf(wanted + at, sizeof(wanted) - at,
                               "numbers %u to %u of producer 1 are missing\n", 2 * i, 2 * i);
    }
    (void)snprintf(wanted + at, sizeof(wanted) - at, "41 messages, 41 with a hash: 80 faults\n");
    (void)tool_run("verify", scene.path, NULL);
    tool_assert(1, wanted, NULL);
}

/* So many messages, whose bodies are all another one. */
static void add_wrong(unsigned count)
{
    char sql[512];

    (void)snprintf(sql, sizeof(sql),
                   "DELETE FROM message; DELETE FROM sqlite_sequence;"
                   "WITH RECURSIVE n(i) AS (VALUES(1) UNION ALL SELECT i + 1 FROM n WHERE i < %u)"
                   " INSERT INTO message(time, run, connection, peer, producer, seq, body)"
                   " SELECT 0, 1, 1, 'a', 1, i, x'' FROM n;"
                   "UPDATE producer SET seq = %u WHERE id = 1",
                   count, count);
    tool_change(sql);
}

static void assert_ends(const char *end)
{
    size_t len = strlen(tool_ran.out);

    assert_int_equal(tool_ran.exit, 1);
    assert_true(len >= strlen(end));
    assert_string_equal(tool_ran.out + len - strlen(end), end);
}

/* All are counted, and the first hundred told. */
static void test_many_faults(void **state)
{
    (void)state;
    add_wrong(100);
    (void)tool_run("verify", scene.path, NULL);
    assert_ends("message 100 (number 100 of 'p') is not what was stored\n"
                "100 messages, 100 with a hash: 100 faults\n");
    add_wrong(101);
    (void)tool_run("verify", scene.path, NULL);
    assert_ends("message 100 (number 100 of 'p') is not what was stored\n"
                "... and 1 more\n"
                "101 messages, 101 with a hash: 101 faults\n");
}

/* Numbers are looked at in pieces, and behind the first one, too. */
static void test_many_numbers(void **state)
{
    (void)state;
    add_wrong(10003);
    tool_change("UPDATE message SET seq = seq + 5 WHERE seq > 10001;"
                "UPDATE producer SET seq = 10008 WHERE id = 1");
    (void)tool_run("verify", scene.path, NULL);
    assert_ends("... and 9903 more\n"
                "10003 messages, 10003 with a hash, 1 jumps in their senders' numbers: 10003 "
                "faults\n");
}

/* ---- while a server works */

static void prune_before_the_lowest_is_asked(const char *sql)
{
    if (strcmp(sql, "SELECT min(id) FROM message") == 0) {
        sqlite_on_step = NULL;
        tool_change("DELETE FROM message WHERE id <= 4");
    }
}

/* What a server has pruned meanwhile is not missing; what lies behind it is. */
static void test_pruned_meanwhile(void **state)
{
    (void)state;
    add(1, 1, 8);
    tool_change("DELETE FROM message WHERE id IN (2, 6)");
    sqlite_on_step = prune_before_the_lowest_is_asked;
    (void)tool_run("verify", scene.path, NULL);
    tool_assert(1,
                "messages 6 to 6 are missing: they were deleted\n"
                "numbers 6 to 6 of producer 1 are missing\n"
                "6 messages, 6 with a hash: 2 faults\n",
                NULL);
}

static void prune_all_before_they_are_read(const char *sql)
{
    if (strncmp(sql, "SELECT message.id", 17) == 0) {
        sqlite_on_step = NULL;
        tool_change("DELETE FROM message WHERE id <= 3");
        tool_add(1, 4, "hello");
    }
}

/* Messages that come while it reads are not its business. */
static void test_messages_that_come_meanwhile(void **state)
{
    (void)state;
    add(1, 1, 3);
    sqlite_on_step = prune_all_before_they_are_read;
    (void)tool_run("verify", scene.path, NULL);
    tool_assert(0, "1 messages, 1 with a hash: sound\n", NULL);
}

static void add_before_numbers(const char *sql)
{
    if (strncmp(sql, "SELECT producer, seq", 20) == 0) {
        sqlite_on_step = NULL;
        tool_add(1, 9, "hello");
    }
}

static void test_numbers_that_come_meanwhile(void **state)
{
    (void)state;
    add(1, 1, 3);
    sqlite_on_step = add_before_numbers;
    (void)tool_run("verify", scene.path, NULL);
    tool_assert(0, "3 messages, 3 with a hash: sound\n", NULL);
}

/* ---- what fails */

static const struct fault_row {
    const char *name;
    enum sqlite_call call;
    const char *sql;
    const char *doing;
    const char *shown; /* beside the fault, where the file is damaged */
} fault_rows[] = {
    {"messages", SQLITE_CALL_STEP, "SELECT message.id", "read", "0 messages, 0 with a hash"},
    {"the lowest", SQLITE_CALL_STEP, "SELECT min(id)", "read", "1 messages, 1 with a hash"},
    {"to ask for numbers", SQLITE_CALL_PREPARE, "SELECT producer, seq", "read",
     "1 messages, 1 with a hash"},
    {"numbers", SQLITE_CALL_STEP, "SELECT producer, seq", "read", "1 messages, 1 with a hash"},
    {"last numbers", SQLITE_CALL_STEP, "SELECT count(*) FROM producer", "read",
     "1 messages, 1 with a hash"},
    {"to check the file", SQLITE_CALL_PREPARE, "PRAGMA integrity_check", "check",
     "1 messages, 1 with a hash"},
    {"the file", SQLITE_CALL_STEP, "PRAGMA integrity_check", "check", "1 messages, 1 with a hash"},
};

static void test_fault(void **state)
{
    const struct fault_row *row = *state;
    char text[256];

    (void)begin(state);
    add(1, 1, 1);
    sqlite_fault_at(row->call, row->sql, 1, SQLITE_IOERR_READ);
    (void)tool_run("verify", scene.path, NULL);
    assert_true(sqlite_fault_end());
    (void)snprintf(text, sizeof(text), "cannot %s store '%%s': " PLANTED "266)", row->doing);
    tool_assert(1, "", text);
    (void)scene_tear_down(state);
}

/* A file that is damaged is a fault like any other, and not the end of the search. */
static void test_damage(void **state)
{
    const struct fault_row *row = *state;
    char text[512];

    (void)begin(state);
    add(1, 1, 1);
    sqlite_fault_at(row->call, row->sql, 1, SQLITE_CORRUPT_INDEX);
    (void)tool_run("verify", scene.path, NULL);
    assert_true(sqlite_fault_end());
    (void)snprintf(text, sizeof(text), "cannot %s store '%%s': " PLANTED "779)\n%s: 1 faults\n",
                   row->doing, row->shown);
    tool_assert(1, text, NULL);
    (void)scene_tear_down(state);
}

static void test_the_highest_id_is_not_told(void **state)
{
    (void)state;
    sqlite_fault_at(SQLITE_CALL_STEP, "SELECT coalesce(max(seq), 0)", 1, SQLITE_CORRUPT);
    (void)tool_run("verify", scene.path, NULL);
    assert_true(sqlite_fault_end());
    tool_assert(1, "cannot read store '%s': " PLANTED "11)\n0 messages, 0 with a hash: 1 faults\n",
                NULL);
}

static void test_no_memory_for_a_hole(void **state)
{
    (void)state;
    add(1, 1, 3);
    tool_change("DELETE FROM message WHERE id = 2");
    failmalloc_at(1);
    (void)tool_run("verify", scene.path, NULL);
    failmalloc_at(0);
    tool_assert(1, "", "out of memory");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_producers_are_looked_at_one_by_one, begin,
                                        scene_tear_down),
        cmocka_unit_test_setup_teardown(test_many_holes, begin, scene_tear_down),
        cmocka_unit_test_setup_teardown(test_many_faults, begin, scene_tear_down),
        cmocka_unit_test_setup_teardown(test_many_numbers, begin, scene_tear_down),
        cmocka_unit_test_setup_teardown(test_pruned_meanwhile, begin, scene_tear_down),
        cmocka_unit_test_setup_teardown(test_messages_that_come_meanwhile, begin, scene_tear_down),
        cmocka_unit_test_setup_teardown(test_numbers_that_come_meanwhile, begin, scene_tear_down),
        cmocka_unit_test_setup_teardown(test_the_highest_id_is_not_told, begin, scene_tear_down),
        cmocka_unit_test_setup_teardown(test_no_memory_for_a_hole, begin, scene_tear_down),
    };
    int failed = cmocka_run_group_tests(tests, NULL, NULL);

    RUN_ROWS(failed, test_verify, verify_rows);
    RUN_ROWS(failed, test_fault, fault_rows);
    RUN_ROWS(failed, test_damage, fault_rows);
    return failed;
}
