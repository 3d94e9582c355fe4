/* The states of a conversation and the moves between them, as data.
 *
 * From every state the way leads only downwards, so that no sequence of
 * events can bring a conversation back to life. */
#include <assert.h>

#include "server/conversation.h"
#include "server/worker.h"

#define BIT(state) (1u << (state))

static const struct {
    const char *name;
    unsigned allowed;
} states[CONVERSATION_STATE_COUNT] = {
    [CONVERSATION_HANDSHAKE] = {"handshake", BIT(CONVERSATION_OPEN) | BIT(CONVERSATION_LINGER) |
                                                 BIT(CONVERSATION_DEAD)},
    [CONVERSATION_OPEN] = {"open", BIT(CONVERSATION_FLUSH) | BIT(CONVERSATION_LINGER) |
                                       BIT(CONVERSATION_DEAD)},
    [CONVERSATION_FLUSH] = {"flush", BIT(CONVERSATION_SHUTDOWN) | BIT(CONVERSATION_LINGER) |
                                         BIT(CONVERSATION_DEAD)},
    [CONVERSATION_SHUTDOWN] = {"shutdown", BIT(CONVERSATION_LINGER) | BIT(CONVERSATION_DEAD)},
    [CONVERSATION_LINGER] = {"linger", BIT(CONVERSATION_DEAD)},
    [CONVERSATION_DEAD] = {"dead", 0},
};

const char *conversation_state_name(enum conversation_state state)
{
    return (unsigned)state < CONVERSATION_STATE_COUNT ? states[state].name : "unknown";
}

bool conversation_may_move(enum conversation_state from, enum conversation_state to)
{
    return (states[from].allowed & BIT(to)) != 0;
}

void conversation_move(struct conversation *c, enum conversation_state to)
{
    if (c->state == CONVERSATION_DEAD) {
        return;
    }
    if (!conversation_may_move(c->state, to)) {
        assert(false && "illegal move of a conversation");
        to = CONVERSATION_DEAD;
    }
    c->state = to;
    c->since_ns = c->worker->now_ns;
    if (to == CONVERSATION_DEAD) {
        worker_bury(c->worker, c);
    }
}
