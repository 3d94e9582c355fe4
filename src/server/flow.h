/* A flow: how received bytes become messages. A conversation has one, chosen when its handshake is
 * done; each stands in a file of its own and keeps its state in conversation.flow_state.
 *
 * A flow hands whole messages to messages_dispatch and reports what it found; it neither sends nor
 * moves the conversation's state. Owning worker's thread. */
#ifndef SERVER_FLOW_H
#define SERVER_FLOW_H

#include "server/internal.h"

struct flow {
    const char *name;
    /* Takes what one receive brought: len >= 1 bytes, before which there are UTF8_TAIL_MAX more
     * that it may use. All of them are its own until it returns. */
    struct verdict (*received)(struct conversation *c, char *data, size_t len);
    /* The peer has ended in order: no more bytes come. */
    struct verdict (*ended)(struct conversation *c);
};

/* The tutorial's: what one receive brings is a message. */
extern const struct flow flow_document;

#endif
