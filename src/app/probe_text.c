/* A probe's report for people: one screen, facts first, the verdict last. Main thread. */
#include <inttypes.h>
#include <string.h>

#include "app/probe.h"
#include "base/clock.h"

#define DATE_CHARS 10 /* of "2026-11-22T15:00:00.123Z" */
#define SOON_DAYS 30

#define RED "\033[31m"
#define GREEN "\033[32m"
#define YELLOW "\033[33m"
#define PLAIN "\033[0m"

static void print_field(FILE *out, const char *label, const char *value)
{
    (void)fprintf(out, "  %-14s%s\n", label, value != NULL ? value : "not agreed on");
}

static void print_validity(const struct tlsmsg_certificate *cert, int64_t now_unix_s, bool colour,
                           FILE *out)
{
    int64_t days = probe_days_left(cert->not_after_unix_s, now_unix_s);
    const char *tint = days < 0 ? RED : days < SOON_DAYS ? YELLOW : "";
    char from[32];
    char to[32];

    clock_print_utc(cert->not_before_unix_s, 0, from, sizeof(from));
    clock_print_utc(cert->not_after_unix_s, 0, to, sizeof(to));
    (void)fprintf(out, "    %-12s%.*s to %.*s, %s", "valid", DATE_CHARS, from, DATE_CHARS, to,
                  colour ? tint : "");
    if (cert->not_before_unix_s > now_unix_s) {
        (void)fprintf(out, "not yet");
    } else if (days < 0) {
        (void)fprintf(out, "expired %" PRId64 " days ago", -days);
    } else {
        (void)fprintf(out, "%" PRId64 " days left", days);
    }
    (void)fprintf(out, "%s\n", colour ? PLAIN : "");
}

static void print_chain(const struct probe_report *report, bool colour, FILE *out)
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

void probe_print_text(const struct probe_report *report, bool colour, FILE *out)
{
    const char *tint = report->exit == EXIT_DONE ? GREEN : RED;

    (void)fprintf(out, "%s\n", report->address);
    print_field(out, "version", report->tls.version);
    print_field(out, "cipher", report->tls.cipher);
    print_field(out, "group", report->tls.group);
    print_chain(report, colour, out);
    (void)fprintf(out, "  %-14s%s%s%s: %s\n", "verification", colour ? tint : "",
                  probe_result(report), colour ? PLAIN : "", probe_detail(report));
}
