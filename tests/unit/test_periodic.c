/* The main thread's small jobs, with a clock, a certificate and a log of the test's own. */
#include "support/unit.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "app/server/metrics.h"
#include "app/server/periodic.h"

#define DAY 86400
#define START (20000 * (int64_t)DAY)

static int64_t now_unix_s;
static int64_t expiry_unix_s;
static unsigned warnings;
static enum tlsmsg_cause warned_cause;

time_t __wrap_time(time_t *out);
time_t __wrap___time64(time_t *out);
int64_t __wrap_tlsmsg_server_certificate_expiry(const struct tlsmsg_server *server);
void __wrap_tlsmsg_server_stats(const struct tlsmsg_server *server, struct tlsmsg_stats *out);
void __wrap_log_event(struct log *log, const struct tlsmsg_event *event);

time_t __wrap_time(time_t *out)
{
    assert_null(out);
    return (time_t)now_unix_s;
}

time_t __wrap___time64(time_t *out)
{
    return __wrap_time(out);
}

int64_t __wrap_tlsmsg_server_certificate_expiry(const struct tlsmsg_server *server)
{
    (void)server;
    return expiry_unix_s;
}

void __wrap_tlsmsg_server_stats(const struct tlsmsg_server *server, struct tlsmsg_stats *out)
{
    (void)server;
    assert_int_equal(out->size, sizeof(*out));
    *out = (struct tlsmsg_stats){.size = sizeof(*out), .messages = 7};
}

void __wrap_log_event(struct log *log, const struct tlsmsg_event *event)
{
    (void)log;
    assert_int_equal(event->level, TLSMSG_LOG_WARNING);
    warned_cause = event->cause;
    warnings++;
}

static struct systemd no_manager = {.notify_fd = -1};

static void begin(struct periodic *periodic, const char *metrics_file)
{
    now_unix_s = START;
    expiry_unix_s = 0;
    warnings = 0;
    periodic_init(periodic, &no_manager, NULL, NULL, NULL, metrics_file);
}

static void test_nothing_to_wake_for(void **state)
{
    struct periodic periodic;

    (void)state;
    begin(&periodic, NULL);
    assert_int_equal(periodic_run(&periodic, 1), 0);
    periodic_end(&periodic);
    assert_int_equal(warnings, 0);
}

static void test_watchdog_comes_first(void **state)
{
    struct systemd systemd = {.notify_fd = -1, .watchdog_ns = 10};
    struct periodic periodic;

    (void)state;
    begin(&periodic, NULL);
    periodic.systemd = &systemd;
    assert_int_equal(periodic_run(&periodic, 100), 110);
    assert_int_equal(periodic_run(&periodic, 105), 110);
}

static void test_certificates_are_warned_about_daily(void **state)
{
    struct periodic periodic;

    (void)state;
    begin(&periodic, NULL);
    expiry_unix_s = START + 5 * DAY;
    (void)periodic_run(&periodic, 1);
    assert_int_equal(warnings, 0); /* the library did at start */
    now_unix_s += DAY;
    (void)periodic_run(&periodic, 2);
    (void)periodic_run(&periodic, 3);
    assert_int_equal(warnings, 1);
    assert_int_equal(warned_cause, TLSMSG_CAUSE_CERTIFICATE);
    now_unix_s += DAY;
    periodic_reloaded(&periodic); /* and the library again */
    (void)periodic_run(&periodic, 4);
    assert_int_equal(warnings, 1);
    now_unix_s += DAY;
    (void)periodic_run(&periodic, 5);
    assert_int_equal(warnings, 2);
}

static bool holds(const char *path, const char *text)
{
    char data[8192] = "";
    FILE *file = fopen(path, "r");
    size_t n;

    if (file == NULL) {
        return false;
    }
    n = fread(data, 1, sizeof(data) - 1, file);
    data[n] = '\0';
    (void)fclose(file);
    return strstr(data, text) != NULL;
}

static void test_metrics_when_due_and_at_the_end(void **state)
{
    char folder[] = "/tmp/tlsmsg-upkeep-XXXXXX";
    char path[64];
    struct periodic periodic;

    (void)state;
    assert_non_null(mkdtemp(folder));
    (void)snprintf(path, sizeof(path), "%s/m.prom", folder);
    begin(&periodic, path);
    assert_int_equal(periodic_run(&periodic, 1), 1 + METRICS_INTERVAL_NS);
    assert_true(holds(path, "tlsmsg_messages_total 7\n"));

    assert_int_equal(unlink(path), 0);
    assert_int_equal(periodic_run(&periodic, METRICS_INTERVAL_NS), 1 + METRICS_INTERVAL_NS);
    assert_int_equal(access(path, F_OK), -1);
    (void)periodic_run(&periodic, 1 + METRICS_INTERVAL_NS);
    assert_int_equal(unlink(path), 0);

    periodic_end(&periodic);
    assert_int_equal(unlink(path), 0);
    assert_int_equal(rmdir(folder), 0);
    assert_int_equal(warnings, 0);
}

static void test_failed_metrics_are_told_once(void **state)
{
    char folder[] = "/tmp/tlsmsg-upkeep-XXXXXX";
    char path[64];
    struct periodic periodic;

    (void)state;
    assert_non_null(mkdtemp(folder));
    (void)snprintf(path, sizeof(path), "%s/m.prom", folder);
    assert_int_equal(rmdir(folder), 0);
    begin(&periodic, path);
    (void)periodic_run(&periodic, 1);
    periodic_end(&periodic);
    assert_int_equal(warnings, 1);
    assert_int_equal(warned_cause, TLSMSG_CAUSE_OTHER);

    assert_int_equal(mkdir(folder, 0700), 0);
    periodic_end(&periodic);
    assert_int_equal(unlink(path), 0);
    assert_int_equal(rmdir(folder), 0);
    periodic_end(&periodic);
    assert_int_equal(warnings, 2); /* it had worked again in between */
}

/* ---- when the warning about a certificate is due */

static const struct row {
    const char *name;
    int64_t expiry;
    int64_t last;
    bool due;
    int64_t last_after;
} rows[] = {
    {"no certificate", 0, START - 9 * DAY, false, START - 9 * DAY},
    {"far away", START + 31 * DAY, START - 2 * DAY, false, START - 2 * DAY},
    {"30 days are enough", START + 30 * DAY, START - 2 * DAY, false, START - 2 * DAY},
    {"a second less", START + 30 * DAY - 1, START - 2 * DAY, true, START},
    {"told today", START + DAY, START - DAY + 1, false, START - DAY + 1},
    {"told a day ago", START + DAY, START - DAY, true, START},
    {"past, and told each day", START - 3 * DAY, START - DAY, true, START},
    {"the clock was set back", START + DAY, START + 300 * DAY, false, START},
};

static void test_due(void **state)
{
    const struct row *row = *state;
    int64_t last = row->last;

    assert_int_equal(periodic_expiry_is_due(row->expiry, &last, START), row->due);
    assert_int_equal(last, row->last_after);
}

static void test_once_a_day(void **state)
{
    int64_t last = START;
    unsigned told = 0;

    (void)state;
    for (int64_t now = START; now < START + 10 * DAY; now += 600) {
        told += periodic_expiry_is_due(START + 40 * DAY - 5 * DAY, &last, now) ? 1 : 0;
    }
    assert_int_equal(told, 5); /* once in each of the last five days */
}

static void test_text_of_the_warning(void **state)
{
    char text[192];

    (void)state;
    periodic_print_expiry(12 * DAY + 5, DAY, text, sizeof(text));
    assert_non_null(strstr(text, "ends in 11 days, on 1970-01-13"));
    periodic_print_expiry(12 * DAY, 13 * DAY, text, sizeof(text));
    assert_non_null(strstr(text, "ended on 1970-01-13"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_nothing_to_wake_for),
        cmocka_unit_test(test_watchdog_comes_first),
        cmocka_unit_test(test_certificates_are_warned_about_daily),
        cmocka_unit_test(test_metrics_when_due_and_at_the_end),
        cmocka_unit_test(test_failed_metrics_are_told_once),
        cmocka_unit_test(test_once_a_day),
        cmocka_unit_test(test_text_of_the_warning),
    };
    int failed = cmocka_run_group_tests(tests, NULL, NULL);

    RUN_ROWS(failed, test_due, rows);
    return failed;
}
