/* Facts: one short block on stderr, since stdout is the conversation.
 *
 * The texts come from the library, which has escaped what is the server's; what stands on the
 * command line is escaped here. Main thread. */
#include "app/facts.h"

#include <inttypes.h>
#include <stdlib.h>
#include <time.h>
#include <unistd.h>

#include "app/complain.h"
#include "app/probe.h"
#include "app/terminal.h"
#include "base/clock.h"
#include "base/escape.h"

#define DATE_CHARS 10 /* of "2026-11-22T15:00:00.123Z" */
#define SOON_DAYS 30

#define BOLD "\033[1m"
#define RED "\033[31m"
#define YELLOW "\033[33m"
#define PLAIN "\033[0m"

struct sheet {
    const char *program;
    bool styled;
    FILE *out;
};

static void print_tinted(const struct sheet *sheet, const char *label, const char *value,
                         const char *tint)
{
    if (value == NULL) {
        return;
    }
    if (sheet->styled) {
        (void)fprintf(sheet->out, "  %-13s%s%s%s\n", label, tint, value,
                      *tint != '\0' ? PLAIN : "");
    } else {
        (void)fprintf(sheet->out, "%s: %s: %s\n", sheet->program, label, value);
    }
}

static void print_fact(const struct sheet *sheet, const char *label, const char *value)
{
    print_tinted(sheet, label, value, "");
}

static void print_address(const struct sheet *sheet, const char *address)
{
    char shown[512];

    (void)escape_name(shown, sizeof(shown), address != NULL ? address : "?");
    if (sheet->styled) {
        (void)fprintf(sheet->out, BOLD "%s" PLAIN "\n", shown);
    } else {
        print_fact(sheet, "address", shown);
    }
}

static void print_expiry(const struct sheet *sheet, int64_t expiry_unix_s, int64_t now_unix_s)
{
    int64_t days = probe_days_left(expiry_unix_s, now_unix_s);
    char date[32];
    char value[80];

    clock_print_utc(expiry_unix_s, 0, date, sizeof(date));
    if (days < 0) {
        /* A session can outlive its certificate. */
        (void)snprintf(value, sizeof(value), "%.*s, %" PRId64 " days ago", DATE_CHARS, date, -days);
    } else {
        (void)snprintf(value, sizeof(value), "%.*s, %" PRId64 " days left", DATE_CHARS, date, days);
    }
    print_tinted(sheet, "expires", value, days < 0 ? RED : days < SOON_DAYS ? YELLOW : "");
}

void facts_print(const struct facts *facts, const char *program, bool styled, FILE *out)
{
    const struct sheet sheet = {.program = program, .styled = styled, .out = out};

    print_address(&sheet, facts->address);
    if (facts->tls.version == NULL) {
        print_tinted(&sheet, "transport", "plaintext, not encrypted", YELLOW);
        return;
    }
    print_fact(&sheet, "version", facts->tls.version);
    print_fact(&sheet, "cipher", facts->tls.cipher);
    print_fact(&sheet, "group", facts->tls.group);
    print_fact(&sheet, "resumed", facts->tls.resumed ? "yes" : "no");
    if (facts->has_certificate) {
        print_fact(&sheet, "certificate", facts->certificate.subject);
        print_fact(&sheet, "names", facts->certificate.names);
        print_expiry(&sheet, facts->certificate.not_after_unix_s, facts->now_unix_s);
        print_fact(&sheet, "pin", facts->certificate.pin);
    }
}

void facts_tell(const char *program, struct tlsmsg_client *client)
{
    struct facts facts = {.now_unix_s = (int64_t)time(NULL)};
    const struct tlsmsg_certificate *certificate;
    const struct tlsmsg_tls *tls;
    char *block = NULL;
    size_t len = 0;
    FILE *out = open_memstream(&block, &len);

    if (out == NULL) {
        complain(program, "out of memory");
        return;
    }
    facts.address = tlsmsg_client_address(client);
    tls = tlsmsg_client_tls(client);
    if (tls != NULL) {
        facts.tls = *tls;
    }
    certificate = tlsmsg_client_certificate(client, 0);
    if (certificate != NULL) {
        facts.certificate = *certificate;
        facts.has_certificate = true;
    }
    facts_print(&facts, program, terminal_takes_style(STDERR_FILENO), out);
    if (fclose(out) != 0) {
        complain(program, "out of memory");
    } else if (write(STDERR_FILENO, block, len) < 0) {
        /* Nobody is left to tell. */
    }
    free(block);
}
