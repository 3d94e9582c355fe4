/* What a server counts of its conversations and their messages, and what its functions for other
 * threads do with names of what isn't there. */
#include "support/unit.h"

#include <stdlib.h>
#include <string.h>

#include "base/build.h"
#include "support/play.h"

#define REPLY SCENE_REPLY

static void begin(unsigned peer_count)
{
    play_begin(scene_server_new(TLSMSG_OPT_COUNT), peer_count);
}

static struct tlsmsg_stats counted(void)
{
    struct tlsmsg_stats stats = {.size = sizeof(stats)};

    tlsmsg_server_stats(server, &stats);
    return stats;
}

/* --- counters --------------------------------------------------------------------------------- */

static bool two_are_counted(struct scene *s)
{
    const struct tlsmsg_stats stats = counted();
    uint64_t latency = 0;

    (void)s;
    assert_int_equal(stats.open, 2);
    assert_int_equal(stats.handshaking, 0);
    assert_int_equal(stats.conversations, 2);
    assert_int_equal(stats.resumed, 0);
    assert_int_equal(stats.tls12, BUILD_HAS_TLS ? 1 : 0);
    assert_int_equal(stats.messages, 2);
    assert_int_equal(stats.replies, 2);
    assert_int_equal(stats.bytes_in, strlen("abc"));
    assert_int_equal(stats.bytes_out, strlen(REPLY "a" REPLY "bc"));
    assert_int_equal(stats.queued_bytes, 0);
    assert_int_equal(stats.buffered_bytes, 0);
    assert_int_equal(stats.numbered, 0);
    for (int i = 0; i < TLSMSG_LATENCY_BUCKETS; i++) {
        latency += stats.latency[i];
    }
    assert_int_equal(latency, 2);
    return true;
}

static void test_what_is_counted(void **state)
{
    static const struct act acts[] = {
        {.says = "a"},
        {.hears = REPLY "a"},
        {.peer = 1, .says = "bc"},
        {.peer = 1, .hears = REPLY "bc"},
        {.does = two_are_counted},
        {.leaves = true, .has_left = true},
        {.peer = 1, .leaves = true, .has_left = true},
    };
    struct tlsmsg_stats stats;
    int old;

    (void)state;
    begin(1);
    old = stepped_connect(server);
    assert_true(old >= 0);
    raw_peer_init(&peers[scene.peer_count++], old, true);
    ACTS_PLAY(&scene, acts);
    stats = counted();
    assert_int_equal(stats.open, 0);
    assert_int_equal(stats.closed[TLSMSG_CLOSE_CLEAN], 2);
    assert_int_equal(scene.connected, 2);
    play_end();
}

static bool comes_back(struct scene *s)
{
    raw_peer_resume(&s->peers[0]);
    return scene_enter(s, -1);
}

/* Each once, whether its client was here before or not. */
static void test_a_session_that_is_resumed_is_counted(void **state)
{
    static const struct act acts[] = {
        {.says = "a"},
        {.hears = REPLY "a", .does = comes_back},
        {.peer = 1, .says = "b"},
        {.peer = 1, .hears = REPLY "b", .leaves = true, .has_left = true},
        {.leaves = true, .has_left = true},
    };

    (void)state;
    if (!BUILD_HAS_TLS) {
        skip();
    }
    begin(1);
    ACTS_PLAY(&scene, acts);
    raw_peer_resume(NULL);
    assert_int_equal(counted().resumed, 1);
    assert_int_equal(counted().conversations, 2);
    play_end();
}

static bool held_one_is_counted(struct scene *s)
{
    const struct tlsmsg_stats stats = counted();

    (void)s;
    assert_int_equal(stats.messages, 1);
    assert_int_equal(stats.replies, 0);
    assert_int_equal(stats.queued_bytes, strlen(REPLY "a"));
    assert_int_equal(stats.buffered_bytes, strlen(REPLY "a"));
    assert_int_equal(stats.bytes_out, 0);
    return true;
}

/* From when a message came until its reply may leave. */
static void test_latency_includes_a_hold(void **state)
{
    static const struct act acts[] = {
        {.holds = "a"},
        {.does = held_one_is_counted, .passes_ms = 5000},
        {.does = scene_release},
        {.hears = REPLY "a", .leaves = true, .has_left = true},
    };
    struct tlsmsg_stats stats;

    (void)state;
    begin(1);
    ACTS_PLAY(&scene, acts);
    stats = counted();
    assert_int_equal(stats.latency[TLSMSG_LATENCY_BUCKETS - 1], 1);
    assert_in_range(stats.latency_sum_us, 5000000, 25000000);
    assert_int_equal(stats.replies, 1);
    play_end();
}

/* --- names of what isn't there ---------------------------------------------------------------- */

static bool others_are_named(struct scene *s)
{
    struct tlsmsg_token token = s->last_message;
    struct tlsmsg_token far = token;

    /* A greeting's answer, where nobody has greeted. */
    assert_int_equal(tlsmsg_server_hello(s->server, &token, 3, TLSMSG_PROMISE_DISK), TLSMSG_OK);
    /* Of a worker that there isn't. */
    far.worker = 1;
    assert_int_equal(tlsmsg_server_hello(s->server, &far, 3, TLSMSG_PROMISE_DISK), TLSMSG_OK);
    assert_int_equal(tlsmsg_server_refuse(s->server, &far, 503), TLSMSG_OK);
    assert_int_equal(tlsmsg_server_reply(s->server, &far, "x", 1), TLSMSG_OK);
    tlsmsg_server_release(s->server, 1, true);
    /* Of a message that was answered. */
    assert_int_equal(tlsmsg_server_reply(s->server, &token, "x", 1), TLSMSG_OK);
    /* Of a slot that there isn't, and of another's. */
    token.slot = 4711;
    assert_int_equal(tlsmsg_server_refuse(s->server, &token, 503), TLSMSG_OK);
    token.slot = 0;
    token.connection = 9;
    assert_int_equal(tlsmsg_server_refuse(s->server, &token, 503), TLSMSG_OK);
    return true;
}

static void test_names_of_others_change_nothing(void **state)
{
    static const struct act acts[] = {
        {.says = "a"},
        {.hears = REPLY "a", .does = others_are_named},
        {.says = "b"},
        {.hears = REPLY "b", .leaves = true, .has_left = true},
    };

    (void)state;
    begin(1);
    ACTS_PLAY(&scene, acts);
    assert_string_equal(scene.told, "closed 1: clean, 2 messages\n");
    play_end();
}

/* --- how long a reply may be ------------------------------------------------------------------ */

static char *reply; /* a byte more than may be */

static size_t longest(const struct tlsmsg_server *s)
{
    size_t numbered = s->settings.max_message_bytes + NUMBERED_REPLY_EXTRA;

    return numbered > REPLY_MAX_BYTES ? numbered : REPLY_MAX_BYTES;
}

static void test_longest_reply_from_another_thread(void **state)
{
    static const struct act acts[] = {{.does = scene_is_open, .leaves = true, .has_left = true}};
    const struct tlsmsg_token nobody = {.connection = 99};
    size_t most;

    (void)state;
    begin(1);
    for (int i = 0; i < 2; i++) {
        server->settings.max_message_bytes = i == 0 ? 1024 : 2 * (size_t)1024 * 1024;
        most = longest(server);
        reply = calloc(1, most + 1);
        assert_non_null(reply);
        assert_int_equal(tlsmsg_server_reply(server, &nobody, reply, most), TLSMSG_OK);
        assert_int_equal(tlsmsg_server_reply(server, &nobody, reply, most + 1), TLSMSG_ERR_LIMIT);
        free(reply);
    }
    ACTS_PLAY(&scene, acts);
    play_end();
}

/* The longest at once, one byte more, and twice. */
static enum tlsmsg_code codes[4];

static void answer_at_length(struct tlsmsg_message *message, void *user)
{
    const size_t half = REPLY_MAX_BYTES / 2;
    const struct iovec too_long[] = {{.iov_base = reply, .iov_len = half},
                                     {.iov_base = reply, .iov_len = half + 1}};
    const struct iovec fits[] = {{.iov_base = reply, .iov_len = half},
                                 {.iov_base = reply, .iov_len = half}};
    struct tlsmsg_token token;

    (void)user;
    codes[0] = tlsmsg_message_reply(message, too_long, 2);
    codes[1] = tlsmsg_message_reply(message, fits, 2);
    codes[2] = tlsmsg_message_reply(message, fits, 1);
    codes[3] = tlsmsg_message_defer(message, &token);
}

static bool all_has_come(struct scene *s)
{
    static size_t heard;

    heard += s->peers[0].heard;
    s->peers[0].heard = 0;
    return heard == REPLY_MAX_BYTES;
}

static void test_longest_reply_at_once(void **state)
{
    static const struct act acts[] = {
        {.says = "a"},
        {.does = all_has_come},
        {.leaves = true, .has_left = true},
    };
    struct tlsmsg_handler handler = *scene_handler();

    (void)state;
    handler.message = answer_at_length;
    reply = calloc(1, REPLY_MAX_BYTES);
    assert_non_null(reply);
    play_begin(scene_server_with(&handler, TLSMSG_OPT_COUNT), 1);
    ACTS_PLAY(&scene, acts);
    assert_int_equal(codes[0], TLSMSG_ERR_LIMIT);
    assert_int_equal(codes[1], TLSMSG_OK);
    assert_int_equal(codes[2], TLSMSG_ERR_STATE);
    assert_int_equal(codes[3], TLSMSG_ERR_STATE);
    assert_string_equal(scene.told, "closed 1: clean, 1 messages\n");
    free(reply);
    play_end();
}

/* --- what a message tells of itself ----------------------------------------------------------- */

static void look_at(struct tlsmsg_message *message, void *user)
{
    const struct tlsmsg_peer *peer = tlsmsg_message_peer(message);
    struct tlsmsg_token token;
    size_t len;

    (void)user;
    assert_memory_equal(tlsmsg_message_data(message, &len), "a", 1);
    assert_int_equal(len, 1);
    assert_int_equal(tlsmsg_message_connection(message), 2);
    assert_int_equal(tlsmsg_message_worker(message), 0);
    assert_int_equal(tlsmsg_message_number(message), 0);
    assert_null(tlsmsg_message_producer(message));
    assert_null(tlsmsg_message_hash(message));
    assert_false(tlsmsg_message_is_duplicate(message));
    assert_ptr_equal(peer, tlsmsg_message_peer(message));
    assert_int_equal(peer->connection, 2);
    assert_string_equal(peer->address, "0.0.0.0:0");
    assert_int_equal(peer->socket_address->sa_family, AF_INET);
    assert_int_equal(peer->tls != NULL, BUILD_HAS_TLS);
    tlsmsg_message_token(message, &token);
    assert_int_equal(token.connection, 2);
    assert_int_equal(token.message, ++scene.messages);
    assert_int_equal(token.worker, 0);
    assert_int_equal(token.slot, 1);
}

static void test_what_a_message_tells(void **state)
{
    static const struct act acts[] = {
        {.does = scene_is_open},
        {.peer = 1, .says = "a"},
        {.peer = 1, .hears = REPLY "a"},
        {.peer = 1, .says = "a"},
        {.peer = 1, .hears = REPLY "a", .leaves = true, .has_left = true},
        {.leaves = true, .has_left = true},
    };
    struct tlsmsg_handler handler = *scene_handler();

    (void)state;
    handler.message = look_at;
    play_begin(scene_server_with(&handler, TLSMSG_OPT_COUNT), 2);
    ACTS_PLAY(&scene, acts);
    assert_int_equal(scene.messages, 2);
    play_end();
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_what_is_counted),
        cmocka_unit_test(test_a_session_that_is_resumed_is_counted),
        cmocka_unit_test(test_latency_includes_a_hold),
        cmocka_unit_test(test_names_of_others_change_nothing),
        cmocka_unit_test(test_longest_reply_from_another_thread),
        cmocka_unit_test(test_longest_reply_at_once),
        cmocka_unit_test(test_what_a_message_tells),
    };

    return cmocka_run_group_tests(tests, scene_setup, scene_teardown);
}
