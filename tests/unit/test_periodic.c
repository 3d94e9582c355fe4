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
#include "base/clock.h"

#define DAY 86400
#define START (20000 * (int64_t)DAY)

static int64_t now_unix_s;
static int64_t next_unix_s;  /* what telling answers */
static int64_t since_unix_s; /* ... and was asked with last */
static unsigned tellings;
static unsigned warnings;
static enum tlsmsg_cause warned_cause;
static char warned_text[256];

time_t __wrap_time(time_t *out);
time_t __wrap___time64(time_t *out);
char *__real_metrics_print(const struct tlsmsg_stats *stats, const struct metrics_about *about);
char *__wrap_metrics_print(const struct tlsmsg_stats *stats, const struct metrics_about *about);
bool __wrap_storing_stats(struct storing *storing, struct store_stats *stats,
                          enum store_promise *promise);
int64_t __wrap_tlsmsg_server_expiry(const struct tlsmsg_server *server, enum tlsmsg_expiry what);
int64_t __wrap_tlsmsg_server_tell_ends(const struct tlsmsg_server *server, int64_t since_s);
void __wrap_tlsmsg_server_stats(const struct tlsmsg_server *server, struct tlsmsg_stats *out);
void __wrap_log_event(struct log *log, const struct tlsmsg_event *event);

static bool no_memory;
static bool has_store;
static struct metrics_about printed; /* what the last metrics were about */

char *__wrap_metrics_print(const struct tlsmsg_stats *stats, const struct metrics_about *about)
{
    printed = *about;
    return no_memory ? NULL : __real_metrics_print(stats, about);
}

bool __wrap_storing_stats(struct storing *storing, struct store_stats *stats,
                          enum store_promise *promise)
{
    assert_null(storing);
    if (has_store) {
        *stats = (struct store_stats){.taken = 9};
        *promise = STORE_PROMISE_REPLICATED;
    }
    return has_store;
}

time_t __wrap_time(time_t *out)
{
    assert_null(out);
    return (time_t)now_unix_s;
}

time_t __wrap___time64(time_t *out)
{
    return __wrap_time(out);
}

int64_t __wrap_tlsmsg_server_expiry(const struct tlsmsg_server *server, enum tlsmsg_expiry what)
{
    (void)server;
    return what == TLSMSG_EXPIRY_CRL ? START + 5 * (int64_t)DAY : 0;
}

int64_t __wrap_tlsmsg_server_tell_ends(const struct tlsmsg_server *server, int64_t since_s)
{
    (void)server;
    since_unix_s = since_s;
    tellings++;
    return next_unix_s;
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
    (void)snprintf(warned_text, sizeof(warned_text), "%s", event->text);
    warnings++;
}

static struct systemd no_manager = {.notify_fd = -1};

static void begin(struct periodic *periodic, const char *metrics_file)
{
    static struct keeper keeper;

    keeper_init(&keeper, (const char *const[KEEPER_FILES]){[KEEPER_METRICS] = metrics_file});
    now_unix_s = START;
    next_unix_s = 0;
    warnings = 0;
    tellings = 0;
    periodic_init(periodic, &no_manager, NULL, NULL, NULL, &keeper);
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

static void test_ends_are_told_daily(void **state)
{
    struct periodic periodic;

    (void)state;
    begin(&periodic, NULL);
    assert_int_equal(tellings, 1); /* asks what is next, and tells nothing anew: the start did */
    assert_int_equal(since_unix_s, START);
    (void)periodic_run(&periodic, 1);
    assert_int_equal(tellings, 1);
    now_unix_s += DAY;
    (void)periodic_run(&periodic, 2);
    (void)periodic_run(&periodic, 3);
    assert_int_equal(tellings, 2);
    assert_int_equal(since_unix_s, 0); /* all of it */
    now_unix_s += DAY;
    periodic_reloaded(&periodic); /* and the library again */
    (void)periodic_run(&periodic, 4);
    assert_int_equal(tellings, 3);
    now_unix_s += DAY;
    (void)periodic_run(&periodic, 5);
    assert_int_equal(tellings, 4);
    assert_int_equal(since_unix_s, 0);
}

/* A list that lives for hours comes near its end between two days. */
static void test_what_comes_near_is_told_at_once(void **state)
{
    struct periodic periodic;

    (void)state;
    next_unix_s = 0;
    begin(&periodic, NULL);
    next_unix_s = START + 100;
    periodic_reloaded(&periodic);
    tellings = 0;
    now_unix_s = START + 99;
    (void)periodic_run(&periodic, 1);
    assert_int_equal(tellings, 0);
    now_unix_s = START + 100;
    next_unix_s = START + 200;
    (void)periodic_run(&periodic, 2);
    (void)periodic_run(&periodic, 3);
    assert_int_equal(tellings, 1);
    assert_int_equal(since_unix_s, START); /* and not what was told then */
    now_unix_s = START + 200;
    next_unix_s = 0;
    (void)periodic_run(&periodic, 4);
    now_unix_s = START + 300;
    (void)periodic_run(&periodic, 5);
    assert_int_equal(tellings, 2);
    assert_int_equal(since_unix_s, START + 100);
}

/* The next look is when the next end comes, where that is soon; never at once again. */
static void test_when_it_looks_next(void **state)
{
    const int64_t second_ns = INT64_C(1000000000);
    struct periodic periodic;

    (void)state;
    begin(&periodic, NULL);
    next_unix_s = START + 61;
    periodic_reloaded(&periodic);
    assert_int_equal(periodic_run(&periodic, 7), 0);
    now_unix_s = START + 1;
    assert_int_equal(periodic_run(&periodic, 7), 7 + 60 * second_ns);
    now_unix_s = START + 60;
    assert_int_equal(periodic_run(&periodic, 8), 8 + second_ns);
    now_unix_s = START + 59;
    assert_int_equal(periodic_run(&periodic, 8), 8 + 2 * second_ns);
    now_unix_s = START + 61;
    assert_int_equal(periodic_run(&periodic, 9), 9 + second_ns);
}

/* Where the library goes on naming an end that has passed, it is asked once a second. */
static void test_an_end_that_stays(void **state)
{
    const int64_t second_ns = INT64_C(1000000000);
    struct periodic periodic;

    (void)state;
    begin(&periodic, NULL);
    next_unix_s = START + 1;
    periodic_reloaded(&periodic);
    now_unix_s = START + 100;
    tellings = 0;
    for (unsigned i = 1; i < 4; i++) {
        assert_int_equal(periodic_run(&periodic, i), i + second_ns);
        assert_int_equal(tellings, i);
    }
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
    assert_true(holds(path, "tlsmsg_crl_next_update_timestamp_seconds 1728432000\n"));
    assert_string_equal(printed.version, tlsmsg_version());
    assert_string_equal(printed.transport, tlsmsg_transport());
    assert_int_equal(printed.started_unix_s, START);
    assert_int_equal(printed.ends_unix_s[TLSMSG_EXPIRY_CERTIFICATE], 0);
    assert_false(printed.has_store);

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

static void test_metrics_of_a_store(void **state)
{
    struct periodic periodic;

    (void)state;
    begin(&periodic, "/tmp/tlsmsg-upkeep-missing/m.prom");
    has_store = true;
    periodic_end(&periodic);
    has_store = false;
    assert_true(printed.has_store);
    assert_int_equal(printed.promise, STORE_PROMISE_REPLICATED);
    assert_int_equal(printed.store.taken, 9);
}

static void test_no_memory_for_metrics(void **state)
{
    struct periodic periodic;

    (void)state;
    begin(&periodic, "/tmp/tlsmsg-upkeep-missing/m.prom");
    no_memory = true;
    assert_int_equal(periodic_run(&periodic, 1), 1 + METRICS_INTERVAL_NS);
    no_memory = false;
    assert_int_equal(warnings, 1);
    assert_int_equal(warned_cause, TLSMSG_CAUSE_OTHER);
    assert_string_equal(warned_text, "cannot write metrics: no memory");
}

static void test_failed_metrics_are_told_once_and_their_end(void **state)
{
    char folder[] = "/tmp/tlsmsg-upkeep-XXXXXX";
    char path[64];
    char says[128];
    struct periodic periodic;

    (void)state;
    assert_non_null(mkdtemp(folder));
    (void)snprintf(path, sizeof(path), "%s/m.prom", folder);
    (void)snprintf(says, sizeof(says), "cannot write metrics '%s': No such file or directory",
                   path);
    assert_int_equal(rmdir(folder), 0);
    begin(&periodic, path);
    (void)periodic_run(&periodic, 1);
    periodic_end(&periodic);
    assert_int_equal(warnings, 1);
    assert_int_equal(warned_cause, TLSMSG_CAUSE_OTHER);
    assert_string_equal(warned_text, says);

    assert_int_equal(mkdir(folder, 0700), 0);
    periodic_end(&periodic);
    assert_int_equal(warnings, 2);
    assert_int_equal(warned_cause, TLSMSG_CAUSE_OTHER);
    assert_string_equal(warned_text, "metrics are written again");
    periodic_end(&periodic);
    assert_int_equal(warnings, 2);
    assert_int_equal(unlink(path), 0);
    assert_int_equal(rmdir(folder), 0);
    periodic_end(&periodic);
    assert_int_equal(warnings, 3); /* it had worked again in between */
}

/* Whoever reads the log an hour later finds it, and not seven hundred times. */
static void test_failure_that_lasts_is_told_again(void **state)
{
    struct periodic periodic;

    (void)state;
    begin(&periodic, "/tmp/tlsmsg-upkeep-missing/m.prom");
    for (int64_t now_ns = 1; now_ns < (int64_t)3600 * CLOCK_NS_PER_S;
         now_ns += METRICS_INTERVAL_NS) {
        assert_int_equal(periodic_run(&periodic, now_ns), now_ns + METRICS_INTERVAL_NS);
        assert_int_equal(warnings, 1 + (now_ns - 1) / (600 * (int64_t)CLOCK_NS_PER_S));
    }
    assert_int_equal(warnings, 6);
}

/* ---- when a day is over */

static const struct row {
    const char *name;
    int64_t last;
    bool over;
    int64_t last_after;
} rows[] = {
    {"told today", START - DAY + 1, false, START - DAY + 1},
    {"told a day ago", START - DAY, true, START - DAY},
    {"told long ago", START - 9 * DAY, true, START - 9 * DAY},
    {"the clock was set back", START + 300 * DAY, false, START},
};

static void test_day(void **state)
{
    const struct row *row = *state;
    int64_t last = row->last;

    assert_int_equal(periodic_day_is_over(&last, START), row->over);
    assert_int_equal(last, row->last_after);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_nothing_to_wake_for),
        cmocka_unit_test(test_watchdog_comes_first),
        cmocka_unit_test(test_ends_are_told_daily),
        cmocka_unit_test(test_what_comes_near_is_told_at_once),
        cmocka_unit_test(test_when_it_looks_next),
        cmocka_unit_test(test_an_end_that_stays),
        cmocka_unit_test(test_metrics_when_due_and_at_the_end),
        cmocka_unit_test(test_metrics_of_a_store),
        cmocka_unit_test(test_no_memory_for_metrics),
        cmocka_unit_test(test_failed_metrics_are_told_once_and_their_end),
        cmocka_unit_test(test_failure_that_lasts_is_told_again),
    };
    int failed = cmocka_run_group_tests(tests, NULL, NULL);

    RUN_ROWS(failed, test_day, rows);
    return failed;
}
