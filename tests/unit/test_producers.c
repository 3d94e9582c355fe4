/* Producers: who owns a name, who waits, who is pushed away, and what is forgotten when. */
#include "support/unit.h"

#include <string.h>

#include "server/producers.h"
#include "support/failmalloc.h"

static struct producers table;

/* Its memory is the C library's own. */
static bool tree_fails;

void *__real_tsearch(const void *key, void **root, int (*compare)(const void *, const void *));
void *__wrap_tsearch(const void *key, void **root, int (*compare)(const void *, const void *));

void *__wrap_tsearch(const void *key, void **root, int (*compare)(const void *, const void *))
{
    return tree_fails ? NULL : __real_tsearch(key, root, compare);
}

static int begin(void **state)
{
    (void)state;
    producers_init(&table, 3);
    return 0;
}

static int end(void **state)
{
    (void)state;
    producers_fini(&table);
    return 0;
}

static enum producers_verdict claim(const char *identity, const char *name, uint64_t connection,
                                    int64_t now_ns, struct producers_claimed *out)
{
    const struct producer_claim who = {.connection = connection, .worker = 7, .slot = 9};

    return producers_claim(&table, identity, strlen(identity), name, strlen(name), &who, now_ns,
                           out);
}

static bool leave(struct producer *producer, uint64_t connection, int64_t now_ns,
                  uint64_t *next_connection)
{
    const struct producer_claim who = {.connection = connection};
    struct producer_claim next = {.connection = 0};
    bool passed_on = producers_leave(&table, producer, &who, now_ns, &next);

    *next_connection = next.connection;
    return passed_on;
}

static void test_a_number_survives_its_connection(void **state)
{
    struct producers_claimed got;
    uint64_t next;

    (void)state;
    assert_int_equal(claim("", "a", 1, 0, &got), PRODUCERS_YOURS);
    assert_int_equal(got.producer->last, 0);
    assert_false(got.producer->has_hash);
    got.producer->last = 17;
    assert_false(leave(got.producer, 1, 0, &next));
    assert_int_equal(claim("", "a", 2, 1, &got), PRODUCERS_YOURS);
    assert_int_equal(got.producer->last, 17);
    assert_int_equal(got.pushed.connection, 0);
}

/* Identity and name are two things: neither their lengths nor their sum tells producers apart. */
static void test_identities_do_not_meet(void **state)
{
    struct producers_claimed a;
    struct producers_claimed b;
    struct producers_claimed c;

    (void)state;
    assert_int_equal(claim("CN=a", "bc", 1, 0, &a), PRODUCERS_YOURS);
    assert_int_equal(claim("CN=ab", "c", 2, 0, &b), PRODUCERS_YOURS);
    assert_int_equal(claim("CN=b", "bc", 3, 0, &c), PRODUCERS_YOURS);
    assert_ptr_not_equal(a.producer, b.producer);
    assert_ptr_not_equal(a.producer, c.producer);
}

static void test_takeover_waits_for_the_owner(void **state)
{
    struct producers_claimed first;
    struct producers_claimed second;
    struct producers_claimed third;
    uint64_t next;

    (void)state;
    assert_int_equal(claim("", "a", 1, 0, &first), PRODUCERS_YOURS);
    assert_int_equal(claim("", "a", 2, 0, &second), PRODUCERS_WAIT);
    assert_ptr_equal(second.producer, first.producer);
    assert_int_equal(second.owner.connection, 1);
    assert_int_equal(second.owner.worker, 7);
    assert_int_equal(second.owner.slot, 9);
    assert_int_equal(second.pushed.connection, 0);
    assert_int_equal(claim("", "a", 3, 0, &third), PRODUCERS_WAIT);
    assert_int_equal(third.owner.connection, 1);
    assert_int_equal(third.pushed.connection, 2);
    assert_false(leave(second.producer, 2, 0, &next));
    assert_true(leave(first.producer, 1, 0, &next));
    assert_int_equal(next, 3);
    assert_false(leave(third.producer, 3, 0, &next));
}

static void test_an_older_connection_takes_over_nothing(void **state)
{
    struct producers_claimed got;

    (void)state;
    assert_int_equal(claim("", "a", 5, 0, &got), PRODUCERS_YOURS);
    assert_int_equal(claim("", "a", 4, 0, &got), PRODUCERS_STALE);
    assert_int_equal(claim("", "a", 8, 0, &got), PRODUCERS_WAIT);
    assert_int_equal(claim("", "a", 7, 0, &got), PRODUCERS_STALE);
}

static void test_who_waits_may_leave(void **state)
{
    struct producers_claimed got;
    struct producer *producer;
    uint64_t next;

    (void)state;
    assert_int_equal(claim("", "a", 1, 0, &got), PRODUCERS_YOURS);
    producer = got.producer;
    assert_int_equal(claim("", "a", 2, 0, &got), PRODUCERS_WAIT);
    assert_false(leave(producer, 2, 0, &next));
    assert_false(leave(producer, 1, 0, &next));
    /* Again, or of a stranger: nothing changes. */
    assert_false(leave(producer, 1, 0, &next));
    assert_false(leave(producer, 9, 0, &next));
    assert_int_equal(claim("", "a", 3, 0, &got), PRODUCERS_YOURS);
}

static void test_the_longest_unused_goes_first(void **state)
{
    struct producers_claimed got;
    uint64_t next;

    (void)state;
    for (uint64_t i = 0; i < 3; i++) {
        const char name[] = {(char)('a' + i), '\0'};

        assert_int_equal(claim("", name, i + 1, 0, &got), PRODUCERS_YOURS);
        got.producer->last = i + 10;
        if (i != 1) {
            assert_false(leave(got.producer, i + 1, (int64_t)i, &next));
        }
    }
    assert_int_equal(claim("", "d", 4, 5, &got), PRODUCERS_YOURS);
    assert_int_equal(claim("", "c", 5, 5, &got), PRODUCERS_YOURS);
    assert_int_equal(got.producer->last, 12);
    /* b, c and d are connected: there is no room for a. */
    assert_int_equal(claim("", "a", 6, 5, &got), PRODUCERS_FULL);
    assert_null(got.producer);
}

static void test_names_are_forgotten_after_a_day(void **state)
{
    struct producers_claimed got;
    size_t bytes;
    uint64_t next;

    (void)state;
    assert_int_equal(claim("CN=alice", "a", 1, 0, &got), PRODUCERS_YOURS);
    got.producer->last = 5;
    bytes = producers_bytes(&table);
    assert_int_equal(bytes, sizeof(struct producer) +
                                strlen("CN=alice"
                                       "a") +
                                6 * sizeof(void *));
    assert_true(bytes > sizeof(struct producer));
    /* As long as it is connected it isn't forgotten, however long that is. */
    assert_int_equal(claim("", "b", 2, 3 * PRODUCERS_KEEP_NS, &got), PRODUCERS_YOURS);
    assert_int_equal(claim("CN=alice", "a", 3, 3 * PRODUCERS_KEEP_NS, &got), PRODUCERS_WAIT);
    assert_int_equal(got.producer->last, 5);
    assert_true(leave(got.producer, 1, 3 * PRODUCERS_KEEP_NS, &next));
    assert_false(leave(got.producer, 3, 3 * PRODUCERS_KEEP_NS, &next));
    assert_int_equal(claim("CN=alice", "a", 4, 4 * PRODUCERS_KEEP_NS - 1, &got), PRODUCERS_YOURS);
    assert_int_equal(got.producer->last, 5);
    assert_false(leave(got.producer, 4, 4 * PRODUCERS_KEEP_NS, &next));
    assert_int_equal(claim("CN=alice", "a", 5, 5 * PRODUCERS_KEEP_NS, &got), PRODUCERS_YOURS);
    assert_int_equal(got.producer->last, 0);
    assert_false(leave(got.producer, 5, 0, &next));
    /* Others' coming sweeps away who has been gone for long, and the count of bytes with it. */
    assert_int_equal(claim("", "c", 6, 9 * PRODUCERS_KEEP_NS, &got), PRODUCERS_YOURS);
    assert_int_equal(producers_bytes(&table),
                     2 * (sizeof(struct producer) + strlen("b") + 6 * sizeof(void *)));
    assert_int_equal(table.count, 2);
}

/* To the nanosecond, whoever comes. */
static void test_a_day_ends_when_it_is_over(void **state)
{
    struct producers_claimed got;
    uint64_t next;

    (void)state;
    assert_int_equal(claim("", "a", 1, 0, &got), PRODUCERS_YOURS);
    assert_false(leave(got.producer, 1, 0, &next));
    assert_int_equal(claim("", "b", 2, PRODUCERS_KEEP_NS - 1, &got), PRODUCERS_YOURS);
    assert_int_equal(table.count, 2);
    assert_int_equal(claim("", "c", 3, PRODUCERS_KEEP_NS, &got), PRODUCERS_YOURS);
    assert_int_equal(table.count, 2);
    assert_int_equal(claim("", "a", 4, PRODUCERS_KEEP_NS, &got), PRODUCERS_YOURS);
    assert_int_equal(table.count, 3);
}

/* Each worker has a clock of its own: who left last may have left at an earlier time. */
static void test_clocks_of_workers_differ(void **state)
{
    struct producers_claimed got;
    uint64_t next;

    (void)state;
    assert_int_equal(claim("", "b", 1, 0, &got), PRODUCERS_YOURS);
    assert_false(leave(got.producer, 1, 2, &next));
    assert_int_equal(claim("", "a", 2, 0, &got), PRODUCERS_YOURS);
    got.producer->last = 5;
    assert_false(leave(got.producer, 2, 1, &next));
    assert_int_equal(claim("", "a", 3, PRODUCERS_KEEP_NS + 1, &got), PRODUCERS_YOURS);
    assert_int_equal(got.producer->last, 0);
    assert_int_equal(table.count, 2);
    assert_int_equal(claim("", "a", 4, PRODUCERS_KEEP_NS + 1, &got), PRODUCERS_WAIT);
}

static void test_no_memory(void **state)
{
    struct producers_claimed got = {.owner.connection = 7, .pushed.connection = 7};

    (void)state;
    failmalloc_at(1);
    assert_int_equal(claim("", "a", 1, 0, &got), PRODUCERS_NOMEM);
    failmalloc_at(0);
    assert_null(got.producer);
    assert_int_equal(got.owner.connection, 0);
    assert_int_equal(got.pushed.connection, 0);
    assert_int_equal(table.count, 0);
    assert_int_equal(producers_bytes(&table), 0);
    tree_fails = true;
    assert_int_equal(claim("", "a", 1, 0, &got), PRODUCERS_NOMEM);
    tree_fails = false;
    assert_null(got.producer);
    assert_int_equal(table.count, 0);
    assert_int_equal(producers_bytes(&table), 0);
    assert_int_equal(claim("", "a", 1, 0, &got), PRODUCERS_YOURS);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_a_number_survives_its_connection, begin, end),
        cmocka_unit_test_setup_teardown(test_identities_do_not_meet, begin, end),
        cmocka_unit_test_setup_teardown(test_takeover_waits_for_the_owner, begin, end),
        cmocka_unit_test_setup_teardown(test_an_older_connection_takes_over_nothing, begin, end),
        cmocka_unit_test_setup_teardown(test_who_waits_may_leave, begin, end),
        cmocka_unit_test_setup_teardown(test_the_longest_unused_goes_first, begin, end),
        cmocka_unit_test_setup_teardown(test_names_are_forgotten_after_a_day, begin, end),
        cmocka_unit_test_setup_teardown(test_a_day_ends_when_it_is_over, begin, end),
        cmocka_unit_test_setup_teardown(test_clocks_of_workers_differ, begin, end),
        cmocka_unit_test_setup_teardown(test_no_memory, begin, end),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
