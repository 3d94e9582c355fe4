/* Starting and ending a store: what is proved and named first, what each step that fails leaves behind,
 * and the thread. And a store in a file, as its users open it. */
#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include <sqlite3.h>

#include "base/error.h"
#include "support/failmalloc.h"
#include "support/scripted_engine.h"
#include "support/test_folder.h"
#include "support/unit.h"

static struct tlsmsg_error err;
static struct store *store;

/* What fails, and what was made and is still to be destroyed. */
static struct {
    bool entropy;
    bool workers;
    bool thread;
    int mutexes;
    int conditions;
    int attributes;
    clockid_t clock;
    sigset_t mask; /* of the store's thread */
} seen;

int __wrap_getentropy(void *bytes, size_t len);
int __real_getentropy(void *bytes, size_t len);
void *__wrap_aligned_alloc(size_t alignment, size_t bytes);
void *__real_aligned_alloc(size_t alignment, size_t bytes);
int __wrap_pthread_create(pthread_t *thread, const pthread_attr_t *attr, void *(*run)(void *),
                          void *user);
int __real_pthread_create(pthread_t *thread, const pthread_attr_t *attr, void *(*run)(void *),
                          void *user);
int __wrap_pthread_mutex_init(pthread_mutex_t *mutex, const pthread_mutexattr_t *attr);
int __real_pthread_mutex_init(pthread_mutex_t *mutex, const pthread_mutexattr_t *attr);
int __wrap_pthread_mutex_destroy(pthread_mutex_t *mutex);
int __real_pthread_mutex_destroy(pthread_mutex_t *mutex);
int __wrap_pthread_cond_init(pthread_cond_t *cond, const pthread_condattr_t *attr);
int __real_pthread_cond_init(pthread_cond_t *cond, const pthread_condattr_t *attr);
int __wrap_pthread_cond_destroy(pthread_cond_t *cond);
int __real_pthread_cond_destroy(pthread_cond_t *cond);
int __wrap_pthread_condattr_init(pthread_condattr_t *attr);
int __real_pthread_condattr_init(pthread_condattr_t *attr);
int __wrap_pthread_condattr_destroy(pthread_condattr_t *attr);
int __real_pthread_condattr_destroy(pthread_condattr_t *attr);

int __wrap_getentropy(void *bytes, size_t len)
{
    if (seen.entropy) {
        errno = EIO;
        return -1;
    }
    return __real_getentropy(bytes, len);
}

void *__wrap_aligned_alloc(size_t alignment, size_t bytes)
{
    return seen.workers ? NULL : __real_aligned_alloc(alignment, bytes);
}

int __wrap_pthread_create(pthread_t *thread, const pthread_attr_t *attr, void *(*run)(void *),
                          void *user)
{
    return seen.thread ? EAGAIN : __real_pthread_create(thread, attr, run, user);
}

int __wrap_pthread_mutex_init(pthread_mutex_t *mutex, const pthread_mutexattr_t *attr)
{
    seen.mutexes++;
    return __real_pthread_mutex_init(mutex, attr);
}

int __wrap_pthread_mutex_destroy(pthread_mutex_t *mutex)
{
    seen.mutexes -= 10;
    return __real_pthread_mutex_destroy(mutex);
}

int __wrap_pthread_cond_init(pthread_cond_t *cond, const pthread_condattr_t *attr)
{
    seen.conditions++;
    (void)pthread_condattr_getclock(attr, &seen.clock);
    return __real_pthread_cond_init(cond, attr);
}

int __wrap_pthread_cond_destroy(pthread_cond_t *cond)
{
    seen.conditions -= 10;
    return __real_pthread_cond_destroy(cond);
}

int __wrap_pthread_condattr_init(pthread_condattr_t *attr)
{
    seen.attributes++;
    return __real_pthread_condattr_init(attr);
}

int __wrap_pthread_condattr_destroy(pthread_condattr_t *attr)
{
    seen.attributes -= 10;
    return __real_pthread_condattr_destroy(attr);
}

static int reset(void **state)
{
    memset(&seen, 0, sizeof(seen));
    tlsmsg_error_clear(&err);
    store = NULL;
    return script_reset(state);
}

static enum tlsmsg_code start(void)
{
    struct store_settings settings = script_settings();

    return store_start(&settings, &script.base, &store, &err);
}

/* One of each was made, and destroyed. */
static void assert_nothing_left(void)
{
    assert_int_equal(seen.mutexes, -9);
    assert_int_equal(seen.conditions, -9);
    assert_int_equal(seen.attributes, -9);
}

/* The engine, which is the store's from the call on, is closed as one to which nothing may be written. */
static void assert_refused(enum tlsmsg_code code, enum tlsmsg_code wanted, const char *text)
{
    assert_int_equal(code, wanted);
    assert_int_equal(err.code, wanted);
    assert_string_equal(err.text, text);
    assert_null(store);
    assert_int_equal(script.closed, 1);
    assert_true(script.closed_failed);
    assert_int_equal(script.told, 0);
    assert_int_equal(script.forgot, 0);
}

static void test_a_store_begins_and_ends(void **state)
{
    char why[8] = "unsaid";

    (void)state;
    assert_int_equal(start(), TLSMSG_OK);
    assert_int_equal(seen.clock, CLOCK_MONOTONIC);
    assert_false(store_failed(store, why, sizeof(why)));
    assert_string_equal(why, "");
    assert_int_equal(store_promise(store), STORE_PROMISE_DISK);
    assert_string_equal(script.run_name, store_run_name(store));
    store_close(store);
    assert_int_equal(script.closed, 1);
    assert_false(script.closed_failed);
    assert_nothing_left();
    store_close(NULL);
}

static void test_no_two_runs_have_one_name(void **state)
{
    char name[RUN_NAME_MAX];

    (void)state;
    assert_int_equal(start(), TLSMSG_OK);
    (void)snprintf(name, sizeof(name), "%s", store_run_name(store));
    store_close(store);
    assert_int_equal(start(), TLSMSG_OK);
    assert_string_not_equal(store_run_name(store), name);
    store_close(store);
}

static void test_no_memory_for_a_store(void **state)
{
    enum tlsmsg_code code;

    (void)state;
    failmalloc_at(1);
    code = start();
    failmalloc_at(0);
    assert_refused(code, TLSMSG_ERR_NOMEM, "out of memory");
}

static void test_no_memory_for_its_workers(void **state)
{
    (void)state;
    seen.workers = true;
    assert_refused(start(), TLSMSG_ERR_NOMEM, "out of memory");
    assert_nothing_left();
}

static void test_no_random_bytes_for_its_name(void **state)
{
    (void)state;
    seen.entropy = true;
    assert_refused(start(), TLSMSG_ERR_SYSTEM, "cannot get random bytes: Input/output error");
    assert_int_equal(err.sys_errno, EIO);
    assert_nothing_left();
}

static void test_an_engine_that_proves_nothing(void **state)
{
    (void)state;
    script.proved = TLSMSG_ERR_CONFIG;
    assert_refused(start(), TLSMSG_ERR_CONFIG, "not what was asked for");
    assert_string_equal(script.run_name, "");
    assert_nothing_left();
}

static void test_a_run_that_can_not_begin(void **state)
{
    (void)state;
    script.begun = TLSMSG_ERR_SYSTEM;
    assert_refused(start(), TLSMSG_ERR_SYSTEM, "cannot begin a run");
    assert_nothing_left();
}

static void test_a_thread_that_can_not_start(void **state)
{
    sigset_t before;
    sigset_t after;
    int number;

    (void)state;
    (void)pthread_sigmask(SIG_BLOCK, NULL, &before);
    seen.thread = true;
    assert_refused(start(), TLSMSG_ERR_SYSTEM,
                   "cannot start the store's thread: Resource temporarily unavailable");
    assert_int_equal(err.sys_errno, EAGAIN);
    (void)pthread_sigmask(SIG_BLOCK, NULL, &after);
    for (number = 1; number <= SIGRTMAX; number++) {
        assert_int_equal(sigismember(&before, number), sigismember(&after, number));
    }
    assert_nothing_left();
}

static void note_mask(void)
{
    (void)pthread_sigmask(SIG_BLOCK, NULL, &seen.mask);
}

/* Signals are for the program's own threads. */
static void test_the_thread_takes_no_signal(void **state)
{
    static const int signals[] = {SIGTERM, SIGINT, SIGHUP, SIGUSR1};
    sigset_t ours;
    size_t i;

    (void)state;
    script.on_decided = note_mask;
    assert_int_equal(start(), TLSMSG_OK);
    script_put(store, 0, 1, 1, "t");
    script_turn(store, 0, 1);
    store_close(store);
    (void)pthread_sigmask(SIG_BLOCK, NULL, &ours);
    for (i = 0; i < COUNT_OF(signals); i++) {
        assert_int_equal(sigismember(&seen.mask, signals[i]), 1);
        assert_int_equal(sigismember(&ours, signals[i]), 0);
    }
}

static enum tlsmsg_code put(size_t len)
{
    static char body[STORE_BATCH_MAX_BYTES + 16] = "t";
    const struct store_record record = {.producer = "p", .seq = 1, .body = body, .len = len};

    return store_put(store, 0, &record);
}

/* A worker's records have a bound where none is asked for, and to the byte. */
static void test_a_workers_bound(void **state)
{
    struct store_settings settings = script_settings();
    size_t held;

    (void)state;
    settings.worker_bytes = 0;
    assert_int_equal(store_start(&settings, &script.base, &store, &err), TLSMSG_OK);
    assert_int_equal(put(1), TLSMSG_OK);
    held = store_undecided(store, 0);
    assert_int_equal(put(STORE_BATCH_MAX_BYTES + 1), TLSMSG_ERR_LIMIT);
    assert_int_equal(put(STORE_BATCH_MAX_BYTES - held + 1), TLSMSG_ERR_LIMIT);
    assert_int_equal(store_undecided(store, 0), held);
    assert_int_equal(put(STORE_BATCH_MAX_BYTES - held), TLSMSG_OK);
    assert_int_equal(put(0), TLSMSG_ERR_LIMIT);
    script_turn(store, 0, 2);
    /* Handed over once, whoever says so twice. */
    store_hand_over(store, 0);
    store_close(store);
    assert_int_equal(script.decided, 2);
    assert_int_equal(script.turns, 2);
}

/* ---- in a file */

static struct test_folder folder;
static char path[TEST_PATH_MAX];

static int make_folder(void **state)
{
    test_folder_make(&folder);
    (void)test_folder_file(&folder, "store.db", path);
    return reset(state);
}

static int remove_folder(void **state)
{
    (void)state;
    test_folder_remove(&folder);
    return 0;
}

static enum tlsmsg_code open_file(bool listens)
{
    struct store_settings settings = script_settings();

    settings.target = path;
    settings.tell = listens ? settings.tell : NULL;
    return store_open(&settings, &store, &err);
}

static void test_a_file_is_ours_alone(void **state)
{
    static const mode_t modes[] = {0640, 0602, 0604, 0610};
    char text[2 * TEST_PATH_MAX + 100];
    size_t i;

    (void)state;
    assert_int_equal(open_file(true), TLSMSG_OK);
    store_close(store);
    assert_int_equal(script.told, 0);
    (void)snprintf(text, sizeof(text),
                   "store '%s' can be read or written by others (try: chmod 600 '%s')", path, path);
    for (i = 0; i < COUNT_OF(modes); i++) {
        assert_int_equal(chmod(path, modes[i]), 0);
        assert_int_equal(open_file(true), TLSMSG_OK);
        store_close(store);
        script_assert_news(i, STORE_WARNING, text);
        assert_int_equal(script.told, i + 1);
    }
    assert_int_equal(open_file(false), TLSMSG_OK);
    store_close(store);
    assert_int_equal(script.told, i);
}

/* As long as names are shown in whole. */
static void test_a_long_name_is_told_in_whole(void **state)
{
    char text[2 * TEST_PATH_MAX + 100];
    char name[201];

    (void)state;
    memset(name, 'x', sizeof(name) - 1);
    name[sizeof(name) - 1] = '\0';
    (void)test_folder_file(&folder, name, path);
    assert_int_equal(open_file(true), TLSMSG_OK);
    store_close(store);
    assert_int_equal(chmod(path, 0644), 0);
    assert_int_equal(open_file(true), TLSMSG_OK);
    store_close(store);
    (void)snprintf(text, sizeof(text),
                   "store '%s' can be read or written by others (try: chmod 600 '%s')", path, path);
    script_assert_news(0, STORE_WARNING, text);
    /* The folder's own clean-up knows no names so long. */
    assert_int_equal(unlink(path), 0);
    (void)snprintf(text, sizeof(text), "%s-lock", path);
    assert_int_equal(unlink(text), 0);
}

static void test_a_run_is_a_row(void **state)
{
    sqlite3 *db;
    sqlite3_stmt *statement;

    (void)state;
    assert_int_equal(open_file(true), TLSMSG_OK);
    assert_int_equal(sqlite3_open(path, &db), SQLITE_OK);
    assert_int_equal(sqlite3_prepare_v2(db,
                                        "SELECT name, version, abs(time - 1000 * strftime('%s')) <"
                                        " 60000 FROM run",
                                        -1, &statement, NULL),
                     SQLITE_OK);
    assert_int_equal(sqlite3_step(statement), SQLITE_ROW);
    assert_string_equal((const char *)sqlite3_column_text(statement, 0), store_run_name(store));
    assert_string_equal((const char *)sqlite3_column_text(statement, 1), "1.2.3");
    assert_int_equal(sqlite3_column_int(statement, 2), 1);
    (void)sqlite3_finalize(statement);
    (void)sqlite3_close(db);
    store_close(store);
}

static void test_what_can_not_be_a_store_is_refused_and_no_more(void **state)
{
    (void)state;
    assert_int_equal(mkdir(path, 0777), 0);
    assert_int_equal(open_file(true), TLSMSG_ERR_CONFIG);
    assert_null(store);
    assert_int_equal(script.told, 0);
    tlsmsg_error_clear(&err);
    assert_int_equal(store_check(path, &err), TLSMSG_ERR_CONFIG);
    assert_int_equal(rmdir(path), 0);
    tlsmsg_error_clear(&err);
    assert_int_equal(store_check(path, &err), TLSMSG_OK);
}

static void test_targets(void **state)
{
    (void)state;
    assert_true(store_is_in_database("postgresql://host/base"));
    assert_true(store_is_in_database("postgres://host/base"));
    assert_false(store_is_in_database("postgresql:/host"));
    assert_false(store_is_in_database("./postgresql://host"));
    assert_false(store_is_in_database("store.db"));
    assert_false(store_is_in_database(NULL));
}

static void test_what_an_engine_is_reached_by_is_freed(void **state)
{
    struct store_reach reach = {.file_count = 99};
    enum tlsmsg_code code;
    long before = failmalloc_live();

    (void)state;
    code = store_reach("postgresql://127.0.0.1:5433/base", NULL, &reach, &err);
    if (code == TLSMSG_OK) {
        assert_int_equal(reach.port_count, 1);
        assert_int_equal(reach.ports[0], 5433);
    } else {
        assert_int_equal(code, TLSMSG_ERR_CONFIG);
        assert_string_equal(
            err.text,
            "this build stores in files alone (the build option TLSMSG_POSTGRESQL is off)");
        assert_int_equal(reach.file_count, 0);
    }
    store_reach_fini(&reach);
    reach.files[0] = strdup("a");
    reach.files[1] = strdup("b");
    reach.file_count = 2;
    store_reach_fini(&reach);
    assert_int_equal(reach.file_count, 0);
    assert_int_equal(failmalloc_live(), before);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(test_a_store_begins_and_ends, reset),
        cmocka_unit_test_setup(test_no_two_runs_have_one_name, reset),
        cmocka_unit_test_setup(test_no_memory_for_a_store, reset),
        cmocka_unit_test_setup(test_no_memory_for_its_workers, reset),
        cmocka_unit_test_setup(test_no_random_bytes_for_its_name, reset),
        cmocka_unit_test_setup(test_an_engine_that_proves_nothing, reset),
        cmocka_unit_test_setup(test_a_run_that_can_not_begin, reset),
        cmocka_unit_test_setup(test_a_thread_that_can_not_start, reset),
        cmocka_unit_test_setup(test_the_thread_takes_no_signal, reset),
        cmocka_unit_test_setup(test_a_workers_bound, reset),
        cmocka_unit_test_setup_teardown(test_a_file_is_ours_alone, make_folder, remove_folder),
        cmocka_unit_test_setup_teardown(test_a_long_name_is_told_in_whole, make_folder,
                                        remove_folder),
        cmocka_unit_test_setup_teardown(test_a_run_is_a_row, make_folder, remove_folder),
        cmocka_unit_test_setup_teardown(test_what_can_not_be_a_store_is_refused_and_no_more,
                                        make_folder, remove_folder),
        cmocka_unit_test(test_targets),
        cmocka_unit_test_setup(test_what_an_engine_is_reached_by_is_freed, reset),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
