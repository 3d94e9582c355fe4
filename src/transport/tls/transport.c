/* The TLS transport: the four verbs over one SSL object and one byte source.
 *
 * Every call into OpenSSL goes through attempt(): queue empty before, result
 * classified right after, then held against what the link noted meanwhile
 * (bio.h). One thread at a time. Records of one recv are never joined:
 * a message that came as one record is handed on as one. */
#include <stdio.h>

#include <pthread.h>

#include <openssl/crypto.h>

#include "base/error.h"
#include "transport/common.h"
#include "transport/tls/errors.h"
#include "transport/tls/internal.h"

/* One call into OpenSSL, as a function so that all go the same way. */
typedef int tls_call(SSL *ssl, void *buf, size_t len, size_t *done);

/* What a server that goes without a byte may be. The server has its own way to tell: the first byte. */
static const char *silent_peer(const struct transport *t)
{
    return !t->state.is_server && !t->state.is_open && !t->link.heard
               ? " (perhaps it speaks plaintext, not TLS)"
               : "";
}

/* OpenSSL waits for bytes: will there be any? */
static enum transport_result judge_read(struct transport *t)
{
    const char *who = t->state.is_server ? "client" : "server";

    if (t->link.peer != LINK_PEER_TLS) {
        t->broken = true;
        error_set(t->err, TLSMSG_ERR_NOT_TLS, 0, "the peer speaks %s, not TLS",
                  t->link.peer == LINK_PEER_HTTP ? "HTTP" : "plaintext");
        return TRANSPORT_ERROR;
    }
    if (t->link.is_too_long) {
        t->broken = true;
        error_set(t->err, TLSMSG_ERR_HANDSHAKE, 0, "the ClientHello is longer than %d bytes",
                  CLIENT_HELLO_MAX_BYTES);
        return TRANSPORT_ERROR;
    }
    if (t->link.read_errno != 0) {
        t->broken = true;
        (void)transport_socket_error(t->link.read_errno, t->err);
        error_append(t->err, "%s", silent_peer(t));
        return TRANSPORT_ERROR;
    }
    if (t->link.write_errno != 0 && !t->state.is_open) {
        t->broken = true;
        return transport_socket_error(t->link.write_errno, t->err);
    }
    if (t->link.eof && !t->state.is_open) {
        t->broken = true;
        error_set(t->err, TLSMSG_ERR_TRUNCATED, 0, "the %s closed the connection %s%s", who,
                  t->link.heard ? "in the middle of the handshake" : "before it sent anything",
                  silent_peer(t));
        return TRANSPORT_ERROR;
    }
    if (t->link.eof) {
        error_set(t->err, TLSMSG_ERR_TRUNCATED, 0,
                  "the %s dropped the connection (no close_notify)", who);
        return TRANSPORT_ERROR;
    }
    return TRANSPORT_WANT_READ;
}

/* What a call has come to that did not succeed. */
static __attribute__((noinline)) enum transport_result judge(struct transport *t, int ret,
                                                             struct tlsmsg_error *err)
{
    enum transport_result result = tls_error_classify(t->ssl, ret, &t->state, err);

    if (result == TRANSPORT_WANT_READ) {
        return judge_read(t);
    }
    if (result == TRANSPORT_ERROR) {
        t->broken = true;
    }
    return result;
}

static enum transport_result attempt(struct transport *t, tls_call *call, void *buf, size_t len,
                                     size_t *done, struct tlsmsg_error *err)
{
    enum transport_result result;
    int ret;

    t->err = err;
    if (t->state.is_open && t->state.is_server) {
        tls_error_begin_data();
    } else {
        tls_error_begin(); /* a client's thread is the program's own, between any two calls */
    }
    ret = call(t->ssl, buf, len, done);
    result = ret > 0 ? TRANSPORT_OK : judge(t, ret, err);
    t->err = NULL;
    return result;
}

static enum transport_result misuse(struct transport *t, struct tlsmsg_error *err)
{
    error_set(err, TLSMSG_ERR_STATE, 0,
              t->broken ? "the TLS session has failed before" : "the handshake is not finished");
    return TRANSPORT_ERROR;
}

static int call_handshake(SSL *ssl, void *buf, size_t len, size_t *done)
{
    (void)buf;
    (void)len;
    (void)done;
    return SSL_do_handshake(ssl);
}

static int call_read(SSL *ssl, void *buf, size_t len, size_t *done)
{
    return SSL_read_ex(ssl, buf, len, done);
}

static int call_write(SSL *ssl, void *buf, size_t len, size_t *done)
{
    return SSL_write_ex(ssl, buf, len, done);
}

/* 0 means "said, not yet heard in return": that is all a shutdown has to do here. */
static int call_shutdown(SSL *ssl, void *buf, size_t len, size_t *done)
{
    int ret = SSL_shutdown(ssl);

    (void)buf;
    (void)len;
    (void)done;
    return ret >= 0 ? 1 : ret;
}

enum transport_result transport_handshake(struct transport *t, struct tlsmsg_error *err)
{
    enum transport_result result;

    if (t->state.is_open) {
        return TRANSPORT_OK;
    }
    if (t->broken) {
        return misuse(t, err);
    }
    result = attempt(t, call_handshake, NULL, 0, NULL, err);
    if (result == TRANSPORT_CLOSED) {
        t->broken = true;
        error_set(err, TLSMSG_ERR_HANDSHAKE, 0,
                  "the peer closed the connection in the middle of the handshake");
        return TRANSPORT_ERROR;
    }
    if (result == TRANSPORT_OK) {
        if (t->key.is_new &&
            client_trust_record(t->config->client_trust, SSL_get0_peer_certificate(t->ssl), err) !=
                TLSMSG_OK) {
            t->broken = true;
            return TRANSPORT_ERROR;
        }
        t->state.is_open = true;
        t->wants_ticket &=
            t->state.is_server && SSL_version(t->ssl) == TLS1_3_VERSION && tickets_fit(t->ssl);
    }
    return result;
}

/* OpenSSL reads on by itself over records without data, and a read-ahead buffer holds hundreds of
 * key updates that cost 10 microseconds each. What was said before the limit counts no more. */
static enum transport_result judge_idle(struct transport *t, enum transport_result result,
                                        struct tlsmsg_error *err)
{
    if (t->idle_in_row > IDLE_RECORDS_MAX && result != TRANSPORT_ERROR) {
        error_set(err, TLSMSG_ERR_LIMIT, 0,
                  "more than %d key updates or alerts in a row without data", IDLE_RECORDS_MAX);
        return TRANSPORT_ERROR;
    }
    if (result == TRANSPORT_OK) {
        t->idle_in_row = 0;
    }
    return result;
}

enum transport_result transport_recv(struct transport *t, void *buf, size_t cap, size_t *got,
                                     struct tlsmsg_error *err)
{
    enum transport_result result;

    *got = 0;
    t->idle_records = 0;
    if (t->broken || !t->state.is_open) {
        return misuse(t, err);
    }
    if (t->sending && t->state.is_server) {
        /* A key update would have to be answered in the middle of the record that is half sent,
         * which the library can't. A client never has more than one record under way and must
         * read while it is blocked, so it takes that chance. */
        return TRANSPORT_WANT_WRITE;
    }
    if (t->link.source->dry && SSL_has_pending(t->ssl) == 0) {
        /* OpenSSL would take a buffer of 16 KiB, ask the source in vain and give it back. */
        return TRANSPORT_WANT_READ;
    }
    t->receiving = true;
    result = attempt(t, call_read, buf, cap, got, err);
    t->receiving = false;
    if (t->idle_records > 0) {
        tls_error_suspect();
    }
    return t->idle_in_row > 0 ? judge_idle(t, result, err) : result;
}

unsigned transport_idle_records(const struct transport *t)
{
    return t->idle_records;
}

/* Writing a ticket runs OpenSSL's handshake machine, which takes a read buffer of 16 KiB that only
 * a read in vain gives back: without one, every idle conversation would keep it (30 instead of
 * 15 KiB each). */
static void give_back_read_buffer(struct transport *t)
{
    char byte;
    size_t n;

    if (SSL_has_pending(t->ssl) == 1) {
        return; /* in use, and given back by the reads to come */
    }
    t->link.muted = true;
    (void)SSL_peek_ex(t->ssl, &byte, 1, &n);
    t->link.muted = false;
}

enum transport_result transport_send(struct transport *t, const void *buf, size_t len, size_t *sent,
                                     struct tlsmsg_error *err)
{
    bool ticket;
    bool alone; /* data, and nothing of the handshake's before it */
    enum transport_result result;

    *sent = 0;
    if (t->broken || !t->state.is_open) {
        return misuse(t, err);
    }
    ticket = t->wants_ticket;
    alone = !ticket && !t->sending;
    if (ticket) {
        /* Not before now: a ticket that a client leaves unread costs it a reset, and with that
         * perhaps its message; with the reply it costs nothing (and shares its segment). */
        t->wants_ticket = false;
        tls_error_begin();
        t->link.cork = SSL_new_session_ticket(t->ssl) == 1;
    }
    /* SSL_write_ex(3) does not write to buf; the cast is for the common shape of the calls. */
    result = attempt(t, call_write, (void *)(uintptr_t)buf, len, sent, err);
    if (result == TRANSPORT_OK && t->link.write_errno != 0) {
        *sent = 0;
        result = transport_socket_error(t->link.write_errno, err);
    }
    t->sending = result == TRANSPORT_WANT_READ || result == TRANSPORT_WANT_WRITE;
    if (!alone) {
        tls_error_suspect();
    }
    if (ticket && result == TRANSPORT_OK) {
        give_back_read_buffer(t);
    }
    return result;
}

enum transport_result transport_shutdown(struct transport *t, struct tlsmsg_error *err)
{
    enum transport_result result;

    if (t->write_is_shut) {
        return TRANSPORT_OK;
    }
    if (!t->state.is_open || t->broken) {
        /* An alert has left with the failure. One that the source had no room for is lost: the
         * library keeps it in a buffer that it doesn't let go of. */
        result = t->broken ? misuse(t, err) : TRANSPORT_OK;
    } else if (t->sending) {
        /* A record is cut in the middle: nothing that follows would be understood. */
        error_set(err, TLSMSG_ERR_STATE, 0, "the end of a message was not sent");
        result = TRANSPORT_ERROR;
    } else {
        result = attempt(t, call_shutdown, NULL, 0, NULL, err);
        tls_error_suspect();
        if (result == TRANSPORT_WANT_WRITE) {
            return result;
        }
        if (result == TRANSPORT_OK && t->link.write_errno != 0) {
            result = transport_socket_error(t->link.write_errno, err);
        }
        result = result == TRANSPORT_OK ? TRANSPORT_OK : TRANSPORT_ERROR;
    }
    t->write_is_shut = true;
    t->link.source->shut_write(t->link.source);
    return result;
}

void transport_program_ran(void)
{
    tls_error_suspect();
}

static char name[64];

static void make_name(void)
{
    (void)snprintf(name, sizeof(name), "TLS, OpenSSL %s", OpenSSL_version(OPENSSL_VERSION_STRING));
}

const char *transport_name(void)
{
    static pthread_once_t once = PTHREAD_ONCE_INIT;

    pthread_once(&once, make_name);
    return name;
}
