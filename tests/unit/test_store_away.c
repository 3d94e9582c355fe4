/* The commit thread on an engine that goes away and comes back, and whose promise falls. */
#include <pthread.h>
#include <sched.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#include "base/error.h"
#include "store/internal.h"
#include "support/unit.h"

#define STEPS 16

/* The engine: what it answers, one after the other. */
static struct {
    struct store_backend base;
    enum store_result appends[STEPS];
    enum store_promise promises[STEPS]; /* of each append */
    enum store_result rejoins[STEPS];
    unsigned appended;
    unsigned rejoined;
    bool warns;
    struct store *stops; /* appends wait until this store is told to stop; or NULL */
    bool had_ended;      /* the patience with the engine had, right then */
} fake;

static struct {
    pthread_mutex_t lock;
    pthread_cond_t more;
    struct store_decision decisions[STEPS];
    size_t count;
    unsigned away;
    unsigned back;
    unsigned fell;
    unsigned rose;
    unsigned warned;
} seen = {.lock = PTHREAD_MUTEX_INITIALIZER, .more = PTHREAD_COND_INITIALIZER};

static enum tlsmsg_code prove(struct store_backend *backend, enum store_promise *promise,
                              struct tlsmsg_error *err)
{
    (void)backend;
    (void)err;
    *promise = fake.promises[0];
    return TLSMSG_OK;
}

static enum tlsmsg_code begin_run(struct store_backend *backend, const char *name,
                                  const char *version, struct tlsmsg_error *err)
{
    (void)backend;
    (void)name;
    (void)version;
    (void)err;
    return TLSMSG_OK;
}

/* Waits for the stop, then asks for how long the engine is waited for. */
static void await_stop(const struct store_patience *patience)
{
    bool stop = fake.stops == NULL;

    while (!stop) {
        (void)pthread_mutex_lock(&fake.stops->lock);
        stop = fake.stops->stop;
        (void)pthread_mutex_unlock(&fake.stops->lock);
        (void)sched_yield();
    }
    fake.had_ended = patience->has_ended(patience->user);
}

static enum store_result append(struct store_backend *backend, struct store_batch *batch,
                                struct tlsmsg_error *err)
{
    enum store_result result = fake.appends[fake.appended];
    size_t i;

    (void)backend;
    await_stop(&batch->patience);
    for (i = 0; i < batch->count; i++) {
        batch->items[i]->verdict = STORE_TAKEN;
        batch->items[i]->last = batch->items[i]->seq;
    }
    batch->promise = fake.promises[fake.appended];
    if (fake.appended < STEPS - 1) {
        fake.appended++;
    }
    if (result == STORE_RESULT_AWAY) {
        (void)error_set(err, TLSMSG_ERR_SYSTEM, 0, "it is gone");
    }
    return result;
}

static enum store_result rejoin(struct store_backend *backend, struct store_patience patience,
                                struct tlsmsg_error *err)
{
    (void)backend;
    (void)err;
    (void)patience.has_ended(patience.user);
    return fake.rejoins[fake.rejoined++];
}

static bool warn(struct store_backend *backend, char *text, size_t cap)
{
    bool warns = fake.warns;

    (void)backend;
    (void)snprintf(text, cap, "a warning");
    fake.warns = false;
    return warns;
}

static bool room(struct store_backend *backend, uint64_t *bytes)
{
    (void)backend;
    *bytes = 0;
    return false;
}

static enum store_result leave(struct store_backend *backend, int64_t before_ms, unsigned limit,
                               unsigned *rows, struct tlsmsg_error *err)
{
    (void)backend;
    (void)before_ms;
    (void)limit;
    (void)err;
    *rows = 0;
    return STORE_RESULT_DONE;
}

static enum store_result tidy(struct store_backend *backend, uint64_t *log_bytes,
                              struct tlsmsg_error *err)
{
    (void)backend;
    (void)err;
    *log_bytes = 0;
    return STORE_RESULT_DONE;
}

static void close_fake(struct store_backend *backend, bool failed)
{
    (void)backend;
    (void)failed;
}

static const struct store_backend_ops ops = {.prove = prove,
                                             .begin_run = begin_run,
                                             .append = append,
                                             .rejoin = rejoin,
                                             .warn = warn,
                                             .room = room,
                                             .prune = leave,
                                             .forget = leave,
                                             .tidy = tidy,
                                             .close = close_fake};

static void decided(void *user, unsigned worker, const struct store_decision *decisions,
                    size_t count, bool failed)
{
    size_t i;

    (void)user;
    (void)worker;
    (void)failed;
    (void)pthread_mutex_lock(&seen.lock);
    for (i = 0; i < count; i++) {
        seen.decisions[seen.count++] = decisions[i];
    }
    (void)pthread_cond_broadcast(&seen.more);
    (void)pthread_mutex_unlock(&seen.lock);
}

static void tell(void *user, enum store_news news, const char *text)
{
    (void)user;
    (void)pthread_mutex_lock(&seen.lock);
    seen.away += news == STORE_ERROR && strstr(text, "is away") != NULL;
    seen.back += news == STORE_WARNING && strstr(text, "is back") != NULL;
    seen.fell += news == STORE_ERROR && strstr(text, "no synchronous standby any more") != NULL;
    seen.rose += news == STORE_WARNING && strstr(text, "synchronous standby again") != NULL;
    seen.warned += news == STORE_WARNING && strcmp(text, "a warning") == 0;
    (void)pthread_cond_broadcast(&seen.more);
    (void)pthread_mutex_unlock(&seen.lock);
}

static int reset(void **state)
{
    (void)state;
    memset(&fake, 0, sizeof(fake));
    seen.count = 0;
    seen.away = seen.back = seen.fell = seen.rose = seen.warned = 0;
    return 0;
}

static struct store *start(int64_t timeout_ms)
{
    struct store_settings settings = {
        .version = "1", .workers = 1, .decided = decided, .tell = tell, .timeout_ms = timeout_ms};
    struct tlsmsg_error err = {.code = TLSMSG_OK};
    struct store *store;

    fake.base.ops = &ops;
    assert_int_equal(store_start(&settings, &fake.base, &store, &err), TLSMSG_OK);
    return store;
}

/* Waits until a count that the thread raises is reached. */
static void await(const unsigned *count, unsigned wanted)
{
    (void)pthread_mutex_lock(&seen.lock);
    while (*count < wanted) {
        (void)pthread_cond_wait(&seen.more, &seen.lock);
    }
    (void)pthread_mutex_unlock(&seen.lock);
}

/* One message of a connection, and how it was decided. */
static enum store_verdict decide(struct store *store, uint64_t connection, uint64_t seq)
{
    const struct store_record record = {.producer = "p",
                                        .seq = seq,
                                        .connection = connection,
                                        .peer = "127.0.0.1:1",
                                        .body = "x",
                                        .len = 1};
    enum store_verdict verdict;
    size_t before = seen.count;

    assert_int_equal(store_put(store, 0, &record), TLSMSG_OK);
    assert_int_equal(store_turn_end(store, 0), 1);
    store_hand_over(store, 0);
    (void)pthread_mutex_lock(&seen.lock);
    while (seen.count == before) {
        (void)pthread_cond_wait(&seen.more, &seen.lock);
    }
    verdict = seen.decisions[before].verdict;
    (void)pthread_mutex_unlock(&seen.lock);
    return verdict;
}

static void test_an_outage_is_told_once(void **state)
{
    struct store_stats stats;
    struct store *store;

    (void)state;
    fake.appends[0] = fake.appends[1] = fake.appends[2] = STORE_RESULT_AWAY;
    store = start(0);
    assert_int_equal(decide(store, 10, 1), STORE_TAKEN);
    assert_int_equal(fake.appended, 4);
    await(&seen.back, 1);
    assert_int_equal(seen.away, 1);
    assert_int_equal(seen.back, 1);
    store_stats(store, &stats);
    assert_false(stats.is_away);
    store_close(store);
}

/* What the engine has left undone is brought in order while nobody sends anything. */
static void test_it_is_looked_for_without_a_message(void **state)
{
    struct store_stats stats;
    struct store *store;
    size_t i;

    (void)state;
    for (i = 0; i < STEPS; i++) {
        fake.appends[i] = STORE_RESULT_AWAY;
    }
    fake.rejoins[0] = STORE_RESULT_AWAY;
    store = start(50);
    assert_int_equal(decide(store, 10, 1), STORE_AWAY);
    store_stats(store, &stats);
    assert_true(stats.is_away);
    await(&seen.back, 1);
    assert_int_equal(fake.rejoined, 2);
    assert_int_equal(seen.away, 1);
    store_close(store);
}

static void test_a_promise_falls_and_rises(void **state)
{
    struct store *store;
    size_t i;

    (void)state;
    for (i = 0; i < STEPS; i++) {
        fake.promises[i] = i == 1 || i == 2 ? STORE_PROMISE_DISK : STORE_PROMISE_REPLICATED;
    }
    store = start(0);
    assert_int_equal(store_promise(store), STORE_PROMISE_REPLICATED);
    assert_int_equal(decide(store, 10, 1), STORE_TAKEN);
    assert_int_equal(store_promise_to(store, 12), STORE_PROMISE_REPLICATED);
    /* It was told more than is kept now; so was one that had brought nothing yet. */
    assert_int_equal(decide(store, 10, 2), STORE_AWAY);
    assert_int_equal(store_promise(store), STORE_PROMISE_DISK);
    assert_int_equal(decide(store, 13, 2), STORE_TAKEN);
    assert_int_equal(seen.fell, 1);
    assert_int_equal(decide(store, 12, 3), STORE_AWAY);
    assert_int_equal(seen.rose, 1);
    assert_int_equal(store_promise(store), STORE_PROMISE_REPLICATED);
    assert_int_equal(decide(store, 13, 3), STORE_TAKEN);
    store_close(store);
}

static void test_warnings_are_told(void **state)
{
    struct store *store;

    (void)state;
    fake.warns = true;
    store = start(0);
    await(&seen.warned, 1);
    store_close(store);
    assert_int_equal(seen.warned, 1);
}

/* An engine that a stop finds at work has a moment to end it. */
static void test_a_stop_is_not_the_end_of_patience(void **state)
{
    const struct store_record record = {
        .producer = "p", .seq = 1, .connection = 1, .peer = "127.0.0.1:1", .body = "x", .len = 1};
    struct store *store = start(60000);

    (void)state;
    fake.stops = store;
    assert_int_equal(store_put(store, 0, &record), TLSMSG_OK);
    assert_int_equal(store_turn_end(store, 0), 1);
    store_hand_over(store, 0);
    store_close(store);
    assert_false(fake.had_ended);
    assert_int_equal(seen.decisions[0].verdict, STORE_TAKEN);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(test_an_outage_is_told_once, reset),
        cmocka_unit_test_setup(test_it_is_looked_for_without_a_message, reset),
        cmocka_unit_test_setup(test_a_promise_falls_and_rises, reset),
        cmocka_unit_test_setup(test_warnings_are_told, reset),
        cmocka_unit_test_setup(test_a_stop_is_not_the_end_of_patience, reset),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
