/* A worker's pause from the listening sockets: it begins and ends, and where there is nothing left
 * to listen to it must not stay as a deadline that is always past. */
#include "support/unit.h"

#include <errno.h>
#include <string.h>

#include "base/clock.h"
#include "server/accept.h"
#include "server/internal.h"
#include "support/loopback.h"
#include "support/socket_script.h"

static struct tlsmsg_server server;
static struct worker worker;
static int listener;

/* A worker of two that has clearly more connections than its share: without a listener's guard
 * every look at it would be a reason for a pause. */
static int set_up(void **state)
{
    struct address bound;

    (void)state;
    memset(&server, 0, sizeof(server));
    memset(&worker, 0, sizeof(worker));
    listener = loopback_listen(&bound);
    server.worker_count = 2;
    atomic_store(&server.listening, 2);
    atomic_store(&server.limits.connections, 200);
    worker.server = &server;
    worker.now_ns = clock_now_ns();
    worker.conversations = 200;
    worker.listeners[0] = (struct loop_watch){.fd = listener, .kind = WATCH_LISTENER};
    worker.listener_count = 1;
    assert_int_equal(loop_init(&worker.loop, NULL), TLSMSG_OK);
    assert_true(accept_begin(&worker));
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    (void)socket_script_forget(NULL);
    loop_fini(&worker.loop);
    loopback_close(&listener, 1);
    return 0;
}

/* Out of descriptors: the worker leaves the listeners for a while. */
static void pause_begins(void)
{
    static const int answers[] = {EMFILE};

    socket_script_follow(&on_accept, answers);
    accept_ready(&worker, &worker.listeners[0]);
    assert_int_equal(on_accept.calls, 1);
    socket_script_follow(&on_accept, NULL);
}

static void test_pause_begins_and_ends(void **state)
{
    (void)state;
    pause_begins();
    assert_false(worker.listening);
    assert_int_equal(worker.resume_ns, worker.now_ns + ACCEPT_PAUSE_MS * CLOCK_NS_PER_MS);
    accept_resume(&worker);
    assert_false(worker.listening);
    worker.now_ns = worker.resume_ns;
    accept_resume(&worker);
    assert_true(worker.listening);
    assert_int_equal(worker.resume_ns, 0);
}

/* The poll told of the listener in the same batch with the news that closes it. */
static void test_event_after_the_door_was_closed(void **state)
{
    (void)state;
    accept_stop(&worker);
    accept_ready(&worker, &worker.listeners[0]);
    assert_int_equal(worker.resume_ns, 0);
}

static void test_event_in_a_pause_does_not_prolong_it(void **state)
{
    int64_t until_ns;

    (void)state;
    pause_begins();
    until_ns = worker.resume_ns;
    worker.now_ns += CLOCK_NS_PER_MS;
    accept_ready(&worker, &worker.listeners[0]);
    assert_int_equal(worker.resume_ns, until_ns);
}

/* However a worker came to it, a pause without a listener ends when its time has come. */
static void test_pause_ends_without_a_listener(void **state)
{
    (void)state;
    accept_stop(&worker);
    worker.resume_ns = worker.now_ns;
    accept_resume(&worker);
    assert_int_equal(worker.resume_ns, 0);
    assert_false(worker.listening);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_pause_begins_and_ends, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_event_after_the_door_was_closed, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_event_in_a_pause_does_not_prolong_it, set_up,
                                        tear_down),
        cmocka_unit_test_setup_teardown(test_pause_ends_without_a_listener, set_up, tear_down),
    };

    return cmocka_run_group_tests_name("accept", tests, NULL, NULL);
}
