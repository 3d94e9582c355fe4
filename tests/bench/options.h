/*
 * The command line of tlsmsg-bench: parsed once, constant afterwards. Defaults are those of the
 * published tables, so that a bare call measures what they show.
 */
#ifndef BENCH_OPTIONS_H
#define BENCH_OPTIONS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

enum bench_mode { BENCH_MESSAGE, BENCH_HANDSHAKE, BENCH_IDLE };

#define BENCH_SERVER_PIDS_MAX 16

struct bench_options {
    enum bench_mode mode;
    char host[256];
    char port[16];
    bool plain;
    bool tls12; /* else TLS 1.3; only the one version is offered */
    const char *cipher;
    const char *groups;
    uint32_t connections;
    uint32_t depth;
    size_t size;
    double seconds;
    double warmup_s;
    double settle_s;
    double timeout_s;
    uint64_t count; /* messages or handshakes of a counted run, 0 = by time */
    bool resume;
    double min_resumed;
    uint32_t active;
    uint32_t sources; /* 127.0.0.x addresses to connect from, 0 = as many as the mode needs */
    bool any_cut;
    bool numbered; /* tlsmsg/1 */
    bool producer; /* ... with a name for each connection */
    bool mqtt;     /* an MQTT broker's PUBLISH and PUBACK in place of the document's messages */
    bool nats;     /* the same with NATS, whose JetStream acknowledges */
    bool json;
    pid_t server_pids[BENCH_SERVER_PIDS_MAX];
    size_t server_pid_count;
};

const char *bench_mode_name(enum bench_mode mode);

/* Fills `o`. Returns -1 to go on, else the exit code to leave with (0 after --help, 2 after an
 * error, which it has told on stderr). */
int bench_options_parse(struct bench_options *o, int argc, char **argv);

#endif
