/* The commit thread on an engine that does what a test says. */
#include <pthread.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "base/error.h"
#include "store/internal.h"
#include "support/failmalloc.h"
#include "support/unit.h"

#define DECISIONS_MAX 64

/* The engine. */
struct fake {
    struct store_backend base;
    enum store_result results[8]; /* of appends, one after the other; then DONE */
    unsigned appends;
    size_t counts[64]; /* items of each append */
    uint64_t first_seqs[64];
    bool took_new;
    uint64_t room;
    enum store_verdict verdict; /* of every item */
    bool blocked;               /* appends wait */
    pthread_mutex_t lock;
    pthread_cond_t unblocked;
    bool closed;
    bool closed_failed;
    enum store_result tidy_result;
};

/* What the store told. */
static struct {
    pthread_mutex_t lock;
    pthread_cond_t more;
    struct store_decision decisions[DECISIONS_MAX];
    unsigned workers[DECISIONS_MAX];
    size_t count;
    size_t turns;
    bool failed;
    char told[256];
} seen = {.lock = PTHREAD_MUTEX_INITIALIZER, .more = PTHREAD_COND_INITIALIZER};

static struct fake fake;

static enum tlsmsg_code fake_prove(struct store_backend *backend, enum store_promise *promise,
                                   struct tlsmsg_error *err)
{
    (void)backend;
    (void)err;
    *promise = STORE_PROMISE_DISK;
    return TLSMSG_OK;
}

static enum tlsmsg_code fake_begin_run(struct store_backend *backend, const char *name,
                                       const char *version, struct tlsmsg_error *err)
{
    (void)backend;
    (void)version;
    (void)err;
    assert_int_equal(name[0], '@');
    assert_int_equal(strlen(name), 33);
    return TLSMSG_OK;
}

static enum store_result fake_append(struct store_backend *backend, struct store_batch *batch,
                                     struct tlsmsg_error *err)
{
    enum store_result result;
    size_t i;

    (void)backend;
    (void)pthread_mutex_lock(&fake.lock);
    while (fake.blocked) {
        (void)pthread_cond_wait(&fake.unblocked, &fake.lock);
    }
    for (i = 0; i < batch->count; i++) {
        batch->items[i]->verdict = fake.verdict;
        batch->items[i]->last = batch->items[i]->seq;
    }
    fake.took_new = batch->take_new;
    fake.counts[fake.appends] = batch->count;
    fake.first_seqs[fake.appends] = batch->items[0]->seq;
    result = fake.appends < 8 ? fake.results[fake.appends] : STORE_RESULT_DONE;
    fake.appends++;
    (void)pthread_mutex_unlock(&fake.lock);
    if (result == STORE_RESULT_FAILED) {
        (void)error_set(err, TLSMSG_ERR_SYSTEM, 0, "the disk is gone");
    }
    return result;
}

static bool fake_room(struct store_backend *backend, uint64_t *bytes)
{
    (void)backend;
    *bytes = fake.room;
    return true;
}

static enum store_result fake_prune(struct store_backend *backend, int64_t before_ms,
                                    unsigned limit, unsigned *rows, struct tlsmsg_error *err)
{
    (void)backend;
    (void)before_ms;
    (void)limit;
    (void)err;
    *rows = 0;
    return STORE_RESULT_DONE;
}

static enum store_result fake_tidy(struct store_backend *backend, uint64_t *log_bytes,
                                   struct tlsmsg_error *err)
{
    (void)backend;
    *log_bytes = 4096;
    if (fake.tidy_result == STORE_RESULT_FAILED) {
        (void)error_set(err, TLSMSG_ERR_SYSTEM, 0, "the log can't be moved");
    }
    return fake.tidy_result;
}

static void fake_close(struct store_backend *backend, bool failed)
{
    (void)backend;
    fake.closed = true;
    fake.closed_failed = failed;
}

static const struct store_backend_ops fake_ops = {.prove = fake_prove,
                                                  .begin_run = fake_begin_run,
                                                  .append = fake_append,
                                                  .room = fake_room,
                                                  .prune = fake_prune,
                                                  .forget = fake_prune,
                                                  .tidy = fake_tidy,
                                                  .close = fake_close};

static void decided(void *user, unsigned worker, const struct store_decision *decisions,
                    size_t count, bool failed)
{
    size_t i;

    (void)user;
    (void)pthread_mutex_lock(&seen.lock);
    for (i = 0; i < count && seen.count < DECISIONS_MAX; i++) {
        seen.workers[seen.count] = worker;
        seen.decisions[seen.count++] = decisions[i];
    }
    seen.turns++;
    seen.failed |= failed;
    (void)pthread_cond_signal(&seen.more);
    (void)pthread_mutex_unlock(&seen.lock);
}

static void tell(void *user, enum store_news news, const char *text)
{
    (void)user;
    (void)news;
    (void)pthread_mutex_lock(&seen.lock);
    (void)snprintf(seen.told, sizeof(seen.told), "%s", text);
    (void)pthread_mutex_unlock(&seen.lock);
}

static struct store *start(void)
{
    struct store_settings settings = {.version = "1",
                                      .workers = 2,
                                      .decided = decided,
                                      .tell = tell,
                                      .timeout_ms = 300,
                                      .worker_bytes = 1000,
                                      .min_free = fake.room > 0 ? 1000 : 0};
    struct tlsmsg_error err = {.code = TLSMSG_OK};
    struct store *store;

    fake.base.ops = &fake_ops;
    (void)pthread_mutex_init(&fake.lock, NULL);
    (void)pthread_cond_init(&fake.unblocked, NULL);
    assert_int_equal(store_start(&settings, &fake.base, &store, &err), TLSMSG_OK);
    return store;
}

static int reset(void **state)
{
    (void)state;
    memset(&fake, 0, sizeof(fake));
    seen.count = 0;
    seen.turns = 0;
    seen.failed = false;
    seen.told[0] = '\0';
    return 0;
}

static enum tlsmsg_code put_bytes(struct store *store, unsigned worker, const char *producer,
                                  uint64_t seq, size_t len)
{
    static const char body[2000] = "x";
    struct store_record record = {.producer = producer,
                                  .seq = seq,
                                  .connection = worker + 10,
                                  .peer = "127.0.0.1:1",
                                  .body = body,
                                  .len = len,
                                  .tag = seq + 100};

    return store_put(store, worker, &record);
}

static void put(struct store *store, unsigned worker, const char *producer, uint64_t seq)
{
    assert_int_equal(put_bytes(store, worker, producer, seq, 5), TLSMSG_OK);
}

/* A whole turn of one part. */
static void turn(struct store *store, unsigned worker)
{
    assert_int_equal(store_turn_end(store, worker), 1);
    store_hand_over(store, worker);
}

static void wait_for_turns(size_t turns)
{
    (void)pthread_mutex_lock(&seen.lock);
    while (seen.turns < turns) {
        (void)pthread_cond_wait(&seen.more, &seen.lock);
    }
    (void)pthread_mutex_unlock(&seen.lock);
}

static void set_blocked(bool blocked)
{
    (void)pthread_mutex_lock(&fake.lock);
    fake.blocked = blocked;
    (void)pthread_cond_broadcast(&fake.unblocked);
    (void)pthread_mutex_unlock(&fake.lock);
}

static void test_a_turn_is_decided_in_its_order(void **state)
{
    struct store *store = start();

    (void)state;
    put(store, 0, "p", 1);
    put(store, 0, "p", 2);
    turn(store, 0);
    wait_for_turns(1);
    assert_int_equal(seen.count, 2);
    assert_int_equal(seen.decisions[0].tag, 101);
    assert_int_equal(seen.decisions[1].seq, 2);
    assert_int_equal(seen.decisions[1].connection, 10);
    assert_int_equal(seen.decisions[1].verdict, STORE_TAKEN);
    assert_false(seen.failed);
    store_close(store);
    assert_true(fake.closed);
    assert_false(fake.closed_failed);
}

static void test_an_empty_turn_is_none(void **state)
{
    struct store *store = start();

    (void)state;
    assert_int_equal(store_turn_end(store, 0), 0);
    store_hand_over(store, 0);
    store_close(store);
    assert_int_equal(fake.appends, 0);
}

static void test_batches_form_by_themselves(void **state)
{
    struct store *store = start();
    unsigned i;

    (void)state;
    set_blocked(true);
    for (i = 1; i <= 6; i++) {
        put(store, i % 2, "p", i);
        turn(store, i % 2);
    }
    set_blocked(false);
    wait_for_turns(6);
    store_close(store);
    /* The first may have gone alone; what came while it was written went together. */
    assert_true(fake.appends <= 2);
    for (i = 0; i < 6; i++) {
        assert_int_equal(seen.decisions[i].seq, i + 1);
    }
}

static void test_a_worker_has_a_bound(void **state)
{
    struct store *store = start();

    (void)state;
    set_blocked(true);
    /* Any one record fits into an empty queue. */
    assert_int_equal(put_bytes(store, 0, "p", 1, 2000), TLSMSG_OK);
    assert_int_equal(put_bytes(store, 0, "p", 2, 1), TLSMSG_ERR_LIMIT);
    turn(store, 0);
    assert_int_equal(put_bytes(store, 0, "p", 2, 1), TLSMSG_ERR_LIMIT);
    assert_int_equal(put_bytes(store, 1, "q", 1, 1), TLSMSG_OK);
    set_blocked(false);
    wait_for_turns(1);
    assert_int_equal(put_bytes(store, 0, "p", 2, 1), TLSMSG_OK);
    store_close(store);
}

/* The record, its turn, the turn's decisions: whichever finds no memory, the next record is stored. */
static void test_no_memory_for_a_record(void **state)
{
    struct store *store = start();
    enum tlsmsg_code code = TLSMSG_OK;
    size_t allocations;

    (void)state;
    for (size_t n = 1; n <= 3; n++) {
        failmalloc_at(n);
        code = put_bytes(store, 0, "p", 1, 5);
        allocations = failmalloc_count();
        failmalloc_at(0);
        assert_int_equal(allocations, n);
        assert_int_equal(code, TLSMSG_ERR_NOMEM);
        assert_int_equal(store_undecided(store, 0), 0);
    }
    put(store, 0, "p", 1);
    turn(store, 0);
    wait_for_turns(1);
    assert_int_equal(seen.count, 1);
    assert_int_equal(seen.decisions[0].verdict, STORE_TAKEN);
    store_close(store);
}

static void test_the_document_flow_is_numbered_here(void **state)
{
    struct store *store = start();

    (void)state;
    put(store, 0, NULL, 0);
    put(store, 0, NULL, 0);
    turn(store, 0);
    wait_for_turns(1);
    assert_int_equal(seen.decisions[0].seq, 1);
    assert_int_equal(seen.decisions[1].seq, 2);
    assert_int_equal(store_run_name(store)[0], '@');
    store_close(store);
}

static void test_away_sends_the_same_again(void **state)
{
    struct store *store;

    (void)state;
    fake.results[0] = fake.results[1] = STORE_RESULT_AWAY;
    store = start();
    put(store, 0, NULL, 0);
    turn(store, 0);
    wait_for_turns(1);
    assert_int_equal(fake.appends, 3);
    assert_int_equal(fake.first_seqs[0], 1);
    assert_int_equal(fake.first_seqs[2], 1);
    assert_int_equal(seen.decisions[0].verdict, STORE_TAKEN);
    store_close(store);
}

static void test_away_for_too_long_is_told(void **state)
{
    struct store *store;
    size_t i;

    (void)state;
    for (i = 0; i < 8; i++) {
        fake.results[i] = STORE_RESULT_AWAY;
    }
    store = start();
    put(store, 0, "p", 1);
    turn(store, 0);
    wait_for_turns(1);
    assert_int_equal(seen.decisions[0].verdict, STORE_AWAY);
    assert_true(fake.appends >= 3);
    assert_false(seen.failed);
    store_close(store);
}

/* A greeting may wait long in a turn that is held; its time runs meanwhile. */
static void test_the_wait_begins_with_the_first_record(void **state)
{
    struct store *store;
    size_t i;

    (void)state;
    for (i = 0; i < COUNT_OF(fake.results); i++) {
        fake.results[i] = STORE_RESULT_AWAY;
    }
    store = start();
    put(store, 0, "p", 1);
    assert_int_equal(usleep(250000), 0);
    turn(store, 0);
    wait_for_turns(1);
    assert_int_equal(seen.decisions[0].verdict, STORE_AWAY);
    assert_true(fake.appends <= 2);
    store_close(store);
}

static void test_undecided_bytes_are_known(void **state)
{
    struct store *store = start();
    size_t one;

    (void)state;
    set_blocked(true);
    assert_int_equal(store_undecided(store, 0), 0);
    put(store, 0, "p", 1);
    one = store_undecided(store, 0);
    assert_true(one > 5);
    put(store, 0, "p", 2);
    assert_int_equal(store_undecided(store, 0), 2 * one);
    assert_int_equal(store_undecided(store, 1), 0);
    turn(store, 0);
    assert_int_equal(store_undecided(store, 0), 2 * one);
    set_blocked(false);
    wait_for_turns(1);
    assert_int_equal(store_undecided(store, 0), 0);
    store_close(store);
}

static void test_what_comes_behind_the_end_waits_for_the_next(void **state)
{
    struct store *store = start();

    (void)state;
    put(store, 0, "p", 1);
    assert_int_equal(store_turn_end(store, 0), 1);
    put(store, 0, "p", 2);
    store_hand_over(store, 0);
    wait_for_turns(1);
    assert_int_equal(seen.count, 1);
    assert_int_equal(seen.decisions[0].seq, 1);
    turn(store, 0);
    wait_for_turns(2);
    assert_int_equal(seen.decisions[1].seq, 2);
    put(store, 0, "p", 3);
    assert_int_equal(store_turn_end(store, 0), 1);
    put(store, 0, "p", 4);
    /* Neither what was ended nor what was begun is handed over. */
    store_close(store);
    assert_int_equal(seen.count, 2);
}

static void test_no_room_is_told_once_and_ends(void **state)
{
    struct store *store;

    (void)state;
    fake.results[0] = STORE_RESULT_NO_ROOM;
    store = start();
    put(store, 0, "p", 1);
    turn(store, 0);
    wait_for_turns(1);
    assert_int_equal(seen.decisions[0].verdict, STORE_NO_ROOM);
    assert_non_null(strstr(seen.told, "has no room"));
    put(store, 0, "p", 1);
    turn(store, 0);
    wait_for_turns(2);
    assert_int_equal(seen.decisions[1].verdict, STORE_TAKEN);
    assert_non_null(strstr(seen.told, "has room again"));
    store_close(store);
}

static void test_min_free_counts_twice_the_batch(void **state)
{
    struct store *store;

    (void)state;
    fake.room = 1000 + 2 * 400;
    store = start();
    assert_int_equal(put_bytes(store, 0, "p", 1, 500), TLSMSG_OK);
    turn(store, 0);
    wait_for_turns(1);
    assert_false(fake.took_new);
    fake.room = 1000 + 2 * 800;
    assert_int_equal(put_bytes(store, 0, "p", 1, 500), TLSMSG_OK);
    turn(store, 0);
    wait_for_turns(2);
    assert_true(fake.took_new);
    store_close(store);
}

static void test_a_failure_is_for_good(void **state)
{
    struct store *store;
    char why[128];

    (void)state;
    fake.results[0] = STORE_RESULT_FAILED;
    store = start();
    put(store, 0, "p", 1);
    turn(store, 0);
    wait_for_turns(1);
    assert_true(seen.failed);
    assert_int_equal(seen.decisions[0].verdict, STORE_FAILED);
    assert_true(store_failed(store, why, sizeof(why)));
    assert_string_equal(why, "the disk is gone");
    put(store, 1, "q", 1);
    turn(store, 1);
    wait_for_turns(2);
    assert_int_equal(seen.decisions[1].verdict, STORE_FAILED);
    store_close(store);
    assert_int_equal(fake.appends, 1);
    assert_true(fake.closed_failed);
}

static void test_a_log_that_fails_takes_no_promise_back(void **state)
{
    struct store *store;

    (void)state;
    fake.tidy_result = STORE_RESULT_FAILED;
    store = start();
    put(store, 0, "p", 1);
    turn(store, 0);
    wait_for_turns(1);
    assert_int_equal(seen.decisions[0].verdict, STORE_TAKEN);
    put(store, 0, "p", 2);
    turn(store, 0);
    wait_for_turns(2);
    assert_int_equal(seen.decisions[1].verdict, STORE_FAILED);
    store_close(store);
    assert_int_equal(fake.appends, 1);
}

static void test_after_other_bytes_nothing_of_that_connection_is_taken(void **state)
{
    struct store *store;

    (void)state;
    fake.verdict = STORE_OTHER_BYTES;
    store = start();
    put(store, 0, "p", 1);
    put(store, 1, "q", 1);
    turn(store, 0);
    wait_for_turns(1);
    fake.verdict = STORE_TAKEN;
    put(store, 0, "p", 2);
    turn(store, 0);
    turn(store, 1);
    wait_for_turns(3);
    assert_int_equal(seen.decisions[1].verdict, STORE_AWAY);
    assert_int_equal(seen.decisions[2].verdict, STORE_TAKEN);
    store_connection_ended(store, 0, 10);
    put(store, 0, "p", 2);
    turn(store, 0);
    wait_for_turns(4);
    assert_int_equal(seen.decisions[3].verdict, STORE_TAKEN);
    store_close(store);
}

static void test_close_decides_what_was_handed_over(void **state)
{
    struct store *store = start();

    (void)state;
    set_blocked(true);
    put(store, 0, "p", 1);
    turn(store, 0);
    put(store, 0, "p", 2);
    turn(store, 0);
    put(store, 0, "p", 3); /* of a turn that never ends */
    set_blocked(false);
    store_close(store);
    assert_int_equal(seen.count, 2);
    assert_int_equal(seen.decisions[1].verdict, STORE_TAKEN);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(test_a_turn_is_decided_in_its_order, reset),
        cmocka_unit_test_setup(test_an_empty_turn_is_none, reset),
        cmocka_unit_test_setup(test_batches_form_by_themselves, reset),
        cmocka_unit_test_setup(test_a_worker_has_a_bound, reset),
        cmocka_unit_test_setup(test_no_memory_for_a_record, reset),
        cmocka_unit_test_setup(test_the_document_flow_is_numbered_here, reset),
        cmocka_unit_test_setup(test_away_sends_the_same_again, reset),
        cmocka_unit_test_setup(test_away_for_too_long_is_told, reset),
        cmocka_unit_test_setup(test_the_wait_begins_with_the_first_record, reset),
        cmocka_unit_test_setup(test_undecided_bytes_are_known, reset),
        cmocka_unit_test_setup(test_what_comes_behind_the_end_waits_for_the_next, reset),
        cmocka_unit_test_setup(test_no_room_is_told_once_and_ends, reset),
        cmocka_unit_test_setup(test_min_free_counts_twice_the_batch, reset),
        cmocka_unit_test_setup(test_a_failure_is_for_good, reset),
        cmocka_unit_test_setup(test_a_log_that_fails_takes_no_promise_back, reset),
        cmocka_unit_test_setup(test_after_other_bytes_nothing_of_that_connection_is_taken, reset),
        cmocka_unit_test_setup(test_close_decides_what_was_handed_over, reset),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
