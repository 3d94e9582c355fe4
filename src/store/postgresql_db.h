/* A connection to PostgreSQL as the store uses it: statements are sent together and answered one
 * after the other (libpq's pipeline), errors are told apart, and no wait is longer than the caller
 * has patience. The commit thread. */
#ifndef STORE_POSTGRESQL_DB_H
#define STORE_POSTGRESQL_DB_H

#include <libpq-fe.h>

#include "store/backend.h"
#include "store/postgresql_connect.h"

/* What statements came to; all but PG_DONE with the cause in err. */
enum pg_outcome {
    PG_DONE,
    PG_NO_ROOM, /* refused for want of space; nothing of the transaction is there */
    PG_AWAY,    /* or lost, or late: whether a commit was made is unknown */
    PG_BAD,     /* the engine refuses a value by itself (SQLSTATE classes 22 and 23) */
    PG_FAILED
};

/* A statement that each connection prepares once. */
struct pg_prepared {
    const char *name;
    const char *sql;
};

struct pg_db {
    const char *target;                 /* borrowed */
    const struct pg_prepared *prepared; /* ended by one without a name */
    struct store_patience patience;
    PGconn *connection;               /* NULL: none */
    struct pg_connecting *connecting; /* one that is being made; NULL: none */
    struct pg_connecting *looking;    /* for a host that answers in its place; NULL: not now */
    char engine[PG_ENGINE_CHARS];     /* which one answers */
    PGconn *elsewhere; /* one that does, to take the connection's place; NULL: none */
    int64_t look_ns;   /* when to look for one, while an answer is waited for */
    bool is_late;      /* an answer is due that nobody waits for any more */
    bool reads;        /* only, so a standby will do */
    bool warned;       /* the engine has warned since this was cleared */
    bool is_set_up;
    bool
        is_pooled; /* several of the engine's processes may take turns, so nothing is kept in one */
};

/* One of the statements that are sent together. */
struct pg_step {
    const char *name; /* of a prepared one, which is called where it can be; NULL: none is */
    const char *sql;
    int count;
    const char *const *values;
    const int *lengths; /* NULL: values are texts; else all of them are binary */
    PGresult **result;  /* the caller's, also after an error NULL or its own; NULL: not wanted */
};

/* Makes the connection ready for statements: makes it, or takes what is still to come on it.
 * PG_DONE or PG_AWAY, with the reason in err. */
enum pg_outcome pg_db_ready(struct pg_db *db, struct tlsmsg_error *err);

/* Prepares what `prepared` lists, on a connection that is ready; a later one does so by itself.
 * Nothing is done where a pooler stands between. */
enum pg_outcome pg_db_prepare(struct pg_db *db, struct tlsmsg_error *err);

/* Sends the steps together and takes their answers; the first error decides, and what follows it is
 * not carried out by the engine. */
enum pg_outcome pg_db_run_all(struct pg_db *db, const struct pg_step *steps, size_t count,
                              struct tlsmsg_error *err);

/* One statement without parameters, or with texts. */
enum pg_outcome pg_db_run(struct pg_db *db, const char *sql, int count, const char *const *values,
                          PGresult **result, struct tlsmsg_error *err);

/* Ends a transaction that has come to this outcome, if there still is one. Returns the outcome of
 * both. */
enum pg_outcome pg_db_undo(struct pg_db *db, enum pg_outcome outcome, struct tlsmsg_error *err);

void pg_db_disconnect(struct pg_db *db);
void pg_db_close(struct pg_db *db);

#endif
