/* --probe: what a server shows of itself and whether this client would trust it. */
#ifndef APP_PROBE_H
#define APP_PROBE_H

#include <stdio.h>

#include <tlsmsg/client.h>

#include "app/exit_codes.h"

/* Certificates of a chain that are shown. */
#define PROBE_CHAIN_MAX 10

struct probe_style {
    bool json;
    bool by_ca; /* what decides about trust, in the words of the options */
    bool by_pin;
    bool by_first_use;
};

struct probe_report {
    const char *address;   /* NULL: none was reached */
    struct tlsmsg_tls tls; /* as far as it was agreed on */
    struct tlsmsg_certificate chain[PROBE_CHAIN_MAX];
    size_t count;
    const char *trust;         /* why the server is trusted */
    struct tlsmsg_error error; /* TLSMSG_OK: a conversation could begin */
    enum exit_code exit;       /* as of a conversation */
    int64_t now_unix_s;
};

/* Connects, goes through the handshake, closes in order, reads the server's last word and shows on
 * stdout what was seen. Returns the exit code of a conversation; a failure is told on stderr too. */
enum exit_code probe_run(const char *program, struct tlsmsg_client *client,
                         const struct probe_style *style);

/* Both print a report: a screen (coloured where colour is set), or one JSON object on a line. */
void probe_print_text(const struct probe_report *report, bool colour, FILE *out);
void probe_print_json(const struct probe_report *report, FILE *out);

/* One word: "trusted", "untrusted", "refused" (the server is trusted and does not let us in) or
 * "failed". */
const char *probe_result(const struct probe_report *report);

/* Why: the reason for trust, or the failure without the address that stands elsewhere. */
const char *probe_detail(const struct probe_report *report);

/* Whole days until a time, negative once it is past. */
int64_t probe_days_left(int64_t unix_s, int64_t now_unix_s);

#endif
