/* A client's spool: kept before sent, gone once answered, and what a copy gives away. */
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "base/error.h"
#include "base/file.h"
#include "store/spool.h"
#include "store/sqlite.h"
#include "store/sqlite_db.h"
#include "support/test_folder.h"
#include "support/unit.h"

static struct test_folder folder;
static char path[TEST_PATH_MAX];
static struct tlsmsg_error err;
static const unsigned char hash[STORE_HASH_BYTES] = "hash";

static int set_up(void **state)
{
    (void)state;
    test_folder_make(&folder);
    (void)test_folder_file(&folder, "spool.db", path);
    tlsmsg_error_clear(&err);
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    test_folder_remove(&folder);
    return 0;
}

static struct spool *open_spool(void)
{
    struct spool *spool = NULL;

    if (spool_open(path, "1", &spool, &err) != TLSMSG_OK) {
        fail_msg("%s", err.text);
    }
    return spool;
}

static uint64_t keep(struct spool *spool, const char *text)
{
    struct spool_message message = {.body = text, .len = strlen(text), .hash = hash};

    assert_int_equal(spool_keep(spool, &message, 1, true, &err), TLSMSG_OK);
    return message.number;
}

static void assert_next(struct spool *spool, uint64_t after, uint64_t number, const char *text)
{
    struct spool_message message;

    assert_int_equal(spool_next(spool, after, &message, &err), TLSMSG_OK);
    assert_int_equal(message.number, number);
    if (number != 0) {
        assert_int_equal(message.len, strlen(text));
        assert_memory_equal(message.body, text, message.len);
        assert_memory_equal(message.hash, hash, sizeof(hash));
    }
}

static void test_messages_wait_and_leave(void **state)
{
    struct spool *spool = open_spool();
    char name[128];
    uint64_t count = 0;

    (void)state;
    (void)snprintf(name, sizeof(name), "%s", spool_producer(spool));
    assert_int_equal(strncmp(name, "spool-", 6), 0);
    assert_int_equal(keep(spool, "a"), 1);
    assert_int_equal(keep(spool, "b"), 2);
    assert_int_equal(keep(spool, "c"), 3);
    spool_close(spool);

    spool = open_spool();
    assert_string_equal(spool_producer(spool), name);
    assert_next(spool, 0, 1, "a");
    assert_next(spool, 2, 3, "c");
    assert_next(spool, 3, 0, NULL);
    assert_int_equal(spool_answered(spool, 2, &err), TLSMSG_OK);
    assert_int_equal(spool_waiting(spool, &count, &err), TLSMSG_OK);
    assert_int_equal(count, 1);
    assert_next(spool, 0, 3, "c");
    assert_int_equal(spool_answered(spool, 3, &err), TLSMSG_OK);
    spool_close(spool);

    /* A number is given once, also when nothing waits any more. */
    spool = open_spool();
    assert_next(spool, 0, 0, NULL);
    assert_int_equal(keep(spool, "d"), 4);
    spool_close(spool);
}

static void test_several_are_kept_together(void **state)
{
    struct spool *spool = open_spool();
    struct spool_message messages[] = {{.body = "a", .len = 1, .hash = hash},
                                       {.body = "", .len = 0, .hash = hash},
                                       {.body = "c\0d", .len = 3, .hash = hash}};
    struct spool_message found;

    (void)state;
    assert_int_equal(spool_keep(spool, messages, COUNT_OF(messages), true, &err), TLSMSG_OK);
    assert_int_equal(messages[2].number, 3);
    assert_int_equal(spool_next(spool, 2, &found, &err), TLSMSG_OK);
    assert_int_equal(found.len, 3);
    assert_memory_equal(found.body, "c\0d", 3);
    spool_close(spool);
}

/* Rule 8 of tlsmsg/1. */
static void test_meets_the_servers_last(void **state)
{
    struct spool *spool = open_spool();
    uint64_t first = 99;

    (void)state;
    assert_int_equal(spool_meet(spool, 0, &first, &err), TLSMSG_OK);
    assert_int_equal(first, 0);
    (void)keep(spool, "a");
    (void)keep(spool, "b");
    (void)keep(spool, "c");
    assert_int_equal(spool_meet(spool, 0, &first, &err), TLSMSG_OK);
    assert_int_equal(first, 1);
    /* The server has it; it comes again, so that its bytes are compared. */
    assert_int_equal(spool_meet(spool, 2, &first, &err), TLSMSG_OK);
    assert_int_equal(first, 2);
    assert_int_equal(spool_answered(spool, 2, &err), TLSMSG_OK);
    assert_int_equal(spool_meet(spool, 2, &first, &err), TLSMSG_OK);
    assert_int_equal(first, 3);
    assert_int_equal(spool_meet(spool, 3, &first, &err), TLSMSG_OK);
    assert_int_equal(first, 3);
    assert_int_equal(spool_meet(spool, 4, &first, &err), TLSMSG_ERR_CONFIG);
    assert_non_null(strstr(err.text, "set back or copied"));
    assert_non_null(strstr(err.text, "up to 3"));
    spool_close(spool);
}

/* A number that was given and never sent can't be the server's: a copy has used it. */
static void test_knows_what_it_has_sent(void **state)
{
    struct spool_message message = {.body = "a", .len = 1, .hash = hash};
    struct spool *spool = open_spool();
    uint64_t first = 99;

    (void)state;
    (void)keep(spool, "sent");
    assert_int_equal(spool_keep(spool, &message, 1, false, &err), TLSMSG_OK);
    assert_int_equal(spool_meet(spool, 2, &first, &err), TLSMSG_ERR_CONFIG);
    assert_non_null(strstr(err.text, "sent up to 1 only"));
    spool_close(spool);

    /* It is remembered, and so is that what waits may be sent. */
    spool = open_spool();
    tlsmsg_error_clear(&err);
    assert_int_equal(spool_meet(spool, 2, &first, &err), TLSMSG_ERR_CONFIG);
    assert_int_equal(spool_will_send(spool, &err), TLSMSG_OK);
    tlsmsg_error_clear(&err);
    assert_int_equal(spool_meet(spool, 2, &first, &err), TLSMSG_OK);
    spool_close(spool);
    spool = open_spool();
    assert_int_equal(spool_meet(spool, 2, &first, &err), TLSMSG_OK);
    assert_int_equal(first, 2);
    /* With nothing new it is sent as before. */
    assert_int_equal(spool_answered(spool, 2, &err), TLSMSG_OK);
    assert_int_equal(spool_meet(spool, 2, &first, &err), TLSMSG_OK);
    assert_int_equal(first, 0);
    spool_close(spool);
}

/* What failed once is not written to again: nobody knows what became of it. */
static void test_a_failure_is_for_good(void **state)
{
    struct spool *spool = open_spool();
    uint64_t count = 0;
    sqlite3 *other;

    (void)state;
    assert_int_equal(sqlite3_open(path, &other), SQLITE_OK);
    assert_int_equal(sqlite3_exec(other, "DROP TABLE message", NULL, NULL, NULL), SQLITE_OK);
    assert_int_equal(sqlite3_close(other), SQLITE_OK);
    assert_int_equal(spool_waiting(spool, &count, &err), TLSMSG_ERR_SYSTEM);
    assert_non_null(strstr(err.text, "no such table"));
    tlsmsg_error_clear(&err);
    assert_int_equal(spool_waiting(spool, &count, &err), TLSMSG_ERR_SYSTEM);
    assert_string_equal(err.text, "the spool has failed");
    spool_close(spool);
}

static void test_one_program_at_a_time(void **state)
{
    struct spool *spool = open_spool();
    struct spool *second = NULL;
    char owner[32];

    (void)state;
    (void)snprintf(owner, sizeof(owner), "process %d", (int)getpid());
    assert_int_not_equal(spool_open(path, "1", &second, &err), TLSMSG_OK);
    assert_null(second);
    assert_non_null(strstr(err.text, owner));
    spool_close(spool);
}

static void test_a_servers_store_is_refused(void **state)
{
    struct store_backend *backend = NULL;
    struct spool *spool = NULL;

    (void)state;
    assert_int_equal(sqlite_backend_open(path, SQLITE_CHECKPOINT_PAGES, &backend, &err), TLSMSG_OK);
    assert_int_equal(backend->ops->begin_run(backend, "@run", "1", &err), TLSMSG_OK);
    backend->ops->close(backend, false);
    assert_int_equal(spool_open(path, "1", &spool, &err), TLSMSG_ERR_CONFIG);
    assert_non_null(strstr(err.text, "is not a spool"));
}

static void test_is_no_store(void **state)
{
    struct store_backend *backend = NULL;

    (void)state;
    spool_close(open_spool());
    assert_int_equal(sqlite_backend_open(path, SQLITE_CHECKPOINT_PAGES, &backend, &err),
                     TLSMSG_ERR_CONFIG);
    assert_non_null(strstr(err.text, "is not a store, but a client's spool"));
    tlsmsg_error_clear(&err);
    assert_int_equal(sqlite_backend_join(path, &backend, &err), TLSMSG_ERR_CONFIG);
    tlsmsg_error_clear(&err);
    assert_int_equal(sqlite_db_check(path, &err), TLSMSG_ERR_CONFIG);
    assert_non_null(strstr(err.text, "is not a store, but a client's spool"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_messages_wait_and_leave, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_several_are_kept_together, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_meets_the_servers_last, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_knows_what_it_has_sent, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_a_failure_is_for_good, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_one_program_at_a_time, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_a_servers_store_is_refused, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_is_no_store, set_up, tear_down),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
