/* Prints a run: see report.h. A unit is what the rate and the CPU are divided by: a message, or in
 * handshake mode one whole connection. */
#include "report.h"

#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

/* One figure after the other, as "key":value or as a line of words. */
struct printer {
    bool json;
    bool first;
};

static void begin_figure(struct printer *p, const char *key)
{
    if (p->json) {
        printf("%s\"%s\":", p->first ? "{" : ",", key);
    } else {
        printf("%-24s", key);
    }
    p->first = false;
}

static void end_figure(const struct printer *p)
{
    if (!p->json) {
        putchar('\n');
    }
}

static void print_text(struct printer *p, const char *key, const char *text)
{
    const char *at;

    begin_figure(p, key);
    if (!p->json) {
        printf("%s", text);
    } else {
        putchar('"');
        for (at = text; *at != '\0'; at++) {
            if (*at == '"' || *at == '\\') {
                putchar('\\');
            }
            putchar((unsigned char)*at < 0x20 ? ' ' : *at);
        }
        putchar('"');
    }
    end_figure(p);
}

static void print_count(struct printer *p, const char *key, uint64_t value)
{
    begin_figure(p, key);
    printf("%" PRIu64, value);
    end_figure(p);
}

static void print_number(struct printer *p, const char *key, double value)
{
    begin_figure(p, key);
    printf("%.3f", value);
    end_figure(p);
}

static uint64_t units_of(const struct load *load, const struct report *report)
{
    return load->options->mode == BENCH_HANDSHAKE ? report->window.counters.cycles
                                                  : report->window.counters.messages;
}

static void print_setting(struct printer *p, const struct load *load)
{
    const struct bench_options *o = load->options;
    char target[300];

    snprintf(target, sizeof target, "%s:%s", o->host, o->port);
    print_text(p, "mode", bench_mode_name(o->mode));
    print_text(p, "target", target);
    print_text(p, "transport", load->agreed);
    print_count(p, "connections", o->connections);
    print_count(p, "depth", o->depth);
    print_count(p, "size", o->size);
    if (o->mode == BENCH_HANDSHAKE) {
        print_text(p, "unit",
                   "connect, handshake, one message and its reply, close in both directions");
    } else {
        print_text(p, "unit", "message");
    }
}

static void print_latency(struct printer *p, const struct histogram *h)
{
    static const struct {
        const char *key;
        double percent;
    } rows[] = {{"p50_us", 50}, {"p90_us", 90}, {"p99_us", 99}, {"p99.9_us", 99.9}};
    size_t i;

    for (i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        print_number(p, rows[i].key, (double)histogram_percentile(h, rows[i].percent) / 1000.0);
    }
    print_number(p, "max_us", (double)h->max / 1000.0);
}

static double resumed_fraction(const struct report *report)
{
    const struct load_counters *c = &report->window.counters;

    return c->handshakes == 0 ? 0 : (double)c->resumed / (double)c->handshakes;
}

static void print_window(struct printer *p, const struct load *load, const struct report *report)
{
    const struct window_result *w = &report->window;
    uint64_t units = units_of(load, report);
    double divisor = units == 0 ? 1 : (double)units;

    print_number(p, "seconds", w->seconds);
    print_count(p, "units", units);
    print_number(p, "units_per_s", w->seconds > 0 ? (double)units / w->seconds : 0);
    print_latency(p, &load->latency);
    if (load->options->mode == BENCH_HANDSHAKE) {
        print_number(p, "resumed_fraction", resumed_fraction(report));
        print_count(p, "closes_without_notify", w->counters.truncated_closes);
    } else {
        print_number(p, "replies_per_message", (double)w->counters.replies / divisor);
    }
    print_number(p, "client_cpu_us_per_unit", w->own_cpu_us / divisor);
    if (w->has_server) {
        print_number(p, "server_cpu_us_per_unit", w->server_cpu_us / divisor);
        print_number(p, "server_user_s", (double)w->server_user_ms / 1000.0);
        print_number(p, "server_system_s", (double)w->server_system_ms / 1000.0);
        print_count(p, "server_processes", w->server_processes);
        print_number(p, "server_written_bytes_per_unit", w->server_written / divisor);
        print_count(p, "server_kib_begin", report->memory_begin_kib);
        print_count(p, "server_kib_end", report->memory_end_kib);
        print_number(p, "foreign_cpu_percent", w->foreign_percent);
    }
    print_number(p, "stolen_cpu_percent", w->stolen_percent);
}

static double per_connection(uint64_t now_kib, uint64_t before_kib, uint32_t held)
{
    return held == 0 ? 0 : ((double)now_kib - (double)before_kib) / (double)held;
}

static void print_idle(struct printer *p, const struct report *report)
{
    const struct idle_memory *m = &report->idle;

    print_count(p, "held", m->held);
    if (m->before_kib == 0) {
        return;
    }
    print_count(p, "server_kib_before", m->before_kib);
    print_count(p, "server_kib_held", m->held_kib);
    print_count(p, "server_kib_after", m->after_kib);
    print_number(p, "kib_per_connection", per_connection(m->held_kib, m->before_kib, m->held));
    print_number(p, "kib_kept_after_close", per_connection(m->after_kib, m->before_kib, m->held));
}

static void print_failures(struct printer *p, const struct load *load)
{
    char key[32];
    int kind;

    print_count(p, "errors", load_failures(load));
    for (kind = 0; kind < FAILURE_KINDS; kind++) {
        if (load->counters.failures[kind] > 0) {
            snprintf(key, sizeof key, "errors_%s", load_failure_name((enum load_failure)kind));
            print_count(p, key, load->counters.failures[kind]);
        }
    }
    if (load->first_failure[0] != '\0') {
        print_text(p, "first_error", load->first_failure);
    }
}

/* NULL when the run holds. */
static const char *find_fault(const struct load *load, const struct report *report)
{
    const struct bench_options *o = load->options;

    if (load_failures(load) > 0) {
        return load->first_failure;
    }
    if (report->has_window && units_of(load, report) == 0) {
        return "nothing was answered within the window";
    }
    if (o->count > 0 && units_of(load, report) != o->count) {
        return "fewer units than asked for";
    }
    if (o->resume && resumed_fraction(report) < o->min_resumed) {
        return "too few sessions were resumed (--min-resumed)";
    }
    if (o->mode == BENCH_HANDSHAKE && !o->resume && report->window.counters.resumed > 0) {
        return "a full handshake was resumed";
    }
    return NULL;
}

bool report_print(const struct load *load, const struct report *report)
{
    struct printer p = {.json = load->options->json, .first = true};
    const char *fault = find_fault(load, report);

    print_setting(&p, load);
    if (load->options->mode == BENCH_IDLE) {
        print_idle(&p, report);
    }
    if (report->has_window) {
        print_window(&p, load, report);
    }
    print_failures(&p, load);
    if (p.json) {
        puts("}");
    }
    if (fault != NULL) {
        fprintf(stderr, "tlsmsg-bench: %s\n", fault);
    }
    return fault == NULL && fflush(stdout) == 0;
}
