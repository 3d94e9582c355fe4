/* The library's server in process, talked to by the library's client: the handler's contract. */
#include "support/unit.h"

#include <arpa/inet.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <poll.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <tlsmsg/tlsmsg.h>

#include "base/build.h"
#include "support/ends_identity.h"

#define WAIT_MS 20000
#define DOCUMENT_REPLY "你好，我已收到你的消息："

/* What the handler saw, and how it is to behave. Written by workers under the lock. */
struct record {
    pthread_mutex_t lock;
    pthread_cond_t changed;
    int connected;
    int messages;
    int closed;
    int turns;
    int hold;  /* turns to hold from the next one on */
    bool fail; /* the next turn fails */
    bool defer;
    bool silent; /* answer with nothing */
    struct tlsmsg_token tokens[8];
    enum tlsmsg_close_reason how;
    struct tlsmsg_server *server;
};

static struct record seen;

static void note(int *what)
{
    (void)pthread_mutex_lock(&seen.lock);
    (*what)++;
    (void)pthread_cond_broadcast(&seen.changed);
    (void)pthread_mutex_unlock(&seen.lock);
}

/* Waits until a count has been reached; fails the test when it never is. */
static void await(const int *what, int n)
{
    struct timespec until;
    int failed = 0;

    (void)clock_gettime(CLOCK_REALTIME, &until);
    until.tv_sec += WAIT_MS / 1000;
    (void)pthread_mutex_lock(&seen.lock);
    while (*what < n && failed == 0) {
        failed = pthread_cond_timedwait(&seen.changed, &seen.lock, &until);
    }
    (void)pthread_mutex_unlock(&seen.lock);
    assert_int_equal(failed, 0);
}

static void on_connected(const struct tlsmsg_peer *peer, unsigned worker, void *user)
{
    (void)worker;
    assert_ptr_equal(user, &seen);
    assert_non_null(peer->address);
    note(&seen.connected);
}

static void on_message(struct tlsmsg_message *message, void *user)
{
    struct record *r = user;
    const struct tlsmsg_peer *peer = tlsmsg_message_peer(message);
    size_t len;

    assert_non_null(tlsmsg_message_data(message, &len));
    assert_true(len > 0);
    assert_int_equal(peer->connection, tlsmsg_message_connection(message));
    assert_true(tlsmsg_message_worker(message) < tlsmsg_server_workers(r->server));
    if (r->defer) {
        assert_int_equal(tlsmsg_message_defer(message, &r->tokens[r->messages]), TLSMSG_OK);
        assert_int_equal(tlsmsg_message_reply(message, NULL, 0), TLSMSG_ERR_STATE);
    } else if (r->silent) {
        assert_int_equal(tlsmsg_message_reply(message, NULL, 0), TLSMSG_OK);
        assert_int_equal(tlsmsg_message_defer(message, &r->tokens[0]), TLSMSG_ERR_STATE);
    }
    note(&seen.messages);
}

static void on_closed(const struct tlsmsg_closed *closed, unsigned worker, void *user)
{
    (void)worker;
    (void)user;
    seen.how = closed->reason;
    note(&seen.closed);
}

static enum tlsmsg_turn on_turn_end(unsigned worker, void *user)
{
    struct record *r = user;
    enum tlsmsg_turn verdict = TLSMSG_TURN_RELEASE;

    (void)worker;
    (void)pthread_mutex_lock(&r->lock);
    if (r->fail) {
        verdict = TLSMSG_TURN_FAIL;
    } else if (r->hold > 0) {
        r->hold--;
        verdict = TLSMSG_TURN_HOLD;
    }
    (void)pthread_mutex_unlock(&r->lock);
    note(&r->turns);
    return verdict;
}

static const struct tlsmsg_handler handler = {
    .size = sizeof(handler),
    .user = &seen,
    .connected = on_connected,
    .message = on_message,
    .closed = on_closed,
    .turn_end = on_turn_end,
};

static struct tlsmsg_options *server_options(int64_t accept)
{
    struct tlsmsg_options *o = NULL;

    assert_int_equal(tlsmsg_options_new(TLSMSG_ROLE_SERVER, &o, NULL), TLSMSG_OK);
    ends_identity_of_server(o, false);
    assert_int_equal(tlsmsg_options_set(o, TLSMSG_OPT_LISTEN, "127.0.0.1:0", NULL), TLSMSG_OK);
    assert_int_equal(tlsmsg_options_set_number(o, TLSMSG_OPT_ACCEPT, accept, NULL), TLSMSG_OK);
    assert_int_equal(tlsmsg_options_set_number(o, TLSMSG_OPT_WORKERS, 1, NULL), TLSMSG_OK);
    return o;
}

static struct tlsmsg_server *start(struct tlsmsg_options *o, const struct tlsmsg_handler *h)
{
    struct tlsmsg_server *server = NULL;
    struct tlsmsg_error err = {0};

    if (tlsmsg_server_new(o, h, &server, &err) != TLSMSG_OK) {
        fail_msg("%s", err.text);
    }
    seen.server = server;
    tlsmsg_options_free(o);
    assert_int_equal(tlsmsg_server_start(server, NULL), TLSMSG_OK);
    assert_int_equal(tlsmsg_server_start(server, NULL), TLSMSG_ERR_STATE);
    return server;
}

/* Waits for the end with a deadline, so that a server that hangs fails the test. */
static void finish(struct tlsmsg_server *server, enum tlsmsg_code want)
{
    struct pollfd done = {.fd = tlsmsg_server_done_fd(server), .events = POLLIN};
    struct tlsmsg_error err = {.code = TLSMSG_OK};

    assert_int_equal(poll(&done, 1, WAIT_MS), 1);
    assert_int_equal(tlsmsg_server_wait(server, &err), want);
    assert_int_equal(err.code, want);
    assert_int_equal(err.sys_errno, 0);
    assert_string_equal(err.text, want == TLSMSG_ERR_CLOSED ? "the handler failed"
                                  : want == TLSMSG_ERR_TIMEOUT
                                      ? "a reply could not be delivered before the drain timeout"
                                      : "");
    tlsmsg_server_free(server);
}

static struct tlsmsg_client *connect_to(const struct tlsmsg_server *server)
{
    struct tlsmsg_options *o = NULL;
    struct tlsmsg_client *client = NULL;
    struct tlsmsg_error err = {0};

    assert_int_equal(tlsmsg_options_new(TLSMSG_ROLE_CLIENT, &o, NULL), TLSMSG_OK);
    ends_identity_trusted_by(o);
    if (BUILD_HAS_TLS) { /* what is tried here is the document's flow */
        assert_int_equal(tlsmsg_options_set(o, TLSMSG_OPT_DOCUMENT_FLOW, "1", NULL), TLSMSG_OK);
    }
    assert_int_equal(
        tlsmsg_options_set(o, TLSMSG_OPT_ADDRESS, tlsmsg_server_address(server, 0), NULL),
        TLSMSG_OK);
    assert_int_equal(tlsmsg_client_new(o, &client, &err), TLSMSG_OK);
    tlsmsg_options_free(o);
    if (tlsmsg_client_connect(client, &err) != TLSMSG_CLIENT_OK) {
        fail_msg("%s", err.text);
    }
    return client;
}

static void expect_reply(struct tlsmsg_client *client, const char *text)
{
    const char *data;
    size_t len;

    assert_int_equal(tlsmsg_client_receive(client, &data, &len, NULL), TLSMSG_CLIENT_OK);
    assert_int_equal(len, strlen(text));
    assert_memory_equal(data, text, len);
}

static void say(struct tlsmsg_client *client, const char *text)
{
    assert_int_equal(tlsmsg_client_send(client, text, strlen(text), NULL), TLSMSG_CLIENT_OK);
}

static void leave(struct tlsmsg_client *client)
{
    assert_int_equal(tlsmsg_client_close(client, NULL), TLSMSG_CLIENT_OK);
    tlsmsg_client_free(client);
}

/* Most tests have one server, and one client of it. */
static struct tlsmsg_server *server;
static struct tlsmsg_client *client;

static void meet(struct tlsmsg_options *o, const struct tlsmsg_handler *with)
{
    server = start(o, with);
    client = connect_to(server);
}

static void echo(const char *text)
{
    char reply[64];

    (void)snprintf(reply, sizeof(reply), DOCUMENT_REPLY "%s", text);
    say(client, text);
    expect_reply(client, reply);
}

static void part(void)
{
    leave(client);
    finish(server, TLSMSG_OK);
}

/* A message in a turn that is held. */
static void say_held(void)
{
    await(&seen.turns, 1);
    (void)pthread_mutex_lock(&seen.lock);
    seen.hold = 1;
    (void)pthread_mutex_unlock(&seen.lock);
    say(client, "held");
    await(&seen.turns, 2);
}

static int fresh(void **state)
{
    (void)state;
    seen = (struct record){.lock = PTHREAD_MUTEX_INITIALIZER, .changed = PTHREAD_COND_INITIALIZER};
    return 0;
}

static void test_handler_needs_its_size(void **state)
{
    const struct tlsmsg_handler sizeless = {.message = on_message};
    struct tlsmsg_options *o = server_options(1);
    struct tlsmsg_error err = {.code = TLSMSG_OK};
    struct tlsmsg_server *made = NULL;

    (void)state;
    assert_int_equal(tlsmsg_server_new(o, &sizeless, &made, &err), TLSMSG_ERR_CONFIG);
    assert_string_equal(err.text, "the handler's size is not set (sizeof(struct tlsmsg_handler))");
    assert_null(made);
    tlsmsg_options_free(o);
}

/* A server that never came to be closes nothing of the program's: its first descriptor stays. */
static void test_failing_new_closes_nothing_of_ours(void **state)
{
    struct tlsmsg_options *o = NULL;
    struct tlsmsg_server *made = NULL;
    int was = dup(STDIN_FILENO);
    int null = open("/dev/null", O_RDONLY | O_CLOEXEC);

    (void)state;
    assert_true(null >= 0);
    assert_true(dup2(null, STDIN_FILENO) >= 0);
    assert_int_equal(tlsmsg_options_new(TLSMSG_ROLE_CLIENT, &o, NULL), TLSMSG_OK);
    assert_int_equal(tlsmsg_server_new(o, NULL, &made, NULL), TLSMSG_ERR_CONFIG);
    assert_true(fcntl(STDIN_FILENO, F_GETFD) >= 0);
    tlsmsg_options_free(o);
    (void)close(null);
    if (was >= 0) {
        (void)dup2(was, STDIN_FILENO);
        (void)close(was);
    }
}

/* A program built against headers that end before a member gets none of it, and loses nothing. */
static void test_older_structures_are_kept_apart(void **state)
{
    struct tlsmsg_handler older = handler;
    struct tlsmsg_stats stats;
    struct tlsmsg_options *o = server_options(1);
    struct tlsmsg_server *made = NULL;

    (void)state;
    older.size = offsetof(struct tlsmsg_handler, event);
    older.event = NULL;
    assert_int_equal(tlsmsg_server_new(o, &older, &made, NULL), TLSMSG_OK);
    memset(&stats, 0x5a, sizeof(stats));
    stats.size = offsetof(struct tlsmsg_stats, latency_sum_us);
    tlsmsg_server_stats(made, &stats);
    assert_int_equal(stats.accepted, 0);
    assert_int_equal(stats.latency_sum_us, 0x5a5a5a5a5a5a5a5a);
    tlsmsg_server_free(made);
    tlsmsg_options_free(o);
}

static void test_default_reply_without_a_handler(void **state)
{
    (void)state;
    meet(server_options(1), NULL);
    echo("hello");
    part();
}

static void test_budget_ends_the_server(void **state)
{
    struct tlsmsg_client *one;
    struct tlsmsg_client *two;
    struct tlsmsg_stats stats = {.size = sizeof(stats)};

    (void)state;
    server = start(server_options(2), &handler);
    one = connect_to(server);
    two = connect_to(server);
    say(two, "2");
    say(one, "1");
    expect_reply(one, DOCUMENT_REPLY "1");
    expect_reply(two, DOCUMENT_REPLY "2");
    leave(one);
    leave(two);
    await(&seen.closed, 2);
    assert_int_equal(seen.connected, 2);
    assert_int_equal(seen.how, TLSMSG_CLOSE_CLEAN);
    tlsmsg_server_stats(server, &stats);
    assert_int_equal(stats.messages, 2);
    assert_int_equal(stats.conversations, 2);
    assert_int_equal(stats.closed[TLSMSG_CLOSE_CLEAN], 2);
    finish(server, TLSMSG_OK);
}

/* Whoever has not begun when the last place is taken does not keep the server. */
static void test_a_handshake_does_not_keep_a_full_server(void **state)
{
    struct sockaddr_in at = {.sin_family = AF_INET};
    int idle = socket(AF_INET, SOCK_STREAM, 0);

    (void)state;
    server = start(server_options(1), &handler);
    if (BUILD_HAS_TLS) { /* in plaintext it would be a conversation */
        at.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
        at.sin_port = htons((uint16_t)atoi(strchr(tlsmsg_server_address(server, 0), ':') + 1));
        assert_int_equal(connect(idle, (struct sockaddr *)&at, sizeof(at)), 0);
    }
    client = connect_to(server);
    echo("hello");
    part();
    (void)close(idle);
}

static void test_replies_wait_for_a_held_turn(void **state)
{
    struct pollfd quiet;

    (void)state;
    meet(server_options(1), &handler);
    say_held();
    quiet = (struct pollfd){.fd = tlsmsg_client_fd(client), .events = POLLIN};
    assert_int_equal(poll(&quiet, 1, 50), 0);
    tlsmsg_server_release(server, 0, false);
    expect_reply(client, DOCUMENT_REPLY "held");
    /* After the hold the conversation goes on as before. */
    echo("next");
    part();
}

static void test_failed_turn_ends_the_server_unanswered(void **state)
{
    const char *data;
    size_t len;

    (void)state;
    meet(server_options(0), &handler);
    await(&seen.turns, 1);
    (void)pthread_mutex_lock(&seen.lock);
    seen.fail = true;
    (void)pthread_mutex_unlock(&seen.lock);
    say(client, "lost");
    assert_int_not_equal(tlsmsg_client_receive(client, &data, &len, NULL), TLSMSG_CLIENT_OK);
    tlsmsg_client_free(client);
    finish(server, TLSMSG_ERR_CLOSED);
}

static void test_failure_told_by_a_release(void **state)
{
    (void)state;
    meet(server_options(0), &handler);
    say_held();
    tlsmsg_server_release(server, 0, true);
    finish(server, TLSMSG_ERR_CLOSED);
    tlsmsg_client_free(client);
}

static void test_deferred_replies_leave_in_order(void **state)
{
    char *all = NULL;
    size_t got = 0;

    (void)state;
    seen.defer = true;
    meet(server_options(1), &handler);
    say(client, "a");
    await(&seen.messages, 1);
    say(client, "b");
    await(&seen.messages, 2);
    seen.defer = false;
    say(client, "c");
    await(&seen.messages, 3);
    assert_int_equal(tlsmsg_server_reply(server, &seen.tokens[1], "second;", 7), TLSMSG_OK);
    assert_int_equal(tlsmsg_server_reply(server, &seen.tokens[0], "first;", 6), TLSMSG_OK);
    /* Twice, and for a conversation that never was: no effect. */
    assert_int_equal(tlsmsg_server_reply(server, &seen.tokens[0], "again;", 6), TLSMSG_OK);
    seen.tokens[2] = (struct tlsmsg_token){.connection = 99, .slot = 1000};
    assert_int_equal(tlsmsg_server_reply(server, &seen.tokens[2], "lost", 4), TLSMSG_OK);
    seen.tokens[2].worker = 1;
    assert_int_equal(tlsmsg_server_reply(server, &seen.tokens[2], "lost", 4), TLSMSG_OK);
    all = calloc(1, 256);
    while (got < strlen("first;second;" DOCUMENT_REPLY "c")) {
        const char *data;
        size_t len;

        assert_int_equal(tlsmsg_client_receive(client, &data, &len, NULL), TLSMSG_CLIENT_OK);
        memcpy(all + got, data, len);
        got += len;
    }
    assert_string_equal(all, "first;second;" DOCUMENT_REPLY "c");
    free(all);
    part();
}

static void test_empty_reply_sends_nothing(void **state)
{
    (void)state;
    seen.silent = true;
    meet(server_options(1), &handler);
    say(client, "quiet");
    await(&seen.messages, 1);
    seen.silent = false;
    echo("loud");
    part();
}

static void test_stop_drains_idle_conversations(void **state)
{
    const char *data;
    size_t len;

    (void)state;
    meet(server_options(0), &handler);
    await(&seen.connected, 1);
    tlsmsg_server_stop(server);
    tlsmsg_server_stop(server);
    assert_int_equal(tlsmsg_client_receive(client, &data, &len, NULL), TLSMSG_CLIENT_CLOSED);
    tlsmsg_client_free(client);
    finish(server, TLSMSG_OK);
    assert_int_equal(seen.how, TLSMSG_CLOSE_DRAINED);
}

static void test_undelivered_reply_is_told_after_the_drain(void **state)
{
    struct tlsmsg_options *o = server_options(0);

    (void)state;
    seen.defer = true;
    assert_int_equal(tlsmsg_options_set(o, TLSMSG_OPT_DRAIN_TIMEOUT, "0.05", NULL), TLSMSG_OK);
    meet(o, &handler);
    say(client, "never answered");
    await(&seen.messages, 1);
    tlsmsg_server_stop(server);
    finish(server, TLSMSG_ERR_TIMEOUT);
    assert_int_equal(seen.how, TLSMSG_CLOSE_TIMEOUT);
    tlsmsg_client_free(client);
}

static void test_two_servers_in_one_process(void **state)
{
    struct tlsmsg_server *one = start(server_options(1), NULL);
    struct tlsmsg_server *two = start(server_options(1), NULL);
    struct tlsmsg_client *to_one = connect_to(one);
    struct tlsmsg_client *to_two = connect_to(two);

    (void)state;
    say(to_two, "2");
    say(to_one, "1");
    expect_reply(to_one, DOCUMENT_REPLY "1");
    expect_reply(to_two, DOCUMENT_REPLY "2");
    leave(to_one);
    leave(to_two);
    finish(one, TLSMSG_OK);
    finish(two, TLSMSG_OK);
}

/* A socket that was listening before the server was there, as a service manager passes it. */
static void test_socket_handed_over(void **state)
{
    struct tlsmsg_options *o = NULL;
    struct sockaddr_in any = {.sin_family = AF_INET};
    int listener = socket(AF_INET, SOCK_STREAM, 0);
    int other = socket(AF_INET, SOCK_DGRAM, 0);

    (void)state;
    any.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    assert_int_equal(bind(listener, (struct sockaddr *)&any, sizeof(any)), 0);
    assert_int_equal(tlsmsg_options_new(TLSMSG_ROLE_SERVER, &o, NULL), TLSMSG_OK);
    ends_identity_of_server(o, false);
    assert_int_equal(tlsmsg_options_add_listener(o, listener, NULL), TLSMSG_ERR_CONFIG);
    assert_int_equal(tlsmsg_options_add_listener(o, other, NULL), TLSMSG_ERR_CONFIG);
    assert_int_equal(tlsmsg_options_add_listener(o, -1, NULL), TLSMSG_ERR_CONFIG);
    assert_int_equal(listen(listener, 5), 0);
    assert_int_equal(tlsmsg_options_add_listener(o, listener, NULL), TLSMSG_OK);
    assert_int_equal(tlsmsg_options_set_number(o, TLSMSG_OPT_ACCEPT, 1, NULL), TLSMSG_OK);
    server = start(o, NULL);
    assert_null(tlsmsg_server_address(server, 1));
    client = connect_to(server);
    echo("hello");
    part();
    (void)close(listener);
    (void)close(other);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(test_handler_needs_its_size, fresh),
        cmocka_unit_test_setup(test_failing_new_closes_nothing_of_ours, fresh),
        cmocka_unit_test_setup(test_older_structures_are_kept_apart, fresh),
        cmocka_unit_test_setup(test_default_reply_without_a_handler, fresh),
        cmocka_unit_test_setup(test_budget_ends_the_server, fresh),
        cmocka_unit_test_setup(test_a_handshake_does_not_keep_a_full_server, fresh),
        cmocka_unit_test_setup(test_replies_wait_for_a_held_turn, fresh),
        cmocka_unit_test_setup(test_failed_turn_ends_the_server_unanswered, fresh),
        cmocka_unit_test_setup(test_failure_told_by_a_release, fresh),
        cmocka_unit_test_setup(test_deferred_replies_leave_in_order, fresh),
        cmocka_unit_test_setup(test_empty_reply_sends_nothing, fresh),
        cmocka_unit_test_setup(test_stop_drains_idle_conversations, fresh),
        cmocka_unit_test_setup(test_undelivered_reply_is_told_after_the_drain, fresh),
        cmocka_unit_test_setup(test_two_servers_in_one_process, fresh),
        cmocka_unit_test_setup(test_socket_handed_over, fresh),
    };

    return cmocka_run_group_tests(tests, ends_identity_setup, ends_identity_teardown);
}
