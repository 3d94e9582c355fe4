/* Deadlines of tlsmsg/1, by a clock that the test puts forward: for a greeting, for a message that
 * stands still or drips, for silence; and the server's stop. */
#include "support/unit.h"

#include <stdio.h>
#include <string.h>

#include "support/acts.h"

#define HELLO "HELLO 1 last=0 max=1048576 window=256 promise=none\n"
#define OK_1 "OK 1 37\n你好，我已收到你的消息：a\n"
#define TOO_SLOW "BYE 503 8\ntoo slow\n"
#define KIB 1024

static struct raw_peer peers[SCENE_PEERS];
static struct tlsmsg_server *server;
static struct scene scene;

static void begin(enum tlsmsg_option option, const char *value, unsigned peer_count)
{
    server = scene_server_new(option, value, TLSMSG_OPT_COUNT);
    raw_peer_offer(true);
    scene_begin(&scene, server, peers);
    for (unsigned i = 0; i < peer_count; i++) {
        assert_true(scene_enter(&scene, -1));
    }
}

static void end(const char *told)
{
    assert_string_equal(scene.told, told);
    scene_finish(&scene);
    stepped_server_free(server);
}

static bool is_open(struct scene *s)
{
    return s->peers[0].open;
}

/* Nobody has anything to do, so that is how it stays. */
static bool nobody_was_let_go(struct scene *s)
{
    assert_int_equal(s->closed, 0);
    assert_string_equal(s->told, "");
    return true;
}

static void test_a_greeting_has_the_time_of_a_handshake(void **state)
{
    static const struct act acts[] = {
        {.does = is_open},
        {.passes_ms = 12000, .does = nobody_was_let_go},
        {.does = nobody_was_let_go},
        {.passes_ms = 8000},
        {.hears = TOO_SLOW, .has_left = true},
    };

    (void)state;
    begin(TLSMSG_OPT_HANDSHAKE_TIMEOUT, "20", 1);
    ACTS_PLAY(&scene, acts);
    end("warning timeout 1: sent no HELLO in time\nclosed 1: timeout, 0 messages, BYE 503\n");
}

static void test_a_greeting_is_in_time(void **state)
{
    static const struct act acts[] = {
        {.does = is_open, .passes_ms = 12000},
        {.says = "HELLO 1\n"},
        {.hears = HELLO, .passes_ms = 3600000},
        {.does = nobody_was_let_go, .says = "MSG 1 1\na\n"},
        {.hears = OK_1, .leaves = true, .has_left = true},
    };

    (void)state;
    begin(TLSMSG_OPT_HANDSHAKE_TIMEOUT, "20", 1);
    ACTS_PLAY(&scene, acts);
    end("closed 1: clean, 1 messages\n");
}

/* A header that is cut has no time of its own: the greeting's, or the idle timeout. */
static void test_a_greeting_in_parts_is_too_slow(void **state)
{
    static const struct act acts[] = {
        {.says = "HEL", .passes_ms = 12000},
        {.says = "LO", .does = nobody_was_let_go, .passes_ms = 8000},
        {.hears = TOO_SLOW, .has_left = true},
    };

    (void)state;
    begin(TLSMSG_OPT_HANDSHAKE_TIMEOUT, "20", 1);
    ACTS_PLAY(&scene, acts);
    end("warning timeout 1: sent no HELLO in time\nclosed 1: timeout, 0 messages, BYE 503\n");
}

/* Each byte gives it the write timeout anew. */
static void test_a_message_that_stands_still(void **state)
{
    static const struct act acts[] = {
        {.says = "HELLO 1\nMSG 1 3\na"},
        {.hears = HELLO, .passes_ms = 20000},
        {.says = "b"},
        {.passes_ms = 20000},
        {.does = nobody_was_let_go, .passes_ms = 10000},
        {.hears = TOO_SLOW, .has_left = true},
    };

    (void)state;
    begin(TLSMSG_OPT_WRITE_TIMEOUT, "30", 1);
    ACTS_PLAY(&scene, acts);
    end("warning timeout 1: brings a message too slowly\n"
        "closed 1: timeout, 0 messages, BYE 503\n");
}

/* One that is whole has no deadline, and the next one a time of its own. */
static void test_a_message_that_came_whole_is_not_slow(void **state)
{
    static const struct act acts[] = {
        {.says = "HELLO 1\nMSG 1 1\na"},
        {.hears = HELLO, .says = "\n"},
        {.hears = OK_1, .passes_ms = 3600000},
        {.says = "MSG 2 3\na"},
        {.passes_ms = 20000},
        {.does = nobody_was_let_go, .passes_ms = 10000},
        {.hears = TOO_SLOW, .has_left = true},
    };

    (void)state;
    begin(TLSMSG_OPT_WRITE_TIMEOUT, "30", 1);
    ACTS_PLAY(&scene, acts);
    end("warning timeout 1: brings a message too slowly\n"
        "closed 1: timeout, 1 messages, BYE 503\n");
}

/* The header of a message and so many bytes of it. */
static const char *part_of_a_message(unsigned len, unsigned bytes)
{
    static char text[16 * KIB];
    int header = snprintf(text, sizeof(text), "HELLO 1\nMSG 1 %u\n", len);

    memset(text + header, 'x', bytes);
    text[(unsigned)header + bytes] = '\0';
    return text;
}

/* 12 KiB are there: they have earned 12 s, and 2 s are there to begin with. */
static void test_a_long_message_must_bring_a_kibibyte_a_second(void **state)
{
    struct act acts[] = {
        {.says = part_of_a_message(100 * KIB, 12 * KIB)},
        {.hears = HELLO, .passes_ms = 5000},
        {.does = nobody_was_let_go, .says = "y"},
        {.passes_ms = 9050},
        {.hears = TOO_SLOW, .has_left = true},
    };

    (void)state;
    begin(TLSMSG_OPT_WRITE_TIMEOUT, "0", 1);
    ACTS_PLAY(&scene, acts);
    end("warning timeout 1: brings a message too slowly\n"
        "closed 1: timeout, 0 messages, BYE 503\n");
}

/* The sooner of both. */
static void test_a_long_message_that_stands_still(void **state)
{
    struct act acts[] = {
        {.says = part_of_a_message(100 * KIB, 12 * KIB)},
        {.hears = HELLO, .passes_ms = 5000},
        {.does = nobody_was_let_go, .passes_ms = 6050},
        {.hears = TOO_SLOW, .has_left = true},
    };

    (void)state;
    begin(TLSMSG_OPT_WRITE_TIMEOUT, "11", 1);
    ACTS_PLAY(&scene, acts);
    end("warning timeout 1: brings a message too slowly\n"
        "closed 1: timeout, 0 messages, BYE 503\n");
}

static void test_a_short_message_may_drip(void **state)
{
    struct act acts[] = {
        {.says = part_of_a_message(KIB, 1)},
        {.hears = HELLO, .passes_ms = 3600000},
        {.does = nobody_was_let_go},
        {.leaves = true, .has_left = true},
    };

    (void)state;
    begin(TLSMSG_OPT_WRITE_TIMEOUT, "0", 1);
    ACTS_PLAY(&scene, acts);
    end("info truncated 1: ended within a frame\nclosed 1: clean, 0 messages\n");
}

static void test_a_message_over_a_kibibyte_may_not(void **state)
{
    struct act acts[] = {
        {.says = part_of_a_message(KIB + 1, 1)},
        {.hears = HELLO, .passes_ms = 2050},
        {.hears = TOO_SLOW, .has_left = true},
    };

    (void)state;
    begin(TLSMSG_OPT_WRITE_TIMEOUT, "0", 1);
    ACTS_PLAY(&scene, acts);
    end("warning timeout 1: brings a message too slowly\n"
        "closed 1: timeout, 0 messages, BYE 503\n");
}

static bool is_held(struct scene *s)
{
    return s->holds == 1;
}

/* We don't listen during a hold: its time is not the peer's. */
static void test_a_hold_is_no_message_s_slowness(void **state)
{
    struct act acts[] = {
        {.says = part_of_a_message(100 * KIB, 12 * KIB)},
        {.peer = 1, .says = "HELLO 1\n"},
        {.peer = 1, .hears = HELLO, .holds = "MSG 1 1\na\n"},
        {.does = is_held, .passes_ms = 3600000},
        {.does = nobody_was_let_go},
        {.does = scene_release},
        {.peer = 1, .hears = OK_1},
        {.hears = HELLO, .passes_ms = 5000},
        {.does = nobody_was_let_go, .passes_ms = 9050},
        {.hears = TOO_SLOW, .has_left = true},
        {.peer = 1, .leaves = true, .has_left = true},
    };

    (void)state;
    begin(TLSMSG_OPT_WRITE_TIMEOUT, "30", 2);
    ACTS_PLAY(&scene, acts);
    end("warning timeout 1: brings a message too slowly\n"
        "closed 1: timeout, 0 messages, BYE 503\nclosed 2: clean, 1 messages\n");
}

static void test_silence(void **state)
{
    static const struct act acts[] = {
        {.says = "HELLO 1\nMSG 1 1\na\n"},
        {.hears = HELLO OK_1, .passes_ms = 40000},
        {.does = nobody_was_let_go, .passes_ms = 20000},
        {.hears = "BYE 503 4\nidle\n", .has_left = true},
    };

    (void)state;
    begin(TLSMSG_OPT_IDLE_TIMEOUT, "60", 1);
    ACTS_PLAY(&scene, acts);
    end("info timeout 1: idle for 60 s\nclosed 1: timeout, 1 messages, BYE 503\n");
}

/* With a greeting it counts from its answer. */
static void test_silence_after_a_greeting(void **state)
{
    static const struct act acts[] = {
        {.does = is_open, .passes_ms = 40000},
        {.says = "HELLO 1\n"},
        {.hears = HELLO, .passes_ms = 40000},
        {.does = nobody_was_let_go, .passes_ms = 20000},
        {.hears = "BYE 503 4\nidle\n", .has_left = true},
    };

    (void)state;
    server = scene_server_new(TLSMSG_OPT_IDLE_TIMEOUT, "60", TLSMSG_OPT_HANDSHAKE_TIMEOUT, "0",
                              TLSMSG_OPT_COUNT);
    raw_peer_offer(true);
    scene_begin(&scene, server, peers);
    assert_true(scene_enter(&scene, -1));
    ACTS_PLAY(&scene, acts);
    end("info timeout 1: idle for 60 s\nclosed 1: timeout, 0 messages, BYE 503\n");
}

static bool server_stops(struct scene *s)
{
    tlsmsg_server_stop(s->server);
    return true;
}

static void test_the_server_stops(void **state)
{
    static const struct act acts[] = {
        {.says = "HELLO 1\nMSG 1 1\na\n"},
        {.hears = HELLO OK_1, .does = server_stops},
        {.hears = "BYE 503 8\nstopping\n", .has_left = true},
    };

    (void)state;
    begin(TLSMSG_OPT_DRAIN_TIMEOUT, "60", 1);
    ACTS_PLAY(&scene, acts);
    end("closed 1: drained, 1 messages, BYE 503\n");
}

/* One that has said nothing so far has a second for it. */
static void test_the_server_stops_before_a_first_message(void **state)
{
    static const struct act acts[] = {
        {.says = "HELLO 1\n"},
        {.hears = HELLO, .does = server_stops, .passes_ms = 1000},
        {.hears = "BYE 503 8\nstopping\n", .has_left = true},
    };

    (void)state;
    begin(TLSMSG_OPT_DRAIN_TIMEOUT, "60", 1);
    ACTS_PLAY(&scene, acts);
    end("closed 1: drained, 0 messages, BYE 503\n");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_a_greeting_has_the_time_of_a_handshake),
        cmocka_unit_test(test_a_greeting_is_in_time),
        cmocka_unit_test(test_a_greeting_in_parts_is_too_slow),
        cmocka_unit_test(test_a_message_that_stands_still),
        cmocka_unit_test(test_a_message_that_came_whole_is_not_slow),
        cmocka_unit_test(test_a_long_message_must_bring_a_kibibyte_a_second),
        cmocka_unit_test(test_a_long_message_that_stands_still),
        cmocka_unit_test(test_a_short_message_may_drip),
        cmocka_unit_test(test_a_message_over_a_kibibyte_may_not),
        cmocka_unit_test(test_a_hold_is_no_message_s_slowness),
        cmocka_unit_test(test_silence),
        cmocka_unit_test(test_silence_after_a_greeting),
        cmocka_unit_test(test_the_server_stops),
        cmocka_unit_test(test_the_server_stops_before_a_first_message),
    };

    return cmocka_run_group_tests(tests, scene_setup, scene_teardown);
}
