/* The connection: see link.h. TLS runs over byte runs, never over the socket itself: one recv() per
 * wake-up feeds all records it brought, and one send() carries all records that were queued. */
#include "link.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/tcp.h>
#include <openssl/err.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#define RECV_BYTES 65536u
#define RECORD_BYTES 16384u

void link_init(struct link *l, struct endpoint *endpoint)
{
    *l = (struct link){.endpoint = endpoint, .fd = -1};
}

static enum link_result fail_errno(struct link *l, const char *what)
{
    int error = errno;

    snprintf(l->why, sizeof l->why, "%s: %s", what, strerror(error));
    return error == ECONNRESET || error == EPIPE ? LINK_RESET : LINK_FAILED;
}

static enum link_result fail_tls(struct link *l, const char *what)
{
    unsigned long code = ERR_peek_error();
    const char *reason = ERR_reason_error_string(code);

    if (ERR_GET_REASON(code) == SSL_R_UNEXPECTED_EOF_WHILE_READING) {
        snprintf(l->why, sizeof l->why, "%s: end of file without close_notify", what);
        return LINK_TRUNCATED;
    }
    snprintf(l->why, sizeof l->why, "%s: %s", what, reason == NULL ? "unknown error" : reason);
    return LINK_FAILED;
}

/* Ports are counted per pair of addresses, so another source address brings 28,000 more. The port
 * is left to connect() (IP_BIND_ADDRESS_NO_PORT), which knows the whole tuple. */
static enum link_result bind_source(struct link *l)
{
    struct sockaddr_in source = {.sin_family = AF_INET};
    const struct sockaddr_in *target = (const struct sockaddr_in *)&l->endpoint->address;
    uint32_t turn = l->endpoint->opened++ % l->endpoint->sources;
    int on = 1;

    if (l->endpoint->sources == 1 || target->sin_family != AF_INET ||
        ntohl(target->sin_addr.s_addr) >> 24 != 127) {
        return LINK_OK;
    }
    source.sin_addr.s_addr = htonl((127u << 24) + 1u + turn);
    if (setsockopt(l->fd, IPPROTO_IP, IP_BIND_ADDRESS_NO_PORT, &on, sizeof on) != 0 ||
        bind(l->fd, (const struct sockaddr *)&source, sizeof source) != 0) {
        return fail_errno(l, "bind");
    }
    return LINK_OK;
}

enum link_result link_open(struct link *l)
{
    const struct sockaddr *target = (const struct sockaddr *)&l->endpoint->address;
    int on = 1;

    l->established = false;
    l->ends = (struct bytes_bio){.in = &l->endpoint->in, .out = &l->endpoint->out};
    l->fd = socket(target->sa_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (l->fd < 0) {
        return fail_errno(l, "socket");
    }
    if (bind_source(l) != LINK_OK) {
        return LINK_FAILED;
    }
    if (setsockopt(l->fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on) != 0) {
        return fail_errno(l, "TCP_NODELAY");
    }
    if (connect(l->fd, target, l->endpoint->address_len) != 0 && errno != EINPROGRESS) {
        return fail_errno(l, "connect");
    }
    return LINK_OK;
}

static enum link_result advance_handshake(struct link *l)
{
    int result, error;
    enum link_result flushed;

    ERR_clear_error();
    result = SSL_do_handshake(l->ssl);
    error = SSL_get_error(l->ssl, result);
    if (result != 1 && error != SSL_ERROR_WANT_READ) {
        enum link_result why = fail_tls(l, "handshake");

        (void)link_flush(l); /* the alert */
        return why;
    }
    flushed = link_flush(l);
    l->established = result == 1;
    return flushed;
}

/* A copy is offered: OpenSSL marks a TLS 1.3 session as spent once it has been used, and some
 * servers give no new ticket to a client that resumed. */
static bool offer_session(struct link *l)
{
    SSL_SESSION *copy = SSL_SESSION_dup(l->session);
    bool good = copy != NULL && SSL_set_session(l->ssl, copy) == 1;

    SSL_SESSION_free(copy);
    return good;
}

enum link_result link_secure(struct link *l, bool resume)
{
    BIO *bio = bytes_bio_new(&l->ends);

    l->ssl = SSL_new(l->endpoint->tls);
    if (l->ssl == NULL || bio == NULL) {
        BIO_free(bio);
        return fail_tls(l, "SSL_new");
    }
    SSL_set_bio(l->ssl, bio, bio);
    SSL_set_app_data(l->ssl, l);
    SSL_set_connect_state(l->ssl);
    if (resume && l->session != NULL && !offer_session(l)) {
        return fail_tls(l, "SSL_set_session");
    }
    return advance_handshake(l);
}

enum link_result link_start(struct link *l, bool resume)
{
    int error = 0;
    socklen_t len = sizeof error;

    if (getsockopt(l->fd, SOL_SOCKET, SO_ERROR, &error, &len) != 0) {
        return fail_errno(l, "connect");
    }
    if (error != 0) {
        errno = error;
        return fail_errno(l, "connect");
    }
    if (l->endpoint->tls != NULL && !l->endpoint->late_tls) {
        return link_secure(l, resume);
    }
    l->established = l->endpoint->tls == NULL;
    return LINK_OK;
}

/* Decrypts everything that arrived: the shared input must be empty before another link uses it. */
static enum link_result decrypt(struct link *l, struct bytes *text)
{
    size_t got;
    int error;

    for (;;) {
        ERR_clear_error();
        if (SSL_read_ex(l->ssl, bytes_reserve(text, RECORD_BYTES), RECORD_BYTES, &got) == 1) {
            text->end += got;
            continue;
        }
        error = SSL_get_error(l->ssl, 0);
        if (error == SSL_ERROR_WANT_READ) {
            return LINK_OK;
        }
        return error == SSL_ERROR_ZERO_RETURN ? LINK_CLOSED : fail_tls(l, "read");
    }
}

static enum link_result receive_tls(struct link *l, struct bytes *text)
{
    enum link_result result = LINK_OK;

    if (!l->established) {
        result = advance_handshake(l);
    }
    if (result == LINK_OK && l->established) {
        result = decrypt(l, text);
        if (result == LINK_OK && bytes_len(&l->endpoint->out) > 0) {
            result = link_flush(l); /* OpenSSL answered something by itself */
        }
    }
    bytes_clear(&l->endpoint->in);
    bytes_clear(&l->endpoint->out);
    return result;
}

enum link_result link_receive(struct link *l, struct bytes *text)
{
    bool plain = l->ssl == NULL;
    struct bytes *in = plain ? text : &l->endpoint->in;
    ssize_t got;

    bytes_clear(text);
    bytes_clear(in);
    got = recv(l->fd, bytes_reserve(in, RECV_BYTES), RECV_BYTES, 0);
    if (got < 0) {
        return errno == EAGAIN || errno == EINTR ? LINK_OK : fail_errno(l, "recv");
    }
    if (got == 0) {
        if (plain) {
            snprintf(l->why, sizeof l->why, "end of file");
            return LINK_CLOSED;
        }
        l->ends.eof = true;
    }
    in->end = (size_t)got;
    return plain ? LINK_OK : receive_tls(l, text);
}

enum link_result link_queue(struct link *l, const char *data, size_t len)
{
    size_t put;

    if (l->ssl == NULL) {
        bytes_append(&l->endpoint->out, data, len);
        return LINK_OK;
    }
    ERR_clear_error();
    return SSL_write_ex(l->ssl, data, len, &put) == 1 ? LINK_OK : fail_tls(l, "write");
}

enum link_result link_flush(struct link *l)
{
    struct bytes *out = &l->endpoint->out;
    ssize_t put;

    if (bytes_len(&l->unsent) > 0) {
        bytes_append(&l->unsent, bytes_head(out), bytes_len(out));
        bytes_clear(out);
        out = &l->unsent;
    }
    if (bytes_len(out) == 0) {
        return LINK_OK;
    }
    put = send(l->fd, bytes_head(out), bytes_len(out), MSG_NOSIGNAL);
    if (put < 0) {
        if (errno != EAGAIN && errno != EINTR) {
            bytes_clear(out);
            return fail_errno(l, "send");
        }
        put = 0;
    }
    bytes_take(out, (size_t)put);
    if (out != &l->unsent) {
        bytes_append(&l->unsent, bytes_head(out), bytes_len(out));
        bytes_clear(out);
    }
    if (bytes_len(&l->unsent) == 0) {
        bytes_fini(&l->unsent);
    }
    return LINK_OK;
}

enum link_result link_finish(struct link *l)
{
    enum link_result result;

    if (l->ssl != NULL && l->established) {
        ERR_clear_error();
        if (SSL_shutdown(l->ssl) < 0) {
            return fail_tls(l, "shutdown");
        }
        result = link_flush(l);
        if (result != LINK_OK) {
            return result;
        }
    }
    if (shutdown(l->fd, SHUT_WR) != 0) {
        return fail_errno(l, "shutdown");
    }
    return LINK_OK;
}

void link_close(struct link *l)
{
    SSL_free(l->ssl);
    l->ssl = NULL;
    if (l->fd >= 0) {
        close(l->fd);
        l->fd = -1;
    }
    l->established = false;
    bytes_fini(&l->unsent);
}

void link_fini(struct link *l)
{
    link_close(l);
    SSL_SESSION_free(l->session);
    l->session = NULL;
}
