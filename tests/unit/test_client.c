/* Connecting, and a whole conversation in both forms of the calls. */
#include <arpa/inet.h>
#include <netdb.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "support/unit.h"

#include "base/build.h"
#include "base/clock.h"
#include "support/client_ends.h"
#include "support/fake_lookup.h"
#include "support/test_clock.h"

#define REPLY "你好，我已收到你的消息："

static void answer_two(struct peer *peer)
{
    peer_handshake(peer);
    peer_expect(peer, "hello");
    peer_say(peer, REPLY "hello");
    peer_expect(peer, "世界");
    peer_say(peer, REPLY "世界");
    peer_expect_end(peer);
    peer_end(peer);
}

static void holds_a_conversation(void **state)
{
    (void)state;
    struct peer *peer = ends_peer();
    struct tlsmsg_client *client = ends_connect(peer, answer_two, 0);
    const struct tlsmsg_tls *tls = tlsmsg_client_tls(client);
    assert_string_equal(tlsmsg_client_address(client), peer->address);
    assert_int_equal(tls != NULL, BUILD_HAS_TLS);
    assert_int_equal(tls != NULL && tls->version != NULL, BUILD_HAS_TLS);
    assert_int_equal(tls != NULL && tls->cipher != NULL, BUILD_HAS_TLS);
    assert_false(tls != NULL && tls->resumed);
    const struct tlsmsg_certificate *shown = tlsmsg_client_certificate(client, 0);
    assert_int_equal(shown != NULL, BUILD_HAS_TLS);
    assert_int_equal(shown != NULL && shown->pin[0] != '\0', BUILD_HAS_TLS);
    assert_null(tlsmsg_client_certificate(client, 100));
    ends_send(client, "hello");
    ends_expect(client, REPLY "hello");
    ends_send(client, "世界");
    ends_expect(client, REPLY "世界");
    ends_finish(client, peer);
}

/* A foreign loop: waits as the client says, and gives up after a number of steps that only a loop
 * that spins would need. */
struct foreign {
    struct tlsmsg_client *client;
    unsigned steps;
};

static void wait_as_told(struct foreign *loop)
{
    int timeout = tlsmsg_client_timeout_ms(loop->client);
    struct pollfd entry = {.fd = tlsmsg_client_fd(loop->client),
                           .events = tlsmsg_client_events(loop->client)};
    assert_true(++loop->steps < 100);
    assert_true(entry.fd >= 0);
    assert_true((entry.events & (POLLIN | POLLOUT)) != 0);
    assert_true(poll(&entry, 1, timeout < 0 ? PEER_LIMIT_MS : timeout) >= 0);
}

static void works_in_a_foreign_loop(void **state)
{
    (void)state;
    struct peer *peer = ends_peer();
    struct foreign loop = {.client = ends_client(peer, 5000)};
    struct tlsmsg_error err = {.code = TLSMSG_OK};
    enum tlsmsg_client_result result;
    const char *data;
    size_t len;
    static const char *const messages[] = {"hello", "世界"};
    tlsmsg_client_set_blocking(loop.client, false);
    assert_int_equal(tlsmsg_client_fd(loop.client), -1);
    assert_int_equal(tlsmsg_client_events(loop.client), 0);
    assert_int_equal(tlsmsg_client_timeout_ms(loop.client), -1);
    peer_start(peer, answer_two);
    while ((result = tlsmsg_client_connect(loop.client, &err)) == TLSMSG_CLIENT_AGAIN) {
        assert_in_range(tlsmsg_client_timeout_ms(loop.client), 1, 5000);
        wait_as_told(&loop);
    }
    assert_int_equal(result, TLSMSG_CLIENT_OK);
    assert_int_equal(tlsmsg_client_events(loop.client), POLLIN);
    assert_int_equal(tlsmsg_client_timeout_ms(loop.client), -1);
    for (size_t i = 0; i < COUNT_OF(messages); i++) {
        size_t size = strlen(messages[i]);
        while ((result = tlsmsg_client_send(loop.client, messages[i], size, &err)) ==
               TLSMSG_CLIENT_AGAIN) {
            wait_as_told(&loop);
        }
        assert_int_equal(result, TLSMSG_CLIENT_OK);
        while ((result = tlsmsg_client_receive(loop.client, &data, &len, &err)) ==
               TLSMSG_CLIENT_AGAIN) {
            assert_in_range(tlsmsg_client_timeout_ms(loop.client), 1, 5000);
            wait_as_told(&loop);
        }
        assert_int_equal(result, TLSMSG_CLIENT_OK);
        assert_int_equal(len, strlen(REPLY) + size);
        assert_int_equal(tlsmsg_client_timeout_ms(loop.client), -1);
    }
    while ((result = tlsmsg_client_close(loop.client, &err)) == TLSMSG_CLIENT_AGAIN) {
        wait_as_told(&loop);
    }
    assert_int_equal(result, TLSMSG_CLIENT_OK);
    assert_int_equal(tlsmsg_client_fd(loop.client), -1);
    ends_finish(loop.client, peer);
}

/* What connecting came to, and that nothing but freeing is left to do. */
static void expect_failed(struct tlsmsg_client *client, const struct tlsmsg_error *err,
                          enum tlsmsg_code code, const char *text)
{
    struct tlsmsg_error other = {.code = TLSMSG_OK};
    assert_string_equal(err->text, text);
    assert_int_equal(err->code, code);
    assert_int_equal(tlsmsg_client_connect(client, NULL), TLSMSG_CLIENT_ERROR);
    tlsmsg_client_set_blocking(client, true);
    assert_int_equal(tlsmsg_client_close(client, &other), TLSMSG_CLIENT_OK);
    tlsmsg_client_free(client);
}

/* Connects, which has to fail so, within the limit. */
static void expect_no_connection(struct tlsmsg_client *client, enum tlsmsg_code code,
                                 const char *text, int limit_ms)
{
    struct tlsmsg_error err = {.code = TLSMSG_OK};
    int64_t before_ns = clock_now_ns();
    assert_int_equal(tlsmsg_client_connect(client, &err), TLSMSG_CLIENT_ERROR);
    assert_in_range((clock_now_ns() - before_ns) / CLOCK_NS_PER_MS, 0, limit_ms);
    expect_failed(client, &err, code, text);
}

/* Connects as far as it goes; then limit_ms have passed, and it has to fail so. */
static void expect_timeout(struct tlsmsg_client *client, int limit_ms, const char *text)
{
    struct tlsmsg_error err = {.code = TLSMSG_OK};
    tlsmsg_client_set_blocking(client, false);
    for (unsigned step = 0; step < 3; step++) {
        assert_int_equal(tlsmsg_client_connect(client, &err), TLSMSG_CLIENT_AGAIN);
    }
    assert_in_range(tlsmsg_client_timeout_ms(client), 1, limit_ms);
    test_clock_advance(limit_ms);
    assert_int_equal(tlsmsg_client_timeout_ms(client), 0);
    assert_int_equal(tlsmsg_client_connect(client, &err), TLSMSG_CLIENT_ERROR);
    expect_failed(client, &err, TLSMSG_ERR_TIMEOUT, text);
}

static void says_that_nobody_listens(void **state)
{
    (void)state;
    struct peer *peer = ends_peer();
    char text[128];
    struct tlsmsg_client *client = ends_client(peer, 0);
    snprintf(text, sizeof(text), "cannot connect to %s: Connection refused", peer->address);
    peer_free(peer);
    expect_no_connection(client, TLSMSG_ERR_CONNECT, text, PEER_LIMIT_MS);
}

/* Options and a client for a name with the peer's port. */
static struct tlsmsg_options *options_for(const char *name, const struct peer *peer,
                                          int64_t timeout_ms)
{
    struct tlsmsg_error err = {.code = TLSMSG_OK};
    struct tlsmsg_options *options = ends_options(peer, timeout_ms);
    char address[64];
    snprintf(address, sizeof(address), "%s:%u", name, (unsigned)peer->port);
    assert_int_equal(tlsmsg_options_set(options, TLSMSG_OPT_ADDRESS, address, &err), TLSMSG_OK);
    if (BUILD_HAS_TLS) {
        assert_int_equal(tlsmsg_options_set(options, TLSMSG_OPT_SERVER_NAME, "localhost", &err),
                         TLSMSG_OK);
    }
    return options;
}

static struct tlsmsg_client *client_for(const char *name, const struct peer *peer,
                                        int64_t timeout_ms)
{
    struct tlsmsg_error err = {.code = TLSMSG_OK};
    struct tlsmsg_options *options = options_for(name, peer, timeout_ms);
    struct tlsmsg_client *client = NULL;
    assert_int_equal(tlsmsg_client_new(options, &client, &err), TLSMSG_OK);
    tlsmsg_options_free(options);
    return client;
}

static void says_that_a_name_is_unknown(void **state)
{
    (void)state;
    struct peer *peer = ends_peer();
    char text[128];

    snprintf(text, sizeof(text), "cannot look up 'unknown.test': %s", gai_strerror(EAI_NONAME));
    fake_lookup_set("none.test", NULL, 0, 0);
    expect_no_connection(client_for("unknown.test", peer, 0), TLSMSG_ERR_CONNECT, text,
                         PEER_LIMIT_MS);
    peer_free(peer);
}

static void gives_up_a_lookup_in_time(void **state)
{
    (void)state;
    struct peer *peer = ends_peer();
    fake_lookup_block();
    expect_no_connection(client_for("slow.test", peer, 20), TLSMSG_ERR_TIMEOUT,
                         "cannot look up 'slow.test': no answer in time", 5000);
    fake_lookup_release();
    peer_free(peer);
}

/* A listener on 127.0.0.2 with the peer's port that takes no connection: its queue is full, and
 * the kernel drops what comes then. */
struct deaf {
    int listener;
    int queued[3];
};

static struct deaf deaf_new(const struct peer *peer)
{
    struct deaf deaf;
    struct sockaddr_in at = {.sin_family = AF_INET, .sin_port = htons(peer->port)};
    inet_pton(AF_INET, "127.0.0.2", &at.sin_addr);
    deaf.listener = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    assert_int_equal(bind(deaf.listener, (struct sockaddr *)&at, sizeof(at)), 0);
    assert_int_equal(listen(deaf.listener, 0), 0);
    for (size_t i = 0; i < COUNT_OF(deaf.queued); i++) {
        deaf.queued[i] = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
        (void)connect(deaf.queued[i], (struct sockaddr *)&at, sizeof(at));
    }
    return deaf;
}

static void deaf_free(struct deaf *deaf)
{
    close(deaf->listener);
    for (size_t i = 0; i < COUNT_OF(deaf->queued); i++) {
        close(deaf->queued[i]);
    }
}

static void gives_up_connecting_in_time(void **state)
{
    (void)state;
    static const char *const literals[] = {"127.0.0.2"};
    struct peer *peer = ends_peer();
    struct deaf deaf = deaf_new(peer);
    char text[128];
    snprintf(text, sizeof(text), "cannot connect to 127.0.0.2:%u: no answer within 7.5 s",
             (unsigned)peer->port);
    fake_lookup_set("deaf.test", literals, COUNT_OF(literals), 0);
    expect_timeout(client_for("deaf.test", peer, 7500), 7500, text);
    deaf_free(&deaf);
    peer_free(peer);
}

static void names_the_last_of_several_addresses(void **state)
{
    (void)state;
    static const char *const literals[] = {"127.0.0.3", "127.0.0.2"};
    struct peer *peer = ends_peer();
    char text[160];
    snprintf(text, sizeof(text),
             "cannot connect to 127.0.0.2:%u: Connection refused"
             " (the last of 2 addresses of both.test:%u)",
             (unsigned)peer->port, (unsigned)peer->port);
    fake_lookup_set("both.test", literals, COUNT_OF(literals), 0);
    expect_no_connection(client_for("both.test", peer, 0), TLSMSG_ERR_CONNECT, text, PEER_LIMIT_MS);
    peer_free(peer);
}

static void answer_one(struct peer *peer)
{
    peer_handshake(peer);
    peer_expect(peer, "hello");
    peer_say(peer, "yes");
    peer_expect_end(peer);
    peer_end(peer);
}

static void tries_the_next_address(void **state)
{
    (void)state;
    static const char *const literals[] = {"127.0.0.2", "127.0.0.1"};
    struct peer *peer = ends_peer();
    struct tlsmsg_client *client = client_for("both.test", peer, 0);
    struct tlsmsg_error err = {.code = TLSMSG_OK};
    fake_lookup_set("both.test", literals, COUNT_OF(literals), 0);
    peer_start(peer, answer_one);
    assert_int_equal(tlsmsg_client_connect(client, &err), TLSMSG_CLIENT_OK);
    ends_send(client, "hello");
    ends_expect(client, "yes");
    ends_finish(client, peer);
}

/* The dead address gets its share of the time, not all of it. */
static void leaves_time_for_the_next_address(void **state)
{
    (void)state;
    static const char *const literals[] = {"127.0.0.2", "127.0.0.1"};
    struct peer *peer = ends_peer();
    struct deaf deaf = deaf_new(peer);
    struct tlsmsg_client *client = client_for("both.test", peer, 8000);
    struct tlsmsg_error err = {.code = TLSMSG_OK};
    fake_lookup_set("both.test", literals, COUNT_OF(literals), 0);
    peer_start(peer, answer_one);
    tlsmsg_client_set_blocking(client, false);
    assert_int_equal(tlsmsg_client_connect(client, &err), TLSMSG_CLIENT_AGAIN);
    assert_in_range(tlsmsg_client_timeout_ms(client), 1, 4000);
    test_clock_advance(4000);
    tlsmsg_client_set_blocking(client, true);
    assert_int_equal(tlsmsg_client_connect(client, &err), TLSMSG_CLIENT_OK);
    ends_send(client, "hello");
    ends_expect(client, "yes");
    ends_finish(client, peer);
    deaf_free(&deaf);
}

/* Without a timeout an address that doesn't answer at once is waited for, however long. */
static void no_timeout_waits_for_a_slow_address(void **state)
{
    (void)state;
    static const char *const literals[] = {"127.0.0.2"};
    struct peer *peer = ends_peer();
    struct deaf deaf = deaf_new(peer);
    struct tlsmsg_options *options = options_for("deaf.test", peer, 0);
    struct tlsmsg_client *client = NULL;
    struct tlsmsg_error err = {.code = TLSMSG_OK};
    assert_int_equal(tlsmsg_options_set_number(options, TLSMSG_OPT_TIMEOUT, 0, &err), TLSMSG_OK);
    assert_int_equal(tlsmsg_client_new(options, &client, &err), TLSMSG_OK);
    tlsmsg_options_free(options);
    fake_lookup_set("deaf.test", literals, COUNT_OF(literals), 0);
    tlsmsg_client_set_blocking(client, false);
    for (unsigned step = 0; step < 3; step++) {
        assert_int_equal(tlsmsg_client_connect(client, &err), TLSMSG_CLIENT_AGAIN);
        assert_int_equal(tlsmsg_client_timeout_ms(client), -1);
        test_clock_advance((int64_t)3600 * 1000);
    }
    tlsmsg_client_free(client);
    deaf_free(&deaf);
    peer_free(peer);
}

static void accept_and_stay_silent(struct peer *peer)
{
    peer_accept(peer);
    peer_await_cue(peer);
}

static void gives_up_a_handshake_in_time(void **state)
{
    (void)state;
    char text[128];
    struct peer *peer = ends_peer();
    if (!BUILD_HAS_TLS) {
        peer_free(peer);
        skip(); /* there is no handshake */
    }
    snprintf(text, sizeof(text), "%s: the TLS handshake was not finished within 7.5 s",
             peer->address);
    peer_start(peer, accept_and_stay_silent);
    expect_timeout(ends_client(peer, 7500), 7500, text);
    peer_cue(peer);
    peer_finish(peer);
    peer_free(peer);
}

static void speak_plaintext(struct peer *peer)
{
    peer_accept(peer);
    peer_send_raw(peer, "HTTP/1.1 400 Bad Request\r\n\r\n", 28);
    peer_await_cue(peer);
}

static void close_at_once(struct peer *peer)
{
    peer_accept(peer);
    peer_await_bytes(peer); /* the client is connected by now */
    peer_close(peer);
}

static void reset_at_once(struct peer *peer)
{
    peer_accept(peer);
    peer_await_bytes(peer);
    peer_reset(peer);
}

static void end_at_once(struct peer *peer)
{
    peer_accept(peer);
    peer_await_bytes(peer);
    peer_truncate(peer);
    peer_await_cue(peer);
}

static void names_what_ended_the_handshake(void **state)
{
    static const struct {
        void (*play)(struct peer *peer);
        enum tlsmsg_code code;
    } rows[] = {
        {speak_plaintext, TLSMSG_ERR_NOT_TLS},
        {close_at_once, TLSMSG_ERR_RESET}, /* with the client's bytes unread */
        {reset_at_once, TLSMSG_ERR_RESET},
        {end_at_once, TLSMSG_ERR_TRUNCATED},
    };
    (void)state;
    if (!BUILD_HAS_TLS) {
        skip(); /* there is no handshake */
    }
    for (size_t i = 0; i < COUNT_OF(rows); i++) {
        struct peer *peer = ends_peer();
        struct tlsmsg_client *client = ends_client(peer, 5000);
        struct tlsmsg_error err = {.code = TLSMSG_OK};
        peer_start(peer, rows[i].play);
        assert_int_equal(tlsmsg_client_connect(client, &err), TLSMSG_CLIENT_ERROR);
        assert_int_equal(err.code, rows[i].code);
        assert_int_equal(strncmp(err.text, peer->address, strlen(peer->address)), 0);
        peer_cue(peer);
        ends_finish(client, peer);
    }
}

static void see_the_handshake_refused(struct peer *peer)
{
    struct tlsmsg_error err = {.code = TLSMSG_OK};
    peer_accept(peer);
    if (peer->fd < 0 ||
        transport_new(peer->config, &peer->source.base, NULL, &peer->transport, &err)) {
        return;
    }
    while (transport_handshake(peer->transport, &err) != TRANSPORT_ERROR) {
        struct pollfd entry = {.fd = peer->fd, .events = POLLIN};
        if (poll(&entry, 1, PEER_LIMIT_MS) != 1) {
            peer_fail(peer, "handshake", "nothing came");
            return;
        }
        socket_source_ready(&peer->source);
    }
    /* The alert arrived: no reset has overtaken it. */
    if (err.code == TLSMSG_ERR_RESET || err.code == TLSMSG_ERR_TRUNCATED) {
        peer_fail(peer, "handshake", err.text);
    }
}

static void does_not_trust_another_name(void **state)
{
    (void)state;
    if (!BUILD_HAS_TLS) {
        skip(); /* there is nothing to trust */
    }
    struct peer *peer = ends_peer();
    struct tlsmsg_options *options = ends_options(peer, 0);
    struct tlsmsg_client *client = NULL;
    struct tlsmsg_error err = {.code = TLSMSG_OK};
    assert_int_equal(tlsmsg_options_set(options, TLSMSG_OPT_SERVER_NAME, "other.test", &err),
                     TLSMSG_OK);
    assert_int_equal(tlsmsg_client_new(options, &client, &err), TLSMSG_OK);
    tlsmsg_options_free(options);
    peer_start(peer, see_the_handshake_refused);
    assert_int_equal(tlsmsg_client_connect(client, &err), TLSMSG_CLIENT_ERROR);
    assert_int_equal(err.code, TLSMSG_ERR_UNTRUSTED);
    assert_non_null(strstr(err.text, "other.test"));
    ends_finish(client, peer);
}

static void refuses_calls_out_of_turn(void **state)
{
    (void)state;
    struct peer *peer = ends_peer();
    struct tlsmsg_client *client = ends_client(peer, 0);
    struct tlsmsg_error err = {.code = TLSMSG_OK};
    const char *data;
    size_t len;
    assert_int_equal(tlsmsg_client_send(client, "x", 1, &err), TLSMSG_CLIENT_ERROR);
    assert_int_equal(err.code, TLSMSG_ERR_STATE);
    tlsmsg_error_clear(&err);
    assert_int_equal(tlsmsg_client_receive(client, &data, &len, &err), TLSMSG_CLIENT_ERROR);
    assert_int_equal(err.code, TLSMSG_ERR_STATE);
    tlsmsg_error_clear(&err);
    assert_int_equal(tlsmsg_client_watch(client, &err), TLSMSG_CLIENT_ERROR);
    assert_int_equal(err.code, TLSMSG_ERR_STATE);
    tlsmsg_error_clear(&err);
    assert_null(tlsmsg_client_address(client));
    assert_null(tlsmsg_client_tls(client));
    assert_null(tlsmsg_client_certificate(client, 0));
    assert_int_equal(tlsmsg_client_close(client, &err), TLSMSG_CLIENT_OK);
    assert_int_equal(tlsmsg_client_connect(client, &err), TLSMSG_CLIENT_ERROR);
    assert_int_equal(err.code, TLSMSG_ERR_STATE);
    tlsmsg_client_free(client);
    tlsmsg_client_free(NULL);
    peer_free(peer);
}

static void refuses_the_options_of_a_server(void **state)
{
    (void)state;
    struct tlsmsg_options *options = NULL;
    struct tlsmsg_client *client = NULL;
    struct tlsmsg_error err = {.code = TLSMSG_OK};
    assert_int_equal(tlsmsg_options_new(TLSMSG_ROLE_SERVER, &options, &err), TLSMSG_OK);
    assert_int_equal(tlsmsg_client_new(options, &client, &err), TLSMSG_ERR_CONFIG);
    assert_null(client);
    tlsmsg_options_free(options);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(holds_a_conversation),
        cmocka_unit_test(works_in_a_foreign_loop),
        cmocka_unit_test(says_that_nobody_listens),
        cmocka_unit_test(says_that_a_name_is_unknown),
        cmocka_unit_test(gives_up_a_lookup_in_time),
        cmocka_unit_test(gives_up_connecting_in_time),
        cmocka_unit_test(names_the_last_of_several_addresses),
        cmocka_unit_test(tries_the_next_address),
        cmocka_unit_test(leaves_time_for_the_next_address),
        cmocka_unit_test(no_timeout_waits_for_a_slow_address),
        cmocka_unit_test(gives_up_a_handshake_in_time),
        cmocka_unit_test(names_what_ended_the_handshake),
        cmocka_unit_test(does_not_trust_another_name),
        cmocka_unit_test(refuses_calls_out_of_turn),
        cmocka_unit_test(refuses_the_options_of_a_server),
    };
    return cmocka_run_group_tests(tests, ends_setup, ends_teardown);
}
