/* Each read is a statement of its own, so no snapshot stays open. Messages are read in the order of
 * their transactions, and only those are shown below which no transaction is under way any more: an
 * id that is given before its commit can't be passed over then. */
#include "app/store/database.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "app/sha256.h"
#include "app/store/progress.h"
#include "app/store/show.h"
#include "app/store/verify.h"
#include "base/error.h"
#include "base/escape.h"
#include "store/postgresql_schema.h"

#define NUMBER_CHARS 24

struct database {
    struct pg_db db;
    char xid[NUMBER_CHARS]; /* of the last message that was read; so is id */
    char id[NUMBER_CHARS];
};

static enum tlsmsg_code code_of(enum pg_outcome outcome, const struct tlsmsg_error *err)
{
    return outcome == PG_DONE ? TLSMSG_OK : err->code; /* of the first cause */
}

static enum pg_outcome ask(struct database *database, const char *sql, int count,
                           const char *const *values, PGresult **result, struct tlsmsg_error *err)
{
    enum pg_outcome outcome = pg_db_ready(&database->db, err);

    *result = NULL;
    return outcome == PG_DONE ? pg_db_run(&database->db, sql, count, values, result, err) : outcome;
}

static void keep(char to[NUMBER_CHARS], const char *number)
{
    (void)snprintf(to, NUMBER_CHARS, "%s", number);
}

/* ---- list, tail, export */

static enum tlsmsg_code skip_to_last(void *user, uint64_t lines, struct tlsmsg_error *err)
{
    static const char sql[] = "SELECT xid::text, id FROM tlsmsg.message WHERE xid < "
                              "pg_snapshot_xmin(pg_current_snapshot())"
                              " ORDER BY xid DESC, id DESC OFFSET $1::text::bigint LIMIT 1";
    struct database *database = user;
    char number[NUMBER_CHARS];
    const char *const values[] = {number};
    PGresult *result;
    enum pg_outcome outcome;

    (void)snprintf(number, sizeof(number), "%" PRIu64, lines);
    outcome = ask(database, sql, 1, values, &result, err);
    if (outcome == PG_DONE && PQntuples(result) == 1) {
        keep(database->xid, PQgetvalue(result, 0, 0));
        keep(database->id, PQgetvalue(result, 0, 1));
    }
    PQclear(result);
    return code_of(outcome, err);
}

static const char *text_of(const PGresult *result, int row, int column)
{
    return PQgetisnull(result, row, column) != 0 ? NULL : PQgetvalue(result, row, column);
}

/* Gives one row of the query in next() to take. */
static enum tlsmsg_code give(const PGresult *result, int at, reader_take *take, void *taker,
                             struct tlsmsg_error *err)
{
    const char *identity = text_of(result, at, 5);
    struct reader_row row = {
        .id = strtoll(PQgetvalue(result, at, 1), NULL, 10),
        .time_ms = strtoll(PQgetvalue(result, at, 2), NULL, 10),
        .connection = strtoull(PQgetvalue(result, at, 3), NULL, 10),
        .peer = PQgetvalue(result, at, 4),
        .identity = identity != NULL && identity[0] != '\0' ? identity : NULL,
        .producer = text_of(result, at, 6),
        .seq = strtoull(PQgetvalue(result, at, 7), NULL, 10),
    };
    unsigned char *hash =
        PQunescapeBytea((unsigned char *)PQgetvalue(result, at, 8), &row.hash_len);
    unsigned char *body = PQunescapeBytea((unsigned char *)PQgetvalue(result, at, 9), &row.len);
    enum tlsmsg_code code = TLSMSG_ERR_NOMEM;

    row.hash = PQgetisnull(result, at, 8) != 0 ? NULL : hash;
    row.body = (const char *)body;
    if (hash != NULL && body != NULL) {
        code = take(&row, taker, err);
    } else {
        (void)error_set(err, TLSMSG_ERR_NOMEM, 0, "out of memory");
    }
    PQfreemem(hash);
    PQfreemem(body);
    return code;
}

static enum tlsmsg_code next(void *user, bool *more, reader_take *take, void *taker,
                             struct tlsmsg_error *err)
{
    static const char sql[] =
        "SELECT m.xid::text, m.id, m.time, m.connection, m.peer, p.identity, p.name, m.seq, "
        "m.hash, "
        "m.body FROM (SELECT n.*, sum(octet_length(n.body)) OVER (ORDER BY n.xid, n.id) - "
        "octet_length(n.body) AS before FROM (SELECT * FROM tlsmsg.message WHERE (xid, id) > "
        "($1::text::xid8, $2::text::bigint) AND xid < pg_snapshot_xmin(pg_current_snapshot()) "
        "ORDER "
        "BY xid, id LIMIT 1000) AS n) AS m LEFT JOIN tlsmsg.producer p ON p.id = m.producer WHERE "
        "m.before < 4194304 ORDER BY m.xid, m.id";
    struct database *database = user;
    const char *const values[] = {database->xid, database->id};
    PGresult *result;
    enum pg_outcome outcome = ask(database, sql, 2, values, &result, err);
    enum tlsmsg_code code = code_of(outcome, err);
    int row;

    *more = outcome == PG_DONE && PQntuples(result) > 0;
    for (row = 0; code == TLSMSG_OK && row < PQntuples(result); row++) {
        code = give(result, row, take, taker, err);
    }
    if (*more) {
        keep(database->xid, PQgetvalue(result, row - 1, 0));
        keep(database->id, PQgetvalue(result, row - 1, 1));
    }
    PQclear(result);
    return code;
}

/* ---- verify */

struct check {
    struct progress progress;
    uint64_t all; /* messages, as the engine guesses */
    uint64_t messages;
    uint64_t hashed;
    uint64_t faults;
};

static bool is_shown(struct check *check)
{
    progress_end(&check->progress);
    return check->faults++ < VERIFY_FAULTS_SHOWN;
}

static enum tlsmsg_code check_message(const struct reader_row *row, void *user,
                                      struct tlsmsg_error *err)
{
    struct check *check = user;
    unsigned char hash[SHA256_OUT_BYTES];
    char name[VERIFY_PRODUCER_SHOWN];

    check->messages++;
    progress_tell(&check->progress, check->messages, check->all);
    if (row->hash == NULL && row->producer != NULL && row->producer[0] == '@') {
        return TLSMSG_OK; /* the document's flow has no hashes */
    }
    if (!sha256(row->body, row->len, hash)) {
        return error_set(err, TLSMSG_ERR_NOMEM, 0, "cannot compute SHA-256");
    }
    check->hashed++;
    if ((row->hash == NULL || row->hash_len != SHA256_OUT_BYTES ||
         memcmp(row->hash, hash, SHA256_OUT_BYTES) != 0) &&
        is_shown(check)) {
        printf("message %" PRId64 " (number %" PRIu64 " of '%s') is not what was stored\n", row->id,
               row->seq,
               escape_name(name, sizeof(name), row->producer != NULL ? row->producer : "?"));
    }
    return TLSMSG_OK;
}

/* Each message names the number before it of its producer. Where that is missing, and others before
 * it are there, it was deleted; pruning takes the lowest. A last number without its message was
 * deleted as well, unless all of them were pruned. */
static enum tlsmsg_code check_numbers(struct database *database, struct check *check,
                                      struct tlsmsg_error *err)
{
    static const char gaps[] =
        "SELECT p.name, n.before, n.seq FROM (SELECT producer, seq, follows, lag(seq) OVER "
        "(PARTITION BY producer ORDER BY seq) AS before FROM tlsmsg.message) AS n JOIN "
        "tlsmsg.producer p ON p.id = n.producer WHERE n.before <> n.follows UNION ALL "
        "SELECT p.name, max(m.seq), p.seq + 1 FROM tlsmsg.producer p JOIN tlsmsg.message m ON "
        "m.producer = p.id GROUP BY p.id HAVING max(m.seq) <> p.seq ORDER BY 1, 2";
    char name[VERIFY_PRODUCER_SHOWN];
    PGresult *result;
    enum pg_outcome outcome = ask(database, gaps, 0, NULL, &result, err);
    int row;

    for (row = 0; outcome == PG_DONE && row < PQntuples(result); row++) {
        if (is_shown(check)) {
            printf(
                "messages of '%s' between its numbers %s and %s are missing: they were deleted\n",
                escape_name(name, sizeof(name), PQgetvalue(result, row, 0)),
                PQgetvalue(result, row, 1), PQgetvalue(result, row, 2));
        }
    }
    PQclear(result);
    return code_of(outcome, err);
}

static enum tlsmsg_code ask_number(struct database *database, const char *sql, uint64_t *value,
                                   struct tlsmsg_error *err)
{
    PGresult *result;
    enum pg_outcome outcome = ask(database, sql, 0, NULL, &result, err);

    if (outcome == PG_DONE) {
        *value = strtoull(PQgetvalue(result, 0, 0), NULL, 10);
    }
    PQclear(result);
    return code_of(outcome, err);
}

static void tell_result(const struct check *check, uint64_t jumps)
{
    if (check->faults > VERIFY_FAULTS_SHOWN) {
        printf("... and %" PRIu64 " more\n", check->faults - VERIFY_FAULTS_SHOWN);
    }
    printf("%" PRIu64 " messages, %" PRIu64 " with a hash", check->messages, check->hashed);
    if (jumps > 0) {
        printf(", %" PRIu64 " jumps in their senders' numbers", jumps);
    }
    if (check->faults == 0) {
        printf(": sound\n");
    } else {
        printf(": %" PRIu64 " faults\n", check->faults);
    }
}

static enum tlsmsg_code verify(struct database *database, uint64_t *faults,
                               struct tlsmsg_error *err)
{
    struct check check = {.messages = 0};
    uint64_t jumps = 0;
    enum tlsmsg_code code = ask_number(database,
                                       "SELECT greatest(reltuples, 0)::bigint FROM pg_class WHERE "
                                       "oid = 'tlsmsg.message'::regclass",
                                       &check.all, err);
    bool more = true;

    progress_begin(&check.progress, "verified message");
    while (code == TLSMSG_OK && more) {
        code = next(database, &more, check_message, &check, err);
    }
    progress_end(&check.progress);
    if (code == TLSMSG_OK) {
        code = check_numbers(database, &check, err);
    }
    if (code == TLSMSG_OK) {
        code =
            ask_number(database,
                       "SELECT count(*) FROM tlsmsg.message WHERE follows > 0 AND seq <> follows "
                       "+ 1",
                       &jumps, err);
    }
    *faults = check.faults;
    if (code == TLSMSG_OK) {
        tell_result(&check, jumps);
    }
    return code;
}

/* ---- prune */

/* Deletes the oldest of one producer in steps, so that no lock is held for long: what stands before
 * its first younger one, so that what is left has no hole. */
static enum pg_outcome prune_producer(struct database *database, const char *producer,
                                      const char *before, uint64_t *deleted,
                                      struct tlsmsg_error *err)
{
    static const char sql[] =
        "DELETE FROM tlsmsg.message WHERE producer = $1::text::bigint AND seq < coalesce((SELECT "
        "seq "
        "FROM tlsmsg.message WHERE producer = $1::text::bigint AND time >= $2::text::bigint ORDER "
        "BY "
        "seq LIMIT 1), 9223372036854775807) AND seq <= (SELECT max(seq) FROM (SELECT seq FROM "
        "tlsmsg.message WHERE producer = $1::text::bigint ORDER BY seq LIMIT 1000) AS first)";
    const char *const values[] = {producer, before};
    enum pg_outcome outcome;
    uint64_t rows;

    do {
        PGresult *result;

        outcome = ask(database, sql, 2, values, &result, err);
        rows = outcome == PG_DONE ? strtoull(PQcmdTuples(result), NULL, 10) : 0;
        *deleted += rows;
        PQclear(result);
    } while (rows > 0);
    return outcome;
}

/* Producers that live as long as a program ('~') or a run ('@') go a day after they were last seen,
 * once no message names them. */
static enum pg_outcome forget_producers(struct database *database, struct tlsmsg_error *err)
{
    PGresult *result;
    enum pg_outcome outcome =
        ask(database,
            "DELETE FROM tlsmsg.producer p WHERE left(name, 1) IN ('~', '@') AND seen < "
            "(extract(epoch FROM now()) - 86400) * 1000 AND NOT EXISTS (SELECT 1 FROM "
            "tlsmsg.message m WHERE m.producer = p.id)",
            0, NULL, &result, err);

    PQclear(result);
    return outcome;
}

static enum tlsmsg_code prune(struct database *database, int64_t keep_ms, struct tlsmsg_error *err)
{
    static const char oldest[] =
        "SELECT p.id FROM tlsmsg.producer p WHERE p.id > $1::text::bigint AND (SELECT m.time FROM "
        "tlsmsg.message m WHERE m.producer = p.id ORDER BY m.seq LIMIT 1) < $2::text::bigint ORDER "
        "BY p.id LIMIT 1000";
    char before[NUMBER_CHARS];
    char last[NUMBER_CHARS] = "0";
    const char *const values[] = {last, before};
    enum pg_outcome outcome = PG_DONE;
    uint64_t deleted = 0;
    bool more = true;

    (void)snprintf(before, sizeof(before), "%" PRId64, (int64_t)time(NULL) * 1000 - keep_ms);
    while (outcome == PG_DONE && more) {
        PGresult *result;
        int row;

        outcome = ask(database, oldest, 2, values, &result, err);
        more = outcome == PG_DONE && PQntuples(result) > 0;
        for (row = 0; outcome == PG_DONE && row < PQntuples(result); row++) {
            keep(last, PQgetvalue(result, row, 0));
            outcome = prune_producer(database, last, before, &deleted, err);
        }
        PQclear(result);
    }
    if (outcome == PG_DONE) {
        outcome = forget_producers(database, err);
    }
    if (outcome == PG_DONE) {
        printf("%" PRIu64 " messages deleted\n", deleted);
    }
    return code_of(outcome, err);
}

/* ---- all commands */

static enum tlsmsg_code init(struct database *database, struct tlsmsg_error *err)
{
    enum pg_outcome outcome = pg_db_ready(&database->db, err);

    if (outcome == PG_DONE) {
        outcome = pg_schema_create(&database->db, err);
    }
    if (outcome == PG_DONE) {
        outcome = pg_schema_grant(&database->db, err);
    }
    return code_of(outcome, err);
}

static enum tlsmsg_code find_store(struct database *database, struct tlsmsg_error *err)
{
    bool exists;
    enum pg_outcome outcome = pg_db_ready(&database->db, err);

    if (outcome == PG_DONE) {
        outcome = pg_schema_find(&database->db, &exists, err);
    }
    if (outcome == PG_DONE && !exists) {
        return error_set(err, TLSMSG_ERR_CONFIG, 0,
                         "the database has no store (try: tlsmsg-store init)");
    }
    return code_of(outcome, err);
}

static enum tlsmsg_code run(struct database *database, const struct store_options_taken *taken,
                            uint64_t *faults, struct tlsmsg_error *err)
{
    const struct show_source source = {
        .skip_to_last = skip_to_last, .next = next, .user = database};
    enum tlsmsg_code code;

    if (taken->command == COMMAND_INIT) {
        return init(database, err);
    }
    code = find_store(database, err);
    if (code != TLSMSG_OK) {
        return code;
    }
    switch (taken->command) {
    case COMMAND_VERIFY:
        return verify(database, faults, err);
    case COMMAND_PRUNE:
        return prune(database, taken->keep_ms, err);
    default:
        return show_messages(&source, taken, err);
    }
}

enum tlsmsg_code database_run(const struct store_options_taken *taken, uint64_t *faults,
                              struct tlsmsg_error *err)
{
    struct database database = {.db = {.target = taken->target}, .xid = "0", .id = "0"};
    enum tlsmsg_code code = pg_target_check(taken->target, err);

    if (code != TLSMSG_OK) {
        return code;
    }
    if (taken->command == COMMAND_BACKUP) {
        return error_set(
            err, TLSMSG_ERR_CONFIG, 0,
            "backup is for a store in a file (try: pg_basebackup, or pg_dump -n tlsmsg)");
    }
    database.db.reads = taken->command != COMMAND_PRUNE && taken->command != COMMAND_INIT;
    code = run(&database, taken, faults, err);
    pg_db_close(&database.db);
    return code;
}
