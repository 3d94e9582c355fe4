/* What limits count and what they don't: the idle timeout a client's silence and not our own, the
 * limit of handshakes those that go on and not one that has failed. */
#include "support/unit.h"

#include <string.h>
#include <unistd.h>

#include "base/build.h"
#include "support/scene.h"

#define PATIENCE_MS 10000
#define IDLE_MS 500

static struct raw_peer peers[SCENE_PEERS];
static struct tlsmsg_server *server;
static struct scene scene;

static void play(scene_step *const *steps, size_t count)
{
    assert_int_equal(scene_play(&scene, steps, count, PATIENCE_MS), STEPPED_ENDED);
    assert_true(scene_was_played(&scene));
}

/* ---- the idle timeout ---- */

static void begin_with_idle_timeout(unsigned peer_count)
{
    server = scene_server_new(TLSMSG_OPT_IDLE_TIMEOUT, "0.5", TLSMSG_OPT_COUNT);
    scene_begin(&scene, server, peers);
    scene.wait_ms = IDLE_MS + 200;
    for (unsigned i = 0; i < peer_count; i++) {
        assert_true(scene_enter(&scene, -1));
    }
}

static void end(void)
{
    scene_finish(&scene);
    stepped_server_free(server);
}

static bool none_was_idle(struct scene *s)
{
    assert_int_equal(s->ends[TLSMSG_CLOSE_TIMEOUT], 0);
    assert_int_equal(s->events[TLSMSG_CAUSE_TIMEOUT], 0);
    return true;
}

static bool message_is_held(struct scene *s)
{
    if (!s->peers[0].open || !s->peers[1].open) {
        return false;
    }
    s->hold = 1;
    return scene_say(&s->peers[0], "one");
}

static bool quiet_one_speaks(struct scene *s)
{
    return scene_say(&s->peers[1], "two");
}

static bool both_have_their_replies(struct scene *s)
{
    static const char *const one[] = {"one"};
    static const char *const two[] = {"two"};

    return scene_heard(&s->peers[0], one, 1) && scene_heard(&s->peers[1], two, 1);
}

/* One waits for its reply, the other has nothing to say: neither is listened to for longer than the
 * timeout. What the second says in the turn after the hold is in time. */
static void test_hold_is_not_idleness(void **state)
{
    static scene_step *const steps[] = {message_is_held, scene_time_passes, none_was_idle,
                                        scene_release,   quiet_one_speaks,  both_have_their_replies,
                                        none_was_idle};

    (void)state;
    begin_with_idle_timeout(2);
    play(steps, COUNT_OF(steps));
    end();
}

/* What waits for the program is memory, too: --max-buffered counts it while it waits, and no poll
 * asks for more of that conversation. */
static bool held_reply_is_counted(struct scene *s)
{
    const struct conversation *c = scene_conversation(s, 0);

    if (s->holds == 0) {
        return false;
    }
    assert_int_equal(c->out.len, strlen(SCENE_REPLY "one"));
    assert_int_equal(c->held_bytes, c->out.len);
    assert_int_equal(c->worker->bytes, c->out.len);
    assert_int_equal(c->watch.armed, 0);
    return true;
}

static bool nothing_is_counted(struct scene *s)
{
    const struct conversation *c = scene_conversation(s, 0);

    if (c->held_bytes != 0) {
        return false;
    }
    assert_int_equal(c->worker->bytes, 0);
    assert_int_equal(c->watch.armed, LOOP_READ);
    return true;
}

static void test_held_replies_count_as_memory(void **state)
{
    static scene_step *const steps[] = {message_is_held, held_reply_is_counted, scene_release,
                                        nothing_is_counted};

    (void)state;
    begin_with_idle_timeout(2);
    play(steps, COUNT_OF(steps));
    end();
}

static bool both_are_idle(struct scene *s)
{
    return s->ends[TLSMSG_CLOSE_TIMEOUT] == 2;
}

/* After the hold the timeout counts again, from then on. */
static void test_idleness_after_a_hold(void **state)
{
    static scene_step *const steps[] = {message_is_held, scene_time_passes, none_was_idle,
                                        scene_release, both_are_idle};

    (void)state;
    begin_with_idle_timeout(2);
    play(steps, COUNT_OF(steps));
    assert_true(peers[0].ended && peers[1].ended);
    end();
}

static bool asker_asks(struct scene *s)
{
    s->defer = 1;
    return s->peers[0].open && scene_say(&s->peers[0], "one");
}

static bool answer_comes(struct scene *s)
{
    assert_int_equal(s->token_count, 1);
    s->defer = 0;
    return tlsmsg_server_reply(s->server, &s->tokens[0], "!", 1) == TLSMSG_OK;
}

static bool asker_asks_again(struct scene *s)
{
    return s->peers[0].heard == 1 && scene_say(&s->peers[0], "two");
}

static bool asker_has_its_reply(struct scene *s)
{
    return s->peers[0].heard == 1 + strlen(SCENE_REPLY "two");
}

/* A client whose reply is late is not silent: it waits, and may go on once it has it. */
static void test_waiting_for_a_reply_is_not_idleness(void **state)
{
    static scene_step *const steps[] = {asker_asks,   scene_time_passes, none_was_idle,
                                        answer_comes, asker_asks_again,  asker_has_its_reply,
                                        none_was_idle};

    (void)state;
    begin_with_idle_timeout(1);
    play(steps, COUNT_OF(steps));
    end();
}

#define PIECE 4096

static size_t said_bytes;

static bool slow_reader_speaks(struct scene *s)
{
    static char piece[PIECE];
    struct raw_peer *p = &s->peers[0];
    bool said = false;

    memset(piece, 'x', sizeof(piece));
    while (p->deaf && p->queued < RAW_PEER_RECORD_MAX && raw_peer_say(p, piece, sizeof(piece))) {
        said_bytes += sizeof(piece);
        said = true;
    }
    return said;
}

static bool slow_reader_goes_deaf(struct scene *s)
{
    s->peers[0].deaf = s->peers[0].open;
    return s->peers[0].deaf;
}

static bool replies_are_stuck(struct scene *s)
{
    return s->peers[0].queued >= RAW_PEER_RECORD_MAX && scene_conversation(s, 0)->released > 0;
}

static bool slow_reader_reads(struct scene *s)
{
    s->peers[0].deaf = false;
    return true;
}

static bool slow_reader_has_all(struct scene *s)
{
    return s->peers[0].heard == said_bytes + s->messages * strlen(SCENE_REPLY);
}

/* How long a client may take for its replies is the write timeout's to say. */
static void test_slow_reader_is_not_idle(void **state)
{
    static scene_step *const steps[] = {slow_reader_goes_deaf, replies_are_stuck,
                                        scene_time_passes,     none_was_idle,
                                        slow_reader_reads,     slow_reader_has_all};

    (void)state;
    begin_with_idle_timeout(1);
    scene.always = slow_reader_speaks;
    said_bytes = 0;
    play(steps, COUNT_OF(steps));
    end();
}

/* ---- places among the handshakes ---- */

static bool stranger_is_turned_away(struct scene *s)
{
    return s->events[TLSMSG_CAUSE_PLAINTEXT_PEER] == 1;
}

/* The stranger's connection is still there, and the only place is free all the same. */
static bool next_one_enters(struct scene *s)
{
    assert_int_equal(scene_conversation(s, 0)->state, CONVERSATION_LINGER);
    assert_int_equal(atomic_load(&s->server->limits.handshakes), 0);
    return scene_enter(s, -1);
}

static bool next_one_speaks(struct scene *s)
{
    return s->peers[0].open && scene_say(&s->peers[0], "one");
}

static bool next_one_has_its_reply(struct scene *s)
{
    static const char *const heard[] = {"one"};

    return scene_heard(&s->peers[0], heard, 1);
}

static void test_failed_handshake_leaves_its_place(void **state)
{
    static const char hello[] = "hello\n";
    static scene_step *const steps[] = {stranger_is_turned_away, next_one_enters, next_one_speaks,
                                        next_one_has_its_reply};
    int stranger;

    (void)state;
    if (!BUILD_HAS_TLS) {
        skip(); /* no handshake, so none that fails */
    }
    server = scene_server_new(TLSMSG_OPT_MAX_HANDSHAKES, "1", TLSMSG_OPT_COUNT);
    scene_begin(&scene, server, peers);
    stranger = stepped_connect(server);
    assert_true(stranger >= 0);
    assert_int_equal(write(stranger, hello, strlen(hello)), strlen(hello));
    play(steps, COUNT_OF(steps));
    assert_int_equal(scene.ends[TLSMSG_CLOSE_HANDSHAKE], 1);
    (void)close(stranger);
    end();
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_hold_is_not_idleness),
        cmocka_unit_test(test_idleness_after_a_hold),
        cmocka_unit_test(test_held_replies_count_as_memory),
        cmocka_unit_test(test_waiting_for_a_reply_is_not_idleness),
        cmocka_unit_test(test_slow_reader_is_not_idle),
        cmocka_unit_test(test_failed_handshake_leaves_its_place),
    };

    return cmocka_run_group_tests(tests, scene_setup, scene_teardown);
}
