#include "store/postgresql.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/error.h"
#include "store/postgresql_internal.h"
#include "store/postgresql_reach.h"

/* Longest wait at a start, where nobody's reply sets a bound: all hosts are tried within it. */
#define START_MS 30000

static enum tlsmsg_code code_of(enum pg_outcome outcome, const struct tlsmsg_error *err)
{
    return outcome == PG_DONE ? TLSMSG_OK : err->code; /* of the first cause */
}

/* user: a deadline. */
static bool is_past(void *user)
{
    const int64_t *deadline_ns = user;

    return clock_now_ns() >= *deadline_ns;
}

static struct store_patience until(int64_t *deadline_ns)
{
    *deadline_ns = clock_deadline_ns(clock_now_ns(), START_MS);
    return (struct store_patience){.has_ended = is_past, .user = deadline_ns};
}

static enum tlsmsg_code prove(struct store_backend *backend, enum store_promise *promise,
                              struct tlsmsg_error *err)
{
    struct pg_backend *store = pg_of(backend);
    struct pg_proof proof = {.promise = STORE_PROMISE_DISK};
    PGresult *result = NULL;
    int64_t deadline_ns;
    enum pg_outcome outcome;

    store->db.patience = until(&deadline_ns);
    outcome = pg_db_run(&store->db, pg_proof_sql, 0, NULL, &result, err);
    if (outcome == PG_DONE) {
        outcome = pg_proof_judge(result, &proof, err);
    }
    PQclear(result);
    *promise = proof.promise;
    store->is_blind = proof.is_blind;
    return code_of(outcome, err);
}

static enum tlsmsg_code begin_run(struct store_backend *backend, const char *name,
                                  const char *version, struct tlsmsg_error *err)
{
    struct pg_backend *store = pg_of(backend);
    char now[PG_NUMBER_CHARS];
    const char *const values[] = {name, now, version};
    PGresult *result = NULL;
    int64_t deadline_ns;
    enum pg_outcome outcome;

    store->db.patience = until(&deadline_ns);
    (void)snprintf(now, sizeof(now), "%" PRId64, pg_now_ms());
    outcome = pg_db_run(&store->db,
                        "INSERT INTO tlsmsg.run(name, time, version) VALUES($1, $2::text::bigint, "
                        "$3) RETURNING id",
                        3, values, &result, err);
    if (outcome == PG_DONE) {
        store->run = strtoll(PQgetvalue(result, 0, 0), NULL, 10);
    }
    PQclear(result);
    return code_of(outcome, err);
}

static enum store_result rejoin(struct store_backend *backend, struct store_patience patience,
                                struct tlsmsg_error *err)
{
    struct pg_backend *store = pg_of(backend);
    struct pg_proof proof;
    PGresult *result = NULL;
    enum pg_outcome outcome;

    store->db.patience = patience;
    outcome = pg_db_ready(&store->db, err);
    if (outcome == PG_DONE) {
        outcome = pg_db_run(&store->db, pg_proof_sql, 0, NULL, &result, err);
    }
    if (outcome == PG_DONE && pg_proof_judge(result, &proof, err) != PG_DONE) {
        outcome = PG_AWAY;
    }
    PQclear(result);
    return pg_result_of(outcome);
}

/* Whether the way to the engine leaves this machine without the engine's certificate and name being
 * verified. */
static bool is_open(PGconn *connection)
{
    PQconninfoOption *options = PQconninfo(connection);
    const PQconninfoOption *option;
    const char *address = PQhostaddr(connection);
    bool is_verified = false;

    for (option = options; option != NULL && option->keyword != NULL; option++) {
        if (strcmp(option->keyword, "sslmode") == 0 && option->val != NULL) {
            is_verified = strcmp(option->val, "verify-full") == 0;
        }
    }
    PQconninfoFree(options);
    return !is_verified && address[0] != '\0' && strncmp(address, "127.", 4) != 0 &&
           strcmp(address, "::1") != 0;
}

static bool warn(struct store_backend *backend, char *text, size_t cap)
{
    struct pg_backend *store = pg_of(backend);

    if (!store->told_open && store->db.connection != NULL && is_open(store->db.connection)) {
        store->told_open = true;
        (void)snprintf(
            text, cap,
            "the store's engine at %s is not verified, so whoever is between can read and "
            "forge (try: sslmode=verify-full and sslrootcert=FILE in --store)",
            PQhost(store->db.connection));
        return true;
    }
    if (store->is_blind && !store->told_blind) {
        store->told_blind = true;
        (void)snprintf(text, cap,
                       "the store's engine names a synchronous standby, which this role can't see, "
                       "so no more than one disk is promised (try: tlsmsg-store init as a role "
                       "that has pg_read_all_stats)");
        return true;
    }
    return false;
}

static bool room(struct store_backend *backend, uint64_t *bytes)
{
    (void)backend;
    *bytes = 0;
    return false;
}

/* Old rows are the owner's to delete: a server has no right to. */
static enum store_result leave_rows(struct store_backend *backend, int64_t before_ms,
                                    unsigned limit, unsigned *rows, struct tlsmsg_error *err)
{
    (void)backend;
    (void)before_ms;
    (void)limit;
    (void)err;
    *rows = 0;
    return STORE_RESULT_DONE;
}

static enum store_result tidy(struct store_backend *backend, uint64_t *log_bytes,
                              struct tlsmsg_error *err)
{
    (void)backend;
    (void)err;
    *log_bytes = 0;
    return STORE_RESULT_DONE;
}

static void close_backend(struct store_backend *backend, bool failed)
{
    struct pg_backend *store = pg_of(backend);

    (void)failed;
    pg_db_close(&store->db);
    pg_batch_fini(store);
    free(store);
}

static const struct store_backend_ops pg_ops = {
    .prove = prove,
    .begin_run = begin_run,
    .append = pg_append,
    .rejoin = rejoin,
    .warn = warn,
    .room = room,
    .prune = leave_rows,
    .forget = leave_rows,
    .tidy = tidy,
    .close = close_backend,
};

/* Connects and looks for the tables. *exists is set where that is done. */
static enum pg_outcome connect_to(struct pg_db *db, bool *exists, struct tlsmsg_error *err)
{
    enum pg_outcome outcome = pg_db_ready(db, err);

    return outcome == PG_DONE ? pg_schema_find(db, exists, err) : outcome;
}

enum tlsmsg_code postgresql_backend_open(const char *target, struct store_backend **out,
                                         struct tlsmsg_error *err)
{
    struct pg_backend *store;
    int64_t deadline_ns;
    enum pg_outcome outcome;
    enum tlsmsg_code code = pg_target_check(target, err);
    bool exists;

    if (code != TLSMSG_OK) {
        return code;
    }
    store = calloc(1, sizeof(*store));
    if (store == NULL) {
        return error_set(err, TLSMSG_ERR_NOMEM, 0, "out of memory");
    }
    store->base.ops = &pg_ops;
    store->db.target = target;
    store->db.patience = until(&deadline_ns);
    outcome = connect_to(&store->db, &exists, err);
    if (outcome == PG_DONE && !exists) {
        outcome = pg_schema_create(&store->db, err);
    }
    /* Statements are prepared from here on: they name the tables. */
    if (outcome == PG_DONE) {
        store->db.prepared = pg_statements;
        outcome = pg_db_prepare(&store->db, err);
    }
    if (outcome != PG_DONE) {
        code = code_of(outcome, err);
        close_backend(&store->base, true);
        return code;
    }
    *out = &store->base;
    return TLSMSG_OK;
}

/* Whether the role may make the tables. */
static enum pg_outcome may_create(struct pg_db *db, struct tlsmsg_error *err)
{
    PGresult *result = NULL;
    enum pg_outcome outcome = pg_db_run(
        db, "SELECT has_database_privilege(current_database(), 'CREATE')", 0, NULL, &result, err);

    if (outcome == PG_DONE && PQgetvalue(result, 0, 0)[0] != 't') {
        outcome = PG_FAILED;
        (void)error_set(err, TLSMSG_ERR_CONFIG, 0,
                        "the database has no store yet, and this role may not make one (try: "
                        "tlsmsg-store init as the database's owner)");
    }
    PQclear(result);
    return outcome;
}

enum tlsmsg_code postgresql_check(const char *target, struct tlsmsg_error *err)
{
    int64_t deadline_ns;
    struct pg_db db = {.target = target, .patience = until(&deadline_ns)};
    struct pg_proof proof;
    PGresult *result = NULL;
    enum pg_outcome outcome;
    enum tlsmsg_code code = pg_target_check(target, err);
    bool exists;

    if (code != TLSMSG_OK) {
        return code;
    }
    outcome = connect_to(&db, &exists, err);
    if (outcome == PG_DONE && !exists) {
        outcome = may_create(&db, err);
    }
    if (outcome == PG_DONE) {
        outcome = pg_db_run(&db, exists ? pg_proof_sql : pg_proof_bare_sql, 0, NULL, &result, err);
    }
    if (outcome == PG_DONE) {
        outcome = pg_proof_judge(result, &proof, err);
    }
    PQclear(result);
    pg_db_close(&db);
    return code_of(outcome, err);
}

enum tlsmsg_code postgresql_reach(const char *target, const char *home, struct store_reach *reach,
                                  struct tlsmsg_error *err)
{
    enum tlsmsg_code code = pg_target_check(target, err);

    if (code == TLSMSG_OK && !pg_reach(target, home, reach)) {
        code = error_set(err, TLSMSG_ERR_NOMEM, 0, "out of memory");
    }
    return code;
}
