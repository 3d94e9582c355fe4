/* Deadlines of conversations in the document's flow, by a clock that the test puts forward; what is
 * told of each, to the letter. */
#include "support/unit.h"

#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/build.h"
#include "support/play.h"

#define REPLY SCENE_REPLY

static void begin(enum tlsmsg_option option, const char *value, unsigned peer_count)
{
    play_begin(scene_server_new(option, value, TLSMSG_OPT_DRAIN_TIMEOUT, "200", TLSMSG_OPT_COUNT),
               peer_count);
}

/* --- silence, and handshakes ------------------------------------------------------------------ */

static void test_silence(void **state)
{
    static const struct act acts[] = {
        {.says = "a"},
        {.hears = REPLY "a", .passes_ms = 60000},
        {.does = scene_told_nothing, .passes_ms = 40000},
        {.has_left = true},
    };

    (void)state;
    begin(TLSMSG_OPT_IDLE_TIMEOUT, "100", 1);
    ACTS_PLAY(&scene, acts);
    play_end_told("info timeout 1: idle for 100 s\nclosed 1: timeout, 1 messages\n");
}

static bool stays_silent(struct scene *s)
{
    s->peers[0].most = 0;
    return true;
}

static bool speaks(struct scene *s)
{
    s->peers[0].most = (size_t)-1;
    return true;
}

/* Silence counts from the handshake's end. */
static void test_silence_after_a_handshake(void **state)
{
    static const struct act acts[] = {
        {.passes_ms = 40000},
        {.does = speaks},
        {.does = scene_is_open, .passes_ms = 40000},
        {.does = scene_told_nothing, .passes_ms = 20000},
        {.has_left = true},
    };

    (void)state;
    if (!BUILD_HAS_TLS) {
        skip();
    }
    begin(TLSMSG_OPT_IDLE_TIMEOUT, "60", 1);
    server->settings.handshake_timeout_ms = 0;
    (void)stays_silent(&scene);
    ACTS_PLAY(&scene, acts);
    play_end_told("info timeout 1: idle for 60 s\nclosed 1: timeout, 0 messages\n");
}

static void test_a_handshake_that_never_begins(void **state)
{
    static const struct act acts[] = {
        {.passes_ms = 60000},
        {.does = scene_told_nothing, .passes_ms = 40000},
    };

    (void)state;
    if (!BUILD_HAS_TLS) {
        skip();
    }
    begin(TLSMSG_OPT_HANDSHAKE_TIMEOUT, "100", 1);
    (void)stays_silent(&scene);
    ACTS_PLAY(&scene, acts);
    play_end_told("warning timeout 1: handshake not finished within 100 s\n"
                  "closed 1: handshake, 0 messages, unheard\n");
}

static void test_a_handshake_that_stands_still(void **state)
{
    static const struct act acts[] = {{.passes_ms = 20000}};

    (void)state;
    if (!BUILD_HAS_TLS) {
        skip();
    }
    begin(TLSMSG_OPT_HANDSHAKE_TIMEOUT, "20", 1);
    peers[0].most = 20;
    ACTS_PLAY(&scene, acts);
    play_end_told("warning timeout 1: handshake not finished within 20 s\n"
                  "closed 1: handshake, 0 messages\n");
}

/* The stop is the server's, not the client's fault. */
static void test_a_handshake_while_the_server_stops(void **state)
{
    static const struct act acts[] = {{.does = scene_stop, .passes_ms = 200000}};

    (void)state;
    if (!BUILD_HAS_TLS) {
        skip();
    }
    begin(TLSMSG_OPT_HANDSHAKE_TIMEOUT, "0", 1);
    (void)stays_silent(&scene);
    ACTS_PLAY(&scene, acts);
    assert_false(atomic_load(&server->undelivered));
    play_end_told("closed 1: handshake, 0 messages, unheard\n");
}

/* --- one that takes nothing ------------------------------------------------------------------- */

/* Replies fill the connection, and more of them wait. */
static bool takes_nothing(struct scene *s)
{
    static char piece[4096];
    struct raw_peer *p = &s->peers[0];

    memset(piece, 'x', sizeof(piece));
    p->deaf = p->open;
    while (p->deaf && p->queued < RAW_PEER_RECORD_MAX && raw_peer_say(p, piece, sizeof(piece))) {
    }
    (void)raw_peer_step(p);
    return p->deaf && scene_queued(s, 0) > 0;
}

static bool takes_nothing_for_long(struct scene *s)
{
    for (int i = 0; i < 1000 && takes_nothing(s); i++) {
    }
    return scene_queued(s, 0) > 0;
}

static void expect_end_of_one_that_takes_nothing(const char *event)
{
    char told[256];

    (void)snprintf(told, sizeof(told), "%sclosed 1: timeout, %u messages\n", event, scene.messages);
    play_end_told(told);
}

static void test_one_that_takes_nothing(void **state)
{
    static const struct act acts[] = {
        {.does = takes_nothing_for_long, .passes_ms = 60000},
        {.does = scene_told_nothing, .passes_ms = 40000},
    };

    (void)state;
    begin(TLSMSG_OPT_WRITE_TIMEOUT, "100", 1);
    ACTS_PLAY(&scene, acts);
    assert_false(atomic_load(&server->undelivered));
    expect_end_of_one_that_takes_nothing(
        "warning timeout 1: took no byte of its replies for 100 s\n");
}

static void test_one_that_takes_nothing_while_the_server_stops(void **state)
{
    static const struct act acts[] = {
        {.does = takes_nothing_for_long},
        {.does = scene_stop, .passes_ms = 30000},
    };

    (void)state;
    begin(TLSMSG_OPT_WRITE_TIMEOUT, "30", 1);
    ACTS_PLAY(&scene, acts);
    assert_true(atomic_load(&server->undelivered));
    expect_end_of_one_that_takes_nothing(
        "warning timeout 1: took no byte of its replies for 30 s\n");
}

static void test_one_that_takes_nothing_until_the_drain_timeout(void **state)
{
    static const struct act acts[] = {
        {.does = takes_nothing_for_long},
        {.does = scene_stop, .passes_ms = 200000},
    };

    (void)state;
    begin(TLSMSG_OPT_WRITE_TIMEOUT, "0", 1);
    ACTS_PLAY(&scene, acts);
    assert_true(atomic_load(&server->undelivered));
    expect_end_of_one_that_takes_nothing(
        "warning timeout 1: a reply could not be delivered before the drain timeout\n");
}

/* --- replies that never come ------------------------------------------------------------------ */

static void test_replies_that_never_come(void **state)
{
    static const struct act acts[] = {
        {.says = "abcd"},
        {.says = "efgh"},
        {.leaves = true},
        {.passes_ms = 60000},
        {.does = scene_told_nothing, .passes_ms = 40000},
        {.has_left = true},
    };

    (void)state;
    begin(TLSMSG_OPT_WRITE_TIMEOUT, "100", 1);
    scene.defer = 1;
    ACTS_PLAY(&scene, acts);
    assert_false(atomic_load(&server->undelivered));
    play_end_told(
        "warning timeout 1: a deferred reply did not come within 100 s; the conversation ends "
        "without 2\nclosed 1: timeout, 2 messages\n");
}

static void test_replies_that_never_come_while_the_server_stops(void **state)
{
    static const struct act acts[] = {
        {.says = "abcd"},
        {.leaves = true},
        {.does = scene_stop, .passes_ms = 20000},
        {.has_left = true},
    };

    (void)state;
    begin(TLSMSG_OPT_WRITE_TIMEOUT, "20", 1);
    scene.defer = 1;
    ACTS_PLAY(&scene, acts);
    assert_true(atomic_load(&server->undelivered));
    play_end_told(
        "warning timeout 1: a deferred reply did not come within 20 s; the conversation ends "
        "without 1\nclosed 1: timeout, 1 messages\n");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_silence),
        cmocka_unit_test(test_silence_after_a_handshake),
        cmocka_unit_test(test_a_handshake_that_never_begins),
        cmocka_unit_test(test_a_handshake_that_stands_still),
        cmocka_unit_test(test_a_handshake_while_the_server_stops),
        cmocka_unit_test(test_one_that_takes_nothing),
        cmocka_unit_test(test_one_that_takes_nothing_while_the_server_stops),
        cmocka_unit_test(test_one_that_takes_nothing_until_the_drain_timeout),
        cmocka_unit_test(test_replies_that_never_come),
        cmocka_unit_test(test_replies_that_never_come_while_the_server_stops),
    };

    return cmocka_run_group_tests(tests, scene_setup, scene_teardown);
}
