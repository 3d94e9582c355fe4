/* The server's numbers in Prometheus' text format, in a file that is replaced whole.
 *
 * Made for node_exporter's textfile collector: no port to open, and a reader never sees half a
 * file. Main thread only. */
#ifndef APP_METRICS_H
#define APP_METRICS_H

#include <stdint.h>

#include <tlsmsg/tlsmsg.h>

/* How often the file is written. */
#define METRICS_INTERVAL_NS (5 * (int64_t)1000000000)

struct metrics_facts {
    const char *version;
    const char *transport;      /* "TLS, OpenSSL 3.0.19" */
    int64_t started_unix_s;     /* wall clock */
    int64_t certificate_unix_s; /* when the first certificate ends; 0: there is none */
    int64_t now_unix_s;
};

/* The whole text, NUL-terminated, to be freed by the caller; NULL when out of memory. */
char *metrics_print(const struct tlsmsg_stats *stats, const struct metrics_facts *facts);

/* Writes the text beside path and renames it there.
 * Returns TLSMSG_OK or TLSMSG_ERR_SYSTEM; on failure the old file stays. */
enum tlsmsg_code metrics_write(const char *path, const char *text, struct tlsmsg_error *err);

#endif
