/* A client that a test moves by hand: it says what it is told to, in records of the test's own,
 * and keeps all that it hears.
 *
 * It shares no code with the library, so that a mistake of the library's can't hide behind the
 * same mistake here; CMake links the TLS or the plaintext session. Nothing blocks and, but for
 * OpenSSL, nothing is allocated. One thread. */
#ifndef SUPPORT_RAW_PEER_H
#define SUPPORT_RAW_PEER_H

#include <stdbool.h>
#include <stddef.h>

#define RAW_PEER_IN_BYTES (1024 * 1024)
#define RAW_PEER_WIRE_BYTES (256 * 1024)
#define RAW_PEER_RECORD_MAX 16384

struct raw_session; /* of TLS; NULL in plaintext */

struct raw_peer {
    int fd; /* owned; -1 once closed */
    struct raw_session *session;
    bool open;     /* messages may be said */
    bool ended;    /* the server said that it says no more */
    bool eof;      /* the server's end of file was seen */
    bool lost;     /* the connection or the session is broken */
    bool deaf;     /* reads nothing while set */
    bool shuts;    /* shuts its writing side once the wire is empty */
    bool is_shut;  /* ... and has done so */
    size_t most;   /* bytes that may leave altogether; the rest waits until this is raised */
    size_t left;   /* bytes that have left */
    size_t queued; /* bytes in wire */
    size_t heard;  /* bytes in in */
    unsigned char wire[RAW_PEER_WIRE_BYTES];
    char in[RAW_PEER_IN_BYTES];
};

/* What all peers share; once before the first and after the last. */
void raw_peer_setup(void);
void raw_peer_teardown(void);

/* Whether peers that begin from now on offer tlsmsg/1 by ALPN; TLS alone. */
void raw_peer_offer(bool numbered);

/* Peers that begin from now on resume p's session; NULL: none does. TLS alone. */
void raw_peer_resume(const struct raw_peer *p);

/* Begins over a connected socket, which it makes non-blocking and owns from then on.
 * old: TLS 1.2 rather than 1.3; no meaning in plaintext. */
void raw_peer_init(struct raw_peer *p, int fd, bool old);
void raw_peer_fini(struct raw_peer *p);

/* Sends what waits and takes in what has come; the handshake goes on by itself.
 * Returns true where anything moved. */
bool raw_peer_step(struct raw_peer *p);

/* Says 1 to RAW_PEER_RECORD_MAX bytes, in TLS as one record. False where it can't be said: not open
 * yet, over, or no room on the wire. */
bool raw_peer_say(struct raw_peer *p, const void *data, size_t len);

/* Changes the keys (TLS 1.3) and asks for the same; false where that can't be. */
bool raw_peer_rekey(struct raw_peer *p);

/* Says that nothing follows: close_notify in TLS, then the writing side is shut. */
void raw_peer_goodbye(struct raw_peer *p);

/* Shuts the writing side without a word. */
void raw_peer_half_close(struct raw_peer *p);

/* Closes; by_reset: with a reset rather than an end of file. */
void raw_peer_drop(struct raw_peer *p, bool by_reset);

/* For the session: bytes for the wire, and bytes that are for the test. False: no room. */
bool raw_peer_to_wire(struct raw_peer *p, const void *data, size_t len);
bool raw_peer_hear(struct raw_peer *p, const void *data, size_t len);

/* The session's part, one file a transport. */
struct raw_session *raw_session_new(bool old);
void raw_session_free(struct raw_session *session);
void raw_session_start(struct raw_peer *p);
void raw_session_feed(struct raw_peer *p, const void *data, size_t len);
bool raw_session_say(struct raw_peer *p, const void *data, size_t len);
bool raw_session_rekey(struct raw_peer *p);
void raw_session_goodbye(struct raw_peer *p);
void raw_session_eof(struct raw_peer *p);

#endif
