/* bench-floor and bench-reference: the document's reply, one thread, epoll, and nothing else. Servers
 * are held against both; TLS proxies stand before the floor. */
#include "floor.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/tcp.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

#define EVENTS_PER_TURN 256

static volatile sig_atomic_t stop_wanted;

static void on_signal(int number)
{
    (void)number;
    stop_wanted = 1;
}

static int fail(const char *what)
{
    fprintf(stderr, "%s: %s: %s\n", floor_name, what, strerror(errno));
    return -1;
}

static bool parse_listen(const char *text, struct sockaddr_in *address)
{
    char host[64];
    const char *colon = strrchr(text, ':');
    char *end;
    unsigned long port;

    if (colon == NULL || (size_t)(colon - text) >= sizeof host) {
        return false;
    }
    memcpy(host, text, (size_t)(colon - text));
    host[colon - text] = '\0';
    port = strtoul(colon + 1, &end, 10);
    if (end == colon + 1 || *end != '\0' || port > 65535) {
        return false;
    }
    *address = (struct sockaddr_in){.sin_family = AF_INET, .sin_port = htons((uint16_t)port)};
    return inet_pton(AF_INET, host, &address->sin_addr) == 1;
}

static int listen_on(struct sockaddr_in *address)
{
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    socklen_t len = sizeof *address;
    int on = 1;

    if (fd < 0) {
        return fail("socket");
    }
    if (setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on) != 0 ||
        bind(fd, (const struct sockaddr *)address, sizeof *address) != 0 ||
        listen(fd, SOMAXCONN) != 0 || getsockname(fd, (struct sockaddr *)address, &len) != 0) {
        close(fd);
        return fail("listen");
    }
    fprintf(stderr, "%s: listening on %s:%u\n", floor_name, inet_ntoa(address->sin_addr),
            (unsigned)ntohs(address->sin_port));
    return fd;
}

static int watch(int epoll, int op, int fd, uint32_t events, void *pointer)
{
    struct epoll_event event = {.events = events, .data.ptr = pointer};

    return epoll_ctl(epoll, op, fd, &event);
}

/* Returns false when no more can be accepted for good. */
static bool accept_all(int epoll, int listener)
{
    struct floor_connection *c;
    int fd;
    int on = 1;

    while ((fd = accept4(listener, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC)) >= 0) {
        (void)setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
        c = floor_connection_new(fd);
        if (c == NULL) {
            close(fd);
            return false;
        }
        if (watch(epoll, EPOLL_CTL_ADD, fd, EPOLLIN, c) != 0) {
            floor_connection_free(c);
            return false;
        }
    }
    return errno == EAGAIN || errno == EINTR || errno == ECONNABORTED;
}

static void step(int epoll, struct floor_connection *c)
{
    bool writing = floor_wants_write(c);

    if (!floor_step(c)) {
        floor_connection_free(c);
        return;
    }
    if (floor_wants_write(c) != writing) {
        (void)watch(epoll, EPOLL_CTL_MOD, floor_fd(c), writing ? EPOLLIN : EPOLLOUT, c);
    }
}

static int loop_epoll;

static void on_changed(struct floor_connection *c)
{
    (void)watch(loop_epoll, EPOLL_CTL_MOD, floor_fd(c), EPOLLOUT, c);
}

static int serve(int epoll, int listener)
{
    struct epoll_event events[EVENTS_PER_TURN];
    sigset_t normal;
    int count, i;

    sigemptyset(&normal);
    loop_epoll = epoll;
    while (!stop_wanted) {
        count = epoll_pwait(epoll, events, EVENTS_PER_TURN, -1, &normal);
        for (i = 0; i < count; i++) {
            if (events[i].data.ptr != NULL) {
                step(epoll, events[i].data.ptr);
            } else if (!accept_all(epoll, listener)) {
                return fail("accept");
            }
        }
        if (!floor_end_turn(on_changed)) {
            return fail("log");
        }
    }
    return 0;
}

/* Signals are let in only while waiting, so that none is missed. */
static void catch_signals(void)
{
    struct sigaction action = {.sa_handler = on_signal};
    sigset_t held;

    sigemptyset(&held);
    sigaddset(&held, SIGTERM);
    sigaddset(&held, SIGINT);
    (void)sigprocmask(SIG_BLOCK, &held, NULL);
    (void)sigaction(SIGTERM, &action, NULL);
    (void)sigaction(SIGINT, &action, NULL);
}

static void raise_file_limit(void)
{
    struct rlimit limit;

    if (getrlimit(RLIMIT_NOFILE, &limit) == 0) {
        limit.rlim_cur = limit.rlim_max;
        (void)setrlimit(RLIMIT_NOFILE, &limit);
    }
}

int main(int argc, char **argv)
{
    struct sockaddr_in address;
    int listener, epoll;

    if (argc < 3 || strcmp(argv[1], "--listen") != 0 || !parse_listen(argv[2], &address) ||
        !floor_configure(argc - 3, argv + 3)) {
        fputs(floor_usage, stderr);
        return 2;
    }
    raise_file_limit();
    catch_signals();
    listener = listen_on(&address);
    epoll = epoll_create1(EPOLL_CLOEXEC);
    if (listener < 0 || epoll < 0 || watch(epoll, EPOLL_CTL_ADD, listener, EPOLLIN, NULL) != 0) {
        return 1;
    }
    return serve(epoll, listener) == 0 ? 0 : 1;
}
