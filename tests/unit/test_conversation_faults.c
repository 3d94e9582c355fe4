/* What peers and handlers can do to a conversation, with a healthy one beside it: resets, cuts,
 * silence, haste, late answers. One worker, stepped on the test's thread, so that each case is
 * the same in every run. */
#include "support/unit.h"

#include <string.h>

#include "base/build.h"
#include "base/clock.h"
#include "server/table.h"
#include "support/scene.h"

#define PATIENCE_MS 10000
#define PIECE 4096

static struct raw_peer peers[SCENE_PEERS];
static struct tlsmsg_server *server;
static struct scene scene;

static void begin(void)
{
    scene_begin(&scene, server, peers);
}

#define PLAY(steps) scene_play(&scene, (steps), COUNT_OF(steps), PATIENCE_MS)

/* ---- the healthy one: peer 0 ---- */

static bool healthy_opens(struct scene *s)
{
    return s->peers[0].open && scene_say(&s->peers[0], "one");
}

static bool healthy_goes_on(struct scene *s)
{
    static const char *const heard[] = {"one"};

    return scene_heard(&s->peers[0], heard, 1) && scene_say(&s->peers[0], "two");
}

static bool healthy_leaves(struct scene *s)
{
    static const char *const heard[] = {"one", "two"};

    if (!scene_heard(&s->peers[0], heard, 2)) {
        return false;
    }
    raw_peer_goodbye(&s->peers[0]);
    return true;
}

static bool healthy_has_left(struct scene *s)
{
    return s->peers[0].ended;
}

/* ---- reset at each point ---- */

static bool victim_has_spoken(struct scene *s)
{
    return s->peers[1].left > 0;
}

static bool victim_opens(struct scene *s)
{
    return s->peers[1].open;
}

static bool victim_says(struct scene *s)
{
    return scene_say(&s->peers[1], "lost");
}

static bool victim_hears(struct scene *s)
{
    static const char *const heard[] = {"lost"};

    return scene_heard(&s->peers[1], heard, 1);
}

static bool victim_says_goodbye(struct scene *s)
{
    raw_peer_goodbye(&s->peers[1]);
    return true;
}

static bool victim_resets(struct scene *s)
{
    raw_peer_drop(&s->peers[1], true);
    return true;
}

static bool victim_is_gone(struct scene *s)
{
    /* A connection that sent nothing at all is closed without being told. */
    return s->closed > 0 || s->server->workers[0].conversations == 1;
}

static void test_reset_at_each_point(void **state)
{
    /* How far the victim comes; then it resets. In between the healthy one goes on. */
    scene_step *const way[] = {victim_has_spoken, victim_opens, victim_says, victim_hears,
                               victim_says_goodbye};
    scene_step *const tail[] = {victim_resets, victim_is_gone, healthy_goes_on, healthy_leaves,
                                healthy_has_left};

    (void)state;
    server = scene_server_new(TLSMSG_OPT_COUNT);
    for (size_t length = 0; length <= COUNT_OF(way); length++) {
        scene_step *steps[COUNT_OF(way) + COUNT_OF(tail) + 1];
        size_t n = 0;

        begin();
        assert_true(scene_enter(&scene, -1));
        assert_true(scene_enter_by_tcp(&scene));
        steps[n++] = healthy_opens;
        for (size_t i = BUILD_HAS_TLS ? 0 : 1; i < length; i++) {
            steps[n++] = way[i];
        }
        for (size_t i = 0; i < COUNT_OF(tail); i++) {
            steps[n++] = tail[i];
        }
        assert_int_equal(scene_play(&scene, steps, n, PATIENCE_MS), STEPPED_ENDED);
        assert_int_equal(scene.ends[TLSMSG_CLOSE_CLEAN], length == COUNT_OF(way) ? 2 : 1);
        assert_int_equal(scene.closed, 2);
        scene_finish(&scene);
    }
    stepped_server_free(server);
}

/* ---- a reset that a reply meets ---- */

static unsigned met_by; /* which reply, counted from 1: the first takes the session ticket along */

static bool victim_says_more(struct scene *s)
{
    return scene_say(&s->peers[1], "more");
}

/* Between the reading of a message and its reply the victim says one more and resets. */
static bool victim_resets_behind_a_message(struct scene *s)
{
    if (s->messages == met_by && !scene_is_over(&s->peers[1])) {
        assert_true(scene_say(&s->peers[1], "last"));
        (void)raw_peer_step(&s->peers[1]);
        raw_peer_drop(&s->peers[1], true);
    }
    return true;
}

static bool all_have_come(struct scene *s)
{
    return s->messages == met_by + 1;
}

static bool victim_was_told_of(struct scene *s)
{
    return s->closed == 1;
}

/* The victim's steps, then those of the healthy one. */
static void play_reset_met_by(unsigned reply, scene_step *const *steps, size_t count)
{
    server = scene_server_new(TLSMSG_OPT_COUNT);
    begin();
    met_by = reply;
    scene.turn_end = victim_resets_behind_a_message;
    assert_true(scene_enter(&scene, -1));
    assert_true(scene_enter_by_tcp(&scene));
    assert_int_equal(scene_play(&scene, steps, count, PATIENCE_MS), STEPPED_ENDED);
    assert_int_equal(scene.messages, met_by + 1 + 2);
    assert_int_equal(scene.ends[TLSMSG_CLOSE_FAILED], 0);
    assert_int_equal(scene.events[TLSMSG_CAUSE_OTHER], 0);
    scene_finish(&scene);
    stepped_server_free(server);
}

static void test_messages_before_a_reset_met_by_the_first_reply_are_read(void **state)
{
    static scene_step *const steps[] = {victim_opens,       victim_says,     all_have_come,
                                        victim_was_told_of, healthy_opens,   healthy_goes_on,
                                        healthy_leaves,     healthy_has_left};

    (void)state;
    play_reset_met_by(1, steps, COUNT_OF(steps));
}

static void test_messages_before_a_reset_met_by_a_reply_are_read(void **state)
{
    static scene_step *const steps[] = {
        victim_opens,       victim_says,   victim_hears,    victim_says_more, all_have_come,
        victim_was_told_of, healthy_opens, healthy_goes_on, healthy_leaves,   healthy_has_left};

    (void)state;
    play_reset_met_by(2, steps, COUNT_OF(steps));
}

/* ---- a stream cut at every byte ---- */

static bool cut_ends; /* the rest never comes */

static bool cutter_speaks(struct scene *s)
{
    return s->peers[1].open && scene_say(&s->peers[1], "你好") && scene_say(&s->peers[1], "b");
}

/* The worker has done all it can with the bytes up to the cut. */
static bool cut_is_over(struct scene *s)
{
    struct raw_peer *p = &s->peers[1];

    p->most = (size_t)-1;
    if (cut_ends) {
        p->queued = 0;
        raw_peer_half_close(p);
    }
    return true;
}

static bool cutter_leaves(struct scene *s)
{
    raw_peer_goodbye(&s->peers[1]);
    return true;
}

static bool cutter_has_left(struct scene *s)
{
    return s->peers[1].eof;
}

/* Where the cut comes before the cutter can speak, the rest of the handshake does first. */
static bool cut_is_over_early(struct scene *s)
{
    return s->peers[1].open || cut_is_over(s);
}

static bool cutter_speaks_if_it_can(struct scene *s)
{
    return cut_ends && !s->peers[1].open ? true : cutter_speaks(s);
}

/* Plays a cut at a byte; returns the bytes that the peer sent. */
static size_t play_cut(size_t at, bool ends)
{
    static scene_step *const steps[] = {healthy_opens,   cut_is_over_early, cutter_speaks_if_it_can,
                                        cut_is_over,     cutter_leaves,     cutter_has_left,
                                        healthy_goes_on, healthy_leaves,    healthy_has_left};
    static const char *const together[] = {"你好b"};
    static const char *const apart[] = {"你好", "b"};
    struct raw_peer *p = &peers[1];
    size_t left;

    begin();
    cut_ends = ends;
    assert_true(scene_enter(&scene, -1));
    assert_true(scene_enter(&scene, -1));
    p->most = at;
    assert_int_equal(PLAY(steps), STEPPED_ENDED);
    left = p->left;
    if (!ends) {
        /* In plaintext what comes together is one message, cut where characters end. */
        assert_int_equal(scene.ends[TLSMSG_CLOSE_CLEAN], 2);
        assert_true(BUILD_HAS_TLS ? scene_heard(p, apart, 2)
                                  : p->heard > strlen(together[0]) && !p->lost);
        assert_int_equal(scene.closed, 2);
    } else {
        assert_int_equal(scene.closed, 2);
        assert_int_equal(scene.ends[TLSMSG_CLOSE_CLEAN] + scene.ends[TLSMSG_CLOSE_HANDSHAKE] +
                             scene.ends[TLSMSG_CLOSE_TRUNCATED] +
                             scene.ends[TLSMSG_CLOSE_INVALID_UTF8],
                         2);
        assert_true(scene.ends[TLSMSG_CLOSE_CLEAN] >= 1);
        /* What had come whole was answered. */
        assert_true(p->heard == 0 || scene_heard(p, apart, 1) || scene_heard(p, apart, 2) ||
                    !BUILD_HAS_TLS);
    }
    scene_finish(&scene);
    return left;
}

static void test_stream_cut_at_every_byte(void **state)
{
    size_t total;

    (void)state;
    server = scene_server_new(TLSMSG_OPT_COUNT);
    total = play_cut((size_t)-1, false);
    assert_true(total >= strlen("你好b"));
    for (size_t at = 0; at < total; at += scene_stride()) {
        assert_int_equal(play_cut(at, false), total);
        assert_in_range(play_cut(at, true), 0, at);
    }
    stepped_server_free(server);
}

/* ---- a peer that never reads ---- */

static size_t most_queued;

static bool deaf_speaks(struct scene *s)
{
    static char piece[PIECE];
    size_t queued = scene_queued(s, 1);
    bool said = false;

    memset(piece, 'x', sizeof(piece));
    s->peers[1].deaf = s->peers[1].open;
    most_queued = queued > most_queued ? queued : most_queued;
    while (s->peers[1].open && s->peers[1].queued < RAW_PEER_RECORD_MAX && s->messages < 500 &&
           raw_peer_say(&s->peers[1], piece, sizeof(piece))) {
        said = true;
    }
    return said;
}

/* The server no longer reads: what was said waits on the wire. */
static bool deaf_is_stuck(struct scene *s)
{
    return s->peers[1].queued >= RAW_PEER_RECORD_MAX;
}

static bool deaf_times_out(struct scene *s)
{
    return s->ends[TLSMSG_CLOSE_TIMEOUT] == 1;
}

static void test_peer_that_never_reads(void **state)
{
    static scene_step *const steps[] = {healthy_opens,  deaf_is_stuck,    healthy_goes_on,
                                        healthy_leaves, healthy_has_left, deaf_times_out};

    (void)state;
    server = scene_server_new(TLSMSG_OPT_WRITE_TIMEOUT, "0.3", TLSMSG_OPT_COUNT);
    begin();
    assert_true(scene_enter(&scene, -1));
    assert_true(scene_enter(&scene, -1));
    most_queued = 0;
    scene.always = deaf_speaks;
    assert_int_equal(PLAY(steps), STEPPED_ENDED);
    /* TLS stops reading as soon as a record is half sent, the plain transport at the mark. */
    assert_true(most_queued > 0);
    assert_true(most_queued < QUEUE_MARK_BYTES + RAW_PEER_RECORD_MAX + 384);
    scene_finish(&scene);
    stepped_server_free(server);
}

/* ---- a held turn, and fairness: messages of four bytes, one a recv in both builds ---- */

#define FOUR "abcd"

static unsigned seen_at_hold;
static size_t burst;

static bool both_are_open(struct scene *s)
{
    return s->peers[0].open && s->peers[1].open;
}

static bool burst_arrives(struct scene *s)
{
    for (size_t i = 0; i < burst; i++) {
        assert_true(scene_say(&s->peers[1], FOUR));
    }
    return true;
}

static bool burst_arrives_and_is_held(struct scene *s)
{
    s->hold = 1;
    return burst_arrives(s);
}

static bool more_comes_to_the_hold(struct scene *s)
{
    assert_int_equal(s->holds, 1);
    assert_in_range(s->messages, 1, ITERATION_RECORDS);
    assert_int_equal(s->peers[1].heard, 0);
    seen_at_hold = s->messages;
    return scene_say(&s->peers[0], FOUR) && scene_say(&s->peers[1], FOUR);
}

static bool hold_ends(struct scene *s)
{
    assert_int_equal(s->messages, seen_at_hold);
    return scene_release(s);
}

static bool all_is_answered(struct scene *s)
{
    size_t reply = strlen(SCENE_REPLY FOUR);

    return s->peers[0].heard == reply && s->peers[1].heard >= burst * reply;
}

static void test_held_turn_reads_no_more(void **state)
{
    static scene_step *const steps[] = {both_are_open, burst_arrives_and_is_held,
                                        more_comes_to_the_hold, hold_ends, all_is_answered};

    (void)state;
    server = scene_server_new(TLSMSG_OPT_RECV_SIZE, "4", TLSMSG_OPT_COUNT);
    begin();
    assert_true(scene_enter(&scene, -1));
    assert_true(scene_enter(&scene, -1));
    burst = 200;
    assert_int_equal(PLAY(steps), STEPPED_ENDED);
    assert_int_equal(scene.messages, burst + 2);
    assert_int_equal(peers[1].heard, (burst + 1) * strlen(SCENE_REPLY FOUR));
    scene_finish(&scene);
    stepped_server_free(server);
}

static bool burst_and_one_arrive(struct scene *s)
{
    return burst_arrives(s) && scene_say(&s->peers[0], FOUR);
}

static void test_burst_leaves_others_their_turn(void **state)
{
    static scene_step *const steps[] = {both_are_open, burst_and_one_arrive, all_is_answered};
    unsigned first = 0;

    (void)state;
    server = scene_server_new(TLSMSG_OPT_RECV_SIZE, "4", TLSMSG_OPT_COUNT);
    begin();
    assert_true(scene_enter(&scene, -1));
    assert_true(scene_enter(&scene, -1));
    burst = 4 * ITERATION_RECORDS;
    assert_int_equal(PLAY(steps), STEPPED_ENDED);
    assert_int_equal(scene.messages, burst + 1);
    while (scene.senders[first] != 1) {
        first++;
    }
    assert_in_range(first, 0, ITERATION_RECORDS);
    scene_finish(&scene);
    stepped_server_free(server);
}

/* ---- deferred replies ---- */

static bool late_one_asks(struct scene *s)
{
    return s->peers[1].open && scene_say(&s->peers[1], "later");
}

static bool late_one_drops(struct scene *s)
{
    assert_int_equal(s->token_count, 1);
    raw_peer_drop(&s->peers[1], false);
    return true;
}

static bool late_one_is_replaced(struct scene *s)
{
    s->defer = 3;
    return s->closed == 1 && scene_enter(s, -1);
}

static bool newcomer_asks(struct scene *s)
{
    return s->peers[2].open && scene_say(&s->peers[2], "me");
}

/* The first token names the conversation that is gone, though another has its slot and waits for
 * a reply to its own first message. */
static bool reply_comes_too_late(struct scene *s)
{
    const struct worker *w = &s->server->workers[0];

    assert_int_equal(s->token_count, 2);
    assert_non_null(table_find(w, s->tokens[0].slot, 3));
    assert_int_equal(s->tokens[0].message, s->tokens[1].message);
    assert_int_equal(tlsmsg_server_reply(s->server, &s->tokens[0], "not", 3), TLSMSG_OK);
    assert_int_equal(tlsmsg_server_reply(s->server, &s->tokens[1], "yours", 5), TLSMSG_OK);
    return true;
}

static bool newcomer_hears_its_own(struct scene *s)
{
    return s->peers[2].heard == 5 && memcmp(s->peers[2].in, "yours", 5) == 0;
}

static void test_deferred_reply_after_the_end(void **state)
{
    static scene_step *const steps[] = {
        healthy_opens,    late_one_asks,          late_one_drops,  late_one_is_replaced,
        newcomer_asks,    reply_comes_too_late,   healthy_goes_on, healthy_leaves,
        healthy_has_left, newcomer_hears_its_own,
    };

    (void)state;
    server = scene_server_new(TLSMSG_OPT_COUNT);
    begin();
    scene.defer = 2;
    assert_true(scene_enter(&scene, -1));
    assert_true(scene_enter(&scene, -1));
    assert_int_equal(PLAY(steps), STEPPED_ENDED);
    scene_finish(&scene);
    stepped_server_free(server);
}

static bool reply_comes_after_goodbye(struct scene *s)
{
    static const char text[] = "at last";

    assert_false(s->peers[1].ended);
    return tlsmsg_server_reply(s->server, &s->tokens[0], text, strlen(text)) == TLSMSG_OK;
}

static bool late_one_has_heard(struct scene *s)
{
    return s->peers[1].ended && s->peers[1].heard == strlen("at last") &&
           memcmp(s->peers[1].in, "at last", s->peers[1].heard) == 0;
}

static void test_deferred_reply_after_goodbye(void **state)
{
    static scene_step *const steps[] = {
        healthy_opens,   late_one_asks,  victim_says_goodbye, reply_comes_after_goodbye,
        healthy_goes_on, healthy_leaves, late_one_has_heard,
    };

    (void)state;
    server = scene_server_new(TLSMSG_OPT_COUNT);
    begin();
    scene.defer = 2;
    assert_true(scene_enter(&scene, -1));
    assert_true(scene_enter(&scene, -1));
    assert_int_equal(PLAY(steps), STEPPED_ENDED);
    assert_int_equal(scene.ends[TLSMSG_CLOSE_CLEAN], 2);
    scene_finish(&scene);
    stepped_server_free(server);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_reset_at_each_point),
        cmocka_unit_test(test_messages_before_a_reset_met_by_the_first_reply_are_read),
        cmocka_unit_test(test_messages_before_a_reset_met_by_a_reply_are_read),
        cmocka_unit_test(test_stream_cut_at_every_byte),
        cmocka_unit_test(test_peer_that_never_reads),
        cmocka_unit_test(test_held_turn_reads_no_more),
        cmocka_unit_test(test_burst_leaves_others_their_turn),
        cmocka_unit_test(test_deferred_reply_after_the_end),
        cmocka_unit_test(test_deferred_reply_after_goodbye),
    };

    return cmocka_run_group_tests(tests, scene_setup, scene_teardown);
}
