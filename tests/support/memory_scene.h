/* A scene in which one allocation of the server's fails: it may cost one conversation, never the
 * server and never a second conversation. */
#ifndef SUPPORT_MEMORY_SCENE_H
#define SUPPORT_MEMORY_SCENE_H

#include <stdbool.h>

#include "support/scene.h"

/* How an allocation is made to fail. */
struct memory_fault {
    void (*arm)(unsigned long n); /* the nth from now on fails, once */
    void (*pause)(bool paused); /* what is allocated meanwhile neither fails nor counts; or NULL */
    unsigned long (*disarm)(void); /* returns how many were counted */
};

/* Makes certificates and the server; and removes them. */
void memory_scene_setup(void);
void memory_scene_teardown(void);

/* Plays the scene with the nth allocation failing and checks it. Returns false where there were
 * fewer than n. */
bool memory_scene_play(const struct memory_fault *fault, unsigned long n);

#endif
