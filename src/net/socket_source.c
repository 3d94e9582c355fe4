/* Socket source: a byte source over a connected, non-blocking socket.
 *
 * Owns the budget of a turn and the knowledge that the kernel has no more; the descriptor is
 * its owner's. One thread at a time. The state spares the read that would only say EAGAIN: in
 * a message's path that is one of three entries into the kernel. */
#include <assert.h>
#include <errno.h>
#include <string.h>
#include <sys/socket.h>

#include "net/byte_source.h"

/* The base is the first member, so its address is the source's. */
static struct socket_source *source_of(struct byte_source *base)
{
    return (struct socket_source *)base;
}

static enum byte_result read_socket(struct byte_source *base, void *buf, size_t cap, size_t *got)
{
    struct socket_source *s = source_of(base);
    ssize_t n;

    *got = 0;
    if (base->dry || s->budget_bytes == 0 || cap == 0) {
        return BYTE_AGAIN;
    }
    if (cap > s->budget_bytes) {
        cap = s->budget_bytes;
    }
    do {
        n = recv(s->fd, buf, cap, 0);
    } while (n < 0 && errno == EINTR);
    if (n == 0) {
        return BYTE_EOF;
    }
    if (n < 0) {
        if (errno == EAGAIN) {
            base->dry = true;
            return BYTE_AGAIN;
        }
        base->sys_errno = errno;
        return BYTE_ERROR;
    }
    *got = (size_t)n;
    s->budget_bytes -= *got;
    base->dry = *got < cap;
    return BYTE_OK;
}

static enum byte_result write_socket(struct byte_source *base, const void *buf, size_t len,
                                     bool more, size_t *put)
{
    struct socket_source *s = source_of(base);
    ssize_t n;

    assert(len > 0);
    *put = 0;
    do {
        n = send(s->fd, buf, len, MSG_NOSIGNAL | (more ? MSG_MORE : 0));
    } while (n < 0 && errno == EINTR);
    if (n >= 0) {
        *put = (size_t)n;
        return BYTE_OK;
    }
    if (errno == EAGAIN) {
        return BYTE_AGAIN;
    }
    base->sys_errno = errno;
    return BYTE_ERROR;
}

static void shut_socket(struct byte_source *base)
{
    struct socket_source *s = source_of(base);

    if (!s->write_is_shut) {
        s->write_is_shut = true;
        /* Fails only where the connection is gone, and then the peer needs no end of file. */
        (void)shutdown(s->fd, SHUT_WR);
    }
}

void socket_source_init(struct socket_source *s, int fd)
{
    memset(s, 0, sizeof(*s));
    s->base.read = read_socket;
    s->base.write = write_socket;
    s->base.shut_write = shut_socket;
    s->fd = fd;
    socket_source_turn(s);
}

void socket_source_turn(struct socket_source *s)
{
    s->base.dry = false;
    s->budget_bytes = SOCKET_SOURCE_TURN_BYTES;
}
