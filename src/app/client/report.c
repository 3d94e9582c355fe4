/* See report.h. The texts come from the library, which has escaped what is the server's; what stands
 * on the command line is escaped here. Main thread. */
#include "app/client/report.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "app/terminal.h"
#include "base/build.h"
#include "base/clock.h"
#include "base/escape.h"
#include "base/json.h"

#define SOON_DAYS 30

#define BOLD "\033[1m"
#define RED "\033[31m"
#define GREEN "\033[32m"
#define YELLOW "\033[33m"
#define PLAIN "\033[0m"

int64_t report_days_left(int64_t unix_s, int64_t now_unix_s)
{
    int64_t left = unix_s - now_unix_s;

    return left >= 0 ? left / CLOCK_S_PER_DAY : -((-left + CLOCK_S_PER_DAY - 1) / CLOCK_S_PER_DAY);
}

static const char *tint_of(int64_t days_left)
{
    return days_left < 0 ? RED : days_left < SOON_DAYS ? YELLOW : "";
}

static void collect(struct report *report, struct tlsmsg_client *client)
{
    const struct tlsmsg_tls *tls = tlsmsg_client_tls(client);
    const struct tlsmsg_certificate *certificate;

    report->address = tlsmsg_client_address(client);
    if (tls != NULL) {
        report->tls = *tls;
    }
    while (report->count < REPORT_CHAIN_MAX &&
           (certificate = tlsmsg_client_certificate(client, report->count)) != NULL) {
        report->chain[report->count++] = *certificate;
    }
    report->now_unix_s = (int64_t)time(NULL);
}

/* ---- a connection */

struct block {
    const char *program;
    bool styled;
    FILE *out;
};

static void print_tinted(const struct block *block, const char *label, const char *value,
                         const char *tint)
{
    if (value == NULL) {
        return;
    }
    if (block->styled) {
        (void)fprintf(block->out, "  %-13s%s%s%s\n", label, tint, value,
                      *tint != '\0' ? PLAIN : "");
    } else {
        (void)fprintf(block->out, "%s: %s: %s\n", block->program, label, value);
    }
}

static void print_line(const struct block *block, const char *label, const char *value)
{
    print_tinted(block, label, value, "");
}

static void print_address(const struct block *block, const char *address)
{
    char shown[512];

    (void)escape_name(shown, sizeof(shown), address != NULL ? address : "?");
    if (block->styled) {
        (void)fprintf(block->out, BOLD "%s" PLAIN "\n", shown);
    } else {
        print_line(block, "address", shown);
    }
}

static void print_expiry(const struct block *block, int64_t expiry_unix_s, int64_t now_unix_s)
{
    int64_t days = report_days_left(expiry_unix_s, now_unix_s);
    char date[32];
    char value[80];

    clock_print_utc(expiry_unix_s, 0, date, sizeof(date));
    if (days < 0) {
        /* A session can outlive its certificate. */
        (void)snprintf(value, sizeof(value), "%.*s, %" PRId64 " days ago", CLOCK_DATE_CHARS, date,
                       -days);
    } else {
        (void)snprintf(value, sizeof(value), "%.*s, %" PRId64 " days left", CLOCK_DATE_CHARS, date,
                       days);
    }
    print_tinted(block, "expires", value, tint_of(days));
}

void report_print_connection(const struct report *report, const char *program, bool styled,
                             FILE *out)
{
    const struct block block = {.program = program, .styled = styled, .out = out};

    print_address(&block, report->address);
    if (report->tls.version == NULL) {
        print_tinted(&block, "transport", "plaintext, not encrypted", YELLOW);
        return;
    }
    print_line(&block, "version", report->tls.version);
    print_line(&block, "cipher", report->tls.cipher);
    print_line(&block, "group", report->tls.group);
    print_line(&block, "resumed", report->tls.resumed ? "yes" : "no");
    if (report->count > 0) {
        print_line(&block, "certificate", report->chain[0].subject);
        print_line(&block, "names", report->chain[0].names);
        print_expiry(&block, report->chain[0].not_after_unix_s, report->now_unix_s);
        print_line(&block, "pin", report->chain[0].pin);
    }
}

void report_connection(const char *program, struct tlsmsg_client *client)
{
    struct report report = {0};
    char *text = NULL;
    size_t len = 0;
    FILE *out;

    if (BUILD_HAS_TLS && tlsmsg_client_tls(client) == NULL) {
        startup_warn(program, "there is no connection now");
        return;
    }
    out = open_memstream(&text, &len);
    if (out == NULL) {
        startup_warn(program, "out of memory");
        return;
    }
    collect(&report, client);
    report_print_connection(&report, program, terminal_takes_style(STDERR_FILENO), out);
    if (fclose(out) != 0) {
        startup_warn(program, "out of memory");
    } else if (write(STDERR_FILENO, text, len) < 0) {
        /* Nobody is left to tell. */
    }
    free(text);
}

/* "localhost:12345 (127.0.0.1:12345)", or the latter alone where nothing else was asked for. */
static void print_target(struct tlsmsg_client *client, const struct tlsmsg_options *options,
                         char *buf, size_t cap)
{
    const char *reached = tlsmsg_client_address(client);
    const char *asked = tlsmsg_options_text(options, TLSMSG_OPT_ADDRESS, 0);
    char shown[512];

    if (asked == NULL || strcmp(asked, reached) == 0 ||
        asked[strspn(asked, "0123456789")] == '\0') {
        (void)snprintf(buf, cap, "%s", reached);
    } else {
        (void)snprintf(buf, cap, "%s (%s)", escape_name(shown, sizeof(shown), asked), reached);
    }
}

/* What stands for the server: a CA's file or the system's, a key, or both where both must hold. */
static void print_witness(const struct tlsmsg_options *options, const struct phrases *phrases,
                          char *buf, size_t cap)
{
    const char *ca = tlsmsg_options_text(options, TLSMSG_OPT_CA, 0);
    const char *key = NULL;
    char shown[512];

    if (tlsmsg_options_is_set(options, TLSMSG_OPT_PIN)) {
        key = phrases->by_pin;
    } else if (tlsmsg_options_number(options, TLSMSG_OPT_TRUST_ON_FIRST_USE) != 0) {
        key = phrases->by_record;
    }
    if (ca == NULL) {
        (void)snprintf(buf, cap, "%s", key != NULL ? key : phrases->by_system);
    } else {
        (void)snprintf(buf, cap, "%s%s%s", escape_name(shown, sizeof(shown), ca),
                       key != NULL ? phrases->both : "", key != NULL ? key : "");
    }
}

void report_connected(const char *program, struct tlsmsg_client *client,
                      const struct tlsmsg_options *options, const struct phrases *phrases)
{
    const struct tlsmsg_tls *tls = tlsmsg_client_tls(client);
    char target[1024];
    char witness[1024];

    if (tls != NULL) {
        print_target(client, options, target, sizeof(target));
        print_witness(options, phrases, witness, sizeof(witness));
        startup_warn(program, "%s%s%s%s%s%s", phrases->connected_to, target,
                     phrases->encrypted_with, tls->version, phrases->verified_by, witness);
    }
}

/* ---- --probe: the verdict */

const char *report_result(const struct report *report)
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

const char *report_detail(const struct report *report)
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
static const char *trust_in_words(const struct tlsmsg_options *options)
{
    bool by_ca = tlsmsg_options_is_set(options, TLSMSG_OPT_CA);
    bool by_pin = tlsmsg_options_is_set(options, TLSMSG_OPT_PIN);
    bool by_key = by_pin || tlsmsg_options_number(options, TLSMSG_OPT_TRUST_ON_FIRST_USE) != 0;

    if (by_key && by_ca) {
        return "its chain, its name and its key are as asked for";
    }
    if (by_key) {
        return by_pin ? "its key is the pinned one" : "its key is the recorded one";
    }
    return by_ca ? "its chain leads to --ca, and its name holds"
                 : "its chain leads to a CA of this system, and its name holds";
}

/* ---- --probe: JSON */

static void put_time(struct json *json, const char *name, int64_t unix_s)
{
    char text[32];

    clock_print_utc(unix_s, 0, text, sizeof(text));
    json_string(json, name, text);
}

static void put_certificate(struct json *json, const struct tlsmsg_certificate *certificate,
                            int64_t now_unix_s)
{
    json_begin_object(json, NULL);
    json_string(json, "subject", certificate->subject);
    json_string(json, "issuer", certificate->issuer);
    if (strcmp(certificate->names, "no name") != 0) {
        json_string(json, "names", certificate->names);
    }
    json_string(json, "pin", certificate->pin);
    put_time(json, "not_before", certificate->not_before_unix_s);
    put_time(json, "not_after", certificate->not_after_unix_s);
    json_signed(json, "days_left", report_days_left(certificate->not_after_unix_s, now_unix_s));
    json_end_object(json);
}

static void put_server(struct json *json, const struct report *report)
{
    if (report->tls.version != NULL) {
        json_begin_object(json, "tls");
        json_string(json, "version", report->tls.version);
        json_string(json, "cipher", report->tls.cipher);
        json_string(json, "group", report->tls.group);
        json_string(json, "protocol", report->tls.protocol);
        json_end_object(json);
    }
    if (report->count > 0) {
        json_string(json, "pin", report->chain[0].pin);
        json_begin_array(json, "chain");
        for (size_t i = 0; i < report->count; i++) {
            put_certificate(json, &report->chain[i], report->now_unix_s);
        }
        json_end_array(json);
    }
}

bool report_print_json(const struct report *report, FILE *out)
{
    struct buffer line;
    struct json json;
    bool good;

    buffer_init(&line, SIZE_MAX, 0);
    json_begin(&json, &line);
    put_time(&json, "time", report->now_unix_s);
    json_string(&json, "address", report->address);
    put_server(&json, report);
    json_string(&json, "result", report_result(report));
    json_string(&json, "detail", report_detail(report));
    json_signed(&json, "exit", report->exit);
    good = json_end(&json, "\n") == TLSMSG_OK;
    if (good) {
        (void)fwrite(buffer_head(&line), 1, line.len, out);
    }
    buffer_fini(&line);
    return good;
}

/* ---- --probe: a screen */

static void print_field(FILE *out, const char *label, const char *value)
{
    (void)fprintf(out, "  %-14s%s\n", label, value != NULL ? value : "not agreed on");
}

static void print_validity(const struct tlsmsg_certificate *cert, int64_t now_unix_s, bool colour,
                           FILE *out)
{
    int64_t days = report_days_left(cert->not_after_unix_s, now_unix_s);
    char from[32];
    char to[32];

    clock_print_utc(cert->not_before_unix_s, 0, from, sizeof(from));
    clock_print_utc(cert->not_after_unix_s, 0, to, sizeof(to));
    (void)fprintf(out, "    %-12s%.*s to %.*s, %s", "valid", CLOCK_DATE_CHARS, from,
                  CLOCK_DATE_CHARS, to, colour ? tint_of(days) : "");
    if (cert->not_before_unix_s > now_unix_s) {
        (void)fprintf(out, "not yet");
    } else if (days < 0) {
        (void)fprintf(out, "expired %" PRId64 " days ago", -days);
    } else {
        (void)fprintf(out, "%" PRId64 " days left", days);
    }
    (void)fprintf(out, "%s\n", colour ? PLAIN : "");
}

static void print_chain(const struct report *report, bool colour, FILE *out)
{
    size_t i;

    for (i = 0; i < report->count; i++) {
        const struct tlsmsg_certificate *cert = &report->chain[i];

        print_field(out, i == 0 ? "certificate" : "sent issuer", cert->subject);
        if (i == 0 || strcmp(cert->names, "no name") != 0) {
            (void)fprintf(out, "    %-12s%s\n", "names", cert->names);
        }
        (void)fprintf(out, "    %-12s%s\n", "issuer", cert->issuer);
        print_validity(cert, report->now_unix_s, colour, out);
    }
    if (report->count > 0) {
        print_field(out, "pin", report->chain[0].pin);
    } else {
        print_field(out, "certificate", "none was seen");
    }
}

void report_print_screen(const struct report *report, bool colour, FILE *out)
{
    const char *tint = report->exit == EXIT_DONE ? GREEN : RED;

    (void)fprintf(out, "%s\n", report->address);
    print_field(out, "version", report->tls.version);
    print_field(out, "cipher", report->tls.cipher);
    print_field(out, "group", report->tls.group);
    if (report->tls.version != NULL) {
        print_field(out, "protocol",
                    report->tls.protocol != NULL ? report->tls.protocol : "the document's flow");
    }
    print_chain(report, colour, out);
    (void)fprintf(out, "  %-14s%s%s%s: %s\n", "verification", colour ? tint : "",
                  report_result(report), colour ? PLAIN : "", report_detail(report));
}

/* ---- --probe: a conversation without a message */

/* Under TLS 1.3 a server's refusal of our certificate comes after our handshake is done, so the
 * verdict waits until close_notify was answered. */
static void connect_and_leave(struct tlsmsg_client *client, struct report *report)
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

enum exit_code report_probe(const char *program, struct tlsmsg_client *client,
                            const struct tlsmsg_options *options, bool as_json)
{
    struct report report = {.trust = trust_in_words(options), .exit = EXIT_DONE};

    connect_and_leave(client, &report);
    collect(&report, client); /* what was seen is shown whatever the verdict */
    if (as_json && !report_print_json(&report, stdout)) {
        startup_warn(program, "out of memory");
        return EXIT_OTHER;
    }
    if (!as_json && report.address != NULL) {
        report_print_screen(&report, terminal_takes_style(STDOUT_FILENO), stdout);
    }
    if (startup_flush_stdout(program) != EXIT_DONE) {
        return EXIT_OTHER;
    }
    if (report.exit != EXIT_DONE) {
        startup_warn(program, "%s", report.error.text);
    }
    return report.exit;
}
