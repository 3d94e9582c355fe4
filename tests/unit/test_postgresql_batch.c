/* How a batch is decided in a scripted engine: what is sent for it, and each item's verdict. */
#include <string.h>

#include "support/fake_batch.h"

#define LOCK_A "text{''} text{'~a'} int8{" FAKE_PLACE_A "}"
#define LOCK_AB "text{'',''} text{'~a','~b'} int8{" FAKE_PLACE_A "," FAKE_PLACE_B "}"
#define A_AT_4 "71|4|" FAKE_PLACE_A
#define H1 FAKE_HASH("01")
#define H2 FAKE_HASH("02")
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
    fake_store_end();
    return 0;
}

static struct store_item *item(const char *producer, uint64_t seq, uint64_t connection, int hash)
{
    return fake_item(producer, seq, connection, hash);
}

static void expect_commit_of_a(const char *seq)
{
    char marked[128];

    (void)snprintf(marked, sizeof(marked), "int8{71} int8{%s} int8{" NOW "}", seq);
    fake_expect_commit(marked);
}

/* ---- what is taken */

/* All that is written of a message. */
static void test_new_message(void **state)
{
    struct store_item *it = item("~a", 5, 3, 1);

    (void)state;
    it->body = "\0y";
    fake_expect_begin(LOCK_A, A_AT_4);
    fake_expect("write int8{1789999999000} int8{3} text{'peer'} int8{71} int8{5} int8{4} bytea{" H1
                "} bytea{0079} int8{9}",
                NULL)
        ->status = "INSERT 0 1";
    expect_commit_of_a("5");
    assert_int_equal(fake_append(&err), STORE_RESULT_DONE);
    ASSERT_ITEM(it, STORE_TAKEN, 5);
    assert_int_equal(fake_batch()->promise, STORE_PROMISE_REPLICATED);
    assert_false(fake_store()->is_blind);
}

/* A producer that is new is made, and locked with the others; one that only asks is not. */
static void test_new_producer(void **state)
{
    struct store_item *question = item("~a", 0, 1, 0);
    struct store_item *first = item("~b", 1, 1, 0);

    (void)state;
    fake_expect_begin(LOCK_AB, "");
    (void)fake_expect("add text{''} text{'~b'}", NULL);
    (void)fake_expect("lock " LOCK_AB, "82|0|" FAKE_PLACE_B);
    (void)fake_expect_write("82", "1", "0", "NULL", 1);
    fake_expect_commit("int8{82} int8{1} int8{" NOW "}");
    assert_int_equal(fake_append(&err), STORE_RESULT_DONE);
    ASSERT_ITEM(question, STORE_TAKEN, 0);
    ASSERT_ITEM(first, STORE_TAKEN, 1);
}

/* Another server has made it meanwhile, and has stored what is sent here again. */
static void test_new_producer_made_by_another(void **state)
{
    struct store_item *first = item("~a", 1, 1, 1);

    (void)state;
    fake_expect_begin(LOCK_A, "");
    (void)fake_expect("add text{''} text{'~a'}", NULL);
    (void)fake_expect("lock " LOCK_A, "71|2|" FAKE_PLACE_A);
    (void)fake_expect("compare int8{71} int8{1} bytea{" H1 "} int8{0}", "0|t|f");
    expect_commit_of_a("2");
    assert_int_equal(fake_append(&err), STORE_RESULT_DONE);
    ASSERT_ITEM(first, STORE_DUPLICATE, 2);
}

/* A question alone: nothing is written but that the producer was seen. */
static void test_question(void **state)
{
    struct store_item *question = item("~a", 0, 1, 0);

    (void)state;
    fake_expect_begin(LOCK_A, A_AT_4);
    expect_commit_of_a("4");
    assert_int_equal(fake_append(&err), STORE_RESULT_DONE);
    ASSERT_ITEM(question, STORE_TAKEN, 4);
}

static void test_question_for_nobody(void **state)
{
    struct store_item *question = item("~a", 0, 1, 0);

    (void)state;
    fake_expect_begin(LOCK_A, "");
    fake_expect_commit("int8{} int8{} int8{}");
    assert_int_equal(fake_append(&err), STORE_RESULT_DONE);
    ASSERT_ITEM(question, STORE_TAKEN, 0);
}

/* A producer that asks and brings, in either order, is made. */
static void test_question_and_message(void **state)
{
    struct store_item *first = item("~a", 1, 1, 0);
    struct store_item *question = item("~a", 0, 1, 0);

    (void)state;
    fake_expect_begin(LOCK_A, "");
    (void)fake_expect("add text{''} text{'~a'}", NULL);
    (void)fake_expect("lock " LOCK_A, "71|0|" FAKE_PLACE_A);
    (void)fake_expect_write("71", "1", "0", "NULL", 1);
    expect_commit_of_a("1");
    assert_int_equal(fake_append(&err), STORE_RESULT_DONE);
    ASSERT_ITEM(first, STORE_TAKEN, 1);
    ASSERT_ITEM(question, STORE_TAKEN, 1);
}

/* Wherever they are in the table, and with numbers of more than one digit. */
static void test_first_and_last_place(void **state)
{
    struct store_item *first = item("~av", 13, 1, 0);
    struct store_item *last = item("~bd", 1, 1, 0);

    (void)state;
    fake_expect_begin("text{'',''} text{'~av','~bd'} int8{0,63}", "18|12|0");
    (void)fake_expect("add text{''} text{'~bd'}", NULL);
    (void)fake_expect("lock text{'',''} text{'~av','~bd'} int8{0,63}", "18|12|0;19|0|63");
    fake_expect_write("18,19", "13,1", "12,0", "NULL,NULL", 2)->status = "INSERT 0 2";
    fake_expect_commit("int8{18,19} int8{13,1} int8{" NOW "," NOW "}");
    assert_int_equal(fake_append(&err), STORE_RESULT_DONE);
    ASSERT_ITEM(first, STORE_TAKEN, 13);
    ASSERT_ITEM(last, STORE_TAKEN, 1);
}

static void test_several_in_order(void **state)
{
    struct store_item *its[] = {item("~a", 5, 1, 1), item("~b", 1, 2, 2), item("~a", 6, 1, 2),
                                item("~a", 8, 1, 1)};

    (void)state;
    its[3]->jumps = true;
    fake_expect_begin(LOCK_AB, A_AT_4 ";82|0|" FAKE_PLACE_B);
    fake_expect_write("71,82,71,71", "5,1,6,8", "4,0,5,6", H1 "," H2 "," H2 "," H1, 4)->status =
        "INSERT 0 4";
    fake_expect_commit("int8{71,82} int8{8,1} int8{" NOW "," NOW "}");
    assert_int_equal(fake_append(&err), STORE_RESULT_DONE);
    ASSERT_ITEM(its[0], STORE_TAKEN, 5);
    ASSERT_ITEM(its[1], STORE_TAKEN, 1);
    ASSERT_ITEM(its[2], STORE_TAKEN, 6);
    ASSERT_ITEM(its[3], STORE_TAKEN, 8);
}

/* Behind a number that is missing nothing is taken, unless it may jump. */
static void test_gap(void **state)
{
    struct store_item *beyond = item("~a", 6, 1, 1);

    (void)state;
    fake_expect_begin(LOCK_A, A_AT_4);
    expect_commit_of_a("4");
    assert_int_equal(fake_append(&err), STORE_RESULT_DONE);
    ASSERT_ITEM(beyond, STORE_AWAY, 4);
}

static void test_no_room_for_new_ones(void **state)
{
    struct store_item *known = item("~a", 4, 1, 1);
    struct store_item *fresh = item("~a", 5, 1, 1);
    struct store_item *question = item("~a", 0, 1, 0);

    (void)state;
    fake_batch()->take_new = false;
    fake_expect_begin(LOCK_A, A_AT_4);
    (void)fake_expect("compare int8{71} int8{4} bytea{" H1 "} int8{0}", "0|t|f");
    expect_commit_of_a("4");
    assert_int_equal(fake_append(&err), STORE_RESULT_DONE);
    ASSERT_ITEM(known, STORE_DUPLICATE, 4);
    ASSERT_ITEM(fresh, STORE_NO_ROOM, 4);
    ASSERT_ITEM(question, STORE_TAKEN, 4);
}

/* ---- what was stored before */

/* A pruned one (2) is known by its number alone; who sends other bytes (3) gets no answer to what
 * follows, but others do. */
static void test_stored_before(void **state)
{
    struct store_item *same = item("~a", 1, 1, 1);
    struct store_item *pruned = item("~a", 2, 1, 1);
    struct store_item *other = item("~a", 3, 1, 1);
    struct store_item *behind = item("~b", 1, 1, 1);
    struct store_item *next = item("~a", 5, 2, 1);

    (void)state;
    fake_expect_begin(LOCK_AB, A_AT_4 ";82|0|" FAKE_PLACE_B);
    (void)fake_expect("compare int8{71,71,71} int8{1,2,3} bytea{" H1 "," H1 "," H1 "} int8{0,1,2}",
                      "2|f|f;0|t|f");
    (void)fake_expect_write("71", "5", "4", H1, 1);
    fake_expect_commit("int8{71,82} int8{5,0} int8{" NOW "," NOW "}");
    assert_int_equal(fake_append(&err), STORE_RESULT_DONE);
    ASSERT_ITEM(same, STORE_DUPLICATE, 4);
    ASSERT_ITEM(pruned, STORE_DUPLICATE, 4);
    ASSERT_ITEM(other, STORE_OTHER_BYTES, 4);
    ASSERT_ITEM(behind, STORE_AWAY, 0);
    ASSERT_ITEM(next, STORE_TAKEN, 5);
}

/* The same number twice in one batch; each hash with each. */
static const struct twice {
    const char *name;
    int hashes[2];
    enum store_verdict second;
} twice[] = {
    {"same bytes", {1, 1}, STORE_DUPLICATE},      {"other bytes", {1, 2}, STORE_OTHER_BYTES},
    {"no hash", {0, 0}, STORE_DUPLICATE},         {"no second hash", {1, 0}, STORE_OTHER_BYTES},
    {"no first hash", {0, 1}, STORE_OTHER_BYTES},
};

static void test_twice_in_a_batch(void **state)
{
    const struct twice *row = *state;
    struct store_item *first;
    struct store_item *second;
    struct store_item *behind;
    struct store_item *question;

    fake_store_begin();
    first = item("~a", 5, 1, row->hashes[0]);
    second = item("~a", 5, 2, row->hashes[1]);
    behind = item("~a", 0, 2, 0);
    question = item("~a", 0, 1, 0);
    fake_expect_begin(LOCK_A, A_AT_4);
    (void)fake_expect_write("71", "5", "4", row->hashes[0] != 0 ? H1 : "NULL", 1);
    expect_commit_of_a("5");
    assert_int_equal(fake_append(&err), STORE_RESULT_DONE);
    ASSERT_ITEM(first, STORE_TAKEN, 5);
    ASSERT_ITEM(second, row->second, 5);
    ASSERT_ITEM(behind, row->second == STORE_DUPLICATE ? STORE_TAKEN : STORE_AWAY, 5);
    ASSERT_ITEM(question, STORE_TAKEN, 5);
    (void)end(NULL);
}

/* A number that jumped over others was not given to those. */
static void test_below_a_jump(void **state)
{
    struct store_item *jumped = item("~a", 8, 1, 1);
    struct store_item *below = item("~a", 6, 2, 1);

    (void)state;
    jumped->jumps = true;
    fake_expect_begin(LOCK_A, A_AT_4);
    (void)fake_expect_write("71", "8", "4", H1, 1);
    expect_commit_of_a("8");
    assert_int_equal(fake_append(&err), STORE_RESULT_DONE);
    ASSERT_ITEM(jumped, STORE_TAKEN, 8);
    ASSERT_ITEM(below, STORE_DUPLICATE, 8);
}

/* As many as there are, each refused by itself. */
static void test_many_with_other_bytes(void **state)
{
    char sent[FAKE_TEXT_CHARS] = "compare int8{71";
    char rows[FAKE_TEXT_CHARS] = "0|f|f";
    struct store_item *its[30];
    int i;

    (void)state;
    for (i = 0; i < 30; i++) {
        its[i] = item("~a", 4, (uint64_t)i + 1, 1);
        if (i > 0) {
            (void)strcat(sent, ",71");
            (void)sprintf(rows + strlen(rows), ";%d|f|f", i);
        }
    }
    (void)strcat(sent, "} *");
    fake_expect_begin(LOCK_A, A_AT_4);
    (void)fake_expect(sent, rows);
    expect_commit_of_a("4");
    assert_int_equal(fake_append(&err), STORE_RESULT_DONE);
    assert_int_equal(fake_store()->refused_capacity, 32);
    for (i = 0; i < 30; i++) {
        ASSERT_ITEM(its[i], STORE_OTHER_BYTES, 4);
    }
}

/* What was refused in a batch is forgotten with it. */
static void test_refused_in_the_batch_before(void **state)
{
    struct store_item *it = item("~a", 4, 1, 1);

    (void)state;
    fake_expect_begin(LOCK_A, A_AT_4);
    (void)fake_expect("compare *", "0|f|f");
    expect_commit_of_a("4");
    assert_int_equal(fake_append(&err), STORE_RESULT_DONE);
    ASSERT_ITEM(it, STORE_OTHER_BYTES, 4);
    fake_expect_begin(LOCK_A, A_AT_4);
    (void)fake_expect("compare *", "0|t|f");
    expect_commit_of_a("4");
    assert_int_equal(fake_append(&err), STORE_RESULT_DONE);
    ASSERT_ITEM(it, STORE_DUPLICATE, 4);
}

/* ---- another writer, without the producer's lock */

static void test_conflict_with_the_same_bytes(void **state)
{
    struct store_item *question = item("~a", 0, 1, 0);
    struct store_item *ours = item("~a", 5, 1, 1);
    struct store_item *theirs = item("~a", 6, 1, 2);

    (void)state;
    fake_expect_begin(LOCK_A, A_AT_4);
    (void)fake_expect_write("71,71", "5,6", "4,5", H1 "," H2, 2);
    (void)fake_expect("compare int8{71,71} int8{5,6} bytea{" H1 "," H2 "} int8{1,2}",
                      "1|t|t;2|t|f");
    expect_commit_of_a("6");
    assert_int_equal(fake_append(&err), STORE_RESULT_DONE);
    ASSERT_ITEM(question, STORE_TAKEN, 4);
    ASSERT_ITEM(ours, STORE_TAKEN, 5);
    ASSERT_ITEM(theirs, STORE_DUPLICATE, 6);
}

static void test_conflict_among_many(void **state)
{
    struct store_item *its[12];
    uint64_t i;

    (void)state;
    for (i = 0; i < 12; i++) {
        its[i] = item("~a", 5 + i, 1, 1);
    }
    fake_expect_begin(LOCK_A, A_AT_4);
    fake_expect("write *", NULL)->status = "INSERT 0 11";
    (void)fake_expect("compare *", "11|t|f");
    expect_commit_of_a("16");
    assert_int_equal(fake_append(&err), STORE_RESULT_DONE);
    for (i = 0; i < 11; i++) {
        ASSERT_ITEM(its[i], STORE_TAKEN, 5 + i);
    }
    ASSERT_ITEM(its[11], STORE_DUPLICATE, 16);
}

/* The batch is begun anew, and knows of it from the start. What it refused before is only refused once
 * it is reached again. */
static void test_conflict_with_other_bytes(void **state)
{
    struct store_item *theirs = item("~a", 5, 1, 1);
    struct store_item *old = item("~a", 3, 1, 1);
    struct store_item *another = item("~b", 1, 2, 2);
    struct store_item *again = item("~b", 1, 3, 1);
    int round;

    (void)state;
    for (round = 0; round < 2; round++) {
        fake_expect_begin(LOCK_AB, A_AT_4 ";82|0|" FAKE_PLACE_B);
        (void)fake_expect("compare int8{71} int8{3} bytea{" H1 "} int8{1}", "1|f|f");
        if (round == 0) {
            (void)fake_expect_write("71,82", "5,1", "4,0", H1 "," H2, 2);
            (void)fake_expect("compare int8{71,82} int8{5,1} bytea{" H1 "," H2 "} int8{0,2}",
                              "0|f|f;2|t|t");
            (void)fake_expect("ROLLBACK", NULL);
        } else {
            (void)fake_expect_write("82", "1", "0", H2, 1);
            fake_expect_commit("int8{71,82} int8{4,1} int8{" NOW "," NOW "}");
        }
    }
    assert_int_equal(fake_append(&err), STORE_RESULT_DONE);
    ASSERT_ITEM(theirs, STORE_OTHER_BYTES, 4);
    ASSERT_ITEM(old, STORE_OTHER_BYTES, 4);
    ASSERT_ITEM(another, STORE_TAKEN, 1);
    ASSERT_ITEM(again, STORE_OTHER_BYTES, 1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_new_message, begin, end),
        cmocka_unit_test_setup_teardown(test_new_producer, begin, end),
        cmocka_unit_test_setup_teardown(test_new_producer_made_by_another, begin, end),
        cmocka_unit_test_setup_teardown(test_question, begin, end),
        cmocka_unit_test_setup_teardown(test_question_for_nobody, begin, end),
        cmocka_unit_test_setup_teardown(test_question_and_message, begin, end),
        cmocka_unit_test_setup_teardown(test_first_and_last_place, begin, end),
        cmocka_unit_test_setup_teardown(test_several_in_order, begin, end),
        cmocka_unit_test_setup_teardown(test_gap, begin, end),
        cmocka_unit_test_setup_teardown(test_no_room_for_new_ones, begin, end),
        cmocka_unit_test_setup_teardown(test_stored_before, begin, end),
        cmocka_unit_test_setup_teardown(test_below_a_jump, begin, end),
        cmocka_unit_test_setup_teardown(test_many_with_other_bytes, begin, end),
        cmocka_unit_test_setup_teardown(test_refused_in_the_batch_before, begin, end),
        cmocka_unit_test_setup_teardown(test_conflict_with_the_same_bytes, begin, end),
        cmocka_unit_test_setup_teardown(test_conflict_among_many, begin, end),
        cmocka_unit_test_setup_teardown(test_conflict_with_other_bytes, begin, end),
    };
    int failed = cmocka_run_group_tests(tests, NULL, NULL);

    RUN_ROWS(failed, test_twice_in_a_batch, twice);
    return failed;
}
