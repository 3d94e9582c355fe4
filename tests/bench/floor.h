/*
 * bench-floor's connections: what the kernel alone costs for this conversation. One recv() and one
 * send() a wake-up, shared buffers, nothing allocated while the peer keeps up.
 */
#ifndef BENCH_FLOOR_H
#define BENCH_FLOOR_H

#include "bytes.h"

struct floor_connection {
    int fd;
    struct bytes tail;   /* the beginning of a line whose end has not come yet */
    struct bytes unsent; /* while there is any, nothing more is read */
};

/* One step after epoll reported the socket: send what waits, else receive and reply. With `lines`
 * each line is a message, else each recv() is one (the document's way). False = close it. */
bool floor_step(struct floor_connection *c, bool lines);

bool floor_wants_write(const struct floor_connection *c);

struct floor_connection *floor_connection_new(int fd);
void floor_connection_free(struct floor_connection *c);

#endif
