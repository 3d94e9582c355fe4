/* Batches for a scripted engine; see fake_batch.h. */
#include "support/fake_batch.h"

#include <stdio.h>
#include <string.h>

#include "support/fake_libpq_internal.h"

#define ITEMS_MAX 64
#define SCRIPT_MAX 64

static struct pg_backend store;
static struct store_item items[ITEMS_MAX];
static struct store_item *order[ITEMS_MAX];
static unsigned char hashes[ITEMS_MAX][STORE_HASH_BYTES];
static struct store_batch batch;
static struct fake_exchange script[SCRIPT_MAX];
static char texts[SCRIPT_MAX][FAKE_SENT_CHARS];
static size_t expected;

void fake_store_begin(void)
{
    static const struct fake_exchange start[] = {FAKE_START};
    struct tlsmsg_error err = {.code = TLSMSG_OK};

    fake_libpq_begin();
    store = (struct pg_backend){.db = {.target = FAKE_TARGET}, .run = FAKE_RUN};
    batch = (struct store_batch){.take_new = true, .promise = STORE_PROMISE_REPLICATED};
    expected = 0;
    FAKE_PLAY(start);
    assert_int_equal(pg_db_ready(&store.db, &err), PG_DONE);
}

void fake_store_end(void)
{
    pg_db_close(&store.db);
    pg_batch_fini(&store);
    fake_libpq_end();
}

struct pg_backend *fake_store(void)
{
    return &store;
}

struct store_batch *fake_batch(void)
{
    return &batch;
}

struct store_item *fake_item(const char *producer, uint64_t seq, uint64_t connection, int hash)
{
    size_t i = batch.count++;

    assert_in_range(i, 0, ITEMS_MAX - 1);
    memset(hashes[i], hash, STORE_HASH_BYTES);
    items[i] = (struct store_item){.identity = "",
                                   .producer = producer,
                                   .peer = "peer",
                                   .hash = hash != 0 ? hashes[i] : NULL,
                                   .body = "hi",
                                   .body_len = 2,
                                   .seq = seq,
                                   .connection = connection,
                                   .time_ms = FAKE_ITEM_MS + (int64_t)i,
                                   .verdict = STORE_FAILED,
                                   .last = UINT64_MAX};
    return &items[i];
}

struct fake_exchange *fake_expect(const char *sent, const char *rows)
{
    struct fake_exchange *row = &script[expected];

    assert_in_range(expected, 0, SCRIPT_MAX - 1);
    texts[expected][0] = '\0';
    fake_libpq_append(texts[expected], "%s", sent);
    *row = (struct fake_exchange){.sent = texts[expected], .rows = rows};
    expected++;
    return row;
}

void fake_expect_begin(const char *locked, const char *rows)
{
    char sent[256];

    (void)snprintf(sent, sizeof(sent), "lock %s", locked);
    (void)fake_expect("BEGIN ISOLATION LEVEL READ COMMITTED READ WRITE", NULL);
    (void)fake_expect("prove", "|t|t");
    (void)fake_expect(sent, rows);
}

void fake_expect_commit(const char *marked)
{
    char sent[256];

    (void)snprintf(sent, sizeof(sent), "mark %s", marked);
    (void)fake_expect(sent, NULL);
    fake_expect("COMMIT", NULL)->status = "COMMIT";
    (void)fake_expect("standby", "t");
}

struct fake_exchange *fake_expect_write(const char *producers, const char *seqs,
                                        const char *follows, const char *sent_hashes,
                                        unsigned count)
{
    char sent[FAKE_SENT_CHARS] = "write int8{*} int8{*} text{'peer'";
    struct fake_exchange *row;
    unsigned i;

    for (i = 1; i < count; i++) {
        fake_libpq_append(sent, ",'peer'");
    }
    fake_libpq_append(sent, "} int8{%s} int8{%s} int8{%s} bytea{%s} bytea{6869", producers, seqs,
                      follows, sent_hashes);
    for (i = 1; i < count; i++) {
        fake_libpq_append(sent, ",6869");
    }
    fake_libpq_append(sent, "} int8{9");
    for (i = 1; i < count; i++) {
        fake_libpq_append(sent, ",9");
    }
    fake_libpq_append(sent, "}");
    row = fake_expect(sent, NULL);
    row->status = "INSERT 0 1";
    return row;
}

enum store_result fake_append(struct tlsmsg_error *err)
{
    enum store_result result;
    size_t i;

    /* At the end of what there is: who reads beyond them is caught. */
    batch.items = order + ITEMS_MAX - batch.count;
    for (i = 0; i < batch.count; i++) {
        batch.items[i] = &items[i];
    }
    tlsmsg_error_clear(err);
    fake_libpq_play(script, expected);
    result = pg_append(&store.base, &batch, err);
    fake_libpq_play(NULL, 0);
    expected = 0;
    return result;
}
