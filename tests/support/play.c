/* See play.h. */
#include "support/play.h"

#include "support/unit.h"

#define PATIENCE_MS 10000

struct tlsmsg_server *server;
struct scene scene;
struct raw_peer peers[SCENE_PEERS];

void play_begin(struct tlsmsg_server *fresh, unsigned peer_count)
{
    server = fresh;
    scene_begin(&scene, server, peers);
    for (unsigned i = 0; i < peer_count; i++) {
        assert_true(scene_enter(&scene, -1));
    }
}

void play_steps(scene_step *const *steps, size_t count)
{
    assert_int_equal(scene_play(&scene, steps, count, PATIENCE_MS), STEPPED_ENDED);
    assert_true(scene_was_played(&scene));
}

void play_end(void)
{
    scene_finish(&scene);
    stepped_server_free(server);
}

void play_end_told(const char *told)
{
    assert_string_equal(scene.told, told);
    play_end();
}

static bool has_anything(const struct act *act)
{
    return act->hears != NULL || act->says != NULL || act->holds != NULL || act->does != NULL ||
           act->passes_ms > 0 || act->leaves || act->has_left;
}

static size_t count_acts(const struct act *acts)
{
    size_t count = 0;

    while (count < PLAY_ACTS && has_anything(&acts[count])) {
        count++;
    }
    return count;
}

void play_row(void **state)
{
    const struct play *play = *state;
    enum tlsmsg_option options[PLAY_OPTIONS];

    for (size_t i = 0; i < PLAY_OPTIONS; i++) {
        options[i] = play->options[i].value != NULL ? play->options[i].option : TLSMSG_OPT_COUNT;
    }
    play_begin(scene_server_new(options[0], play->options[0].value, options[1],
                                play->options[1].value, TLSMSG_OPT_COUNT),
               play->peers > 0 ? play->peers : 1);
    if (play->prepare != NULL) {
        play->prepare();
    }
    acts_play(&scene, play->acts, count_acts(play->acts));
    if (play->check != NULL) {
        play->check();
    }
    if (play->told != NULL) {
        assert_string_equal(scene.told, play->told);
    }
    play_end();
}
