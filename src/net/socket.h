/* Sockets: listening, accepting, connecting. All non-blocking and close-on-exec. */
#ifndef NET_SOCKET_H
#define NET_SOCKET_H

#include "net/address.h"

/* Opens listening sockets for all addresses of a name (a literal has one), with SO_REUSEADDR,
 * v6 sockets v6-only. fds and bound receive up to cap entries, *count how many; the caller closes
 * them. Blocks for the lookup of a name that is no literal. On failure nothing stays open;
 * TLSMSG_ERR_SYSTEM (in use, no permission), TLSMSG_ERR_CONFIG (name unknown, or more addresses
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

/* The local address a socket is bound to. */
enum tlsmsg_code socket_local(int fd, struct address *out, struct tlsmsg_error *err);

#endif
