/* What workers share: the phase, the memory that messages take, who is to give some back, events. No
 * worker runs here. */
#include "support/unit.h"

#include <fcntl.h>
#include <string.h>
#include <unistd.h>

#include "server/internal.h"

#define WORKERS 3

static struct tlsmsg_server server;
static struct worker workers[WORKERS];
static struct conversation conversations[WORKERS];

static int set_up(void **state)
{
    (void)state;
    memset(&server, 0, sizeof(server));
    memset(workers, 0, sizeof(workers));
    memset(conversations, 0, sizeof(conversations));
    server.workers = workers;
    server.worker_count = WORKERS;
    server.settings.max_buffered_bytes = 4 * CREDIT_MAX_SPARE;
    producers_init(&server.producers, 3);
    for (unsigned i = 0; i < WORKERS; i++) {
        struct worker *w = &workers[i];

        w->server = &server;
        assert_int_equal(loop_init(&w->loop, NULL), TLSMSG_OK);
        list_init(&w->unfinished);
        list_init(&w->replies);
        list_init(&w->requeued);
        list_init(&conversations[i].in_unfinished);
        list_init(&conversations[i].in_replies);
        list_init(&conversations[i].in_requeued);
    }
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    for (unsigned i = 0; i < WORKERS; i++) {
        loop_fini(&workers[i].loop);
    }
    producers_fini(&server.producers);
    return 0;
}

/* Which workers were woken since this was asked last, a bit each. */
static unsigned woken(void)
{
    unsigned bits = 0;

    for (unsigned i = 0; i < WORKERS; i++) {
        struct loop_event events[1];
        bool is_woken = false;

        assert_int_equal(loop_wait(&workers[i].loop, events, 1, 0, &is_woken), 0);
        bits |= is_woken ? 1u << i : 0;
    }
    return bits;
}

/* --- the phase -------------------------------------------------------------------------------- */

static void test_the_phase_only_grows(void **state)
{
    (void)state;
    assert_int_equal(woken(), 0);
    server_advance(&server, SERVER_STOPPING);
    assert_int_equal(atomic_load(&server.phase), SERVER_STOPPING);
    assert_int_equal(woken(), 7);
    server_advance(&server, SERVER_FULL);
    assert_int_equal(atomic_load(&server.phase), SERVER_STOPPING);
    server_advance(&server, SERVER_FAILED);
    assert_int_equal(atomic_load(&server.phase), SERVER_FAILED);
}

static void test_the_last_worker_closes_the_listeners(void **state)
{
    int fd = open("/dev/null", O_RDONLY | O_CLOEXEC);

    (void)state;
    assert_true(fd >= 0);
    server.listeners[0].fd = fd;
    server.listeners[1].fd = -1;
    server.listener_count = 2;
    atomic_store(&server.listening, 2);
    server_leave_listeners(&server);
    assert_true(fcntl(fd, F_GETFD) >= 0);
    server_leave_listeners(&server);
    assert_int_equal(fcntl(fd, F_GETFD), -1);
    assert_int_equal(server.listeners[0].fd, -1);
    /* Again: a descriptor that has the number by now is not ours. */
    fd = open("/dev/null", O_RDONLY | O_CLOEXEC);
    server_close_listeners(&server);
    assert_true(fcntl(fd, F_GETFD) >= 0);
    (void)close(fd);
}

/* --- memory ----------------------------------------------------------------------------------- */

/* All workers' credit, what the program holds, and the names that producers have. */
static void test_what_counts_as_buffered(void **state)
{
    static const struct producer_claim who = {.connection = 1};
    struct producers_claimed claimed;

    (void)state;
    assert_int_equal(server_buffered(&server), 0);
    atomic_store(&server.credit, 1000);
    atomic_store(&server.elsewhere, 200);
    assert_int_equal(server_buffered(&server), 1200);
    assert_int_equal(producers_claim(&server.producers, "", 0, "a", 1, &who, 0, &claimed),
                     PRODUCERS_YOURS);
    assert_int_equal(server_buffered(&server), 1200 + producers_bytes(&server.producers));
    assert_true(producers_bytes(&server.producers) > sizeof(struct producer));
}

/* Credit is taken in pieces, with some to spare, and given back when there is too much of it. */
static void test_credit(void **state)
{
    struct worker *w = &workers[0];

    (void)state;
    worker_hold_bytes(w, 1);
    assert_int_equal(w->credit, 2 * CREDIT_BYTES);
    assert_int_equal(atomic_load(&server.credit), 2 * CREDIT_BYTES);
    worker_hold_bytes(w, 2 * CREDIT_BYTES - 1);
    assert_int_equal(w->credit, 2 * CREDIT_BYTES);
    worker_hold_bytes(w, 1);
    assert_int_equal(w->credit, 4 * CREDIT_BYTES);
    worker_hold_bytes(&workers[1], CREDIT_BYTES);
    assert_int_equal(workers[1].credit, 3 * CREDIT_BYTES);
    assert_int_equal(atomic_load(&server.credit), 7 * CREDIT_BYTES);
    worker_hold_bytes(w, 6 * CREDIT_BYTES);
    assert_int_equal(w->credit, 10 * CREDIT_BYTES);
    assert_int_equal(w->bytes, 8 * CREDIT_BYTES + 1);
    assert_int_equal(atomic_load(&w->stats.buffered_bytes), 8 * CREDIT_BYTES + 1);
    worker_free_bytes(w, 2 * CREDIT_BYTES + 1);
    assert_int_equal(w->credit, 10 * CREDIT_BYTES);
    worker_free_bytes(w, 1);
    assert_int_equal(w->credit, 7 * CREDIT_BYTES);
    assert_int_equal(atomic_load(&server.credit), 10 * CREDIT_BYTES);
    assert_int_equal(atomic_load(&w->stats.buffered_bytes), 6 * CREDIT_BYTES - 1);
    worker_free_bytes(w, 6 * CREDIT_BYTES - 1);
    assert_int_equal(w->credit, 0);
    assert_int_equal(atomic_load(&server.credit), 3 * CREDIT_BYTES);
}

/* Taking credit tells at once that there is none; giving back leaves that to the next iteration. */
static void test_over(void **state)
{
    struct worker *w = &workers[0];

    (void)state;
    server.settings.max_buffered_bytes = 4 * CREDIT_BYTES;
    worker_hold_bytes(w, 2 * CREDIT_BYTES);
    assert_false(w->over);
    worker_hold_bytes(w, 2 * CREDIT_BYTES + 1);
    assert_true(w->over);
    worker_free_bytes(w, w->bytes);
    assert_true(w->over);
    worker_hold_bytes(w, 1);
    assert_false(w->over);
}

/* What all conversations hold may pass the bound by one queue of replies for each. What the program holds
 * is no part of that, and no spare credit either: it is held for nobody, and who waited for its return
 * would never be read again. */
static void test_full(void **state)
{
    struct worker *w = &workers[0];
    const size_t most = 4 * CREDIT_BYTES + 2 * (size_t)QUEUE_MARK_BYTES;

    (void)state;
    server.settings.max_buffered_bytes = 4 * CREDIT_BYTES;
    atomic_store(&server.limits.connections, 2);
    atomic_store(&server.elsewhere, 100 * CREDIT_BYTES);
    atomic_store(&server.credit, 100 * CREDIT_BYTES);
    count(&workers[1].stats.buffered_bytes, most);
    worker_look_at_memory(w);
    assert_true(w->over);
    assert_false(w->full);
    count(&w->stats.buffered_bytes, 1);
    worker_look_at_memory(w);
    assert_true(w->full);
    atomic_store(&server.elsewhere, 0);
    atomic_store(&server.credit, 4 * CREDIT_BYTES);
    worker_look_at_memory(w);
    assert_false(w->over);
    assert_false(w->full);
}

static void test_nothing_kept_is_no_credit(void **state)
{
    (void)state;
    workers[0].credit = 5 * CREDIT_BYTES;
    atomic_store(&server.credit, 5 * CREDIT_BYTES);
    worker_settle(&workers[0]);
    assert_int_equal(workers[0].credit, 0);
    assert_int_equal(atomic_load(&server.credit), 0);
}

/* --- unfinished messages ---------------------------------------------------------------------- */

static void test_the_oldest_unfinished_message_is_known(void **state)
{
    struct worker *w = &workers[0];

    (void)state;
    w->now_ns = 5;
    worker_unfinished(w, &conversations[0]);
    assert_int_equal(atomic_load(&w->unfinished_since_ns), 5);
    w->now_ns = 7;
    worker_unfinished(w, &conversations[1]);
    worker_unfinished(w, &conversations[0]); /* again: it stays the oldest */
    assert_int_equal(atomic_load(&w->unfinished_since_ns), 5);
    worker_finished(w, &conversations[2]); /* it has none */
    assert_int_equal(atomic_load(&w->unfinished_since_ns), 5);
    worker_finished(w, &conversations[0]);
    assert_false(list_is_linked(&conversations[0].in_unfinished));
    assert_int_equal(atomic_load(&w->unfinished_since_ns), 7);
    worker_finished(w, &conversations[1]);
    assert_int_equal(atomic_load(&w->unfinished_since_ns), 0);
    assert_true(list_is_empty(&w->unfinished));
}

static void test_the_oldest_of_all_workers_is_shed(void **state)
{
    static const struct {
        int64_t since_ns[WORKERS];
        unsigned sheds;
    } cases[] = {
        {{0, 0, 0}, 0}, {{0, 5, 0}, 2}, {{3, 5, 4}, 1},
        {{5, 3, 4}, 2}, {{5, 4, 3}, 4}, {{0, 4, 4}, 2},
    };

    (void)state;
    for (size_t i = 0; i < COUNT_OF(cases); i++) {
        for (unsigned k = 0; k < WORKERS; k++) {
            atomic_store(&workers[k].unfinished_since_ns, cases[i].since_ns[k]);
            atomic_store(&workers[k].sheds, false);
        }
        server_shed(&server);
        for (unsigned k = 0; k < WORKERS; k++) {
            assert_int_equal(atomic_load(&workers[k].sheds), (cases[i].sheds >> k) & 1);
        }
        assert_int_equal(woken(), cases[i].sheds);
        /* Who was told already isn't told again. */
        server_shed(&server);
        assert_int_equal(woken(), 0);
    }
}

/* --- lists ------------------------------------------------------------------------------------ */

static void test_each_is_listed_once(void **state)
{
    struct worker *w = &workers[0];

    (void)state;
    for (int i = 0; i < 2; i++) {
        worker_answered(w, &conversations[0]);
        worker_answered(w, &conversations[1]);
        worker_requeue(w, &conversations[0]);
        worker_requeue(w, &conversations[1]);
    }
    assert_ptr_equal(list_take_first(&w->replies), &conversations[0].in_replies);
    assert_ptr_equal(list_take_first(&w->replies), &conversations[1].in_replies);
    assert_null(list_take_first(&w->replies));
    assert_ptr_equal(list_take_first(&w->requeued), &conversations[0].in_requeued);
    assert_ptr_equal(list_take_first(&w->requeued), &conversations[1].in_requeued);
    assert_null(list_take_first(&w->requeued));
}

static void test_a_look_is_the_other_worker_s(void **state)
{
    (void)state;
    worker_look(&server, 1);
    assert_false(atomic_load(&workers[0].look));
    assert_true(atomic_load(&workers[1].look));
    assert_int_equal(woken(), 2);
}

/* A handshake is over once, however often that is said. */
static void test_a_handshake_is_over_once(void **state)
{
    struct worker *w = &workers[0];

    (void)state;
    w->handshaking = 2;
    count(&w->stats.handshaking, 2);
    atomic_store(&server.limits.handshakes, 2);
    worker_handshake_over(w, &conversations[0]);
    worker_handshake_over(w, &conversations[0]);
    assert_true(conversations[0].handshake_over);
    assert_int_equal(w->handshaking, 1);
    assert_int_equal(atomic_load(&w->stats.handshaking), 1);
    assert_int_equal(atomic_load(&server.limits.handshakes), 1);
}

/* --- events ----------------------------------------------------------------------------------- */

static struct tlsmsg_event event;
static char address[ADDRESS_TEXT_MAX];
static char text[1024];
static unsigned events;

static void on_event(const struct tlsmsg_event *told, void *user)
{
    assert_ptr_equal(user, &server);
    event = *told;
    (void)strcpy(address, told->address != NULL ? told->address : "(none)");
    (void)strcpy(text, told->text);
    events++;
}

static void test_an_event_says_whose_it_is(void **state)
{
    struct worker *w = &workers[0];

    (void)state;
    server.handler.event = on_event;
    server.handler.user = &server;
    events = 0;
    conversations[0].id = 17;
    worker_event(w, TLSMSG_LOG_ERROR, TLSMSG_CAUSE_LIMIT, &conversations[0], "%d and %s", 3, "x");
    assert_int_equal(events, 1);
    assert_int_equal(event.level, TLSMSG_LOG_ERROR);
    assert_int_equal(event.cause, TLSMSG_CAUSE_LIMIT);
    assert_int_equal(event.connection, 17);
    assert_string_not_equal(address, "(none)");
    assert_string_equal(text, "3 and x");
    worker_event(w, TLSMSG_LOG_DEBUG, TLSMSG_CAUSE_PROBE, NULL, "y");
    assert_int_equal(event.connection, 0);
    assert_string_equal(address, "(none)");
    assert_int_equal(atomic_load(&w->stats.events[TLSMSG_CAUSE_LIMIT]), 1);
    assert_int_equal(atomic_load(&w->stats.events[TLSMSG_CAUSE_PROBE]), 1);
    /* Nobody listens: it counts all the same. */
    server.handler.event = NULL;
    worker_event(w, TLSMSG_LOG_DEBUG, TLSMSG_CAUSE_PROBE, NULL, "z");
    assert_int_equal(events, 2);
    assert_int_equal(atomic_load(&w->stats.events[TLSMSG_CAUSE_PROBE]), 2);
}

#define BOTH(function) cmocka_unit_test_setup_teardown(function, set_up, tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        BOTH(test_the_phase_only_grows),
        BOTH(test_the_last_worker_closes_the_listeners),
        BOTH(test_what_counts_as_buffered),
        BOTH(test_credit),
        BOTH(test_over),
        BOTH(test_full),
        BOTH(test_nothing_kept_is_no_credit),
        BOTH(test_the_oldest_unfinished_message_is_known),
        BOTH(test_the_oldest_of_all_workers_is_shed),
        BOTH(test_each_is_listed_once),
        BOTH(test_a_look_is_the_other_worker_s),
        BOTH(test_a_handshake_is_over_once),
        BOTH(test_an_event_says_whose_it_is),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
