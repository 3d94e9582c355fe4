/* A batch for a store in a scripted engine: items, and the script of what deciding them sends. */
#ifndef SUPPORT_FAKE_BATCH_H
#define SUPPORT_FAKE_BATCH_H

#include "store/postgresql_internal.h"
#include "support/fake_store.h"

#define FAKE_RUN 9
#define FAKE_TEXT_CHARS 8192
#define FAKE_ITEM_MS INT64_C(1789999999000)

/* Where a batch's table of producers has these, without an identity: the rows of "lock" say so. */
#define FAKE_PLACE_A "2"
#define FAKE_PLACE_B "25"

/* A store that is connected and has nothing; to be closed by fake_store_end. */
void fake_store_begin(void);
void fake_store_end(void);
struct pg_backend *fake_store(void);

/* Adds an item; hash: the byte of FAKE_HASH, 0: none. Its body is "hi", its peer "peer". */
struct store_item *fake_item(const char *producer, uint64_t seq, uint64_t connection, int hash);

/* The script goes on: with this; with a batch's begin and the producers' rows; with its commit. */
struct fake_exchange *fake_expect(const char *sent, const char *rows);
void fake_expect_begin(const char *locked, const char *rows);
void fake_expect_commit(const char *marked);

/* What is written: numbers as they are sent, each with the body "hi" ("6869") and the peer "peer".
 * Answered with "INSERT 0 1". */
struct fake_exchange *fake_expect_write(const char *producers, const char *seqs,
                                        const char *follows, const char *hashes, unsigned count);

/* Has the script played while the items are decided. */
enum store_result fake_append(struct tlsmsg_error *err);
struct store_batch *fake_batch(void);

/* Verdict and last number of an item. */
#define ASSERT_ITEM(item, verdict_, last_)                                                         \
    do {                                                                                           \
        assert_int_equal((item)->verdict, verdict_);                                               \
        assert_int_equal((item)->last, last_);                                                     \
    } while (0)

#endif
