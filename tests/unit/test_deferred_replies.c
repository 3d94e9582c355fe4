/* Replies that a handler gives later: how much of them may wait in the queue, and how long a client
 * that has said its last word may wait for them. */
#include "support/unit.h"

#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

#include "base/build.h"
#include "base/clock.h"
#include "server/waiting.h"
#include "support/scene.h"

#define PATIENCE_MS 10000
/* A message that is one recv in both builds, with a recv size of 4. */
#define FOUR "abcd"
/* Peer 0's end, and in plaintext peer 1's: that it is dropped when the play is over is read. */
#define CLEAN_ENDS (BUILD_HAS_TLS ? 1 : 2)

static struct raw_peer peers[SCENE_PEERS];
static struct tlsmsg_server *server;
static struct scene scene;

static void play(scene_step *const *steps, size_t count)
{
    assert_int_equal(scene_play(&scene, steps, count, PATIENCE_MS), STEPPED_ENDED);
    assert_true(scene_was_played(&scene));
}

/* Peer 0's messages are deferred, peer 1's are answered. */
static void begin(const char *write_timeout)
{
    server = scene_server_new(TLSMSG_OPT_RECV_SIZE, "4", TLSMSG_OPT_WRITE_TIMEOUT, write_timeout,
                              TLSMSG_OPT_COUNT);
    scene_begin(&scene, server, peers);
    scene.defer = 1;
    assert_true(scene_enter(&scene, -1));
    assert_true(scene_enter(&scene, -1));
}

static void end(void)
{
    scene_finish(&scene);
    stepped_server_free(server);
}

static void answer(struct scene *s, size_t token, const char *text, size_t len)
{
    assert_int_equal(tlsmsg_server_reply(s->server, &s->tokens[token], text, len), TLSMSG_OK);
}

static bool asks_once(struct scene *s)
{
    return s->peers[0].open && scene_say(&s->peers[0], FOUR);
}

static bool asks_thrice(struct scene *s)
{
    return asks_once(s) && asks_once(s) && asks_once(s);
}

static bool says_goodbye(struct scene *s)
{
    if (s->token_count == 0) {
        return false;
    }
    raw_peer_goodbye(&s->peers[0]);
    return true;
}

static bool is_half_closed(struct scene *s)
{
    return scene_conversation(s, 0)->state == CONVERSATION_FLUSH;
}

static bool has_been_let_go(struct scene *s)
{
    return s->peers[0].ended && s->closed > 0;
}

/* ---- three large replies, the first of which comes last ---- */

#define LARGE (700u * 1024)
#define LARGE_COUNT 3

static size_t large_heard;

static bool large_ones_come(struct scene *s)
{
    struct raw_peer *p = &s->peers[0];

    for (size_t i = 0; i < p->heard; i++) {
        assert_int_equal(p->in[i], 'a' + (int)(large_heard++ / LARGE));
    }
    p->heard = 0;
    return false;
}

static bool large_ones_are_given(struct scene *s)
{
    char *text;

    if (s->token_count < LARGE_COUNT) {
        return false;
    }
    text = malloc(LARGE);
    assert_non_null(text);
    for (int i = LARGE_COUNT - 1; i >= 0; i--) {
        memset(text, 'a' + i, LARGE);
        answer(s, (size_t)i, text, LARGE);
    }
    free(text);
    return true;
}

static bool large_ones_are_heard(struct scene *s)
{
    return large_heard == (size_t)LARGE_COUNT * LARGE && says_goodbye(s);
}

static void test_large_replies_leave_in_portions(void **state)
{
    static scene_step *const steps[] = {asks_thrice, large_ones_are_given, large_ones_are_heard,
                                        has_been_let_go};

    (void)state;
    /* More than the queue may hold, so they can't all be in it at once. */
    assert_true((size_t)LARGE_COUNT * LARGE > QUEUE_LIMIT_BYTES);
    begin("30");
    large_heard = 0;
    scene.always = large_ones_come;
    play(steps, COUNT_OF(steps));
    assert_int_equal(scene.events[TLSMSG_CAUSE_MEMORY], 0);
    assert_int_equal(scene.ends[TLSMSG_CLOSE_FAILED], 0);
    assert_int_equal(scene.ends[TLSMSG_CLOSE_CLEAN], CLEAN_ENDS);
    end();
}

/* ---- many replies that the client's side takes at once ---- */

#define PORTION QUEUE_MARK_BYTES
#define PORTION_COUNT 8

static bool asks_for_portions(struct scene *s)
{
    int bytes = 4 * PORTION_COUNT * (int)PORTION; /* the kernel takes as much of it as it may */
    int fd = scene_conversation(s, 0)->watch.fd;

    if (!s->peers[0].open) {
        return false;
    }
    assert_int_equal(setsockopt(fd, SOL_SOCKET, SO_SNDBUF, &bytes, sizeof(bytes)), 0);
    s->peers[0].deaf = true;
    for (int i = 0; i < PORTION_COUNT; i++) {
        assert_true(asks_once(s));
    }
    return true;
}

static bool portions_are_given(struct scene *s)
{
    static char portion[PORTION];

    if (s->token_count < PORTION_COUNT) {
        return false;
    }
    for (size_t i = PORTION_COUNT; i > 0; i--) {
        answer(s, i - 1, portion, PORTION);
    }
    return true;
}

static bool portions_are_taken(struct scene *s)
{
    s->peers[0].deaf = false;
    return s->peers[0].heard == (size_t)PORTION_COUNT * PORTION && says_goodbye(s);
}

/* A turn's end lets a few portions leave and no more: the rest needs turns of its own, which no
 * poll brings about. */
static void test_portions_leave_without_a_poll(void **state)
{
    static scene_step *const steps[] = {asks_for_portions, portions_are_given, portions_are_taken,
                                        has_been_let_go};

    (void)state;
    begin("30");
    play(steps, COUNT_OF(steps));
    assert_int_equal(scene.ends[TLSMSG_CLOSE_CLEAN], CLEAN_ENDS);
    end();
}

/* ---- a client that has said its last word ---- */

static int64_t goodbye_ns;

static bool says_goodbye_and_looks_at_the_clock(struct scene *s)
{
    goodbye_ns = clock_now_ns();
    return says_goodbye(s);
}

static bool other_goes_on(struct scene *s)
{
    return s->peers[1].open && scene_say(&s->peers[1], FOUR);
}

static bool other_has_its_reply(struct scene *s)
{
    static const char *const heard[] = {FOUR};

    return scene_heard(&s->peers[1], heard, 1);
}

static bool answer_comes_too_late(struct scene *s)
{
    answer(s, 0, "late", 4);
    return true;
}

static void test_answer_that_never_comes(void **state)
{
    static scene_step *const steps[] = {
        asks_once,       says_goodbye_and_looks_at_the_clock,
        has_been_let_go, answer_comes_too_late,
        other_goes_on,   other_has_its_reply,
    };
    int64_t waited_ns;

    (void)state;
    begin("0.3");
    play(steps, COUNT_OF(steps));
    waited_ns = clock_now_ns() - goodbye_ns;
    assert_true(waited_ns >= 250 * CLOCK_NS_PER_MS);
    /* In order, so that the client knows that nothing follows, and told as what it was. */
    assert_int_equal(scene.ends[TLSMSG_CLOSE_TIMEOUT], 1);
    assert_int_equal(scene.events[TLSMSG_CAUSE_TIMEOUT], 1);
    assert_int_equal(peers[0].heard, 0);
    assert_true(peers[0].ended);
    end();
}

static bool first_is_answered(struct scene *s)
{
    answer(s, 0, "1", 1);
    return true;
}

static bool second_is_answered(struct scene *s)
{
    answer(s, 1, "2", 1);
    return true;
}

static bool third_is_answered(struct scene *s)
{
    answer(s, 2, "3", 1);
    return true;
}

static void expect_all_answers(void)
{
    assert_int_equal(scene.ends[TLSMSG_CLOSE_CLEAN], CLEAN_ENDS);
    assert_int_equal(scene.events[TLSMSG_CAUSE_TIMEOUT], 0);
    assert_int_equal(peers[0].heard, 3);
    assert_memory_equal(peers[0].in, "123", 3);
}

static void test_each_answer_has_its_own_time(void **state)
{
    static scene_step *const steps[] = {
        asks_thrice,       says_goodbye,      is_half_closed,     scene_time_passes,
        first_is_answered, scene_time_passes, second_is_answered, scene_time_passes,
        third_is_answered, has_been_let_go,
    };

    (void)state;
    begin("1");
    scene.wait_ms = 500;
    play(steps, COUNT_OF(steps));
    expect_all_answers();
    end();
}

static void test_client_that_may_still_send_waits(void **state)
{
    static scene_step *const steps[] = {
        asks_thrice,       scene_time_passes, first_is_answered, second_is_answered,
        third_is_answered, says_goodbye,      has_been_let_go,
    };

    (void)state;
    begin("0.1");
    scene.wait_ms = 300;
    play(steps, COUNT_OF(steps));
    expect_all_answers();
    end();
}

static bool there_is_no_limit(struct scene *s)
{
    assert_int_equal(waiting_deadline(scene_conversation(s, 0)), 0);
    return true;
}

static void test_no_write_timeout_is_no_limit(void **state)
{
    static scene_step *const steps[] = {
        asks_thrice,       says_goodbye,      is_half_closed,
        there_is_no_limit, first_is_answered, second_is_answered,
        there_is_no_limit, third_is_answered, has_been_let_go,
    };

    (void)state;
    begin("0");
    play(steps, COUNT_OF(steps));
    expect_all_answers();
    end();
}

static bool is_deferred(struct scene *s)
{
    return s->token_count == 3;
}

static bool server_stops(struct scene *s)
{
    tlsmsg_server_stop(s->server);
    return true;
}

/* The drain timeout, of 5 s, is not the first to end. */
static void test_missing_answer_while_the_server_stops(void **state)
{
    static scene_step *const steps[] = {asks_once, says_goodbye, is_half_closed, server_stops,
                                        has_been_let_go};

    (void)state;
    begin("0.2");
    play(steps, COUNT_OF(steps));
    assert_int_equal(scene.ends[TLSMSG_CLOSE_TIMEOUT], 1);
    assert_true(atomic_load(&server->undelivered));
    end();
}

/* The client has not said its last word: it is the server that ends, and the drain timeout alone
 * says how long it waits. */
static void test_answer_while_the_server_stops(void **state)
{
    static scene_step *const steps[] = {
        asks_thrice,       is_deferred,        server_stops,      scene_time_passes,
        first_is_answered, second_is_answered, third_is_answered, has_been_let_go,
    };

    (void)state;
    begin("0.1");
    scene.wait_ms = 300;
    play(steps, COUNT_OF(steps));
    assert_int_equal(scene.events[TLSMSG_CAUSE_TIMEOUT], 0);
    assert_int_equal(scene.ends[TLSMSG_CLOSE_TIMEOUT], 0);
    assert_false(atomic_load(&server->undelivered));
    assert_int_equal(peers[0].heard, 3);
    assert_memory_equal(peers[0].in, "123", 3);
    end();
}

/* ---- a message that could not be kept ---- */

static bool other_asks(struct scene *s)
{
    return s->peers[1].open && scene_say(&s->peers[1], FOUR);
}

static bool other_is_answered_then_asks_and_is_held(struct scene *s)
{
    static const char *const texts[] = {FOUR};

    if (!scene_heard(&s->peers[1], texts, 1)) {
        return false;
    }
    s->hold = 1;
    return scene_say(&s->peers[1], FOUR);
}

static bool the_held_one_is_refused(struct scene *s)
{
    if (s->holds == 0) {
        return false;
    }
    assert_int_equal(tlsmsg_server_refuse(s->server, &s->last_message, 503), TLSMSG_OK);
    return scene_release(s);
}

static bool other_has_left(struct scene *s)
{
    return s->peers[1].ended && s->closed == 1;
}

static bool the_deferred_one_is_refused(struct scene *s)
{
    if (s->token_count == 0) {
        return false;
    }
    /* One that is gone can't be refused again. */
    assert_int_equal(tlsmsg_server_refuse(s->server, &s->last_message, 503), TLSMSG_OK);
    assert_int_equal(tlsmsg_server_refuse(s->server, &s->tokens[0], 503), TLSMSG_OK);
    return true;
}

static bool both_have_left(struct scene *s)
{
    return s->peers[0].ended && s->closed == 2;
}

static void test_refused_messages_end_their_conversations(void **state)
{
    static scene_step *const steps[] = {other_asks,
                                        other_is_answered_then_asks_and_is_held,
                                        the_held_one_is_refused,
                                        other_has_left,
                                        asks_once,
                                        the_deferred_one_is_refused,
                                        both_have_left};
    static const char *const texts[] = {FOUR};

    (void)state;
    begin("30");
    play(steps, COUNT_OF(steps));
    assert_true(scene_heard(&peers[1], texts, 1));
    assert_int_equal(peers[0].heard, 0);
    assert_int_equal(scene.ends[TLSMSG_CLOSE_FAILED], 2);
    end();
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_large_replies_leave_in_portions),
        cmocka_unit_test(test_portions_leave_without_a_poll),
        cmocka_unit_test(test_answer_that_never_comes),
        cmocka_unit_test(test_each_answer_has_its_own_time),
        cmocka_unit_test(test_client_that_may_still_send_waits),
        cmocka_unit_test(test_no_write_timeout_is_no_limit),
        cmocka_unit_test(test_missing_answer_while_the_server_stops),
        cmocka_unit_test(test_answer_while_the_server_stops),
        cmocka_unit_test(test_refused_messages_end_their_conversations),
    };

    return cmocka_run_group_tests(tests, scene_setup, scene_teardown);
}
