/* What a client is made of, shared by the files of this folder.
 *
 * Every call is a step that never waits, and the blocking form is a poll(2)
 * loop around it (client_wait). What to wait for follows from the state alone;
 * see tlsmsg_client_events. */
#ifndef CLIENT_CLIENT_STATE_H
#define CLIENT_CLIENT_STATE_H

#include <stdbool.h>
#include <stdint.h>

#include <tlsmsg/client.h>

#include "base/utf8.h"
#include "client/ahead.h"
#include "net/address.h"
#include "net/resolve.h"
#include "net/socket.h"
#include "options/options.h"
#include "transport/transport.h"

/* Most bytes of one TLS record (RFC 8446 section 5.1), and so of one recv in either build. */
#define CLIENT_RECORD_MAX 16384

/* Most bytes received ahead while nothing is due. A long plaintext message raises it, see
 * exchange.c. */
#define CLIENT_AHEAD_MAX ((size_t)1024 * 1024)

enum client_state {
    CLIENT_NEW,
    CLIENT_CONNECTING, /* one address is being tried */
    CLIENT_HANDSHAKE,
    CLIENT_OPEN,
    CLIENT_FAILED,   /* can only be closed and freed */
    CLIENT_CLOSING,  /* our last word isn't out yet */
    CLIENT_DRAINING, /* reading until the server has ended too */
    CLIENT_DONE
};

/* How the receiving direction ended. It is reported after all that was received before. */
enum client_end { CLIENT_END_NONE, CLIENT_END_CLOSED, CLIENT_END_ERROR };

struct tlsmsg_client {
    struct tlsmsg_options *options; /* a copy, which the settings borrow from */
    struct client_settings settings;
    struct transport_config *config;
    struct address_name target;
    bool blocking;

    enum client_state state;
    bool opened;         /* the handshake was finished */
    bool broken;         /* closing: the transport is, what comes is read from the source */
    bool timed_out;      /* what failed was the server's silence */
    short wants;         /* poll bits of a handshake, a blocked send or closing */
    int64_t deadline_ns; /* of what goes on now */
    int64_t connect_ns;  /* of connecting altogether */

    struct address addresses[RESOLVE_MAX];
    size_t address_count;
    size_t address_next;
    int connect_errno;                                 /* of the address tried last */
    char address[ADDRESS_HOST_MAX + ADDRESS_TEXT_MAX]; /* tried last; at first the host */

    int fd; /* -1 where there is none */
    struct socket_source source;
    struct transport *transport;

    bool sending; /* a message of sending_len bytes is on its way, sent of them are out */
    size_t sending_len;
    size_t sent;
    bool due;     /* a reply is waited for */
    bool replied; /* any byte of a reply was ever received */

    enum client_end end;
    struct tlsmsg_error end_error; /* with CLIENT_END_ERROR */
    bool end_told;

    struct tlsmsg_tls tls; /* what a caller was told last; so is certificate */
    struct tlsmsg_certificate certificate;

    struct ahead ahead;
    size_t recv_max; /* most bytes that one recv asks for */
    char tail[UTF8_TAIL_MAX];
    size_t tail_len;
    char buffer[UTF8_TAIL_MAX + CLIENT_RECORD_MAX]; /* the reply that the caller borrows */
};

/* Blocking form: waits until the descriptor is ready or the deadline has passed, and returns true.
 * Non-blocking form: returns false at once. */
bool client_wait(const struct tlsmsg_client *client);

/* Where the deadline has passed: records TLSMSG_ERR_TIMEOUT "<address>: <what> within 10 s" and
 * fails. Else TLSMSG_CLIENT_AGAIN. */
enum tlsmsg_client_result client_again(struct tlsmsg_client *client, int64_t limit_ms,
                                       const char *what, struct tlsmsg_error *err);

/* "<what> within 10 s" for an error text. */
void client_print_limit(int64_t limit_ms, const char *what, char *buf, size_t cap);

/* Marks the client as failed and records cause, with the address in front where it lacks it. */
enum tlsmsg_client_result client_fail(struct tlsmsg_client *client,
                                      const struct tlsmsg_error *cause, struct tlsmsg_error *err);

/* Records that the call doesn't fit the state; the client stays as it is. */
enum tlsmsg_client_result client_misused(struct tlsmsg_error *err, const char *text);

/* Reports how the receiving direction ended; end must not be CLIENT_END_NONE. */
enum tlsmsg_client_result client_tell_end(struct tlsmsg_client *client, struct tlsmsg_error *err);

/* Moves what has arrived into the receive-ahead queue, as far as there is room; sets end. */
void client_pull(struct tlsmsg_client *client);

/* After a failed write: reads what had arrived, so that end becomes the server's own word, or the
 * write's cause where it left none. */
void client_settle_failed_write(struct tlsmsg_client *client);

/* Closes the descriptor. */
void client_drop(struct tlsmsg_client *client);

#endif
