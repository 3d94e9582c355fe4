/* The main thread's small jobs, with a clock, a certificate and a log of the test's own. */
#include "support/unit.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "app/metrics.h"
#include "app/upkeep.h"

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

static struct service no_manager = {.notify_fd = -1};

static void begin(struct upkeep *upkeep, const char *metrics_file)
{
    now_unix_s = START;
    expiry_unix_s = 0;
    warnings = 0;
    upkeep_init(upkeep, &no_manager, NULL, NULL, metrics_file);
}

static void test_nothing_to_wake_for(void **state)
{
    struct upkeep upkeep;

    (void)state;
    begin(&upkeep, NULL);
    assert_int_equal(upkeep_turn(&upkeep, 1), 0);
    upkeep_end(&upkeep);
    assert_int_equal(warnings, 0);
}

static void test_watchdog_comes_first(void **state)
{
    struct service service = {.notify_fd = -1, .watchdog_ns = 10};
    struct upkeep upkeep;

    (void)state;
    begin(&upkeep, NULL);
    upkeep.service = &service;
    assert_int_equal(upkeep_turn(&upkeep, 100), 110);
    assert_int_equal(upkeep_turn(&upkeep, 105), 110);
}

static void test_certificates_are_warned_about_daily(void **state)
{
    struct upkeep upkeep;

    (void)state;
    begin(&upkeep, NULL);
    expiry_unix_s = START + 5 * DAY;
    (void)upkeep_turn(&upkeep, 1);
    assert_int_equal(warnings, 0); /* the library did at start */
    now_unix_s += DAY;
    (void)upkeep_turn(&upkeep, 2);
    (void)upkeep_turn(&upkeep, 3);
    assert_int_equal(warnings, 1);
    assert_int_equal(warned_cause, TLSMSG_CAUSE_CERTIFICATE);
    now_unix_s += DAY;
    upkeep_reloaded(&upkeep); /* and the library again */
    (void)upkeep_turn(&upkeep, 4);
    assert_int_equal(warnings, 1);
    now_unix_s += DAY;
    (void)upkeep_turn(&upkeep, 5);
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
    struct upkeep upkeep;

    (void)state;
    assert_non_null(mkdtemp(folder));
    (void)snprintf(path, sizeof(path), "%s/m.prom", folder);
    begin(&upkeep, path);
    assert_int_equal(upkeep_turn(&upkeep, 1), 1 + METRICS_INTERVAL_NS);
    assert_true(holds(path, "tlsmsg_messages_total 7\n"));

    assert_int_equal(unlink(path), 0);
    assert_int_equal(upkeep_turn(&upkeep, METRICS_INTERVAL_NS), 1 + METRICS_INTERVAL_NS);
    assert_int_equal(access(path, F_OK), -1);
    (void)upkeep_turn(&upkeep, 1 + METRICS_INTERVAL_NS);
    assert_int_equal(unlink(path), 0);

    upkeep_end(&upkeep);
    assert_int_equal(unlink(path), 0);
    assert_int_equal(rmdir(folder), 0);
    assert_int_equal(warnings, 0);
}

static void test_failed_metrics_are_told_once(void **state)
{
    char folder[] = "/tmp/tlsmsg-upkeep-XXXXXX";
    char path[64];
    struct upkeep upkeep;

    (void)state;
    assert_non_null(mkdtemp(folder));
    (void)snprintf(path, sizeof(path), "%s/m.prom", folder);
    assert_int_equal(rmdir(folder), 0);
    begin(&upkeep, path);
    (void)upkeep_turn(&upkeep, 1);
    upkeep_end(&upkeep);
    assert_int_equal(warnings, 1);
    assert_int_equal(warned_cause, TLSMSG_CAUSE_OTHER);

    assert_int_equal(mkdir(folder, 0700), 0);
    upkeep_end(&upkeep);
    assert_int_equal(unlink(path), 0);
    assert_int_equal(rmdir(folder), 0);
    upkeep_end(&upkeep);
    assert_int_equal(warnings, 2); /* it had worked again in between */
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_nothing_to_wake_for),
        cmocka_unit_test(test_watchdog_comes_first),
        cmocka_unit_test(test_certificates_are_warned_about_daily),
        cmocka_unit_test(test_metrics_when_due_and_at_the_end),
        cmocka_unit_test(test_failed_metrics_are_told_once),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
