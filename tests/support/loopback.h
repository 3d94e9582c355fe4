/* Sockets over loopback for tests of the net floor: on free ports, with bounded waits. */
#ifndef SUPPORT_LOOPBACK_H
#define SUPPORT_LOOPBACK_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "net/address.h"

struct address_name loopback_name(const char *host, uint16_t port);
uint16_t loopback_port(const struct address *a);

/* Listens on a free port of 127.0.0.1; the caller closes the descriptor. */
int loopback_listen(struct address *bound);

/* Polls for a time far longer than loopback needs. */
bool loopback_is_readable(int fd);
bool loopback_is_writable(int fd);

int loopback_option(int fd, int level, int option);

/* Closes descriptors; fails the test where one was not open. */
void loopback_close(const int *fds, size_t count);

/* The least descriptor that is free: the same afterwards where none was left open. */
int loopback_next_fd(void);

#endif
