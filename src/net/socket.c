/* Stream sockets over IPv4 and IPv6.
 *
 * Owns the socket options that the project relies on, and descriptors only until they are
 * returned. Waits for nothing but the lookup of a name. Any thread; a source belongs to one at a
 * time. A source knows when the kernel has no more, which spares the read that would only say
 * EAGAIN: in a message's path that is one of three entries into the kernel. */
#include "net/socket.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <ifaddrs.h>
#include <limits.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/error.h"
#include "base/escape.h"
#include "net/resolve.h"

#define LISTEN_BACKLOG 4096 /* the kernel cuts it to net.core.somaxconn */
#define LOOKUP_MS 30000     /* getaddrinfo(3) gives up earlier with common settings */
#define ACCEPT_TRIES 16
#define PORT_TRIES 16
#define KEEPALIVE_PROBES 4

static const int on = 1;

static in_port_t *port_of(struct address *a)
{
    return a->socket.any.sa_family == AF_INET6 ? &a->socket.v6.sin6_port : &a->socket.v4.sin_port;
}

static int new_socket(sa_family_t family)
{
    return socket(family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
}

/* Opens one listening socket. Returns the descriptor, or -1 with errno. */
static int listen_on(const struct address *a)
{
    int fd = new_socket(a->socket.any.sa_family);
    int saved_errno;

    if (fd < 0) {
        return -1;
    }
    /* SO_REUSEADDR: a restart must not wait a minute for old connections. */
    if (setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on)) == 0 &&
        (a->socket.any.sa_family != AF_INET6 ||
         setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &on, sizeof(on)) == 0) &&
        bind(fd, &a->socket.any, a->len) == 0 && listen(fd, LISTEN_BACKLOG) == 0) {
        return fd;
    }
    saved_errno = errno;
    (void)close(fd);
    errno = saved_errno;
    return -1;
}

/* As listen_on, but where the port is free to choose and `preferred` (network order) is not 0,
 * tries that one first. */
static int listen_prefer(struct address *a, in_port_t preferred)
{
    int fd;

    if (*port_of(a) != 0 || preferred == 0) {
        return listen_on(a);
    }
    *port_of(a) = preferred;
    fd = listen_on(a);
    if (fd < 0 && errno == EADDRINUSE) {
        *port_of(a) = 0;
        fd = listen_on(a);
    }
    return fd;
}

static enum tlsmsg_code cannot_listen(const struct address *a, int sys_errno,
                                      struct tlsmsg_error *err)
{
    char text[ADDRESS_TEXT_MAX];

    address_print(a, text, sizeof(text));
    (void)error_set(err, TLSMSG_ERR_SYSTEM, sys_errno, "cannot listen on %s", text);
    if (sys_errno == EADDRINUSE) {
        error_append(err,
                     " (another program holds that port; try: another one, or 0 for any that is "
                     "free)");
    } else if (sys_errno == EACCES) {
        error_append(err, " (ports below 1024 need a privilege)");
    } else if (sys_errno == EADDRNOTAVAIL) {
        error_append(err, " (it is not an address of this machine)");
    }
    return TLSMSG_ERR_SYSTEM;
}

/* A name such as localhost often stands for an address of a family that is switched off here;
 * that isn't a failure while another of its addresses works. */
static bool is_absent_here(int sys_errno)
{
    return sys_errno == EAFNOSUPPORT || sys_errno == EADDRNOTAVAIL;
}

/* Whether any interface has an IPv6 address, lo's own included. Where IPv6 is switched off sockets
 * of its kind can still be made, and nobody can reach them. */
static bool has_ipv6(void)
{
    struct ifaddrs *all = NULL;
    bool has = false;

    if (getifaddrs(&all) != 0) {
        return true; /* the socket itself will tell */
    }
    for (const struct ifaddrs *at = all; at != NULL && !has; at = at->ifa_next) {
        has = at->ifa_addr != NULL && at->ifa_addr->sa_family == AF_INET6;
    }
    freeifaddrs(all);
    return has;
}

/* IPv6 first: where the machine has none, IPv4 is left. */
static void all_addresses(uint16_t port, struct address *out, size_t *count)
{
    const struct sockaddr_in6 v6 = {
        .sin6_family = AF_INET6, .sin6_port = htons(port), .sin6_addr = IN6ADDR_ANY_INIT};
    const struct sockaddr_in v4 = {
        .sin_family = AF_INET, .sin_port = htons(port), .sin_addr.s_addr = htonl(INADDR_ANY)};

    memset(out, 0, 2 * sizeof(*out));
    *count = 0;
    if (has_ipv6()) {
        memcpy(&out[*count].socket, &v6, sizeof(v6));
        out[(*count)++].len = sizeof(v6);
    }
    memcpy(&out[*count].socket, &v4, sizeof(v4));
    out[(*count)++].len = sizeof(v4);
}

static enum tlsmsg_code lookup(const struct address_name *name, struct address *out, size_t *count,
                               struct tlsmsg_error *err)
{
    struct tlsmsg_error cause = {0};
    enum tlsmsg_code code;

    if (strcmp(name->host, ADDRESS_ANY) == 0) {
        all_addresses(name->port, out, count);
        return TLSMSG_OK;
    }
    code = resolve_name(name, clock_deadline_ns(clock_now_ns(), LOOKUP_MS), out, RESOLVE_MAX, count,
                        &cause);
    if (code == TLSMSG_ERR_CONNECT || code == TLSMSG_ERR_TIMEOUT) {
        code = TLSMSG_ERR_CONFIG;
    }
    return code == TLSMSG_OK ? code : error_set(err, code, 0, "cannot listen: %s", cause.text);
}

/* Half of a name's addresses would be a server that some of its clients can't reach. */
static enum tlsmsg_code too_many(const struct address_name *name, size_t cap,
                                 struct tlsmsg_error *err)
{
    char shown[ADDRESS_HOST_MAX];

    return error_set(err, TLSMSG_ERR_CONFIG, 0,
                     "cannot listen on '%s': it has more addresses than the %zu listening sockets "
                     "that are left (name the addresses to listen on instead)",
                     escape_name(shown, sizeof(shown), name->host), cap);
}

static void close_all(const int *fds, size_t *count)
{
    while (*count > 0) {
        (void)close(fds[--*count]);
    }
}

/* Opens a socket for each address; what is absent here is skipped. */
static enum tlsmsg_code listen_on_each(struct address *found, size_t total, int *fds,
                                       struct address *bound, size_t *count,
                                       struct tlsmsg_error *err)
{
    struct tlsmsg_error skipped = {0};
    enum tlsmsg_code code = TLSMSG_OK;
    in_port_t port = 0;

    for (size_t i = 0; code == TLSMSG_OK && i < total; i++) {
        int fd = listen_prefer(&found[i], port);

        if (fd < 0 && is_absent_here(errno)) {
            (void)cannot_listen(&found[i], errno, &skipped);
            continue;
        }
        if (fd < 0) {
            code = cannot_listen(&found[i], errno, err);
            bound[0] = found[i]; /* nothing stays open, so it is free */
            break;
        }
        fds[*count] = fd;
        code = socket_local(fd, &bound[*count], err);
        port = code == TLSMSG_OK ? *port_of(&bound[*count]) : port;
        (*count)++;
    }
    if (code == TLSMSG_OK && *count == 0) {
        code = skipped.code;
        if (err != NULL && err->code == TLSMSG_OK) {
            *err = skipped;
        }
    }
    return code;
}

/* Both families on one port, also where that is free to choose. */
static bool is_on_one_port(struct address *bound, size_t count)
{
    return count < 2 || *port_of(&bound[0]) == *port_of(&bound[1]);
}

enum tlsmsg_code socket_listen(const struct address_name *name, int *fds, struct address *bound,
                               size_t cap, size_t *count, struct tlsmsg_error *err)
{
    struct address found[RESOLVE_MAX];
    bool is_any = strcmp(name->host, ADDRESS_ANY) == 0;
    enum tlsmsg_code code;
    size_t total;

    *count = 0;
    for (int tries = 0;; tries++) {
        code = lookup(name, found, &total, err);
        /* A list that is full may have been cut. */
        if (code == TLSMSG_OK && (total > cap || total == RESOLVE_MAX)) {
            code = too_many(name, cap, err);
        }
        if (code == TLSMSG_OK) {
            code = listen_on_each(found, total, fds, bound, count, err);
        }
        if (code != TLSMSG_OK || !is_any || tries == PORT_TRIES || is_on_one_port(bound, *count)) {
            break;
        }
        close_all(fds, count);
    }
    if (code != TLSMSG_OK) {
        close_all(fds, count);
    }
    return code;
}

void socket_keepalive(int fd, int64_t timeout_ms)
{
    int idle_s = 0;
    int interval_s = 0;
    int probes = 0;
    socklen_t len = sizeof(int);
    int64_t total_ms = timeout_ms;
    int end_ms;

    if (timeout_ms == 0 || getsockopt(fd, IPPROTO_TCP, TCP_KEEPIDLE, &idle_s, &len) != 0 ||
        getsockopt(fd, IPPROTO_TCP, TCP_KEEPINTVL, &interval_s, &len) != 0 ||
        getsockopt(fd, IPPROTO_TCP, TCP_KEEPCNT, &probes, &len) != 0) {
        return; /* off, or not a TCP socket */
    }
    if ((idle_s + (int64_t)interval_s * probes) * 1000 < total_ms) {
        total_ms = (idle_s + (int64_t)interval_s * probes) * 1000;
    }
    /* The first probe after half the time, the end with the last of four: seven eighths, since
     * timers come late rather than early. TCP_USER_TIMEOUT is the end of both: of an idle
     * connection whose probes have no answer, and of data without an acknowledgement (tcp(7)). */
    idle_s = (int)(total_ms / 2000 > 1 ? total_ms / 2000 : 1);
    interval_s = (int)(total_ms / 8000 > 1 ? total_ms / 8000 : 1);
    probes = KEEPALIVE_PROBES;
    end_ms = (int)(total_ms / 8 * 7 < INT_MAX ? total_ms / 8 * 7 : INT_MAX);
    (void)setsockopt(fd, IPPROTO_TCP, TCP_KEEPIDLE, &idle_s, sizeof(idle_s));
    (void)setsockopt(fd, IPPROTO_TCP, TCP_KEEPINTVL, &interval_s, sizeof(interval_s));
    (void)setsockopt(fd, IPPROTO_TCP, TCP_KEEPCNT, &probes, sizeof(probes));
    (void)setsockopt(fd, IPPROTO_TCP, TCP_USER_TIMEOUT, &end_ms, sizeof(end_ms));
    (void)setsockopt(fd, SOL_SOCKET, SO_KEEPALIVE, &on, sizeof(on));
}

/* True where accept4(2) tells of a connection that was gone before it was taken. Linux passes
 * on pending network errors of that connection as well (accept(2), "Error handling"). */
static bool is_gone(int sys_errno)
{
    switch (sys_errno) {
    case EINTR:
    case ECONNABORTED:
    case EPROTO:
    case EPERM: /* forbidden by a firewall rule */
    case ENETDOWN:
    case ENETUNREACH:
    case ENOPROTOOPT:
    case EHOSTDOWN:
    case EHOSTUNREACH:
    case ENONET:
        return true;
    default:
        return false;
    }
}

int socket_adopt(int listener, struct address *bound, struct tlsmsg_error *err)
{
    int fd = fcntl(listener, F_DUPFD_CLOEXEC, 0);

    if (fd < 0) {
        (void)error_set(err, TLSMSG_ERR_SYSTEM, errno, "cannot take over descriptor %d", listener);
        return -1;
    }
    /* The flag belongs to the socket, so whoever passed it sees it too; all workers wait for one
     * connection, and those who come late must not block. */
    if (fcntl(fd, F_SETFL, fcntl(fd, F_GETFL) | O_NONBLOCK) != 0 ||
        socket_local(fd, bound, err) != TLSMSG_OK) {
        (void)error_set(err, TLSMSG_ERR_SYSTEM, errno, "cannot take over descriptor %d", listener);
        (void)close(fd);
        return -1;
    }
    return fd;
}

int socket_accept(int listener, struct address *peer)
{
    int tries;

    for (tries = 0; tries < ACCEPT_TRIES; tries++) {
        int fd;

        memset(peer, 0, sizeof(*peer));
        peer->len = sizeof(peer->socket);
        fd = accept4(listener, &peer->socket.any, &peer->len, SOCK_NONBLOCK | SOCK_CLOEXEC);
        if (fd >= 0) {
            /* Fails on what is not a TCP socket, which is then none the worse for it. */
            (void)setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
            return fd;
        }
        if (!is_gone(errno)) {
            return -1;
        }
    }
    errno = EAGAIN; /* a level-triggered poll comes back to what is still queued */
    return -1;
}

int socket_connect_start(const struct address *a, bool *done, int *sys_errno)
{
    int fd = new_socket(a->socket.any.sa_family);

    *done = false;
    if (fd < 0) {
        *sys_errno = errno;
        return -1;
    }
    (void)setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
    if (connect(fd, &a->socket.any, a->len) == 0) {
        *done = true;
        return fd;
    }
    /* After EINTR the connection goes on being made (connect(2)). */
    if (errno == EINPROGRESS || errno == EINTR) {
        return fd;
    }
    *sys_errno = errno;
    (void)close(fd);
    return -1;
}

int socket_connect_result(int fd)
{
    int result = 0;
    socklen_t len = sizeof(result);

    if (getsockopt(fd, SOL_SOCKET, SO_ERROR, &result, &len) != 0) {
        return errno;
    }
    return result;
}

enum tlsmsg_code socket_local(int fd, struct address *out, struct tlsmsg_error *err)
{
    memset(out, 0, sizeof(*out));
    out->len = sizeof(out->socket);
    if (getsockname(fd, &out->socket.any, &out->len) != 0) {
        return error_set(err, TLSMSG_ERR_SYSTEM, errno, "cannot read a socket's own address");
    }
    return TLSMSG_OK;
}

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
    base->dry = base->dry || s->limit_bytes == 0;
    if (base->dry || s->budget_bytes == 0 || cap == 0) {
        return BYTE_AGAIN;
    }
    if (cap > s->limit_bytes) {
        cap = s->limit_bytes;
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
    s->limit_bytes -= s->limit_bytes != SIZE_MAX ? *got : 0;
    base->dry = *got < cap || s->limit_bytes == 0;
    return BYTE_OK;
}

/* A write that failed: told, or kept for later. */
static enum byte_result write_failed(struct socket_source *s, int sys_errno, size_t len,
                                     size_t *put)
{
    if (!s->sticky) {
        s->base.sys_errno = sys_errno;
        return BYTE_ERROR;
    }
    if (s->write_errno == 0) {
        s->write_errno = sys_errno;
    }
    *put = len;
    return BYTE_OK;
}

static enum byte_result write_socket(struct byte_source *base, const void *buf, size_t len,
                                     bool more, size_t *put)
{
    struct socket_source *s = source_of(base);
    ssize_t n;

    assert(len > 0);
    *put = 0;
    if (s->write_errno != 0) {
        return write_failed(s, s->write_errno, len, put);
    }
    do {
        n = send(s->fd, buf, len, MSG_NOSIGNAL | (more ? MSG_MORE : 0));
    } while (n < 0 && errno == EINTR);
    if (n >= 0) {
        *put = (size_t)n;
        return BYTE_OK;
    }
    return errno == EAGAIN ? BYTE_AGAIN : write_failed(s, errno, len, put);
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
    s->limit_bytes = SIZE_MAX;
    socket_source_ready(s);
}

void socket_source_keep_write_error(struct socket_source *s)
{
    s->sticky = true;
}

void socket_source_ready(struct socket_source *s)
{
    s->base.dry = false;
    s->budget_bytes = SOCKET_SOURCE_BUDGET_BYTES;
}

void socket_source_limit(struct socket_source *s)
{
    int received = 0;

    /* It fails on no socket that can be read. */
    s->limit_bytes = ioctl(s->fd, FIONREAD, &received) == 0 && received > 0 ? (size_t)received : 0;
}

void socket_source_unlimit(struct socket_source *s)
{
    s->limit_bytes = SIZE_MAX;
    s->base.dry = false;
}
