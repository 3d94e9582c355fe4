/* The one place that reads OpenSSL's errors.
 *
 * OpenSSL keeps a queue of errors for each thread, and SSL_get_error(3) looks
 * into it: an entry left behind by one connection turns the next one's
 * "try again" into a failure. So it is made sure before each call that the
 * queue is empty, and it is read right after it, on the same thread. */
#ifndef TRANSPORT_TLS_ERRORS_H
#define TRANSPORT_TLS_ERRORS_H

#include <stdbool.h>

#include <openssl/ssl.h>

#include "transport/transport.h"

/* How far a connection has come, as the classifier has to know it. */
struct handshake_state {
    bool is_server;
    bool is_open;        /* the handshake is finished */
    bool cert_was_asked; /* a client: the server asked for its certificate */
    bool cert_is_there;  /* a client: it has one to show */
};

/* To be called right before each SSL call whose result goes to tls_error_classify. */
void tls_error_begin(void);

/* The same before a call that moves data. It looks at the queue only where something may have been
 * left in it since the last look, which costs a thirtieth of a small message: calls that moved data
 * and ended well leave nothing. */
void tls_error_begin_data(void);

/* Something else has run on this thread, and may have left errors. */
void tls_error_suspect(void);

/* What a failed SSL call means: WANT_*, CLOSED (close_notify), or ERROR with the cause in err.
 * ret: what the call returned. */
enum transport_result tls_error_classify(const SSL *ssl, int ret,
                                         const struct handshake_state *state,
                                         struct tlsmsg_error *err);

/* Records a failed call of the library while configuring: TLSMSG_ERR_NOMEM where that was the
 * reason, else code. what: what failed, on what. The queue is empty afterwards. */
enum tlsmsg_code tls_error_config(struct tlsmsg_error *err, enum tlsmsg_code code,
                                  const char *format, ...) __attribute__((format(printf, 3, 4)));

/* Says what is wrong with a file or certificate where the library failed at it: TLSMSG_ERR_CONFIG
 * and the text, without the library's reason, which differs between versions. Where it failed for
 * want of memory, nothing is wrong with the file: TLSMSG_ERR_NOMEM. The queue is empty afterwards. */
enum tlsmsg_code tls_error_blame(struct tlsmsg_error *err, const char *format, ...)
    __attribute__((format(printf, 2, 3)));

/* True where the library failed for want of memory; and the queue emptied. */
bool tls_error_take_no_memory(void);

/* The name of an alert as RFC 8446 section 6 has it, with spaces: "unknown ca"; NULL for a number
 * without one. */
const char *alert_name(int alert);

/* True where the alert judges the receiver's certificate or access rather than the protocol. */
bool alert_is_refusal(int alert);

#endif
