/* Message mode: every connection keeps D messages in flight, in a closed loop: the next batch
 * leaves when the last reply of the one before is in. A timed run ends at a moment, and the batches
 * then in flight do not count; a counted run ends with the last reply. */
#include "clock.h"
#include "modes.h"

static void send_next(struct load *load, struct client *client)
{
    const struct bench_options *o = load->options;
    uint64_t depth = o->depth;

    if (o->count > 0 && o->count - load->issued < depth) {
        depth = o->count - load->issued;
    }
    if (depth > 0) {
        load->issued += depth;
        load_send(load, client, (uint32_t)depth);
    }
}

static void ready(struct load *load, struct client *client)
{
    /* A client that has just been established waits for the common start. */
    if (client->exchanges > 0 && !load->stopping) {
        send_next(load, client);
    }
}

const struct load_mode mode_message = {.ready = ready, .gone = NULL};

static void start_all(struct load *load)
{
    uint32_t i;

    for (i = 0; i < load->options->connections; i++) {
        if (load->clients[i].phase == CLIENT_RESTING) {
            send_next(load, &load->clients[i]);
        }
    }
}

static bool all_answered(const struct load *load)
{
    uint32_t i;

    for (i = 0; i < load->options->connections; i++) {
        if (load->clients[i].due > 0) {
            return false;
        }
    }
    return true;
}

void mode_message_run(struct load *load, struct report *report)
{
    const struct bench_options *o = load->options;
    /* A NATS server refuses one of two that make the same stream at once. */
    uint32_t alone = o->nats ? 1 : 0;
    struct window window;

    load_open_all(load, 0, alone);
    load_open_all(load, alone, o->connections);
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
        while (load->live > 0 && (load->counters.messages - window.counters.messages < o->count) &&
               !all_answered(load)) {
            load_turn(load, clock_now_ns() + CLOCK_NS_PER_S);
        }
    }
    window_end(&window, load, &report->window);
    report->has_window = true;
    report->memory_end_kib = window_server_memory_kib(load);
    load_finish_all(load);
}
