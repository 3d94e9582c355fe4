/* The store's tables in PostgreSQL, in a schema of their own, and the proof of the engine's settings. */
#ifndef STORE_POSTGRESQL_SCHEMA_H
#define STORE_POSTGRESQL_SCHEMA_H

#include "store/postgresql_db.h"

/* What the engine says of itself, as one row: why it can't keep a promise (empty: it can), how many
 * synchronous standbys are named (f, t), whether one is there (NULL: this role can't see that). */
extern const char pg_proof_sql[];
extern const char pg_proof_bare_sql[]; /* the same where the tables aren't there yet */

struct pg_proof {
    enum store_promise promise;
    bool is_blind; /* a standby is named, and the role can't see whether it is there */
};

/* Judges such a row: PG_DONE, or PG_FAILED with TLSMSG_ERR_CONFIG in err. */
enum pg_outcome pg_proof_judge(const PGresult *row, struct pg_proof *proof,
                               struct tlsmsg_error *err);

/* Whether the tables are there, and are ours. PG_DONE, PG_AWAY, or PG_FAILED with
 * TLSMSG_ERR_CONFIG. */
enum pg_outcome pg_schema_find(struct pg_db *db, bool *exists, struct tlsmsg_error *err);

/* Makes the tables, in one transaction. */
enum pg_outcome pg_schema_create(struct pg_db *db, struct tlsmsg_error *err);

/* The roles for servers and for readers, made where they are missing, and what each may. */
enum pg_outcome pg_schema_grant(struct pg_db *db, struct tlsmsg_error *err);

#endif
