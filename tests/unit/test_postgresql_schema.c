/* The store's tables in a scripted engine: how they are found, made and granted, and that a failure
 * leaves nothing half made. */
#include <string.h>

#include "store/postgresql_schema.h"
#include "support/fake_db.h"

#define LONG_NAME "1234567890123456789012345678901234567890123456789012345678901234"

static int begin(void **state)
{
    static const struct fake_exchange start[] = {FAKE_START};

    (void)state;
    (void)fake_db_begin(FAKE_TARGET);
    FAKE_PLAY(start);
    return pg_db_ready(&db, &err) != PG_DONE;
}

static const struct found {
    const char *name;
    struct fake_exchange answer;
    enum pg_outcome outcome;
    bool exists;
    enum tlsmsg_code code;
    const char *text;
} found[] = {
    {"not there", {.rows = ""}, PG_DONE, false, TLSMSG_OK, ""},
    {"ours", {.rows = FAKE_MARK "|t|u"}, PG_DONE, true, TLSMSG_OK, ""},
    {"a later version",
     {.rows = "tlsmsg store, schema 2|t|u"},
     PG_FAILED,
     true,
     TLSMSG_ERR_CONFIG,
     "the database's schema 'tlsmsg' is not a store of this version, but 'tlsmsg store, schema 2'"},
    {"a long comment",
     {.rows = LONG_NAME "5|t|u"},
     PG_FAILED,
     true,
     TLSMSG_ERR_CONFIG,
     "the database's schema 'tlsmsg' is not a store of this version, but '" LONG_NAME "'"},
    {"not granted",
     {.rows = FAKE_MARK "|f|" LONG_NAME "5"},
     PG_FAILED,
     true,
     TLSMSG_ERR_CONFIG,
     "the store's engine: role '" LONG_NAME
     "' may not use the store (try: GRANT tlsmsg_server TO the role)"},
    {"not granted, nor ours",
     {.rows = "x|f|u"},
     PG_FAILED,
     true,
     TLSMSG_ERR_CONFIG,
     "the database's schema 'tlsmsg' is not a store of this version, but 'x'"},
    {"refused",
     {.error = "57P01"},
     PG_AWAY,
     false,
     TLSMSG_ERR_SYSTEM,
     "the store's engine: ERROR:  it is 57P01"},
};

static void test_find(void **state)
{
    const struct found *row = *state;
    struct fake_exchange script[] = {row->answer};
    bool exists = !row->exists;

    script[0].sent = FAKE_FIND;
    (void)begin(NULL);
    FAKE_PLAY(script);
    assert_int_equal(pg_schema_find(&db, &exists, &err), row->outcome);
    assert_int_equal(exists, row->exists);
    assert_cause(&err, row->code, row->text);
    (void)fake_db_end(NULL);
}

static const struct judged {
    const char *name; /* the row */
    enum pg_outcome outcome;
    struct pg_proof proof;
    const char *text;
} judged[] = {
    {"|f|f", PG_DONE, {STORE_PROMISE_DISK, false}, ""},
    {"|f|t", PG_DONE, {STORE_PROMISE_DISK, false}, ""},
    {"|f|~", PG_DONE, {STORE_PROMISE_DISK, false}, ""},
    {"|t|f", PG_DONE, {STORE_PROMISE_REPLICATED, false}, ""},
    {"|t|t", PG_DONE, {STORE_PROMISE_REPLICATED, false}, ""},
    {"|t|~", PG_DONE, {STORE_PROMISE_DISK, true}, ""},
    {"fsync=off|t|~",
     PG_FAILED,
     {(enum store_promise)99, false},
     "the store's engine can't keep a promise with fsync=off (try: change that there)"},
};

/* A proof that fails leaves what was promised before. */
static void test_judge(void **state)
{
    const struct judged *row = *state;
    const struct fake_exchange script[] = {{"SELECT concat_ws(*", .rows = row->name}};
    struct pg_proof proof = {(enum store_promise)99, false};
    PGresult *result = NULL;

    (void)begin(NULL);
    FAKE_PLAY(script);
    assert_int_equal(pg_db_run(&db, pg_proof_sql, 0, NULL, &result, &err), PG_DONE);
    assert_int_equal(pg_proof_judge(result, &proof, &err), row->outcome);
    assert_cause(&err, row->outcome == PG_DONE ? TLSMSG_OK : TLSMSG_ERR_CONFIG, row->text);
    assert_int_equal(proof.promise, row->proof.promise);
    assert_int_equal(proof.is_blind, row->proof.is_blind);
    PQclear(result);
    (void)fake_db_end(NULL);
}

/* Somebody else was quicker. */
static void test_made_by_another(void **state)
{
    static const struct fake_exchange script[] = {
        {.sent = "BEGIN"},
        {"SELECT pg_advisory_xact_lock(1953264493)", .rows = ""},
        {FAKE_FIND, .rows = FAKE_MARK "|t|u"},
        {"COMMIT", .status = "COMMIT"}};

    (void)state;
    FAKE_PLAY(script);
    assert_int_equal(pg_schema_create(&db, &err), PG_DONE);
}

static const struct fake_exchange making[] = {FAKE_MAKE};

static const struct fake_exchange granting[] = {
    {.sent = "BEGIN"},
    {.sent = "DO $$ *CREATE ROLE *"},
    {.sent = "GRANT USAGE ON SCHEMA tlsmsg TO tlsmsg_server, tlsmsg_reader"},
    {.sent = "GRANT SELECT, INSERT (identity, name, seq, seen), UPDATE (seq, seen) ON "
             "tlsmsg.producer TO tlsmsg_server"},
    {.sent = "GRANT SELECT (id), INSERT (name, time, version) ON tlsmsg.run TO tlsmsg_server"},
    {.sent = "GRANT SELECT (xid, producer, seq, hash), INSERT (*) ON tlsmsg.message TO "
             "tlsmsg_server"},
    {.sent = "GRANT EXECUTE ON FUNCTION tlsmsg.has_standby() TO tlsmsg_server"},
    {.sent = "GRANT SELECT ON tlsmsg.producer, tlsmsg.run, tlsmsg.message, tlsmsg.messages TO "
             "tlsmsg_reader"},
    {"COMMIT", .status = "COMMIT"}};

/* Both: whole, and with each of their statements failing. */
static const struct transaction {
    const char *name;
    const struct fake_exchange *script;
    size_t count;
    enum pg_outcome (*run)(struct pg_db *db, struct tlsmsg_error *err);
} transactions[] = {
    {"make", making, COUNT_OF(making), pg_schema_create},
    {"grant", granting, COUNT_OF(granting), pg_schema_grant},
};

static void test_transaction(void **state)
{
    const struct transaction *row = *state;
    struct fake_exchange script[COUNT_OF(making) + 1];
    size_t failing;

    (void)begin(NULL);
    fake_libpq_play(row->script, row->count);
    assert_int_equal(row->run(&db, &err), PG_DONE);
    assert_int_equal(err.code, TLSMSG_OK);
    (void)fake_db_end(NULL);
    for (failing = 0; failing < row->count; failing++) {
        (void)begin(NULL);
        memcpy(script, row->script, row->count * sizeof(script[0]));
        script[failing].error = "42501";
        script[failing + 1] = (struct fake_exchange){.sent = "ROLLBACK"};
        fake_libpq_play(script, failing > 0 ? failing + 2 : 1);
        assert_int_equal(row->run(&db, &err), PG_FAILED);
        assert_cause(&err, TLSMSG_ERR_SYSTEM, "the store's engine: ERROR:  it is 42501");
        assert_non_null(db.connection);
        (void)fake_db_end(NULL);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_made_by_another, begin, fake_db_end),
    };
    int failed = cmocka_run_group_tests(tests, NULL, NULL);

    RUN_ROWS(failed, test_find, found);
    RUN_ROWS(failed, test_judge, judged);
    RUN_ROWS(failed, test_transaction, transactions);
    return failed;
}
