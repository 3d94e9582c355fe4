/* Key updates that ask for one in return (RFC 8446 section 4.6.3), from a peer that doesn't listen:
 * the answers must not meet a record that is half sent, and one that never listens must cost
 * neither a spinning worker nor a conversation without an end. TLS only. */
#include "support/unit.h"

#include <string.h>

#include <openssl/err.h>
#include <openssl/sslerr.h>

#include "base/clock.h"
#include "support/scene.h"

#define PATIENCE_MS 10000
#define PIECE 4096

static struct raw_peer peers[SCENE_PEERS];
static struct tlsmsg_server *server;
static struct scene scene;

/* ---- a peer that doesn't listen for a while ---- */

static size_t rekeyer_said;
static size_t rekeyer_heard; /* bytes of replies */
static bool rekeyer_listens;

static bool rekeyer_speaks(struct scene *s)
{
    static char piece[PIECE];
    struct raw_peer *p = &s->peers[0];
    bool said = false;

    rekeyer_heard += p->heard;
    p->heard = 0;
    p->deaf = p->open && !rekeyer_listens;
    memset(piece, 'x', sizeof(piece));
    while (!rekeyer_listens && p->open && p->queued < RAW_PEER_RECORD_MAX && rekeyer_said < 400 &&
           raw_peer_say(p, piece, sizeof(piece))) {
        assert_true(raw_peer_rekey(p));
        rekeyer_said++;
        said = true;
    }
    return said;
}

/* Records of the server's are half sent by now, with key updates waiting to be answered. */
static bool rekeyer_is_stuck(struct scene *s)
{
    if (s->peers[0].queued < RAW_PEER_RECORD_MAX) {
        return false;
    }
    rekeyer_listens = true;
    s->peers[0].deaf = false;
    raw_peer_goodbye(&s->peers[0]);
    return true;
}

static bool rekeyer_has_all(struct scene *s)
{
    return s->peers[0].ended &&
           rekeyer_heard + s->peers[0].heard == rekeyer_said * (strlen(SCENE_REPLY) + PIECE);
}

static void test_key_updates_while_a_record_is_half_sent(void **state)
{
    static scene_step *const steps[] = {rekeyer_is_stuck, rekeyer_has_all};

    (void)state;
    server = scene_server_new(TLSMSG_OPT_WRITE_TIMEOUT, "5", TLSMSG_OPT_COUNT);
    scene_begin(&scene, server, peers);
    assert_true(scene_enter(&scene, -1));
    scene.always = rekeyer_speaks;
    assert_int_equal(scene_play(&scene, steps, COUNT_OF(steps), PATIENCE_MS), STEPPED_ENDED);
    assert_true(rekeyer_said > 10);
    assert_int_equal(scene.ends[TLSMSG_CLOSE_CLEAN], 1);
    scene_finish(&scene);
    stepped_server_free(server);
}

/* ---- a peer that asks again and again, says nothing and never reads ---- */

#define WRITE_TIMEOUT_MS 500
/* Turns of a worker that has nothing to do but wait for one deadline. */
#define WAITING_TURNS 20
/* What is still asked when the worker can't answer: unread, it would wake a careless poll. */
#define UNREAD_BYTES 4096

static bool blocked; /* the worker's answers fill the way back, and it has stopped to read */
static int64_t blocked_ns;
static unsigned long blocked_turns;
static size_t left_when_blocked;

static unsigned rekeys;

static bool asker_asks(struct scene *s)
{
    struct raw_peer *p = &s->peers[0];
    bool asked = false;

    p->deaf = p->open;
    while (p->open && p->queued < UNREAD_BYTES &&
           (!blocked || p->left < left_when_blocked + UNREAD_BYTES) && raw_peer_rekey(p)) {
        asked = true;
        /* Without data between them so many would not be taken. */
        if (++rekeys % 16 == 0 && !raw_peer_say(p, "x", 1)) {
            break;
        }
    }
    return asked;
}

/* Looks before anything else of that moment happens. */
static bool worker_blocks(struct scene *s)
{
    const struct conversation *c = scene_conversation(s, 0);

    if (!blocked && c != NULL && c->state == CONVERSATION_OPEN && c->read_wants_out) {
        blocked = true;
        blocked_ns = clock_now_ns();
        blocked_turns = stepped_turns();
        left_when_blocked = s->peers[0].left;
    }
    return asker_asks(s);
}

static bool asker_has_asked_for_more(struct scene *s)
{
    return blocked && s->peers[0].left >= left_when_blocked + UNREAD_BYTES;
}

static bool asker_is_cut(struct scene *s)
{
    return s->ends[TLSMSG_CLOSE_TIMEOUT] == 1;
}

static void test_key_updates_from_one_that_never_reads(void **state)
{
    static scene_step *const steps[] = {asker_has_asked_for_more, asker_is_cut};

    (void)state;
    server = scene_server_new(TLSMSG_OPT_WRITE_TIMEOUT, "0.5", TLSMSG_OPT_COUNT);
    scene_begin(&scene, server, peers);
    assert_true(scene_enter(&scene, -1));
    scene.always = worker_blocks;
    assert_int_equal(scene_play(&scene, steps, COUNT_OF(steps), PATIENCE_MS), STEPPED_ENDED);
    assert_int_equal(scene.events[TLSMSG_CAUSE_TIMEOUT], 1);
    assert_int_equal(scene.at, 1);
    /* It had its time, counted from when the worker could not go on, which slept meanwhile. */
    assert_true(clock_now_ns() - blocked_ns >= WRITE_TIMEOUT_MS / 2 * CLOCK_NS_PER_MS);
    assert_true(stepped_turns() - blocked_turns <= WAITING_TURNS);
    scene_finish(&scene);
    stepped_server_free(server);
}

/* ---- a peer that sends nothing else ---- */

static bool flooder_floods(struct scene *s)
{
    struct raw_peer *p = &s->peers[0];

    if (!scene_say(p, "hello")) {
        return false;
    }
    for (unsigned i = 0; i < 600; i++) {
        if (!raw_peer_rekey(p)) {
            break;
        }
    }
    return true;
}

static bool flooder_is_out(struct scene *s)
{
    return s->ends[TLSMSG_CLOSE_FAILED] == 1;
}

static void test_too_many_key_updates_in_a_row(void **state)
{
    static scene_step *const steps[] = {flooder_floods, flooder_is_out};
    static const char *const texts[] = {"hello"};

    (void)state;
    server = scene_server_new(TLSMSG_OPT_COUNT);
    scene_begin(&scene, server, peers);
    assert_true(scene_enter(&scene, -1));
    assert_int_equal(scene_play(&scene, steps, COUNT_OF(steps), PATIENCE_MS), STEPPED_ENDED);
    assert_int_equal(scene.events[TLSMSG_CAUSE_LIMIT], 1);
    /* What it said before was answered, and the end was said in order. */
    assert_true(scene_heard(&peers[0], texts, 1));
    scene_finish(&scene);
    stepped_server_free(server);
}

/* ---- what a turn takes of one ---- */

static unsigned rekeys_first;
static unsigned most_of_a_turn; /* messages */
static unsigned before_turn;

static bool count_turn(struct scene *s)
{
    if (s->messages - before_turn > most_of_a_turn) {
        most_of_a_turn = s->messages - before_turn;
    }
    before_turn = s->messages;
    return true;
}

static bool rekeys_and_says_two(struct scene *s)
{
    struct raw_peer *p = &s->peers[0];

    if (!p->open) {
        return false;
    }
    for (unsigned i = 0; i < rekeys_first; i++) {
        assert_true(raw_peer_rekey(p));
    }
    return scene_say(p, "a") && scene_say(p, "b");
}

static bool both_are_read(struct scene *s)
{
    return s->messages == 2;
}

/* Each counts as several records, of which a conversation has 64 in a turn. */
static void test_key_updates_are_a_part_of_a_turn(void **state)
{
    static scene_step *const steps[] = {rekeys_and_says_two, both_are_read};
    static const struct {
        unsigned rekeys;
        unsigned messages;
    } cases[] = {{0, 2}, {2, 2}, {15, 1}};

    (void)state;
    server = scene_server_new(TLSMSG_OPT_COUNT);
    for (size_t i = 0; i < COUNT_OF(cases); i++) {
        scene_begin(&scene, server, peers);
        rekeys_first = cases[i].rekeys;
        most_of_a_turn = before_turn = 0;
        scene.turn_end = count_turn;
        assert_true(scene_enter(&scene, -1));
        assert_int_equal(scene_play(&scene, steps, COUNT_OF(steps), PATIENCE_MS), STEPPED_ENDED);
        if (most_of_a_turn != cases[i].messages) {
            fail_msg("%u key updates: %u messages", rekeys_first, most_of_a_turn);
        }
        scene_finish(&scene);
    }
    stepped_server_free(server);
}

/* ---- a program that uses the TLS library too, and leaves its errors ---- */

#define ROUNDS 4

static void leave_an_error(void)
{
    ERR_raise(ERR_LIB_SSL, SSL_R_UNEXPECTED_MESSAGE);
}

/* After a key update the worker's read goes on, and finds nothing: it must not take what the program
 * left for the reason. */
static bool rekeys_and_speaks(struct scene *s)
{
    struct raw_peer *p = &s->peers[0];

    return p->open && s->messages == s->at && raw_peer_rekey(p) && scene_say(p, "hello");
}

static bool speaks_and_rekeys(struct scene *s)
{
    struct raw_peer *p = &s->peers[0];

    return p->open && s->messages == s->at && scene_say(p, "hello") && raw_peer_rekey(p);
}

/* The last thing that is read before the iteration's end is no message: a part of a character. */
static bool speaks_and_begins_again(struct scene *s)
{
    struct raw_peer *p = &s->peers[0];

    return p->open && s->messages == s->at && scene_say(p, "hello") && raw_peer_say(p, "\xC3", 1);
}

static bool ends_the_character(struct scene *s)
{
    return s->messages == s->at && raw_peer_say(&s->peers[0], "\xA4", 1);
}

static bool leaves_in_order(struct scene *s)
{
    if (s->messages < ROUNDS) {
        return false;
    }
    raw_peer_goodbye(&s->peers[0]);
    return true;
}

static void test_errors_of_the_program_are_not_the_peers(void **state)
{
    static scene_step *const steps[ROUNDS + 1] = {rekeys_and_speaks, speaks_and_rekeys,
                                                  speaks_and_begins_again, ends_the_character,
                                                  leaves_in_order};
    static const char *const texts[ROUNDS] = {"hello", "hello", "hello", "\xC3\xA4"};

    (void)state;
    server = scene_server_new(TLSMSG_OPT_COUNT);
    scene_begin(&scene, server, peers);
    scene.leaves = leave_an_error;
    assert_true(scene_enter(&scene, -1));
    assert_int_equal(scene_play(&scene, steps, COUNT_OF(steps), PATIENCE_MS), STEPPED_ENDED);
    assert_true(scene_heard(&peers[0], texts, ROUNDS));
    assert_int_equal(scene.ends[TLSMSG_CLOSE_CLEAN], 1);
    ERR_clear_error();
    scene_finish(&scene);
    stepped_server_free(server);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_key_updates_while_a_record_is_half_sent),
        cmocka_unit_test(test_key_updates_from_one_that_never_reads),
        cmocka_unit_test(test_too_many_key_updates_in_a_row),
        cmocka_unit_test(test_key_updates_are_a_part_of_a_turn),
        cmocka_unit_test(test_errors_of_the_program_are_not_the_peers),
    };

    return cmocka_run_group_tests(tests, scene_setup, scene_teardown);
}
