/* tlsmsg-bench: a single-threaded load program for any server that gives the document's reply. */
#include "modes.h"
#include "options.h"
#include "report.h"

#include <signal.h>
#include <stdio.h>

static const struct load_mode *mode_of(enum bench_mode mode)
{
    switch (mode) {
    case BENCH_MESSAGE:
        return &mode_message;
    case BENCH_HANDSHAKE:
        return &mode_handshake;
    case BENCH_IDLE:
    default:
        return &mode_idle;
    }
}

static void run(struct load *load, struct report *report)
{
    switch (load->options->mode) {
    case BENCH_MESSAGE:
        mode_message_run(load, report);
        break;
    case BENCH_HANDSHAKE:
        mode_handshake_run(load, report);
        break;
    case BENCH_IDLE:
        mode_idle_run(load, report);
        break;
    }
}

int main(int argc, char **argv)
{
    static struct load load; /* the histogram is too large for a small stack */
    struct bench_options options;
    struct report report = {0};
    int leave = bench_options_parse(&options, argc, argv);
    bool good;

    if (leave >= 0) {
        return leave;
    }
    (void)signal(SIGPIPE, SIG_IGN);
    if (!load_init(&load, &options, mode_of(options.mode))) {
        load_fini(&load);
        return 1;
    }
    run(&load, &report);
    good = report_print(&load, &report);
    load_fini(&load);
    return good ? 0 : 1;
}
