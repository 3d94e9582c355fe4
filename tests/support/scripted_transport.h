/* A transport that answers a client by script: each call what its next step says, whatever the
 * network would have done. The connection below is a real one, to a listener that nobody serves.
 *
 * Needs WRAP ${scripted_transport} in tests/unit/client.cmake. One thread. */
#ifndef SUPPORT_SCRIPTED_TRANSPORT_H
#define SUPPORT_SCRIPTED_TRANSPORT_H

#include <tlsmsg/client.h>

#include "base/build.h"
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

/* The client of the script, the listener that it connects to, and the error of its calls. */
extern struct tlsmsg_client *client;
extern struct peer *peer;
extern struct tlsmsg_error err;

/* Makes the client, in its non-blocking form, with a listener for it; the second connects it, too, in
 * tlsmsg/1 where protocol says so. The clock stands still (test_clock_stop). */
void scripted_client(void);
void scripted_connect(const char *protocol);

/* Connects to the end, however it ends. */
enum tlsmsg_client_result scripted_go(void);

/* Sends a text; receives what is as long as text, and as it, or nothing where text is NULL. */
enum tlsmsg_client_result scripted_send(const char *text);
enum tlsmsg_client_result scripted_receive(const char *text);

/* All that sends have taken is this. */
void scripted_expect_sent(const char *text);

/* The error is this cause with exactly this text behind "<address>: ", and these numbers; it is
 * cleared. */
void scripted_expect(enum tlsmsg_code code, int sys_errno, const char *text);

/* The same with a text that has no address in front. */
void scripted_expect_bare(enum tlsmsg_code code, const char *text);

/* What is the same in each flow: no empty message is sent, nor another one while one is ("hello", the
 * rest of which is still to be sent then); and a send that stays blocked fails in time. */
void scripted_expect_one_message(void);
void scripted_expect_late_send(void);

/* Frees both, and fails the test where a transport was not freed or a step not played. */
void scripted_finish(void);

/* So many milliseconds from now, as deadlines are written. */
int64_t in_ms(int64_t ms);

/* The text of an end in order. */
#define SCRIPT_CLOSED                                                                              \
    (BUILD_HAS_TLS ? "the server closed the conversation (close_notify)"                           \
                   : "the server closed the connection")

#endif
