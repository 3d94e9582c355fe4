/* Sockets over loopback for tests; see loopback.h. */
#include "support/loopback.h"

#include <fcntl.h>
#include <netinet/in.h>
#include <poll.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "net/socket.h"
#include "support/cmocka.h"

#define WAIT_MS 10000

struct address_name loopback_name(const char *host, uint16_t port)
{
    struct address_name n = {.port = port};

    memcpy(n.host, host, strlen(host) + 1);
    return n;
}

uint16_t loopback_port(const struct address *a)
{
    return ntohs(a->socket.any.sa_family == AF_INET6 ? a->socket.v6.sin6_port
                                                     : a->socket.v4.sin_port);
}

int loopback_listen(struct address *bound)
{
    const struct address_name n = loopback_name("127.0.0.1", 0);
    size_t count;
    int fd;

    assert_int_equal(socket_listen(&n, &fd, bound, 1, &count, NULL), TLSMSG_OK);
    assert_int_equal(count, 1);
    return fd;
}

bool loopback_is_writable(int fd)
{
    struct pollfd p = {.fd = fd, .events = POLLOUT};

    return poll(&p, 1, WAIT_MS) == 1;
}

bool loopback_is_readable(int fd)
{
    struct pollfd p = {.fd = fd, .events = POLLIN};

    return poll(&p, 1, WAIT_MS) == 1;
}

int loopback_option(int fd, int level, int option)
{
    int value = -1;
    socklen_t len = sizeof(value);

    assert_int_equal(getsockopt(fd, level, option, &value, &len), 0);
    return value;
}

void loopback_close(const int *fds, size_t count)
{
    size_t i;

    for (i = 0; i < count; i++) {
        assert_int_equal(close(fds[i]), 0);
    }
}

int loopback_next_fd(void)
{
    int fd = open("/dev/null", O_RDONLY | O_CLOEXEC);

    assert_int_equal(close(fd), 0);
    return fd;
}
