/* A client in tlsmsg/1: windows, long messages, reconnecting, and servers that break the rules. */
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "support/unit.h"

#include "client/internal.h"
#include "support/client_ends.h"
#include "support/test_clock.h"

#define HELLO "HELLO 1 last=0 max=1048576 window=4 promise=none\n"

/* What the peer says once it has been greeted; set before it plays. */
#define X50 "xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx"
#define X255 X50 X50 X50 X50 X50 "xxxxx"

static const char *said;
static size_t said_cut; /* so many bytes go before the rest */

/* Reads up to and with a line end that `count` lines of frames have. */
static void hear_lines(struct peer *peer, unsigned count)
{
    char buf[TLS_RECORD_BYTES];

    while (count > 0) {
        long got = peer_recv(peer, buf, sizeof(buf));

        if (got <= 0) {
            peer_fail(peer, "hear", "the client ended early");
            return;
        }
        for (long i = 0; i < got && count > 0; i++) {
            count -= buf[i] == '\n';
        }
    }
}

/* Reads until the client has ended, however it does. */
static void hear_out(struct peer *peer)
{
    char buf[TLS_RECORD_BYTES];

    while (peer_recv(peer, buf, sizeof(buf)) > 0) {
    }
}

static void greet_and_leave(struct peer *peer)
{
    peer_handshake(peer);
    hear_lines(peer, 1);
    peer_say(peer, said);
    peer_end(peer);
    hear_out(peer);
}

static void greet_and_stay(struct peer *peer)
{
    peer_handshake(peer);
    hear_lines(peer, 1);
    peer_say(peer, said);
    hear_out(peer);
}

static struct tlsmsg_client *meet(struct peer **peer, void (*play)(struct peer *peer))
{
    *peer = ends_peer();
    return ends_numbered(*peer, play, NULL);
}

/* --- servers that break the rules ------------------------------------------------------------- */

/* Two messages are sent, and the second waits for the answer to the first. */
static void answer_it(struct peer *peer)
{
    peer_handshake(peer);
    hear_lines(peer, 1);
    peer_say(peer, HELLO);
    hear_lines(peer, 4);
    peer_send(peer, said, strlen(said));
    peer_end(peer);
    hear_out(peer);
}

static void refuses_replies_that_break_the_rules(void **state)
{
    static const struct {
        const char *reply;
        unsigned good; /* replies that are received before */
        enum tlsmsg_code code;
        const char *text;
    } rows[] = {
        {"OK 3 1\nx\n", 0, TLSMSG_ERR_PROTOCOL, "a reply to a message that was not sent"},
        {"OK 2 1\nx\n", 0, TLSMSG_ERR_PROTOCOL, "replies out of order"},
        {"OK 1 1\nx\nOK 1 1\nx\n", 1, TLSMSG_ERR_PROTOCOL, "replies out of order"},
        {"OK 1 1\nx\nOK 2 1\ny\nOK 3 1\nz\n", 2, TLSMSG_ERR_PROTOCOL, "that was not sent"},
        {"OK 0 1\nx\n", 0, TLSMSG_ERR_PROTOCOL, "not two numbers"},
        {"OK 1 1049601\nx", 0, TLSMSG_ERR_PROTOCOL, "a reply longer than its max allows"},
        {"OK 1 9223372036854775807\nx", 0, TLSMSG_ERR_PROTOCOL, "longer than its max"},
        {"OK 1 1\nxy\n", 0, TLSMSG_ERR_PROTOCOL, "a body of another length"},
        {"OK 1 2\n\xc3(\n", 0, TLSMSG_ERR_UTF8, "the reply is not valid UTF-8"},
        {"OK 1 2\n\xe4\xb8\n", 0, TLSMSG_ERR_UTF8, "the reply is not valid UTF-8"},
        {HELLO, 0, TLSMSG_ERR_PROTOCOL, "a second HELLO"},
        {"MSG 1 1\nx\n", 0, TLSMSG_ERR_PROTOCOL, "neither HELLO, OK nor BYE"},
        {"hello\n", 0, TLSMSG_ERR_PROTOCOL, "neither HELLO, OK nor BYE"},
        {"OK 1 5\nhel", 0, TLSMSG_ERR_CLOSED, "closed the conversation"},
        {"OK 1 5", 0, TLSMSG_ERR_CLOSED, "closed the conversation"},
        {"OK 1 1\nx\nBYE 503 8\nstopping\n", 1, TLSMSG_ERR_BYE,
         "the server ended the conversation: stopping (BYE 503)"},
        {"BYE 503 2\na\x1b\n", 0, TLSMSG_ERR_BYE, "a\\x1b (BYE 503)"},
        {"BYE 503 260\n" X255 "xxxxx\n", 0, TLSMSG_ERR_BYE, ": " X255 " (BYE 503)"},
        {"BYE 503 2000\nx", 0, TLSMSG_ERR_PROTOCOL, "without a text of 1 to 1024 bytes"},
        {"BYE 503 5\nhel", 0, TLSMSG_ERR_CLOSED, "closed the conversation"},
    };
    (void)state;
    for (size_t i = 0; i < COUNT_OF(rows); i++) {
        struct peer *peer;
        struct tlsmsg_client *client;
        const struct tlsmsg_error *err;

        said = rows[i].reply;
        client = meet(&peer, answer_it);
        ends_send(client, "a");
        ends_send(client, "b");
        for (unsigned good = 0; good < rows[i].good; good++) {
            ends_expect(client, good == 0 ? "x" : "y");
        }
        err = ends_expect_failure(client, rows[i].code);
        if (strstr(err->text, rows[i].text) == NULL) {
            fail_msg("'%s' has not '%s'", err->text, rows[i].text);
        }
        assert_int_equal(tlsmsg_client_bye(client), rows[i].code == TLSMSG_ERR_BYE ? 503 : 0);
        ends_finish(client, peer);
    }
}

static void refuses_greetings_that_break_the_rules(void **state)
{
    static const struct {
        const char *greeting;
        enum tlsmsg_code code;
    } rows[] = {
        {"OK 1 1\nx\n", TLSMSG_ERR_PROTOCOL},
        {"HELLO 2\n", TLSMSG_ERR_PROTOCOL},
        {"HELLO 1 last=0 max=1 window=1\n", TLSMSG_ERR_PROTOCOL},
        {"HELLO 1 last=0 max=0 window=1 promise=none\n", TLSMSG_ERR_PROTOCOL},
        {"HELLO 1 last=0 max=1 window=0 promise=none\n", TLSMSG_ERR_PROTOCOL},
        {"HELLO 1 last=0 max=1 window=1 promise=perhaps\n", TLSMSG_ERR_PROTOCOL},
        {"HELLO 1 last=0 last=0 max=1 window=1 promise=none\n", TLSMSG_ERR_PROTOCOL},
        {"BYE 409 10\ntaken over\n", TLSMSG_ERR_BYE},
        {"HELLO 1 last=0", TLSMSG_ERR_CLOSED},
    };
    (void)state;
    for (size_t i = 0; i < COUNT_OF(rows); i++) {
        struct tlsmsg_error err = {.code = TLSMSG_OK};
        struct peer *peer;
        struct tlsmsg_client *client;

        said = rows[i].greeting;
        client = meet(&peer, greet_and_leave);
        (void)tlsmsg_client_greet(client, &err);
        assert_int_equal(err.code, rows[i].code);
        assert_null(tlsmsg_client_hello(client));
        ends_finish(client, peer);
    }
}

static void believes_no_sizes_beyond_reason(void **state)
{
    struct peer *peer;
    struct tlsmsg_client *client;
    const struct tlsmsg_greeting *hello;
    struct tlsmsg_error err = {.code = TLSMSG_OK};

    (void)state;
    said = "HELLO 1 last=9223372036854775807 max=9223372036854775807 "
           "window=9223372036854775807 promise=replicated later=1\n";
    client = meet(&peer, greet_and_stay);
    assert_int_equal(tlsmsg_client_greet(client, &err), TLSMSG_CLIENT_OK);
    hello = tlsmsg_client_hello(client);
    assert_int_equal(hello->max, 64 * 1024 * 1024);
    assert_int_equal(hello->window, 65536);
    assert_int_equal(hello->promise, TLSMSG_PROMISE_REPLICATED);
    /* Numbers that are not this client's. */
    assert_int_equal(tlsmsg_client_send(client, "a", 1, &err), TLSMSG_CLIENT_ERROR);
    assert_int_equal(err.code, TLSMSG_ERR_STATE);
    ends_finish(client, peer);
}

/* --- cuts ------------------------------------------------------------------------------------- */

static void answer_in_pieces(struct peer *peer)
{
    static const char replies[] = "OK 1 6\n世界\nOK 2 1\ny\n";
    size_t cut = said_cut < sizeof(replies) - 1 ? said_cut : 1;

    peer_handshake(peer);
    hear_lines(peer, 1);
    peer_send(peer, HELLO, said_cut);
    peer_send(peer, &HELLO[said_cut], strlen(HELLO) - said_cut);
    hear_lines(peer, 4);
    peer_send(peer, replies, cut);
    peer_send(peer, replies + cut, sizeof(replies) - 1 - cut);
    peer_expect_end(peer);
}

static void takes_frames_cut_at_every_byte(void **state)
{
    (void)state;
    for (said_cut = 1; said_cut < strlen(HELLO); said_cut++) {
        struct peer *peer;
        struct tlsmsg_client *client = meet(&peer, answer_in_pieces);

        ends_send(client, "a");
        ends_send(client, "b");
        assert_int_equal(tlsmsg_client_unanswered(client), 2);
        ends_expect(client, "世界");
        assert_int_equal(tlsmsg_client_reply_number(client), 1);
        ends_expect(client, "y");
        assert_int_equal(tlsmsg_client_reply_number(client), 2);
        assert_int_equal(tlsmsg_client_unanswered(client), 0);
        ends_finish(client, peer);
    }
    said_cut = 0;
}

/* --- windows and long messages ---------------------------------------------------------------- */

/* Echoes: n frames, each with its number and its bytes. */
static void echo(struct peer *peer)
{
    char *in = malloc(4 * 1024 * 1024);
    size_t have = 0;
    long got;

    peer_accept(peer);
    peer_shrink_buffer(peer->fd);
    peer_handshake(peer);
    hear_lines(peer, 1);
    peer_say(peer, HELLO);
    while ((got = peer_recv(peer, in + have, TLS_RECORD_BYTES)) > 0) {
        unsigned long number, len;
        char head[64];
        int head_len = 0;

        have += (size_t)got;
        in[have] = '\0'; /* for sscanf */
        while (have > 0 && memchr(in, '\n', have) != NULL &&
               sscanf(in, "MSG %lu %lu%n", &number, &len, &head_len) == 2 &&
               have >= (size_t)head_len + len + 2) {
            size_t all = (size_t)head_len + len + 2;

            (void)snprintf(head, sizeof(head), "OK %lu %lu\n", number, len);
            peer_say(peer, head);
            peer_send(peer, in + head_len + 1, len + 1);
            memmove(in, in + all, have - all);
            have -= all;
            in[have] = '\0';
        }
    }
    free(in);
}

static void the_window_is_the_servers(void **state)
{
    struct peer *peer;
    struct tlsmsg_client *client = meet(&peer, echo);
    struct tlsmsg_error err = {.code = TLSMSG_OK};
    char text[16];

    (void)state;
    for (unsigned n = 1; n <= 4; n++) {
        (void)snprintf(text, sizeof(text), "%u", n);
        ends_send(client, text);
        assert_int_equal(tlsmsg_client_number(client), n);
    }
    assert_int_equal(tlsmsg_client_send(client, "5", 1, &err), TLSMSG_CLIENT_FULL);
    assert_int_equal(tlsmsg_client_send(client, "5", 1, &err), TLSMSG_CLIENT_FULL);
    ends_expect(client, "1");
    ends_send(client, "5");
    assert_int_equal(tlsmsg_client_send(client, "6", 1, &err), TLSMSG_CLIENT_FULL);
    for (unsigned n = 2; n <= 5; n++) {
        (void)snprintf(text, sizeof(text), "%u", n);
        ends_expect(client, text);
    }
    assert_int_equal(err.code, TLSMSG_OK);
    ends_finish(client, peer);
}

/* Both ends have small buffers and the peer answers before it reads on: who only sends would wait
 * for ever. */
static void long_messages_go_both_ways(void **state)
{
    struct peer *peer;
    struct tlsmsg_client *client = meet(&peer, echo);
    struct tlsmsg_error err = {.code = TLSMSG_OK};
    size_t len = 1048576;
    char *data = malloc(len + 1);
    const char *reply;
    size_t reply_len;
    unsigned sent = 0;
    unsigned received = 0;

    (void)state;
    memset(data, 'x', len + 1);
    peer_shrink_buffer(tlsmsg_client_fd(client));
    while (received < 6) {
        enum tlsmsg_client_result result =
            sent < 6 ? tlsmsg_client_send(client, data, len, &err) : TLSMSG_CLIENT_FULL;

        if (result == TLSMSG_CLIENT_OK) {
            sent++;
            continue;
        }
        assert_int_equal(result, TLSMSG_CLIENT_FULL);
        assert_int_equal(tlsmsg_client_receive(client, &reply, &reply_len, &err), TLSMSG_CLIENT_OK);
        assert_int_equal(reply_len, len);
        received++;
        assert_true(client->numbered.in.cap < 8 * len);
    }
    assert_int_equal(tlsmsg_client_send(client, data, len + 1, &err), TLSMSG_CLIENT_ERROR);
    assert_int_equal(err.code, TLSMSG_ERR_LIMIT);
    ends_send(client, "still there");
    ends_expect(client, "still there");
    free(data);
    ends_finish(client, peer);
}

static void nothing_due_is_told_at_once(void **state)
{
    struct peer *peer;
    struct tlsmsg_client *client = meet(&peer, echo);
    struct tlsmsg_error err = {.code = TLSMSG_OK};

    (void)state;
    assert_int_equal(tlsmsg_client_greet(client, &err), TLSMSG_CLIENT_OK);
    (void)ends_expect_failure(client, TLSMSG_ERR_STATE);
    ends_send(client, "a");
    ends_expect(client, "a");
    assert_int_equal(tlsmsg_client_timeout_ms(client), -1);
    ends_finish(client, peer);
}

/* --- reconnecting ----------------------------------------------------------------------------- */

static char greeted_with[2][128];

static void take_line(struct peer *peer, char line[128])
{
    size_t len = 0;

    do {
        long got = peer_recv(peer, line + len, 127 - len);

        if (got <= 0) {
            peer_fail(peer, "line", "the client ended early");
            return;
        }
        len += (size_t)got;
    } while (line[len - 1] != '\n' && len < 127);
    line[len] = '\0';
}

/* Answers one of three messages and drops the connection; then has the second one, too. */
static void lose_one(struct peer *peer)
{
    peer_handshake(peer);
    take_line(peer, greeted_with[0]);
    peer_say(peer, HELLO);
    hear_lines(peer, 6);
    peer_say(peer, "OK 1 1\nx\n");
    peer_truncate(peer);
    hear_out(peer);
    transport_free(peer->transport);
    peer->transport = NULL;
    peer_close(peer);

    peer_handshake(peer);
    take_line(peer, greeted_with[1]);
    peer_say(peer, "HELLO 1 last=2 max=1048576 window=4 promise=none\n");
    peer_expect(peer, "MSG 2 1\nb\nMSG 3 1\nc\n");
    peer_say(peer, "OK 2 1\ny\nOK 3 1\nz\n");
    peer_expect_end(peer);
}

static void goes_on_after_a_lost_connection(void **state)
{
    struct peer *peer = ends_peer();
    struct tlsmsg_client *client = ends_numbered(peer, lose_one, "~");
    struct tlsmsg_error err = {.code = TLSMSG_OK};
    char *from;

    (void)state;
    ends_send(client, "a");
    ends_send(client, "b");
    ends_send(client, "c");
    ends_expect(client, "x"); /* what came before the end is given first */
    (void)ends_expect_failure(client, TLSMSG_ERR_TRUNCATED);
    tlsmsg_client_reset(client);
    assert_int_equal(tlsmsg_client_unanswered(client), 0);
    assert_int_equal(tlsmsg_client_number(client), 0);
    assert_null(tlsmsg_client_hello(client));
    assert_int_equal(tlsmsg_client_connect(client, &err), TLSMSG_CLIENT_OK);
    ends_send(client, "b");
    assert_int_equal(tlsmsg_client_number(client), 2);
    ends_send(client, "c");
    ends_expect(client, "y");
    ends_expect(client, "z");
    ends_finish(client, peer);
    assert_int_equal(strncmp(greeted_with[0], "HELLO 1 producer=~", 18), 0);
    from = strstr(greeted_with[0], " from=1\n");
    assert_non_null(from);
    assert_int_equal(from - (greeted_with[0] + 18), 22); /* 128 bits and more */
    assert_int_equal(strncmp(greeted_with[0], greeted_with[1], (size_t)(from - greeted_with[0])),
                     0);
    assert_non_null(strstr(greeted_with[1], " from=2\n"));
}

/* --- a name that was made lives twelve hours without a connection ------------------------------- */

#define HOURS_MS(n) ((int64_t)(n)*3600 * 1000)

/* Two connections, a message each. */
static void meet_twice(struct peer *peer)
{
    peer_handshake(peer);
    take_line(peer, greeted_with[0]);
    peer_say(peer, HELLO);
    hear_lines(peer, 2);
    peer_say(peer, "OK 1 1\nx\n");
    hear_out(peer);
    transport_free(peer->transport);
    peer->transport = NULL;
    peer_close(peer);

    peer_handshake(peer);
    take_line(peer, greeted_with[1]);
    peer_say(peer, strstr(greeted_with[1], "from=1\n") != NULL
                       ? HELLO
                       : "HELLO 1 last=1 max=1048576 window=4 promise=none\n");
    hear_lines(peer, 2);
    peer_say(peer, strstr(greeted_with[1], "from=1\n") != NULL ? "OK 1 1\ny\n" : "OK 2 1\ny\n");
    peer_expect_end(peer);
}

static void a_made_name_is_changed_after_twelve_idle_hours(void **state)
{
    static const struct {
        int64_t hours;
        bool is_new;
    } rows[] = {{11, false}, {13, true}};

    (void)state;
    for (size_t i = 0; i < COUNT_OF(rows); i++) {
        struct peer *peer = ends_peer();
        struct tlsmsg_client *client = ends_numbered(peer, meet_twice, "~");
        struct tlsmsg_error err = {.code = TLSMSG_OK};

        ends_send(client, "a");
        ends_expect(client, "x");
        tlsmsg_client_reset(client);
        test_clock_sleep(HOURS_MS(rows[i].hours));
        if (tlsmsg_client_connect(client, &err) != TLSMSG_CLIENT_OK) {
            fail_msg("%s", err.text);
        }
        ends_send(client, "b");
        assert_int_equal(tlsmsg_client_number(client), rows[i].is_new ? 1 : 2);
        ends_expect(client, "y");
        ends_finish(client, peer);
        assert_int_equal(strncmp(greeted_with[0], greeted_with[1], 40) != 0, rows[i].is_new);
        assert_non_null(strstr(greeted_with[1], rows[i].is_new ? " from=1\n" : " from=2\n"));
    }
}

static void leave_unanswered(struct peer *peer)
{
    peer_handshake(peer);
    take_line(peer, greeted_with[0]);
    peer_say(peer, HELLO);
    hear_lines(peer, 2);
    peer_truncate(peer);
    hear_out(peer);
}

/* Sent again under the old name it may be taken twice, under a new one too: the user decides. */
static void nothing_unanswered_is_sent_after_twelve_hours(void **state)
{
    struct peer *peer = ends_peer();
    struct tlsmsg_client *client = ends_numbered(peer, leave_unanswered, "~");
    struct tlsmsg_error err = {.code = TLSMSG_OK};

    (void)state;
    ends_send(client, "a");
    (void)ends_expect_failure(client, TLSMSG_ERR_TRUNCATED);
    tlsmsg_client_reset(client);
    test_clock_sleep(HOURS_MS(13));
    assert_int_equal(tlsmsg_client_connect(client, &err), TLSMSG_CLIENT_ERROR);
    assert_int_equal(err.code, TLSMSG_ERR_STATE);
    assert_non_null(strstr(err.text, "12 hours"));
    ends_finish(client, peer);
}

static void go_on_at_seven(struct peer *peer)
{
    peer_handshake(peer);
    peer_expect(peer, "HELLO 1 producer=job from=1\n");
    peer_say(peer, "HELLO 1 last=7 max=1048576 window=4 promise=disk\n");
    peer_expect(peer, "MSG 7 1\ng\nMSG 8 1\nh\n");
    peer_say(peer, "OK 7 1\ng\nOK 8 1\nh\n");
    peer_expect_end(peer);
}

/* A number that the server has is given to no new message by mistake. */
static void a_named_producer_says_where_it_goes_on(void **state)
{
    struct peer *peer = ends_peer();
    struct tlsmsg_client *client = ends_numbered(peer, go_on_at_seven, "job");
    struct tlsmsg_error err = {.code = TLSMSG_OK};

    (void)state;
    assert_int_equal(tlsmsg_client_send(client, "a", 1, &err), TLSMSG_CLIENT_ERROR);
    assert_int_equal(err.code, TLSMSG_ERR_STATE);
    tlsmsg_error_clear(&err);
    assert_int_equal(tlsmsg_client_number_from(client, 9, &err), TLSMSG_ERR_STATE);
    tlsmsg_error_clear(&err);
    assert_int_equal(tlsmsg_client_number_from(client, 7, &err), TLSMSG_OK);
    ends_send(client, "g");
    ends_send(client, "h");
    assert_int_equal(tlsmsg_client_number_from(client, 9, &err), TLSMSG_ERR_STATE);
    ends_expect(client, "g");
    ends_expect(client, "h");
    ends_finish(client, peer);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(refuses_replies_that_break_the_rules),
        cmocka_unit_test(refuses_greetings_that_break_the_rules),
        cmocka_unit_test(believes_no_sizes_beyond_reason),
        cmocka_unit_test(takes_frames_cut_at_every_byte),
        cmocka_unit_test(the_window_is_the_servers),
        cmocka_unit_test(long_messages_go_both_ways),
        cmocka_unit_test(nothing_due_is_told_at_once),
        cmocka_unit_test(goes_on_after_a_lost_connection),
        cmocka_unit_test(a_made_name_is_changed_after_twelve_idle_hours),
        cmocka_unit_test(nothing_unanswered_is_sent_after_twelve_hours),
        cmocka_unit_test(a_named_producer_says_where_it_goes_on),
    };
    return cmocka_run_group_tests(tests, ends_setup, ends_teardown);
}
