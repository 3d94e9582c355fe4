/* A probe's report for programs: one JSON object on one line. Fields are absent where there is
 * nothing, but for "result", "detail" and "exit", which are always there. Main thread. */
#include <inttypes.h>
#include <string.h>

#include "app/probe.h"
#include "base/clock.h"
#include "base/escape.h"

#define TEXT_MAX 512 /* of any text of a report */

/* Prints ,"name":"value" with the given beginning in place of the comma. */
static void print_text(FILE *out, const char *before, const char *name, const char *value)
{
    char escaped[TEXT_MAX * ESCAPE_EXPANSION_MAX];
    size_t len;

    if (value != NULL) {
        len = escape_json(escaped, sizeof(escaped), value, strlen(value));
        (void)fprintf(out, "%s\"%s\":\"%.*s\"", before, name, (int)len, escaped);
    }
}

static void print_time(FILE *out, const char *name, int64_t unix_s)
{
    char time[32];

    clock_print_utc(unix_s, 0, time, sizeof(time));
    print_text(out, ",", name, time);
}

static void print_tls(const struct tlsmsg_tls *tls, FILE *out)
{
    if (tls->version == NULL) {
        return;
    }
    (void)fprintf(out, ",\"tls\":{");
    print_text(out, "", "version", tls->version);
    print_text(out, ",", "cipher", tls->cipher);
    print_text(out, ",", "group", tls->group);
    (void)fprintf(out, "}");
}

static void print_chain(const struct probe_report *report, FILE *out)
{
    size_t i;

    if (report->count == 0) {
        return;
    }
    print_text(out, ",", "pin", report->chain[0].pin);
    (void)fprintf(out, ",\"chain\":[");
    for (i = 0; i < report->count; i++) {
        const struct tlsmsg_certificate *cert = &report->chain[i];

        print_text(out, i == 0 ? "{" : ",{", "subject", cert->subject);
        print_text(out, ",", "issuer", cert->issuer);
        if (strcmp(cert->names, "no name") != 0) {
            print_text(out, ",", "names", cert->names);
        }
        print_text(out, ",", "pin", cert->pin);
        print_time(out, "not_before", cert->not_before_unix_s);
        print_time(out, "not_after", cert->not_after_unix_s);
        (void)fprintf(out, ",\"days_left\":%" PRId64 "}",
                      probe_days_left(cert->not_after_unix_s, report->now_unix_s));
    }
    (void)fprintf(out, "]");
}

void probe_print_json(const struct probe_report *report, FILE *out)
{
    char now[32];

    clock_print_utc(report->now_unix_s, 0, now, sizeof(now));
    print_text(out, "{", "time", now);
    print_text(out, ",", "address", report->address);
    print_tls(&report->tls, out);
    print_chain(report, out);
    print_text(out, ",", "result", probe_result(report));
    print_text(out, ",", "detail", probe_detail(report));
    (void)fprintf(out, ",\"exit\":%d}\n", (int)report->exit);
}
