/* Batches whose transaction fails in a scripted engine: what is undone, what is tried again, what an OK
 * still means, and what is refused alone. */
#include <string.h>

#include "support/failmalloc.h"
#include "support/fake_batch.h"

#define LOCK_A "text{''} text{'~a'} int8{" FAKE_PLACE_A "}"
#define LOCK_AB "text{'',''} text{'~a','~b'} int8{" FAKE_PLACE_A "," FAKE_PLACE_B "}"
#define A_AT_4 "71|4|" FAKE_PLACE_A
#define H1 FAKE_HASH("01")
#define NOW "1790000000123"

static struct tlsmsg_error err;

static int begin(void **state)
{
    (void)state;
    fake_store_begin();
    return 0;
}

static int end(void **state)
{
    (void)state;
    failmalloc_at(0);
    fake_store_end();
    return 0;
}

/* What a batch with each step sends: a number that was stored before, one that another writer has
 * written meanwhile, and a producer that is new. */
static const struct fake_exchange whole[] = {
    {.sent = "BEGIN ISOLATION LEVEL READ COMMITTED READ WRITE"},
    {"prove", .rows = "|f|~"},
    {"lock *", .rows = A_AT_4},
    {.sent = "add *"},
    {"lock *", .rows = A_AT_4 ";82|0|" FAKE_PLACE_B},
    {"compare *", .rows = "0|t|f"},
    {"write *", .status = "INSERT 0 1"},
    {"compare *", .rows = "1|t|t;2|t|f"},
    {.sent = "mark *"},
    {"COMMIT", .status = "COMMIT"},
    {"standby", .rows = "f"},
};

enum { LAST_OF_BEGIN = 2, COMMIT_AT = 9, LAST = 10 };

static void put_whole(void)
{
    (void)fake_item("~a", 4, 1, 1);
    (void)fake_item("~a", 5, 1, 1);
    (void)fake_item("~b", 1, 2, 1);
}

/* The whole up to the step that fails, what is sent together with it, and what undoes it. */
static enum store_result append_failing(size_t step, const char *error)
{
    size_t together = step <= LAST_OF_BEGIN ? LAST_OF_BEGIN : step >= 8 ? LAST : step;
    size_t i;

    for (i = 0; i <= together; i++) {
        struct fake_exchange *row = fake_expect(whole[i].sent, whole[i].rows);

        row->status = whole[i].status;
        row->error = i == step ? error : NULL;
    }
    if (step > 0 && step <= COMMIT_AT) {
        (void)fake_expect("ROLLBACK", NULL);
    }
    return fake_append(&err);
}

static void test_each_step_fails(void **state)
{
    static const struct {
        const char *error;
        enum store_result result;
    } errors[] = {{"53100", STORE_RESULT_NO_ROOM},
                  {"40001", STORE_RESULT_AWAY},
                  {"42501", STORE_RESULT_FAILED}};
    char text[64];
    size_t step;
    size_t i;

    (void)state;
    for (i = 0; i < COUNT_OF(errors); i++) {
        for (step = 0; step <= LAST; step++) {
            fake_store_begin();
            put_whole();
            assert_int_equal(append_failing(step, errors[i].error), errors[i].result);
            (void)snprintf(text, sizeof(text), "the store's engine: ERROR:  it is %s",
                           errors[i].error);
            assert_cause(&err, TLSMSG_ERR_SYSTEM, text);
            assert_non_null(fake_store()->db.connection);
            (void)end(NULL);
        }
    }
}

static void test_no_step_fails(void **state)
{
    size_t i;

    (void)state;
    put_whole();
    for (i = 0; i < COUNT_OF(whole); i++) {
        fake_expect(whole[i].sent, whole[i].rows)->status = whole[i].status;
    }
    assert_int_equal(fake_append(&err), STORE_RESULT_DONE);
    assert_int_equal(err.code, TLSMSG_OK);
    ASSERT_ITEM(fake_batch()->items[0], STORE_DUPLICATE, 4);
    ASSERT_ITEM(fake_batch()->items[1], STORE_TAKEN, 5);
    ASSERT_ITEM(fake_batch()->items[2], STORE_DUPLICATE, 1);
}

/* The connection is lost: there is nothing to undo. */
static void test_lost_connection(void **state)
{
    (void)state;
    put_whole();
    (void)fake_expect(whole[0].sent, NULL);
    fake_expect("prove", NULL)->fault = FAKE_BROKEN;
    (void)fake_expect("lock *", NULL);
    assert_int_equal(fake_append(&err), STORE_RESULT_AWAY);
    assert_cause(&err, TLSMSG_ERR_SYSTEM, "the store's engine: " FAKE_LOST);
    assert_null(fake_store()->db.connection);
    assert_int_equal(fake_batch()->items[0]->verdict, STORE_FAILED); /* as it was */
}

static bool has_ended(void *user)
{
    (void)user;
    return true;
}

/* The batch's own patience counts. And nothing is begun without a connection. */
static void test_no_connection_in_time(void **state)
{
    (void)state;
    put_whole();
    pg_db_disconnect(&fake_store()->db);
    fake_libpq_threads(FAKE_LATER);
    fake_batch()->patience = (struct store_patience){.has_ended = has_ended};
    assert_int_equal(fake_append(&err), STORE_RESULT_AWAY);
    assert_cause(&err, TLSMSG_ERR_SYSTEM, "the store's engine: no connection to it in time");
    fake_expect("2: connect *", NULL)->fault = FAKE_REFUSED;
    fake_batch()->patience = (struct store_patience){.has_ended = NULL};
    fake_libpq_threads(FAKE_IN_WAIT);
    assert_int_equal(fake_append(&err), STORE_RESULT_AWAY);
    assert_cause(&err, TLSMSG_ERR_SYSTEM, "the store's engine: " FAKE_LOST);
}

/* What was undone can't be undone: the reason is that. */
static void test_not_undone(void **state)
{
    (void)state;
    (void)fake_item("~a", 5, 1, 1);
    fake_expect_begin(LOCK_A, A_AT_4);
    (void)fake_expect("write *", NULL);
    (void)fake_expect("compare *", "0|f|f");
    fake_expect("ROLLBACK", NULL)->error = "57014";
    assert_int_equal(fake_append(&err), STORE_RESULT_AWAY);
    assert_cause(&err, TLSMSG_ERR_SYSTEM, "the store's engine: ERROR:  it is 57014");
    assert_null(fake_store()->db.connection);
}

/* ---- what an OK means */

static const struct promise {
    const char *name;
    const char *proof;
    const char *standby; /* after the commit */
    enum store_promise promise;
    bool is_blind;
} promises[] = {
    {"a standby", "|t|t", "t", STORE_PROMISE_REPLICATED, false},
    {"one that is away", "|t|f", "t", STORE_PROMISE_REPLICATED, false},
    {"one that can't be seen", "|t|~", "t", STORE_PROMISE_DISK, true},
    {"one that is named no more", "|t|t", "f", STORE_PROMISE_DISK, false},
    {"none", "|f|f", "f", STORE_PROMISE_DISK, false},
    {"none, and not seen", "|f|~", "f", STORE_PROMISE_DISK, false},
    {"one that came with the commit", "|f|f", "t", STORE_PROMISE_DISK, false},
};

static void expect_whole_of_a(const char *proof, const char *standby)
{
    (void)fake_expect("BEGIN *", NULL);
    (void)fake_expect("prove", proof);
    (void)fake_expect("lock " LOCK_A, A_AT_4);
    (void)fake_expect_write("71", "5", "4", H1, 1);
    (void)fake_expect("mark int8{71} int8{5} int8{" NOW "}", NULL);
    fake_expect("COMMIT", NULL)->status = "COMMIT";
    (void)fake_expect("standby", standby);
}

static void test_promise(void **state)
{
    const struct promise *row = *state;

    fake_store_begin();
    (void)fake_item("~a", 5, 1, 1);
    expect_whole_of_a(row->proof, row->standby);
    assert_int_equal(fake_append(&err), STORE_RESULT_DONE);
    assert_int_equal(fake_batch()->promise, row->promise);
    assert_int_equal(fake_store()->is_blind, row->is_blind);
    (void)end(NULL);
}

/* Settings may be mended, so the engine is as good as away. */
static void test_engine_that_keeps_no_promise(void **state)
{
    (void)state;
    (void)fake_item("~a", 5, 1, 1);
    (void)fake_expect("BEGIN *", NULL);
    (void)fake_expect("prove", "fsync=off|t|~");
    (void)fake_expect("lock *", A_AT_4);
    (void)fake_expect("ROLLBACK", NULL);
    assert_int_equal(fake_append(&err), STORE_RESULT_AWAY);
    assert_cause(&err, TLSMSG_ERR_CONFIG,
                 "the store's engine can't keep a promise with fsync=off (try: change that there)");
    assert_false(fake_store()->is_blind);
}

/* Each way in which a commit is none, though nothing was refused. */
static const struct commit {
    const char *name;
    const char *warning;
    const char *status;
} commits[] = {{"warned", "WARNING", "COMMIT"}, {"rolled back", NULL, "ROLLBACK"}};

static void test_commit_that_is_none(void **state)
{
    const struct commit *row = *state;
    struct fake_exchange *commit;

    fake_store_begin();
    (void)fake_item("~a", 0, 1, 0);
    fake_expect_begin(LOCK_A, A_AT_4);
    (void)fake_expect("mark *", NULL);
    commit = fake_expect("COMMIT", NULL);
    commit->status = row->status;
    commit->warning = row->warning;
    (void)fake_expect("standby", "t");
    assert_int_equal(fake_append(&err), STORE_RESULT_AWAY);
    assert_cause(&err, TLSMSG_ERR_SYSTEM,
                 "the store's engine: a commit's wait for the standby was cancelled");
    (void)end(NULL);
}

/* A warning counts for the commit it came with. */
static void test_warning_before(void **state)
{
    (void)state;
    (void)fake_item("~a", 0, 1, 0);
    (void)fake_expect("BEGIN *", NULL);
    fake_expect("prove", "|t|t")->warning = "WARNING";
    (void)fake_expect("lock *", A_AT_4);
    fake_expect_commit("*");
    assert_int_equal(fake_append(&err), STORE_RESULT_DONE);
}

/* ---- what the engine can't take */

static void expect_bad(const char *locked, const char *rows)
{
    fake_expect_begin(locked, rows);
    fake_expect("write *", NULL)->error = "22021";
    (void)fake_expect("ROLLBACK", NULL);
}

/* It is found by halving, and refused alone: what follows it in its conversation isn't taken, others
 * are. An OK means what the weakest of the transactions means. */
static void test_one_is_refused(void **state)
{
    struct store_item *its[] = {fake_item("~a", 5, 1, 1), fake_item("~a", 6, 1, 1),
                                fake_item("~a", 0, 1, 0), fake_item("~a", 6, 2, 1)};

    (void)state;
    expect_bad(LOCK_A, A_AT_4); /* all four */
    expect_bad(LOCK_A, A_AT_4); /* the first two */
    expect_whole_of_a("|t|t", "f");
    expect_bad(LOCK_A, "71|5|" FAKE_PLACE_A);        /* the second */
    fake_expect_begin(LOCK_A, "71|5|" FAKE_PLACE_A); /* the other two */
    (void)fake_expect_write("71", "6", "5", H1, 1);
    fake_expect_commit("int8{71} int8{6} int8{" NOW "}");
    assert_int_equal(fake_append(&err), STORE_RESULT_DONE);
    assert_int_equal(err.code, TLSMSG_OK);
    ASSERT_ITEM(its[0], STORE_TAKEN, 5);
    assert_int_equal(its[1]->verdict, STORE_REFUSED);
    ASSERT_ITEM(its[2], STORE_AWAY, 5);
    ASSERT_ITEM(its[3], STORE_TAKEN, 6);
    assert_int_equal(fake_batch()->promise, STORE_PROMISE_DISK);
}

/* The second half means less than the first. And of three, one is the first half. */
static void test_weaker_second_half(void **state)
{
    struct store_item *its[] = {fake_item("~a", 5, 1, 1), fake_item("~a", 0, 1, 0),
                                fake_item("~b", 0, 1, 0)};

    (void)state;
    expect_bad(LOCK_AB, A_AT_4);
    expect_whole_of_a("|t|t", "t");
    fake_expect_begin(LOCK_AB, "71|5|" FAKE_PLACE_A);
    (void)fake_expect("mark *", NULL);
    fake_expect("COMMIT", NULL)->status = "COMMIT";
    (void)fake_expect("standby", "f");
    assert_int_equal(fake_append(&err), STORE_RESULT_DONE);
    assert_int_equal(fake_batch()->promise, STORE_PROMISE_DISK);
    ASSERT_ITEM(its[0], STORE_TAKEN, 5);
    ASSERT_ITEM(its[1], STORE_TAKEN, 5);
    ASSERT_ITEM(its[2], STORE_TAKEN, 0);
}

/* Both halves mean the most. */
static void test_halves_of_a_kind(void **state)
{
    (void)state;
    (void)fake_item("~a", 5, 1, 1);
    (void)fake_item("~a", 0, 1, 0);
    expect_bad(LOCK_A, A_AT_4);
    expect_whole_of_a("|t|t", "t");
    fake_expect_begin(LOCK_A, "71|5|" FAKE_PLACE_A);
    fake_expect_commit("*");
    assert_int_equal(fake_append(&err), STORE_RESULT_DONE);
    assert_int_equal(fake_batch()->promise, STORE_PROMISE_REPLICATED);
}

/* The first half fails: the second one is not begun. */
static void test_half_fails(void **state)
{
    (void)state;
    (void)fake_item("~a", 5, 1, 1);
    (void)fake_item("~a", 6, 1, 1);
    expect_bad(LOCK_A, A_AT_4);
    fake_expect_begin(LOCK_A, A_AT_4);
    fake_expect("write *", NULL)->error = "53100";
    (void)fake_expect("ROLLBACK", NULL);
    assert_int_equal(fake_append(&err), STORE_RESULT_NO_ROOM);
    assert_cause(&err, TLSMSG_ERR_SYSTEM, "the store's engine: ERROR:  it is 53100");
}

/* ---- memory */

/* The batch that takes the most memory: each allocation fails once, and the transaction that was begun
 * is undone. played: how much of the whole is sent before. */
static const struct memory {
    const char *name;
    size_t n;
    size_t played;
} memories[] = {
    {"producers", 1, 0}, {"items", 2, 0},     {"column 1", 3, 0},  {"column 2", 4, 0},
    {"column 3", 5, 0},  {"column 4", 6, 5},  {"column 5", 7, 6},  {"column 6", 8, 6},
    {"column 7", 9, 6},  {"column 8", 10, 6}, {"column 9", 11, 6},
};

static void test_no_memory(void **state)
{
    const struct memory *row = *state;
    size_t i;

    fake_store_begin();
    put_whole();
    for (i = 0; i < row->played; i++) {
        fake_expect(whole[i].sent, whole[i].rows)->status = whole[i].status;
    }
    if (row->played > 0) {
        (void)fake_expect("ROLLBACK", NULL);
    }
    failmalloc_at(row->n);
    assert_int_equal(fake_append(&err), STORE_RESULT_FAILED);
    assert_cause(&err, TLSMSG_ERR_NOMEM, "out of memory");
    (void)end(NULL);
}

/* No memory to remember what is refused: nothing is decided then. refused: what of the whole finds
 * it. */
static const struct unremembered {
    const char *name;
    size_t played;
    const char *rows; /* of the last one */
} unremembered[] = {
    {"stored before", 6, "0|f|f"},
    {"another writer's", 8, "1|f|f"},
};

static void test_no_memory_to_refuse(void **state)
{
    const struct unremembered *row = *state;
    size_t i;

    fake_store_begin();
    put_whole();
    for (i = 0; i < row->played; i++) {
        fake_expect(whole[i].sent, i + 1 == row->played ? row->rows : whole[i].rows)->status =
            whole[i].status;
    }
    (void)fake_expect("ROLLBACK", NULL);
    failmalloc_at(row->played == 6 ? 7 : 12);
    assert_int_equal(fake_append(&err), STORE_RESULT_FAILED);
    assert_cause(&err, TLSMSG_ERR_NOMEM, "out of memory");
    (void)end(NULL);
}

/* What a rare large one needs is given back, so a new producer with a name of megabytes may find no
 * memory also where it was listed before. */
static void test_no_memory_to_list_again(void **state)
{
    static char name[5 * 1024 * 1024];
    size_t again;

    (void)state;
    memset(name, 'n', sizeof(name) - 1);
    for (again = 0; again < 2; again++) {
        fake_store_begin();
        (void)fake_item(name, 1, 1, 0);
        fake_expect_begin("*", "");
        if (again > 0) {
            (void)fake_expect("add text{''} text{<5242879 bytes>}", NULL);
        }
        (void)fake_expect("ROLLBACK", NULL);
        failmalloc_at(7 + 2 * again); /* producers, items, columns 1 to 3, 2 again as it grows */
        assert_int_equal(fake_append(&err), STORE_RESULT_FAILED);
        assert_cause(&err, TLSMSG_ERR_NOMEM, "out of memory");
        (void)end(NULL);
    }
}

static void test_no_memory_to_commit(void **state)
{
    static char peer[5 * 1024 * 1024];

    (void)state;
    memset(peer, 'p', sizeof(peer) - 1);
    fake_item("~a", 5, 1, 0)->peer = peer;
    fake_expect_begin(LOCK_A, A_AT_4);
    fake_expect("write * text{<5242879 bytes>} *", NULL)->status = "INSERT 0 1";
    (void)fake_expect("ROLLBACK", NULL);
    failmalloc_at(13); /* producers, items, columns 1 to 9, 3 again as it grows, and once more */
    assert_int_equal(fake_append(&err), STORE_RESULT_FAILED);
    assert_cause(&err, TLSMSG_ERR_NOMEM, "out of memory");
}

static void test_no_memory_to_refuse_within_a_batch(void **state)
{
    (void)state;
    (void)fake_item("~a", 5, 1, 1);
    (void)fake_item("~a", 5, 1, 2);
    fake_expect_begin(LOCK_A, A_AT_4);
    (void)fake_expect("ROLLBACK", NULL);
    failmalloc_at(7); /* producers, items, columns 1 to 4 */
    assert_int_equal(fake_append(&err), STORE_RESULT_FAILED);
    assert_cause(&err, TLSMSG_ERR_NOMEM, "out of memory");
}

static void test_no_memory_to_refuse_alone(void **state)
{
    (void)state;
    (void)fake_item("~a", 5, 1, 1);
    expect_bad(LOCK_A, A_AT_4);
    failmalloc_at(12); /* producers, items, columns 1 to 9 */
    assert_int_equal(fake_append(&err), STORE_RESULT_FAILED);
    assert_cause(&err, TLSMSG_ERR_NOMEM, "out of memory");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_each_step_fails),
        cmocka_unit_test_setup_teardown(test_no_step_fails, begin, end),
        cmocka_unit_test_setup_teardown(test_lost_connection, begin, end),
        cmocka_unit_test_setup_teardown(test_no_connection_in_time, begin, end),
        cmocka_unit_test_setup_teardown(test_not_undone, begin, end),
        cmocka_unit_test_setup_teardown(test_engine_that_keeps_no_promise, begin, end),
        cmocka_unit_test_setup_teardown(test_warning_before, begin, end),
        cmocka_unit_test_setup_teardown(test_one_is_refused, begin, end),
        cmocka_unit_test_setup_teardown(test_weaker_second_half, begin, end),
        cmocka_unit_test_setup_teardown(test_halves_of_a_kind, begin, end),
        cmocka_unit_test_setup_teardown(test_half_fails, begin, end),
        cmocka_unit_test(test_no_memory_to_list_again),
        cmocka_unit_test_setup_teardown(test_no_memory_to_commit, begin, end),
        cmocka_unit_test_setup_teardown(test_no_memory_to_refuse_within_a_batch, begin, end),
        cmocka_unit_test_setup_teardown(test_no_memory_to_refuse_alone, begin, end),
    };
    int failed = cmocka_run_group_tests(tests, NULL, NULL);

    RUN_ROWS(failed, test_promise, promises);
    RUN_ROWS(failed, test_commit_that_is_none, commits);
    RUN_ROWS(failed, test_no_memory, memories);
    RUN_ROWS(failed, test_no_memory_to_refuse, unremembered);
    return failed;
}
