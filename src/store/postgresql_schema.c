#include "store/postgresql_schema.h"

#include <string.h>

#include "base/error.h"

#define MARK "tlsmsg store, schema 1" /* comment of the schema; the number is its version */

/* The functions are called by the role that owns them, so a plain role learns of its standbys what
 * else pg_read_all_stats alone tells, and no more. */
static const char *const schema[] = {
    "CREATE SCHEMA tlsmsg",
    "COMMENT ON SCHEMA tlsmsg IS '" MARK "'",
    "CREATE TABLE tlsmsg.producer(id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY, "
    "identity text NOT NULL, name text NOT NULL, seq bigint NOT NULL, seen bigint NOT NULL, "
    "UNIQUE(identity, name)) WITH (fillfactor = 50)",
    "CREATE TABLE tlsmsg.run(id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY, name text NOT "
    "NULL, time bigint NOT NULL, version text NOT NULL)",
    "CREATE TABLE tlsmsg.message(id bigint GENERATED ALWAYS AS IDENTITY, xid xid8 NOT NULL DEFAULT "
    "pg_current_xact_id(), time bigint NOT NULL, run bigint NOT NULL, connection bigint NOT NULL, "
    "peer text NOT NULL, producer bigint NOT NULL, seq bigint NOT NULL, follows bigint NOT NULL, "
    "hash bytea, body bytea NOT NULL, PRIMARY KEY(xid, id), UNIQUE(producer, seq))",
    "COMMENT ON COLUMN tlsmsg.message.follows IS 'the number before it of its producer'",
    "CREATE VIEW tlsmsg.messages AS SELECT m.id, to_timestamp(m.time / 1000.0) AS time, r.name AS "
    "run, m.connection, m.peer, p.identity, p.name AS producer, m.seq, CASE WHEN position("
    "'\\x00'::bytea IN m.body) = 0 THEN convert_from(m.body, 'UTF8') END AS text, m.body FROM "
    "tlsmsg.message m LEFT JOIN tlsmsg.producer p ON p.id = m.producer LEFT JOIN tlsmsg.run r ON "
    "r.id = m.run WHERE m.xid < pg_snapshot_xmin(pg_current_snapshot())",
    "CREATE FUNCTION tlsmsg.has_standby() RETURNS boolean LANGUAGE sql STABLE SECURITY DEFINER "
    "SET search_path = pg_catalog AS $$ SELECT CASE WHEN bool_or(sync_state IN ('sync', "
    "'quorum')) THEN true WHEN bool_or(sync_state IS NULL) THEN NULL ELSE false END FROM "
    "pg_stat_replication $$",
    "REVOKE ALL ON FUNCTION tlsmsg.has_standby() FROM PUBLIC",
};

/* What each role needs, and no more: a server can't read a message's text, change or delete one. */
static const char *const grants[] = {
    "GRANT USAGE ON SCHEMA tlsmsg TO tlsmsg_server, tlsmsg_reader",
    "GRANT SELECT, INSERT (identity, name, seq, seen), UPDATE (seq, seen) ON tlsmsg.producer TO "
    "tlsmsg_server",
    "GRANT SELECT (id), INSERT (name, time, version) ON tlsmsg.run TO tlsmsg_server",
    "GRANT SELECT (xid, producer, seq, hash), INSERT (time, run, connection, peer, producer, seq, "
    "follows, hash, body) ON tlsmsg.message TO tlsmsg_server",
    "GRANT EXECUTE ON FUNCTION tlsmsg.has_standby() TO tlsmsg_server",
    "GRANT SELECT ON tlsmsg.producer, tlsmsg.run, tlsmsg.message, tlsmsg.messages TO "
    "tlsmsg_reader",
};

#define PROOF                                                                                      \
    "SELECT concat_ws(', ', "                                                                      \
    "CASE WHEN current_setting('synchronous_commit') NOT IN ('on', 'remote_apply') THEN "          \
    "'synchronous_commit=' || current_setting('synchronous_commit') END, "                         \
    "CASE WHEN current_setting('statement_timeout') <> '0' THEN 'statement_timeout=' || "          \
    "current_setting('statement_timeout') END, "                                                   \
    "CASE WHEN current_setting('lock_timeout') <> '0' THEN 'lock_timeout=' || "                    \
    "current_setting('lock_timeout') END, "                                                        \
    "CASE WHEN current_setting('client_min_messages') IN ('error', 'fatal', 'panic') THEN "        \
    "'client_min_messages=' || current_setting('client_min_messages') END, "                       \
    "CASE WHEN current_setting('fsync') <> 'on' THEN 'fsync=off' END, "                            \
    "CASE WHEN current_setting('full_page_writes') <> 'on' THEN 'full_page_writes=off' END, "      \
    "CASE WHEN current_setting('data_sync_retry') <> 'off' THEN 'data_sync_retry=on' END, "        \
    "CASE WHEN current_setting('server_encoding') <> 'UTF8' THEN 'server_encoding=' || "           \
    "current_setting('server_encoding') END, "                                                     \
    "CASE WHEN pg_is_in_recovery() THEN 'a server in recovery' END, "                              \
    "(SELECT 'unlogged table ' || min(relname) FROM pg_class WHERE relpersistence <> 'p' AND "     \
    "oid IN (to_regclass('tlsmsg.message'), to_regclass('tlsmsg.producer'), "                      \
    "to_regclass('tlsmsg.run')) HAVING count(*) > 0)), "                                           \
    "btrim(current_setting('synchronous_standby_names')) <> '', "

const char pg_proof_sql[] = PROOF "tlsmsg.has_standby()";
const char pg_proof_bare_sql[] = PROOF "NULL::boolean";

enum pg_outcome pg_proof_judge(const PGresult *row, struct pg_proof *proof,
                               struct tlsmsg_error *err)
{
    bool is_named = PQgetvalue(row, 0, 1)[0] == 't';

    if (PQgetvalue(row, 0, 0)[0] != '\0') {
        (void)error_set(err, TLSMSG_ERR_CONFIG, 0,
                        "the store's engine can't keep a promise with %s (try: change that there)",
                        PQgetvalue(row, 0, 0));
        return PG_FAILED;
    }
    /* One that is named and away is waited for by each commit, so no less is promised. */
    proof->is_blind = is_named && PQgetisnull(row, 0, 2) != 0;
    proof->promise = is_named && !proof->is_blind ? STORE_PROMISE_REPLICATED : STORE_PROMISE_DISK;
    return PG_DONE;
}

enum pg_outcome pg_schema_find(struct pg_db *db, bool *exists, struct tlsmsg_error *err)
{
    PGresult *result = NULL;
    enum pg_outcome outcome =
        pg_db_run(db,
                  "SELECT coalesce(obj_description(oid, 'pg_namespace'), ''), "
                  "has_schema_privilege(oid, 'USAGE'), current_user FROM pg_namespace WHERE "
                  "nspname = 'tlsmsg'",
                  0, NULL, &result, err);

    *exists = outcome == PG_DONE && PQntuples(result) == 1;
    if (*exists && strcmp(PQgetvalue(result, 0, 0), MARK) != 0) {
        outcome = PG_FAILED;
        (void)error_set(
            err, TLSMSG_ERR_CONFIG, 0,
            "the database's schema 'tlsmsg' is not a store of this version, but '%.64s'",
            PQgetvalue(result, 0, 0));
    } else if (*exists && PQgetvalue(result, 0, 1)[0] != 't') {
        outcome = PG_FAILED;
        (void)error_set(err, TLSMSG_ERR_CONFIG, 0,
                        "the store's engine: role '%.64s' may not use the store (try: GRANT "
                        "tlsmsg_server TO the role)",
                        PQgetvalue(result, 0, 2));
    }
    PQclear(result);
    return outcome;
}

/* Runs statements in one transaction, one after the other. */
static enum pg_outcome run_all(struct pg_db *db, const char *const *sql, size_t count,
                               struct tlsmsg_error *err)
{
    enum pg_outcome outcome = PG_DONE;
    size_t i;

    for (i = 0; i < count && outcome == PG_DONE; i++) {
        outcome = pg_db_run(db, sql[i], 0, NULL, NULL, err);
    }
    return outcome;
}

/* Servers may start together: the one that comes second finds the tables made. */
enum pg_outcome pg_schema_create(struct pg_db *db, struct tlsmsg_error *err)
{
    static const char *const begin[] = {"BEGIN", "SELECT pg_advisory_xact_lock(1953264493)"};
    bool exists;
    enum pg_outcome outcome = run_all(db, begin, sizeof(begin) / sizeof(begin[0]), err);

    if (outcome == PG_DONE) {
        outcome = pg_schema_find(db, &exists, err);
    }
    if (outcome == PG_DONE && !exists) {
        outcome = run_all(db, schema, sizeof(schema) / sizeof(schema[0]), err);
    }
    if (outcome == PG_DONE) {
        outcome = pg_db_run(db, "COMMIT", 0, NULL, NULL, err);
    }
    return pg_db_undo(db, outcome, err);
}

enum pg_outcome pg_schema_grant(struct pg_db *db, struct tlsmsg_error *err)
{
    static const char roles[] =
        "DO $$ DECLARE r text; BEGIN FOREACH r IN ARRAY ARRAY['tlsmsg_server', 'tlsmsg_reader'] "
        "LOOP IF NOT EXISTS (SELECT 1 FROM pg_roles WHERE rolname = r) THEN EXECUTE "
        "format('CREATE ROLE %I NOLOGIN', r); END IF; END LOOP; END $$";
    enum pg_outcome outcome = pg_db_run(db, "BEGIN", 0, NULL, NULL, err);

    if (outcome == PG_DONE) {
        outcome = pg_db_run(db, roles, 0, NULL, NULL, err);
    }
    if (outcome == PG_DONE) {
        outcome = run_all(db, grants, sizeof(grants) / sizeof(grants[0]), err);
    }
    if (outcome == PG_DONE) {
        outcome = pg_db_run(db, "COMMIT", 0, NULL, NULL, err);
    }
    return pg_db_undo(db, outcome, err);
}
