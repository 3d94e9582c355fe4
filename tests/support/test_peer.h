/* A server for client tests: one connection, played by a thread of its own.
 *
 * What it plays is a function that runs on that thread, over the transport that
 * is linked. Every step has a deadline and does nothing once one has failed, so
 * that a client that doesn't do its part fails the test instead of hanging it. */
#ifndef SUPPORT_TEST_PEER_H
#define SUPPORT_TEST_PEER_H

#include <pthread.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "net/socket.h"
#include "transport/transport.h"

/* How long one step may take: far more than any needs. */
#define PEER_LIMIT_MS 20000

struct peer {
    int listener;
    uint16_t port;
    char address[32]; /* "127.0.0.1:40213" */
    int fd;           /* the accepted connection, -1 where there is none */
    struct socket_source source;
    struct transport_config *config; /* NULL where no handshake is done */
    struct transport *transport;
    void (*play)(struct peer *peer);
    pthread_t thread;
    bool playing;
    int cues[2];       /* a socket pair: the test's end, the player's end */
    char failure[640]; /* the first step that went wrong */
};

/* Listens on a free port of 127.0.0.1. config: a server's; taken over. NULL where no handshake will
 * be done. Aborts the test when it can't. */
struct peer *peer_new(struct transport_config *config);

/* Starts to play. When play has returned, the writing side is shut. */
void peer_start(struct peer *peer, void (*play)(struct peer *peer));

/* Waits until play has returned; fails the test when a step went wrong. */
void peer_finish(struct peer *peer);

void peer_free(struct peer *peer);

/* Cues from the test to the player (peer_cue, peer_await_cue) and back (peer_tell, peer_hear). */
void peer_cue(struct peer *peer);
void peer_await_cue(struct peer *peer);
void peer_tell(struct peer *peer);
void peer_hear(struct peer *peer);

/* Steps for play. */
void peer_accept(struct peer *peer);
void peer_handshake(struct peer *peer); /* accepts first where that wasn't done */

/* Waits until the client has sent something, and leaves it unread. */
void peer_await_bytes(struct peer *peer);

/* One recv. Returns its bytes; 0 when the client has said that it sends no more; -1 on an error,
 * which is no failure of the step. */
long peer_recv(struct peer *peer, char *buf, size_t cap);

/* Receives text, in as many recvs as it takes, and nothing else. */
void peer_expect(struct peer *peer, const char *text);

/* The client ends in order, without another byte. */
void peer_expect_end(struct peer *peer);

/* Sends all of it; under TLS what fits one record in one record. */
void peer_send(struct peer *peer, const char *data, size_t len);
void peer_say(struct peer *peer, const char *text);

/* close_notify, or nothing in plaintext; then the writing side is shut. */
void peer_end(struct peer *peer);

/* Sends below TLS. */
void peer_send_raw(struct peer *peer, const char *data, size_t len);

/* Shuts the writing side without a close_notify. */
void peer_truncate(struct peer *peer);

/* Closes the descriptor; with a reset, whatever is unread. */
void peer_close(struct peer *peer);
void peer_reset(struct peer *peer);

/* A small buffer for what a descriptor sends, so that some 100 kilobytes block. Not for what it
 * receives: smaller than the window that was announced, it makes the kernel drop segments, and wait
 * longer each time before they are sent again. */
void peer_shrink_buffer(int fd);

/* Records what went wrong, unless something did before. */
void peer_fail(struct peer *peer, const char *step, const char *why);

#endif
