/* See stepped_worker.h. One run at a time, so what runs is kept in one place. */
#include "support/stepped_worker.h"

#include <netinet/in.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "base/build.h"
#include "base/clock.h"
#include "server/conversation.h"
#include "server/limits.h"
#include "server/table.h"
#include "server/worker.h"

/* How often peers look whether the real world has brought them something. */
#define SLICE_MS 5

size_t __real_loop_wait(struct loop *loop, struct loop_event *events, size_t cap, int timeout_ms,
                        bool *woken);
size_t __wrap_loop_wait(struct loop *loop, struct loop_event *events, size_t cap, int timeout_ms,
                        bool *woken);

static struct {
    struct tlsmsg_server *server; /* NULL: no run */
    stepped_idle *idle;
    void *user;
    int patience_ms;
    unsigned long turns;
    int timeout_ms;
    unsigned long turns_max;
    enum stepped_end end;
} run;

/* Ends the run as a handler's failure would. */
static void give_up(enum stepped_end end)
{
    if (run.end == STEPPED_ENDED) {
        run.end = end;
    }
    server_advance(run.server, SERVER_FAILED);
}

size_t __wrap_loop_wait(struct loop *loop, struct loop_event *events, size_t cap, int timeout_ms,
                        bool *woken)
{
    int64_t idle_since_ns;

    if (run.server == NULL) {
        return __real_loop_wait(loop, events, cap, timeout_ms, woken);
    }
    if (run.turns++ == run.turns_max) {
        run.turns_max += 1000; /* enough to fail in */
        give_up(STEPPED_SPUN);
    }
    run.timeout_ms = timeout_ms;
    idle_since_ns = clock_now_ns();
    for (;;) {
        size_t n = __real_loop_wait(loop, events, cap, 0, woken);
        int64_t idle_ms;

        if (n > 0 || *woken || timeout_ms == 0) {
            return n;
        }
        if (run.idle(run.user)) {
            idle_since_ns = clock_now_ns();
            continue;
        }
        idle_ms = (clock_now_ns() - idle_since_ns) / CLOCK_NS_PER_MS;
        if (timeout_ms > 0 && idle_ms >= timeout_ms) {
            return 0;
        }
        if (idle_ms >= run.patience_ms) {
            give_up(STEPPED_STUCK);
            continue;
        }
        n = __real_loop_wait(loop, events, cap, SLICE_MS, woken);
        if (n > 0 || *woken) {
            return n;
        }
    }
}

struct tlsmsg_server *stepped_server_new(struct tlsmsg_options *options,
                                         const struct tlsmsg_handler *handler)
{
    struct tlsmsg_server *server = NULL;
    struct tlsmsg_error err = {.code = TLSMSG_OK};
    struct tlsmsg_server *s;

    if (tlsmsg_options_set_number(options, TLSMSG_OPT_WORKERS, 1, &err) != TLSMSG_OK ||
        tlsmsg_options_set(options, TLSMSG_OPT_LISTEN, "127.0.0.1:0", &err) != TLSMSG_OK ||
        tlsmsg_server_new(options, handler, &server, &err) != TLSMSG_OK) {
        (void)fprintf(stderr, "no server: %s\n", err.text);
        tlsmsg_options_free(options);
        return NULL;
    }
    tlsmsg_options_free(options);
    s = server;
    worker_fini(&s->workers[0]);
    s->worker_count = 0;
    for (size_t i = 0; i < s->listener_count; i++) {
        (void)close(s->listeners[i].fd);
    }
    s->listener_count = 0;
    return server;
}

void stepped_server_free(struct tlsmsg_server *server)
{
    if (server != NULL) {
        struct tlsmsg_server *s = server;

        if (s->worker_count > 0) {
            worker_fini(&s->workers[0]);
            s->worker_count = 0;
        }
        tlsmsg_server_free(server);
    }
}

bool stepped_begin(struct tlsmsg_server *server)
{
    struct tlsmsg_server *s = server;
    struct worker *w = &s->workers[0];

    if (s->worker_count > 0) {
        worker_fini(w);
        s->worker_count = 0;
    }
    memset(w, 0, sizeof(*w));
    atomic_store(&s->phase, SERVER_RUNNING);
    atomic_store(&s->running, 1);
    atomic_store(&s->next_id, 1);
    atomic_store(&s->taken, 0);
    atomic_store(&s->undelivered, false);
    atomic_store(&s->credit, 0); /* the old worker's */
    if (worker_init(w, s, 0, NULL) != TLSMSG_OK) {
        worker_fini(w);
        return false;
    }
    s->worker_count = 1;
    w->now_ns = clock_now_ns();
    return true;
}

/* What accept.c does for a socket that it was given. */
bool stepped_adopt(struct tlsmsg_server *server, int fd)
{
    struct tlsmsg_server *s = server;
    struct worker *w = &s->workers[0];
    struct address peer = {.len = sizeof(struct sockaddr_in)};
    struct conversation *c;

    peer.socket.any.sa_family = AF_INET;
    if (limits_enter(&s->limits, &peer, w->now_ns) != LIMIT_NONE) {
        (void)close(fd);
        return false;
    }
    c = table_add(w, fd, &peer, atomic_fetch_add(&s->next_id, 1));
    if (c == NULL) {
        (void)close(fd);
        limits_handshake_done(&s->limits);
        limits_leave(&s->limits, &peer);
        return false;
    }
    if (!BUILD_HAS_TLS) {
        conversation_step(c, 0);
    }
    conversation_update(c);
    return true;
}

int stepped_connect(struct tlsmsg_server *server)
{
    int pair[2];

    if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, pair) != 0) {
        return -1;
    }
    if (!stepped_adopt(server, pair[0])) {
        (void)close(pair[1]);
        return -1;
    }
    return pair[1];
}

enum stepped_end stepped_run(struct tlsmsg_server *server, stepped_idle *idle, void *user,
                             int patience_ms, unsigned long turns_max)
{
    run.server = server;
    run.idle = idle;
    run.user = user;
    run.patience_ms = patience_ms;
    run.turns = 0;
    run.turns_max = turns_max;
    run.end = STEPPED_ENDED;
    (void)worker_run(&run.server->workers[0]);
    run.server = NULL;
    return run.end;
}

unsigned long stepped_turns(void)
{
    return run.turns;
}

int stepped_timeout_ms(void)
{
    return run.timeout_ms;
}
