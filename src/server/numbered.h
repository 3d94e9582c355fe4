/* A conversation in tlsmsg/1: its state, its greeting, and how it ends. flow_numbered.c has the
 * messages. Owning worker's thread. */
#ifndef SERVER_NUMBERED_H
#define SERVER_NUMBERED_H

#include "protocol/frame.h"
#include "server/internal.h"

enum greeting {
    GREETING_AWAITED, /* nothing was said yet */
    GREETING_WAITS,   /* said, but another connection's messages are not decided yet */
    GREETING_ASKED,   /* said, and the handler has not answered yet */
    GREETING_DONE
};

/* What is there for a moment only: a frame that did not come whole in one receive, or what came
 * behind a greeting that waits. An idle conversation has none, and memory for it would be most of
 * what it needs here. */
struct partial {
    struct frame_reader reader;
    struct buffer ahead;
    struct buffer body; /* of the message that is coming */
    size_t checked;     /* bytes of body that are whole characters */
    int64_t began_ns;   /* 0: none is coming */
    int64_t touched_ns; /* its last byte came */
};

struct numbered {
    enum greeting greeting;
    unsigned code;           /* of the BYE that ends it; 0: none yet */
    const char *text;        /* ... static */
    struct partial *partial; /* NULL: none */

    struct producer_hold *hold; /* NULL: no producer was named */
    struct digest *digest;      /* with a producer */
    char *producer;             /* its name; NULL as hold was at first */
    bool undecided;             /* a message's reply was not released yet */
    uint64_t from;
    uint64_t last;  /* as the greeting told it */
    uint64_t first; /* number of the first message; 0: none came */
    uint64_t next;
    uint64_t duplicates;

    /* The message that is coming. */
    uint64_t number;
    size_t len;
};

static inline struct numbered *numbered_of(const struct conversation *c)
{
    return c->flow_state.numbered;
}

/* A greeting was said, and its answer is still to come. */
static inline bool numbered_is_waiting(const struct numbered *n)
{
    return n->greeting == GREETING_WAITS || n->greeting == GREETING_ASKED;
}

/* Ends the conversation; the last words follow the replies that are due. text: static. */
struct verdict numbered_bye(struct conversation *c, unsigned code, const char *text);

/* The same for the client's own mistake, which the log is told of. */
struct verdict numbered_refuse(struct conversation *c, unsigned code, const char *text);
struct verdict numbered_no_memory(struct conversation *c);

/* The client greets. The greeting may have to wait: for the connection that has its producer, and
 * for the handler. */
struct verdict numbered_greet(struct conversation *c, const struct frame_hello *hello);

/* The handler has answered. */
struct verdict numbered_greeted(struct conversation *c, uint64_t last, enum tlsmsg_promise promise);

/* A producer that it waits for may be free. */
struct verdict numbered_look(struct conversation *c);

#endif
