/* Several connections of one producer: the latest has it, once what the others brought is decided;
 * what each hears, and what the server tells of it. */
#include "support/unit.h"

#include <string.h>

#include "support/acts.h"

#define HELLO_OF(last) "HELLO 1 last=" #last " max=1048576 window=256 promise=none\n"
#define HELLO HELLO_OF(0)
#define OK(number, text) "OK " #number " 37\n你好，我已收到你的消息：" text "\n"
#define TAKEN_OVER "BYE 409 10\ntaken over\n"
#define TOLD(connection)                                                                           \
    "info other " #connection ": a later connection of producer 'p' takes over\n"

static struct raw_peer peers[SCENE_PEERS];
static struct tlsmsg_server *server;
static struct scene scene;

static void begin(unsigned peer_count)
{
    server = scene_server_new(TLSMSG_OPT_COUNT);
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

static bool hold_ends(struct scene *s)
{
    return scene_release(s);
}

static bool nobody_waits(struct scene *s)
{
    assert_true(list_is_empty(&s->server->workers[0].waiting));
    assert_true(list_is_empty(&s->server->workers[0].leaving));
    return true;
}

static void test_the_later_connection_has_it(void **state)
{
    static const struct act acts[] = {
        {.says = "HELLO 1 producer=p\nMSG 1 1\na\n"},
        {.hears = HELLO OK(1, "a")},
        {.peer = 1, .says = "HELLO 1 producer=p\nMSG 2 1\nb\n"},
        {.peer = 1, .hears = HELLO_OF(1) OK(2, "b")},
        {.hears = TAKEN_OVER, .has_left = true},
        {.peer = 1, .does = nobody_waits, .leaves = true, .has_left = true},
    };
    struct tlsmsg_stats stats = {.size = sizeof(stats)};

    (void)state;
    begin(2);
    ACTS_PLAY(&scene, acts);
    tlsmsg_server_stats(server, &stats);
    assert_int_equal(stats.byes[1], 1);
    end(TOLD(
        1) "closed 1: refused, 1 messages, BYE 409, of p\nclosed 2: clean, 1 messages, of p\n");
}

/* Others have names of their own, and none is nobody's. */
static void test_names_do_not_meet(void **state)
{
    static const struct act acts[] = {
        {.says = "HELLO 1 producer=p\nMSG 1 1\na\n"},
        {.peer = 1, .says = "HELLO 1 producer=q\nMSG 1 1\nb\n"},
        {.peer = 2, .says = "HELLO 1\nMSG 1 1\nc\n"},
        {.peer = 1, .hears = HELLO OK(1, "b"), .leaves = true, .has_left = true},
        {.peer = 2, .hears = HELLO OK(1, "c"), .leaves = true, .has_left = true},
        {.hears = HELLO OK(1, "a"), .leaves = true, .has_left = true},
    };

    (void)state;
    begin(3);
    ACTS_PLAY(&scene, acts);
    end("closed 2: clean, 1 messages, of q\nclosed 3: clean, 1 messages\n"
        "closed 1: clean, 1 messages, of p\n");
}

/* The first one's message is held: that is not answered any more, and the second one's number
 * includes it all the same, since it may be stored. */
static void test_what_is_undecided_is_waited_for(void **state)
{
    static const struct act acts[] = {
        {.says = "HELLO 1 producer=p\n"},
        {.hears = HELLO, .holds = "MSG 1 1\na\n"},
        {.peer = 1, .says = "HELLO 1 producer=p\n"},
        {.hears = TAKEN_OVER, .has_left = true},
        {.peer = 1, .hears = ""},
        {.does = hold_ends},
        {.peer = 1, .hears = HELLO_OF(1), .leaves = true, .has_left = true},
    };

    (void)state;
    begin(2);
    ACTS_PLAY(&scene, acts);
    end(TOLD(
        1) "closed 1: refused, 1 messages, BYE 409, of p\nclosed 2: clean, 0 messages, of p\n");
}

static bool first_is_cut(struct scene *s)
{
    raw_peer_drop(&s->peers[0], false);
    return true;
}

/* The same where the first one's connection is gone before anybody asks. */
static void test_what_a_lost_connection_brought_is_waited_for(void **state)
{
    static const struct act acts[] = {
        {.says = "HELLO 1 producer=p\n"},
        {.hears = HELLO, .holds = "MSG 1 1\na\n"},
        {.does = first_is_cut},
        {.peer = 1, .says = "HELLO 1 producer=p\n"},
        {.peer = 1, .hears = ""},
        {.does = hold_ends},
        {.peer = 1, .hears = HELLO_OF(1), .leaves = true, .has_left = true},
    };

    (void)state;
    begin(2);
    ACTS_PLAY(&scene, acts);
    assert_int_equal(scene.ends[TLSMSG_CLOSE_CLEAN], 1);
    assert_int_equal(scene.closed, 2);
    scene_finish(&scene);
    stepped_server_free(server);
}

/* All that the first one brought is decided: its end needs no hold's end. */
static void test_another_s_hold_is_not_waited_for(void **state)
{
    static const struct act acts[] = {
        {.says = "HELLO 1 producer=p\nMSG 1 1\na\n"},
        {.hears = HELLO OK(1, "a")},
        {.peer = 1, .says = "HELLO 1\n"},
        {.peer = 1, .hears = HELLO, .holds = "MSG 1 1\nb\n"},
        {.does = first_is_cut},
        {.peer = 2, .says = "HELLO 1 producer=p\n"},
        {.peer = 2, .hears = HELLO_OF(1)},
        {.does = hold_ends},
        {.peer = 1, .hears = OK(1, "b"), .leaves = true, .has_left = true},
        {.peer = 2, .leaves = true, .has_left = true},
    };

    (void)state;
    begin(3);
    ACTS_PLAY(&scene, acts);
    end("closed 1: reset, 1 messages, of p\nclosed 2: clean, 1 messages\n"
        "closed 3: clean, 0 messages, of p\n");
}

/* One waits at most. */
static void test_a_third_takes_the_place_of_the_second(void **state)
{
    static const struct act acts[] = {
        {.says = "HELLO 1 producer=p\n"},
        {.hears = HELLO, .holds = "MSG 1 1\na\n"},
        {.peer = 1, .says = "HELLO 1 producer=p\nMSG 2 1\nb\n"},
        {.hears = TAKEN_OVER, .has_left = true},
        {.peer = 2, .says = "HELLO 1 producer=p\nMSG 2 1\nc\n"},
        {.peer = 1, .hears = TAKEN_OVER, .has_left = true},
        {.peer = 2, .hears = ""},
        {.does = hold_ends},
        {.peer = 2, .hears = HELLO_OF(1) OK(2, "c"), .leaves = true, .has_left = true},
    };

    (void)state;
    begin(3);
    ACTS_PLAY(&scene, acts);
    end(TOLD(1) "closed 1: refused, 1 messages, BYE 409, of p\n" TOLD(
        2) "closed 2: refused, 0 messages, BYE 409, of p\nclosed 3: clean, 1 messages, of p\n");
}

static bool second_is_cut(struct scene *s)
{
    raw_peer_drop(&s->peers[1], false);
    return true;
}

/* Who waits isn't read, and may go all the same: the next one waits in its place. */
static void test_one_that_waits_is_cut(void **state)
{
    static const struct act acts[] = {
        {.says = "HELLO 1 producer=p\n"},
        {.hears = HELLO, .holds = "MSG 1 1\na\n"},
        {.peer = 1, .says = "HELLO 1 producer=p\nMSG 2 1\nb\n"},
        {.hears = TAKEN_OVER, .has_left = true},
        {.does = second_is_cut},
        {.peer = 2, .says = "HELLO 1 producer=p\n"},
        {.peer = 2, .hears = ""},
        {.does = hold_ends},
        {.peer = 2, .hears = HELLO_OF(1), .leaves = true, .has_left = true},
    };

    (void)state;
    begin(3);
    ACTS_PLAY(&scene, acts);
    end(TOLD(1) "closed 1: refused, 1 messages, BYE 409, of p\nclosed 2: reset, 0 messages, of p\n"
                "closed 3: clean, 0 messages, of p\n");
}

/* A greeting that is read late takes over nothing from a connection that came later. */
static void test_an_earlier_connection_comes_too_late(void **state)
{
    static const struct act acts[] = {
        {.peer = 1, .says = "HELLO 1 producer=p\n"},
        {.peer = 1, .hears = HELLO},
        {.says = "HELLO 1 producer=p\nMSG 1 1\na\n"},
        {.hears = TAKEN_OVER, .has_left = true},
        {.peer = 1, .says = "MSG 1 1\na\n"},
        {.peer = 1, .hears = OK(1, "a"), .leaves = true, .has_left = true},
    };

    (void)state;
    begin(2);
    ACTS_PLAY(&scene, acts);
    end("closed 1: refused, 0 messages, BYE 409, of p\nclosed 2: clean, 1 messages, of p\n");
}

/* There is room for one producer, and it is connected. */
static void test_more_producers_than_there_is_room_for(void **state)
{
    static const struct act acts[] = {
        {.says = "HELLO 1 producer=p\n"},
        {.hears = HELLO},
        {.peer = 1, .says = "HELLO 1 producer=q\n"},
        {.peer = 1, .hears = "BYE 503 4\nbusy\n", .has_left = true},
        {.leaves = true, .has_left = true},
        {.peer = 2, .says = "HELLO 1 producer=q\n"},
        {.peer = 2, .hears = HELLO, .leaves = true, .has_left = true},
    };

    (void)state;
    begin(3);
    server->producers.max = 1;
    ACTS_PLAY(&scene, acts);
    end("warning memory 2: no memory for a message; the conversation is closed\n"
        "closed 2: failed, 0 messages, BYE 503, of q\n"
        "closed 1: clean, 0 messages, of p\nclosed 3: clean, 0 messages, of q\n");
}

/* One that has no reply yet to what was deferred is not waited for. */
static void test_deferred_replies_of_the_earlier_are_dropped(void **state)
{
    static const struct act acts[] = {
        {.says = "HELLO 1 producer=p\nMSG 1 1\na\nMSG 2 1\nb\n"},
        {.hears = HELLO},
        {.peer = 1, .says = "HELLO 1 producer=p\n"},
        {.hears = TAKEN_OVER, .has_left = true},
        {.peer = 1, .hears = HELLO_OF(2), .leaves = true, .has_left = true},
    };

    (void)state;
    begin(2);
    scene.defer = 1;
    ACTS_PLAY(&scene, acts);
    end(TOLD(
        1) "closed 1: refused, 2 messages, BYE 409, of p\nclosed 2: clean, 0 messages, of p\n");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_the_later_connection_has_it),
        cmocka_unit_test(test_names_do_not_meet),
        cmocka_unit_test(test_what_is_undecided_is_waited_for),
        cmocka_unit_test(test_what_a_lost_connection_brought_is_waited_for),
        cmocka_unit_test(test_another_s_hold_is_not_waited_for),
        cmocka_unit_test(test_a_third_takes_the_place_of_the_second),
        cmocka_unit_test(test_one_that_waits_is_cut),
        cmocka_unit_test(test_an_earlier_connection_comes_too_late),
        cmocka_unit_test(test_more_producers_than_there_is_room_for),
        cmocka_unit_test(test_deferred_replies_of_the_earlier_are_dropped),
    };

    return cmocka_run_group_tests(tests, scene_setup, scene_teardown);
}
