/* tlsmsg/1 on one worker with several peers: what a hold stops, and what it doesn't. */
#include "support/unit.h"

#include <string.h>

#include "server/internal.h"
#include "support/scene.h"

#define PATIENCE_MS 10000
#define HELLO "HELLO 1 last=0 max=1048576 window=256 promise=none\n"
#define OK_1 "OK 1 37\n你好，我已收到你的消息：a\n"

static struct raw_peer peers[SCENE_PEERS];
static struct tlsmsg_server *server;
static struct scene scene;

static bool heard(unsigned peer, const char *text)
{
    return peers[peer].heard == strlen(text) && memcmp(peers[peer].in, text, strlen(text)) == 0;
}

static bool first_says(struct scene *s)
{
    return s->peers[0].open && s->peers[1].open && scene_say(&s->peers[0], "HELLO 1\n");
}

static bool first_is_held(struct scene *s)
{
    if (!heard(0, HELLO)) {
        return false;
    }
    s->hold = 1;
    return scene_say(&s->peers[0], "MSG 1 1\na\n");
}

static bool second_says_all(struct scene *s)
{
    return s->holds == 1 && scene_say(&s->peers[1], "HELLO 1\nMSG 1 1\na\n");
}

/* The greeting is answered during the hold; its message waits. */
static bool second_is_greeted(struct scene *s)
{
    return heard(1, HELLO) && s->messages == 1 && heard(0, HELLO);
}

static bool hold_ends(struct scene *s)
{
    return scene_release(s);
}

static bool all_is_answered(struct scene *s)
{
    return heard(0, HELLO OK_1) && heard(1, HELLO OK_1) && s->messages == 2;
}

static void test_a_hold_stops_messages_and_not_greetings(void **state)
{
    static scene_step *const steps[] = {first_says,        first_is_held, second_says_all,
                                        second_is_greeted, hold_ends,     all_is_answered};

    (void)state;
    server = scene_server_new(TLSMSG_OPT_COUNT);
    raw_peer_offer(true);
    scene_begin(&scene, server, peers);
    assert_true(scene_enter(&scene, -1));
    assert_true(scene_enter(&scene, -1));
    assert_int_equal(scene_play(&scene, steps, COUNT_OF(steps), PATIENCE_MS), STEPPED_ENDED);
    assert_true(scene_was_played(&scene));
    scene_finish(&scene);
    stepped_server_free(server);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_a_hold_stops_messages_and_not_greetings),
    };

    return cmocka_run_group_tests(tests, scene_setup, scene_teardown);
}
