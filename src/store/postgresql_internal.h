/* What the files of the store by PostgreSQL share. */
#ifndef STORE_POSTGRESQL_INTERNAL_H
#define STORE_POSTGRESQL_INTERNAL_H

#include "store/batch.h"
#include "store/postgresql_array.h"
#include "store/postgresql_schema.h"

#define PG_COLUMNS 9
#define PG_NUMBER_CHARS 24

/* A message that can't be taken, ever; nothing that follows it in its conversation is. */
struct pg_refused {
    const struct store_item *item;
    enum store_verdict verdict;
    bool is_reached; /* in the order of the batch */
};

struct pg_backend {
    struct store_backend base;
    struct pg_db db;
    struct batch_producers producers;
    struct batch_items taken;
    struct pg_array columns[PG_COLUMNS];
    const char *values[PG_COLUMNS];
    int lengths[PG_COLUMNS];
    struct pg_refused *refused;
    size_t refused_count;
    size_t refused_capacity;
    int64_t run;
    bool is_blind; /* see struct pg_proof */
    bool told_blind;
    bool told_open; /* that the way to the engine is not verified */
};

/* ---- postgresql_batch.c */

/* What each connection prepares. */
extern const struct pg_prepared pg_statements[];

/* Decides a batch; see struct store_backend_ops. */
enum store_result pg_append(struct store_backend *backend, struct store_batch *batch,
                            struct tlsmsg_error *err);
void pg_batch_fini(struct pg_backend *store);

/* ---- postgresql.c */

static inline struct pg_backend *pg_of(struct store_backend *backend)
{
    return (struct pg_backend *)backend;
}

/* postgresql_db.c: the wall clock, and what an outcome means to the store. */
int64_t pg_now_ms(void);
enum store_result pg_result_of(enum pg_outcome outcome);

#endif
