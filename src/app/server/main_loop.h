/* The main loop of a running server: signals, a slow stdout, the service manager, periodic tasks and
 * the end. */
#ifndef APP_SERVER_MAIN_LOOP_H
#define APP_SERVER_MAIN_LOOP_H

#include "app/server/keeper.h"
#include "app/server/log.h"
#include "app/server/storing.h"
#include "app/server/systemd.h"
#include "app/server/transcript.h"

struct main_loop {
    const char *program;
    struct tlsmsg_server *server;         /* started */
    const struct tlsmsg_options *options; /* for a reload */
    struct transcript *transcript;        /* NULL: there is none */
    struct storing *storing;              /* NULL: nothing is stored */
    struct log *log;
    struct systemd *systemd; /* told of start, reload and end */
    struct keeper *keeper;   /* of the metrics and the transcript's file, where there are any */
    int signal_fd;
    int terminal_fd;  /* of terminal_hold; -1: every SIGHUP reloads */
    int64_t drain_ms; /* 0: none */
};

/* Serves until the server has ended and its transcript is out, or given up after the drain
 * timeout. Returns true when the server's end is not a failure; else the cause was told. */
bool main_loop_run(const struct main_loop *loop);

#endif
