/* A worker's table of conversations: slots that are found, given back and used again, growth that
 * finds no memory, and what is given back after a crowd. */
#include "support/unit.h"

#include <fcntl.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/clock.h"
#include "server/conversation.h"
#include "server/limits.h"
#include "server/table.h"
#include "server/worker.h"
#include "support/ends_identity.h"
#include "support/failmalloc.h"

#define MANY 130 /* more than the table has at first, and than twice as much */

static struct tlsmsg_server *server;
static struct worker *worker;
static struct conversation *all[MANY];
static int others[MANY]; /* the other ends */

static int begin(void **state)
{
    struct tlsmsg_options *o = NULL;

    (void)state;
    assert_int_equal(tlsmsg_options_new(TLSMSG_ROLE_SERVER, &o, NULL), TLSMSG_OK);
    ends_identity_of_server(o, false);
    assert_int_equal(tlsmsg_options_set(o, TLSMSG_OPT_LISTEN, "127.0.0.1:0", NULL), TLSMSG_OK);
    assert_int_equal(tlsmsg_options_set(o, TLSMSG_OPT_WORKERS, "1", NULL), TLSMSG_OK);
    assert_int_equal(tlsmsg_server_new(o, NULL, &server, NULL), TLSMSG_OK);
    tlsmsg_options_free(o);
    worker = &server->workers[0];
    worker->now_ns = clock_now_ns();
    memset(others, -1, sizeof(others));
    return 0;
}

static int end(void **state)
{
    (void)state;
    for (size_t i = 0; i < MANY; i++) {
        if (others[i] >= 0) {
            (void)close(others[i]);
        }
    }
    tlsmsg_server_free(server);
    return 0;
}

/* Adds one under a number; NULL where there is no memory. */
static struct conversation *add(size_t i, uint64_t id)
{
    static const struct address nobody = {.len = sizeof(struct sockaddr)};
    int pair[2];
    struct conversation *c;

    assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, pair), 0);
    c = table_add(worker, pair[0], &nobody, id);
    if (c == NULL) {
        (void)close(pair[0]);
        (void)close(pair[1]);
        return NULL;
    }
    atomic_fetch_add(&server->limits.connections, 1);
    atomic_fetch_add(&server->limits.handshakes, 1);
    others[i] = pair[1];
    all[i] = c;
    return c;
}

static void expect_counts(uint64_t open)
{
    assert_int_equal(worker->conversations, open);
    assert_int_equal(worker->handshaking, open);
    assert_int_equal(atomic_load(&worker->stats.open), open);
    assert_int_equal(atomic_load(&worker->stats.handshaking), open);
    assert_int_equal(atomic_load(&server->limits.connections), open);
    assert_int_equal(atomic_load(&server->limits.handshakes), open);
}

static void test_each_has_a_slot_of_its_own(void **state)
{
    (void)state;
    for (size_t i = 0; i < MANY; i++) {
        assert_non_null(add(i, 100 + i));
        assert_int_equal(all[i]->slot, i);
    }
    expect_counts(MANY);
    assert_int_equal(worker->most_conversations, MANY);
    for (uint32_t i = 0; i < MANY; i++) {
        assert_ptr_equal(table_find(worker, i, 100 + i), all[i]);
        assert_null(table_find(worker, i, 101 + i));
        assert_ptr_equal(table_of_watch(&all[i]->watch), all[i]);
        assert_ptr_equal(table_of_timer(&all[i]->timer), all[i]);
    }
    assert_null(table_find(worker, MANY, 100 + MANY));
    assert_null(table_find(worker, (uint32_t)worker->slot_cap, 100));
    assert_null(table_find(worker, UINT32_MAX, 100));
}

static void test_what_one_begins_with(void **state)
{
    const struct conversation *c;

    (void)state;
    worker->draining = true;
    c = add(0, 7);
    assert_int_equal(c->id, 7);
    assert_int_equal(c->state, CONVERSATION_HANDSHAKE);
    assert_int_equal(c->accepted_ns, worker->now_ns);
    assert_int_equal(c->since_ns, worker->now_ns);
    assert_int_equal(c->activity_ns, worker->now_ns);
    assert_int_equal(c->linger_budget, 64 * 1024);
    assert_int_equal(c->out.limit, 64 * 1024 + 1024 * 1024);
    assert_ptr_equal(c->out.spares, &worker->spares);
    assert_ptr_equal(c->worker, worker);
    assert_int_equal(c->watch.kind, WATCH_CONVERSATION);
    assert_int_equal(c->watch.armed, LOOP_READ);
    assert_int_equal(c->source.fd, c->watch.fd);
    assert_true(c->draining);
    worker->draining = false;
    assert_false(add(1, 8)->draining);
}

/* What has ended stands until it is reaped; then its slot is the next one's. */
static void test_a_slot_is_used_again(void **state)
{
    int fd;

    (void)state;
    for (size_t i = 0; i < 3; i++) {
        assert_non_null(add(i, 1 + i));
    }
    fd = all[1]->watch.fd;
    all[1]->reported = true;
    worker_answered(worker, all[1]);
    worker_requeue(worker, all[1]);
    list_append(&worker->paused, &all[1]->in_paused);
    list_append(&worker->waiting, &all[1]->in_waiting);
    worker_unfinished(worker, all[1]);
    timers_set(&worker->timers, &all[1]->timer, worker->now_ns + 1);
    worker_hold_bytes(worker, 10);
    all[1]->held_bytes = 10;
    conversation_abort(all[1], TLSMSG_CLOSE_RESET);
    conversation_abort(all[1], TLSMSG_CLOSE_FAILED); /* again: nothing happens */
    assert_int_equal(all[1]->reason, TLSMSG_CLOSE_RESET);
    assert_true(list_is_empty(&worker->replies));
    assert_true(list_is_empty(&worker->requeued));
    assert_true(list_is_empty(&worker->paused));
    assert_true(list_is_empty(&worker->waiting));
    assert_true(list_is_empty(&worker->unfinished));
    assert_int_equal(timers_next_ns(&worker->timers), 0);
    assert_int_equal(worker->conversations, 3);
    assert_int_equal(worker->handshaking, 2);
    assert_ptr_equal(table_find(worker, 1, 2), all[1]);
    table_reap(worker);
    assert_null(table_find(worker, 1, 2));
    assert_int_equal(worker->bytes, 0);
    assert_int_equal(fcntl(fd, F_GETFD), -1);
    expect_counts(2);
    assert_non_null(add(3, 9));
    assert_int_equal(all[3]->slot, 1);
    expect_counts(3);
    assert_int_equal(worker->most_conversations, 3);
}

/* Each allocation in turn fails where the table has to grow: those that are there stay. */
static void test_no_memory_to_grow(void **state)
{
    size_t cap;
    size_t n = 0;
    struct conversation *c;

    (void)state;
    for (size_t i = 0; i < 1 || worker->free_count > 0; i++) {
        assert_non_null(add(i, 1 + i));
    }
    cap = worker->slot_cap;
    do {
        failmalloc_at(++n);
        c = add(cap, 1 + cap);
        failmalloc_at(0);
        if (c == NULL) {
            expect_counts(cap);
            for (uint32_t i = 0; i < cap; i++) {
                assert_ptr_equal(table_find(worker, i, 1 + i), all[i]);
            }
        }
    } while (c == NULL);
    /* The slots, their free list, the timers, the conversation. */
    assert_int_equal(n, 5);
    assert_int_equal(worker->slot_cap, 2 * cap);
    expect_counts(cap + 1);
    assert_ptr_equal(table_find(worker, (uint32_t)cap, 1 + cap), c);
}

/* The kernel may refuse to watch: the descriptor stays the caller's. */
static void test_one_that_cannot_be_watched(void **state)
{
    static const struct address nobody = {.len = sizeof(struct sockaddr)};
    int fd = open("/dev/null", O_RDONLY | O_CLOEXEC);
    long live;

    (void)state;
    assert_non_null(add(0, 1));
    live = failmalloc_live();
    assert_null(table_add(worker, fd, &nobody, 2));
    assert_int_equal(failmalloc_live(), live);
    assert_int_equal(close(fd), 0);
    expect_counts(1);
    assert_non_null(add(1, 3));
    assert_int_equal(all[1]->slot, 1);
}

/* --- after a crowd ---------------------------------------------------------------------------- */

static void test_memory_is_given_back_after_a_crowd(void **state)
{
    static const struct {
        size_t most;
        size_t now;
        bool gives_back;
    } cases[] = {
        {512, 128, true},
        {512, 129, false},
        {511, 0, false},
        {4000, 1000, true},
    };

    (void)state;
    for (size_t i = 0; i < COUNT_OF(cases); i++) {
        struct buffer b;

        /* A buffer leaves its memory to the next one. */
        buffer_init(&b, 64 * 1024, 0);
        buffer_use_spares(&b, &worker->spares);
        assert_int_equal(buffer_append(&b, "x", 1), TLSMSG_OK);
        buffer_fini(&b);
        assert_int_equal(worker->spares.count, 1);
        worker->most_conversations = cases[i].most;
        worker->conversations = cases[i].now;
        table_reap(worker);
        assert_int_equal(worker->spares.count, cases[i].gives_back ? 0 : 1);
        assert_int_equal(worker->most_conversations,
                         cases[i].gives_back ? cases[i].now : cases[i].most);
        buffer_spares_free(&worker->spares);
    }
    worker->conversations = 0;
}

/* --- reloads ---------------------------------------------------------------------------------- */

static void test_a_reload_is_followed_once(void **state)
{
    struct transport_config *first = worker->config;
    unsigned generation = worker->config_generation;

    (void)state;
    table_follow_reload(worker);
    assert_ptr_equal(worker->config, first);
    assert_int_equal(tlsmsg_server_reload(server, server->options, NULL), TLSMSG_OK);
    assert_ptr_equal(worker->config, first);
    assert_int_equal(atomic_load(&server->config_generation), generation + 1);
    table_follow_reload(worker);
    assert_ptr_equal(worker->config, server->config);
    assert_int_equal(worker->config_generation, generation + 1);
}

#define BOTH(function) cmocka_unit_test_setup_teardown(function, begin, end)

int main(void)
{
    const struct CMUnitTest tests[] = {
        BOTH(test_each_has_a_slot_of_its_own), BOTH(test_what_one_begins_with),
        BOTH(test_a_slot_is_used_again),       BOTH(test_no_memory_to_grow),
        BOTH(test_one_that_cannot_be_watched), BOTH(test_memory_is_given_back_after_a_crowd),
        BOTH(test_a_reload_is_followed_once),
    };

    return cmocka_run_group_tests(tests, ends_identity_setup, ends_identity_teardown);
}
