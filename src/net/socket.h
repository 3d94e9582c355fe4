/* Sockets: listening, accepting, connecting, and moving a connection's bytes. All non-blocking and
 * close-on-exec. */
#ifndef NET_SOCKET_H
#define NET_SOCKET_H

#include <stdbool.h>
#include <stddef.h>

#include "net/address.h"

/* Opens listening sockets for all addresses of a name (a literal has one; ADDRESS_ANY both families
 * on one port, or IPv4 alone where there is no IPv6), with SO_REUSEADDR, v6 sockets v6-only. fds and bound receive up to cap entries, *count how many; the caller closes
 * them. Blocks for the lookup of a name that is not a literal. On failure nothing stays open;
 * TLSMSG_ERR_SYSTEM (in use, no permission; bound[0] is the address then), TLSMSG_ERR_CONFIG (name unknown, or more addresses
 * than cap). */
enum tlsmsg_code socket_listen(const struct address_name *name, int *fds, struct address *bound,
                               size_t cap, size_t *count, struct tlsmsg_error *err);

/* Takes over a socket that listens already: a non-blocking duplicate, owned by the caller, and the
 * address it is bound to. -1 on failure. */
int socket_adopt(int listener, struct address *bound, struct tlsmsg_error *err);

/* Accepts one connection with TCP_NODELAY set: the descriptor (owned by the caller), or -1 with
 * errno as accept4(2) left it; errors of a single connection that was gone are retried inside. */
int socket_accept(int listener, struct address *peer);

/* Starts to connect to one address. Returns the descriptor, owned by the caller; *done tells
 * whether it is connected already. -1 with *sys_errno on failure. */
int socket_connect_start(const struct address *a, bool *done, int *sys_errno);

/* After the descriptor polled writable: 0 when connected, else the errno of the failure. */
int socket_connect_result(int fd);

/* Gives up a connection whose peer has vanished within timeout_ms, idle or with bytes under way; 0:
 * as the system has it. Shorter times of the system's stay in force. Accepted sockets inherit it. */
void socket_keepalive(int fd, int64_t timeout_ms);

/* The local address a socket is bound to. */
enum tlsmsg_code socket_local(int fd, struct address *out, struct tlsmsg_error *err);

/* --- a connection's bytes --------------------------------------------------------------------- */

enum byte_result {
    BYTE_OK,    /* at least one byte moved */
    BYTE_AGAIN, /* nothing can move now */
    BYTE_EOF,   /* read: the peer has shut its writing side */
    BYTE_ERROR  /* sys_errno of the source says why */
};

/* Where a transport's bytes come from and go to: a socket today.
 *
 * The three operations are the whole of what a transport needs, so that tests
 * can hand it bytes one at a time and another way to receive (io_uring) can
 * stand here without touching TLS. Non-blocking always; one thread at a time. */
struct byte_source {
    enum byte_result (*read)(struct byte_source *s, void *buf, size_t cap, size_t *got);
    /* more: another write follows at once, a segment may wait for it. */
    enum byte_result (*write)(struct byte_source *s, const void *buf, size_t len, bool more,
                              size_t *put);
    /* Shuts the writing side; the peer reads end of file. Idempotent. */
    void (*shut_write)(struct byte_source *s);
    int sys_errno; /* of the last BYTE_ERROR */
    bool dry; /* a read would find nothing before the next poll; false where that isn't known */
};

/* A connected, non-blocking socket. The descriptor is borrowed: its owner closes it. */
struct socket_source {
    struct byte_source base;
    int fd;
    int write_errno;     /* of the first write that failed, 0 while none has */
    size_t budget_bytes; /* left to read before the next poll; at 0 reads say BYTE_AGAIN */
    size_t limit_bytes;  /* left to read at all; SIZE_MAX: no limit */
    bool write_is_shut;
    bool sticky; /* see socket_source_keep_write_error */
};

/* Most bytes taken from one socket for one poll, so that no peer holds a worker. */
#define SOCKET_SOURCE_BUDGET_BYTES (256 * 1024)

void socket_source_init(struct socket_source *s, int fd);

/* Lets no failed write hide what the peer has said before. A server that refuses a client sends an
 * alert and closes; the client's next write fails, although the reason lies unread in the kernel.
 * From here on such a write counts as done (its bytes are lost, as they would be on the way), its
 * errno is kept in write_errno, and the reading side goes on to the peer's last word. */
void socket_source_keep_write_error(struct socket_source *s);

/* From here on only what the kernel has received by now is read, then the source is dry; and the end
 * of that. */
void socket_source_limit(struct socket_source *s);
void socket_source_unlimit(struct socket_source *s);

/* The poll said readable, or the budget begins anew. A short read makes the source dry until the
 * next call of this, and reads answer BYTE_AGAIN without asking the kernel; with a level-triggered
 * poll nothing is missed by that. */
void socket_source_ready(struct socket_source *s);

#endif
