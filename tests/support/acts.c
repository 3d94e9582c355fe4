/* See acts.h. */
#include "support/acts.h"

#include <string.h>

#include "support/test_clock.h"
#include "support/unit.h"

#define PATIENCE_MS 10000
#define PARTS 6 /* of do_part */

static struct {
    const struct act *acts;
    size_t count;
    size_t at;
    int part; /* of that act */
} play;

static bool hears(struct raw_peer *p, const char *text)
{
    if (p->heard != strlen(text) || memcmp(p->in, text, p->heard) != 0) {
        return false;
    }
    p->heard = 0;
    return true;
}

static bool says(struct scene *s, const struct act *act)
{
    struct raw_peer *p = &s->peers[act->peer];

    if (act->holds != NULL && p->open) {
        s->hold = 1;
    }
    return p->open && scene_say(p, act->holds != NULL ? act->holds : act->says);
}

static bool passes(struct scene *s, int64_t ms)
{
    test_clock_advance(ms);
    loop_wake(&s->server->workers[0].loop);
    return true;
}

static bool leaves(struct raw_peer *p)
{
    raw_peer_goodbye(p);
    return true;
}

static bool has_left(struct raw_peer *p)
{
    if (!p->ended) {
        return false;
    }
    raw_peer_drop(p, false);
    return true;
}

/* One part of an act; those that it has not are done already. */
static bool do_part(struct scene *s, const struct act *act)
{
    struct raw_peer *p = &s->peers[act->peer];

    switch (play.part) {
    case 0:
        return act->hears == NULL || hears(p, act->hears);
    case 1:
        return (act->says == NULL && act->holds == NULL) || says(s, act);
    case 2:
        return act->does == NULL || act->does(s);
    case 3:
        return act->passes_ms == 0 || passes(s, act->passes_ms);
    case 4:
        return !act->leaves || leaves(p);
    default:
        return !act->has_left || has_left(p);
    }
}

/* Where neither the worker nor a peer has anything to do: the next part. */
static bool go_on(struct scene *s)
{
    bool moved = false;

    for (unsigned i = 0; i < s->peer_count; i++) {
        moved = raw_peer_step(&s->peers[i]) || moved;
    }
    if (moved || play.at == play.count) {
        return moved;
    }
    if (!do_part(s, &play.acts[play.at])) {
        return false;
    }
    if (++play.part == PARTS) {
        play.part = 0;
        play.at++;
    }
    return true;
}

static bool is_over(struct scene *s)
{
    (void)s;
    return play.at == play.count;
}

void acts_play(struct scene *scene, const struct act *acts, size_t count)
{
    static scene_step *const steps[] = {is_over};
    enum stepped_end end;

    play.acts = acts;
    play.count = count;
    play.at = 0;
    play.part = 0;
    scene->always = go_on;
    end = scene_play(scene, steps, COUNT_OF(steps), PATIENCE_MS);
    /* The worker ends with the last conversation; what it has said is still to be heard. */
    while (play.at < count && go_on(scene)) {
    }
    if (play.at < count) {
        const struct raw_peer *p = &scene->peers[acts[play.at].peer];

        fail_msg("act %zu of %zu: peer %u has heard \"%.*s\", and the server told:\n%s", play.at,
                 count, acts[play.at].peer, (int)p->heard, p->in, scene->told);
    }
    assert_int_equal(end, STEPPED_ENDED);
}
