/* One screen about a running server, for SIGUSR1. */
#ifndef APP_STATUS_H
#define APP_STATUS_H

#include <tlsmsg/tlsmsg.h>

struct status_facts {
    const char *program;
    const struct tlsmsg_server *server;
    int64_t up_ms;
    bool has_transcript;
    size_t waiting_bytes; /* of the transcript */
    bool stopping;
};

/* Writes the screen into buf, at most cap bytes; returns its length. */
size_t status_print(char *buf, size_t cap, const struct status_facts *facts);

#endif
