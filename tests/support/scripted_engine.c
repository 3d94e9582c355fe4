/* See scripted_engine.h. */
#include "support/scripted_engine.h"

#include <pthread.h>
#include <stdio.h>
#include <string.h>

#include "base/error.h"
#include "support/unit.h"

struct script script;

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static pthread_cond_t more = PTHREAD_COND_INITIALIZER;

static size_t step_of(unsigned *count)
{
    size_t step = *count;

    assert_true(step < SCRIPT_STEPS);
    (*count)++;
    return step;
}

static enum store_result answer(enum store_result result, const char *doing, size_t step,
                                struct tlsmsg_error *err)
{
    /* Nothing is left over of what went wrong before. */
    assert_int_equal(err->code, TLSMSG_OK);
    if (result == STORE_RESULT_FAILED || result == STORE_RESULT_AWAY) {
        if (script.words != NULL) {
            (void)error_set(err, TLSMSG_ERR_SYSTEM, 0, "%s", script.words);
        } else {
            (void)error_set(err, TLSMSG_ERR_SYSTEM, 0, "%s %zu went wrong", doing, step + 1);
        }
    }
    return result;
}

static enum tlsmsg_code prove(struct store_backend *backend, enum store_promise *promise,
                              struct tlsmsg_error *err)
{
    assert_ptr_equal(backend, &script.base);
    *promise = script.promise;
    return script.proved == TLSMSG_OK ? TLSMSG_OK
                                      : error_set(err, script.proved, 0, "not what was asked for");
}

static enum tlsmsg_code begin_run(struct store_backend *backend, const char *name,
                                  const char *version, struct tlsmsg_error *err)
{
    assert_ptr_equal(backend, &script.base);
    (void)snprintf(script.run_name, sizeof(script.run_name), "%s", name);
    (void)snprintf(script.version, sizeof(script.version), "%s", version);
    return script.begun == TLSMSG_OK ? TLSMSG_OK
                                     : error_set(err, script.begun, 0, "cannot begin a run");
}

static enum store_verdict verdict_of(const struct store_item *item)
{
    static const struct {
        char letter;
        enum store_verdict verdict;
    } verdicts[] = {{'d', STORE_DUPLICATE},
                    {'o', STORE_OTHER_BYTES},
                    {'r', STORE_REFUSED},
                    {'n', STORE_NO_ROOM},
                    {'a', STORE_AWAY}};
    size_t i;

    for (i = 0; i < COUNT_OF(verdicts); i++) {
        if (item->body_len > 0 && item->body[0] == verdicts[i].letter) {
            return verdicts[i].verdict;
        }
    }
    return STORE_TAKEN;
}

static uint64_t last_of(const struct store_item *item)
{
    return item->body_len > 0 && item->body[0] == 'u' ? 0 : item->seq + 1000;
}

static enum store_result append(struct store_backend *backend, struct store_batch *batch,
                                struct tlsmsg_error *err)
{
    size_t step = step_of(&script.appended);
    size_t i;

    assert_ptr_equal(backend, &script.base);
    script.counts[step] = batch->count;
    script.took_new[step] = batch->take_new;
    script.told_promises[step] = (int)batch->promise;
    if (script.on_append != NULL) {
        script.on_append(batch);
    }
    for (i = 0; i < batch->count; i++) {
        assert_int_equal(batch->items[i]->verdict, STORE_AWAY);
        if (script.appends[step] == STORE_RESULT_DONE) {
            batch->items[i]->verdict = verdict_of(batch->items[i]);
            batch->items[i]->last = last_of(batch->items[i]);
        }
    }
    if (script.promises[step] >= 0) {
        batch->promise = (enum store_promise)script.promises[step];
    }
    return answer(script.appends[step], "append", step, err);
}

static enum store_result rejoin(struct store_backend *backend, struct store_patience patience,
                                struct tlsmsg_error *err)
{
    size_t step = step_of(&script.rejoined);

    assert_ptr_equal(backend, &script.base);
    if (script.on_rejoin != NULL) {
        script.on_rejoin(patience);
    }
    return answer(script.rejoins[step], "rejoin", step, err);
}

static bool warn(struct store_backend *backend, char *text, size_t cap)
{
    const char *warning = script.warnings[script.warned];

    assert_ptr_equal(backend, &script.base);
    if (warning == NULL) {
        return false;
    }
    script.warned++;
    (void)snprintf(text, cap, "%s", warning);
    return true;
}

static bool room(struct store_backend *backend, uint64_t *bytes)
{
    assert_ptr_equal(backend, &script.base);
    *bytes = script.room;
    return script.tells_room;
}

static enum store_result prune(struct store_backend *backend, int64_t before_ms, unsigned limit,
                               unsigned *deleted, struct tlsmsg_error *err)
{
    size_t step = step_of(&script.pruned);

    assert_ptr_equal(backend, &script.base);
    script.prune_steps[step] = (struct script_step){before_ms, limit};
    *deleted = script.pruned_rows[step];
    return answer(script.prunes[step], "prune", step, err);
}

static enum store_result forget(struct store_backend *backend, int64_t before_ms, unsigned limit,
                                unsigned *forgotten, struct tlsmsg_error *err)
{
    size_t step = step_of(&script.forgot);

    assert_ptr_equal(backend, &script.base);
    script.forget_steps[step] = (struct script_step){before_ms, limit};
    *forgotten = script.forgotten_rows[step];
    return answer(script.forgets[step], "forget", step, err);
}

static enum store_result tidy(struct store_backend *backend, uint64_t *log_bytes,
                              struct tlsmsg_error *err)
{
    size_t step = step_of(&script.tidied);

    assert_ptr_equal(backend, &script.base);
    *log_bytes = script.log_bytes[step];
    return answer(script.tidies[step], "tidy", step, err);
}

static void close_engine(struct store_backend *backend, bool failed)
{
    assert_ptr_equal(backend, &script.base);
    script.closed++;
    script.closed_failed = failed;
}

static const struct store_backend_ops all_ops = {.prove = prove,
                                                 .begin_run = begin_run,
                                                 .append = append,
                                                 .rejoin = rejoin,
                                                 .warn = warn,
                                                 .room = room,
                                                 .prune = prune,
                                                 .forget = forget,
                                                 .tidy = tidy,
                                                 .close = close_engine};

static void decided(void *user, unsigned worker, const struct store_decision *decisions,
                    size_t count, bool failed)
{
    size_t i;

    assert_ptr_equal(user, &script);
    (void)pthread_mutex_lock(&lock);
    for (i = 0; i < count; i++) {
        assert_true(script.decided < COUNT_OF(script.decisions));
        script.workers[script.decided] = worker;
        script.decisions[script.decided++] = decisions[i];
    }
    script.turns++;
    script.failed_turns += failed;
    if (script.on_decided != NULL) {
        script.on_decided();
    }
    (void)pthread_cond_broadcast(&more);
    (void)pthread_mutex_unlock(&lock);
}

static void tell(void *user, enum store_news news, const char *text)
{
    assert_ptr_equal(user, &script);
    assert_true(script.told < SCRIPT_STEPS);
    script.news[script.told].news = news;
    (void)snprintf(script.news[script.told].text, sizeof(script.news[0].text), "%s", text);
    script.told++;
}

int script_reset(void **state)
{
    size_t i;

    (void)state;
    memset(&script, 0, sizeof(script));
    script.ops = all_ops;
    script.base.ops = &script.ops;
    for (i = 0; i < SCRIPT_STEPS; i++) {
        script.promises[i] = -1;
    }
    return 0;
}

struct store_settings script_settings(void)
{
    return (struct store_settings){.version = "1.2.3",
                                   .workers = 2,
                                   .worker_bytes = SIZE_MAX / 2,
                                   .decided = decided,
                                   .tell = tell,
                                   .user = &script};
}

struct store *script_start(const struct store_settings *settings)
{
    struct tlsmsg_error err = {.code = TLSMSG_OK};
    struct store *store = NULL;

    if (store_start(settings, &script.base, &store, &err) != TLSMSG_OK) {
        fail_msg("%s", err.text);
    }
    return store;
}

void script_put(struct store *store, unsigned worker, uint64_t connection, uint64_t seq,
                const char *body)
{
    const struct store_record record = {.producer = "p",
                                        .seq = seq,
                                        .connection = connection,
                                        .peer = "127.0.0.1:1",
                                        .body = body,
                                        .len = strlen(body),
                                        .tag = seq + 100};

    assert_int_equal(store_put(store, worker, &record), TLSMSG_OK);
}

void script_turn(struct store *store, unsigned worker, unsigned parts)
{
    size_t wanted;

    (void)pthread_mutex_lock(&lock);
    wanted = script.turns + parts;
    (void)pthread_mutex_unlock(&lock);
    assert_int_equal(store_turn_end(store, worker), parts);
    store_hand_over(store, worker);
    script_await_turns(wanted);
}

void script_await_turns(size_t turns)
{
    (void)pthread_mutex_lock(&lock);
    while (script.turns < turns) {
        (void)pthread_cond_wait(&more, &lock);
    }
    (void)pthread_mutex_unlock(&lock);
}

void script_assert_news(size_t which, enum store_news news, const char *text)
{
    if (which >= script.told) {
        fail_msg("\"%s\" was not told", text);
    }
    assert_string_equal(script.news[which].text, text);
    assert_int_equal(script.news[which].news, news);
}
