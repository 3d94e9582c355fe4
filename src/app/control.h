/* The main thread of a running server: signals, a slow stdout, the service manager, the end. */
#ifndef APP_CONTROL_H
#define APP_CONTROL_H

#include "app/log.h"
#include "app/service.h"
#include "app/transcript.h"

struct control {
    const char *program;
    struct tlsmsg_server *server;         /* started */
    const struct tlsmsg_options *options; /* for a reload */
    struct transcript *transcript;        /* NULL: there is none */
    struct log *log;
    struct service *service;  /* told of start, reload and end */
    const char *metrics_file; /* NULL: none */
    int signal_fd;
    int64_t drain_ms; /* 0: none */
};

/* Serves until the server has ended and its transcript is out, or given up after the drain
 * timeout. Returns true when the server's end is no failure; else the cause was told. */
bool control_run(const struct control *control);

#endif
