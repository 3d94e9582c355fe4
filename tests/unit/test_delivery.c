/* Messages on their way: what becomes of them, and of their numbers, over lost connections. */
#include "support/unit.h"

#include <poll.h>
#include <string.h>

#include "app/client/delivery.h"
#include "support/client_ends.h"
#include "support/test_clock.h"

#define HELLO "HELLO 1 last=0 max=1048576 window=4 promise=none\n"
#define HOURS_MS(n) ((int64_t)(n)*3600 * 1000)

static char greeted_with[2][128];
static char replies[64];

static void note_sent(const struct delivery_message *message, void *user)
{
    (void)message;
    (void)user;
}

static bool note_reply(const struct delivery_message *message, const char *reply, size_t len,
                       void *user)
{
    (void)message;
    (void)user;
    strncat(replies, reply, len);
    return true;
}

static struct delivery begin(struct tlsmsg_client *client)
{
    const struct delivery_style style = {
        .program = "test", .retry_ms = HOURS_MS(24), .sent = note_sent, .answered = note_reply};
    struct delivery d;

    replies[0] = '\0';
    delivery_init(&d, client, &style);
    assert_int_equal(delivery_greet(&d), EXIT_DONE);
    return d;
}

static void add(struct delivery *d, const char *text)
{
    static uint64_t seq;
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

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(goes_on_before_the_first_reply),
        cmocka_unit_test(goes_on_under_a_new_name),
        cmocka_unit_test(gives_up_with_something_unanswered),
    };

    return cmocka_run_group_tests(tests, ends_setup, ends_teardown);
}
