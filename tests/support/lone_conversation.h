/* A conversation by itself, which a test drives function by function: over a transport and with a
 * flow that do what the test says, and at a time that it sets.
 *
 * Needs WRAP ${lone_wraps} (tests/unit/server.cmake). One thread, one conversation at a time. */
#ifndef SUPPORT_LONE_CONVERSATION_H
#define SUPPORT_LONE_CONVERSATION_H

#include "server/conversation.h"
#include "server/flow.h"

/* The number of the conversation, and the text of whatever its transport fails with. */
#define LONE_ID 7
#define LONE_WORDS "as the test says"

struct lone {
    struct tlsmsg_server *server; /* of one worker that has not started */
    struct worker *w;
    struct conversation *c;
    int other; /* the peer's end of its socket */
    int64_t begun_ns;

    /* What its transport answers. */
    enum tlsmsg_code made;
    enum transport_result shaken;
    enum tlsmsg_code shaken_code;
    enum transport_result taken; /* by a receive: TRANSPORT_OK is a byte, and nothing after it */
    enum transport_result sent;
    enum transport_result shut;
    bool heard;
    const char *identity; /* of its client; NULL: it is not encrypted */
    /* How often it was asked. */
    unsigned handshakes;
    unsigned receives;
    unsigned sends;
    unsigned shutdowns;

    /* What its flow answers, and what it was asked, in order. */
    struct verdict verdict;
    size_t kept;
    bool reads;
    int64_t deadline_ns;
    char asked[256];

    /* What the handler was told, a line each. */
    char told[512];
};

extern struct lone lone;

/* A flow that has nothing but what it must, and one that has all; its farewell is "bye". */
extern const struct flow lone_plain_flow;
extern const struct flow lone_full_flow;

/* What all tests of a program share; for cmocka's group functions. The clock stands still from then
 * on. */
int lone_setup(void **state);
int lone_teardown(void **state);

/* cmocka's fixtures: a conversation that was accepted now, and its end. */
int lone_begin(void **state);
int lone_end(void **state);

/* Its handshake is done, with this flow, and nothing of it is remembered. */
void lone_open(const struct flow *flow);

/* Queues the bytes of a reply; so many of all that is queued were released. */
void lone_queue(const char *text, size_t released);

/* Time passes; the clock of the worker's turn goes with it. */
void lone_wait_ms(int64_t ms);

/* Compares all that was told, or asked of the flow, since the last time. */
void lone_expect_told(const char *text);
void lone_expect_asked(const char *text);

#endif
