/* What is known of a server, for the person at the client: of a connection (--verbose, SIGUSR1), and
 * whether it would be trusted at all (--probe). */
#ifndef APP_CLIENT_REPORT_H
#define APP_CLIENT_REPORT_H

#include <stdbool.h>
#include <stdio.h>

#include <tlsmsg/client.h>

#include "app/phrases.h"
#include "app/startup.h"

/* Certificates of a chain that are shown. */
#define REPORT_CHAIN_MAX 10

struct report {
    const char *address;   /* NULL: none was reached */
    struct tlsmsg_tls tls; /* as far as it was agreed on; version NULL: nothing, or plaintext */
    struct tlsmsg_certificate chain[REPORT_CHAIN_MAX];
    size_t count;
    int64_t now_unix_s;
    /* of a probe */
    const char *trust;         /* why the server is trusted */
    struct tlsmsg_error error; /* TLSMSG_OK: a conversation could begin */
    enum exit_code exit;       /* as of a conversation */
};

/* ---- a connection */

/* Tells what was agreed on with a connected server on stderr, in one write(2). */
void report_connection(const char *program, struct tlsmsg_client *client);

/* The one line that is told at a terminal: that the connection is encrypted, to whom, and how that is
 * known. options: the client's; phrases: its language. Nothing in plaintext. */
void report_connected(const char *program, struct tlsmsg_client *client,
                      const struct tlsmsg_options *options, const struct phrases *phrases);

/* Prints the block: with styled as an aligned table in colour, else as lines that each begin with
 * the program's name, as all else does that goes to a log. */
void report_print_connection(const struct report *report, const char *program, bool styled,
                             FILE *out);

/* ---- --probe */

/* Connects, goes through the handshake, closes in order, reads the server's last word and shows on
 * stdout what was seen. options: the client's, which say what decides about trust.
 * Returns the exit code of a conversation; a failure is told on stderr too. */
enum exit_code report_probe(const char *program, struct tlsmsg_client *client,
                            const struct tlsmsg_options *options, bool as_json);

/* A screen for people, the verdict last; coloured where colour is set. */
void report_print_screen(const struct report *report, bool colour, FILE *out);

/* One JSON object on a line. Fields are absent where there is nothing, but for "result", "detail"
 * and "exit". False: out of memory, nothing was printed. */
bool report_print_json(const struct report *report, FILE *out);

/* One word: "trusted", "untrusted", "refused" (the server is trusted and does not let us in) or
 * "failed". */
const char *report_result(const struct report *report);

/* Why: the reason for trust, or the failure without the address that stands elsewhere. */
const char *report_detail(const struct report *report);

/* Whole days until a time, negative once it is past. */
int64_t report_days_left(int64_t unix_s, int64_t now_unix_s);

#endif
