/* Key updates that ask for one in return, from a peer that doesn't listen for a while: the answers
 * must not meet a record that is half sent (RFC 8446 section 4.6.3). TLS only. */
#include "support/unit.h"

#include <string.h>

#include "support/ends_identity.h"
#include "support/scene.h"

#define PATIENCE_MS 10000
#define PIECE 4096

static struct raw_peer peers[SCENE_PEERS];
static struct tlsmsg_server *server;
static struct scene scene;

static int set_up(void **state)
{
    (void)state;
    ends_identity_setup();
    raw_peer_setup();
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    raw_peer_teardown();
    ends_identity_teardown();
    return 0;
}

static void make_server(void)
{
    struct tlsmsg_options *o = NULL;

    assert_int_equal(tlsmsg_options_new(TLSMSG_SERVER, &o, NULL), TLSMSG_OK);
    assert_int_equal(tlsmsg_options_set(o, TLSMSG_ACCEPT, "0", NULL), TLSMSG_OK);
    assert_int_equal(tlsmsg_options_set(o, TLSMSG_WRITE_TIMEOUT, "5", NULL), TLSMSG_OK);
    ends_identity_of_server(o, false);
    server = stepped_server_new(o, scene_handler());
    assert_non_null(server);
    assert_true(stepped_begin(server));
}

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
    make_server();
    scene_init(&scene, server, peers);
    assert_true(scene_enter(&scene, -1));
    scene.always = rekeyer_speaks;
    assert_int_equal(scene_play(&scene, steps, COUNT_OF(steps), PATIENCE_MS), STEPPED_ENDED);
    assert_true(rekeyer_said > 10);
    assert_int_equal(scene.ends[TLSMSG_HOW_CLEAN], 1);
    scene_fini(&scene);
    stepped_server_free(server);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_key_updates_while_a_record_is_half_sent),
    };

    return cmocka_run_group_tests(tests, set_up, tear_down);
}
