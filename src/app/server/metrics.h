/* The server's numbers: as a screen for people, and in Prometheus' text format.
 *
 * The latter goes to a file that is replaced whole, made for node_exporter's textfile collector: no
 * port to open, and a reader never sees half a file. Main thread only. */
#ifndef APP_SERVER_METRICS_H
#define APP_SERVER_METRICS_H

#include <stdbool.h>
#include <stdint.h>

#include <tlsmsg/tlsmsg.h>

#include "store/store.h"

/* How often the file is written. */
#define METRICS_INTERVAL_NS (5 * (int64_t)1000000000)

struct metrics_about {
    const char *version;
    const char *transport;                    /* "TLS, OpenSSL 3.0.19" */
    int64_t started_unix_s;                   /* wall clock */
    int64_t ends_unix_s[TLSMSG_EXPIRY_COUNT]; /* as tlsmsg_server_expiry has them */
    bool has_store;
    enum store_promise promise;
    struct store_stats store;
};

/* The whole text, NUL-terminated, to be freed by the caller; NULL when out of memory. */
char *metrics_print(const struct tlsmsg_stats *stats, const struct metrics_about *about);

/* Whether the file is one that may be replaced: a regular file, or none yet, even in a folder that
 * comes later. Links are refused. path: NULL for none. TLSMSG_OK or TLSMSG_ERR_CONFIG. */
enum tlsmsg_code metrics_check(const char *path, struct tlsmsg_error *err);

/* Writes the text beside path and renames it there, where metrics_check lets it.
 * Returns TLSMSG_OK, TLSMSG_ERR_CONFIG or TLSMSG_ERR_NOMEM; on failure the old file stays. */
enum tlsmsg_code metrics_write(const char *path, const char *text, struct tlsmsg_error *err);

/* What the screen says besides the counters. */
struct metrics_screen {
    const char *program;
    const struct tlsmsg_server *server;
    int64_t up_ms;
    bool has_transcript;
    size_t waiting_bytes; /* of the transcript */
    bool has_store;
    struct store_stats store;
    bool stopping;
    int64_t ends_unix_s[TLSMSG_EXPIRY_COUNT];
};

/* Writes one screen about a running server into buf, at most cap bytes; returns its length.
 * Counters that are 0 and say nothing by being so are left out. */
size_t metrics_print_screen(char *buf, size_t cap, const struct metrics_screen *about);

#endif
