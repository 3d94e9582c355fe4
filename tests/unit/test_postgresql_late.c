/* An engine that stays silent: nobody waits longer than they have patience, what is late is taken
 * later, and meanwhile it is looked whether another host takes writes. */
#include <string.h>

#include "base/clock.h"
#include "support/fake_db.h"

#define SLICE_NS ((int64_t)100 * CLOCK_NS_PER_MS)

#define TWO_HOSTS "postgresql://u@a,b:5433/d"
#define EXEC_ENGINE "exec SELECT extract(epoch FROM pg_postmaster_start_time())::text"
#define ELSEWHERE "2: " FAKE_CONNECT(TWO_HOSTS, "read-write") " host=b port=5433"

static int begin(void **state)
{
    (void)state;
    return fake_db_begin(TWO_HOSTS);
}

static void make_ready(void)
{
    static const struct fake_exchange writer[] = {
        {FAKE_CONNECT(TWO_HOSTS, "read-write"), .rows = "a|192.0.2.1|"},
        {FAKE_IDENTIFY, .rows = FAKE_PID "|" FAKE_ENGINE},
        {FAKE_SET_UP, .rows = "on"},
        {FAKE_PLANNING, .rows = "off"}};
    static const struct fake_exchange reader[] = {
        {FAKE_CONNECT(TWO_HOSTS, "any"), .rows = "a|192.0.2.1|"},
        {FAKE_IDENTIFY, .rows = FAKE_PID "|" FAKE_ENGINE},
        {FAKE_SET_UP, .rows = "on"}};

    if (db.reads) {
        FAKE_PLAY(reader);
    } else {
        FAKE_PLAY(writer);
    }
    assert_int_equal(pg_db_ready(&db, &err), PG_DONE);
}

static enum pg_outcome run(const char *sql)
{
    return pg_db_run(&db, sql, 0, NULL, NULL, &err);
}

/* Runs COMMIT in a transaction, and waits in vain for slices of 100 ms. */
static void be_late(int slices)
{
    static const struct fake_exchange script[] = {{.sent = "BEGIN"},
                                                  {"COMMIT", .fault = FAKE_SILENT}};

    make_ready();
    fake_libpq_play(&script[0], 1);
    assert_int_equal(run("BEGIN"), PG_DONE);
    fake_libpq_play(&script[1], 1);
    patience = slices;
    assert_int_equal(run("COMMIT"), PG_AWAY);
    assert_cause(&err, TLSMSG_ERR_SYSTEM, FAKE_LATE_TEXT);
    tlsmsg_error_clear(&err);
    assert_true(db.is_late);
    assert_non_null(db.connection);
}

static void test_late_answer_is_taken(void **state)
{
    (void)state;
    be_late(5);
    patience = 1;
    assert_int_equal(pg_db_ready(&db, &err), PG_AWAY);
    assert_cause(&err, TLSMSG_ERR_SYSTEM, FAKE_LATE_TEXT);
    assert_true(db.is_late);
    assert_int_equal(pg_db_undo(&db, PG_AWAY, &err), PG_AWAY);
    tlsmsg_error_clear(&err);
    patience = 3; /* silent, silent, and then there is something to read */
    fake_libpq_speak_after(2);
    assert_int_equal(pg_db_ready(&db, &err), PG_DONE);
    assert_int_equal(err.code, TLSMSG_OK);
    assert_false(db.is_late);
    assert_true(db.is_set_up);
}

/* Results before the silent one have been taken; those after it are, too. */
static void test_late_among_several(void **state)
{
    static const struct fake_exchange script[] = {
        {"ONE", .rows = "1"}, {"TWO", .rows = "2", .fault = FAKE_SILENT}, {"THREE", .rows = "3"}};
    PGresult *results[3];
    const struct pg_step steps[] = {{.sql = "ONE", .result = &results[0]},
                                    {.sql = "TWO", .result = &results[1]},
                                    {.sql = "THREE", .result = &results[2]}};

    (void)state;
    make_ready();
    FAKE_PLAY(script);
    patience = 5;
    assert_int_equal(pg_db_run_all(&db, steps, 3, &err), PG_AWAY);
    assert_cause(&err, TLSMSG_ERR_SYSTEM, FAKE_LATE_TEXT);
    tlsmsg_error_clear(&err);
    assert_string_equal(PQgetvalue(results[0], 0, 0), "1");
    assert_null(results[1]);
    assert_null(results[2]);
    PQclear(results[0]);
    fake_libpq_speak_after(0);
    assert_int_equal(pg_db_ready(&db, &err), PG_DONE);
}

/* A transaction that is left open by a late answer is undone. */
static const struct left_open {
    const char *name;
    const char *error; /* of the rollback */
    enum pg_outcome outcome;
    const char *text;
} left_open[] = {{"is undone", NULL, PG_DONE, ""},
                 {"can't be undone", "57P01", PG_AWAY, "the store's engine: ERROR:  it is 57P01"}};

static void test_late_in_a_transaction(void **state)
{
    const struct left_open *row = *state;
    const struct fake_exchange script[] = {
        {.sent = "BEGIN"}, {"ONE", .fault = FAKE_SILENT}, {"ROLLBACK", .error = row->error}};

    (void)begin(NULL);
    make_ready();
    fake_libpq_play(&script[0], 1);
    assert_int_equal(run("BEGIN"), PG_DONE);
    fake_libpq_play(&script[1], 1);
    patience = 5;
    assert_int_equal(run("ONE"), PG_AWAY);
    tlsmsg_error_clear(&err);
    patience = 1000;
    fake_libpq_play(&script[2], 1);
    fake_libpq_speak_after(0);
    assert_int_equal(pg_db_ready(&db, &err), row->outcome);
    assert_string_equal(err.text, row->text);
    assert_false(db.is_late);
    assert_int_equal(db.connection == NULL, row->error != NULL);
    (void)fake_db_end(NULL);
}

/* Each way in which the late answer doesn't come: the connection is given up. */
static const struct lost {
    const char *name;
    enum fake_fault fault; /* of the statement after the silent one */
    const char *text;
} lost[] = {
    {"broken", FAKE_BROKEN, FAKE_LOST_TEXT},
    {"dying", FAKE_DYING, FAKE_LOST_TEXT},
    {"not read", FAKE_NOT_READ, FAKE_LOST_TEXT},
    {"not flushed", FAKE_NOT_FLUSHED, FAKE_LOST_TEXT},
};

static void test_late_and_lost(void **state)
{
    const struct lost *row = *state;
    const struct fake_exchange script[] = {{"ONE", .fault = FAKE_SILENT},
                                           {"TWO", .fault = row->fault}};
    const struct pg_step steps[] = {{.sql = "ONE"}, {.sql = "TWO"}};

    (void)begin(NULL);
    make_ready();
    FAKE_PLAY(script);
    patience = 5;
    assert_int_equal(pg_db_run_all(&db, steps, 2, &err), PG_AWAY);
    tlsmsg_error_clear(&err);
    fake_libpq_speak_after(0);
    patience = 1000;
    assert_int_equal(pg_db_ready(&db, &err), PG_AWAY);
    assert_cause(&err, TLSMSG_ERR_SYSTEM, row->text);
    assert_null(db.connection);
    assert_false(db.is_late);
    (void)fake_db_end(NULL);
}

/* ---- another host */

/* It is looked after a second, without this host; what answers there takes the connection's place. */
static void test_another_host_takes_writes(void **state)
{
    static const struct fake_exchange silent[] = {{"ONE", .fault = FAKE_SILENT},
                                                  {ELSEWHERE, .rows = "b|192.0.2.2|5433"},
                                                  {"2: " EXEC_ENGINE, .rows = "1790000001.5"}};
    static const struct fake_exchange start[] = {
        {"2: " FAKE_IDENTIFY, .rows = FAKE_PID "|1790000001.5"},
        {"2: " FAKE_SET_UP, .rows = "on"},
        {"2: " FAKE_PLANNING, .rows = "off"}};

    (void)state;
    make_ready();
    FAKE_PLAY(silent);
    patience = 100;
    assert_int_equal(run("ONE"), PG_AWAY);
    assert_cause(&err, TLSMSG_ERR_SYSTEM,
                 "the store's engine at a does not answer, and the one at b takes writes");
    assert_int_equal(patience, 100 - 1 - 10); /* written, and silent for a second */
    tlsmsg_error_clear(&err);
    assert_false(db.is_late);
    assert_false(db.is_set_up);
    assert_null(db.looking);
    assert_null(db.elsewhere);
    assert_string_equal(PQhost(db.connection), "b");
    FAKE_PLAY(start);
    assert_int_equal(pg_db_ready(&db, &err), PG_DONE);
    assert_string_equal(db.engine, "1790000001.5");
}

/* Each answer that is none: it is looked again a second later, and waited for as before. */
static const struct no_other {
    const char *name;
    enum fake_fault fault; /* of the connection */
    const char *engine;    /* NULL: not asked */
    const char *error;
} no_others[] = {
    {"refused", FAKE_REFUSED, NULL, NULL},
    {"no memory", FAKE_NO_MEMORY, NULL, NULL},
    {"the same engine", FAKE_NO_FAULT, FAKE_ENGINE, NULL},
    {"an engine that doesn't say", FAKE_NO_FAULT, "", "42501"},
};

static void test_no_other_host(void **state)
{
    const struct no_other *row = *state;
    const struct fake_exchange first[] = {
        {"ONE", .fault = FAKE_SILENT},
        {ELSEWHERE, .rows = "b|192.0.2.2|5433", .fault = row->fault},
        {"2: " EXEC_ENGINE, .rows = row->engine, .error = row->error}};
    struct fake_exchange script[5];
    size_t count = row->engine != NULL ? 3 : 2;

    memcpy(script, first, sizeof(first));
    script[count] = (struct fake_exchange){
        "3: " FAKE_CONNECT(TWO_HOSTS, "read-write") " host=b port=5433", .fault = FAKE_REFUSED};
    (void)begin(NULL);
    make_ready();
    fake_libpq_play(script, count + 1);
    patience = 2 + 10 + 10;
    assert_int_equal(run("ONE"), PG_AWAY);
    assert_cause(&err, TLSMSG_ERR_SYSTEM, FAKE_LATE_TEXT);
    assert_true(db.is_late);
    assert_null(db.elsewhere);
    (void)fake_db_end(NULL);
}

/* Late already: the silence is still looked into. */
static void test_another_host_while_late(void **state)
{
    static const struct fake_exchange found[] = {{ELSEWHERE, .rows = "b|192.0.2.2|5433"},
                                                 {"2: " EXEC_ENGINE, .rows = "1790000001.5"}};

    (void)state;
    be_late(5);
    FAKE_PLAY(found);
    patience = 1000;
    assert_int_equal(pg_db_ready(&db, &err), PG_AWAY);
    assert_cause(&err, TLSMSG_ERR_SYSTEM,
                 "the store's engine at a does not answer, and the one at b takes writes");
    assert_string_equal(PQhost(db.connection), "b");
    assert_false(db.is_late);
}

/* Who only reads waits: any host would do for that. And while nobody knows which engine this is, no
 * other one can be told from it. */
static void test_it_is_not_looked(void **state)
{
    static const struct fake_exchange silent[] = {{"ONE", .fault = FAKE_SILENT}};

    (void)state;
    db.reads = true;
    make_ready();
    FAKE_PLAY(silent);
    patience = 30;
    assert_int_equal(run("ONE"), PG_AWAY);
    (void)fake_db_end(NULL);
    (void)begin(NULL);
    make_ready();
    db.engine[0] = '\0';
    FAKE_PLAY(silent);
    patience = 30;
    assert_int_equal(run("ONE"), PG_AWAY);
    assert_cause(&err, TLSMSG_ERR_SYSTEM, FAKE_LATE_TEXT);
    assert_null(db.looking);
}

/* Not even a thread to look with: the wait goes on. */
static void test_no_thread_to_look(void **state)
{
    static const struct fake_exchange silent[] = {{"ONE", .fault = FAKE_SILENT}};

    (void)state;
    make_ready();
    fake_libpq_threads(FAKE_NO_THREAD);
    FAKE_PLAY(silent);
    patience = 30;
    assert_int_equal(run("ONE"), PG_AWAY);
    assert_cause(&err, TLSMSG_ERR_SYSTEM, FAKE_LATE_TEXT);
    assert_null(db.looking);
}

/* The answer comes, or the connection goes, while it is looked: what is found then is closed. */
static void test_answer_while_looking(void **state)
{
    static const struct fake_exchange silent[] = {{"ONE", .fault = FAKE_SILENT}};
    static const struct fake_exchange found[] = {{ELSEWHERE, .rows = "b|192.0.2.2|5433"},
                                                 {"2: " EXEC_ENGINE, .rows = "1790000001.5"}};
    int is_closed;

    (void)state;
    for (is_closed = 0; is_closed < 2; is_closed++) {
        (void)begin(NULL);
        make_ready();
        fake_libpq_threads(FAKE_LATER);
        FAKE_PLAY(silent);
        patience = 15;
        assert_int_equal(run("ONE"), PG_AWAY);
        assert_non_null(db.looking);
        if (is_closed != 0) {
            pg_db_disconnect(&db);
        } else {
            tlsmsg_error_clear(&err);
            patience = 2;
            fake_libpq_speak_after(0);
            assert_int_equal(pg_db_ready(&db, &err), PG_DONE);
        }
        assert_null(db.looking);
        assert_false(db.is_late);
        FAKE_PLAY(found);
        fake_libpq_run_thread();
        (void)fake_db_end(NULL);
    }
}

/* The same for an answer that comes in time. */
static void test_answer_in_time_while_looking(void **state)
{
    static const struct fake_exchange silent[] = {{"ONE", .fault = FAKE_SILENT}};
    static const struct fake_exchange found[] = {{ELSEWHERE, .rows = "b|192.0.2.2|5433"},
                                                 {"2: " EXEC_ENGINE, .rows = "1790000001.5"}};
    int64_t began_ns;

    (void)state;
    make_ready();
    fake_libpq_threads(FAKE_LATER);
    FAKE_PLAY(silent);
    fake_libpq_speak_after(15);
    began_ns = clock_now_ns();
    assert_int_equal(run("ONE"), PG_DONE);
    assert_int_equal(clock_now_ns() - began_ns, 15 * SLICE_NS); /* the look has taken none of it */
    assert_null(db.looking);
    FAKE_PLAY(found);
    fake_libpq_run_thread();
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_late_answer_is_taken, begin, fake_db_end),
        cmocka_unit_test_setup_teardown(test_late_among_several, begin, fake_db_end),
        cmocka_unit_test_setup_teardown(test_another_host_takes_writes, begin, fake_db_end),
        cmocka_unit_test_setup_teardown(test_another_host_while_late, begin, fake_db_end),
        cmocka_unit_test_setup_teardown(test_it_is_not_looked, begin, fake_db_end),
        cmocka_unit_test_setup_teardown(test_no_thread_to_look, begin, fake_db_end),
        cmocka_unit_test(test_answer_while_looking),
        cmocka_unit_test_setup_teardown(test_answer_in_time_while_looking, begin, fake_db_end),
    };
    int failed = cmocka_run_group_tests(tests, NULL, NULL);

    RUN_ROWS(failed, test_late_in_a_transaction, left_open);
    RUN_ROWS(failed, test_late_and_lost, lost);
    RUN_ROWS(failed, test_no_other_host, no_others);
    return failed;
}
