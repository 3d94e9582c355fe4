/* A flow: how received bytes become messages, and what surrounds replies. A conversation has one,
 * chosen when its handshake is done; each stands in a file of its own and keeps its state in
 * conversation.flow_state.
 *
 * A flow hands whole messages to messages_dispatch and reports what it found; it neither sends nor
 * moves the conversation's state. A function that a flow has no use for is NULL. Owning worker's
 * thread. */
#ifndef SERVER_FLOW_H
#define SERVER_FLOW_H

#include "server/internal.h"

/* Room for what stands before a reply. */
#define FLOW_HEAD_MAX 64

struct flow {
    const char *name;

    /* The conversation begins. False: out of memory. */
    bool (*begin)(struct conversation *c);

    /* Takes what one receive brought: len >= 1 bytes, before which there are UTF8_TAIL_MAX more
     * that it may use. All of them are its own until it returns. */
    struct verdict (*received)(struct conversation *c, char *data, size_t len);

    /* The peer has ended in order: no more bytes come. */
    struct verdict (*ended)(struct conversation *c);

    /* Back-pressure of its own; NULL: the queues' marks alone. Pure. */
    bool (*may_read)(const struct conversation *c);

    /* Prints what stands before the reply of len bytes to a message, and returns its length; a line
     * feed follows such a reply. NULL: replies leave as they are. Pure. */
    size_t (*reply_head)(const struct conversation *c, uint64_t message, size_t len,
                         char head[FLOW_HEAD_MAX]);

    /* A deadline of its own in OPEN, 0 for none (pure), and what is to be done at it. */
    int64_t (*deadline)(const struct conversation *c);
    struct verdict (*expired)(struct conversation *c);

    /* Something that it waited for may have come; asked before a reading, too, where it keeps
     * bytes. */
    struct verdict (*woken)(struct conversation *c);

    /* Bytes that it keeps, not taken yet or of a message that is not whole yet (pure; with woken);
     * and ends with that message lost, for memory is short. */
    size_t (*kept_bytes)(const struct conversation *c);
    struct verdict (*shed)(struct conversation *c);

    /* The handler has answered the greeting; and can't answer a message, from which on nothing is
     * answered (0: the greeting). NULL: all that is held is taken back. */
    struct verdict (*greeted)(struct conversation *c, uint64_t last, enum tlsmsg_promise promise);
    struct verdict (*refused)(struct conversation *c, uint64_t message, unsigned code);

    /* A later connection takes its place. */
    struct verdict (*taken_over)(struct conversation *c);

    /* What waited for the iteration's end was decided. */
    void (*decided)(struct conversation *c);

    /* All replies have left: queues the last words, if there are any. */
    void (*farewell)(struct conversation *c);

    /* The conversation is over: adds what it knows to what the handler is told. */
    void (*report)(const struct conversation *c, struct tlsmsg_closed *closed);

    /* Gives back what it holds, also where begin failed; again: no effect. */
    void (*end)(struct conversation *c);
};

/* The tutorial's: what one receive brings is a message. */
extern const struct flow flow_document;

/* tlsmsg/1: numbered messages of any size. TLS build only. */
extern const struct flow flow_numbered;

/* The flow that a handshake has agreed on; tls: NULL in plaintext. */
const struct flow *flow_choose(const struct tlsmsg_tls *tls);

#endif
