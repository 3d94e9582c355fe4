/* The event loop's poll: which descriptors are ready, level-triggered (epoll(7)).
 *
 * It calls nobody: loop_wait fills an array and the owner dispatches. A watch
 * is embedded in whatever owns the descriptor and remembers what is armed, so
 * that the kernel is asked only when the interest has really changed. One
 * thread uses a loop; only loop_wake may come from others. */
#ifndef NET_LOOP_H
#define NET_LOOP_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <tlsmsg/error.h>

#define LOOP_READ 1u
#define LOOP_WRITE 2u
/* With loop_add only: of all loops that watch this descriptor, wake one (EPOLLEXCLUSIVE). */
#define LOOP_EXCLUSIVE 4u
/* Reported, never asked for: error or both directions closed. */
#define LOOP_HANGUP 8u

struct loop_watch {
    int fd;
    uint8_t armed;   /* interest the kernel knows */
    bool registered; /* between loop_add and loop_remove */
    uint8_t kind;    /* the owner's: what the watch is embedded in */
};

struct loop_event {
    struct loop_watch *watch;
    uint32_t ready;
};

struct loop {
    int epoll_fd;
    int wake_fd; /* base/wake.h */
    struct loop_watch wake;
};

enum tlsmsg_code loop_init(struct loop *loop, struct tlsmsg_error *err);
void loop_fini(struct loop *loop);

/* Starts to watch watch->fd. Returns false with errno set when the kernel refuses. */
bool loop_add(struct loop *loop, struct loop_watch *watch, uint32_t interest);

/* Changes the interest; no system call when it is the same. Hangups are reported even with none. */
void loop_set(struct loop *loop, struct loop_watch *watch, uint32_t interest);

/* Stops watching; call it before the descriptor is closed. Idempotent. */
void loop_remove(struct loop *loop, struct loop_watch *watch);

/* Waits up to timeout_ms (-1: for ever) and fills up to cap events; returns how many. A wake-up
 * ends the wait and sets *woken; an interrupted wait returns 0. */
size_t loop_wait(struct loop *loop, struct loop_event *events, size_t cap, int timeout_ms,
                 bool *woken);

/* Ends the current or next loop_wait. Any thread, and signal handlers (async-signal-safe). */
void loop_wake(struct loop *loop);

#endif
