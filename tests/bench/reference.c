/* The reference's conversation: see floor.h. Read-ahead, released buffers, one write a batch, one
 * ticket: what a tight server in C gets from OpenSSL, on OpenSSL's own socket BIO. */
#include "floor.h"

#include "bytes.h"
#include "message.h"
#include "served_tls.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#define RECORD_BYTES 16384u
#define LOG_BYTES (64u * 1024 * 1024)
#define BATCH_BYTES (256u * 1024) /* replies of one turn; what is left is read in the next */

struct floor_connection {
    int fd;
    SSL *ssl;
    struct bytes unsent;           /* while there is any, nothing more is read */
    struct floor_connection *next; /* of those whose replies wait for the log */
    bool is_held;
};

const char floor_name[] = "bench-reference";
const char floor_usage[] =
    "Usage: bench-reference --listen IPV4:PORT --cert FILE --key FILE [--log FILE]\n"
    "Replies to each TLS record; port 0 = any free one. --log: writes it\n"
    "and syncs first, once for all that came together.\n";

static SSL_CTX *ctx;
static struct bytes replies;
static struct bytes entries; /* of the log, still to be written */
static struct floor_connection *held;
static int log_fd = -1;
static size_t log_at;

/* The log goes round in a file that was written before: as cheap as a sync can be, since no size and
 * no block of the file changes with it. A page at a time: what was written at once may be kept in
 * memory as one, and is then written to disk as one with each byte that changes. */
static bool open_log(const char *path)
{
    static const char zeros[4096];
    size_t i;

    log_fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
    for (i = 0; i < LOG_BYTES / sizeof zeros && log_fd >= 0; i++) {
        if (write(log_fd, zeros, sizeof zeros) != (ssize_t)sizeof zeros) {
            return false;
        }
    }
    return log_fd >= 0 && fsync(log_fd) == 0;
}

bool floor_configure(int argc, char **argv)
{
    if (argc == 6 && strcmp(argv[4], "--log") == 0) {
        if (!open_log(argv[5])) {
            perror("bench-reference: cannot make the log");
            return false;
        }
        argc = 4;
    }
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
        struct floor_connection **at = &held;

        while (c->is_held && *at != c) {
            at = &(*at)->next;
        }
        if (c->is_held) {
            *at = c->next;
        }
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
    return !c->is_held && bytes_len(&c->unsent) > 0;
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

/* An entry is what an own log would hold: a length, a time, the bytes. */
static void log_message(const char *body, size_t len)
{
    uint64_t head[2] = {len, 0};
    struct timespec now;

    (void)clock_gettime(CLOCK_REALTIME_COARSE, &now);
    head[1] = (uint64_t)now.tv_sec * 1000 + (uint64_t)now.tv_nsec / 1000000;
    bytes_append(&entries, (const char *)head, sizeof head);
    bytes_append(&entries, body, len);
}

static void hold(struct floor_connection *c)
{
    bytes_append(&c->unsent, bytes_head(&replies), bytes_len(&replies));
    if (!c->is_held) {
        c->is_held = true;
        c->next = held;
        held = c;
    }
}

bool floor_end_turn(void (*changed)(struct floor_connection *c))
{
    if (bytes_len(&entries) > LOG_BYTES - log_at) {
        log_at = 0;
    }
    while (bytes_len(&entries) > 0) {
        ssize_t put = pwrite(log_fd, bytes_head(&entries), bytes_len(&entries), (off_t)log_at);

        if (put < 0) {
            return false;
        }
        log_at += (size_t)put;
        bytes_take(&entries, (size_t)put);
        if (bytes_len(&entries) == 0 && fdatasync(log_fd) != 0) {
            return false;
        }
    }
    bytes_clear(&entries);
    while (held != NULL) {
        struct floor_connection *c = held;

        held = c->next;
        c->is_held = false;
        /* One that is gone is told by its own event. */
        if (send_bytes(c, &c->unsent) && bytes_len(&c->unsent) > 0) {
            changed(c);
        }
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
        if (log_fd >= 0) {
            log_message(bytes_head(&replies) + bytes_len(&replies) - got, got);
        }
    } while (SSL_has_pending(c->ssl) == 1 && bytes_len(&replies) < BATCH_BYTES);
    if (log_fd >= 0 && bytes_len(&replies) > 0) {
        hold(c);
        return open;
    }
    return (bytes_len(&replies) == 0 || send_bytes(c, &replies)) && open;
}
