/* The reference's conversation: see floor.h. Read-ahead, released buffers, one write a batch, one
 * ticket: what a tight server in C gets from OpenSSL, on OpenSSL's own socket BIO. */
#include "floor.h"

#include "bytes.h"
#include "message.h"
#include "served_tls.h"

#include <stdlib.h>
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

bool floor_configure(int argc, char **argv)
{
    ctx = served_tls_context(argc, argv);
    return ctx != NULL;
}

struct floor_connection *floor_connection_new(int fd)
{
    struct floor_connection *c = calloc(1, sizeof *c);

    if (c == NULL) {
        return NULL;
    }
    c->fd = fd;
    c->ssl = served_tls_session(ctx, fd);
    if (c->ssl == NULL) {
        free(c);
        return NULL;
    }
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

static bool send_bytes(struct floor_connection *c, struct bytes *from)
{
    size_t put;

    if (!served_tls_write(c->ssl, bytes_head(from), bytes_len(from), &put)) {
        return false;
    }
    bytes_take(from, put);
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

        bytes_append(&replies, MESSAGE_PREFIX, MESSAGE_PREFIX_LEN);
        open = served_tls_read(c->ssl, bytes_reserve(&replies, RECORD_BYTES), RECORD_BYTES, &got);
        if (got == 0) {
            replies.end -= MESSAGE_PREFIX_LEN; /* it had no message */
            if (!open) {
                (void)SSL_shutdown(c->ssl);
            }
            break;
        }
        replies.end += got;
    } while (SSL_has_pending(c->ssl) == 1 && bytes_len(&replies) < BATCH_BYTES);
    return (bytes_len(&replies) == 0 || send_bytes(c, &replies)) && open;
}
