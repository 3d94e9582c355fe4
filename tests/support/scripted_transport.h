/* A transport that answers a client by script: each call what its next step says, whatever the
 * network would have done. The connection below is a real one, to a listener that nobody serves.
 *
 * Needs WRAP ${scripted_transport} in tests/unit/client.cmake. One thread. */
#ifndef SUPPORT_SCRIPTED_TRANSPORT_H
#define SUPPORT_SCRIPTED_TRANSPORT_H

#include <tlsmsg/client.h>

#include "support/test_peer.h"
#include "transport/transport.h"

struct script_step {
    enum transport_result result;
    const char *bytes;     /* that a recv gives */
    size_t len;            /* of them, or of what a send takes; 0: all */
    enum tlsmsg_code code; /* with TRANSPORT_ERROR */
    int write_errno;       /* the first failed write that the source has met by then; 0: none */
};

/* The causes that TRANSPORT_ERROR brings: their text and numbers. */
#define SCRIPT_TEXT "as the script says"
#define SCRIPT_ERRNO 5
#define SCRIPT_SSL_CODE 77

#define SCRIPT_LENS 16

struct script {
    const struct script_step *steps;
    size_t count; /* beyond them a handshake and a shutdown are done, sends take all, and a recv
                   * finds nothing */
    size_t calls;
    size_t len;               /* bytes that the last call was given, or had room for */
    size_t lens[SCRIPT_LENS]; /* and the first calls */
};

extern struct script on_handshake;
extern struct script on_recv;
extern struct script on_send;
extern struct script on_shutdown;

/* Begins a script, its calls counted anew. */
#define FOLLOW(verb, ...)                                                                          \
    do {                                                                                           \
        static const struct script_step steps_of_it[] = {__VA_ARGS__};                             \
        (verb) = (struct script){.steps = steps_of_it,                                             \
                                 .count = sizeof(steps_of_it) / sizeof(steps_of_it[0])};           \
    } while (0)

/* Steps. */
#define DONE                                                                                       \
    {                                                                                              \
        .result = TRANSPORT_OK                                                                     \
    }
#define TAKES(n)                                                                                   \
    {                                                                                              \
        .result = TRANSPORT_OK, .len = (n)                                                         \
    }
#define GIVES(text)                                                                                \
    {                                                                                              \
        .result = TRANSPORT_OK, .bytes = (text)                                                    \
    }
#define WANTS_READ                                                                                 \
    {                                                                                              \
        .result = TRANSPORT_WANT_READ                                                              \
    }
#define WANTS_WRITE                                                                                \
    {                                                                                              \
        .result = TRANSPORT_WANT_WRITE                                                             \
    }
#define CLOSES                                                                                     \
    {                                                                                              \
        .result = TRANSPORT_CLOSED                                                                 \
    }
#define FAILS(why)                                                                                 \
    {                                                                                              \
        .result = TRANSPORT_ERROR, .code = (why)                                                   \
    }

/* What else the transport was told and tells; all but the counts is for the test to set. */
extern struct scripted {
    enum tlsmsg_code cannot_be_made; /* why transport_new fails; TLSMSG_OK: it doesn't */
    const char *protocol;            /* that the handshake has agreed on */
    const char *pin;                 /* of the key that the user accepts; NULL: none */
    char server_name[64];            /* asked for last */
    char accepted[TRANSPORT_PIN_MAX];
    unsigned made;
    unsigned freed;
    char sent[256 * 1024]; /* all that sends have taken */
    size_t sent_len;
} scripted;

/* Ends all scripts and forgets what was told; a cmocka setup. */
int scripted_forget(void **state);

/* A new client, in its non-blocking form, with a listener for it; and one that is connected already,
 * in tlsmsg/1 where protocol says so. The clock stands still (test_clock_stop). */
struct tlsmsg_client *scripted_client(struct peer **peer);
struct tlsmsg_client *scripted_connect(struct peer **peer, const char *protocol);

/* Connects to the end, however it ends. */
enum tlsmsg_client_result scripted_go(struct tlsmsg_client *client, struct tlsmsg_error *err);

/* Frees both, and fails the test where a transport was not freed or a step not played. */
void scripted_finish(struct tlsmsg_client *client, struct peer *peer);

/* err is this cause with exactly this text behind "<address>: ", and these numbers; it is cleared. */
void scripted_expect(struct tlsmsg_error *err, const struct peer *peer, enum tlsmsg_code code,
                     int sys_errno, const char *text);

/* The same with a text that has no address in front. */
void scripted_expect_bare(struct tlsmsg_error *err, enum tlsmsg_code code, const char *text);

#endif
