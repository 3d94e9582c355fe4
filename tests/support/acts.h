/* A play on a scene (support/scene.h) as a table: what each peer says and what it hears, act by
 * act. Needs the wraps of support/test_clock.h. */
#ifndef SUPPORT_ACTS_H
#define SUPPORT_ACTS_H

#include "support/scene.h"

/* Done from top to bottom; what is not set is left out. Each waits where it can't be done yet. */
struct act {
    unsigned peer;
    const char *hears; /* this, and nothing else since the last act in which it heard something */
    const char *says;  /* as one record, once it may */
    const char *holds; /* the same, and the turn that it comes in is held */
    scene_step *does;
    int64_t passes_ms; /* by the test's clock */
    bool leaves;       /* says goodbye */
    bool has_left;     /* the server has said that nothing follows, and it is closed */
};

/* Plays all acts; what ends too early, or stands still, fails the test and is named. */
void acts_play(struct scene *scene, const struct act *acts, size_t count);

#define ACTS_PLAY(scene, acts) acts_play((scene), (acts), COUNT_OF(acts))

#endif
