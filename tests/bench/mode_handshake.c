/* Handshake mode. The unit, the same for every server: connect, TLS handshake, one message and its
 * reply (which brings the session ticket, whenever the server chooses to send it), close_notify and
 * FIN from the client, then the server's end. With --resume each client first makes one unmeasured
 * connection to get a session. */
#include "clock.h"
#include "modes.h"

/* Something is wrong for good: more would only repeat it. */
#define FAILURES_MAX 50

static void ready(struct load *load, struct client *client)
{
    if (client->exchanges == 0) {
        load_send(load, client, 1);
    } else {
        load_finish(load, client);
    }
}

static void start_cycle(struct load *load, struct client *client)
{
    const struct bench_options *o = load->options;

    if (load->stopping || load_failures(load) >= FAILURES_MAX) {
        return;
    }
    if (o->count == 0 || load->issued < o->count) {
        load->issued++;
        load_open(load, client);
    }
}

static void gone(struct load *load, struct client *client, bool orderly)
{
    (void)orderly;
    start_cycle(load, client);
}

const struct load_mode mode_handshake = {.ready = ready, .gone = gone};

static void start_all(struct load *load)
{
    uint32_t i;

    load->stopping = false;
    for (i = 0; i < load->options->connections; i++) {
        if (load->clients[i].phase == CLIENT_GONE) {
            start_cycle(load, &load->clients[i]);
        }
    }
}

/* One connection each, for the sessions and the first allocations. */
static void prime(struct load *load)
{
    load->stopping = true;
    load_open_all(load, 0, load->options->connections);
    while (load->live > 0) {
        load_turn(load, clock_now_ns() + CLOCK_NS_PER_S);
    }
}

void mode_handshake_run(struct load *load, struct report *report)
{
    const struct bench_options *o = load->options;
    struct window window;

    prime(load);
    if (o->count == 0) {
        start_all(load);
        load_run_until(load, clock_now_ns() + clock_seconds_ns(o->warmup_s));
    }
    report->memory_begin_kib = window_server_memory_kib(load);
    window_begin(&window, load);
    if (o->count == 0) {
        load_run_until(load, window.begin_ns + clock_seconds_ns(o->seconds));
    } else {
        start_all(load);
        while (load->live > 0) {
            load_turn(load, clock_now_ns() + CLOCK_NS_PER_S);
        }
    }
    window_end(&window, load, &report->window);
    report->has_window = true;
    report->memory_end_kib = window_server_memory_kib(load);
    load_finish_all(load);
}
