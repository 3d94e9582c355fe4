/* How a batch is decided: one transaction, a whole column of it as one array. Producers' rows are
 * locked first and in one order, so servers that share a producer take turns, and they are written in
 * every batch that met one, so that each commit waits as the engine promises.
 *
 * A message that the engine can't take is found by halving the batch, and refused alone. */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/error.h"
#include "store/postgresql_internal.h"

enum pg_statement { LOCK, ADD, COMPARE, WRITE, MARK, STANDBY, PROVE };

const struct pg_prepared pg_statements[] = {
    [LOCK] = {"lock", "SELECT p.id, p.seq, u.n FROM tlsmsg.producer p JOIN unnest($1::text[], "
                      "$2::text[], $3::bigint[]) AS u(i, m, n) ON p.identity = u.i AND p.name = "
                      "u.m ORDER BY p.id FOR UPDATE OF p"},
    [ADD] = {"add", "INSERT INTO tlsmsg.producer(identity, name, seq, seen) SELECT u.i, u.n, 0, 0 "
                    "FROM unnest($1::text[], $2::text[]) AS u(i, n) ORDER BY u.i, u.n ON CONFLICT "
                    "(identity, name) DO NOTHING"},
    [COMPARE] = {"compare",
                 "SELECT u.n, m.hash IS NOT DISTINCT FROM u.h, m.xid = pg_current_xact_id() FROM "
                 "unnest($1::bigint[], $2::bigint[], $3::bytea[], $4::bigint[]) AS u(p, s, h, n) "
                 "JOIN tlsmsg.message m ON m.producer = u.p AND m.seq = u.s"},
    [WRITE] = {"write",
               "INSERT INTO tlsmsg.message(time, connection, peer, producer, seq, follows, hash, "
               "body, run) SELECT * FROM unnest($1::bigint[], $2::bigint[], $3::text[], "
               "$4::bigint[], $5::bigint[], $6::bigint[], $7::bytea[], $8::bytea[], $9::bigint[]) "
               "ON CONFLICT (producer, seq) DO NOTHING"},
    [MARK] = {"mark", "UPDATE tlsmsg.producer p SET seq = greatest(p.seq, u.s), seen = "
                      "greatest(p.seen + 1, u.t) FROM unnest($1::bigint[], $2::bigint[], "
                      "$3::bigint[]) AS u(i, s, t) WHERE p.id = u.i"},
    [STANDBY] = {"standby", "SELECT btrim(current_setting('synchronous_standby_names')) <> ''"},
    [PROVE] = {"prove", pg_proof_sql},
    {NULL, NULL},
};

static enum pg_outcome no_memory(struct tlsmsg_error *err)
{
    (void)error_set(err, TLSMSG_ERR_NOMEM, 0, "out of memory");
    return PG_FAILED;
}

static void begin_columns(struct pg_backend *store, const enum pg_type *types, size_t count)
{
    size_t i;

    for (i = 0; i < count; i++) {
        pg_array_begin(&store->columns[i], types[i]);
    }
}

/* The step that runs a statement on the first count columns, each far shorter than an int can say.
 * False: no memory. */
static bool step_of(struct pg_backend *store, int which, int count, PGresult **result,
                    struct pg_step *step)
{
    int i;

    for (i = 0; i < count; i++) {
        if (!pg_array_end(&store->columns[i])) {
            return false;
        }
        store->values[i] = store->columns[i].data;
        store->lengths[i] = (int)store->columns[i].len;
    }
    *step = (struct pg_step){.name = pg_statements[which].name,
                             .sql = pg_statements[which].sql,
                             .count = count,
                             .values = store->values,
                             .lengths = store->lengths,
                             .result = result};
    return true;
}

static struct batch_producer *producer_of(struct pg_backend *store, const struct store_item *item)
{
    bool fresh;

    return batch_producers_get(&store->producers, item->identity, item->producer, &fresh);
}

/* ---- what is refused */

static bool refuse(struct pg_backend *store, const struct store_item *item,
                   enum store_verdict verdict, bool is_reached)
{
    if (store->refused_count == store->refused_capacity) {
        size_t capacity = store->refused_capacity == 0 ? 16 : 2 * store->refused_capacity;
        struct pg_refused *refused = realloc(store->refused, capacity * sizeof(*refused));

        if (refused == NULL) {
            return false;
        }
        store->refused = refused;
        store->refused_capacity = capacity;
    }
    store->refused[store->refused_count++] = (struct pg_refused){item, verdict, is_reached};
    return true;
}

/* Whether an item is refused, or follows one of its conversation that is; sets its verdict then. */
static bool is_refused(struct pg_backend *store, struct store_item *item)
{
    size_t i;

    for (i = 0; i < store->refused_count; i++) {
        struct pg_refused *refused = &store->refused[i];

        if (refused->item == item) {
            refused->is_reached = true;
            item->verdict = refused->verdict;
            return true;
        }
        if (refused->is_reached && refused->item->connection == item->connection) {
            item->verdict = STORE_AWAY;
            return true;
        }
    }
    return false;
}

/* Before a part of the batch is judged again: what of it was refused is still to be reached. */
static void forget_reached(struct pg_backend *store, const struct store_batch *batch)
{
    size_t i;
    size_t j;

    for (i = 0; i < store->refused_count; i++) {
        for (j = 0; j < batch->count && store->refused[i].is_reached; j++) {
            store->refused[i].is_reached = store->refused[i].item != batch->items[j];
        }
    }
}

/* ---- producers */

/* Lists the batch's producers; fresh_only: those that bring messages and are not stored yet.
 * Returns whether there are any. */
static bool list_producers(struct pg_backend *store, bool fresh_only)
{
    static const enum pg_type types[] = {PG_TYPE_TEXT, PG_TYPE_TEXT, PG_TYPE_INT8};
    bool any = false;
    size_t i;

    begin_columns(store, types, 3);
    for (i = 0; i < store->producers.capacity; i++) {
        const struct batch_producer *producer = &store->producers.places[i];

        if (producer->identity != NULL &&
            (!fresh_only || (producer->brings && producer->id == 0))) {
            pg_array_text(&store->columns[0], producer->identity);
            pg_array_text(&store->columns[1], producer->name);
            pg_array_number(&store->columns[2], (int64_t)i);
            any = true;
        }
    }
    return any;
}

/* Keeps what the locked rows say. */
static void take_producers(struct pg_backend *store, const PGresult *result)
{
    int row;

    for (row = 0; row < PQntuples(result); row++) {
        struct batch_producer *producer =
            &store->producers.places[strtoull(PQgetvalue(result, row, 2), NULL, 10)];

        producer->id = strtoll(PQgetvalue(result, row, 0), NULL, 10);
        producer->stored = strtoull(PQgetvalue(result, row, 1), NULL, 10);
        producer->seq = producer->stored;
    }
}

/* Makes the producers that are new to the store. Another server may do the same at this moment, so
 * all are locked again, and seen as they are then. */
static enum pg_outcome add_producers(struct pg_backend *store, struct tlsmsg_error *err)
{
    struct pg_step step;
    PGresult *result = NULL;
    enum pg_outcome outcome;

    if (!list_producers(store, true)) {
        return PG_DONE;
    }
    if (!step_of(store, ADD, 2, NULL, &step)) {
        return no_memory(err);
    }
    outcome = pg_db_run_all(&store->db, &step, 1, err);
    if (outcome != PG_DONE) {
        return outcome;
    }
    (void)list_producers(store, false);
    if (!step_of(store, LOCK, 3, &result, &step)) {
        return no_memory(err);
    }
    outcome = pg_db_run_all(&store->db, &step, 1, err);
    if (outcome == PG_DONE) {
        take_producers(store, result);
    }
    PQclear(result);
    return outcome;
}

/* Begins, has the engine prove its settings in this very transaction, and locks the producers. */
static enum pg_outcome begin(struct pg_backend *store, struct store_batch *batch,
                             struct tlsmsg_error *err)
{
    struct pg_proof proof;
    PGresult *proved = NULL;
    PGresult *locked = NULL;
    struct pg_step steps[3] = {
        {.sql = "BEGIN ISOLATION LEVEL READ COMMITTED READ WRITE"},
        {.name = pg_statements[PROVE].name, .sql = pg_proof_sql, .result = &proved},
    };
    enum pg_outcome outcome;

    (void)list_producers(store, false);
    if (!step_of(store, LOCK, 3, &locked, &steps[2])) {
        return no_memory(err);
    }
    outcome = pg_db_run_all(&store->db, steps, 3, err);
    /* Settings that break the promise may be mended, so the engine is as good as away. */
    if (outcome == PG_DONE && pg_proof_judge(proved, &proof, err) != PG_DONE) {
        outcome = PG_AWAY;
    }
    if (outcome == PG_DONE) {
        take_producers(store, locked);
        batch->promise = proof.promise;
        store->is_blind = proof.is_blind;
    }
    PQclear(proved);
    PQclear(locked);
    return outcome == PG_DONE ? add_producers(store, err) : outcome;
}

/* ---- messages */

/* Compares what is stored under the numbers of these items with their hashes, inside the transaction:
 * those below the producer's last number, or (conflicts) those that this batch was to write and
 * another writer has written. A pruned row has its number alone. */
static enum pg_outcome compare(struct pg_backend *store, const struct store_batch *batch,
                               bool conflicts, PGresult **result, struct tlsmsg_error *err)
{
    static const enum pg_type types[] = {PG_TYPE_INT8, PG_TYPE_INT8, PG_TYPE_BYTEA, PG_TYPE_INT8};
    struct pg_step step;
    bool any = false;
    size_t i;

    begin_columns(store, types, 4);
    for (i = 0; i < batch->count; i++) {
        const struct store_item *item = batch->items[i];
        const struct batch_producer *producer = producer_of(store, item);
        bool is_asked = conflicts ? item->verdict == STORE_TAKEN : item->seq <= producer->stored;

        if (item->seq > 0 && is_asked) {
            pg_array_number(&store->columns[0], producer->id);
            pg_array_number(&store->columns[1], (int64_t)item->seq);
            pg_array_bytes(&store->columns[2], item->hash, STORE_HASH_BYTES);
            pg_array_number(&store->columns[3], (int64_t)i);
            any = true;
        }
    }
    *result = NULL;
    if (!any) {
        return PG_DONE;
    }
    return step_of(store, COMPARE, 4, result, &step) ? pg_db_run_all(&store->db, &step, 1, err)
                                                     : no_memory(err);
}

static enum pg_outcome compare_stored(struct pg_backend *store, const struct store_batch *batch,
                                      struct tlsmsg_error *err)
{
    PGresult *result;
    enum pg_outcome outcome = compare(store, batch, false, &result, err);
    int row;

    for (row = 0; outcome == PG_DONE && row < PQntuples(result); row++) {
        const struct store_item *item =
            batch->items[strtoull(PQgetvalue(result, row, 0), NULL, 10)];

        if (PQgetvalue(result, row, 1)[0] != 't' &&
            !refuse(store, item, STORE_OTHER_BYTES, false)) {
            outcome = no_memory(err);
        }
    }
    PQclear(result);
    return outcome;
}

static bool same_hash(const struct store_item *a, const struct store_item *b)
{
    return a->hash == NULL ? b->hash == NULL
                           : b->hash != NULL && memcmp(a->hash, b->hash, STORE_HASH_BYTES) == 0;
}

/* Judges one item in the batch's order; what it takes is still to be written. False: no memory. */
static bool judge(struct pg_backend *store, struct store_item *item, bool take_new)
{
    struct batch_producer *producer = producer_of(store, item);
    const struct store_item *before;
    bool has_memory = true;

    item->last = producer->seq;
    if (is_refused(store, item)) {
        return true;
    }
    if (item->seq == 0) {
        item->verdict = STORE_TAKEN;
    } else if (item->seq <= producer->seq) {
        before = batch_items_get(&store->taken, producer, item->seq);
        item->verdict = STORE_DUPLICATE;
        if (before != NULL && !same_hash(before, item)) {
            item->verdict = STORE_OTHER_BYTES;
            has_memory = refuse(store, item, STORE_OTHER_BYTES, true);
        }
    } else if (item->seq != producer->seq + 1 && !item->jumps) {
        /* Behind a number that is undecided nothing is taken: else that one would pass for taken. */
        item->verdict = STORE_AWAY;
    } else if (!take_new) {
        item->verdict = STORE_NO_ROOM;
    } else {
        item->verdict = STORE_TAKEN;
        item->follows = producer->seq;
        producer->seq = item->seq;
        batch_items_add(&store->taken, producer, item);
    }
    item->last = producer->seq;
    return has_memory;
}

static void add_row(struct pg_backend *store, const struct store_item *item)
{
    pg_array_number(&store->columns[0], item->time_ms);
    pg_array_number(&store->columns[1], (int64_t)item->connection);
    pg_array_text(&store->columns[2], item->peer);
    pg_array_number(&store->columns[3], producer_of(store, item)->id);
    pg_array_number(&store->columns[4], (int64_t)item->seq);
    pg_array_number(&store->columns[5], (int64_t)item->follows);
    pg_array_bytes(&store->columns[6], item->hash, STORE_HASH_BYTES);
    pg_array_bytes(&store->columns[7], item->body, item->body_len);
    pg_array_number(&store->columns[8], store->run);
}

/* Another writer has put rows there without the producer's lock. With the same bytes they are
 * duplicates; with others the batch is begun anew, and knows it from the start. */
static enum pg_outcome meet_conflicts(struct pg_backend *store, const struct store_batch *batch,
                                      bool *again, struct tlsmsg_error *err)
{
    PGresult *result;
    enum pg_outcome outcome = compare(store, batch, true, &result, err);
    int row;

    for (row = 0; outcome == PG_DONE && row < PQntuples(result); row++) {
        struct store_item *item = batch->items[strtoull(PQgetvalue(result, row, 0), NULL, 10)];

        if (PQgetvalue(result, row, 2)[0] == 't') {
            continue; /* written by this transaction */
        }
        item->verdict = STORE_DUPLICATE;
        if (PQgetvalue(result, row, 1)[0] != 't') {
            *again = true;
            outcome = refuse(store, item, STORE_OTHER_BYTES, false) ? outcome : no_memory(err);
        }
    }
    PQclear(result);
    return outcome;
}

static enum pg_outcome write_new(struct pg_backend *store, const struct store_batch *batch,
                                 bool *again, struct tlsmsg_error *err)
{
    static const enum pg_type types[] = {PG_TYPE_INT8,  PG_TYPE_INT8,  PG_TYPE_TEXT,
                                         PG_TYPE_INT8,  PG_TYPE_INT8,  PG_TYPE_INT8,
                                         PG_TYPE_BYTEA, PG_TYPE_BYTEA, PG_TYPE_INT8};
    struct pg_step step;
    PGresult *result = NULL;
    enum pg_outcome outcome;
    size_t count = 0;
    size_t i;

    begin_columns(store, types, PG_COLUMNS);
    for (i = 0; i < batch->count; i++) {
        if (batch->items[i]->verdict == STORE_TAKEN && batch->items[i]->seq > 0) {
            add_row(store, batch->items[i]);
            count++;
        }
    }
    if (count == 0) {
        return PG_DONE;
    }
    if (!step_of(store, WRITE, PG_COLUMNS, &result, &step)) {
        return no_memory(err);
    }
    outcome = pg_db_run_all(&store->db, &step, 1, err);
    if (outcome == PG_DONE && strtoull(PQcmdTuples(result), NULL, 10) != count) {
        outcome = meet_conflicts(store, batch, again, err);
    }
    PQclear(result);
    return outcome;
}

/* Writes each stored producer, also where nothing new came, and commits. That counts if the engine
 * says so without a warning, and if it is still bound to wait for its standby: who it no longer
 * waits for may not have what was committed. */
static enum pg_outcome commit(struct pg_backend *store, struct store_batch *batch,
                              struct tlsmsg_error *err)
{
    static const enum pg_type types[] = {PG_TYPE_INT8, PG_TYPE_INT8, PG_TYPE_INT8};
    PGresult *committed = NULL;
    PGresult *standby = NULL;
    struct pg_step steps[3] = {[1] = {.sql = "COMMIT", .result = &committed},
                               [2] = {.name = pg_statements[STANDBY].name,
                                      .sql = pg_statements[STANDBY].sql,
                                      .result = &standby}};
    enum pg_outcome outcome;
    size_t i;

    begin_columns(store, types, 3);
    for (i = 0; i < store->producers.capacity; i++) {
        const struct batch_producer *producer = &store->producers.places[i];

        if (producer->identity != NULL && producer->id != 0) {
            pg_array_number(&store->columns[0], producer->id);
            pg_array_number(&store->columns[1], (int64_t)producer->seq);
            pg_array_number(&store->columns[2], pg_now_ms());
        }
    }
    if (!step_of(store, MARK, 3, NULL, &steps[0])) {
        return no_memory(err);
    }
    store->db.warned = false;
    outcome = pg_db_run_all(&store->db, steps, 3, err);
    if (outcome == PG_DONE && (store->db.warned || strcmp(PQcmdStatus(committed), "COMMIT") != 0)) {
        (void)error_set(err, TLSMSG_ERR_SYSTEM, 0,
                        "the store's engine: a commit's wait for the standby was cancelled");
        outcome = PG_AWAY;
    }
    if (outcome == PG_DONE && PQgetvalue(standby, 0, 0)[0] != 't') {
        batch->promise = STORE_PROMISE_DISK;
    }
    PQclear(committed);
    PQclear(standby);
    return outcome;
}

/* One transaction; *again: it was undone, and is to be begun anew. */
static enum pg_outcome write_batch(struct pg_backend *store, struct store_batch *batch, bool *again,
                                   struct tlsmsg_error *err)
{
    enum pg_outcome outcome = pg_db_ready(&store->db, err);
    size_t i;

    *again = false;
    if (outcome != PG_DONE) {
        return outcome;
    }
    if (!batch_producers_begin(&store->producers, batch->count) ||
        !batch_items_begin(&store->taken, batch->count)) {
        return no_memory(err);
    }
    for (i = 0; i < batch->count; i++) {
        producer_of(store, batch->items[i])->brings |= batch->items[i]->seq > 0;
    }
    forget_reached(store, batch);
    outcome = begin(store, batch, err);
    if (outcome == PG_DONE) {
        outcome = compare_stored(store, batch, err);
    }
    for (i = 0; i < batch->count && outcome == PG_DONE; i++) {
        if (!judge(store, batch->items[i], batch->take_new)) {
            outcome = no_memory(err);
        }
    }
    if (outcome == PG_DONE) {
        outcome = write_new(store, batch, again, err);
    }
    if (outcome == PG_DONE && !*again) {
        outcome = commit(store, batch, err);
    }
    return pg_db_undo(&store->db, outcome, err);
}

/* A message that can't be stored is found by halving, so that it is refused alone. */
static enum pg_outcome write_halves(struct pg_backend *store, struct store_batch *batch,
                                    struct tlsmsg_error *err)
{
    struct store_batch half = *batch;
    enum pg_outcome outcome;
    bool again;

    do {
        outcome = write_batch(store, batch, &again, err);
    } while (outcome == PG_DONE && again);
    if (outcome != PG_BAD) {
        return outcome;
    }
    tlsmsg_error_clear(err);
    if (batch->count == 1) {
        batch->items[0]->verdict = STORE_REFUSED;
        return refuse(store, batch->items[0], STORE_REFUSED, true) ? PG_DONE : no_memory(err);
    }
    half.count = batch->count / 2;
    outcome = write_halves(store, &half, err);
    if (outcome == PG_DONE) {
        batch->promise = half.promise;
        half.items = batch->items + half.count;
        half.count = batch->count - half.count;
        outcome = write_halves(store, &half, err);
    }
    if (outcome == PG_DONE && half.promise < batch->promise) {
        batch->promise = half.promise;
    }
    return outcome;
}

enum store_result pg_append(struct store_backend *backend, struct store_batch *batch,
                            struct tlsmsg_error *err)
{
    struct pg_backend *store = pg_of(backend);

    store->db.patience = batch->patience;
    store->refused_count = 0;
    return pg_result_of(write_halves(store, batch, err));
}

void pg_batch_fini(struct pg_backend *store)
{
    size_t i;

    batch_producers_fini(&store->producers);
    batch_items_fini(&store->taken);
    for (i = 0; i < PG_COLUMNS; i++) {
        pg_array_fini(&store->columns[i]);
    }
    free(store->refused);
}
