/* The transport: how bytes of messages travel over a byte source.
 *
 * Four verbs, one result type; CMake links plain.c or tls/, never both. Under
 * TLS one recv gives at most one record, CLOSED means close_notify (RFC 8446
 * section 6.1) and a bare end of file is the error TLSMSG_ERR_TRUNCATED. In
 * plaintext CLOSED is end of file. A transport is used by one thread at a
 * time; a configuration is immutable and may be shared by all threads. */
#ifndef TRANSPORT_TRANSPORT_H
#define TRANSPORT_TRANSPORT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <tlsmsg/error.h>
#include <tlsmsg/tls.h>

#include "net/socket.h"
#include "options/options.h"

enum transport_result {
    TRANSPORT_OK,
    TRANSPORT_WANT_READ,
    TRANSPORT_WANT_WRITE,
    TRANSPORT_CLOSED,
    TRANSPORT_ERROR
};

struct transport_config;
struct transport;

/* Loads what the settings name (certificates, keys, CAs) and checks it. Keeps none of their texts.
 * previous: the configuration it replaces on reload, or NULL; ticket keys live on through it.
 * The result has one reference, the caller's. Blocks for files. TLSMSG_ERR_CONFIG, _NOMEM. */
enum tlsmsg_code transport_config_new(const struct tls_settings *settings,
                                      struct transport_config *previous,
                                      struct transport_config **out, struct tlsmsg_error *err);

/* What an operator should know of a configuration that works, a line each, borrowed from config;
 * NULL past the last. */
size_t transport_config_warning_count(const struct transport_config *config);
const char *transport_config_warning(const struct transport_config *config, size_t i);

/* When the first of a kind ends, in seconds since the epoch; 0 without one. */
int64_t transport_config_expiry(const struct transport_config *config, enum tlsmsg_expiry what);

/* Tells of what ends soon or has ended, a line each, as the warnings do; of what was so at
 * since_unix_s already only where that is 0. Returns when there will be more to tell, in seconds
 * since the epoch; 0: never. */
typedef void transport_tell_fn(const char *text, void *user);
int64_t transport_config_tell_ends(const struct transport_config *config, int64_t since_unix_s,
                                   int64_t now_unix_s, transport_tell_fn *tell, void *user);

struct transport_config *transport_config_ref(struct transport_config *config);
void transport_config_unref(struct transport_config *config); /* NULL is a no-op */

/* Makes a transport over src (borrowed; outlives it). Takes a reference to config.
 * server_name: for a client the name or address literal to ask for and verify, as typed; NULL for a server. */
enum tlsmsg_code transport_new(struct transport_config *config, struct byte_source *src,
                               const char *server_name, struct transport **out,
                               struct tlsmsg_error *err);
void transport_free(struct transport *t);

/* A client's, before its handshake: the pin of a key that the user has accepted for a server that is
 * not known yet (borrowed). From such a server no other key is taken. */
void transport_accept_key(struct transport *t, const char *pin);

/* Goes on with the handshake. OK when finished (at once in plaintext), WANT_*, or ERROR: _NOT_TLS,
 * _UNTRUSTED, _KEY_CHANGED, _REFUSED, _HANDSHAKE, _RESET, _TRUNCATED (left in the middle), _NOMEM.
 * After ERROR an alert may have been sent. */
enum transport_result transport_handshake(struct transport *t, struct tlsmsg_error *err);

/* Receives up to cap bytes, of one record at most. OK with *got >= 1; WANT_*; CLOSED; ERROR.
 * After TLSMSG_ERR_TRUNCATED, and after TLSMSG_ERR_LIMIT (more records without data in a row than
 * anybody has use for), sending still works; after any other error nothing does. */
enum transport_result transport_recv(struct transport *t, void *buf, size_t cap, size_t *got,
                                     struct tlsmsg_error *err);

/* To be called when a function of the program has run on a server's thread: it may use the TLS library
 * too, and leave errors that the next call would take for its own. */
void transport_program_ran(void);

/* How many records without data (key updates, alerts) the last transport_recv took beside what it
 * gave. 0 in plaintext. */
unsigned transport_idle_records(const struct transport *t);

/* Sends len >= 1 bytes or a part of them. OK with *sent >= 1; WANT_*: call again with the same
 * bytes first (the buffer may have moved, more may follow them). ERROR as above; after a failed
 * write (TLSMSG_ERR_RESET) transport_recv still gives what had arrived, the peer's last word. */
enum transport_result transport_send(struct transport *t, const void *buf, size_t len, size_t *sent,
                                     struct tlsmsg_error *err);

/* Says that nothing more will be sent (close_notify where there is a session) and shuts the
 * source's writing side. OK when said; WANT_WRITE: call again. ERROR: it could not be said (broken,
 * or in the middle of a half-sent message), and the writing side is shut all the same. Safe in every
 * state; receiving goes on. err may be NULL. */
enum transport_result transport_shutdown(struct transport *t, struct tlsmsg_error *err);

/* After a handshake that failed only because the server is not known yet, and the settings name who
 * asks the user: parts from the server, then asks, for as long as it takes. True: the user accepts the
 * key whose pin is in pin now. Else false, at once and without a question. */
#define TRANSPORT_PIN_MAX 64
bool transport_ask_user(struct transport *t, char pin[TRANSPORT_PIN_MAX]);

/* What TLS agreed on, by a client's failed handshake as far as it came; texts are borrowed from t.
 * The group is named as in the policy. False, and out is empty, where there is nothing yet, and in
 * plaintext. */
bool transport_describe(struct transport *t, struct tlsmsg_tls *out);

/* The i-th certificate that a client's server has shown, its own first, verified or not. False
 * past the last, and in plaintext; then out is left alone. */
bool transport_peer_certificate(const struct transport *t, size_t i,
                                struct tlsmsg_certificate *out);

/* True once any byte was received: a peer that sent none was only a probe. */
bool transport_heard(const struct transport *t);

/* What is linked, for --version: "TLS, OpenSSL 3.0.19" or "plaintext". Static. */
const char *transport_name(void);

#endif
