/* Idle mode: how much memory a held connection costs the server, and whether it comes back. Each
 * connection has had one message and its reply, as a real one would. A few connections come and go
 * first, so that what the server allocates once is not charged to them; a few only, because what
 * they leave behind is used again. Kernel memory is not seen. */
#include "clock.h"
#include "modes.h"

#define PRIMING_CONNECTIONS 8

/* Who talks on: the first --active clients, from the common start on. */
static bool talks_on(const struct load *load, const struct client *client)
{
    return load->issued > 0 && client->index < load->options->active && !load->stopping;
}

static void ready(struct load *load, struct client *client)
{
    if (client->exchanges == 0 || talks_on(load, client)) {
        load_send(load, client, 1);
    }
}

const struct load_mode mode_idle = {.ready = ready, .gone = NULL};

static void settle(struct load *load)
{
    load_run_until(load, clock_now_ns() + clock_seconds_ns(load->options->settle_s));
}

static void prime(struct load *load)
{
    uint32_t count = load->options->connections;

    load_open_all(load, 0, count < PRIMING_CONNECTIONS ? count : PRIMING_CONNECTIONS);
    load_finish_all(load);
    load->stopping = false;
    settle(load);
}

static void talk(struct load *load, struct report *report)
{
    const struct bench_options *o = load->options;
    struct window window;
    uint32_t i;

    load->issued = 1;
    for (i = 0; i < o->active; i++) {
        if (load->clients[i].phase == CLIENT_RESTING) {
            load_send(load, &load->clients[i], 1);
        }
    }
    load_run_until(load, clock_now_ns() + clock_seconds_ns(o->warmup_s));
    report->memory_begin_kib = window_server_memory_kib(load);
    window_begin(&window, load);
    load_run_until(load, window.begin_ns + clock_seconds_ns(o->seconds));
    window_end(&window, load, &report->window);
    report->memory_end_kib = window_server_memory_kib(load);
    report->has_window = true;
}

void mode_idle_run(struct load *load, struct report *report)
{
    prime(load);
    report->idle.before_kib = window_server_memory_kib(load);
    load_open_all(load, 0, load->options->connections);
    settle(load);
    report->idle.held = load->live;
    report->idle.held_kib = window_server_memory_kib(load);
    if (load->options->active > 0) {
        talk(load, report);
    }
    load_finish_all(load);
    settle(load);
    report->idle.after_kib = window_server_memory_kib(load);
}
