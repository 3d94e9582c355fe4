/* A play with all that is around it: a server, a scene on it and its peers. A test program has one of
 * each; it plays one play at a time. Group fixtures: scene_setup and scene_teardown. */
#ifndef SUPPORT_PLAY_H
#define SUPPORT_PLAY_H

#include "support/acts.h"

extern struct tlsmsg_server *server;
extern struct scene scene;
extern struct raw_peer peers[SCENE_PEERS];

/* The scene begins on a new server, which play_end frees, with so many peers. */
void play_begin(struct tlsmsg_server *fresh, unsigned peer_count);

/* Plays all steps; a worker that stands still, or ends before the last, fails the test. */
void play_steps(scene_step *const *steps, size_t count);

#define PLAY_STEPS(steps) play_steps((steps), COUNT_OF(steps))

/* The play is over. The second: exactly this was told until then. */
void play_end(void);
void play_end_told(const char *told);

#define PLAY_OPTIONS 2
#define PLAY_ACTS 12

/* A play as a row. */
struct play {
    const char *name;
    struct {
        enum tlsmsg_option option;
        const char *value; /* NULL: no more of them */
    } options[PLAY_OPTIONS];
    unsigned peers;             /* 0: one */
    void (*prepare)(void);      /* once they are there; NULL: nothing */
    struct act acts[PLAY_ACTS]; /* up to one with nothing in it */
    void (*check)(void);        /* once all are played; NULL: nothing */
    const char *told;           /* NULL: the check sees to it */
};

/* Plays a row from its begin to its end; for RUN_ROWS. */
void play_row(void **state);

#endif
