/* A client: connect, send, receive, close, each with a deadline.
 *
 * The blocking calls suit a program that does one thing. A program with a
 * loop of its own uses tlsmsg_client_fd, _events and _timeout_ms to wait and
 * the same calls in their non-blocking form (tlsmsg_client_set_blocking false),
 * which then answer TLSMSG_CLIENT_AGAIN. Nothing is printed, no signal is touched.
 */
#ifndef TLSMSG_CLIENT_H
#define TLSMSG_CLIENT_H

#include <tlsmsg/error.h>
#include <tlsmsg/options.h>
#include <tlsmsg/tls.h>

#ifdef __cplusplus
extern "C" {
#endif

struct tlsmsg_client;

enum tlsmsg_client_result {
    TLSMSG_CLIENT_OK,
    TLSMSG_CLIENT_AGAIN, /* non-blocking form: wait as _fd, _events and _timeout_ms say, call again */
    TLSMSG_CLIENT_CLOSED, /* the server closed in order; err says so with TLSMSG_ERR_CLOSED */
    TLSMSG_CLIENT_ERROR,  /* err says why; the client can only be closed, reset and freed */
    TLSMSG_CLIENT_FULL    /* of a send in tlsmsg/1: receive a reply, then call again */
};

/* What a server of tlsmsg/1 greets with. Read through a pointer: members may be added at the end. */
struct tlsmsg_greeting {
    uint64_t last;   /* the last number that it has of this client's producer; 0: none */
    uint64_t max;    /* bytes of the longest message that it takes */
    uint64_t window; /* messages that may be unanswered, by the server and TLSMSG_OPT_WINDOW */
    enum tlsmsg_promise promise; /* what a reply means */
};

/* Most bytes of one message in the document's flow under TLS: with the document's reply it still
 * fits one record. */
#define TLSMSG_RECORD_MESSAGE_MAX 16000

/* Makes a client: checks the options together and loads the files they name.
 * options: copied; out: receives the client, owned by the caller; err: receives the cause, or NULL.
 * Returns TLSMSG_OK, TLSMSG_ERR_CONFIG or TLSMSG_ERR_NOMEM. Thread rule: any thread; blocks for files. */
TLSMSG_API enum tlsmsg_code tlsmsg_client_new(const struct tlsmsg_options *options,
                                              struct tlsmsg_client **out, struct tlsmsg_error *err);

/* Chooses the form of the calls below; a new client blocks.
 * client: the client; blocking: the form. Thread rule: one thread at a time; never blocks. */
TLSMSG_API void tlsmsg_client_set_blocking(struct tlsmsg_client *client, bool blocking);

/* Connects (each address of the name in turn), does the handshake and verifies the server,
 * within TLSMSG_OPT_TIMEOUT altogether. Nothing of a message is sent before that. A name that is not
 * a literal is looked up first, which blocks (at most that long) in the non-blocking form too.
 * client: a client that is new or was reset; err: receives the cause, or NULL.
 * Returns _OK, _AGAIN or _ERROR (TLSMSG_ERR_CONNECT, _HANDSHAKE, _NOT_TLS, _UNTRUSTED, _REFUSED,
 * _TIMEOUT, _RESET, _TRUNCATED; _NOT_NUMBERED where the server refuses the offer of tlsmsg/1, or
 * doesn't speak it and a producer is named; _STATE where under a name that the library made
 * something has no reply and the server was last heard 12 hours ago: it may have forgotten what it
 * has taken). With nothing unanswered such a name is then made anew, and numbers begin at 1 again.
 * Thread rule: one thread at a time. */
TLSMSG_API enum tlsmsg_client_result tlsmsg_client_connect(struct tlsmsg_client *client,
                                                           struct tlsmsg_error *err);

/* Sends one message. In the non-blocking form call again with the same message after _AGAIN.
 * Replies that arrive meanwhile are kept for tlsmsg_client_receive.
 * In the document's flow it leaves as one record under TLS, of at most TLSMSG_RECORD_MESSAGE_MAX
 * bytes. In tlsmsg/1 it gets the next number (tlsmsg_client_number) and may be as long as the
 * server's max; many may be unanswered, and _FULL says that no more are taken before a reply was
 * received: call tlsmsg_client_receive, then this with the same message again.
 * client: a connected client; data, len: the message, borrowed, valid UTF-8, 1 byte or more; err:
 * receives the cause, or NULL.
 * Returns _OK, _AGAIN, _FULL, _CLOSED or _ERROR (TLSMSG_ERR_LIMIT, and TLSMSG_ERR_STATE for a number
 * that the server has already, leave the client usable).
 * On a failed write what had arrived is read first, so that the cause is the server's own word.
 * Thread rule: one thread at a time. */
TLSMSG_API enum tlsmsg_client_result tlsmsg_client_send(struct tlsmsg_client *client,
                                                        const void *data, size_t len,
                                                        struct tlsmsg_error *err);

/* Receives a reply. In tlsmsg/1 it is the whole reply to the oldest message without one
 * (tlsmsg_client_reply_number). In the document's flow it is what one recv gives: under TLS one
 * record, in plaintext up to 1024 bytes; a character cut at the end waits for the next one. So what
 * is returned is always valid UTF-8. What came before an end is given before the end is told.
 * client: a connected client; data, len: receive the reply, borrowed until the next call;
 * err: receives the cause, or NULL.
 * Returns _OK, _AGAIN, _CLOSED or _ERROR (TLSMSG_ERR_TIMEOUT when nothing came in time,
 * TLSMSG_ERR_UTF8, _TRUNCATED, _RESET, _REFUSED, _PROTOCOL, _BYE: see tlsmsg_client_bye; _STATE where
 * in tlsmsg/1 no message is unanswered). Thread rule: one thread at a time. */
TLSMSG_API enum tlsmsg_client_result tlsmsg_client_receive(struct tlsmsg_client *client,
                                                           const char **data, size_t *len,
                                                           struct tlsmsg_error *err);

/* Looks whether the server has left while nothing is due; never blocks. Replies that nobody asked
 * for are kept for tlsmsg_client_receive. Call it before each wait while nothing is due.
 * client: a connected client; err: receives the cause, or NULL.
 * Returns _OK (still there), _CLOSED or _ERROR. Thread rule: one thread at a time. */
TLSMSG_API enum tlsmsg_client_result tlsmsg_client_watch(struct tlsmsg_client *client,
                                                         struct tlsmsg_error *err);

/* --- tlsmsg/1 -----------------------------------------------------------------------------------
 *
 * Numbered messages (tlsmsg(7)), with every server that speaks them, unless
 * TLSMSG_OPT_DOCUMENT_FLOW is set. With TLSMSG_OPT_PRODUCER a client whose connection was lost goes
 * on where it was: tlsmsg_client_reset, tlsmsg_client_connect, then each message again that has no
 * reply, in their order. None is taken twice. */

/* Waits until a server of tlsmsg/1 has greeted; sending and receiving do so by themselves.
 * client: a connected client; err: receives the cause, or NULL.
 * Returns _OK (in the document's flow at once), _AGAIN, _CLOSED or _ERROR.
 * Thread rule: one thread at a time. */
TLSMSG_API enum tlsmsg_client_result tlsmsg_client_greet(struct tlsmsg_client *client,
                                                         struct tlsmsg_error *err);

/* The server's greeting.
 * client: the client. Returns it, borrowed from client until it is reset or freed; NULL before it
 * has come, and in the document's flow. Thread rule: one thread at a time; never blocks. */
TLSMSG_API const struct tlsmsg_greeting *tlsmsg_client_hello(const struct tlsmsg_client *client);

/* Says which number the next message gets, where it is not to be 1 or the one after the last.
 * Before tlsmsg_client_connect: all below it are settled. Once the server has greeted and before a
 * message was sent: all up to the server's last are known to the caller; at most last + 1.
 * client: the client; number: 1 or more; err: receives the cause, or NULL.
 * Returns TLSMSG_OK or TLSMSG_ERR_STATE. Thread rule: one thread at a time; never blocks. */
TLSMSG_API enum tlsmsg_code tlsmsg_client_number_from(struct tlsmsg_client *client, uint64_t number,
                                                      struct tlsmsg_error *err);

/* Numbers of tlsmsg/1, 0 for none.
 * client: the client. _number returns that of the message sent last, _reply_number that of the
 * message that the reply received last belongs to, _unanswered how many have no reply that was
 * received. Thread rule: one thread at a time; never block. */
TLSMSG_API uint64_t tlsmsg_client_number(const struct tlsmsg_client *client);
TLSMSG_API uint64_t tlsmsg_client_reply_number(const struct tlsmsg_client *client);
TLSMSG_API uint64_t tlsmsg_client_unanswered(const struct tlsmsg_client *client);

/* Why a server has ended the conversation (TLSMSG_ERR_BYE).
 * client: the client. Returns its code: 503 and 507 may be tried again, all others are final; 0
 * where there was none. Thread rule: one thread at a time; never blocks. */
TLSMSG_API unsigned tlsmsg_client_bye(const struct tlsmsg_client *client);

/* Drops the connection, whatever its state, so that the client can connect again. What its options
 * name stays loaded; the next message gets the number of the oldest one without a reply.
 * client: the client. Thread rule: one thread at a time; never blocks. */
TLSMSG_API void tlsmsg_client_reset(struct tlsmsg_client *client);

/* Closes in order: close_notify or half-close, then reads what still comes for at most 1 s.
 * client: any client. Returns _OK or, in the non-blocking form, _AGAIN; never an error, since
 * all that was due has arrived before. err: receives why the server refused us when that was
 * found only now (_ERROR with TLSMSG_ERR_REFUSED), or NULL.
 * Thread rule: one thread at a time. */
TLSMSG_API enum tlsmsg_client_result tlsmsg_client_close(struct tlsmsg_client *client,
                                                         struct tlsmsg_error *err);

/* What to wait for in the non-blocking form, and in any form while nothing is due.
 * client: the client. _fd returns the descriptor, owned by client, -1 when there is none (it can
 * change while connecting); _events returns poll(2) bits (POLLIN, POLLOUT), 0 for none;
 * _timeout_ms returns the milliseconds until the next deadline, -1 for none.
 * Thread rule: one thread at a time; never block. */
TLSMSG_API int tlsmsg_client_fd(const struct tlsmsg_client *client);
TLSMSG_API short tlsmsg_client_events(const struct tlsmsg_client *client);
TLSMSG_API int tlsmsg_client_timeout_ms(const struct tlsmsg_client *client);

/* The address that was reached, "127.0.0.1:12345".
 * client: the client. Returns a text borrowed from client, NULL before there is a connection.
 * Thread rule: one thread at a time; never blocks. */
TLSMSG_API const char *tlsmsg_client_address(const struct tlsmsg_client *client);

/* What TLS agreed on; after a failed handshake as far as it came.
 * client: the client. Returns it, borrowed from client until the next call; NULL where there is
 * nothing, and in the plaintext build. Thread rule: one thread at a time; never blocks. */
TLSMSG_API const struct tlsmsg_tls *tlsmsg_client_tls(struct tlsmsg_client *client);

/* A certificate that the server has shown, also where it was refused.
 * client: the client, after tlsmsg_client_connect; i: 0 for the server's own, then its issuers as
 * sent.
 * Returns it, borrowed from client until the next call; NULL past the last, and in the plaintext
 * build. Thread rule: one thread at a time; never blocks. */
TLSMSG_API const struct tlsmsg_certificate *tlsmsg_client_certificate(struct tlsmsg_client *client,
                                                                      size_t i);

/* What is worth knowing of options that work, such as a key that others can read.
 * client: the client; i: 0 or more.
 * Returns one line, borrowed from client; NULL past the last. Thread rule: any thread; never blocks. */
TLSMSG_API const char *tlsmsg_client_warning(const struct tlsmsg_client *client, size_t i);

/* Frees a client; an open connection is dropped.
 * client: the client, or NULL. Thread rule: the thread that owns it. */
TLSMSG_API void tlsmsg_client_free(struct tlsmsg_client *client);

#ifdef __cplusplus
}
#endif

#endif
