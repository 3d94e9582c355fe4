/* Statements on a connection to a scripted engine: what is sent, and what becomes of each answer and of
 * each break. */
#include <string.h>

#include "store/postgresql_internal.h"
#include "support/fake_db.h"

static int begin(void **state)
{
    (void)state;
    return fake_db_begin(FAKE_TARGET);
}

static void make_ready(void)
{
    static const struct fake_exchange script[] = {FAKE_START};

    FAKE_PLAY(script);
    assert_int_equal(pg_db_ready(&db, &err), PG_DONE);
}

/* ---- making ready */

/* All that a new connection is told, word for word. */
static void test_ready_once(void **state)
{
    static const struct fake_exchange script[] = {
        {FAKE_CONNECT(FAKE_TARGET, "read-write"), .rows = "a|192.0.2.1|5432"},
        {FAKE_IDENTIFY, .rows = FAKE_PID "|" FAKE_ENGINE},
        {"SELECT set_config('synchronous_commit', CASE current_setting('synchronous_commit') WHEN "
         "'remote_apply' THEN 'remote_apply' ELSE 'on' END, false), "
         "set_config('statement_timeout', '0', false), set_config('lock_timeout', '0', false), "
         "set_config('idle_in_transaction_session_timeout', '60s', false), "
         "set_config('tcp_keepalives_idle', '10', false), "
         "set_config('tcp_keepalives_interval', '5', false), "
         "set_config('tcp_keepalives_count', '2', false), "
         "set_config('client_min_messages', 'warning', false), set_config('bytea_output', 'hex', "
         "false), set_config('search_path', 'pg_catalog', false)",
         .rows = "on"},
        {"SELECT set_config('enable_seqscan', 'off', false), set_config('enable_hashjoin', 'off', "
         "false), set_config('enable_mergejoin', 'off', false), set_config('plan_cache_mode', "
         "'force_generic_plan', false), set_config('jit', 'off', false)",
         .rows = "off"}};

    (void)state;
    FAKE_PLAY(script);
    assert_int_equal(pg_db_ready(&db, &err), PG_DONE);
    assert_true(db.is_set_up);
    assert_false(db.is_pooled);
    assert_string_equal(db.engine, FAKE_ENGINE);
    assert_int_equal(pg_db_ready(&db, &err), PG_DONE);
    assert_int_equal(err.code, TLSMSG_OK);
}

static const struct pg_prepared prepared[] = {
    {"one", "SELECT 1"}, {"two", "SELECT 2"}, {NULL, NULL}};

static void test_ready_prepares(void **state)
{
    static const struct fake_exchange script[] = {
        FAKE_START, {.sent = "prepare one: SELECT 1"}, {.sent = "prepare two: SELECT 2"}};

    (void)state;
    db.prepared = prepared;
    FAKE_PLAY(script);
    assert_int_equal(pg_db_ready(&db, &err), PG_DONE);
    assert_true(db.is_set_up);
}

/* A reader takes a standby, and leaves plans to the engine. */
static void test_ready_to_read(void **state)
{
    static const struct fake_exchange script[] = {
        {FAKE_CONNECT(FAKE_TARGET, "any"), .rows = "a|192.0.2.1|5432"},
        {FAKE_IDENTIFY, .rows = FAKE_PID "|" FAKE_ENGINE},
        {FAKE_SET_UP, .rows = "on"}};

    (void)state;
    db.reads = true;
    FAKE_PLAY(script);
    assert_int_equal(pg_db_ready(&db, &err), PG_DONE);
}

/* What a pooler's connection is told or prepares may be missing from the next one. */
static void test_ready_behind_a_pooler(void **state)
{
    static const struct fake_exchange script[] = {
        {FAKE_CONNECT(FAKE_TARGET, "read-write"), .rows = "a|192.0.2.1|5432"},
        {FAKE_IDENTIFY, .rows = "4712|" FAKE_ENGINE},
        {"SELECT 1", .rows = "1"}};
    const struct pg_step step = {.name = "one", .sql = "SELECT 1"};

    (void)state;
    db.prepared = prepared;
    FAKE_PLAY(script);
    assert_int_equal(pg_db_ready(&db, &err), PG_DONE);
    assert_true(db.is_set_up);
    assert_true(db.is_pooled);
    assert_int_equal(pg_db_run_all(&db, &step, 1, &err), PG_DONE);
}

/* Each way in which a new connection fails to become ready: nothing of it is left. */
static const struct unready {
    const char *name;
    size_t count; /* of the start's rows; the last one is this */
    struct fake_exchange last;
    enum pg_outcome outcome;
    const char *text;
} unready[] = {
    {"no memory", 1, {.fault = FAKE_NO_MEMORY}, PG_AWAY, "the store's engine: there is no memory"},
    {"refused", 1, {.fault = FAKE_REFUSED}, PG_AWAY, FAKE_LOST_TEXT},
    {"waits", 1, {.fault = FAKE_NOT_NONBLOCKING}, PG_AWAY, "the store's engine: nothing"},
    {"no pipeline", 1, {.fault = FAKE_NOT_PIPELINED}, PG_AWAY, "the store's engine: nothing"},
    {"not identified", 2, {.error = "42501"}, PG_FAILED, "the store's engine: ERROR:  it is 42501"},
    {"lost at once", 2, {.fault = FAKE_BROKEN}, PG_AWAY, FAKE_LOST_TEXT},
    {"silent", 2, {.fault = FAKE_SILENT}, PG_AWAY, FAKE_LATE_TEXT},
    {"not set up", 3, {.error = "22023"}, PG_BAD, "the store's engine: ERROR:  it is 22023"},
    {"not planning", 4, {.error = "42704"}, PG_FAILED, "the store's engine: ERROR:  it is 42704"},
    {"not prepared", 5, {.error = "57014"}, PG_AWAY, "the store's engine: ERROR:  it is 57014"},
    {"not prepared, second",
     6,
     {.error = "42P01"},
     PG_FAILED,
     "the store's engine: ERROR:  it is 42P01"},
    {"lost while it prepares", 5, {.fault = FAKE_BROKEN}, PG_AWAY, FAKE_LOST_TEXT},
    {"cannot prepare", 5, {.fault = FAKE_NOT_SENT}, PG_AWAY, FAKE_LOST_TEXT},
    {"cannot prepare, end", 5, {.fault = FAKE_NOT_ENDED}, PG_AWAY, FAKE_LOST_TEXT},
    {"prepares without an answer",
     5,
     {.fault = FAKE_MISSING},
     PG_AWAY,
     "the store's engine: nothing"},
    {"prepares without an end", 5, {.fault = FAKE_NO_END}, PG_AWAY, "the store's engine: nothing"},
};

static void test_not_ready(void **state)
{
    static const struct fake_exchange start[] = {
        FAKE_START, {.sent = "prepare one: SELECT 1"}, {.sent = "prepare two: SELECT 2"}};
    const struct unready *row = *state;
    struct fake_exchange script[COUNT_OF(start)];
    struct fake_exchange *last = &script[row->count - 1];

    memcpy(script, start, sizeof(start));
    last->fault = row->last.fault;
    last->error = row->last.error;
    (void)begin(NULL);
    patience = 20;
    db.prepared = prepared;
    fake_libpq_play(script, row->count);
    assert_int_equal(pg_db_ready(&db, &err), row->outcome);
    assert_cause(&err, TLSMSG_ERR_SYSTEM, row->text);
    assert_null(db.connection);
    assert_false(db.is_set_up);
    assert_false(db.is_late);
    assert_string_equal(db.engine, "");
    (void)fake_db_end(NULL);
}

static void test_no_thread_to_connect(void **state)
{
    (void)state;
    fake_libpq_threads(FAKE_NO_THREAD);
    assert_int_equal(pg_db_ready(&db, &err), PG_AWAY);
    assert_cause(&err, TLSMSG_ERR_SYSTEM, "cannot start a thread to connect");
    assert_null(db.connecting);
}

/* What is being made goes on, and is taken the next time. */
static void test_not_connected_in_time(void **state)
{
    static const struct fake_exchange script[] = {FAKE_START};

    (void)state;
    fake_libpq_threads(FAKE_LATER);
    patience = 2;
    assert_int_equal(pg_db_ready(&db, &err), PG_AWAY);
    assert_cause(&err, TLSMSG_ERR_SYSTEM, "the store's engine: no connection to it in time");
    assert_int_equal(patience, -1);
    assert_null(db.connection);
    fake_libpq_threads(FAKE_IN_WAIT);
    patience = 1000;
    FAKE_PLAY(script);
    assert_int_equal(pg_db_ready(&db, &err), PG_DONE);
    assert_null(db.connecting);
}

/* Nobody's patience ends. */
static void test_waits_as_long_as_it_takes(void **state)
{
    static const struct fake_exchange script[] = {FAKE_START};

    (void)state;
    db.patience.has_ended = NULL;
    fake_libpq_threads(FAKE_IN_WAIT);
    FAKE_PLAY(script);
    assert_int_equal(pg_db_ready(&db, &err), PG_DONE);
}

/* Closed while it is made: its own thread closes what comes of it. */
static void test_closed_while_connecting(void **state)
{
    static const struct fake_exchange script[] = {FAKE_START};

    (void)state;
    fake_libpq_threads(FAKE_LATER);
    patience = 0;
    assert_int_equal(pg_db_ready(&db, &err), PG_AWAY);
    pg_db_close(&db);
    assert_null(db.connecting);
    fake_libpq_play(script, 1);
    fake_libpq_run_thread();
}

/* A connection that was lost since is made anew. */
static void test_lost_meanwhile(void **state)
{
    static const struct fake_exchange dying[] = {{"SELECT 1", .fault = FAKE_DYING}};
    static const struct fake_exchange script[] = {
        {"2: " FAKE_CONNECT(FAKE_TARGET, "read-write"), .rows = "a|192.0.2.1|5432"},
        {"2: " FAKE_IDENTIFY, .rows = FAKE_PID "|2.0"},
        {"2: " FAKE_SET_UP, .rows = "on"},
        {"2: " FAKE_PLANNING, .rows = "off"}};

    (void)state;
    make_ready();
    FAKE_PLAY(dying);
    assert_int_equal(pg_db_run(&db, "SELECT 1", 0, NULL, NULL, &err), PG_AWAY);
    assert_cause(&err, TLSMSG_ERR_SYSTEM, FAKE_LOST_TEXT);
    assert_null(db.connection);
    assert_false(db.is_set_up);
    assert_string_equal(db.engine, "");
    FAKE_PLAY(script);
    assert_int_equal(pg_db_ready(&db, &err), PG_DONE);
    assert_string_equal(db.engine, "2.0");
}

/* ---- statements */

static void test_several_at_once(void **state)
{
    static const struct fake_exchange script[] = {{"BEGIN", .status = "BEGIN"},
                                                  {"SELECT $1, $2 'x' ''", .rows = "x|"},
                                                  {"one text{'ab'} int8{-7}", .rows = "1;2"}};
    static const char *const texts[] = {"x", ""};
    struct pg_array arrays[2] = {{.data = NULL}};
    PGresult *begun;
    PGresult *binary;

    (void)state;
    pg_array_begin(&arrays[0], PG_TYPE_TEXT);
    pg_array_text(&arrays[0], "ab");
    pg_array_begin(&arrays[1], PG_TYPE_INT8);
    pg_array_number(&arrays[1], -7);
    assert_true(pg_array_end(&arrays[0]) && pg_array_end(&arrays[1]));
    const char *const values[] = {arrays[0].data, arrays[1].data};
    const int lengths[] = {(int)arrays[0].len, (int)arrays[1].len};
    const struct pg_step steps[] = {
        {.sql = "BEGIN", .result = &begun},
        {.sql = "SELECT $1, $2", .count = 2, .values = texts},
        {.name = "one",
         .sql = "?",
         .count = 2,
         .values = values,
         .lengths = lengths,
         .result = &binary},
    };
    make_ready();
    FAKE_PLAY(script);
    assert_int_equal(pg_db_run_all(&db, steps, 3, &err), PG_DONE);
    assert_string_equal(PQcmdStatus(begun), "BEGIN");
    assert_int_equal(PQntuples(binary), 2);
    PQclear(begun);
    PQclear(binary);
    pg_array_fini(&arrays[0]);
    pg_array_fini(&arrays[1]);
    assert_int_equal(err.code, TLSMSG_OK);
}

/* What follows an error is not carried out, and says nothing of why. */
static void test_first_error_decides(void **state)
{
    static const struct fake_exchange script[] = {
        {"ONE", .rows = "1"}, {"TWO", .error = "23505"}, {.sent = "THREE"}};
    PGresult *results[3];
    const struct pg_step steps[] = {{.sql = "ONE", .result = &results[0]},
                                    {.sql = "TWO", .result = &results[1]},
                                    {.sql = "THREE", .result = &results[2]}};
    size_t i;

    (void)state;
    make_ready();
    FAKE_PLAY(script);
    assert_int_equal(pg_db_run_all(&db, steps, 3, &err), PG_BAD);
    assert_cause(&err, TLSMSG_ERR_SYSTEM, "the store's engine: ERROR:  it is 23505");
    assert_int_equal(PQresultStatus(results[0]), PGRES_TUPLES_OK);
    assert_int_equal(PQresultStatus(results[1]), PGRES_FATAL_ERROR);
    assert_int_equal(PQresultStatus(results[2]), PGRES_PIPELINE_ABORTED);
    for (i = 0; i < 3; i++) {
        PQclear(results[i]);
    }
    assert_true(db.is_set_up);
}

static const struct refusal {
    const char *name; /* its SQLSTATE */
    enum pg_outcome outcome;
} refusals[] = {
    {"53100", PG_NO_ROOM}, {"53200", PG_AWAY},   {"53000", PG_AWAY},   {"22021", PG_BAD},
    {"23505", PG_BAD},     {"08006", PG_AWAY},   {"57014", PG_AWAY},   {"40001", PG_AWAY},
    {"26000", PG_AWAY},    {"25006", PG_AWAY},   {"25001", PG_FAILED}, {"42501", PG_FAILED},
    {"XX001", PG_FAILED},  {"21000", PG_FAILED}, {"58030", PG_FAILED}, {"02200", PG_FAILED},
};

static void test_refusal(void **state)
{
    const struct refusal *row = *state;
    const struct fake_exchange script[] = {{"SELECT 1", .error = row->name}};
    char text[64];

    (void)begin(NULL);
    make_ready();
    FAKE_PLAY(script);
    assert_int_equal(pg_db_run(&db, "SELECT 1", 0, NULL, NULL, &err), row->outcome);
    (void)snprintf(text, sizeof(text), "the store's engine: ERROR:  it is %s", row->name);
    assert_cause(&err, TLSMSG_ERR_SYSTEM, text);
    assert_true(db.is_set_up);
    (void)fake_db_end(NULL);
}

/* Each way in which a connection is lost under several statements: it is closed, and results are the
 * caller's or NULL. */
static const struct breaking {
    const char *name;
    struct fake_exchange second;
    const char *text;
} breakings[] = {
    {"not sent", {.fault = FAKE_NOT_SENT}, FAKE_LOST_TEXT},
    {"not flushed", {.fault = FAKE_NOT_FLUSHED}, FAKE_LOST_TEXT},
    {"not read", {.fault = FAKE_NOT_READ}, FAKE_LOST_TEXT},
    {"missing", {.fault = FAKE_MISSING}, "the store's engine: nothing"},
    {"twice", {.fault = FAKE_TWICE}, "the store's engine: nothing"},
    {"broken", {.fault = FAKE_BROKEN}, FAKE_LOST_TEXT},
    {"dying", {.fault = FAKE_DYING}, FAKE_LOST_TEXT},
    {"dying with an error",
     {.fault = FAKE_DYING, .error = "42501"},
     "the store's engine: ERROR:  it is 42501"},
};

static void test_break(void **state)
{
    const struct breaking *row = *state;
    struct fake_exchange script[] = {{"ONE", .rows = "1"}, row->second, {.sent = "THREE"}};
    PGresult *results[3];
    const struct pg_step steps[] = {{.sql = "ONE", .result = &results[0]},
                                    {.sql = "TWO", .result = &results[1]},
                                    {.sql = "THREE", .result = &results[2]}};
    size_t i;

    memset(results, 1, sizeof(results));
    script[1].sent = "TWO";
    (void)begin(NULL);
    make_ready();
    fake_libpq_play(script, row->second.fault == FAKE_NOT_SENT ? 2 : 3);
    assert_int_equal(pg_db_run_all(&db, steps, 3, &err), PG_AWAY);
    assert_cause(&err, TLSMSG_ERR_SYSTEM, row->text);
    assert_null(db.connection);
    assert_null(results[2]);
    for (i = 0; i < 3; i++) {
        PQclear(results[i]);
    }
    (void)fake_db_end(NULL);
}

/* An error of libpq's own, such as no memory: the connection may be as good as before. */
static void test_error_without_a_name(void **state)
{
    static const struct fake_exchange script[] = {{"SELECT 1", .fault = FAKE_NAMELESS}};

    (void)state;
    make_ready();
    FAKE_PLAY(script);
    assert_int_equal(pg_db_run(&db, "SELECT 1", 0, NULL, NULL, &err), PG_AWAY);
    assert_cause(&err, TLSMSG_ERR_SYSTEM, "the store's engine: nothing");
    assert_true(db.is_set_up);
}

static const struct fake_exchange no_ends[] = {{"SELECT 1", .fault = FAKE_NOT_ENDED},
                                               {"SELECT 1", .fault = FAKE_NO_END}};

static void test_no_end(void **state)
{
    size_t i;

    (void)state;
    for (i = 0; i < 2; i++) {
        (void)begin(NULL);
        make_ready();
        fake_libpq_play(&no_ends[i], 1);
        assert_int_equal(pg_db_run(&db, "SELECT 1", 0, NULL, NULL, &err), PG_AWAY);
        assert_cause(&err, TLSMSG_ERR_SYSTEM,
                     i == 0 ? FAKE_LOST_TEXT : "the store's engine: nothing");
        assert_null(db.connection);
        (void)fake_db_end(NULL);
    }
}

static void test_warnings(void **state)
{
    static const struct fake_exchange notice[] = {{"ONE", .warning = "NOTICE"}};
    static const struct fake_exchange warning[] = {{"TWO", .warning = "WARNING"}};
    static const struct fake_exchange nameless[] = {{"ONE", .warning = ""}};

    (void)state;
    make_ready();
    FAKE_PLAY(notice);
    assert_int_equal(pg_db_run(&db, "ONE", 0, NULL, NULL, &err), PG_DONE);
    FAKE_PLAY(nameless);
    assert_int_equal(pg_db_run(&db, "ONE", 0, NULL, NULL, &err), PG_DONE);
    assert_false(db.warned);
    FAKE_PLAY(warning);
    assert_int_equal(pg_db_run(&db, "TWO", 0, NULL, NULL, &err), PG_DONE);
    assert_true(db.warned);
}

/* ---- undoing */

static const struct undone {
    const char *name;
    const char *error; /* of the rollback */
    enum pg_outcome outcome;
    enum pg_outcome both;
} undone[] = {
    {"done", NULL, PG_DONE, PG_DONE},
    {"bad", NULL, PG_BAD, PG_BAD},
    {"failed", NULL, PG_FAILED, PG_FAILED},
    {"done, not undone", "57014", PG_DONE, PG_AWAY},
    {"bad, not undone", "57014", PG_BAD, PG_AWAY},
    {"failed, not undone", "57014", PG_FAILED, PG_FAILED},
};

static void test_undo(void **state)
{
    const struct undone *row = *state;
    const struct fake_exchange script[] = {{.sent = "BEGIN"}, {"ROLLBACK", .error = row->error}};

    (void)begin(NULL);
    make_ready();
    fake_libpq_play(&script[0], 1);
    assert_int_equal(pg_db_run(&db, "BEGIN", 0, NULL, NULL, &err), PG_DONE);
    fake_libpq_play(&script[1], 1);
    assert_int_equal(pg_db_undo(&db, row->outcome, &err), row->both);
    assert_int_equal(db.connection == NULL, row->error != NULL);
    if (row->error != NULL) {
        assert_cause(&err, TLSMSG_ERR_SYSTEM, "the store's engine: ERROR:  it is 57014");
    } else {
        assert_int_equal(err.code, TLSMSG_OK);
    }
    (void)fake_db_end(NULL);
}

static void test_nothing_to_undo(void **state)
{
    (void)state;
    assert_int_equal(pg_db_undo(&db, PG_AWAY, &err), PG_AWAY);
    make_ready();
    assert_int_equal(pg_db_undo(&db, PG_BAD, &err), PG_BAD);
    assert_non_null(db.connection);
}

static void test_results_and_time(void **state)
{
    (void)state;
    assert_int_equal(pg_result_of(PG_DONE), STORE_RESULT_DONE);
    assert_int_equal(pg_result_of(PG_NO_ROOM), STORE_RESULT_NO_ROOM);
    assert_int_equal(pg_result_of(PG_AWAY), STORE_RESULT_AWAY);
    assert_int_equal(pg_result_of(PG_BAD), STORE_RESULT_FAILED);
    assert_int_equal(pg_result_of(PG_FAILED), STORE_RESULT_FAILED);
    assert_int_equal(pg_now_ms(), FAKE_NOW_MS);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_ready_once, begin, fake_db_end),
        cmocka_unit_test_setup_teardown(test_ready_prepares, begin, fake_db_end),
        cmocka_unit_test_setup_teardown(test_ready_to_read, begin, fake_db_end),
        cmocka_unit_test_setup_teardown(test_ready_behind_a_pooler, begin, fake_db_end),
        cmocka_unit_test_setup_teardown(test_no_thread_to_connect, begin, fake_db_end),
        cmocka_unit_test_setup_teardown(test_not_connected_in_time, begin, fake_db_end),
        cmocka_unit_test_setup_teardown(test_waits_as_long_as_it_takes, begin, fake_db_end),
        cmocka_unit_test_setup_teardown(test_closed_while_connecting, begin, fake_db_end),
        cmocka_unit_test_setup_teardown(test_lost_meanwhile, begin, fake_db_end),
        cmocka_unit_test_setup_teardown(test_several_at_once, begin, fake_db_end),
        cmocka_unit_test_setup_teardown(test_first_error_decides, begin, fake_db_end),
        cmocka_unit_test_setup_teardown(test_error_without_a_name, begin, fake_db_end),
        cmocka_unit_test(test_no_end),
        cmocka_unit_test_setup_teardown(test_warnings, begin, fake_db_end),
        cmocka_unit_test_setup_teardown(test_nothing_to_undo, begin, fake_db_end),
        cmocka_unit_test(test_results_and_time),
    };
    int failed = cmocka_run_group_tests(tests, NULL, NULL);

    RUN_ROWS(failed, test_not_ready, unready);
    RUN_ROWS(failed, test_refusal, refusals);
    RUN_ROWS(failed, test_break, breakings);
    RUN_ROWS(failed, test_undo, undone);
    return failed;
}
