/* tlsmsg/1 where memory is short (--max-buffered): the oldest unfinished message goes, a long one is
 * taken where there is room for what it becomes, and who holds something isn't read. */
#include "support/unit.h"

#include <stdio.h>
#include <string.h>

#include "support/numbered_words.h"
#include "support/play.h"

#define TOLD(connection)                                                                           \
    "warning limit " #connection ": --max-buffered is reached: its unfinished message is "         \
    "dropped\nclosed " #connection ": failed, 0 messages, BYE 503\n"
#define KIB ((size_t)1024)
#define MIB (1024 * KIB)

static void begin(unsigned peer_count)
{
    play_begin(scene_server_new(TLSMSG_OPT_MAX_BUFFERED, "1048576", TLSMSG_OPT_COUNT), peer_count);
}

static void end(const char *told)
{
    assert_int_equal(server->workers[0].bytes, 0);
    play_end_told(told);
}

/* The program holds so much. */
static void hold(struct scene *s, int64_t delta)
{
    tlsmsg_server_buffered(s->server, delta);
    loop_wake(&s->server->workers[0].loop);
}

static bool program_takes_much(struct scene *s)
{
    hold(s, MIB);
    return true;
}

static bool program_takes_all_but_room_for_one(struct scene *s)
{
    /* Each worker has taken some beforehand. */
    hold(s, (int64_t)(MIB - atomic_load(&s->server->credit)));
    return true;
}

static bool program_takes_a_byte_more(struct scene *s)
{
    hold(s, 1);
    return true;
}

static bool program_gives_all_back(struct scene *s)
{
    hold(s, -(int64_t)atomic_load(&s->server->elsewhere));
    return true;
}

static bool messages_of_both_are_unfinished(struct scene *s)
{
    assert_true(s->server->workers[0].unfinished_since_ns > 0);
    assert_true(scene_conversation(s, 0)->held_bytes > 0);
    assert_true(scene_conversation(s, 1)->held_bytes > 0);
    return true;
}

static char long_message[400 * KIB];
static size_t long_len;
static size_t said;

/* As much of it as goes into a record. */
static bool says_long(struct scene *s)
{
    while (said < long_len) {
        size_t n = long_len - said < RAW_PEER_RECORD_MAX ? long_len - said : RAW_PEER_RECORD_MAX;

        if (!s->peers[0].open || !raw_peer_say(&s->peers[0], long_message + said, n)) {
            return false;
        }
        said += n;
    }
    return true;
}

/* The first so many bytes of a body. */
static void prepare_long(size_t body, size_t bytes)
{
    int header = snprintf(long_message, sizeof(long_message), "HELLO 1\nMSG 1 %zu\n", body);

    memset(long_message + header, 'x', bytes);
    long_len = (size_t)header + bytes;
    said = 0;
}

/* It has taken so much credit that its end suffices. */
static void test_the_oldest_unfinished_message_goes_first(void **state)
{
    static const struct act acts[] = {
        {.peer = 1, .says = "HELLO 1\n"},
        {.does = says_long},
        {.hears = HELLO},
        {.peer = 1, .hears = HELLO, .says = "MSG 1 3\nab"},
        {.does = messages_of_both_are_unfinished},
        {.does = program_takes_all_but_room_for_one},
        {.does = scene_told_nothing},
        {.does = program_takes_a_byte_more},
        {.hears = BUSY, .has_left = true},
        {.peer = 1, .says = "c\n"},
        {.peer = 1, .hears = "OK 1 39\n你好，我已收到你的消息：abc\n"},
        {.does = program_gives_all_back},
        {.peer = 1, .leaves = true, .has_left = true},
    };

    (void)state;
    begin(2);
    prepare_long(512 * KIB, 350 * KIB);
    ACTS_PLAY(&scene, acts);
    end(TOLD(1) "closed 2: clean, 1 messages\n");
}

static void test_each_goes_where_that_does_not_do(void **state)
{
    static const struct act acts[] = {
        {.says = "HELLO 1\nMSG 1 3\na"},
        {.peer = 1, .says = "HELLO 1\nMSG 1 3\na"},
        {.peer = 2, .says = "HELLO 1\n"},
        {.does = program_takes_much},
        {.does = program_takes_a_byte_more},
        {.hears = HELLO BUSY, .has_left = true},
        {.peer = 1, .hears = HELLO BUSY, .has_left = true},
        /* Who holds nothing goes on. */
        {.peer = 2, .hears = HELLO, .says = "MSG 1 1\na\n"},
        {.peer = 2, .hears = OK(1, "a")},
        {.does = program_gives_all_back},
        {.peer = 2, .leaves = true, .has_left = true},
    };

    (void)state;
    begin(3);
    ACTS_PLAY(&scene, acts);
    end(TOLD(1) TOLD(2) "closed 3: clean, 1 messages\n");
}

/* --- long messages ---------------------------------------------------------------------------- */

static bool long_reply_has_come(struct scene *s)
{
    static const char end_of_it[] = "x\n";
    struct raw_peer *p = &s->peers[0];

    if (p->heard < 64 * KIB) {
        return false;
    }
    assert_memory_equal(p->in + p->heard - 2, end_of_it, 2);
    p->heard = 0;
    return true;
}

static bool is_kept(struct scene *s)
{
    assert_true(scene_conversation(s, 0)->held_bytes > 60 * KIB);
    return true;
}

/* What is read at most, a longest reply and a last word fit into the queue. */
static bool queue_has_room(struct scene *s)
{
    assert_int_equal(scene_conversation(s, 0)->out.limit,
                     64 * KIB + MIB + MIB + KIB + 64 + 256 + KIB);
    return true;
}

static void test_room_for_what_has_to_be_said(void **state)
{
    static const struct act acts[] = {
        {.says = "HELLO 1\n"},
        {.hears = HELLO, .does = queue_has_room, .leaves = true, .has_left = true},
    };

    (void)state;
    begin(1);
    ACTS_PLAY(&scene, acts);
    end("closed 1: clean, 0 messages\n");
}

/* What it becomes, a reply beside itself, finds no room any more. */
static void test_a_long_message_without_room(void **state)
{
    static const struct act acts[] = {
        {.does = says_long},
        {.hears = HELLO, .does = is_kept},
        {.does = program_takes_all_but_room_for_one},
        {.does = scene_told_nothing},
        {.says = "\n"},
        {.hears = BUSY, .has_left = true},
        {.does = program_gives_all_back},
    };

    (void)state;
    begin(1);
    prepare_long(64 * KIB + 1, 64 * KIB + 1);
    ACTS_PLAY(&scene, acts);
    program_gives_all_back(&scene);
    end(TOLD(1));
}

/* One that its worker's credit covers is taken. */
static void test_a_message_that_needs_no_room(void **state)
{
    static const struct act acts[] = {
        {.does = says_long},
        {.hears = HELLO, .does = is_kept},
        {.does = program_takes_all_but_room_for_one},
        {.does = scene_told_nothing},
        {.says = "\n"},
        {.does = long_reply_has_come},
        {.does = program_gives_all_back},
        {.leaves = true, .has_left = true},
    };

    (void)state;
    begin(1);
    prepare_long(64 * KIB, 64 * KIB);
    ACTS_PLAY(&scene, acts);
    end("closed 1: clean, 1 messages\n");
}

/* --- who holds something isn't read ----------------------------------------------------------- */

static bool first_is_deferred(struct scene *s)
{
    assert_int_equal(s->token_count, 1);
    s->defer = 0;
    return true;
}

static bool a_reply_waits_behind_it(struct scene *s)
{
    const struct conversation *c = scene_conversation(s, 0);

    assert_int_equal(s->messages, 2);
    assert_int_equal(c->deferred.bytes, strlen(SCENE_REPLY "b"));
    assert_int_equal(c->held_bytes, c->deferred.bytes);
    return true;
}

static bool third_is_not_read(struct scene *s)
{
    assert_int_equal(s->messages, 2);
    assert_true(s->server->workers[0].over);
    assert_int_equal(scene_conversation(s, 0)->watch.armed, 0);
    return true;
}

static bool third_is_read(struct scene *s)
{
    return s->messages == 3;
}

static bool first_is_answered(struct scene *s)
{
    return tlsmsg_server_reply(s->server, &s->tokens[0], "!", 1) == TLSMSG_OK;
}

/* Nobody tells the worker when memory is free again: it looks by itself. */
static void test_who_holds_something_is_not_read(void **state)
{
    static const struct act acts[] = {
        {.says = "HELLO 1\nMSG 1 1\na\n"},
        {.hears = HELLO, .does = first_is_deferred},
        {.says = "MSG 2 1\nb\n"},
        {.does = a_reply_waits_behind_it},
        {.does = program_takes_much},
        {.says = "MSG 3 1\nc\n"},
        {.does = third_is_not_read},
        {.does = program_gives_all_back},
        {.does = third_is_read},
        {.does = first_is_answered},
        {.hears = "OK 1 1\n!\n" OK(2, "b") OK(3, "c"), .leaves = true, .has_left = true},
    };

    (void)state;
    begin(1);
    scene.defer = 1;
    ACTS_PLAY(&scene, acts);
    end("closed 1: clean, 3 messages\n");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_the_oldest_unfinished_message_goes_first),
        cmocka_unit_test(test_each_goes_where_that_does_not_do),
        cmocka_unit_test(test_room_for_what_has_to_be_said),
        cmocka_unit_test(test_a_long_message_without_room),
        cmocka_unit_test(test_a_message_that_needs_no_room),
        cmocka_unit_test(test_who_holds_something_is_not_read),
    };

    return cmocka_run_group_tests(tests, numbered_setup, scene_teardown);
}
