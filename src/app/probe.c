/* Probe: a conversation without a message.
 *
 * Under TLS 1.3 a server's refusal of our certificate comes after our handshake is done, so the
 * report waits until close_notify was answered. What was seen is shown whatever the verdict. One
 * thread. */
#include "app/probe.h"

#include <string.h>
#include <time.h>
#include <unistd.h>

#include "app/answer.h"
#include "app/complain.h"
#include "app/terminal.h"

#define DAY_S 86400

int64_t probe_days_left(int64_t unix_s, int64_t now_unix_s)
{
    int64_t left = unix_s - now_unix_s;

    return left >= 0 ? left / DAY_S : -((-left + DAY_S - 1) / DAY_S);
}

const char *probe_result(const struct probe_report *report)
{
    switch (report->exit) {
    case EXIT_DONE:
        return "trusted";
    case EXIT_UNTRUSTED:
        return "untrusted";
    case EXIT_REFUSED:
        return "refused";
    default:
        return "failed";
    }
}

const char *probe_detail(const struct probe_report *report)
{
    const char *address = report->address;
    const char *text = report->error.text;
    size_t len = address != NULL ? strlen(address) : 0;

    if (report->exit == EXIT_DONE) {
        return report->trust;
    }
    return len > 0 && strncmp(text, address, len) == 0 && strncmp(text + len, ": ", 2) == 0
               ? text + len + 2
               : text;
}

/* A key that decides stands in for chain and name, unless --ca asks for them too. */
static const char *trust_in_words(const struct probe_style *style)
{
    bool by_key = style->by_pin || style->by_first_use;

    if (by_key && style->by_ca) {
        return "its chain, its name and its key are as asked for";
    }
    if (by_key) {
        return style->by_pin ? "its key is the pinned one" : "its key is the recorded one";
    }
    return style->by_ca ? "its chain leads to --ca, and its name holds"
                        : "its chain leads to a CA of this system, and its name holds";
}

static void connect_and_leave(struct tlsmsg_client *client, struct probe_report *report)
{
    struct tlsmsg_error late = {.code = TLSMSG_OK};

    if (tlsmsg_client_connect(client, &report->error) != TLSMSG_CLIENT_OK) {
        report->exit = exit_code_for(report->error.code, EXIT_WHILE_CONNECTING);
    }
    if (tlsmsg_client_close(client, &late) == TLSMSG_CLIENT_ERROR && report->exit == EXIT_DONE) {
        report->error = late;
        report->exit = exit_code_for(late.code, EXIT_WHILE_TALKING);
    }
}

static void collect(struct tlsmsg_client *client, struct probe_report *report)
{
    const struct tlsmsg_tls *tls = tlsmsg_client_tls(client);
    const struct tlsmsg_certificate *certificate;

    report->address = tlsmsg_client_address(client);
    if (tls != NULL) {
        report->tls = *tls;
    }
    while (report->count < PROBE_CHAIN_MAX &&
           (certificate = tlsmsg_client_certificate(client, report->count)) != NULL) {
        report->chain[report->count++] = *certificate;
    }
    report->now_unix_s = (int64_t)time(NULL);
}

enum exit_code probe_run(const char *program, struct tlsmsg_client *client,
                         const struct probe_style *style)
{
    struct probe_report report = {.trust = trust_in_words(style), .exit = EXIT_DONE};

    connect_and_leave(client, &report);
    collect(client, &report);
    if (style->json) {
        probe_print_json(&report, stdout);
    } else if (report.address != NULL) {
        probe_print_text(&report, terminal_takes_style(STDOUT_FILENO), stdout);
    }
    if (answer_flush(program) != EXIT_DONE) {
        return EXIT_OTHER;
    }
    if (report.exit != EXIT_DONE) {
        complain(program, "%s", report.error.text);
    }
    return report.exit;
}
