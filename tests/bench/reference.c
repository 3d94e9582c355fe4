/* The reference's conversation: see floor.h. Read-ahead, released buffers, one write a batch, one
 * ticket: what a tight server in C gets from OpenSSL, on OpenSSL's own socket BIO. */
#include "floor.h"

#include "bytes.h"
#include "message.h"

#include <openssl/err.h>
#include <openssl/ssl.h>

#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define RECORD_BYTES 16384u
#define BATCH_BYTES (256u * 1024) /* replies of one turn; what is left is read in the next */

struct floor_connection {
    int fd;
    SSL *ssl;
    struct bytes unsent; /* while there is any, nothing more is read */
};

const char floor_name[] = "bench-reference";
const char floor_usage[] = "Usage: bench-reference --listen IPV4:PORT --cert FILE --key FILE\n"
                           "Replies to each TLS record; port 0 = any free one.\n";

static SSL_CTX *ctx;
static struct bytes replies;

static bool complain(const char *what)
{
    fprintf(stderr, "bench-reference: %s\n", what);
    ERR_print_errors_fp(stderr);
    return false;
}

bool floor_configure(int argc, char **argv)
{
    if (argc != 4 || strcmp(argv[0], "--cert") != 0 || strcmp(argv[2], "--key") != 0) {
        return false;
    }
    (void)signal(SIGPIPE, SIG_IGN);
    ctx = SSL_CTX_new(TLS_server_method());
    if (ctx == NULL || SSL_CTX_use_certificate_chain_file(ctx, argv[1]) != 1 ||
        SSL_CTX_use_PrivateKey_file(ctx, argv[3], SSL_FILETYPE_PEM) != 1) {
        return complain("cannot use the certificate and key");
    }
    SSL_CTX_set_mode(ctx, SSL_MODE_RELEASE_BUFFERS | SSL_MODE_ENABLE_PARTIAL_WRITE |
                              SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER);
    SSL_CTX_set_read_ahead(ctx, 1);
    SSL_CTX_set_num_tickets(ctx, 1);
    return true;
}

struct floor_connection *floor_connection_new(int fd)
{
    struct floor_connection *c = calloc(1, sizeof *c);

    if (c == NULL) {
        return NULL;
    }
    c->fd = fd;
    c->ssl = SSL_new(ctx);
    if (c->ssl == NULL || SSL_set_fd(c->ssl, fd) != 1) {
        SSL_free(c->ssl);
        free(c);
        return NULL;
    }
    SSL_set_accept_state(c->ssl);
    return c;
}

void floor_connection_free(struct floor_connection *c)
{
    if (c != NULL) {
        SSL_free(c->ssl);
        close(c->fd);
        bytes_fini(&c->unsent);
        free(c);
    }
}

int floor_fd(const struct floor_connection *c)
{
    return c->fd;
}

bool floor_wants_write(const struct floor_connection *c)
{
    return bytes_len(&c->unsent) > 0;
}

/* True when it is only to be tried again. */
static bool waits(struct floor_connection *c, int ret)
{
    int why = SSL_get_error(c->ssl, ret);

    ERR_clear_error();
    return why == SSL_ERROR_WANT_READ || why == SSL_ERROR_WANT_WRITE;
}

static bool send_bytes(struct floor_connection *c, struct bytes *from)
{
    while (bytes_len(from) > 0) {
        size_t put = 0;
        int ret = SSL_write_ex(c->ssl, bytes_head(from), bytes_len(from), &put);

        if (ret != 1) {
            if (!waits(c, ret)) {
                return false;
            }
            break;
        }
        bytes_take(from, put);
    }
    if (from != &c->unsent && bytes_len(from) > 0) {
        bytes_append(&c->unsent, bytes_head(from), bytes_len(from));
    }
    return true;
}

bool floor_step(struct floor_connection *c)
{
    bool open = true;

    if (floor_wants_write(c)) {
        return send_bytes(c, &c->unsent);
    }
    bytes_clear(&replies);
    do {
        size_t got = 0;
        int ret;

        bytes_append(&replies, MESSAGE_PREFIX, MESSAGE_PREFIX_LEN);
        ret = SSL_read_ex(c->ssl, bytes_reserve(&replies, RECORD_BYTES), RECORD_BYTES, &got);
        if (ret != 1) {
            replies.end -= MESSAGE_PREFIX_LEN; /* it had no message */
            if (!waits(c, ret)) {
                open = false;
                (void)SSL_shutdown(c->ssl);
            }
            break;
        }
        replies.end += got;
    } while (SSL_has_pending(c->ssl) == 1 && bytes_len(&replies) < BATCH_BYTES);
    return (bytes_len(&replies) == 0 || send_bytes(c, &replies)) && open;
}
