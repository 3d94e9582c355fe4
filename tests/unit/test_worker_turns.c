/* A worker's turns: how many conversations one takes in, how long it waits, and how a handler's
 * failure ends them all. */
#include "support/unit.h"

#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/build.h"
#include "support/play.h"
#include "support/test_clock.h"

#define PATIENCE_MS 10000
#define REPLY SCENE_REPLY

/* --- conversations of a turn ------------------------------------------------------------------ */

#define MANY 20
/* After so many the clock is looked at. */
#define BETWEEN_LOOKS 7

static int others[MANY];
static uint64_t told_of[MANY];    /* connections, in the order of their events */
static unsigned long turns[MANY]; /* of these */
static unsigned told;

/* Each takes as long as a whole turn may. */
static void on_event(const struct tlsmsg_event *event, void *user)
{
    (void)user;
    assert_true(told < MANY);
    told_of[told] = event->connection;
    turns[told++] = stepped_turns();
    test_clock_advance(10);
}

static bool all_are_told_of(struct scene *s)
{
    (void)s;
    return told == MANY;
}

static bool all_leave(struct scene *s)
{
    (void)s;
    for (unsigned i = 0; i < MANY; i++) {
        (void)close(others[i]);
    }
    return true;
}

static void test_a_slow_turn_leaves_the_rest_to_the_next(void **state)
{
    static const char nonsense[] = "\xff\xff\xff\xff\xff";
    static scene_step *const steps[] = {all_are_told_of, all_leave};
    struct tlsmsg_handler handler = *scene_handler();

    (void)state;
    handler.event = on_event;
    play_begin(scene_server_with(&handler, TLSMSG_OPT_COUNT), 0);
    told = 0;
    for (unsigned i = 0; i < MANY; i++) {
        others[i] = stepped_connect(server);
        assert_true(others[i] >= 0);
        assert_int_equal(send(others[i], nonsense, 5, MSG_NOSIGNAL), 5);
    }
    assert_int_equal(scene_play(&scene, steps, COUNT_OF(steps), PATIENCE_MS), STEPPED_ENDED);
    assert_int_equal(told, MANY);
    for (unsigned i = 0; i < MANY; i++) {
        assert_int_equal(told_of[i], i + 1);
        assert_int_equal(turns[i] - turns[0], i / BETWEEN_LOOKS);
    }
    play_end();
}

/* --- how long it waits ------------------------------------------------------------------------ */

static bool is_open(struct scene *s)
{
    return s->peers[0].open && s->peers[1].open;
}

static bool waits_for_ever(struct scene *s)
{
    (void)s;
    assert_int_equal(stepped_timeout_ms(), -1);
    return true;
}

static bool waits_for_the_idle_timeout(struct scene *s)
{
    (void)s;
    assert_in_range(stepped_timeout_ms(), 90001, 100000);
    return true;
}

static bool waits_for_the_listeners_pause(struct scene *s)
{
    (void)s;
    assert_in_range(stepped_timeout_ms(), 40001, 50000);
    return true;
}

static bool waits_a_moment_for_memory(struct scene *s)
{
    (void)s;
    assert_true(s->server->workers[0].over);
    assert_in_range(stepped_timeout_ms(), 1, 10);
    return true;
}

static bool wakes(struct scene *s)
{
    loop_wake(&s->server->workers[0].loop);
    return true;
}

static bool pause_of_the_listeners(struct scene *s)
{
    struct worker *w = &s->server->workers[0];

    w->resume_ns = clock_now_ns() + 50 * (int64_t)CLOCK_NS_PER_S;
    return wakes(s);
}

static bool end_of_that_pause(struct scene *s)
{
    s->server->workers[0].resume_ns = 0;
    return wakes(s);
}

static bool is_held(struct scene *s)
{
    assert_int_equal(s->holds, 1);
    return true;
}

static bool program_takes_all(struct scene *s)
{
    tlsmsg_server_buffered(s->server, (int64_t)s->server->settings.max_buffered_bytes + 1);
    return wakes(s);
}

static bool program_gives_all_back(struct scene *s)
{
    tlsmsg_server_buffered(s->server, -(int64_t)atomic_load(&s->server->elsewhere));
    return true;
}

static void play_waits(const char *idle_timeout, const struct act *acts, size_t count)
{
    server = scene_server_new(TLSMSG_OPT_IDLE_TIMEOUT, idle_timeout, TLSMSG_OPT_COUNT);
    server->settings.handshake_timeout_ms = 0; /* its timer would only be moved when it ends */
    scene_begin(&scene, server, peers);
    assert_true(scene_enter(&scene, -1));
    assert_true(scene_enter(&scene, -1));
    acts_play(&scene, acts, count);
    play_end();
}

static void test_nothing_to_wait_for(void **state)
{
    static const struct act acts[] = {
        {.does = is_open},
        {.does = waits_for_ever},
        /* While replies are held nobody is read, and a release wakes. */
        {.holds = "a"},
        {.does = is_held},
        {.does = waits_for_ever},
        {.does = scene_release},
        {.hears = REPLY "a"},
        {.does = waits_for_ever},
    };

    (void)state;
    play_waits("0", acts, COUNT_OF(acts));
}

static void test_deadlines_to_wait_for(void **state)
{
    static const struct act acts[] = {
        {.does = is_open},
        {.does = waits_for_the_idle_timeout},
        {.does = pause_of_the_listeners},
        {.does = waits_for_the_listeners_pause},
        {.does = end_of_that_pause},
        {.does = waits_for_the_idle_timeout},
    };

    (void)state;
    play_waits("100", acts, COUNT_OF(acts));
}

static void test_the_listeners_pause_alone(void **state)
{
    static const struct act acts[] = {
        {.does = is_open},
        {.does = pause_of_the_listeners},
        {.does = waits_for_the_listeners_pause},
        {.does = end_of_that_pause},
    };

    (void)state;
    play_waits("0", acts, COUNT_OF(acts));
}

/* Nobody tells when others have given memory back. */
static void test_memory_to_wait_for(void **state)
{
    static const struct act acts[] = {
        {.does = is_open},
        {.does = program_takes_all},
        {.says = "a"},
        {.hears = REPLY "a"},
        {.does = waits_a_moment_for_memory},
        {.does = program_gives_all_back},
        {.says = "b"},
        {.hears = REPLY "b"},
    };

    (void)state;
    play_waits("0", acts, COUNT_OF(acts));
    /* With a deadline that is far. */
    play_waits("100", acts, COUNT_OF(acts));
}

/* --- a reload --------------------------------------------------------------------------------- */

static unsigned generation; /* of the worker, when a first byte had come */

static bool config_is_new(struct scene *s)
{
    assert_int_equal(tlsmsg_server_reload(s->server, s->server->options, NULL), TLSMSG_OK);
    assert_int_not_equal(s->server->workers[0].config_generation,
                         atomic_load(&s->server->config_generation));
    generation = atomic_load(&s->server->config_generation);
    s->peers[0].most = 20;
    return true;
}

static bool config_is_followed(struct scene *s)
{
    assert_int_equal(s->server->workers[0].config_generation, generation);
    assert_int_equal(tlsmsg_server_reload(s->server, s->server->options, NULL), TLSMSG_OK);
    s->peers[0].most = (size_t)-1;
    return true;
}

/* Its handshake goes on with what it began with. */
static bool config_stays(struct scene *s)
{
    assert_true(s->peers[0].open);
    assert_int_equal(s->server->workers[0].config_generation, generation);
    return true;
}

/* A connection that has said nothing so far gets what the last reload has brought. */
static void test_a_connection_follows_a_reload_until_it_speaks(void **state)
{
    static const struct act acts[] = {
        {.does = config_is_new},
        {.does = config_is_followed},
        {.does = config_stays},
        {.leaves = true, .has_left = true},
    };

    (void)state;
    if (!BUILD_HAS_TLS) {
        skip();
    }
    play_begin(scene_server_new(TLSMSG_OPT_COUNT), 1);
    peers[0].most = 0;
    ACTS_PLAY(&scene, acts);
    play_end();
}

/* --- a handler that fails --------------------------------------------------------------------- */

static bool fails(struct scene *s)
{
    assert_int_equal(s->holds, 1);
    tlsmsg_server_release(s->server, 0, true);
    return true;
}

static bool is_cut_off(struct raw_peer *p)
{
    (void)raw_peer_step(p);
    return p->eof && p->heard == 0;
}

/* Nothing is answered and no end is told: the handler is beyond it. */
static void test_a_failure_ends_all_at_once(void **state)
{
    static const struct act acts[] = {
        {.does = is_open},
        {.holds = "a"},
        {.does = fails},
    };

    (void)state;
    play_begin(scene_server_new(TLSMSG_OPT_COUNT), 2);
    ACTS_PLAY(&scene, acts);
    assert_int_equal(atomic_load(&server->phase), SERVER_FAILED);
    assert_false(server->workers[0].held);
    assert_int_equal(scene.closed, 0);
    assert_string_equal(scene.told, "");
    assert_true(is_cut_off(&peers[0]));
    assert_true(is_cut_off(&peers[1]));
    assert_false(BUILD_HAS_TLS && (peers[0].ended || peers[1].ended));
    play_end();
}

static bool another_worker_fails(struct scene *s)
{
    server_advance(s->server, SERVER_FAILED);
    return true;
}

/* Whoever failed first: all workers end alike. */
static void test_another_worker_s_failure(void **state)
{
    static const struct act acts[] = {
        {.does = is_open},
        {.does = another_worker_fails},
    };

    (void)state;
    play_begin(scene_server_new(TLSMSG_OPT_COUNT), 2);
    ACTS_PLAY(&scene, acts);
    assert_true(server->workers[0].failed);
    assert_string_equal(scene.told, "");
    assert_true(is_cut_off(&peers[0]));
    assert_true(is_cut_off(&peers[1]));
    play_end();
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_a_slow_turn_leaves_the_rest_to_the_next),
        cmocka_unit_test(test_nothing_to_wait_for),
        cmocka_unit_test(test_deadlines_to_wait_for),
        cmocka_unit_test(test_the_listeners_pause_alone),
        cmocka_unit_test(test_memory_to_wait_for),
        cmocka_unit_test(test_a_connection_follows_a_reload_until_it_speaks),
        cmocka_unit_test(test_a_failure_ends_all_at_once),
        cmocka_unit_test(test_another_worker_s_failure),
    };

    return cmocka_run_group_tests(tests, scene_setup, scene_teardown);
}
