/* Snapshots and their differences: see window.h. While /proc is walked the server still answers
 * what is in flight, at the beginning (not charged, though counted later) and at the end (charged,
 * not counted): one batch each, and they cancel. */
#include "window.h"

#include "clock.h"

void window_begin(struct window *w, struct load *load)
{
    const struct bench_options *o = load->options;

    histogram_reset(&load->latency);
    w->counters = load->counters;
    (void)machine_read_cpu(&w->machine);
    (void)proctree_read_cpu(o->server_pids, o->server_pid_count, &w->server);
    w->own_cpu_ns = clock_own_cpu_ns();
    w->begin_ns = clock_now_ns();
}

static void end_machine(const struct window *w, struct window_result *out)
{
    struct machine_cpu now;
    double all_ms, foreign_ms;

    if (!machine_read_cpu(&now) || now.all_ms <= w->machine.all_ms) {
        return;
    }
    all_ms = (double)(now.all_ms - w->machine.all_ms);
    foreign_ms = (double)(now.busy_ms - w->machine.busy_ms) -
                 (out->own_cpu_us + out->server_cpu_us) / 1000.0;
    out->stolen_percent = 100.0 * (double)(now.stolen_ms - w->machine.stolen_ms) / all_ms;
    out->foreign_percent = foreign_ms <= 0 ? 0 : 100.0 * foreign_ms / all_ms;
}

void window_end(const struct window *w, const struct load *load, struct window_result *out)
{
    const struct bench_options *o = load->options;
    uint64_t now_ns = clock_now_ns();
    uint64_t own_ns = clock_own_cpu_ns();
    struct proctree_cpu server;

    *out = (struct window_result){.counters = load->counters};
    out->seconds = (double)(now_ns - w->begin_ns) / (double)CLOCK_NS_PER_S;
    out->own_cpu_us = (double)(own_ns - w->own_cpu_ns) / 1000.0;
    out->counters.messages -= w->counters.messages;
    out->counters.replies -= w->counters.replies;
    out->counters.handshakes -= w->counters.handshakes;
    out->counters.resumed -= w->counters.resumed;
    out->counters.cycles -= w->counters.cycles;
    out->counters.truncated_closes -= w->counters.truncated_closes;
    out->has_server = proctree_read_cpu(o->server_pids, o->server_pid_count, &server);
    if (out->has_server) {
        out->server_cpu_us = (double)(server.total_ns - w->server.total_ns) / 1000.0;
        out->server_user_ms = server.user_ms - w->server.user_ms;
        out->server_system_ms = server.system_ms - w->server.system_ms;
        out->server_processes = server.processes;
        out->server_written = (double)server.written - (double)w->server.written;
    }
    end_machine(w, out);
}

uint64_t window_server_memory_kib(const struct load *load)
{
    return proctree_read_memory_kib(load->options->server_pids, load->options->server_pid_count);
}
