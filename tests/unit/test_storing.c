/* Storing: what it tells the server of turns, greetings and memory. The store is a real one; another
 * program's lock keeps it from deciding. */
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <sqlite3.h>

#include <tlsmsg/tlsmsg.h>

#include "support/storing_message.h"
#include "support/test_folder.h"
#include "support/unit.h"

#define BODY_BYTES 100000
#define GREETINGS_MANY 20000

/* What the server was told, under the lock. */
static struct {
    pthread_mutex_t lock;
    pthread_cond_t told;
    int64_t buffered;
    unsigned hellos;
    unsigned refusals;
    unsigned releases;
    unsigned code; /* of the last refusal */
} seen = {.lock = PTHREAD_MUTEX_INITIALIZER, .told = PTHREAD_COND_INITIALIZER};

static char body[BODY_BYTES];
static struct test_folder folder;
static char path[TEST_PATH_MAX];
static sqlite3 *other;
static struct log log_of_test;

static void tell(unsigned *count)
{
    (void)pthread_mutex_lock(&seen.lock);
    (*count)++;
    (void)pthread_cond_broadcast(&seen.told);
    (void)pthread_mutex_unlock(&seen.lock);
}

static void wait_for(const unsigned *count, unsigned wanted)
{
    (void)pthread_mutex_lock(&seen.lock);
    while (*count < wanted) {
        (void)pthread_cond_wait(&seen.told, &seen.lock);
    }
    (void)pthread_mutex_unlock(&seen.lock);
}

static unsigned count_of(const unsigned *count)
{
    unsigned value;

    (void)pthread_mutex_lock(&seen.lock);
    value = *count;
    (void)pthread_mutex_unlock(&seen.lock);
    return value;
}

static int64_t buffered(void)
{
    int64_t bytes;

    (void)pthread_mutex_lock(&seen.lock);
    bytes = seen.buffered;
    (void)pthread_mutex_unlock(&seen.lock);
    return bytes;
}

unsigned __wrap_tlsmsg_server_workers(const struct tlsmsg_server *server);
void __wrap_tlsmsg_server_buffered(struct tlsmsg_server *server, int64_t delta);
enum tlsmsg_code __wrap_tlsmsg_server_hello(struct tlsmsg_server *server,
                                            const struct tlsmsg_token *token, uint64_t last,
                                            enum tlsmsg_promise promise);
enum tlsmsg_code __wrap_tlsmsg_server_refuse(struct tlsmsg_server *server,
                                             const struct tlsmsg_token *token, unsigned code);
void __wrap_tlsmsg_server_release(struct tlsmsg_server *server, unsigned worker, bool fail);

unsigned __wrap_tlsmsg_server_workers(const struct tlsmsg_server *server)
{
    (void)server;
    return 2;
}

void __wrap_tlsmsg_server_buffered(struct tlsmsg_server *server, int64_t delta)
{
    (void)server;
    (void)pthread_mutex_lock(&seen.lock);
    seen.buffered += delta;
    (void)pthread_mutex_unlock(&seen.lock);
}

enum tlsmsg_code __wrap_tlsmsg_server_hello(struct tlsmsg_server *server,
                                            const struct tlsmsg_token *token, uint64_t last,
                                            enum tlsmsg_promise promise)
{
    (void)server;
    (void)token;
    assert_int_equal(last, 0);
    assert_int_equal(promise, TLSMSG_PROMISE_DISK);
    tell(&seen.hellos);
    return TLSMSG_OK;
}

enum tlsmsg_code __wrap_tlsmsg_server_refuse(struct tlsmsg_server *server,
                                             const struct tlsmsg_token *token, unsigned code)
{
    (void)server;
    (void)token;
    seen.code = code;
    tell(&seen.refusals);
    return TLSMSG_OK;
}

void __wrap_tlsmsg_server_release(struct tlsmsg_server *server, unsigned worker, bool fail)
{
    (void)server;
    assert_int_equal(worker, 1);
    assert_false(fail);
    tell(&seen.releases);
}

static void command(const char *sql)
{
    assert_int_equal(sqlite3_exec(other, sql, NULL, NULL, NULL), SQLITE_OK);
}

static int set_up(void **state)
{
    const struct storing_settings settings = {.target = path}; /* waits for ever */
    struct tlsmsg_error err = {.code = TLSMSG_OK};

    (void)state;
    seen.buffered = 0;
    seen.hellos = seen.refusals = seen.releases = 0;
    memset(body, 'x', sizeof(body));
    storing_message_reset();
    storing_producer = NULL;
    storing_body = body;
    storing_body_len = sizeof(body);
    test_folder_make(&folder);
    (void)test_folder_file(&folder, "store.db", path);
    log_init(&log_of_test, TLSMSG_LOG_ERROR, LOG_TEXT);
    if (storing_open(&settings, NULL, &log_of_test, &storing, &err) != TLSMSG_OK) {
        fail_msg("%s", err.text);
    }
    assert_int_equal(sqlite3_open(path, &other), SQLITE_OK);
    (void)sqlite3_busy_timeout(other, 10000);
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    (void)sqlite3_close(other);
    storing_close(storing);
    log_fini(&log_of_test);
    test_folder_remove(&folder);
    return 0;
}

static void test_what_the_store_holds_is_counted(void **state)
{
    (void)state;
    command("BEGIN IMMEDIATE");
    storing_say();
    storing_say();
    assert_int_equal(storing_turn_end(storing, 1, TLSMSG_TURN_RELEASE), TLSMSG_TURN_HOLD);
    assert_true(buffered() >= 2 * BODY_BYTES);
    assert_true(buffered() < 3 * BODY_BYTES);
    command("COMMIT");
    wait_for(&seen.releases, 1);
    assert_int_equal(buffered(), 0);
}

static void test_what_waits_for_lines_is_counted(void **state)
{
    (void)state;
    storing_say();
    assert_int_equal(storing_turn_end(storing, 1, TLSMSG_TURN_HOLD), TLSMSG_TURN_HOLD);
    assert_true(buffered() >= BODY_BYTES);
    assert_int_equal(count_of(&seen.releases), 0);
    storing_lines_out(storing, NULL, 1, false);
    wait_for(&seen.releases, 1);
    assert_int_equal(buffered(), 0);
}

/* Lines are out on another thread, and greetings come on the worker's own one meanwhile. */
static void test_a_greeting_in_a_hold_belongs_to_the_next_turn(void **state)
{
    (void)state;
    storing_say();
    assert_int_equal(storing_turn_end(storing, 1, TLSMSG_TURN_HOLD), TLSMSG_TURN_HOLD);
    storing_greet("p");
    storing_lines_out(storing, NULL, 1, false);
    wait_for(&seen.releases, 1);
    assert_int_equal(count_of(&seen.hellos), 0);
    assert_int_equal(storing_turn_end(storing, 1, TLSMSG_TURN_RELEASE), TLSMSG_TURN_HOLD);
    wait_for(&seen.releases, 2);
    assert_int_equal(count_of(&seen.hellos), 1);
    assert_int_equal(storing_turn_end(storing, 1, TLSMSG_TURN_RELEASE), TLSMSG_TURN_RELEASE);
}

static void test_greetings_in_a_hold_have_a_bound(void **state)
{
    unsigned i;

    (void)state;
    command("BEGIN IMMEDIATE");
    storing_say();
    assert_int_equal(storing_turn_end(storing, 1, TLSMSG_TURN_RELEASE), TLSMSG_TURN_HOLD);
    for (i = 0; i < GREETINGS_MANY; i++) {
        storing_greet("p");
    }
    assert_in_range(count_of(&seen.refusals), 1, GREETINGS_MANY - 1000);
    assert_int_equal(seen.code, 503);
    command("COMMIT");
    wait_for(&seen.releases, 1);
    assert_int_equal(storing_turn_end(storing, 1, TLSMSG_TURN_RELEASE), TLSMSG_TURN_HOLD);
    wait_for(&seen.releases, 2);
    assert_int_equal(seen.hellos + seen.refusals, GREETINGS_MANY);
    /* That was a matter of one turn. */
    storing_greet("p");
    assert_int_equal(storing_turn_end(storing, 1, TLSMSG_TURN_RELEASE), TLSMSG_TURN_HOLD);
    wait_for(&seen.releases, 3);
    assert_int_equal(seen.hellos + seen.refusals, GREETINGS_MANY + 1);
    assert_int_equal(buffered(), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_what_the_store_holds_is_counted, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_what_waits_for_lines_is_counted, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_a_greeting_in_a_hold_belongs_to_the_next_turn, set_up,
                                        tear_down),
        cmocka_unit_test_setup_teardown(test_greetings_in_a_hold_have_a_bound, set_up, tear_down),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
