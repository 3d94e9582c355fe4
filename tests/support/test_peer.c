/* See test_peer.h. Waits with poll(2) alone, so that each step keeps its deadline. */
#include "support/test_peer.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include <setjmp.h>

#include <cmocka.h>

#include "base/clock.h"
#include "net/socket.h"

void peer_fail(struct peer *peer, const char *step, const char *why)
{
    if (peer->failure[0] == '\0') {
        snprintf(peer->failure, sizeof(peer->failure), "%s: %s", step, why);
    }
}

static bool failed(const struct peer *peer)
{
    return peer->failure[0] != '\0';
}

/* Waits for events on fd until the step's deadline. */
static bool wait_for(struct peer *peer, int fd, short events, int64_t deadline_ns, const char *step)
{
    struct pollfd entry = {.fd = fd, .events = events};
    for (;;) {
        int ready = poll(&entry, 1, clock_poll_ms(clock_now_ns(), deadline_ns));
        if (ready > 0) {
            return true;
        }
        if (ready == 0 || errno != EINTR) {
            peer_fail(peer, step, "nothing happened in time");
            return false;
        }
    }
}

static int64_t step_deadline_ns(void)
{
    return clock_now_ns() + (int64_t)PEER_LIMIT_MS * CLOCK_NS_PER_MS;
}

struct peer *peer_new(struct transport_config *config)
{
    struct peer *peer = calloc(1, sizeof(*peer));
    assert_non_null(peer);
    peer->fd = -1;
    peer->listener = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    assert_true(peer->listener >= 0);
    struct sockaddr_in at = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t len = sizeof(at);
    /* Loopback's segments of 64 KiB are larger than small buffers: the kernel would then wait for
     * timers of 40 and 200 ms. */
    int segment = 1400;
    assert_int_equal(setsockopt(peer->listener, IPPROTO_TCP, TCP_MAXSEG, &segment, sizeof(segment)),
                     0);
    assert_int_equal(bind(peer->listener, (struct sockaddr *)&at, len), 0);
    assert_int_equal(listen(peer->listener, 8), 0);
    assert_int_equal(getsockname(peer->listener, (struct sockaddr *)&at, &len), 0);
    peer->port = ntohs(at.sin_port);
    snprintf(peer->address, sizeof(peer->address), "127.0.0.1:%u", (unsigned)peer->port);
    assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, peer->cues), 0);
    peer->config = config;
    return peer;
}

static void *run(void *argument)
{
    struct peer *peer = argument;
    peer->play(peer);
    /* A client that reads to the end must not wait for what doesn't come. */
    if (peer->fd >= 0) {
        (void)shutdown(peer->fd, SHUT_WR);
    }
    return NULL;
}

void peer_start(struct peer *peer, void (*play)(struct peer *peer))
{
    peer->play = play;
    assert_int_equal(pthread_create(&peer->thread, NULL, run, peer), 0);
    peer->playing = true;
}

void peer_finish(struct peer *peer)
{
    if (peer->playing) {
        pthread_join(peer->thread, NULL);
        peer->playing = false;
    }
    if (failed(peer)) {
        fail_msg("the peer's step %s", peer->failure);
    }
}

void peer_free(struct peer *peer)
{
    if (peer == NULL) {
        return;
    }
    if (peer->playing) {
        pthread_join(peer->thread, NULL);
    }
    transport_free(peer->transport);
    peer_close(peer);
    transport_config_unref(peer->config);
    close(peer->listener);
    close(peer->cues[0]);
    close(peer->cues[1]);
    free(peer);
}

static void give(struct peer *peer, int fd)
{
    if (write(fd, ".", 1) != 1) {
        peer_fail(peer, "cue", "the other side is gone");
    }
}

static void await(struct peer *peer, int fd)
{
    char byte;
    if (!failed(peer) && wait_for(peer, fd, POLLIN, step_deadline_ns(), "cue") &&
        read(fd, &byte, 1) != 1) {
        peer_fail(peer, "cue", "the other side is gone");
    }
}

void peer_cue(struct peer *peer)
{
    give(peer, peer->cues[0]);
}

void peer_await_cue(struct peer *peer)
{
    await(peer, peer->cues[1]);
}

void peer_tell(struct peer *peer)
{
    give(peer, peer->cues[1]);
}

void peer_hear(struct peer *peer)
{
    struct pollfd entry = {.fd = peer->cues[0], .events = POLLIN};
    char byte;
    assert_int_equal(poll(&entry, 1, PEER_LIMIT_MS), 1);
    assert_int_equal(read(peer->cues[0], &byte, 1), 1);
}

void peer_accept(struct peer *peer)
{
    struct address from;
    if (failed(peer) || !wait_for(peer, peer->listener, POLLIN, step_deadline_ns(), "accept")) {
        return;
    }
    peer->fd = socket_accept(peer->listener, &from);
    if (peer->fd < 0) {
        peer_fail(peer, "accept", strerror(errno));
        return;
    }
    socket_source_init(&peer->source, peer->fd);
}

void peer_await_bytes(struct peer *peer)
{
    if (!failed(peer)) {
        (void)wait_for(peer, peer->fd, POLLIN, step_deadline_ns(), "bytes");
    }
}

/* Waits as a transport's result says. False when it is final, or the deadline has passed. */
static bool again(struct peer *peer, enum transport_result result, int64_t deadline_ns,
                  const char *step)
{
    bool reads = result == TRANSPORT_WANT_READ;
    if (!reads && result != TRANSPORT_WANT_WRITE) {
        return false;
    }
    if (!wait_for(peer, peer->fd, reads ? POLLIN : POLLOUT, deadline_ns, step)) {
        return false;
    }
    socket_source_ready(&peer->source);
    return true;
}

void peer_handshake(struct peer *peer)
{
    struct tlsmsg_error err = {.code = TLSMSG_OK};
    int64_t deadline_ns = step_deadline_ns();
    enum transport_result result;
    if (peer->fd < 0) {
        peer_accept(peer);
    }
    if (failed(peer)) {
        return;
    }
    if (transport_new(peer->config, &peer->source.base, NULL, &peer->transport, &err) !=
        TLSMSG_OK) {
        peer_fail(peer, "handshake", err.text);
        return;
    }
    do {
        result = transport_handshake(peer->transport, &err);
    } while (again(peer, result, deadline_ns, "handshake"));
    if (result != TRANSPORT_OK) {
        peer_fail(peer, "handshake", err.text);
    }
}

long peer_recv(struct peer *peer, char *buf, size_t cap)
{
    struct tlsmsg_error err = {.code = TLSMSG_OK};
    int64_t deadline_ns = step_deadline_ns();
    enum transport_result result;
    size_t got = 0;
    if (failed(peer)) {
        return -1;
    }
    socket_source_ready(&peer->source);
    do {
        result = transport_recv(peer->transport, buf, cap, &got, &err);
    } while (again(peer, result, deadline_ns, "recv"));
    if (result == TRANSPORT_OK) {
        return (long)got;
    }
    return result == TRANSPORT_CLOSED ? 0 : -1;
}

void peer_expect(struct peer *peer, const char *text)
{
    char buf[16384];
    size_t len = strlen(text);
    size_t at = 0;
    while (at < len) {
        long got = peer_recv(peer, buf, sizeof(buf));
        if (got <= 0) {
            peer_fail(peer, "expect", "the client ended early");
            return;
        }
        if ((size_t)got > len - at || memcmp(buf, text + at, (size_t)got) != 0) {
            peer_fail(peer, "expect", "other bytes came");
            return;
        }
        at += (size_t)got;
    }
}

void peer_expect_end(struct peer *peer)
{
    char buf[64];
    long got = peer_recv(peer, buf, sizeof(buf));
    if (got != 0) {
        peer_fail(peer, "end", got > 0 ? "bytes came" : "it was not in order");
    }
}

void peer_send(struct peer *peer, const char *data, size_t len)
{
    struct tlsmsg_error err = {.code = TLSMSG_OK};
    int64_t deadline_ns = step_deadline_ns();
    size_t at = 0;
    while (!failed(peer) && at < len) {
        size_t put = 0;
        enum transport_result result =
            transport_send(peer->transport, data + at, len - at, &put, &err);
        if (result == TRANSPORT_OK) {
            at += put;
        } else if (!again(peer, result, deadline_ns, "send")) {
            peer_fail(peer, "send", err.text);
        }
    }
}

void peer_say(struct peer *peer, const char *text)
{
    peer_send(peer, text, strlen(text));
}

void peer_end(struct peer *peer)
{
    struct tlsmsg_error err = {.code = TLSMSG_OK};
    int64_t deadline_ns = step_deadline_ns();
    enum transport_result result;
    if (failed(peer)) {
        return;
    }
    do {
        result = transport_shutdown(peer->transport, &err);
    } while (again(peer, result, deadline_ns, "shutdown"));
    if (result != TRANSPORT_OK) {
        peer_fail(peer, "shutdown", err.text);
    }
}

void peer_send_raw(struct peer *peer, const char *data, size_t len)
{
    if (!failed(peer) && send(peer->fd, data, len, MSG_NOSIGNAL) != (ssize_t)len) {
        peer_fail(peer, "send", strerror(errno));
    }
}

void peer_truncate(struct peer *peer)
{
    if (!failed(peer) && shutdown(peer->fd, SHUT_WR) != 0) {
        peer_fail(peer, "truncate", strerror(errno));
    }
}

void peer_close(struct peer *peer)
{
    if (peer->fd >= 0) {
        close(peer->fd);
        peer->fd = -1;
    }
}

void peer_reset(struct peer *peer)
{
    struct linger at_once = {.l_onoff = 1, .l_linger = 0};
    if (!failed(peer)) {
        setsockopt(peer->fd, SOL_SOCKET, SO_LINGER, &at_once, sizeof(at_once));
        peer_close(peer);
    }
}

void peer_shrink_buffer(int fd)
{
    int size = 16384;
    setsockopt(fd, SOL_SOCKET, SO_SNDBUF, &size, sizeof(size));
}
