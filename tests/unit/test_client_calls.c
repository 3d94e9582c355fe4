/* What all calls of a client share, over a transport by script: states, causes, failed writes. */
#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>

#include "support/unit.h"

#include "base/build.h"
#include "base/error.h"
#include "client/internal.h"
#include "support/client_ends.h"
#include "support/scripted_transport.h"
#include "support/test_clock.h"

static enum tlsmsg_client_result receive(void)
{
    const char *data = "";
    size_t len = 1;
    enum tlsmsg_client_result result = tlsmsg_client_receive(client, &data, &len, &err);

    assert_int_equal(data != NULL, result == TLSMSG_CLIENT_OK);
    assert_int_equal(len != 0, result == TLSMSG_CLIENT_OK);
    return result;
}

static void only_an_open_client_exchanges(void **state)
{
    static const char text[] = "the client is not connected";

    (void)state;
    scripted_connect(NULL);
    for (enum client_state at = CLIENT_NEW; at <= CLIENT_DONE; at++) {
        if (at == CLIENT_OPEN) {
            continue;
        }
        client->state = at;
        assert_int_equal(scripted_send("a"), TLSMSG_CLIENT_ERROR);
        scripted_expect_bare(TLSMSG_ERR_STATE, text);
        assert_int_equal(receive(), TLSMSG_CLIENT_ERROR);
        scripted_expect_bare(TLSMSG_ERR_STATE, text);
        assert_int_equal(tlsmsg_client_watch(client, &err), TLSMSG_CLIENT_ERROR);
        scripted_expect_bare(TLSMSG_ERR_STATE, text);
        assert_int_equal(tlsmsg_client_greet(client, &err), TLSMSG_CLIENT_ERROR);
        scripted_expect_bare(TLSMSG_ERR_STATE, text);
        assert_int_equal(client->state, at);
    }
    assert_int_equal(on_send.calls + on_recv.calls, 0);
    scripted_finish();
}

static void only_a_new_client_connects(void **state)
{
    (void)state;
    scripted_connect(NULL);
    for (enum client_state at = CLIENT_OPEN; at <= CLIENT_DONE; at++) {
        client->state = at;
        assert_int_equal(tlsmsg_client_connect(client, &err), TLSMSG_CLIENT_ERROR);
        scripted_expect_bare(TLSMSG_ERR_STATE,
                             "the client is connected already; tlsmsg_client_reset ends that");
    }
    assert_int_equal(scripted.made, 1);
    scripted_finish();
}

static void each_state_waits_for_its_own(void **state)
{
    static const struct {
        enum client_state state;
        short events;
    } rows[] = {
        {CLIENT_NEW, 0},
        {CLIENT_CONNECTING, POLLOUT},
        {CLIENT_HANDSHAKE, POLLPRI},
        {CLIENT_OPEN, POLLIN},
        {CLIENT_FAILED, 0},
        {CLIENT_CLOSING, POLLPRI},
        {CLIENT_DRAINING, POLLIN},
        {CLIENT_DONE, 0},
    };

    (void)state;
    scripted_connect(NULL);
    client->wants = POLLPRI; /* whatever a handshake or closing says */
    for (size_t i = 0; i < COUNT_OF(rows); i++) {
        client->state = rows[i].state;
        assert_int_equal(tlsmsg_client_events(client), rows[i].events);
        client->deadline_ns = in_ms(20);
        assert_int_equal(tlsmsg_client_timeout_ms(client), 20);
        client->deadline_ns = 0;
        assert_int_equal(tlsmsg_client_timeout_ms(client), -1);
    }
    scripted_finish();
}

static void says_whom_it_has_met(void **state)
{
    (void)state;
    scripted_client();
    assert_null(tlsmsg_client_address(client));
    assert_null(tlsmsg_client_tls(client));
    assert_int_equal(scripted_go(), TLSMSG_CLIENT_OK);
    assert_string_equal(tlsmsg_client_address(client), peer->address);
    assert_null(tlsmsg_client_tls(client)); /* there is nothing to say */
    scripted.protocol = "another";
    assert_string_equal(tlsmsg_client_tls(client)->protocol, "another");
    assert_true(tlsmsg_client_fd(client) >= 0);
    assert_int_equal(tlsmsg_client_bye(client), 0);
    scripted_finish();
}

/* As new, but for what its options name and the numbers of its messages. */
static void a_reset_forgets_the_connection(void **state)
{
    (void)state;
    scripted_connect(FRAME_PROTOCOL);
    FOLLOW(on_recv, GIVES("HELLO 1 last=0 max=100 window=3 promise=none\n"),
           GIVES("BYE 503 1\nx\n"));
    assert_int_equal(tlsmsg_client_greet(client, &err), TLSMSG_CLIENT_OK);
    assert_int_equal(tlsmsg_client_watch(client, &err), TLSMSG_CLIENT_ERROR);
    assert_int_equal(tlsmsg_client_bye(client), 503);
    client->wants = POLLOUT;
    client->deadline_ns = in_ms(1);
    client->timed_out = client->broken = client->replied = true;
    client->numbers.next = 9;
    tlsmsg_client_reset(client);
    assert_int_equal(scripted.freed, 1);
    assert_int_equal(client->state, CLIENT_NEW);
    assert_int_equal(client->fd, -1);
    assert_null(client->transport);
    assert_null(client->flow);
    assert_false(client->has_numbers);
    assert_int_equal(client->wants, 0);
    assert_int_equal(client->deadline_ns, 0);
    assert_false(client->timed_out);
    assert_int_equal(client->address_count, 0);
    assert_int_equal(client->address_next, 0);
    assert_string_equal(client->address, "127.0.0.1");
    assert_false(client->opened);
    assert_false(client->broken);
    assert_false(client->replied);
    assert_int_equal(client->end, CLIENT_END_NONE);
    assert_false(client->end_told);
    assert_int_equal(client->end_error.code, TLSMSG_OK);
    assert_string_equal(client->end_error.text, "");
    assert_int_equal(tlsmsg_client_bye(client), 0);
    assert_int_equal(client->numbers.next, 1);
    tlsmsg_client_reset(client); /* once more: nothing is left to forget */
    assert_int_equal(scripted.freed, 1);
    tlsmsg_error_clear(&err);
    assert_int_equal(scripted_go(), TLSMSG_CLIENT_OK);
    scripted_finish();
}

/* The address stands in front unless the cause names it; the numbers go along; the first cause stays. */
static void tells_a_cause_with_its_address(void **state)
{
    struct tlsmsg_error cause = {
        .code = TLSMSG_ERR_PROTOCOL, .sys_errno = 5, .ssl_code = SCRIPT_SSL_CODE};

    (void)state;
    scripted_connect(NULL);
    (void)snprintf(cause.text, sizeof(cause.text), "%s", SCRIPT_TEXT);
    client->deadline_ns = in_ms(1);
    assert_int_equal(client_fail(client, &cause, &err), TLSMSG_CLIENT_ERROR);
    scripted_expect(TLSMSG_ERR_PROTOCOL, 5, SCRIPT_TEXT);
    assert_int_equal(client->state, CLIENT_FAILED);
    assert_int_equal(client->deadline_ns, 0);
    assert_false(client->timed_out);

    cause = (struct tlsmsg_error){.code = TLSMSG_ERR_TIMEOUT};
    (void)snprintf(cause.text, sizeof(cause.text), "not so far as %s", peer->address);
    client->state = CLIENT_OPEN;
    assert_int_equal(client_fail(client, &cause, &err), TLSMSG_CLIENT_ERROR);
    scripted_expect_bare(TLSMSG_ERR_TIMEOUT, cause.text);
    assert_int_equal(client->state, CLIENT_FAILED);
    assert_true(client->timed_out);

    cause.code = TLSMSG_ERR_RESET;
    assert_int_equal(client_fail(client, &cause, NULL), TLSMSG_CLIENT_ERROR);
    assert_false(client->timed_out);
    (void)error_set(&err, TLSMSG_ERR_UTF8, 0, "the first");
    assert_int_equal(client_fail(client, &cause, &err), TLSMSG_CLIENT_ERROR);
    scripted_expect_bare(TLSMSG_ERR_UTF8, "the first");
    scripted_finish();
}

static void an_end_in_order_leaves_the_client_usable(void **state)
{
    (void)state;
    scripted_connect(NULL);
    FOLLOW(on_recv, GIVES("bye"), CLOSES);
    assert_int_equal(scripted_send("a"), TLSMSG_CLIENT_OK);
    assert_int_equal(tlsmsg_client_watch(client, &err), TLSMSG_CLIENT_OK); /* a reply is here */
    assert_false(client->end_told);
    assert_int_equal(receive(), TLSMSG_CLIENT_OK);
    assert_int_equal(scripted_send("b"), TLSMSG_CLIENT_CLOSED);
    scripted_expect(TLSMSG_ERR_CLOSED, 0, SCRIPT_CLOSED);
    assert_true(client->end_told);
    assert_int_equal(client->state, CLIENT_OPEN);
    client->deadline_ns = in_ms(1);
    assert_int_equal(tlsmsg_client_watch(client, &err), TLSMSG_CLIENT_CLOSED);
    scripted_expect(TLSMSG_ERR_CLOSED, 0, SCRIPT_CLOSED);
    assert_int_equal(client->deadline_ns, 0);
    assert_int_equal(on_recv.calls, 2);
    scripted_finish();
}

/* Nothing is read for want of room, but a broken connection makes every poll return. */
static void a_broken_connection_shows_through_a_full_queue(void **state)
{
    struct pollfd entry = {.events = 0};

    (void)state;
    scripted_connect(NULL);
    entry.fd = tlsmsg_client_fd(client);
    client->exchange.queue.bytes.limit = 1;
    peer_accept(peer);
    assert_int_equal(tlsmsg_client_watch(client, &err), TLSMSG_CLIENT_OK);
    peer_reset(peer);
    assert_int_equal(poll(&entry, 1, PEER_LIMIT_MS), 1);
    client->exchange.queue.bytes.limit = CLIENT_QUEUE_MAX;
    assert_int_equal(tlsmsg_client_watch(client, &err), TLSMSG_CLIENT_OK); /* the read will tell */
    client->exchange.queue.bytes.limit = 1;
    assert_int_equal(tlsmsg_client_watch(client, &err), TLSMSG_CLIENT_ERROR);
    scripted_expect(TLSMSG_ERR_RESET, 0, "the connection is broken");
    scripted_finish();
}

/* The server's last word counts for more than the write that failed; without one the write does. */
static void a_failed_write_tells_the_servers_word(void **state)
{
    static const char broken[] = "the connection is broken: Broken pipe";
    static const char reset[] = "the connection is broken: Connection reset by peer";
    static const struct {
        int write_errno;
        struct script_step last;
        enum tlsmsg_code tls, plain;
        int sys_errno;
        const char *text; /* of an error */
    } rows[] = {
        {EPIPE, WANTS_READ, TLSMSG_ERR_RESET, TLSMSG_ERR_RESET, EPIPE, broken},
        {ECONNRESET, WANTS_READ, TLSMSG_ERR_RESET, TLSMSG_ERR_RESET, ECONNRESET, reset},
        {EPIPE, FAILS(TLSMSG_ERR_TRUNCATED), TLSMSG_ERR_TRUNCATED, TLSMSG_ERR_TRUNCATED,
         SCRIPT_ERRNO, SCRIPT_TEXT},
        {ECONNRESET, FAILS(TLSMSG_ERR_TRUNCATED), TLSMSG_ERR_RESET, TLSMSG_ERR_RESET, ECONNRESET,
         reset},
        {ECONNRESET, FAILS(TLSMSG_ERR_REFUSED), TLSMSG_ERR_REFUSED, TLSMSG_ERR_REFUSED,
         SCRIPT_ERRNO, SCRIPT_TEXT},
        {EPIPE, CLOSES, TLSMSG_ERR_CLOSED, TLSMSG_ERR_CLOSED, 0, SCRIPT_CLOSED},
        {ECONNRESET, CLOSES, TLSMSG_ERR_CLOSED, TLSMSG_ERR_RESET, BUILD_HAS_TLS ? 0 : ECONNRESET,
         BUILD_HAS_TLS ? SCRIPT_CLOSED : reset},
    };

    (void)state;
    for (size_t i = 0; i < COUNT_OF(rows); i++) {
        const struct script_step write = {.result = TRANSPORT_OK,
                                          .write_errno = rows[i].write_errno};
        enum tlsmsg_code code = BUILD_HAS_TLS ? rows[i].tls : rows[i].plain;

        scripted_connect(NULL);
        on_send = (struct script){.steps = &write, .count = 1};
        on_recv = (struct script){.steps = &rows[i].last, .count = 1};
        assert_int_equal(scripted_send("hello"),
                         code == TLSMSG_ERR_CLOSED ? TLSMSG_CLIENT_CLOSED : TLSMSG_CLIENT_ERROR);
        scripted_expect(code, rows[i].sys_errno, rows[i].text);
        assert_false(client->exchange.sending);
        /* Where there is no word, it looks as often as it takes to read all that can be there. */
        assert_int_equal(on_recv.calls, rows[i].last.result == TRANSPORT_WANT_READ ? 16 : 1);
        scripted_finish();
        (void)scripted_forget(NULL);
    }
}

static void a_failed_write_ends_in_the_polls_before_the_last_word(void **state)
{
    (void)state;
    scripted_connect(NULL);
    FOLLOW(on_send, {.result = TRANSPORT_OK, .write_errno = EPIPE});
    FOLLOW(on_recv, WANTS_READ, GIVES("so long"), WANTS_READ, WANTS_READ, CLOSES);
    client->source.budget_bytes = 0; /* used up: each poll begins it anew */
    assert_int_equal(scripted_send("hello"), TLSMSG_CLIENT_CLOSED);
    scripted_expect(TLSMSG_ERR_CLOSED, 0, SCRIPT_CLOSED);
    assert_int_equal(client->source.budget_bytes, SOCKET_SOURCE_BUDGET_BYTES);
    assert_int_equal(receive(), TLSMSG_CLIENT_OK);
    assert_int_equal(receive(), TLSMSG_CLIENT_CLOSED);
    scripted_finish();
}

/* Each call is a poll: what is read for it begins anew. */
static void every_call_may_read_as_much(void **state)
{
    (void)state;
    scripted_connect(NULL);
    for (unsigned i = 0; i < 4; i++) {
        client->source.budget_bytes = 0;
        client->source.base.dry = true;
        if (i == 0) {
            (void)scripted_send("a");
        } else if (i == 1) {
            (void)receive();
        } else if (i == 2) {
            (void)tlsmsg_client_watch(client, &err);
        } else {
            (void)tlsmsg_client_greet(client, &err);
        }
        assert_int_equal(client->source.budget_bytes, SOCKET_SOURCE_BUDGET_BYTES);
        assert_false(client->source.base.dry);
    }
    scripted_finish();
}

/* A cause that is not a failed write is the send's own. */
static void a_send_that_cannot_be_tells_why(void **state)
{
    (void)state;
    scripted_connect(NULL);
    FOLLOW(on_send, FAILS(TLSMSG_ERR_PROTOCOL));
    assert_int_equal(scripted_send("hello"), TLSMSG_CLIENT_ERROR);
    scripted_expect(TLSMSG_ERR_PROTOCOL, SCRIPT_ERRNO, SCRIPT_TEXT);
    assert_int_equal(on_recv.calls, 0);
    scripted_finish();

    (void)scripted_forget(NULL);
    scripted_connect(NULL);
    FOLLOW(on_send, CLOSES);
    assert_int_equal(scripted_send("hello"), TLSMSG_CLIENT_CLOSED);
    scripted_expect(TLSMSG_ERR_CLOSED, 0, SCRIPT_CLOSED);
    scripted_finish();
}

/* --- making one ---------------------------------------------------------------------------------- */

static char configured_for[512]; /* the server that a configuration was made for */

enum tlsmsg_code __real_transport_config_new(const struct tls_settings *settings,
                                             struct transport_config *previous,
                                             struct transport_config **out,
                                             struct tlsmsg_error *err);
enum tlsmsg_code __wrap_transport_config_new(const struct tls_settings *settings,
                                             struct transport_config *previous,
                                             struct transport_config **out,
                                             struct tlsmsg_error *err);

enum tlsmsg_code __wrap_transport_config_new(const struct tls_settings *settings,
                                             struct transport_config *previous,
                                             struct transport_config **out,
                                             struct tlsmsg_error *error)
{
    if (!settings->is_server) {
        assert_null(previous);
        (void)snprintf(configured_for, sizeof(configured_for), "%s", settings->server);
    }
    return __real_transport_config_new(settings, previous, out, error);
}

/* By the longest name, too: records of first use are kept under it. */
static void is_made_for_the_server_as_it_was_typed(void **state)
{
    struct tlsmsg_options *options;
    char address[ADDRESS_HOST_MAX + ADDRESS_TEXT_MAX];
    char host[ADDRESS_HOST_MAX] = "";

    (void)state;
    peer = ends_peer();
    for (size_t i = 0; i < ADDRESS_HOST_MAX - 1; i++) {
        host[i] = i % 50 == 49 ? '.' : 'a';
    }
    (void)snprintf(address, sizeof(address), "%s:12345", host);
    for (unsigned i = 0; i < 2; i++) {
        options = ends_options(peer, 0);
        assert_int_equal(tlsmsg_options_set(options, TLSMSG_OPT_ADDRESS,
                                            i == 0 ? "Server.test:443" : address, &err),
                         TLSMSG_OK);
        if (tlsmsg_client_new(options, &client, &err) != TLSMSG_OK) {
            fail_msg("%s", err.text);
        }
        assert_string_equal(configured_for, i == 0 ? "Server.test:443" : address);
        assert_string_equal(client->address, i == 0 ? "Server.test" : host);
        assert_null(tlsmsg_client_warning(client, 0));
        assert_int_equal(client->fd, -1);
        assert_true(client->blocking);
        assert_int_equal(client->numbers.next, 1);
        tlsmsg_client_free(client);
        tlsmsg_options_free(options);
    }
    peer_free(peer);
}

/* An address that can't be one, and a producer that can't be one, are told as they are. */
static void is_not_made_from_bad_options(void **state)
{
    struct tlsmsg_options *options;
    struct tlsmsg_error told = {.code = TLSMSG_OK};
    struct address_name name;

    (void)state;
    peer = ends_peer();
    client = (struct tlsmsg_client *)&options;
    options = ends_options(peer, 0);
    assert_int_equal(tlsmsg_options_set(options, TLSMSG_OPT_ADDRESS, "server.test:x", &err),
                     TLSMSG_OK);
    assert_int_equal(address_parse_connect("server.test:x", &name, &told), TLSMSG_ERR_CONFIG);
    assert_int_equal(tlsmsg_client_new(options, &client, &err), TLSMSG_ERR_CONFIG);
    assert_null(client);
    scripted_expect_bare(TLSMSG_ERR_CONFIG, told.text);
    tlsmsg_options_free(options);
    if (BUILD_HAS_TLS) {
        options = ends_options(peer, 0);
        assert_int_equal(tlsmsg_options_set(options, TLSMSG_OPT_PRODUCER, "job", &err), TLSMSG_OK);
        assert_int_equal(tlsmsg_client_new(options, &client, &err), TLSMSG_ERR_CONFIG);
        assert_null(client);
        scripted_expect_bare(TLSMSG_ERR_CONFIG,
                             "a producer's numbers need tlsmsg/1 (leave --document-flow out)");
        tlsmsg_options_free(options);
    }
    peer_free(peer);
}

static void the_options_of_a_server_make_no_client(void **state)
{
    struct tlsmsg_options *options = NULL;

    (void)state;
    client = (struct tlsmsg_client *)&options;
    assert_int_equal(tlsmsg_options_new(TLSMSG_ROLE_SERVER, &options, &err), TLSMSG_OK);
    assert_int_equal(tlsmsg_client_new(options, &client, &err), TLSMSG_ERR_CONFIG);
    assert_null(client);
    scripted_expect_bare(TLSMSG_ERR_CONFIG, "the options of a server can't make a client");
    tlsmsg_options_free(options);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(only_an_open_client_exchanges, scripted_forget),
        cmocka_unit_test_setup(only_a_new_client_connects, scripted_forget),
        cmocka_unit_test_setup(each_state_waits_for_its_own, scripted_forget),
        cmocka_unit_test_setup(says_whom_it_has_met, scripted_forget),
        cmocka_unit_test_setup(a_reset_forgets_the_connection, scripted_forget),
        cmocka_unit_test_setup(tells_a_cause_with_its_address, scripted_forget),
        cmocka_unit_test_setup(an_end_in_order_leaves_the_client_usable, scripted_forget),
        cmocka_unit_test_setup(a_broken_connection_shows_through_a_full_queue, scripted_forget),
        cmocka_unit_test_setup(a_failed_write_tells_the_servers_word, scripted_forget),
        cmocka_unit_test_setup(a_failed_write_ends_in_the_polls_before_the_last_word,
                               scripted_forget),
        cmocka_unit_test_setup(every_call_may_read_as_much, scripted_forget),
        cmocka_unit_test_setup(a_send_that_cannot_be_tells_why, scripted_forget),
        cmocka_unit_test(is_made_for_the_server_as_it_was_typed),
        cmocka_unit_test(is_not_made_from_bad_options),
        cmocka_unit_test(the_options_of_a_server_make_no_client),
    };
    return cmocka_run_group_tests(tests, ends_setup, ends_teardown);
}
