/* The store in a file: what a batch decides. */
#include <string.h>
#include <sys/stat.h>
#include <time.h>

#include <sqlite3.h>

#include "base/error.h"
#include "store/sqlite.h"
#include "store/sqlite_db.h"
#include "store/sqlite_internal.h"
#include "support/sqlite_scene.h"
#include "support/unit.h"

static void test_new_messages_are_taken_in_their_order(void **state)
{
    struct store_backend *backend = scene_open();
    struct store_item items[] = {scene_item("p", 1, scene_hash_a), scene_item("p", 2, scene_hash_b),
                                 scene_item("q", 1, scene_hash_a)};

    (void)state;
    scene_append(backend, items, 3, true);
    assert_int_equal(items[0].verdict, STORE_TAKEN);
    assert_int_equal(items[1].verdict, STORE_TAKEN);
    assert_int_equal(items[1].last, 2);
    assert_int_equal(items[2].last, 1);
    assert_int_equal(scene_ask("SELECT count(*) FROM message"), 3);
    assert_int_equal(scene_ask("SELECT seq FROM producer WHERE name = 'p'"), 2);
    backend->ops->close(backend, false);
}

static void test_a_number_is_taken_once(void **state)
{
    struct store_backend *backend = scene_open();
    struct store_item once = scene_item("p", 1, scene_hash_a);
    struct store_item again[] = {scene_item("p", 1, scene_hash_a),
                                 scene_item("p", 1, scene_hash_a)};

    (void)state;
    scene_append(backend, &once, 1, true);
    scene_append(backend, again, 2, true);
    assert_int_equal(again[0].verdict, STORE_DUPLICATE);
    assert_int_equal(again[1].verdict, STORE_DUPLICATE);
    assert_int_equal(scene_ask("SELECT count(*) FROM message"), 1);
    backend->ops->close(backend, false);
}

static void test_a_duplicate_within_a_batch(void **state)
{
    struct store_backend *backend = scene_open();
    struct store_item items[] = {scene_item("p", 1, scene_hash_a), scene_item("p", 1, scene_hash_a),
                                 scene_item("p", 1, scene_hash_b)};

    (void)state;
    scene_append(backend, items, 3, true);
    assert_int_equal(items[0].verdict, STORE_TAKEN);
    assert_int_equal(items[1].verdict, STORE_DUPLICATE);
    assert_int_equal(items[2].verdict, STORE_OTHER_BYTES);
    backend->ops->close(backend, false);
}

static void test_other_bytes_end_what_is_taken_of_a_connection(void **state)
{
    struct store_backend *backend = scene_open();
    struct store_item once = scene_item("p", 1, scene_hash_a);
    struct store_item items[] = {scene_item("p", 1, scene_hash_b), scene_item("p", 2, scene_hash_a),
                                 scene_item("p", 2, scene_hash_a)};

    (void)state;
    scene_append(backend, &once, 1, true);
    items[2].connection = 2;
    scene_append(backend, items, 3, true);
    assert_int_equal(items[0].verdict, STORE_OTHER_BYTES);
    assert_int_equal(items[1].verdict, STORE_AWAY);
    assert_int_equal(items[2].verdict, STORE_TAKEN);
    backend->ops->close(backend, false);
}

static void test_a_hole_needs_leave(void **state)
{
    struct store_backend *backend = scene_open();
    struct store_item items[] = {scene_item("p", 5, scene_hash_a), scene_item("p", 5, scene_hash_a),
                                 scene_item("p", 6, scene_hash_a)};

    (void)state;
    items[1].jumps = true;
    scene_append(backend, items, 3, true);
    assert_int_equal(items[0].verdict, STORE_AWAY);
    assert_int_equal(items[1].verdict, STORE_TAKEN);
    assert_int_equal(items[2].verdict, STORE_TAKEN);
    backend->ops->close(backend, false);
}

static void test_without_room_duplicates_and_questions_are_answered(void **state)
{
    struct store_backend *backend = scene_open();
    struct store_item once = scene_item("p", 1, scene_hash_a);
    struct store_item items[] = {scene_item("p", 1, scene_hash_a), scene_item("p", 2, scene_hash_a),
                                 scene_item("p", 3, scene_hash_a), scene_item("p", 0, NULL),
                                 scene_item("q", 1, scene_hash_a)};

    (void)state;
    scene_append(backend, &once, 1, true);
    scene_append(backend, items, 5, false);
    assert_int_equal(items[0].verdict, STORE_DUPLICATE);
    assert_int_equal(items[1].verdict, STORE_NO_ROOM);
    assert_int_equal(items[2].verdict, STORE_AWAY);
    assert_int_equal(items[3].verdict, STORE_TAKEN);
    assert_int_equal(items[3].last, 1);
    assert_int_equal(items[4].verdict, STORE_NO_ROOM);
    assert_int_equal(scene_ask("SELECT count(*) FROM message"), 1);
    backend->ops->close(backend, false);
}

/* What rule 2 of the store demands: the transaction has to write, or it waits for nothing. */
/* Nothing of a batch that the file had no room for is there, and the next one is taken. */
static void test_a_full_file_has_nothing_of_the_batch(void **state)
{
    static const char large[100000] = "x";
    struct store_backend *backend = scene_open();
    sqlite3 *db = sqlite_of(backend)->db;
    struct store_item items[] = {scene_item("p", 1, scene_hash_a),
                                 scene_item("p", 2, scene_hash_b)};
    struct store_item *list[] = {&items[0], &items[1]};
    struct store_batch batch = {.items = list, .count = 2, .take_new = true};

    (void)state;
    items[1].body = large;
    items[1].body_len = sizeof(large);
    assert_int_equal(sqlite3_exec(db, "PRAGMA max_page_count = 1", NULL, NULL, NULL), SQLITE_OK);
    assert_int_equal(backend->ops->append(backend, &batch, &scene.err), STORE_RESULT_NO_ROOM);
    assert_int_equal(scene.err.code, TLSMSG_OK);
    assert_int_equal(scene_ask("SELECT count(*) FROM message"), 0);
    assert_int_equal(sqlite3_exec(db, "PRAGMA max_page_count = 100000", NULL, NULL, NULL),
                     SQLITE_OK);
    scene_append(backend, items, 2, true);
    assert_int_equal(items[1].verdict, STORE_TAKEN);
    assert_int_equal(scene_ask("SELECT count(*) FROM message"), 2);
    backend->ops->close(backend, false);
}

static void test_a_question_writes_when_there_is_a_last_number(void **state)
{
    struct store_backend *backend = scene_open();
    struct store_item none = scene_item("p", 0, NULL);
    struct store_item once = scene_item("p", 1, scene_hash_a);
    struct store_item asks = scene_item("p", 0, NULL);
    int64_t seen;

    (void)state;
    scene_append(backend, &none, 1, true);
    assert_int_equal(none.last, 0);
    assert_int_equal(scene_ask("SELECT count(*) FROM producer"), 0);
    scene_append(backend, &once, 1, true);
    seen = scene_ask("SELECT seen FROM producer");
    scene_append(backend, &asks, 1, true);
    assert_int_equal(asks.last, 1);
    assert_true(scene_ask("SELECT seen FROM producer") > seen);
    seen = scene_ask("SELECT seen FROM producer");
    scene_append(backend, &once, 1, true);
    assert_true(scene_ask("SELECT seen FROM producer") > seen);
    backend->ops->close(backend, false);
}

/* People read this one, with any SQLite. */
static void test_the_view_is_for_people(void **state)
{
    struct store_backend *backend = scene_open();
    struct store_item once = scene_item("p", 1, scene_hash_a);

    (void)state;
    once.time_ms = INT64_C(1795741801069);
    scene_append(backend, &once, 1, true);
    assert_int_equal(
        scene_ask(
            "SELECT time = '2026-11-27T01:10:01.069Z' AND run = '@run' AND connection = 1 AND"
            " peer = '127.0.0.1:1' AND identity = 'CN=alice' AND producer = 'p' AND seq = 1 AND"
            " text = 'hello' FROM messages"),
        1);
    backend->ops->close(backend, false);
}

static void test_prune_takes_the_oldest_in_steps(void **state)
{
    struct store_backend *backend = scene_open();
    struct store_item items[] = {scene_item("p", 1, scene_hash_a), scene_item("p", 2, scene_hash_a),
                                 scene_item("p", 3, scene_hash_a),
                                 scene_item("p", 4, scene_hash_a)};
    struct store_item again = scene_item("p", 1, scene_hash_b);
    unsigned rows;

    (void)state;
    scene_append(backend, items, 4, true);
    assert_int_equal(backend->ops->prune(backend, 1004, 2, &rows, &scene.err), STORE_RESULT_DONE);
    assert_int_equal(rows, 2);
    assert_int_equal(backend->ops->prune(backend, 1004, 2, &rows, &scene.err), STORE_RESULT_DONE);
    assert_int_equal(rows, 1);
    assert_int_equal(backend->ops->prune(backend, 1004, 2, &rows, &scene.err), STORE_RESULT_DONE);
    assert_int_equal(rows, 0);
    assert_int_equal(scene_ask("SELECT min(seq) FROM message"), 4);
    /* Of a row that was pruned the number alone decides. */
    scene_append(backend, &again, 1, true);
    assert_int_equal(again.verdict, STORE_DUPLICATE);
    backend->ops->close(backend, false);
}

/* Ids tell the order, not times: a clock that ran ahead holds pruning up, and leaves no hole. */
static void test_a_clock_that_was_set_back(void **state)
{
    struct store_backend *backend = scene_open();
    struct store_item items[] = {scene_item("p", 1, scene_hash_a), scene_item("p", 2, scene_hash_a),
                                 scene_item("p", 3, scene_hash_a)};
    unsigned rows;

    (void)state;
    items[1].time_ms = 1000000;
    scene_append(backend, items, 3, true);
    assert_int_equal(items[2].verdict, STORE_TAKEN);
    assert_int_equal(backend->ops->prune(backend, 2000, 10, &rows, &scene.err), STORE_RESULT_DONE);
    assert_int_equal(rows, 1);
    assert_int_equal(scene_ask("SELECT min(seq) FROM message"), 2);
    assert_int_equal(backend->ops->prune(backend, 1000001, 10, &rows, &scene.err),
                     STORE_RESULT_DONE);
    assert_int_equal(rows, 2);
    backend->ops->close(backend, false);
}

/* What is seen of a producer grows all the same, so that each commit writes something. */
static void test_seen_grows_when_the_clock_does_not(void **state)
{
    struct store_backend *backend = scene_open();
    struct store_item once = scene_item("p", 1, scene_hash_a);
    int64_t seen;

    (void)state;
    scene_append(backend, &once, 1, true);
    (void)scene_ask("UPDATE producer SET seen = 9000000000000 RETURNING seen");
    scene_append(backend, &once, 1, true);
    assert_int_equal(once.verdict, STORE_DUPLICATE);
    seen = scene_ask("SELECT seen FROM producer");
    assert_int_equal(seen, 9000000000001);
    backend->ops->close(backend, false);
}

static void test_forget_leaves_who_sent_what_is_stored(void **state)
{
    struct store_backend *backend = scene_open();
    struct store_item items[] = {scene_item("~a", 1, scene_hash_a),
                                 scene_item("~b", 1, scene_hash_a),
                                 scene_item("p", 1, scene_hash_a)};
    const int64_t later = (int64_t)time(NULL) * 1000 + 60000;
    struct store_item plain = scene_item("A", 1, scene_hash_a);
    unsigned rows;

    (void)state;
    scene_append(backend, &plain, 1, true);
    assert_int_equal(backend->ops->prune(backend, later, 1, &rows, &scene.err), STORE_RESULT_DONE);
    scene_append(backend, items, 3, true);
    assert_int_equal(backend->ops->forget(backend, later, 100, &rows, &scene.err),
                     STORE_RESULT_DONE);
    assert_int_equal(rows, 0);
    assert_int_equal(backend->ops->prune(backend, later, 1, &rows, &scene.err), STORE_RESULT_DONE);
    assert_int_equal(rows, 1);
    assert_int_equal(backend->ops->forget(backend, 0, 100, &rows, &scene.err), STORE_RESULT_DONE);
    assert_int_equal(rows, 0);
    assert_int_equal(backend->ops->forget(backend, later, 100, &rows, &scene.err),
                     STORE_RESULT_DONE);
    assert_int_equal(rows, 1);
    assert_int_equal(scene_ask("SELECT count(*) FROM producer WHERE name IN ('~b', 'p', 'A')"), 3);
    backend->ops->close(backend, false);
}

static void test_a_lock_of_somebody_else_is_away(void **state)
{
    struct store_backend *backend = scene_open();
    struct store_item once = scene_item("p", 1, scene_hash_a);
    struct store_item *list[] = {&once};
    struct store_batch batch = {.items = list, .count = 1, .take_new = true};
    sqlite3 *db;

    (void)state;
    assert_int_equal(sqlite3_open_v2(scene.path, &db, SQLITE_OPEN_READWRITE, NULL), SQLITE_OK);
    assert_int_equal(sqlite3_exec(db, "BEGIN IMMEDIATE", NULL, NULL, NULL), SQLITE_OK);
    assert_int_equal(backend->ops->append(backend, &batch, &scene.err), STORE_RESULT_AWAY);
    assert_int_equal(sqlite3_exec(db, "COMMIT", NULL, NULL, NULL), SQLITE_OK);
    assert_int_equal(backend->ops->append(backend, &batch, &scene.err), STORE_RESULT_DONE);
    assert_int_equal(once.verdict, STORE_TAKEN);
    (void)sqlite3_close(db);
    backend->ops->close(backend, false);
}

static void test_settings_are_proved(void **state)
{
    struct store_backend *backend = scene_open();
    enum store_promise promise;
    struct stat status;

    (void)state;
    assert_int_equal(backend->ops->prove(backend, &promise, &scene.err), TLSMSG_OK);
    assert_int_equal(promise, STORE_PROMISE_DISK);
    assert_int_equal(stat(scene.path, &status), 0);
    assert_int_equal(status.st_mode & 0777, 0600);
    backend->ops->close(backend, false);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_new_messages_are_taken_in_their_order, scene_set_up,
                                        scene_tear_down),
        cmocka_unit_test_setup_teardown(test_a_number_is_taken_once, scene_set_up, scene_tear_down),
        cmocka_unit_test_setup_teardown(test_a_duplicate_within_a_batch, scene_set_up,
                                        scene_tear_down),
        cmocka_unit_test_setup_teardown(test_other_bytes_end_what_is_taken_of_a_connection,
                                        scene_set_up, scene_tear_down),
        cmocka_unit_test_setup_teardown(test_a_hole_needs_leave, scene_set_up, scene_tear_down),
        cmocka_unit_test_setup_teardown(test_without_room_duplicates_and_questions_are_answered,
                                        scene_set_up, scene_tear_down),
        cmocka_unit_test_setup_teardown(test_a_full_file_has_nothing_of_the_batch, scene_set_up,
                                        scene_tear_down),
        cmocka_unit_test_setup_teardown(test_a_question_writes_when_there_is_a_last_number,
                                        scene_set_up, scene_tear_down),
        cmocka_unit_test_setup_teardown(test_the_view_is_for_people, scene_set_up, scene_tear_down),
        cmocka_unit_test_setup_teardown(test_prune_takes_the_oldest_in_steps, scene_set_up,
                                        scene_tear_down),
        cmocka_unit_test_setup_teardown(test_a_clock_that_was_set_back, scene_set_up,
                                        scene_tear_down),
        cmocka_unit_test_setup_teardown(test_seen_grows_when_the_clock_does_not, scene_set_up,
                                        scene_tear_down),
        cmocka_unit_test_setup_teardown(test_forget_leaves_who_sent_what_is_stored, scene_set_up,
                                        scene_tear_down),
        cmocka_unit_test_setup_teardown(test_a_lock_of_somebody_else_is_away, scene_set_up,
                                        scene_tear_down),
        cmocka_unit_test_setup_teardown(test_settings_are_proved, scene_set_up, scene_tear_down),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
