#include "store/postgresql_db.h"

#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "base/clock.h"
#include "base/error.h"
#include "store/postgresql_internal.h"

#define SLICE_MS 100
#define LOOK_EVERY_MS 1000

/* What came of waiting for an answer. */
enum arrival { ARRIVED, LATE, LOST };

/* A cancelled wait for the standby is a success with a warning: it must not pass for a promise. */
static void note_warning(void *user, const PGresult *result)
{
    struct pg_db *db = user;
    const char *severity = PQresultErrorField(result, PG_DIAG_SEVERITY_NONLOCALIZED);

    if (severity != NULL && strcmp(severity, "WARNING") == 0) {
        db->warned = true;
    }
}

/* Records the first line of what libpq says, which keeps passwords out of it. */
static void explain(const char *text, struct tlsmsg_error *err)
{
    (void)error_set(err, TLSMSG_ERR_SYSTEM, 0, "the store's engine: %.*s", (int)strcspn(text, "\n"),
                    text);
}

static bool has_ended(const struct pg_db *db)
{
    return db->patience.has_ended != NULL && db->patience.has_ended(db->patience.user);
}

void pg_db_disconnect(struct pg_db *db)
{
    PQfinish(db->connection);
    pg_connecting_abandon(db->looking);
    db->connection = NULL;
    db->looking = NULL;
    db->engine[0] = '\0';
    db->is_late = false;
    db->is_set_up = false;
}

void pg_db_close(struct pg_db *db)
{
    pg_db_disconnect(db);
    pg_connecting_abandon(db->connecting);
    db->connecting = NULL;
}

/* ---- another host */

/* A connection that stays silent, although the network holds: the engine waits for its standby, or
 * its machine hangs and another one has been promoted. So it is looked, now and then and beside the
 * wait, whether another one takes writes. True: it does, and is db->elsewhere. Who only reads waits:
 * any host would do for that. */
static bool look_elsewhere(struct pg_db *db)
{
    const struct pg_but but = {.connection = db->connection, .engine = db->engine};

    if (db->reads || db->engine[0] == '\0') {
        return false;
    }
    if (db->looking == NULL && clock_now_ns() >= db->look_ns) {
        db->looking = pg_connecting_begin(db->target, db->reads, &but);
    }
    if (db->looking == NULL || !pg_connecting_wait(&db->looking, 0, &db->elsewhere)) {
        return false;
    }
    db->look_ns = clock_deadline_ns(clock_now_ns(), LOOK_EVERY_MS);
    return db->elsewhere != NULL;
}

/* The answer has come. */
static void look_no_more(struct pg_db *db)
{
    pg_connecting_abandon(db->looking);
    db->looking = NULL;
    db->is_late = false;
}

/* ---- the pipeline */

/* Sends what is left to send and waits until the next result can be taken. */
static enum arrival await(struct pg_db *db)
{
    struct pollfd wait = {.fd = PQsocket(db->connection)};
    int left;

    for (;;) {
        left = PQflush(db->connection);
        if (left < 0) {
            return LOST;
        }
        if (PQisBusy(db->connection) == 0) {
            return ARRIVED;
        }
        if (look_elsewhere(db)) {
            return LOST;
        }
        if (has_ended(db)) {
            return LATE;
        }
        wait.events = (short)(POLLIN | (left > 0 ? POLLOUT : 0));
        wait.revents = 0;
        (void)poll(&wait, 1, SLICE_MS);
        if ((wait.revents & ~POLLOUT) != 0 && PQconsumeInput(db->connection) == 0) {
            return LOST;
        }
    }
}

static enum arrival next(struct pg_db *db, PGresult **result)
{
    enum arrival arrival = await(db);

    *result = arrival == ARRIVED ? PQgetResult(db->connection) : NULL;
    return arrival;
}

static enum pg_outcome outcome_of(const char *state)
{
    if (strcmp(state, "53100") == 0) {
        return PG_NO_ROOM;
    }
    if (strncmp(state, "22", 2) == 0 || strncmp(state, "23", 2) == 0) {
        return PG_BAD;
    }
    /* 40: undone for another's sake; 25006: the server has become a standby; 26: a pooler gave
     * another connection, which has not prepared what this one has. */
    if (strncmp(state, "08", 2) == 0 || strncmp(state, "57", 2) == 0 ||
        strncmp(state, "53", 2) == 0 || strncmp(state, "40", 2) == 0 ||
        strncmp(state, "26", 2) == 0 || strcmp(state, "25006") == 0) {
        return PG_AWAY;
    }
    return PG_FAILED;
}

/* What one statement's result means. */
static enum pg_outcome judge(const struct pg_db *db, const PGresult *result,
                             struct tlsmsg_error *err)
{
    ExecStatusType status = PQresultStatus(result);
    const char *state;

    if (status == PGRES_TUPLES_OK || status == PGRES_COMMAND_OK) {
        return PG_DONE;
    }
    state = PQresultErrorField(result, PG_DIAG_SQLSTATE);
    explain(state != NULL ? PQresultErrorMessage(result) : PQerrorMessage(db->connection), err);
    return state != NULL ? outcome_of(state) : PG_AWAY;
}

static bool send(struct pg_db *db, const struct pg_step *step)
{
    static const int binary[] = {1, 1, 1, 1, 1, 1, 1, 1, 1};
    const int *formats = step->lengths != NULL ? binary : NULL;

    if (step->name != NULL && !db->is_pooled) {
        return PQsendQueryPrepared(db->connection, step->name, step->count, step->values,
                                   step->lengths, formats, 0) == 1;
    }
    return PQsendQueryParams(db->connection, step->sql, step->count, NULL, step->values,
                             step->lengths, formats, 0) == 1;
}

/* The connection is of no use any more, and gives way to one to another host where that was found. */
static enum pg_outcome lose(struct pg_db *db, struct tlsmsg_error *err)
{
    if (db->elsewhere != NULL) {
        (void)error_set(err, TLSMSG_ERR_SYSTEM, 0,
                        "the store's engine at %s does not answer, and the one at %s takes writes",
                        PQhost(db->connection), PQhost(db->elsewhere));
    }
    explain(PQerrorMessage(db->connection), err);
    pg_db_disconnect(db);
    db->connection = db->elsewhere;
    db->elsewhere = NULL;
    return PG_AWAY;
}

/* Marks the end of what is sent together; from now on answers are due. */
static bool send_end(struct pg_db *db)
{
    db->look_ns = clock_deadline_ns(clock_now_ns(), LOOK_EVERY_MS);
    return PQpipelineSync(db->connection) == 1;
}

/* Nobody waits any more. The answer may still come, and until then the connection is not free: were
 * it given up, the engine would keep one more process that waits for the same standby. */
static enum pg_outcome be_late(struct pg_db *db, struct tlsmsg_error *err)
{
    (void)error_set(err, TLSMSG_ERR_SYSTEM, 0,
                    "the store's engine has not answered in time (does it wait for a standby?)");
    db->is_late = true;
    return PG_AWAY;
}

/* Takes the answers of a statement up to its end; the first result counts. */
static enum arrival take_step(struct pg_db *db, const struct pg_step *step,
                              enum pg_outcome *outcome, struct tlsmsg_error *err)
{
    PGresult *result;
    PGresult *more;
    enum arrival arrival = next(db, &result);

    if (arrival != ARRIVED) {
        return arrival;
    }
    if (result == NULL) {
        return LOST;
    }
    if (*outcome == PG_DONE) {
        *outcome = judge(db, result, err);
    }
    if (step->result != NULL) {
        *step->result = result;
    } else {
        PQclear(result);
    }
    arrival = next(db, &more);
    PQclear(more); /* NULL; were it one more, the mark would not come where it is due */
    return arrival;
}

/* Takes what marks the end of statements that were sent together. */
static enum arrival take_end(struct pg_db *db)
{
    PGresult *result;
    enum arrival arrival = next(db, &result);

    if (arrival == ARRIVED && PQresultStatus(result) != PGRES_PIPELINE_SYNC) {
        arrival = LOST;
    }
    PQclear(result);
    return arrival;
}

enum pg_outcome pg_db_run_all(struct pg_db *db, const struct pg_step *steps, size_t count,
                              struct tlsmsg_error *err)
{
    enum pg_outcome outcome = PG_DONE;
    enum arrival arrival = ARRIVED;
    size_t i;

    for (i = 0; i < count; i++) {
        if (steps[i].result != NULL) {
            *steps[i].result = NULL;
        }
    }
    for (i = 0; i < count; i++) {
        if (!send(db, &steps[i])) {
            return lose(db, err);
        }
    }
    if (!send_end(db)) {
        return lose(db, err);
    }
    for (i = 0; i < count && arrival == ARRIVED; i++) {
        arrival = take_step(db, &steps[i], &outcome, err);
    }
    if (arrival == ARRIVED) {
        arrival = take_end(db);
    }
    if (arrival == LATE) {
        return be_late(db, err);
    }
    if (arrival == LOST || PQstatus(db->connection) != CONNECTION_OK) {
        return lose(db, err);
    }
    look_no_more(db);
    return outcome;
}

enum pg_outcome pg_db_run(struct pg_db *db, const char *sql, int count, const char *const *values,
                          PGresult **result, struct tlsmsg_error *err)
{
    const struct pg_step step = {.sql = sql, .count = count, .values = values, .result = result};

    return pg_db_run_all(db, &step, 1, err);
}

enum pg_outcome pg_db_undo(struct pg_db *db, enum pg_outcome outcome, struct tlsmsg_error *err)
{
    if (db->connection == NULL || db->is_late ||
        PQtransactionStatus(db->connection) == PQTRANS_IDLE) {
        return outcome;
    }
    if (pg_db_run(db, "ROLLBACK", 0, NULL, NULL, err) != PG_DONE) {
        pg_db_disconnect(db);
        return outcome == PG_FAILED ? PG_FAILED : PG_AWAY;
    }
    return outcome;
}

/* Prepares one statement. */
static enum pg_outcome prepare(struct pg_db *db, const struct pg_prepared *prepared,
                               struct tlsmsg_error *err)
{
    enum pg_outcome outcome = PG_DONE;
    const struct pg_step step = {.result = NULL};

    if (PQsendPrepare(db->connection, prepared->name, prepared->sql, 0, NULL) != 1 ||
        !send_end(db) || take_step(db, &step, &outcome, err) != ARRIVED ||
        take_end(db) != ARRIVED) {
        return lose(db, err);
    }
    return outcome;
}

enum pg_outcome pg_db_prepare(struct pg_db *db, struct tlsmsg_error *err)
{
    const struct pg_prepared *prepared = db->is_pooled ? NULL : db->prepared;
    enum pg_outcome outcome = PG_DONE;

    for (; outcome == PG_DONE && prepared != NULL && prepared->name != NULL; prepared++) {
        outcome = prepare(db, prepared, err);
    }
    return outcome;
}

/* ---- making a connection ready */

/* Takes the late answers, whatever they say: nobody waits for them. A connection that ends before
 * their mark is met by whatever is sent next. */
static enum arrival take_late(struct pg_db *db)
{
    ExecStatusType status;
    PGresult *result;
    enum arrival arrival;

    do {
        arrival = next(db, &result);
        status = PQresultStatus(result);
        PQclear(result);
    } while (arrival == ARRIVED && status != PGRES_PIPELINE_SYNC &&
             PQstatus(db->connection) == CONNECTION_OK);
    return arrival;
}

/* The connection that was being made, once it is; NULL: not in time, or it failed. */
static PGconn *take_connection(struct pg_db *db, struct tlsmsg_error *err)
{
    PGconn *connection = NULL;

    if (db->connecting == NULL) {
        db->connecting = pg_connecting_begin(db->target, db->reads, NULL);
    }
    if (db->connecting == NULL) {
        (void)error_set(err, TLSMSG_ERR_SYSTEM, 0, "cannot start a thread to connect");
        return NULL;
    }
    while (!pg_connecting_wait(&db->connecting, SLICE_MS, &connection)) {
        if (has_ended(db)) {
            (void)error_set(err, TLSMSG_ERR_SYSTEM, 0,
                            "the store's engine: no connection to it in time");
            return NULL;
        }
    }
    if (PQstatus(connection) != CONNECTION_OK) {
        explain(PQerrorMessage(connection), err);
        PQfinish(connection);
        connection = NULL;
    }
    return connection;
}

static enum pg_outcome catch_up(struct pg_db *db, struct tlsmsg_error *err)
{
    enum arrival arrival = take_late(db);

    if (arrival == ARRIVED) {
        look_no_more(db);
        return pg_db_undo(db, PG_DONE, err);
    }
    if (arrival == LOST) {
        return lose(db, err);
    }
    (void)error_set(err, TLSMSG_ERR_SYSTEM, 0,
                    "the store's engine has not answered in time (does it wait for a standby?)");
    return PG_AWAY;
}

/* Each statement of the store goes by an index, row by row. Plans are made while the tables may be
 * empty and kept while they grow, so nothing else may seem cheap. */
static const char planning[] =
    "SELECT set_config('enable_seqscan', 'off', false), set_config('enable_hashjoin', 'off', "
    "false), "
    "set_config('enable_mergejoin', 'off', false), set_config('plan_cache_mode', "
    "'force_generic_plan', false), set_config('jit', 'off', false)";

/* Asks which engine answers, and looks whether a pooler stands between: when it names a process of the
 * engine's, it doesn't know yet which one is to be ours. What one of them is told or prepares may be
 * missing from the next one then, and would be left behind for others. */
static enum pg_outcome identify(struct pg_db *db, struct tlsmsg_error *err)
{
    PGresult *result = NULL;
    enum pg_outcome outcome =
        pg_db_run(db, "SELECT pg_backend_pid(), " PG_ENGINE, 0, NULL, &result, err);

    if (outcome == PG_DONE) {
        db->is_pooled = strtol(PQgetvalue(result, 0, 0), NULL, 10) != PQbackendPID(db->connection);
        (void)snprintf(db->engine, sizeof(db->engine), "%s", PQgetvalue(result, 0, 1));
    }
    PQclear(result);
    return outcome;
}

/* What each new connection is told, unless it is a pooler's: then what the engine itself has set
 * counts, and is proved with each batch. A wait for the standby must never be cancelled; and what a
 * server that vanished has locked must not stay so for hours. */
static enum pg_outcome set_up(struct pg_db *db, struct tlsmsg_error *err)
{
    static const char sql[] =
        "SELECT set_config('synchronous_commit', CASE current_setting('synchronous_commit') "
        "WHEN 'remote_apply' THEN 'remote_apply' ELSE 'on' END, false), "
        "set_config('statement_timeout', '0', false), set_config('lock_timeout', '0', false), "
        "set_config('idle_in_transaction_session_timeout', '60s', false), "
        "set_config('tcp_keepalives_idle', '10', false), "
        "set_config('tcp_keepalives_interval', '5', false), "
        "set_config('tcp_keepalives_count', '2', false), "
        "set_config('client_min_messages', 'warning', false), "
        "set_config('bytea_output', 'hex', false), "
        "set_config('search_path', 'pg_catalog', false)";
    enum pg_outcome outcome;

    (void)PQsetNoticeReceiver(db->connection, note_warning, db);
    if (PQsetnonblocking(db->connection, 1) != 0 || PQenterPipelineMode(db->connection) != 1) {
        return lose(db, err);
    }
    outcome = identify(db, err);
    if (outcome == PG_DONE && !db->is_pooled) {
        outcome = pg_db_run(db, sql, 0, NULL, NULL, err);
    }
    if (outcome == PG_DONE && !db->is_pooled && !db->reads) {
        outcome = pg_db_run(db, planning, 0, NULL, NULL, err);
    }
    if (outcome == PG_DONE) {
        outcome = pg_db_prepare(db, err);
    }
    db->is_set_up = outcome == PG_DONE;
    if (outcome != PG_DONE) {
        pg_db_disconnect(db);
    }
    return outcome;
}

enum pg_outcome pg_db_ready(struct pg_db *db, struct tlsmsg_error *err)
{
    enum pg_outcome outcome = PG_DONE;

    if (db->connection != NULL && db->is_late) {
        outcome = catch_up(db, err);
    }
    if (outcome == PG_DONE && db->connection == NULL) {
        db->connection = take_connection(db, err);
        outcome = db->connection != NULL ? PG_DONE : PG_AWAY;
    }
    if (outcome == PG_DONE && !db->is_set_up) {
        outcome = set_up(db, err);
    }
    return outcome;
}

int64_t pg_now_ms(void)
{
    struct timespec now;

    (void)clock_gettime(CLOCK_REALTIME, &now);
    return (int64_t)now.tv_sec * 1000 + now.tv_nsec / CLOCK_NS_PER_MS;
}

enum store_result pg_result_of(enum pg_outcome outcome)
{
    switch (outcome) {
    case PG_DONE:
        return STORE_RESULT_DONE;
    case PG_NO_ROOM:
        return STORE_RESULT_NO_ROOM;
    case PG_AWAY:
        return STORE_RESULT_AWAY;
    default:
        return STORE_RESULT_FAILED;
    }
}
