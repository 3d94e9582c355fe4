/* What a worker does with a connection at its door: takes it, refuses it, drops it, leaves it to the
 * others; and what it tells of that. */
#include "support/unit.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

#include "base/build.h"
#include "base/clock.h"
#include "server/accept.h"
#include "server/table.h"
#include "server/worker.h"
#include "support/ends_identity.h"
#include "support/failmalloc.h"
#include "support/loopback.h"
#include "support/socket_script.h"

static struct tlsmsg_server *server;
static struct worker *worker;
static char told[1024];
static int clients[ACCEPT_BATCH + 8];
static size_t client_count;

static void on_event(const struct tlsmsg_event *event, void *user)
{
    size_t len = strlen(told);

    (void)user;
    (void)snprintf(told + len, sizeof(told) - len, "%d %s%s: %s\n", (int)event->level,
                   tlsmsg_cause_name(event->cause), event->connection != 0 ? " of one" : "",
                   event->text);
    assert_int_equal(event->address != NULL, event->connection != 0);
}

/* A server that listens, and whose workers the test moves. */
static void begin(enum tlsmsg_option option, const char *value)
{
    static const struct tlsmsg_handler handler = {.size = sizeof(handler), .event = on_event};
    struct tlsmsg_options *o = NULL;

    told[0] = '\0';
    client_count = 0;
    assert_int_equal(tlsmsg_options_new(TLSMSG_ROLE_SERVER, &o, NULL), TLSMSG_OK);
    ends_identity_of_server(o, false);
    assert_int_equal(tlsmsg_options_set(o, TLSMSG_OPT_LISTEN, "127.0.0.1:0", NULL), TLSMSG_OK);
    assert_int_equal(tlsmsg_options_set(o, TLSMSG_OPT_WORKERS, "1", NULL), TLSMSG_OK);
    assert_int_equal(tlsmsg_options_set(o, TLSMSG_OPT_ACCEPT, "0", NULL), TLSMSG_OK);
    assert_int_equal(tlsmsg_options_set(o, option, value, NULL), TLSMSG_OK);
    assert_int_equal(tlsmsg_server_new(o, &handler, &server, NULL), TLSMSG_OK);
    tlsmsg_options_free(o);
    worker = &server->workers[0];
    worker->now_ns = clock_now_ns();
}

static void end(void)
{
    loopback_close(clients, client_count);
    tlsmsg_server_free(server);
}

/* A client whose connection waits at the door. Returns its address as text. */
static const char *come(void)
{
    static char text[ADDRESS_TEXT_MAX];
    struct address own;
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

    assert_true(fd >= 0);
    clients[client_count++] = fd;
    assert_int_equal(
        connect(fd, &server->listeners[0].bound.socket.any, server->listeners[0].bound.len), 0);
    assert_int_equal(socket_local(fd, &own, NULL), TLSMSG_OK);
    address_print(&own, text, sizeof(text));
    return text;
}

static void expect_places(uint64_t connections, uint64_t handshakes)
{
    assert_int_equal(atomic_load(&server->limits.connections), connections);
    assert_int_equal(atomic_load(&server->limits.handshakes), handshakes);
}

static void test_one_is_taken(void **state)
{
    const struct conversation *c;
    struct tlsmsg_stats stats = {.size = sizeof(stats)};
    char text[ADDRESS_TEXT_MAX];
    const char *own;

    (void)state;
    begin(BUILD_HAS_TLS ? TLSMSG_OPT_HANDSHAKE_TIMEOUT : TLSMSG_OPT_IDLE_TIMEOUT, "3600");
    own = come();
    accept_ready(worker, &worker->listeners[0]);
    c = table_find(worker, 0, 1);
    assert_non_null(c);
    address_print(&c->peer, text, sizeof(text));
    assert_string_equal(text, own);
    assert_int_equal(c->watch.armed, LOOP_READ);
    assert_int_equal(worker->conversations, 1);
    assert_int_equal(timers_next_ns(&worker->timers),
                     worker->now_ns + 3600 * (int64_t)CLOCK_NS_PER_S);
    tlsmsg_server_stats(server, &stats);
    assert_int_equal(stats.accepted, 1);
    assert_int_equal(stats.open, 1);
    assert_int_equal(stats.handshaking, BUILD_HAS_TLS ? 1 : 0);
    /* Each connection has a number of its own. */
    (void)come();
    accept_ready(worker, &worker->listeners[0]);
    assert_non_null(table_find(worker, 1, 2));
    assert_string_equal(told, "");
    end();
}

/* Those that run have their turn before more are taken. */
static void test_a_batch_at_once(void **state)
{
    (void)state;
    begin(TLSMSG_OPT_IDLE_TIMEOUT, "0");
    for (int i = 0; i < ACCEPT_BATCH + 1; i++) {
        (void)come();
    }
    accept_ready(worker, &worker->listeners[0]);
    assert_int_equal(worker->conversations, ACCEPT_BATCH);
    accept_ready(worker, &worker->listeners[0]);
    assert_int_equal(worker->conversations, ACCEPT_BATCH + 1);
    end();
}

static void test_one_over_a_limit(void **state)
{
    char expected[256];
    char byte;

    (void)state;
    begin(TLSMSG_OPT_MAX_CONNECTIONS, "1");
    (void)come();
    (void)snprintf(expected, sizeof(expected), "1 limit: refused %s: over --max-connections 1\n",
                   come());
    accept_ready(worker, &worker->listeners[0]);
    assert_string_equal(told, expected);
    assert_int_equal(worker->conversations, 1);
    expect_places(1, BUILD_HAS_TLS ? 1 : 0);
    /* It is closed. */
    assert_true(loopback_is_readable(clients[1]));
    assert_true(read(clients[1], &byte, 1) <= 0);
    assert_int_equal(atomic_load(&worker->stats.accepted), 2);
    end();
}

/* Each allocation in turn: the connection is dropped, and the next one is taken. */
static size_t fail_each_allocation(enum tlsmsg_option option, const char *value)
{
    size_t n = 0;
    bool failed;
    char byte;

    do {
        begin(option, value);
        (void)come();
        failmalloc_at(++n);
        accept_ready(worker, &worker->listeners[0]);
        failed = failmalloc_count() >= n;
        failmalloc_at(0);
        /* In plaintext a conversation begins at once, and may fail as one. */
        if (failed && worker->conversations == 0) {
            assert_string_equal(told, "1 memory: out of memory: a connection was dropped\n");
            expect_places(0, 0);
            assert_true(loopback_is_readable(clients[0]));
            assert_true(read(clients[0], &byte, 1) <= 0);
            (void)come();
            accept_ready(worker, &worker->listeners[0]);
            assert_int_equal(worker->conversations, 1);
        }
        end();
    } while (failed);
    return n;
}

static void test_no_memory(void **state)
{
    size_t n = fail_each_allocation(TLSMSG_OPT_IDLE_TIMEOUT, "0");

    (void)state;
    /* The slots, their free list, the timers, the conversation. */
    assert_true(n > 4);
    /* Before all these the address is counted. */
    assert_int_equal(fail_each_allocation(TLSMSG_OPT_HANDSHAKE_RATE, "5"), n + 1);
}

/* --- what accept4 answers --------------------------------------------------------------------- */

static const struct row {
    const char *name;
    int error;
    bool pauses;
    const char *told;
} rows[] = {
    {"nobody is there", EAGAIN, false, ""},
    {"the system is out of descriptors", ENFILE, true,
     "1 descriptors: the system is out of file descriptors: not accepting until one is free (try: "
     "a higher fs.file-max, or fewer open files of other programs)\n"},
    {"another error", ENOBUFS, true,
     "1 other: cannot accept connections for a moment (errno 105)\n"},
};

static void test_error(void **state)
{
    const struct row *row = *state;
    const int answers[] = {row->error};

    begin(TLSMSG_OPT_IDLE_TIMEOUT, "0");
    socket_script_follow(&on_accept, answers);
    accept_ready(worker, &worker->listeners[0]);
    (void)socket_script_forget(NULL);
    assert_string_equal(told, row->told);
    assert_int_equal(worker->listening, !row->pauses);
    assert_int_equal(worker->resume_ns,
                     row->pauses ? worker->now_ns + ACCEPT_PAUSE_MS * CLOCK_NS_PER_MS : 0);
    end();
}

static void test_out_of_descriptors(void **state)
{
    static const int answers[] = {0, EMFILE};
    struct rlimit limit;
    char expected[512];

    (void)state;
    begin(TLSMSG_OPT_IDLE_TIMEOUT, "0");
    (void)come();
    assert_int_equal(getrlimit(RLIMIT_NOFILE, &limit), 0);
    socket_script_follow(&on_accept, answers);
    accept_ready(worker, &worker->listeners[0]);
    (void)socket_script_forget(NULL);
    (void)snprintf(expected, sizeof(expected),
                   "1 descriptors: out of file descriptors: 1 connections are open, and the limit "
                   "of this process is %" PRIu64 " descriptors; not accepting until one is free "
                   "(try: a higher LimitNOFILE= or ulimit -n, or --max-connections below it)\n",
                   (uint64_t)limit.rlim_cur);
    assert_string_equal(told, expected);
    assert_false(worker->listening);
    end();
}

/* --- the others' share ------------------------------------------------------------------------ */

static void test_more_than_its_share(void **state)
{
    static const struct {
        unsigned workers;
        uint64_t all;
        size_t own;
        bool pauses;
    } shares[] = {
        {1, 1000, 1000, false},
        {2, 200, 164, false}, /* half of them, and 64 */
        {2, 200, 165, true},
        {4, 200, 115, true},
    };

    (void)state;
    begin(TLSMSG_OPT_IDLE_TIMEOUT, "0");
    for (size_t i = 0; i < COUNT_OF(shares); i++) {
        server->worker_count = shares[i].workers;
        atomic_store(&server->limits.connections, shares[i].all);
        worker->conversations = shares[i].own;
        accept_ready(worker, &worker->listeners[0]);
        assert_int_equal(worker->listening, !shares[i].pauses);
        assert_true(accept_begin(worker));
        assert_true(worker->listening);
        assert_int_equal(worker->resume_ns, 0);
    }
    server->worker_count = 1;
    worker->conversations = 0;
    end();
}

/* --- the end ---------------------------------------------------------------------------------- */

/* The phase has changed in this very iteration: who is still at the door is left there. */
static void test_nobody_is_taken_after_the_stop(void **state)
{
    (void)state;
    begin(TLSMSG_OPT_IDLE_TIMEOUT, "0");
    (void)come();
    tlsmsg_server_stop(server);
    accept_ready(worker, &worker->listeners[0]);
    assert_int_equal(worker->conversations, 0);
    end();
}

/* Those who have connected before the stop are taken, but of a socket that others keep. */
static void test_the_last_are_taken(void **state)
{
    (void)state;
    begin(TLSMSG_OPT_IDLE_TIMEOUT, "0");
    (void)come();
    (void)come();
    server->listeners[0].passed = true;
    accept_last(worker);
    assert_int_equal(worker->conversations, 0);
    server->listeners[0].passed = false;
    accept_last(worker);
    assert_int_equal(worker->conversations, 2);
    end();
}

/* A program may have closed its standard input: then a connection can have its number. */
static void test_descriptor_0_is_one_like_any_other(void **state)
{
    (void)state;
    for (int last = 0; last < 2; last++) {
        int input = fcntl(STDIN_FILENO, F_DUPFD_CLOEXEC, 3);

        if (input < 0) {
            skip(); /* this test's own is closed */
        }
        begin(TLSMSG_OPT_IDLE_TIMEOUT, "0");
        (void)come();
        (void)close(STDIN_FILENO);
        if (last) {
            accept_last(worker);
        } else {
            accept_ready(worker, &worker->listeners[0]);
        }
        assert_int_equal(worker->conversations, 1);
        assert_int_equal(worker->slots[0]->watch.fd, STDIN_FILENO);
        assert_true(worker->listening);
        end();
        assert_int_equal(dup2(input, STDIN_FILENO), STDIN_FILENO);
        (void)close(input);
    }
}

/* What stands behind a worker's listeners is none of them. */
static void test_listeners_are_as_many_as_there_are(void **state)
{
    struct loop_watch *behind;
    struct address bound;
    struct pollfd waits = {.events = POLLIN};

    (void)state;
    begin(TLSMSG_OPT_IDLE_TIMEOUT, "0");
    behind = &worker->listeners[1];
    assert_int_equal(behind->kind, 0);
    waits.fd = loopback_listen(&bound);
    *behind = (struct loop_watch){.fd = waits.fd, .kind = WATCH_LISTENER};
    clients[client_count] = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    assert_int_equal(connect(clients[client_count++], &bound.socket.any, bound.len), 0);
    accept_last(worker);
    assert_int_equal(poll(&waits, 1, 0), 1);
    assert_int_equal(worker->conversations, 0);
    worker->listening = false;
    loop_remove(&worker->loop, &worker->listeners[0]);
    assert_true(accept_begin(worker));
    assert_false(behind->registered);
    assert_true(loop_add(&worker->loop, behind, LOOP_READ));
    accept_stop(worker);
    assert_true(behind->registered);
    assert_false(worker->listeners[0].registered);
    end();
    loopback_close(&waits.fd, 1);
}

static void test_the_last_worker_closes_the_sockets(void **state)
{
    int fd;

    (void)state;
    begin(TLSMSG_OPT_IDLE_TIMEOUT, "0");
    fd = server->listeners[0].fd;
    worker->resume_ns = 1;
    accept_stop(worker);
    assert_int_equal(worker->listener_count, 0);
    assert_int_equal(worker->resume_ns, 0);
    assert_false(worker->listening);
    assert_int_equal(server->listeners[0].fd, -1);
    assert_int_equal(fcntl(fd, F_GETFD), -1);
    /* Again: nothing happens, and nobody begins again. */
    accept_stop(worker);
    assert_int_equal(atomic_load(&server->listening), 0);
    assert_true(accept_begin(worker));
    assert_false(worker->listening);
    end();
}

/* The kernel may refuse to watch: then the pause goes on, and no listener stays in the loop. */
static void test_a_listener_that_cannot_be_watched(void **state)
{
    (void)state;
    begin(TLSMSG_OPT_IDLE_TIMEOUT, "0");
    worker->listeners[1] = (struct loop_watch){.fd = -1, .kind = WATCH_LISTENER};
    worker->listener_count = 2;
    loop_remove(&worker->loop, &worker->listeners[0]);
    worker->listening = false;
    assert_false(accept_begin(worker));
    assert_false(worker->listening);
    assert_false(worker->listeners[0].registered);
    worker->resume_ns = worker->now_ns;
    accept_resume(worker);
    assert_int_equal(worker->resume_ns, worker->now_ns + ACCEPT_PAUSE_MS * CLOCK_NS_PER_MS);
    worker->listener_count = 1;
    end();
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_one_is_taken),
        cmocka_unit_test(test_a_batch_at_once),
        cmocka_unit_test(test_one_over_a_limit),
        cmocka_unit_test(test_no_memory),
        cmocka_unit_test(test_out_of_descriptors),
        cmocka_unit_test(test_more_than_its_share),
        cmocka_unit_test(test_nobody_is_taken_after_the_stop),
        cmocka_unit_test(test_the_last_are_taken),
        cmocka_unit_test(test_descriptor_0_is_one_like_any_other),
        cmocka_unit_test(test_listeners_are_as_many_as_there_are),
        cmocka_unit_test(test_the_last_worker_closes_the_sockets),
        cmocka_unit_test(test_a_listener_that_cannot_be_watched),
    };
    int failed = 0;

    (void)ends_identity_setup(NULL);
    failed += cmocka_run_group_tests(tests, NULL, NULL);
    RUN_ROWS(failed, test_error, rows);
    (void)ends_identity_teardown(NULL);
    return failed;
}
