/* Sending, receiving and watching an open connection, and all the ways that it can go wrong. */
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "support/unit.h"

#include "base/build.h"
#include "base/clock.h"
#include "client/internal.h"
#include "support/client_ends.h"
#include "support/test_clock.h"

/* Waits until the client's descriptor is readable: what the peer did has arrived. */
static void await_arrival(const struct tlsmsg_client *client)
{
    struct pollfd entry = {.fd = tlsmsg_client_fd(client), .events = POLLIN};
    assert_int_equal(poll(&entry, 1, PEER_LIMIT_MS), 1);
}

static void take_one_message(struct peer *peer)
{
    char buf[TLS_RECORD_BYTES];
    peer_handshake(peer);
    (void)peer_recv(peer, buf, sizeof(buf));
}

/* --- how a reply can fail -------------------------------------------------------------------- */

static void say_nothing(struct peer *peer)
{
    take_one_message(peer);
    peer_await_cue(peer);
}

static void waits_no_longer_than_told(void **state)
{
    (void)state;
    struct peer *peer = ends_peer();
    struct tlsmsg_client *client = ends_connect(peer, say_nothing, 5000);
    struct tlsmsg_error err = {.code = TLSMSG_OK};
    const char *data;
    size_t len;
    char text[128];
    client->settings.reply_timeout_ms = 30; /* the handshake had more, for slow machines */
    snprintf(text, sizeof(text), "%s: no reply within 0.03 s", peer->address);
    ends_send(client, "hello");
    int64_t before_ns = clock_now_ns();
    assert_int_equal(tlsmsg_client_receive(client, &data, &len, &err), TLSMSG_CLIENT_ERROR);
    assert_in_range((clock_now_ns() - before_ns) / CLOCK_NS_PER_MS, 30, 5000);
    assert_int_equal(err.code, TLSMSG_ERR_TIMEOUT);
    assert_string_equal(err.text, text);
    peer_cue(peer);
    ends_finish(client, peer);
}

/* In plaintext a reply may take as long as it likes, unless the user said otherwise. */
static void waits_as_long_as_the_build_says(void **state)
{
    (void)state;
    struct peer *peer = ends_peer();
    struct tlsmsg_client *client = ends_client(peer, 0);
    assert_int_equal(client->settings.timeout_ms, 10000);
    assert_int_equal(client->settings.reply_timeout_ms, BUILD_HAS_TLS ? 10000 : 0);
    tlsmsg_client_free(client);
    client = ends_client(peer, 700);
    assert_int_equal(client->settings.timeout_ms, 700);
    assert_int_equal(client->settings.reply_timeout_ms, 700);
    tlsmsg_client_free(client);
    peer_free(peer);
}

static void close_in_order(struct peer *peer)
{
    take_one_message(peer);
    peer_end(peer);
}

static void drop_the_connection(struct peer *peer)
{
    take_one_message(peer);
    peer_truncate(peer);
}

static void reset_the_connection(struct peer *peer)
{
    take_one_message(peer);
    peer_reset(peer);
}

static void answer_in_latin1(struct peer *peer)
{
    take_one_message(peer);
    peer_say(peer, "gr\xfc\xdf");
    peer_expect_end(peer);
}

static void end_inside_a_character(struct peer *peer)
{
    take_one_message(peer);
    peer_say(peer, "\xe4\xbd");
    peer_end(peer);
}

static void answer_with_an_alert(struct peer *peer)
{
    take_one_message(peer);
    peer_send_raw(peer, "\x15\x03\x03\x00\x02\x02\x46", 7);
    peer_truncate(peer);
}

static void send_garbage_records(struct peer *peer)
{
    take_one_message(peer);
    peer_send_raw(peer, "\x17\x03\x03\x00\x20garbage garbage garbage garbage.", 37);
    peer_await_cue(peer);
}

static void tells_how_a_reply_failed(void **state)
{
    static const struct {
        void (*play)(struct peer *peer);
        enum tlsmsg_code tls, plain; /* TLSMSG_OK: not to be tried */
    } rows[] = {
        {close_in_order, TLSMSG_ERR_CLOSED, TLSMSG_ERR_CLOSED},
        {drop_the_connection, TLSMSG_ERR_TRUNCATED, TLSMSG_ERR_CLOSED},
        {reset_the_connection, TLSMSG_ERR_RESET, TLSMSG_ERR_RESET},
        {answer_in_latin1, TLSMSG_ERR_UTF8, TLSMSG_ERR_UTF8},
        {end_inside_a_character, TLSMSG_ERR_UTF8, TLSMSG_ERR_UTF8},
        {answer_with_an_alert, TLSMSG_OK, TLSMSG_ERR_IS_TLS},
        {send_garbage_records, TLSMSG_ERR_PROTOCOL, TLSMSG_OK},
    };
    (void)state;
    for (size_t i = 0; i < COUNT_OF(rows); i++) {
        enum tlsmsg_code code = BUILD_HAS_TLS ? rows[i].tls : rows[i].plain;
        if (code == TLSMSG_OK) {
            continue;
        }
        struct peer *peer = ends_peer();
        struct tlsmsg_client *client = ends_connect(peer, rows[i].play, 5000);
        ends_send(client, "hello");
        const struct tlsmsg_error *err = ends_expect_failure(client, code);
        assert_int_equal(strncmp(err->text, peer->address, strlen(peer->address)), 0);
        peer_cue(peer);
        ends_finish(client, peer);
    }
}

/* --- cuts ------------------------------------------------------------------------------------ */

static void cut_a_character_everywhere(struct peer *peer)
{
    peer_handshake(peer);
    peer_expect(peer, "hello");
    peer_send(peer, "a\xe4", 2);
    peer_await_cue(peer);
    peer_send(peer, "\xbd", 1); /* a recv that holds only a tail is no reply */
    peer_tell(peer);
    peer_await_cue(peer);
    peer_send(peer, "\xa0\xf0\x9f\x98", 4);
    peer_await_cue(peer);
    peer_send(peer, "\x80", 1);
    peer_expect_end(peer);
}

static void puts_cut_characters_together(void **state)
{
    (void)state;
    struct peer *peer = ends_peer();
    struct tlsmsg_client *client = ends_connect(peer, cut_a_character_everywhere, 5000);
    struct tlsmsg_error err = {.code = TLSMSG_OK};
    const char *data;
    size_t len;
    ends_send(client, "hello");
    ends_expect(client, "a");
    peer_cue(peer);
    peer_hear(peer);
    await_arrival(client);
    tlsmsg_client_set_blocking(client, false);
    assert_int_equal(tlsmsg_client_receive(client, &data, &len, &err), TLSMSG_CLIENT_AGAIN);
    tlsmsg_client_set_blocking(client, true);
    peer_cue(peer);
    ends_expect(client, "\xe4\xbd\xa0");
    peer_cue(peer);
    ends_expect(client, "\xf0\x9f\x98\x80");
    ends_finish(client, peer);
}

static char *filled(size_t len)
{
    char *data = malloc(len);
    assert_non_null(data);
    memset(data, 'x', len);
    return data;
}

static void answer_with_a_full_record(struct peer *peer)
{
    char *data = malloc(TLS_RECORD_BYTES);
    peer_handshake(peer);
    peer_expect(peer, "hello");
    memset(data, 'x', TLS_RECORD_BYTES);
    peer_send(peer, data, TLS_RECORD_BYTES);
    peer_tell(peer);
    peer_expect_end(peer);
    free(data);
}

/* One recv is one record of 16384 bytes, or 1024 bytes in plaintext. */
static void gives_what_one_recv_gives(void **state)
{
    (void)state;
    struct peer *peer = ends_peer();
    struct tlsmsg_client *client = ends_connect(peer, answer_with_a_full_record, 5000);
    struct tlsmsg_error err = {.code = TLSMSG_OK};
    size_t expected = BUILD_HAS_TLS ? TLS_RECORD_BYTES : 1024;
    const char *data;
    size_t len;
    ends_send(client, "hello");
    peer_hear(peer);
    for (size_t at = 0; at < TLS_RECORD_BYTES; at += len) {
        assert_int_equal(tlsmsg_client_receive(client, &data, &len, &err), TLSMSG_CLIENT_OK);
        assert_int_equal(len, expected);
    }
    ends_finish(client, peer);
}

/* --- limits and blocked sends ---------------------------------------------------------------- */

static void take_the_longest(struct peer *peer)
{
    char *buf = malloc(TLS_RECORD_BYTES);
    peer_handshake(peer);
    if (peer_recv(peer, buf, TLS_RECORD_BYTES) != TLSMSG_RECORD_MESSAGE_MAX) {
        peer_fail(peer, "recv", "the message was not in one record");
    }
    peer_say(peer, "yes");
    peer_expect_end(peer);
    free(buf);
}

static void refuses_a_message_over_the_limit(void **state)
{
    (void)state;
    if (!BUILD_HAS_TLS) {
        skip(); /* plaintext has no limit */
    }
    struct peer *peer = ends_peer();
    struct tlsmsg_client *client = ends_connect(peer, take_the_longest, 5000);
    struct tlsmsg_error err = {.code = TLSMSG_OK};
    char *data = filled(TLSMSG_RECORD_MESSAGE_MAX + 1);
    assert_int_equal(tlsmsg_client_send(client, data, TLSMSG_RECORD_MESSAGE_MAX + 1, &err),
                     TLSMSG_CLIENT_ERROR);
    assert_int_equal(err.code, TLSMSG_ERR_LIMIT);
    assert_string_equal(err.text, "a message of 16001 bytes is over the limit of 16000 bytes");
    tlsmsg_error_clear(&err);
    assert_int_equal(tlsmsg_client_send(client, data, TLSMSG_RECORD_MESSAGE_MAX, &err),
                     TLSMSG_CLIENT_OK);
    ends_expect(client, "yes");
    ends_finish(client, peer);
    free(data);
}

#define LONG_BYTES (3 * 1024 * 1024)

/* Answers each piece before it reads the next one, as the document's server does. */
static void echo_piece_by_piece(struct peer *peer)
{
    char buf[1024];
    size_t at = 0;
    peer_accept(peer);
    peer_shrink_buffer(peer->fd);
    peer_handshake(peer);
    while (at < LONG_BYTES) {
        long got = peer_recv(peer, buf, sizeof(buf));
        if (got <= 0) {
            peer_fail(peer, "echo", "the client ended early");
            return;
        }
        peer_send(peer, buf, (size_t)got);
        at += (size_t)got;
    }
    peer_expect_end(peer);
}

static void receives_ahead_while_a_long_message_leaves(void **state)
{
    (void)state;
    if (BUILD_HAS_TLS) {
        skip(); /* see receives_records_ahead */
    }
    struct peer *peer = ends_peer();
    struct tlsmsg_client *client = ends_connect(peer, echo_piece_by_piece, 20000);
    struct tlsmsg_error err = {.code = TLSMSG_OK};
    char *data = filled(LONG_BYTES);
    const char *reply;
    size_t len;
    peer_shrink_buffer(tlsmsg_client_fd(client));
    assert_int_equal(tlsmsg_client_send(client, data, LONG_BYTES, &err), TLSMSG_CLIENT_OK);
    for (size_t at = 0; at < LONG_BYTES; at += len) {
        assert_int_equal(tlsmsg_client_receive(client, &reply, &len, &err), TLSMSG_CLIENT_OK);
    }
    ends_finish(client, peer);
    free(data);
}

#define EARLY_RECORDS 60
#define LATE_MESSAGES 20

/* Says much before it reads anything. */
static void talk_first(struct peer *peer)
{
    char text[4096];
    peer_accept(peer);
    peer_shrink_buffer(peer->fd);
    peer_handshake(peer);
    peer_await_cue(peer);
    for (unsigned i = 0; i < EARLY_RECORDS; i++) {
        memset(text, 'a' + (int)(i % 26), sizeof(text));
        peer_send(peer, text, sizeof(text));
    }
    for (unsigned i = 0; i < LATE_MESSAGES; i++) {
        size_t at = 0;
        while (at < TLSMSG_RECORD_MESSAGE_MAX) {
            char buf[TLS_RECORD_BYTES];
            long got = peer_recv(peer, buf, sizeof(buf));
            if (got <= 0) {
                peer_fail(peer, "recv", "the client ended early");
                return;
            }
            at += (size_t)got;
        }
    }
    peer_expect_end(peer);
}

static void receives_records_ahead(void **state)
{
    (void)state;
    if (!BUILD_HAS_TLS) {
        skip(); /* see receives_ahead_while_a_long_message_leaves */
    }
    struct peer *peer = ends_peer();
    struct tlsmsg_client *client = ends_connect(peer, talk_first, 20000);
    struct tlsmsg_error err = {.code = TLSMSG_OK};
    char *data = filled(TLSMSG_RECORD_MESSAGE_MAX);
    const char *reply;
    size_t len;
    peer_shrink_buffer(tlsmsg_client_fd(client));
    peer_cue(peer);
    for (unsigned i = 0; i < LATE_MESSAGES; i++) {
        assert_int_equal(tlsmsg_client_send(client, data, TLSMSG_RECORD_MESSAGE_MAX, &err),
                         TLSMSG_CLIENT_OK);
    }
    for (unsigned i = 0; i < EARLY_RECORDS; i++) {
        assert_int_equal(tlsmsg_client_receive(client, &reply, &len, &err), TLSMSG_CLIENT_OK);
        assert_int_equal(len, 4096);
        assert_int_equal(reply[0], 'a' + (int)(i % 26));
    }
    ends_finish(client, peer);
    free(data);
}

static void never_read(struct peer *peer)
{
    peer_accept(peer);
    peer_shrink_buffer(peer->fd);
    peer_handshake(peer);
    peer_await_cue(peer);
}

/* Sends until the server's buffers and ours are full; the client is in its non-blocking form then.
 */
static void block_a_send(struct tlsmsg_client *client, const char *data)
{
    struct tlsmsg_error err = {.code = TLSMSG_OK};
    enum tlsmsg_client_result result = TLSMSG_CLIENT_OK;
    peer_shrink_buffer(tlsmsg_client_fd(client));
    tlsmsg_client_set_blocking(client, false);
    for (unsigned i = 0; i < 10000 && result == TLSMSG_CLIENT_OK; i++) {
        result = tlsmsg_client_send(client, data, TLSMSG_RECORD_MESSAGE_MAX, &err);
    }
    assert_int_equal(result, TLSMSG_CLIENT_AGAIN);
}

/* The server takes nothing: the send ends in time, and closing after it doesn't wait again. */
static void gives_up_a_blocked_send(void **state)
{
    (void)state;
    struct peer *peer = ends_peer();
    struct tlsmsg_client *client = ends_connect(peer, never_read, 5000);
    struct tlsmsg_error err = {.code = TLSMSG_OK};
    char *data = filled(TLSMSG_RECORD_MESSAGE_MAX);
    enum tlsmsg_client_result result = TLSMSG_CLIENT_AGAIN;
    block_a_send(client, data);
    /* The peer's kernel may take some more yet, even all of this message and the next one's begin. */
    for (unsigned i = 0; i < 1000 && result <= TLSMSG_CLIENT_AGAIN; i++) {
        test_clock_advance(result == TLSMSG_CLIENT_AGAIN ? 5000 : 0);
        result = tlsmsg_client_send(client, data, TLSMSG_RECORD_MESSAGE_MAX, &err);
    }
    assert_int_equal(result, TLSMSG_CLIENT_ERROR);
    assert_int_equal(err.code, TLSMSG_ERR_TIMEOUT);
    assert_non_null(strstr(err.text, ": the server took no more of the message within 5 s"));
    tlsmsg_error_clear(&err);
    assert_int_equal(tlsmsg_client_close(client, &err), TLSMSG_CLIENT_OK);
    peer_cue(peer);
    ends_finish(client, peer);
    free(data);
}

static void end_without_reading(struct peer *peer)
{
    peer_accept(peer);
    peer_shrink_buffer(peer->fd);
    peer_handshake(peer);
    peer_await_cue(peer);
    peer_end(peer);
    peer_tell(peer);
    peer_await_cue(peer);
}

/* The connection stays open below, so nothing else would end the wait. */
static void end_during_a_blocked_send_is_told_at_once(void **state)
{
    (void)state;
    struct peer *peer = ends_peer();
    struct tlsmsg_client *client = ends_connect(peer, end_without_reading, 5000);
    struct tlsmsg_error err = {.code = TLSMSG_OK};
    char *data = filled(TLSMSG_RECORD_MESSAGE_MAX);
    enum tlsmsg_client_result result = TLSMSG_CLIENT_AGAIN;
    block_a_send(client, data);
    peer_cue(peer);
    peer_hear(peer);
    /* The kernel may have taken some more of it meanwhile. */
    for (unsigned step = 0; step < 100 && result <= TLSMSG_CLIENT_AGAIN; step++) {
        result = tlsmsg_client_send(client, data, TLSMSG_RECORD_MESSAGE_MAX, &err);
    }
    assert_int_equal(result, TLSMSG_CLIENT_CLOSED);
    assert_int_equal(err.code, TLSMSG_ERR_CLOSED);
    ends_expect_failure(client, TLSMSG_ERR_CLOSED); /* no message is under way any more */
    peer_cue(peer);
    ends_finish(client, peer);
    free(data);
}

/* A blocked send asks for both directions, and goes on with the same message only. */
static void tells_a_foreign_loop_what_a_send_needs(void **state)
{
    (void)state;
    struct peer *peer = ends_peer();
    struct tlsmsg_client *client = ends_connect(peer, never_read, 5000);
    struct tlsmsg_error err = {.code = TLSMSG_OK};
    char *data = filled(TLSMSG_RECORD_MESSAGE_MAX);
    enum tlsmsg_client_result result;
    const char *reply;
    size_t len;
    block_a_send(client, data);
    assert_int_equal(tlsmsg_client_events(client), POLLIN | POLLOUT);
    assert_in_range(tlsmsg_client_timeout_ms(client), 1, 5000);
    assert_int_equal(tlsmsg_client_send(client, data, 5, &err), TLSMSG_CLIENT_ERROR);
    assert_int_equal(err.code, TLSMSG_ERR_STATE);
    tlsmsg_error_clear(&err);
    assert_int_equal(tlsmsg_client_receive(client, &reply, &len, &err), TLSMSG_CLIENT_ERROR);
    assert_int_equal(err.code, TLSMSG_ERR_STATE);
    tlsmsg_error_clear(&err);
    result = tlsmsg_client_send(client, data, TLSMSG_RECORD_MESSAGE_MAX, &err);
    assert_true(result == TLSMSG_CLIENT_AGAIN || result == TLSMSG_CLIENT_OK);
    peer_cue(peer);
    peer_finish(peer);
    tlsmsg_client_free(client);
    peer_free(peer);
    free(data);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(waits_no_longer_than_told),
        cmocka_unit_test(waits_as_long_as_the_build_says),
        cmocka_unit_test(tells_how_a_reply_failed),
        cmocka_unit_test(puts_cut_characters_together),
        cmocka_unit_test(gives_what_one_recv_gives),
        cmocka_unit_test(refuses_a_message_over_the_limit),
        cmocka_unit_test(receives_ahead_while_a_long_message_leaves),
        cmocka_unit_test(receives_records_ahead),
        cmocka_unit_test(gives_up_a_blocked_send),
        cmocka_unit_test(end_during_a_blocked_send_is_told_at_once),
        cmocka_unit_test(tells_a_foreign_loop_what_a_send_needs),
    };
    return cmocka_run_group_tests(tests, ends_setup, ends_teardown);
}
