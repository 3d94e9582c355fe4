/* A handler that answers small messages at length. The queue takes one long reply beside what else it
 * holds, so the next message waits until there is room for its reply, and nobody's conversation ends. */
#include "support/unit.h"

#include <stdio.h>
#include <string.h>

#include "base/build.h"
#include "server/messages.h"
#include "support/scene.h"

#define PATIENCE_MS 10000
#define ASKED 8
#define LONG_BYTES ((size_t)1000 * 1000)
/* A message that is one recv in both builds, with a recv size of 4. */
#define FOUR "abcd"
/* In plaintext that the other one is dropped when the play is over is read, too. */
#define CLEAN_ENDS (BUILD_HAS_TLS ? 1 : 2)
#define KIB ((size_t)1024)
#define MIB (1024 * KIB)

static struct raw_peer peers[SCENE_PEERS];
static struct tlsmsg_server *server;
static struct scene scene;
static char long_reply[LONG_BYTES];

static const struct play {
    const char *name;
    bool numbered;
    bool defers; /* the reply to the first message, which the others wait for */
    size_t most; /* bytes that may wait */
} plays[] = {
    {"document's flow", false, false, QUEUE_LIMIT_BYTES},
    {"document's flow, the first reply late", false, true,
     QUEUE_LIMIT_BYTES + DEFERRED_MAX_BYTES + LONG_BYTES},
    {"tlsmsg/1", true, false, QUEUE_MARK_BYTES + MIB + MIB + 2 * KIB},
    {"tlsmsg/1, the first reply late", true, true, MIB + MIB + 2 * LONG_BYTES},
};

static const struct play *on;
static unsigned answered;
static struct tlsmsg_token late;
static size_t heard;

/* ---- what the server does ---- */

static void answer_at_length(struct tlsmsg_message *message, void *user)
{
    const struct iovec text = {.iov_base = long_reply, .iov_len = LONG_BYTES};

    (void)user;
    if (answered++ == 0 && on->defers) {
        assert_int_equal(tlsmsg_message_defer(message, &late), TLSMSG_OK);
    } else {
        assert_int_equal(tlsmsg_message_reply(message, &text, 1), TLSMSG_OK);
    }
}

/* ---- what its peer does ---- */

static bool asks(struct scene *s)
{
    char frames[512] = "HELLO 1\n";
    size_t len = strlen(frames);

    if (!s->peers[0].open) {
        return false;
    }
    s->peers[0].deaf = true;
    for (unsigned i = 1; i <= ASKED; i++) {
        if (on->numbered) {
            len += (size_t)snprintf(frames + len, sizeof(frames) - len, "MSG %u 4\n" FOUR "\n", i);
        } else {
            assert_true(scene_say(&s->peers[0], FOUR));
        }
    }
    return !on->numbered || raw_peer_say(&s->peers[0], frames, len);
}

/* So far that the conversation isn't read: the rest is asked for, and not answered. */
static bool queue_is_full(struct scene *s)
{
    const struct conversation *c = scene_conversation(s, 0);

    if (c == NULL) {
        fail_msg("%s: %s", on->name, s->told);
    }
    return answered > 0 && !messages_may_read(c);
}

static bool late_reply_comes(struct scene *s)
{
    assert_in_range(answered, 1, ASKED - 1);
    if (on->defers) {
        assert_int_equal(tlsmsg_server_reply(s->server, &late, long_reply, LONG_BYTES), TLSMSG_OK);
    }
    s->peers[0].deaf = false;
    return true;
}

static bool all_is_heard(struct scene *s)
{
    if (s->peers[0].ended) {
        fail_msg("%s: %s", on->name, s->told);
    }
    return answered == ASKED && heard >= ASKED * LONG_BYTES;
}

static bool says_goodbye(struct scene *s)
{
    raw_peer_goodbye(&s->peers[0]);
    return true;
}

static bool has_been_let_go(struct scene *s)
{
    return s->peers[0].ended && s->closed > 0;
}

/* At all times: what is heard goes, what waits is bounded. */
static bool look(struct scene *s)
{
    const struct conversation *c = scene_conversation(s, 0);

    heard += s->peers[0].heard;
    s->peers[0].heard = 0;
    if (c != NULL && c->out.len + c->deferred.bytes > on->most) {
        fail_msg("%s: %zu and %zu bytes wait", on->name, c->out.len, c->deferred.bytes);
    }
    return false;
}

static void play(const struct play *which)
{
    static scene_step *const steps[] = {asks,         queue_is_full, late_reply_comes,
                                        all_is_heard, says_goodbye,  has_been_let_go};
    struct tlsmsg_handler handler = *scene_handler();

    on = which;
    answered = 0;
    heard = 0;
    handler.message = answer_at_length;
    server = scene_server_with(&handler, TLSMSG_OPT_RECV_SIZE, which->numbered ? "16384" : "4",
                               TLSMSG_OPT_COUNT);
    raw_peer_offer(which->numbered);
    scene_begin(&scene, server, peers);
    scene.always = look;
    assert_true(scene_enter(&scene, -1));
    assert_true(scene_enter(&scene, -1)); /* who stays to the end */
    if (scene_play(&scene, steps, COUNT_OF(steps), PATIENCE_MS) != STEPPED_ENDED ||
        !scene_was_played(&scene)) {
        fail_msg("%s, step %zu: %s", which->name, scene.at, scene.told);
    }
    assert_int_equal(scene.ends[TLSMSG_CLOSE_CLEAN], CLEAN_ENDS);
    assert_int_equal(scene.events[TLSMSG_CAUSE_MEMORY], 0);
    scene_finish(&scene);
    stepped_server_free(server);
}

static void test_the_next_message_waits_for_room(void **state)
{
    (void)state;
    memset(long_reply, 'x', LONG_BYTES);
    for (size_t i = 0; i < COUNT_OF(plays); i++) {
        if (BUILD_HAS_TLS || !plays[i].numbered) {
            play(&plays[i]);
        }
    }
}

/* ---- several peers, where memory is short ---- */

static bool all_ask(struct scene *s)
{
    for (unsigned i = 0; i < SCENE_PEERS; i++) {
        if (!s->peers[i].open) {
            return false;
        }
    }
    for (unsigned i = 0; i < SCENE_PEERS; i++) {
        s->peers[i].deaf = true;
        assert_true(scene_say(&s->peers[i], FOUR));
    }
    return true;
}

/* The second one comes beyond the bound: that is what a connection may hold beside it. */
static bool third_waits(struct scene *s)
{
    if (answered < 2) {
        return false;
    }
    assert_int_equal(answered, 2);
    assert_true(s->server->workers[0].full);
    return true;
}

static bool one_takes_its_reply(struct scene *s)
{
    s->peers[0].deaf = s->peers[1].deaf = s->peers[2].deaf = false;
    return true;
}

static bool all_are_answered(struct scene *s)
{
    for (unsigned i = 0; i < SCENE_PEERS; i++) {
        heard += s->peers[i].heard;
        s->peers[i].heard = 0;
    }
    return answered == SCENE_PEERS && heard == SCENE_PEERS * LONG_BYTES;
}

static void test_the_next_peer_waits_for_memory(void **state)
{
    static scene_step *const steps[] = {all_ask, third_waits, one_takes_its_reply,
                                        all_are_answered};
    struct tlsmsg_handler handler = *scene_handler();

    (void)state;
    on = &plays[0];
    answered = 0;
    heard = 0;
    handler.message = answer_at_length;
    server = scene_server_with(&handler, TLSMSG_OPT_MAX_BUFFERED, "1048576", TLSMSG_OPT_COUNT);
    raw_peer_offer(false);
    scene_begin(&scene, server, peers);
    for (unsigned i = 0; i < SCENE_PEERS; i++) {
        assert_true(scene_enter(&scene, -1));
    }
    if (scene_play(&scene, steps, COUNT_OF(steps), PATIENCE_MS) != STEPPED_ENDED ||
        !scene_was_played(&scene)) {
        fail_msg("step %zu, %u answered: %s", scene.at, answered, scene.told);
    }
    assert_int_equal(scene.events[TLSMSG_CAUSE_MEMORY], 0);
    scene_finish(&scene);
    stepped_server_free(server);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_the_next_message_waits_for_room),
        cmocka_unit_test(test_the_next_peer_waits_for_memory),
    };

    return cmocka_run_group_tests(tests, scene_setup, scene_teardown);
}
