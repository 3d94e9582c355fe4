/* The part of a raw peer that no transport changes: the socket and the buffers. */
#include "support/raw_peer.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

void raw_peer_init(struct raw_peer *p, int fd, bool old)
{
    memset(p, 0, offsetof(struct raw_peer, wire));
    p->fd = fd;
    p->most = (size_t)-1;
    (void)fcntl(fd, F_SETFL, fcntl(fd, F_GETFL) | O_NONBLOCK);
    p->session = raw_session_new(old);
    raw_session_start(p);
}

void raw_peer_fini(struct raw_peer *p)
{
    raw_peer_drop(p, false);
    raw_session_free(p->session);
    p->session = NULL;
}

void raw_peer_drop(struct raw_peer *p, bool by_reset)
{
    const struct linger at_once = {.l_onoff = 1, .l_linger = 0};

    if (p->fd < 0) {
        return;
    }
    if (by_reset) {
        (void)setsockopt(p->fd, SOL_SOCKET, SO_LINGER, &at_once, sizeof(at_once));
    }
    (void)close(p->fd);
    p->fd = -1;
    p->lost = true;
    p->open = false;
}

bool raw_peer_to_wire(struct raw_peer *p, const void *data, size_t len)
{
    if (len > sizeof(p->wire) - p->queued) {
        return false;
    }
    memcpy(p->wire + p->queued, data, len);
    p->queued += len;
    return true;
}

bool raw_peer_hear(struct raw_peer *p, const void *data, size_t len)
{
    if (len > sizeof(p->in) - p->heard) {
        return false;
    }
    memcpy(p->in + p->heard, data, len);
    p->heard += len;
    return true;
}

/* Sends from the wire as far as it may and can. */
static bool push(struct raw_peer *p)
{
    size_t len = p->queued < p->most - p->left ? p->queued : p->most - p->left;
    ssize_t n = 0;

    if (len > 0) {
        n = send(p->fd, p->wire, len, MSG_NOSIGNAL);
        if (n < 0 && errno != EAGAIN) {
            p->lost = true; /* what the server said before can still be read */
            p->queued = 0;
            return true;
        }
    }
    if (n > 0) {
        p->left += (size_t)n;
        p->queued -= (size_t)n;
        memmove(p->wire, p->wire + n, p->queued);
        return true;
    }
    if (p->queued == 0 && p->shuts && !p->is_shut) {
        p->is_shut = true;
        (void)shutdown(p->fd, SHUT_WR);
        return true;
    }
    return false;
}

static bool pull(struct raw_peer *p)
{
    char bytes[16 * 1024];
    ssize_t n;

    if (p->deaf || p->eof) {
        return false;
    }
    n = recv(p->fd, bytes, sizeof(bytes), 0);
    if (n > 0) {
        raw_session_feed(p, bytes, (size_t)n);
        return true;
    }
    if (n < 0 && errno == EAGAIN) {
        return false;
    }
    p->eof = true;
    if (n < 0) {
        p->lost = true;
    } else {
        raw_session_eof(p);
    }
    return true;
}

bool raw_peer_step(struct raw_peer *p)
{
    bool moved = false;

    while (p->fd >= 0 && (push(p) || pull(p))) {
        moved = true;
    }
    return moved;
}

bool raw_peer_say(struct raw_peer *p, const void *data, size_t len)
{
    /* Room for the record's frame and for what else the session may have to say. */
    if (!p->open || p->shuts || p->lost || len > sizeof(p->wire) / 2 - p->queued / 2) {
        return false;
    }
    return raw_session_say(p, data, len);
}

bool raw_peer_rekey(struct raw_peer *p)
{
    return p->open && !p->shuts && !p->lost && raw_session_rekey(p);
}

void raw_peer_goodbye(struct raw_peer *p)
{
    if (p->open && !p->shuts && !p->lost) {
        raw_session_goodbye(p);
    }
    p->shuts = true;
}

void raw_peer_half_close(struct raw_peer *p)
{
    p->shuts = true;
}
