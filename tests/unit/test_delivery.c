/* Messages on their way: what becomes of them, and of their numbers, over lost connections. */
#include "support/unit.h"

#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>

#include "app/client/delivery.h"
#include "base/clock.h"
#include "support/client_ends.h"
#include "support/test_clock.h"

#define HELLO "HELLO 1 last=0 max=1048576 window=4 promise=none\n"
#define HOURS_MS(n) ((int64_t)(n)*3600 * 1000)

#define LONG_BYTES ((size_t)8 * 1024 * 1024) /* more than a connection holds by itself */

static char greeted_with[2][128];
static char replies[128];
static uint64_t last_sent;
static unsigned times_sent;

static void note_sent(const struct delivery_message *message, void *user)
{
    (void)user;
    assert_int_equal(message->number, last_sent + 1);
    last_sent = message->number;
    times_sent++;
}

static bool note_reply(const struct delivery_message *message, const char *reply, size_t len,
                       void *user)
{
    (void)message;
    (void)user;
    strncat(replies, reply, len);
    return true;
}

static uint64_t seq; /* of the message added last */

static struct delivery begin(struct tlsmsg_client *client)
{
    const struct delivery_style style = {
        .program = "test", .retry_ms = HOURS_MS(24), .sent = note_sent, .answered = note_reply};
    struct delivery d;

    replies[0] = '\0';
    last_sent = seq;
    times_sent = 0;
    delivery_init(&d, client, &style);
    assert_int_equal(delivery_greet(&d), EXIT_DONE);
    return d;
}

static void add(struct delivery *d, const char *text)
{
    struct delivery_message message = {.number = 0};

    seq++;
    message.seq = seq;
    message.number = seq;
    assert_non_null(delivery_add(d, &message, text, strlen(text)));
}

/* Steps until it has come so far, or fails. */
static enum exit_code step_until(struct delivery *d, bool (*done)(const struct delivery *d))
{
    enum exit_code code;

    while ((code = delivery_step(d)) == EXIT_DONE && !done(d)) {
        struct pollfd entry;
        int timeout_ms = delivery_poll(d, &entry);

        (void)poll(&entry, 1, timeout_ms < 0 || timeout_ms > 100 ? 100 : timeout_ms);
    }
    return code;
}

static bool is_empty(const struct delivery *d)
{
    return delivery_head(d) == NULL;
}

static bool is_lost(const struct delivery *d)
{
    return !d->connected;
}

static void take_line(struct peer *peer, char line[128])
{
    size_t len = 0;

    while (len == 0 || (line[len - 1] != '\n' && len < 127)) {
        long got = peer_recv(peer, line + len, 127 - len);

        if (got <= 0) {
            peer_fail(peer, "line", "the client ended early");
            return;
        }
        len += (size_t)got;
    }
    line[len] = '\0';
}

static void meet(struct peer *peer, unsigned time)
{
    peer_handshake(peer);
    take_line(peer, greeted_with[time]);
    peer_say(peer, HELLO);
}

static void leave(struct peer *peer)
{
    char buf[256];

    peer_truncate(peer);
    while (peer_recv(peer, buf, sizeof(buf)) > 0) {
    }
    transport_free(peer->transport);
    peer->transport = NULL;
    peer_close(peer);
}

static void meet_twice(struct peer *peer)
{
    meet(peer, 0);
    peer_expect(peer, "MSG 1 1\na\n");
    peer_say(peer, "OK 1 1\nx\n");
    leave(peer);
    meet(peer, 1);
    peer_expect(peer, "MSG 1 1\nb\nMSG 2 1\nc\n");
    peer_say(peer, "OK 1 1\ny\nOK 2 1\nz\n");
    peer_expect_end(peer);
}

/* The program goes on under a new name, from 1, and says nothing of it: nothing was lost. */
static void goes_on_under_a_new_name(void **state)
{
    struct peer *peer = ends_peer();
    struct tlsmsg_client *client = ends_numbered(peer, meet_twice, "~");
    struct delivery d = begin(client);

    (void)state;
    add(&d, "a");
    assert_int_equal(step_until(&d, is_empty), EXIT_DONE);
    assert_int_equal(step_until(&d, is_lost), EXIT_DONE);
    test_clock_sleep(HOURS_MS(13));
    add(&d, "b");
    add(&d, "c");
    assert_int_equal(step_until(&d, is_empty), EXIT_DONE);
    assert_string_equal(replies, "xyz");
    assert_int_equal(d.bytes, 0);
    assert_int_not_equal(strncmp(greeted_with[0], greeted_with[1], 40), 0);
    assert_non_null(strstr(greeted_with[1], " from=1\n"));
    delivery_fini(&d);
    ends_finish(client, peer);
}

static void meet_and_leave(struct peer *peer)
{
    meet(peer, 0);
    peer_expect(peer, "MSG 1 1\na\n");
    leave(peer);
}

static void gives_up_with_something_unanswered(void **state)
{
    struct peer *peer = ends_peer();
    struct tlsmsg_client *client = ends_numbered(peer, meet_and_leave, "~");
    struct delivery d = begin(client);

    (void)state;
    add(&d, "a");
    assert_int_equal(step_until(&d, is_lost), EXIT_DONE);
    test_clock_sleep(HOURS_MS(13));
    assert_int_equal(step_until(&d, is_empty), EXIT_CUT);
    assert_non_null(strstr(d.err.text, "12 hours"));
    assert_false(is_empty(&d));
    delivery_fini(&d);
    ends_finish(client, peer);
}

static void lose_the_first_reply(struct peer *peer)
{
    meet(peer, 0);
    peer_expect(peer, "MSG 1 1\na\n");
    leave(peer);
    peer_handshake(peer);
    take_line(peer, greeted_with[1]);
    peer_say(peer, "HELLO 1 last=1 max=1048576 window=4 promise=none\n");
    peer_expect(peer, "MSG 1 1\na\n");
    peer_say(peer, "OK 1 1\nx\n");
    peer_expect_end(peer);
}

/* What the server has taken is this program's own, though nothing was answered yet. */
static void goes_on_before_the_first_reply(void **state)
{
    struct peer *peer = ends_peer();
    struct tlsmsg_client *client = ends_numbered(peer, lose_the_first_reply, "~");
    struct delivery d = begin(client);

    (void)state;
    add(&d, "a");
    assert_int_equal(step_until(&d, is_empty), EXIT_DONE);
    assert_string_equal(replies, "x");
    assert_int_equal(strncmp(greeted_with[0], greeted_with[1], 40), 0);
    delivery_fini(&d);
    ends_finish(client, peer);
}

static void leave_twice(struct peer *peer)
{
    meet(peer, 0);
    peer_expect(peer, "MSG 1 1\na\n");
    leave(peer);
    peer_handshake(peer);
    leave(peer);
    meet(peer, 1);
    peer_expect(peer, "MSG 1 1\na\n");
    peer_say(peer, "OK 1 1\nx\n");
    peer_expect_end(peer);
}

/* After an attempt that failed the next one has a time of its own again. */
static void tries_again_later(void **state)
{
    struct peer *peer = ends_peer();
    struct tlsmsg_client *client = ends_numbered(peer, leave_twice, "~");
    struct delivery d = begin(client);
    int64_t before_ns;

    (void)state;
    add(&d, "a");
    assert_int_equal(step_until(&d, is_lost), EXIT_DONE);
    before_ns = d.retry_at_ns;
    test_clock_advance(1000);
    assert_int_equal(delivery_step(&d), EXIT_DONE);
    assert_int_equal(d.attempts, 1);
    assert_false(d.connected);
    assert_true(d.retry_at_ns > before_ns);
    test_clock_advance(1000);
    assert_int_equal(step_until(&d, is_empty), EXIT_DONE);
    assert_string_equal(replies, "x");
    delivery_fini(&d);
    ends_finish(client, peer);
}

/* ---- many at once */

static void take_two_and_then_many(struct peer *peer)
{
    peer_handshake(peer);
    take_line(peer, greeted_with[0]);
    peer_say(peer, "HELLO 1 last=0 max=1048576 window=64 promise=none\n");
    peer_expect(peer, "MSG 1 1\na\nMSG 2 1\na\n");
    peer_say(peer, "OK 1 1\n1\n");
    peer_await_cue(peer);
    peer_expect(peer, "MSG 3 1\nb\nMSG 4 1\nc\nMSG 5 1\nd\nMSG 6 1\ne\nMSG 7 1\nf\nMSG 8 1\ng\n"
                      "MSG 9 1\nh\nMSG 10 1\ni\nMSG 11 1\nj\nMSG 12 1\nk\nMSG 13 1\nl\n"
                      "MSG 14 1\nm\nMSG 15 1\nn\nMSG 16 1\no\nMSG 17 1\np\nMSG 18 1\nq\n"
                      "MSG 19 1\nr\nMSG 20 1\ns\n");
    for (int i = 2; i <= 20; i++) {
        char reply[32];

        (void)snprintf(reply, sizeof(reply), "OK %d 2\n%2d\n", i, i);
        peer_say(peer, reply);
    }
    peer_expect_end(peer);
}

static bool has_one(const struct delivery *d)
{
    return d->count == 1;
}

/* More than there were places for, while the oldest is not in the first place. */
static void keeps_the_order_of_many(void **state)
{
    struct peer *peer = ends_peer();
    struct tlsmsg_client *client = ends_numbered(peer, take_two_and_then_many, NULL);
    struct delivery d = begin(client);

    (void)state;
    add(&d, "a");
    add(&d, "a");
    assert_int_equal(step_until(&d, has_one), EXIT_DONE);
    for (char text[] = "b"; text[0] <= 's'; text[0]++) {
        add(&d, text);
    }
    assert_int_equal(d.count, 19);
    assert_int_equal(d.bytes, 19);
    peer_cue(peer);
    assert_int_equal(step_until(&d, is_empty), EXIT_DONE);
    assert_string_equal(replies, "1 2 3 4 5 6 7 8 91011121314151617181920");
    assert_int_equal(d.bytes, 0);
    assert_int_equal(times_sent, 20);
    delivery_fini(&d);
    ends_finish(client, peer);
}

static void take_a_window(struct peer *peer)
{
    meet(peer, 0);
    peer_expect(peer, "MSG 1 1\na\nMSG 2 1\nb\nMSG 3 1\nc\nMSG 4 1\nd\n");
    peer_await_cue(peer);
    peer_say(peer, "OK 1 1\nv\nOK 2 1\nw\n");
    peer_expect(peer, "MSG 5 1\ne\nMSG 6 1\nf\n");
    peer_say(peer, "OK 3 1\nx\nOK 4 1\ny\nOK 5 1\nz\nOK 6 1\n!\n");
    peer_expect_end(peer);
}

static bool has_sent_four(const struct delivery *d)
{
    return d->sent == 4;
}

/* What is over the server's window waits, and is no failure. */
static void keeps_to_the_window(void **state)
{
    struct peer *peer = ends_peer();
    struct tlsmsg_client *client = ends_numbered(peer, take_a_window, NULL);
    struct delivery d = begin(client);

    (void)state;
    for (char text[] = "a"; text[0] <= 'f'; text[0]++) {
        assert_int_equal(delivery_has_room(&d), text[0] <= 'd');
        add(&d, text);
    }
    assert_int_equal(step_until(&d, has_sent_four), EXIT_DONE);
    assert_int_equal(delivery_step(&d), EXIT_DONE);
    assert_int_equal(times_sent, 4);
    peer_cue(peer);
    assert_int_equal(step_until(&d, is_empty), EXIT_DONE);
    assert_string_equal(replies, "vwxyz!");
    delivery_fini(&d);
    ends_finish(client, peer);
}

/* ---- one that is long */

static char long_text[LONG_BYTES + 1];
static char long_message[LONG_BYTES + 32];

static void take_a_long_one(struct peer *peer)
{
    peer_handshake(peer);
    take_line(peer, greeted_with[0]);
    peer_say(peer, "HELLO 1 last=0 max=16777216 window=4 promise=none\n");
    peer_await_cue(peer);
    peer_expect(peer, long_message);
    peer_say(peer, "OK 1 1\nx\nOK 2 1\ny\n");
    peer_expect_end(peer);
}

/* Part of it has left: it counts as sent, once. */
static void sends_a_long_one_in_parts(void **state)
{
    struct peer *peer = ends_peer();
    struct tlsmsg_client *client = ends_numbered(peer, take_a_long_one, NULL);
    struct delivery d = begin(client);

    (void)state;
    memset(long_text, 'x', LONG_BYTES);
    (void)snprintf(long_message, sizeof(long_message), "MSG 1 %zu\n%s\nMSG 2 1\na\n", LONG_BYTES,
                   long_text);
    peer_shrink_buffer(tlsmsg_client_fd(client));
    add(&d, long_text);
    assert_true(delivery_has_room(&d));
    add(&d, "a");
    for (int i = 0; i < 3; i++) {
        assert_int_equal(delivery_step(&d), EXIT_DONE);
        assert_int_equal(d.sent, 0);
        assert_int_equal(d.ever_sent, 1);
        assert_int_equal(times_sent, 1);
        assert_int_equal(delivery_known(&d), 1);
    }
    peer_cue(peer);
    assert_int_equal(step_until(&d, is_empty), EXIT_DONE);
    assert_string_equal(replies, "xy");
    assert_int_equal(times_sent, 2);
    delivery_fini(&d);
    ends_finish(client, peer);
}

/* ---- how much is taken at once */

static void add_long(struct delivery *d, size_t len)
{
    const struct delivery_message message = {.number = 1};

    assert_non_null(delivery_add(d, &message, long_text, len));
}

static void meet_and_hear_nothing(struct peer *peer)
{
    meet(peer, 0);
    peer_expect_end(peer);
}

static void takes_only_so_much(void **state)
{
    struct peer *peer = ends_peer();
    struct tlsmsg_client *client = ends_numbered(peer, meet_and_hear_nothing, NULL);
    struct delivery d = begin(client);

    (void)state;
    assert_null(delivery_head(&d));
    assert_null(delivery_tail(&d));
    assert_null(delivery_second(&d));
    add_long(&d, LONG_BYTES);
    add_long(&d, LONG_BYTES - 1);
    assert_true(delivery_has_room(&d));
    add_long(&d, 1);
    assert_false(delivery_has_room(&d));
    assert_int_equal(delivery_head(&d)->len, LONG_BYTES);
    assert_int_equal(delivery_tail(&d)->len, 1);
    assert_null(delivery_second(&d)); /* none was sent */
    delivery_fini(&d);
    assert_null(delivery_head(&d));
    assert_true(delivery_has_room(&d));
    ends_finish(client, peer);
}

/* ---- pauses */

static void meet_and_go_deaf(struct peer *peer)
{
    meet(peer, 0);
    peer_expect(peer, "MSG 1 1\na\n");
    (void)shutdown(peer->listener, SHUT_RD);
    leave(peer);
}

/* Twice as long each time, up to a limit, less up to a quarter by what the clock says. */
static void waits_longer_each_time(void **state)
{
    static const int64_t longest_ms[] = {100, 200, 400, 800, 1600, 3200, 5000, 5000};
    struct peer *peer = ends_peer();
    struct tlsmsg_client *client = ends_numbered(peer, meet_and_go_deaf, NULL);
    struct delivery d = begin(client);
    struct pollfd entry;

    (void)state;
    test_clock_stop();
    add(&d, "a");
    assert_int_equal(step_until(&d, is_lost), EXIT_DONE);
    for (size_t i = 0; i < COUNT_OF(longest_ms); i++) {
        int64_t now_us = clock_now_ns() / 1000;
        int64_t pause_ms = longest_ms[i] - now_us % (longest_ms[i] / 4 + 1);

        assert_int_equal(d.retry_at_ns - clock_now_ns(), pause_ms * CLOCK_NS_PER_MS);
        assert_int_equal(delivery_poll(&d, &entry), pause_ms);
        assert_int_equal(entry.fd, -1);
        test_clock_advance(pause_ms - 1);
        assert_int_equal(delivery_step(&d), EXIT_DONE);
        assert_int_equal(d.attempts, i);
        test_clock_advance(1);
        assert_int_equal(delivery_step(&d), EXIT_DONE);
        assert_int_equal(d.attempts, i + 1);
        assert_false(d.connected);
    }
    delivery_fini(&d);
    assert_int_equal(delivery_poll(&d, &entry), -1); /* nothing to connect for */
    ends_finish(client, peer);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(goes_on_before_the_first_reply),
        cmocka_unit_test(goes_on_under_a_new_name),
        cmocka_unit_test(gives_up_with_something_unanswered),
        cmocka_unit_test(tries_again_later),
        cmocka_unit_test(keeps_the_order_of_many),
        cmocka_unit_test(keeps_to_the_window),
        cmocka_unit_test(sends_a_long_one_in_parts),
        cmocka_unit_test(takes_only_so_much),
        cmocka_unit_test(waits_longer_each_time), /* the last: it stops the clock */
    };

    return cmocka_run_group_tests(tests, ends_setup, ends_teardown);
}
