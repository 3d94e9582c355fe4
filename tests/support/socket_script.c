/* Answers of the kernel on request; see socket_script.h. */
#include "support/socket_script.h"

#include <errno.h>
#include <stddef.h>
#include <sys/socket.h>

struct socket_script on_accept;
struct socket_script on_bind;
struct socket_script on_connect;
struct socket_script on_socket;

int __real_accept4(int fd, struct sockaddr *addr, socklen_t *len, int flags);
int __real_bind(int fd, const struct sockaddr *addr, socklen_t len);
int __real_connect(int fd, const struct sockaddr *addr, socklen_t len);
int __real_socket(int family, int type, int protocol);
int __wrap_accept4(int fd, struct sockaddr *addr, socklen_t *len, int flags);
int __wrap_bind(int fd, const struct sockaddr *addr, socklen_t len);
int __wrap_connect(int fd, const struct sockaddr *addr, socklen_t len);
int __wrap_socket(int family, int type, int protocol);

void socket_script_follow(struct socket_script *script, const int *answers)
{
    script->answers = answers;
    script->calls = 0;
}

int socket_script_forget(void **state)
{
    (void)state;
    socket_script_follow(&on_accept, NULL);
    socket_script_follow(&on_bind, NULL);
    socket_script_follow(&on_connect, NULL);
    socket_script_follow(&on_socket, NULL);
    return 0;
}

/* The next answer; errno is set where it is one. */
static int next_answer(struct socket_script *script)
{
    unsigned call = atomic_fetch_add(&script->calls, 1);
    int answer = script->answers == NULL ? 0 : script->answers[call];

    if (answer > 0) {
        errno = answer;
    }
    return answer;
}

int __wrap_accept4(int fd, struct sockaddr *addr, socklen_t *len, int flags)
{
    return next_answer(&on_accept) != 0 ? -1 : __real_accept4(fd, addr, len, flags);
}

int __wrap_bind(int fd, const struct sockaddr *addr, socklen_t len)
{
    return next_answer(&on_bind) != 0 ? -1 : __real_bind(fd, addr, len);
}

int __wrap_connect(int fd, const struct sockaddr *addr, socklen_t len)
{
    int answer = next_answer(&on_connect);

    if (answer == SCRIPT_DONE) {
        return 0;
    }
    return answer != 0 ? -1 : __real_connect(fd, addr, len);
}

int __wrap_socket(int family, int type, int protocol)
{
    return next_answer(&on_socket) != 0 ? -1 : __real_socket(family, type, protocol);
}
