/* What bench-floor and bench-reference differ in: how one connection is served. Their loop is the
 * same (floor_main.c). The floor is what the kernel alone costs: one recv() and one send() a wake-up,
 * shared buffers, nothing allocated while the peer keeps up. The reference adds OpenSSL, used with
 * care, and nothing else: no limits, no deadlines. With a log it is what a store costs at the least: all
 * that a wait brought is written, synced once, and then answered. */
#ifndef BENCH_FLOOR_H
#define BENCH_FLOOR_H

#include <stdbool.h>

struct floor_connection;

extern const char floor_name[];
extern const char floor_usage[];

/* Takes the arguments behind `--listen IPV4:PORT`; false: wrong ones. */
bool floor_configure(int argc, char **argv);

/* One step after epoll reported the socket: send what waits, else receive and reply. False = close
 * it. */
bool floor_step(struct floor_connection *c);

/* After each wait's events. The reference with a log makes durable what came and sends the replies to
 * it; changed is told of each connection that wants to write then. False = the log failed. */
bool floor_end_turn(void (*changed)(struct floor_connection *c));

bool floor_wants_write(const struct floor_connection *c);
int floor_fd(const struct floor_connection *c);

struct floor_connection *floor_connection_new(int fd);
void floor_connection_free(struct floor_connection *c);

#endif
