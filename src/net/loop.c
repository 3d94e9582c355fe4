/* epoll(7) behind loop.h: the one file that knows it. */
#include "net/loop.h"

#include <errno.h>
#include <sys/epoll.h>
#include <unistd.h>

#include "base/error.h"
#include "base/wake.h"

#define EVENTS_MAX 128

static uint32_t to_epoll(uint32_t interest)
{
    uint32_t events = 0;

    if (interest & LOOP_READ) {
        events |= EPOLLIN;
    }
    if (interest & LOOP_WRITE) {
        events |= EPOLLOUT;
    }
    if (interest & LOOP_EXCLUSIVE) {
        events |= EPOLLEXCLUSIVE;
    }
    return events;
}

static uint32_t from_epoll(uint32_t events)
{
    uint32_t ready = 0;

    if (events & EPOLLIN) {
        ready |= LOOP_READ;
    }
    if (events & EPOLLOUT) {
        ready |= LOOP_WRITE;
    }
    if (events & (EPOLLERR | EPOLLHUP)) {
        ready |= LOOP_HANGUP;
    }
    return ready;
}

enum tlsmsg_code loop_init(struct loop *loop, struct tlsmsg_error *err)
{
    *loop = (struct loop){.epoll_fd = -1, .wake_fd = -1};
    loop->epoll_fd = epoll_create1(EPOLL_CLOEXEC);
    if (loop->epoll_fd < 0) {
        return error_set(err, TLSMSG_ERR_SYSTEM, errno, "cannot create an event loop");
    }
    loop->wake_fd = wake_open();
    loop->wake.fd = loop->wake_fd;
    if (loop->wake_fd < 0 || !loop_add(loop, &loop->wake, LOOP_READ)) {
        int saved = errno;

        loop_fini(loop);
        return error_set(err, TLSMSG_ERR_SYSTEM, saved, "cannot create an event loop's wake-up");
    }
    return TLSMSG_OK;
}

void loop_fini(struct loop *loop)
{
    if (loop->wake_fd >= 0) {
        (void)close(loop->wake_fd);
    }
    if (loop->epoll_fd >= 0) {
        (void)close(loop->epoll_fd);
    }
    loop->wake_fd = -1;
    loop->epoll_fd = -1;
}

bool loop_add(struct loop *loop, struct loop_watch *watch, uint32_t interest)
{
    struct epoll_event event = {.events = to_epoll(interest), .data.ptr = watch};

    if (epoll_ctl(loop->epoll_fd, EPOLL_CTL_ADD, watch->fd, &event) != 0) {
        return false;
    }
    watch->armed = (uint8_t)interest;
    watch->registered = true;
    return true;
}

void loop_set(struct loop *loop, struct loop_watch *watch, uint32_t interest)
{
    struct epoll_event event;

    if (!watch->registered || watch->armed == interest) {
        return;
    }
    event = (struct epoll_event){.events = to_epoll(interest), .data.ptr = watch};
    /* It can fail only for a descriptor that isn't registered, which the test above excludes. */
    (void)epoll_ctl(loop->epoll_fd, EPOLL_CTL_MOD, watch->fd, &event);
    watch->armed = (uint8_t)interest;
}

void loop_remove(struct loop *loop, struct loop_watch *watch)
{
    if (watch->registered) {
        (void)epoll_ctl(loop->epoll_fd, EPOLL_CTL_DEL, watch->fd, NULL);
        watch->registered = false;
    }
}

size_t loop_wait(struct loop *loop, struct loop_event *events, size_t cap, int timeout_ms,
                 bool *woken)
{
    struct epoll_event ready[EVENTS_MAX];
    size_t count = 0;
    int n;

    *woken = false;
    n = epoll_wait(loop->epoll_fd, ready, (int)(cap < EVENTS_MAX ? cap : EVENTS_MAX), timeout_ms);
    for (int i = 0; i < n; i++) {
        if (ready[i].data.ptr == &loop->wake) {
            wake_clear(loop->wake_fd);
            *woken = true;
            continue;
        }
        events[count].watch = ready[i].data.ptr;
        events[count].ready = from_epoll(ready[i].events);
        count++;
    }
    return count;
}

void loop_wake(struct loop *loop)
{
    wake_raise(loop->wake_fd);
}
