/* The loop over all clients: see load.h. Level-triggered epoll; a client's next step is taken at
 * once in its own event, so no queue of work is kept. */
#include "load.h"

#include "client.h"
#include "clock.h"
#include "endpoint.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <unistd.h>

#define EVENTS_PER_TURN 256
/* Enough to keep a server busy, few enough that no listen queue overflows. */
#define OPENING_AT_ONCE 64
#define SPARE_FILES 64

const char *load_failure_name(enum load_failure kind)
{
    static const char *const names[] = {"connect", "handshake", "mismatch", "closed", "timeout"};

    return names[kind];
}

static bool allow_files(uint32_t connections)
{
    struct rlimit limit;
    rlim_t needed = (rlim_t)connections + SPARE_FILES;

    if (getrlimit(RLIMIT_NOFILE, &limit) != 0 || limit.rlim_cur >= needed) {
        return true;
    }
    limit.rlim_cur = needed;
    if (limit.rlim_max < needed) {
        limit.rlim_max = needed; /* allowed to the superuser only */
    }
    if (setrlimit(RLIMIT_NOFILE, &limit) != 0) {
        fprintf(stderr, "tlsmsg-bench: %u connections need %llu open files: %s (ulimit -n)\n",
                connections, (unsigned long long)needed, strerror(errno));
        return false;
    }
    return true;
}

bool load_init(struct load *load, const struct bench_options *o, const struct load_mode *mode)
{
    uint32_t i;

    *load = (struct load){.options = o, .mode = mode, .epoll = -1};
    if (!allow_files(o->connections) || !endpoint_init(&load->endpoint, o)) {
        return false;
    }
    load->clients = calloc(o->connections, sizeof *load->clients);
    load->epoll = epoll_create1(EPOLL_CLOEXEC);
    if (load->clients == NULL || load->epoll < 0) {
        fprintf(stderr, "tlsmsg-bench: %s\n", strerror(errno));
        return false;
    }
    for (i = 0; i < o->connections; i++) {
        link_init(&load->clients[i].link, &load->endpoint);
        load->clients[i].index = i;
    }
    return true;
}

void load_fini(struct load *load)
{
    uint32_t i;

    for (i = 0; load->clients != NULL && i < load->options->connections; i++) {
        link_fini(&load->clients[i].link);
        nats_fini(&load->clients[i].nats);
    }
    free(load->clients);
    load->clients = NULL;
    bytes_fini(&load->text);
    bytes_fini(&load->frame);
    endpoint_fini(&load->endpoint);
    if (load->epoll >= 0) {
        close(load->epoll);
        load->epoll = -1;
    }
}

/* Four times per timeout is often enough; walking all clients costs more than a turn. */
static void sweep(struct load *load, uint64_t now_ns)
{
    const uint64_t timeout_ns = clock_seconds_ns(load->options->timeout_s);
    uint32_t i;

    if (now_ns - load->swept_ns < timeout_ns / 4) {
        return;
    }
    load->swept_ns = now_ns;
    for (i = 0; i < load->options->connections; i++) {
        struct client *client = &load->clients[i];

        if (client_is_busy(client) && now_ns > client->touched_ns &&
            now_ns - client->touched_ns > timeout_ns) {
            client_fail(load, client, FAILURE_TIMEOUT, "no progress");
        }
    }
}

void load_turn(struct load *load, uint64_t until_ns)
{
    struct epoll_event events[EVENTS_PER_TURN];
    uint64_t now_ns = clock_now_ns();
    uint64_t wait_ms = until_ns > now_ns ? (until_ns - now_ns) / CLOCK_NS_PER_MS + 1 : 0;
    int count, i;

    count = epoll_wait(load->epoll, events, EVENTS_PER_TURN, wait_ms > 100 ? 100 : (int)wait_ms);
    for (i = 0; i < count; i++) {
        client_event(load, events[i].data.ptr);
    }
    sweep(load, now_ns);
}

void load_run_until(struct load *load, uint64_t until_ns)
{
    while (clock_now_ns() < until_ns) {
        load_turn(load, until_ns);
    }
}

static bool any_busy(const struct load *load, uint32_t from, uint32_t to)
{
    uint32_t i;

    for (i = from; i < to; i++) {
        if (client_is_busy(&load->clients[i])) {
            return true;
        }
    }
    return false;
}

void load_open_all(struct load *load, uint32_t from, uint32_t to)
{
    uint32_t next = from;

    while (next < to || load->opening > 0) {
        while (next < to && load->opening < OPENING_AT_ONCE) {
            if (load->clients[next].phase == CLIENT_GONE) {
                load_open(load, &load->clients[next]);
            }
            next++;
        }
        load_turn(load, clock_now_ns() + CLOCK_NS_PER_S);
    }
    while (any_busy(load, from, to)) {
        load_turn(load, clock_now_ns() + CLOCK_NS_PER_S);
    }
}

void load_finish_all(struct load *load)
{
    uint32_t i;

    load->stopping = true;
    while (load->live > 0) {
        for (i = 0; i < load->options->connections; i++) {
            if (load->clients[i].phase == CLIENT_RESTING) {
                load_finish(load, &load->clients[i]);
            }
        }
        load_turn(load, clock_now_ns() + CLOCK_NS_PER_S);
    }
}

uint64_t load_failures(const struct load *load)
{
    uint64_t total = 0;
    int kind;

    for (kind = 0; kind < FAILURE_KINDS; kind++) {
        total += load->counters.failures[kind];
    }
    return total;
}
