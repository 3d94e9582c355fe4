/* All workers watch the same sockets (EPOLLEXCLUSIVE). One that has clearly more connections than
 * its share leaves them to the others for a moment, and one that is out of descriptors leaves them
 * instead of spinning. */
#include "server/accept.h"

#include <errno.h>
#include <inttypes.h>
#include <sys/resource.h>
#include <unistd.h>

#include "base/build.h"
#include "base/clock.h"
#include "net/socket.h"
#include "server/conversation.h"
#include "server/limits.h"
#include "server/table.h"

/* Connections above the mean share before a worker leaves the listeners: below it, the
 * difference costs less than the leaving. */
#define SHARE_SLACK 64
/* Connections that are taken of each socket when the server stops. */
#define LAST_MAX 4096

static void leave_listeners(struct worker *w)
{
    for (size_t i = 0; i < w->listener_count; i++) {
        loop_remove(&w->loop, &w->listeners[i]);
    }
    w->listening = false;
}

bool accept_begin(struct worker *w)
{
    w->resume_ns = 0;
    if (w->listening || w->listener_count == 0) {
        return true;
    }
    w->listening = true;
    for (size_t i = 0; i < w->listener_count; i++) {
        if (!loop_add(&w->loop, &w->listeners[i], LOOP_READ | LOOP_EXCLUSIVE)) {
            leave_listeners(w);
            return false;
        }
    }
    return true;
}

void accept_stop(struct worker *w)
{
    if (w->listener_count == 0) {
        return;
    }
    leave_listeners(w);
    w->listener_count = 0;
    w->resume_ns = 0;
    server_leave_listeners(w->server);
}

static void pause_accepting(struct worker *w)
{
    leave_listeners(w);
    w->resume_ns = clock_deadline_ns(w->now_ns, ACCEPT_PAUSE_MS);
}

void accept_resume(struct worker *w)
{
    if (w->resume_ns != 0 && w->resume_ns <= w->now_ns && !accept_begin(w)) {
        w->resume_ns = clock_deadline_ns(w->now_ns, ACCEPT_PAUSE_MS);
    }
}

/* Closes a connection that is over a limit: no cryptography, no memory, one line in the log. */
static void refuse(struct worker *w, int fd, const struct address *peer, enum limit limit)
{
    char text[ADDRESS_TEXT_MAX];

    (void)close(fd);
    address_print(peer, text, sizeof(text));
    worker_event(w, TLSMSG_LOG_WARNING, TLSMSG_CAUSE_LIMIT, NULL, "refused %s: over %s %" PRIu64,
                 text, limit_option(limit), limit_value(&w->server->limits, limit));
}

static void drop(struct worker *w, int fd)
{
    (void)close(fd);
    worker_event(w, TLSMSG_LOG_WARNING, TLSMSG_CAUSE_MEMORY, NULL,
                 "out of memory: a connection was dropped");
}

/* Takes over one accepted socket. */
static void accept_one(struct worker *w, int fd, const struct address *peer)
{
    struct tlsmsg_server *server = w->server;
    enum limit limit = limits_enter(&server->limits, peer, w->now_ns);
    struct conversation *c;

    count(&w->stats.accepted, 1);
    if (limit == LIMIT_MEMORY) {
        drop(w, fd);
        return;
    }
    if (limit != LIMIT_NONE) {
        refuse(w, fd, peer, limit);
        return;
    }
    c = table_add(w, fd, peer, atomic_fetch_add(&server->next_id, 1));
    if (c == NULL) {
        limits_handshake_done(&server->limits);
        limits_leave(&server->limits, peer);
        drop(w, fd);
        return;
    }
    if (!BUILD_HAS_TLS) {
        /* Nothing to wait for: the connection is the conversation. */
        conversation_step(c, 0);
    }
    conversation_update(c);
}

static void accept_failed(struct worker *w, int error)
{
    if (error == EAGAIN) {
        return;
    }
    pause_accepting(w);
    if (error == EMFILE) {
        struct rlimit limit = {0};

        (void)getrlimit(RLIMIT_NOFILE, &limit);
        worker_event(w, TLSMSG_LOG_WARNING, TLSMSG_CAUSE_DESCRIPTORS, NULL,
                     "out of file descriptors: %" PRIu64 " connections are open, and the limit of "
                     "this process is %" PRIu64 " descriptors; not accepting until one is free "
                     "(try: a higher LimitNOFILE= or ulimit -n, or --max-connections below it)",
                     (uint64_t)atomic_load(&w->server->limits.connections),
                     (uint64_t)limit.rlim_cur);
    } else if (error == ENFILE) {
        worker_event(w, TLSMSG_LOG_WARNING, TLSMSG_CAUSE_DESCRIPTORS, NULL,
                     "the system is out of file descriptors: not accepting until one is free (try: "
                     "a higher fs.file-max, or fewer open files of other programs)");
    } else {
        worker_event(w, TLSMSG_LOG_WARNING, TLSMSG_CAUSE_OTHER, NULL,
                     "cannot accept connections for a moment (errno %d)", error);
    }
}

static bool has_more_than_its_share(const struct worker *w)
{
    const struct tlsmsg_server *server = w->server;

    if (server->worker_count == 1) {
        return false;
    }
    return w->conversations >
           atomic_load(&server->limits.connections) / server->worker_count + SHARE_SLACK;
}

void accept_ready(struct worker *w, struct loop_watch *watch)
{
    for (int i = 0; i < ACCEPT_BATCH && w->listening; i++) {
        struct address peer;
        int fd;

        if (atomic_load_explicit(&w->server->phase, memory_order_relaxed) != SERVER_RUNNING) {
            return;
        }
        fd = socket_accept(watch->fd, &peer);
        if (fd < 0) {
            accept_failed(w, errno);
            break;
        }
        accept_one(w, fd, &peer);
    }
    if (w->listening && has_more_than_its_share(w)) {
        pause_accepting(w);
    }
}

void accept_last(struct worker *w)
{
    for (size_t i = 0; i < w->listener_count; i++) {
        struct address peer;
        int fd;

        for (int n = 0; n < LAST_MAX && !w->server->listeners[i].passed &&
                        (fd = socket_accept(w->listeners[i].fd, &peer)) >= 0;
             n++) {
            accept_one(w, fd, &peer);
        }
    }
}
