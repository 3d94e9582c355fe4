/* See memory_scene.h. The first peer is there before, the second comes and talks while memory is
 * short, the third is connected all the time but says nothing until that is over. */
#include "support/memory_scene.h"

#include <string.h>

#include "support/ends_identity.h"
#include "support/unit.h"

#define PATIENCE_MS 10000

/* In the order in which they enter; connections count from 1. */
enum { FIRST, THIRD, SECOND };

static struct raw_peer peers[SCENE_PEERS];
static struct tlsmsg_server *server;
static struct scene scene;
static const struct memory_fault *fault;
static unsigned long failing;
static unsigned long counted;
static bool armed;
static bool refused; /* the second never became a conversation */

void memory_scene_setup(void)
{
    struct tlsmsg_options *o = NULL;

    (void)ends_identity_setup(NULL);
    raw_peer_setup();
    assert_int_equal(tlsmsg_options_new(TLSMSG_ROLE_SERVER, &o, NULL), TLSMSG_OK);
    assert_int_equal(tlsmsg_options_set(o, TLSMSG_OPT_ACCEPT, "0", NULL), TLSMSG_OK);
    ends_identity_of_server(o, false);
    server = stepped_server_new(o, scene_handler());
    assert_non_null(server);
}

void memory_scene_teardown(void)
{
    stepped_server_free(server);
    raw_peer_teardown();
    (void)ends_identity_teardown(NULL);
}

/* The peers' own memory is never short. */
static void pause(bool paused)
{
    if (armed && fault->pause != NULL) {
        fault->pause(paused);
    }
}

static bool first_opens(struct scene *s)
{
    return s->peers[FIRST].open && scene_say(&s->peers[FIRST], "one");
}

static bool second_enters(struct scene *s)
{
    static const char *const heard[] = {"one"};
    bool entered;

    if (!scene_heard(&s->peers[FIRST], heard, 1)) {
        return false;
    }
    fault->arm(failing);
    armed = true;
    pause(true); /* the peer's session is the peer's */
    entered = scene_enter(s, -1);
    refused = !entered;
    if (refused) {
        /* The place of the second is taken by one that is over. */
        assert_true(scene_enter(s, -1));
        raw_peer_drop(&s->peers[SECOND], false);
    }
    return true;
}

static bool second_talks(struct scene *s)
{
    if (scene_is_over(&s->peers[SECOND])) {
        return true;
    }
    return s->peers[SECOND].open && scene_say(&s->peers[SECOND], "b");
}

static bool first_talks_too(struct scene *s)
{
    return scene_is_over(&s->peers[FIRST]) || scene_say(&s->peers[FIRST], "two");
}

/* Deferred replies, where the messages came. */
static bool second_is_answered(struct scene *s)
{
    pause(false);
    for (size_t i = 0; i < s->token_count; i++) {
        enum tlsmsg_code code = tlsmsg_server_reply(s->server, &s->tokens[i], "late", 4);

        if (code == TLSMSG_ERR_NOMEM) { /* the caller's to know: it tries once more */
            code = tlsmsg_server_reply(s->server, &s->tokens[i], "late", 4);
        }
        assert_int_equal(code, TLSMSG_OK);
    }
    pause(true);
    return true;
}

static bool second_leaves(struct scene *s)
{
    raw_peer_goodbye(&s->peers[SECOND]);
    return true;
}

static bool third_wakes(struct scene *s)
{
    pause(false);
    counted = fault->disarm();
    armed = false;
    s->peers[THIRD].most = (size_t)-1;
    return true;
}

static bool third_talks(struct scene *s)
{
    return s->peers[THIRD].open && scene_say(&s->peers[THIRD], "three");
}

static bool third_hears(struct scene *s)
{
    static const char *const heard[] = {"three"};

    return scene_heard(&s->peers[THIRD], heard, 1);
}

static bool first_ends(struct scene *s)
{
    static const char *const heard[] = {"one", "two"};
    const struct raw_peer *p = &s->peers[FIRST];

    if (scene_is_over(p)) {
        return true;
    }
    if (!scene_heard(p, heard, 2)) {
        return false;
    }
    raw_peer_goodbye(&s->peers[FIRST]);
    return true;
}

static bool first_has_left(struct scene *s)
{
    return scene_is_over(&s->peers[FIRST]);
}

/* While memory is short the peers' part of a turn is not. */
static bool pause_peers(struct scene *s)
{
    (void)s;
    pause(true);
    return false;
}

static bool resume_worker(struct scene *s)
{
    (void)s;
    pause(false);
    return false;
}

static unsigned hurt_conversations(void)
{
    static const char *const first[] = {"one", "two"};
    unsigned hurt = refused ? 1 : 0;

    hurt += scene_heard(&peers[FIRST], first, 2) ? 0 : 1;
    if (!refused) {
        bool late = peers[SECOND].heard == 8 && memcmp(peers[SECOND].in, "latelate", 8) == 0;

        hurt += late && peers[SECOND].ended ? 0 : 1;
    }
    return hurt;
}

bool memory_scene_play(const struct memory_fault *how, unsigned long n)
{
    static scene_step
        *const
            steps
                [] =
                    {
                        first_opens,     second_enters,      second_talks,
                        second_talks, /* a message of its own in plaintext too */
                        first_talks_too, second_is_answered, second_leaves,
                        third_wakes,     third_talks,        third_hears,
                        first_ends,      first_has_left,
                    };
    const struct tlsmsg_server *s = server;
    struct tlsmsg_stats stats = {.size = sizeof(stats)};
    enum stepped_end end;
    bool was_hurt;

    fault = how;
    failing = n;
    assert_true(stepped_begin(server));
    scene_init(&scene, server, peers);
    scene.defer = SECOND + 1;
    scene.replies_itself = true;
    scene.always = pause_peers;
    scene.after = resume_worker;
    assert_true(scene_enter(&scene, -1));
    assert_true(scene_enter(&scene, -1));
    peers[THIRD].most = 0;
    end = scene_play(&scene, steps, COUNT_OF(steps), PATIENCE_MS);
    if (armed) {
        (void)fault->disarm();
        armed = false;
    }
    if (end != STEPPED_ENDED) {
        fail_msg("allocation %lu: the server stands still at step %zu", n, scene.at);
    }
    was_hurt = hurt_conversations() > 0;
    if (hurt_conversations() > 1) {
        fail_msg("allocation %lu cost two conversations", n);
    }
    if (was_hurt && counted < n) {
        fail_msg("no allocation failed, and yet a conversation ended");
    }
    tlsmsg_server_stats(server, &stats);
    assert_int_equal(stats.open + stats.handshaking + stats.queued_bytes, 0);
    assert_int_equal(atomic_load(&s->limits.connections), 0);
    assert_int_equal(atomic_load(&s->limits.handshakes), 0);
    scene_fini(&scene);
    return counted >= n;
}
