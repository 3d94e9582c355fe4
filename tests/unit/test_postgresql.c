/* The store in a scripted engine: opening and checking it, what a start asks of it, and what it warns
 * of. Batches: test_postgresql_batch.c. */
#include <string.h>

#include "base/clock.h"
#include "store/postgresql.h"
#include "store/postgresql_internal.h"
#include "support/failmalloc.h"
#include "support/fake_store.h"

#define PROOF "SELECT concat_ws(*"
#define PROVES PROOF ", tlsmsg.has_standby()"
#define PROVES_BARE PROOF ", NULL::boolean"
#define LATE "the store's engine has not answered in time (does it wait for a standby?)"
#define START_NS ((int64_t)30 * CLOCK_NS_PER_S)
#define NOT_ONE                                                                                    \
    "--store: what follows postgresql:// is not a connection string of libpq (not shown, for it "  \
    "may hold a password; try: postgresql://USER@HOST/DATABASE, with %40 for an @ in a password)"

#define PREPARES                                                                                   \
    {.sent = "prepare lock: SELECT *"}, {.sent = "prepare add: INSERT *"},                         \
        {.sent = "prepare compare: SELECT *"}, {.sent = "prepare write: INSERT *"},                \
        {.sent = "prepare mark: UPDATE *"}, {.sent = "prepare standby: SELECT *"},                 \
    {                                                                                              \
        .sent = "prepare prove: " PROVES                                                           \
    }

static struct tlsmsg_error err;
static struct store_backend *backend;

static int begin(void **state)
{
    (void)state;
    tlsmsg_error_clear(&err);
    fake_libpq_begin();
    backend = NULL;
    return 0;
}

static int end(void **state)
{
    (void)state;
    failmalloc_at(0);
    if (backend != NULL) {
        backend->ops->close(backend, false);
    }
    fake_libpq_end();
    return 0;
}

static const struct fake_exchange opening[] = {
    FAKE_START, {FAKE_FIND, .rows = FAKE_MARK "|t|u"}, PREPARES};

static int begin_open(void **state)
{
    (void)begin(state);
    FAKE_PLAY(opening);
    return postgresql_backend_open(FAKE_TARGET, &backend, &err) != TLSMSG_OK;
}

/* ---- opening */

static void test_open(void **state)
{
    long live = failmalloc_live();

    (void)begin_open(state);
    assert_non_null(backend);
    assert_int_equal(err.code, TLSMSG_OK);
    (void)end(state);
    assert_int_equal(failmalloc_live(), live);
}

/* What a batch needed goes with it. */
static void test_close_after_a_batch(void **state)
{
    static const struct fake_exchange script[] = {
        {.sent = "BEGIN *"}, {"prove", .rows = "|f|f"},      {"lock *", .rows = ""},
        {.sent = "mark *"},  {"COMMIT", .status = "COMMIT"}, {"standby", .rows = "f"}};
    struct store_item question = {.identity = "", .producer = "~a", .connection = 1};
    struct store_item *items[] = {&question};
    struct store_batch batch = {.items = items, .count = 1};
    long live = failmalloc_live();

    (void)begin_open(state);
    FAKE_PLAY(script);
    assert_int_equal(backend->ops->append(backend, &batch, &err), STORE_RESULT_DONE);
    assert_int_equal(question.verdict, STORE_TAKEN);
    (void)end(state);
    assert_int_equal(failmalloc_live(), live);
}

/* The tables are made where they are missing. */
static void test_open_makes_the_tables(void **state)
{
    static const struct fake_exchange script[] = {
        FAKE_START, {FAKE_FIND, .rows = ""}, FAKE_MAKE, PREPARES};

    (void)state;
    FAKE_PLAY(script);
    assert_int_equal(postgresql_backend_open(FAKE_TARGET, &backend, &err), TLSMSG_OK);
    assert_non_null(backend);
}

static const struct unopened {
    const char *name;
    size_t count; /* of what opening sends; the last is this */
    struct fake_exchange last;
    enum tlsmsg_code code;
    const char *text;
} unopened[] = {
    {"no connection",
     1,
     {.fault = FAKE_REFUSED},
     TLSMSG_ERR_SYSTEM,
     "the store's engine: " FAKE_LOST},
    {"somebody else's",
     5,
     {.rows = "notes|t|u"},
     TLSMSG_ERR_CONFIG,
     "the database's schema 'tlsmsg' is not a store of this version, but 'notes'"},
    {"not prepared",
     6,
     {.error = "42P01"},
     TLSMSG_ERR_SYSTEM,
     "the store's engine: ERROR:  it is 42P01"},
};

static void test_not_opened(void **state)
{
    const struct unopened *row = *state;
    struct fake_exchange script[COUNT_OF(opening)];
    const char *sent = opening[row->count - 1].sent;
    long live;

    memcpy(script, opening, sizeof(opening));
    script[row->count - 1] = row->last;
    script[row->count - 1].sent = sent;
    (void)begin(NULL);
    live = failmalloc_live();
    fake_libpq_play(script, row->count);
    assert_int_equal(postgresql_backend_open(FAKE_TARGET, &backend, &err), row->code);
    assert_cause(&err, row->code, row->text);
    assert_null(backend);
    assert_int_equal(failmalloc_live(), live);
    (void)end(NULL);
}

static void test_not_made(void **state)
{
    static const struct fake_exchange script[] = {
        FAKE_START, {FAKE_FIND, .rows = ""}, {"BEGIN", .error = "57P01"}};

    (void)state;
    FAKE_PLAY(script);
    assert_int_equal(postgresql_backend_open(FAKE_TARGET, &backend, &err), TLSMSG_ERR_SYSTEM);
    assert_cause(&err, TLSMSG_ERR_SYSTEM, "the store's engine: ERROR:  it is 57P01");
    assert_null(backend);
}

static void test_open_no_target(void **state)
{
    struct store_reach reach = {.file_count = 0};

    (void)state;
    assert_int_equal(postgresql_backend_open("postgresql://a@b@c", &backend, &err),
                     TLSMSG_ERR_CONFIG);
    assert_cause(&err, TLSMSG_ERR_CONFIG, NOT_ONE);
    tlsmsg_error_clear(&err);
    assert_int_equal(postgresql_check("postgresql://a@b@c", &err), TLSMSG_ERR_CONFIG);
    assert_cause(&err, TLSMSG_ERR_CONFIG, NOT_ONE);
    tlsmsg_error_clear(&err);
    assert_int_equal(postgresql_reach("postgresql://a@b@c", NULL, &reach, &err), TLSMSG_ERR_CONFIG);
    assert_cause(&err, TLSMSG_ERR_CONFIG, NOT_ONE);
    assert_int_equal(reach.file_count + reach.port_count, 0);
}

static void test_open_no_memory(void **state)
{
    (void)state;
    failmalloc_at(1);
    assert_int_equal(postgresql_backend_open(FAKE_TARGET, &backend, &err), TLSMSG_ERR_NOMEM);
    assert_cause(&err, TLSMSG_ERR_NOMEM, "out of memory");
    assert_null(backend);
}

/* ---- checking */

static const struct checked {
    const char *name;
    const char *found;  /* the schema */
    const char *allows; /* to make it; NULL: not asked */
    const char *proof;  /* NULL: not asked */
    enum tlsmsg_code code;
    const char *text;
} checked[] = {
    {"good", FAKE_MARK "|t|u", NULL, "|f|f", TLSMSG_OK, ""},
    {"nothing there yet", "", "t", "|f|~", TLSMSG_OK, ""},
    {"nothing, and it can't be made", "", "f", NULL, TLSMSG_ERR_CONFIG,
     "the database has no store yet, and this role may not make one (try: tlsmsg-store init as the "
     "database's owner)"},
    {"keeps no promise", FAKE_MARK "|t|u", NULL, "fsync=off|f|f", TLSMSG_ERR_CONFIG,
     "the store's engine can't keep a promise with fsync=off (try: change that there)"},
    {"somebody else's", "|t|u", NULL, NULL, TLSMSG_ERR_CONFIG,
     "the database's schema 'tlsmsg' is not a store of this version, but ''"},
};

static void test_check(void **state)
{
    static const struct fake_exchange start[] = {FAKE_START};
    const struct checked *row = *state;
    struct fake_exchange script[8];
    size_t count = COUNT_OF(start);

    memcpy(script, start, sizeof(start));
    script[count++] = (struct fake_exchange){FAKE_FIND, .rows = row->found};
    if (row->allows != NULL) {
        script[count++] = (struct fake_exchange){
            "SELECT has_database_privilege(current_database(), 'CREATE')", .rows = row->allows};
    }
    if (row->proof != NULL) {
        script[count++] =
            (struct fake_exchange){row->allows != NULL ? PROVES_BARE : PROVES, .rows = row->proof};
    }
    (void)begin(NULL);
    fake_libpq_play(script, count);
    assert_int_equal(postgresql_check(FAKE_TARGET, &err), row->code);
    assert_cause(&err, row->code, row->text);
    (void)end(NULL);
}

/* Each statement of a check fails. */
static void test_check_that_fails(void **state)
{
    static const struct fake_exchange whole[] = {FAKE_START,
                                                 {FAKE_FIND, .rows = ""},
                                                 {"SELECT has_database_privilege(*", .rows = "t"},
                                                 {PROVES_BARE, .rows = "|f|~"}};
    size_t i;

    (void)state;
    for (i = 4; i < COUNT_OF(whole); i++) {
        (void)begin(NULL);
        fake_libpq_play_failing(whole, i, "42501");
        assert_int_equal(postgresql_check(FAKE_TARGET, &err), TLSMSG_ERR_SYSTEM);
        assert_cause(&err, TLSMSG_ERR_SYSTEM, "the store's engine: ERROR:  it is 42501");
        (void)end(NULL);
    }
}

/* ---- at a start */

static const struct proved {
    const char *name; /* the answer */
    enum store_promise promise;
    bool is_blind;
} proved[] = {
    {"|t|t", STORE_PROMISE_REPLICATED, false}, {"|t|f", STORE_PROMISE_REPLICATED, false},
    {"|t|~", STORE_PROMISE_DISK, true},        {"|f|~", STORE_PROMISE_DISK, false},
    {"|f|t", STORE_PROMISE_DISK, false},
};

static void test_prove(void **state)
{
    const struct proved *row = *state;
    const struct fake_exchange script[] = {{PROVES, .rows = row->name}};
    enum store_promise promise = (enum store_promise)99;

    (void)begin_open(NULL);
    FAKE_PLAY(script);
    assert_int_equal(backend->ops->prove(backend, &promise, &err), TLSMSG_OK);
    assert_int_equal(promise, row->promise);
    assert_int_equal(pg_of(backend)->is_blind, row->is_blind);
    (void)end(NULL);
}

static void test_proves_nothing(void **state)
{
    static const struct fake_exchange bad[] = {{PROVES, .rows = "a server in recovery|t|~"}};
    static const struct fake_exchange failing[] = {{PROVES, .error = "57P01"}};
    enum store_promise promise = STORE_PROMISE_REPLICATED;

    (void)state;
    FAKE_PLAY(bad);
    assert_int_equal(backend->ops->prove(backend, &promise, &err), TLSMSG_ERR_CONFIG);
    assert_cause(&err, TLSMSG_ERR_CONFIG,
                 "the store's engine can't keep a promise with a server in recovery (try: change "
                 "that there)");
    assert_int_equal(promise, STORE_PROMISE_DISK);
    tlsmsg_error_clear(&err);
    FAKE_PLAY(failing);
    assert_int_equal(backend->ops->prove(backend, &promise, &err), TLSMSG_ERR_SYSTEM);
    assert_cause(&err, TLSMSG_ERR_SYSTEM, "the store's engine: ERROR:  it is 57P01");
}

static void test_run_begins(void **state)
{
    static const struct fake_exchange script[] = {{"INSERT INTO tlsmsg.run(name, time, version) "
                                                   "VALUES($1, $2::text::bigint, $3) RETURNING id "
                                                   "'@name' '1790000000123' '1.2.3'",
                                                   .rows = "8589934592"}};
    static const struct fake_exchange failing[] = {{"INSERT INTO tlsmsg.run*", .error = "53100"}};

    (void)state;
    FAKE_PLAY(script);
    assert_int_equal(backend->ops->begin_run(backend, "@name", "1.2.3", &err), TLSMSG_OK);
    assert_true(pg_of(backend)->run == INT64_C(8589934592));
    FAKE_PLAY(failing);
    assert_int_equal(backend->ops->begin_run(backend, "@name", "1.2.3", &err), TLSMSG_ERR_SYSTEM);
    assert_cause(&err, TLSMSG_ERR_SYSTEM, "the store's engine: ERROR:  it is 53100");
}

static bool has_ended(void *user)
{
    (void)user;
    return true;
}

/* A silent engine holds each step of a start up for 30 seconds, and no longer. */
static void test_start_is_bounded(void **state)
{
    static const struct fake_exchange opens[] = {{"2: connect *", .rows = "a||"},
                                                 {"2: " FAKE_IDENTIFY, .fault = FAKE_SILENT}};
    static const struct fake_exchange proves[] = {{PROVES, .fault = FAKE_SILENT}};
    static const struct fake_exchange begins[] = {{"INSERT *", .fault = FAKE_SILENT}};
    struct store_backend *second = NULL;
    enum store_promise promise;
    int64_t began_ns = clock_now_ns();

    (void)state;
    pg_of(backend)->db.engine[0] = '\0'; /* it is not looked elsewhere */
    FAKE_PLAY(proves);
    assert_int_equal(backend->ops->prove(backend, &promise, &err), TLSMSG_ERR_SYSTEM);
    assert_cause(&err, TLSMSG_ERR_SYSTEM, LATE);
    assert_int_equal(clock_now_ns() - began_ns, START_NS);
    tlsmsg_error_clear(&err);
    pg_of(backend)->db.patience = (struct store_patience){.has_ended = has_ended};
    FAKE_PLAY(begins);
    assert_int_equal(backend->ops->begin_run(backend, "@", "1", &err), TLSMSG_ERR_SYSTEM);
    assert_cause(&err, TLSMSG_ERR_SYSTEM, LATE);
    assert_int_equal(clock_now_ns() - began_ns, 2 * START_NS);
    tlsmsg_error_clear(&err);
    FAKE_PLAY(opens);
    assert_int_equal(postgresql_backend_open(FAKE_TARGET, &second, &err), TLSMSG_ERR_SYSTEM);
    assert_cause(&err, TLSMSG_ERR_SYSTEM, LATE);
    assert_int_equal(clock_now_ns() - began_ns, 3 * START_NS);
}

/* So is a check. */
static void test_check_is_bounded(void **state)
{
    static const struct fake_exchange script[] = {{"connect *", .rows = "a||"},
                                                  {FAKE_IDENTIFY, .fault = FAKE_SILENT}};
    int64_t began_ns = clock_now_ns();

    (void)state;
    FAKE_PLAY(script);
    assert_int_equal(postgresql_check(FAKE_TARGET, &err), TLSMSG_ERR_SYSTEM);
    assert_cause(&err, TLSMSG_ERR_SYSTEM, LATE);
    assert_int_equal(clock_now_ns() - began_ns, START_NS);
}

/* ---- coming back */

static const struct rejoined {
    const char *name;
    struct fake_exchange proof;
    enum store_result result;
    enum tlsmsg_code code;
    const char *text;
} rejoined[] = {
    {"back", {.rows = "|t|~"}, STORE_RESULT_DONE, TLSMSG_OK, ""},
    {"back, without a promise",
     {.rows = "fsync=off|f|f"},
     STORE_RESULT_AWAY,
     TLSMSG_ERR_CONFIG,
     "the store's engine can't keep a promise with fsync=off (try: change that there)"},
    {"away",
     {.error = "57P01"},
     STORE_RESULT_AWAY,
     TLSMSG_ERR_SYSTEM,
     "the store's engine: ERROR:  it is 57P01"},
    {"without rights",
     {.error = "42501"},
     STORE_RESULT_FAILED,
     TLSMSG_ERR_SYSTEM,
     "the store's engine: ERROR:  it is 42501"},
};

static void test_rejoin(void **state)
{
    const struct rejoined *row = *state;
    struct fake_exchange script[] = {row->proof};
    const struct store_patience none = {.has_ended = NULL};

    script[0].sent = PROVES;
    (void)begin_open(NULL);
    FAKE_PLAY(script);
    assert_int_equal(backend->ops->rejoin(backend, none, &err), row->result);
    assert_cause(&err, row->code, row->text);
    (void)end(NULL);
}

static void test_rejoin_without_patience(void **state)
{
    const struct store_patience ended = {.has_ended = has_ended};

    (void)state;
    pg_db_disconnect(&pg_of(backend)->db);
    fake_libpq_threads(FAKE_LATER);
    assert_int_equal(backend->ops->rejoin(backend, ended, &err), STORE_RESULT_AWAY);
    assert_cause(&err, TLSMSG_ERR_SYSTEM, "the store's engine: no connection to it in time");
    backend->ops->close(backend, false);
    backend = NULL;
    {
        static const struct fake_exchange closed[] = {{"2: connect *", .rows = "a||"}};

        FAKE_PLAY(closed);
        fake_libpq_run_thread();
    }
}

/* ---- what it warns of */

static const struct way {
    const char *name; /* the address */
    const char *query;
    bool is_open;
} ways[] = {
    {"192.0.2.1", "", true},
    {"192.0.2.1", "?sslmode=verify-full", false},
    {"192.0.2.1", "?sslmode=verify-ca", true},
    {"127.0.0.1", "", false},
    {"127.1.2.3", "", false},
    {"12.7.0.1", "", true},
    {"::1", "", false},
    {"2001:db8::1", "", true},
    {"", "", false},
};

static void test_warns_of_an_open_way(void **state)
{
    const struct way *row = *state;
    struct fake_exchange script[COUNT_OF(opening)];
    char target[128];
    char sent[512];
    char where[64];
    char text[256] = "";

    memcpy(script, opening, sizeof(opening));
    (void)snprintf(target, sizeof(target), FAKE_TARGET "%s", row->query);
    (void)snprintf(sent, sizeof(sent), FAKE_CONNECT("%s", "read-write"), target);
    (void)snprintf(where, sizeof(where), "a|%s|5432", row->name);
    script[0].sent = sent;
    script[0].rows = where;
    (void)begin(NULL);
    FAKE_PLAY(script);
    assert_int_equal(postgresql_backend_open(target, &backend, &err), TLSMSG_OK);
    assert_int_equal(backend->ops->warn(backend, text, sizeof(text)), row->is_open);
    assert_string_equal(text, row->is_open ? "the store's engine at a is not verified, so whoever "
                                             "is between can read and forge (try: "
                                             "sslmode=verify-full and sslrootcert=FILE in --store)"
                                           : "");
    assert_false(backend->ops->warn(backend, text, sizeof(text)));
    (void)end(NULL);
}

/* Told once. And nothing is told of a way that isn't there. */
static void test_warns_of_blindness(void **state)
{
    char text[256] = "";

    (void)state;
    pg_db_disconnect(&pg_of(backend)->db);
    assert_false(backend->ops->warn(backend, text, sizeof(text)));
    pg_of(backend)->is_blind = true;
    assert_true(backend->ops->warn(backend, text, sizeof(text)));
    assert_string_equal(
        text, "the store's engine names a synchronous standby, which this role can't see, "
              "so no more than one disk is promised (try: tlsmsg-store init as a role "
              "that has pg_read_all_stats)");
    assert_false(backend->ops->warn(backend, text, sizeof(text)));
}

/* What the engine itself sees to. */
static void test_upkeep_is_the_engines(void **state)
{
    uint64_t bytes = 99;
    unsigned rows = 99;

    (void)state;
    assert_false(backend->ops->room(backend, &bytes));
    assert_int_equal(bytes, 0);
    assert_int_equal(backend->ops->prune(backend, 1, 1, &rows, &err), STORE_RESULT_DONE);
    assert_int_equal(rows, 0);
    rows = 99;
    assert_int_equal(backend->ops->forget(backend, 1, 1, &rows, &err), STORE_RESULT_DONE);
    assert_int_equal(rows, 0);
    bytes = 99;
    assert_int_equal(backend->ops->tidy(backend, &bytes, &err), STORE_RESULT_DONE);
    assert_int_equal(bytes, 0);
    assert_ptr_equal(backend->ops->append, pg_append);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_open),
        cmocka_unit_test(test_close_after_a_batch),
        cmocka_unit_test_setup_teardown(test_open_makes_the_tables, begin, end),
        cmocka_unit_test_setup_teardown(test_not_made, begin, end),
        cmocka_unit_test_setup_teardown(test_open_no_target, begin, end),
        cmocka_unit_test_setup_teardown(test_open_no_memory, begin, end),
        cmocka_unit_test(test_check_that_fails),
        cmocka_unit_test_setup_teardown(test_proves_nothing, begin_open, end),
        cmocka_unit_test_setup_teardown(test_run_begins, begin_open, end),
        cmocka_unit_test_setup_teardown(test_start_is_bounded, begin_open, end),
        cmocka_unit_test_setup_teardown(test_check_is_bounded, begin, end),
        cmocka_unit_test_setup_teardown(test_rejoin_without_patience, begin_open, end),
        cmocka_unit_test_setup_teardown(test_warns_of_blindness, begin_open, end),
        cmocka_unit_test_setup_teardown(test_upkeep_is_the_engines, begin_open, end),
    };
    int failed = cmocka_run_group_tests(tests, NULL, NULL);

    RUN_ROWS(failed, test_not_opened, unopened);
    RUN_ROWS(failed, test_check, checked);
    RUN_ROWS(failed, test_prove, proved);
    RUN_ROWS(failed, test_rejoin, rejoined);
    RUN_ROWS(failed, test_warns_of_an_open_way, ways);
    return failed;
}
