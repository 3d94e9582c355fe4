/* What a server says in tlsmsg/1, as text, to peers that offer it (numbered_setup). */
#ifndef SUPPORT_NUMBERED_WORDS_H
#define SUPPORT_NUMBERED_WORDS_H

#include "support/scene.h"

#define HELLO_OF(last, promise)                                                                    \
    "HELLO 1 last=" #last " max=1048576 window=256 promise=" promise "\n"
#define HELLO HELLO_OF(0, "none")

/* The reply, of len bytes, to a message with this text; and to one whose text is a single byte. */
#define OK_OF(number, len, text) "OK " #number " " #len "\n" SCENE_REPLY text "\n"
#define OK(number, text) OK_OF(number, 37, text)

#define BYE(code, len, text) "BYE " #code " " #len "\n" text "\n"
#define BUSY BYE(503, 4, "busy")
#define TAKEN_OVER BYE(409, 10, "taken over")

/* cmocka's group fixture in place of scene_setup: from now on peers offer tlsmsg/1. */
static inline int numbered_setup(void **state)
{
    raw_peer_offer(true);
    return scene_setup(state);
}

#endif
