/* The metrics' text by Prometheus' rules, and the file's replacement. */
#include "support/unit.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "app/server/metrics.h"

static const struct metrics_about facts = {
    .version = "1.2.3",
    .transport = "TLS, OpenSSL 3.0.19",
    .started_unix_s = 1000,
    .ends_unix_s = {4102444800, 4102444801, 4102444802},
};

static void test_text_holds_the_numbers(void **state)
{
    static const char *const lines[] = {
        "\ntlsmsg_messages_total 7\n",
        "\ntlsmsg_queued_bytes 12\n",
        "\ntlsmsg_closed_total{how=\"truncated\"} 2\n",
        "\ntlsmsg_events_total{cause=\"limit\"} 3\n",
        "\ntlsmsg_flow_conversations_total{flow=\"document\"} 6\n",
        "\ntlsmsg_flow_conversations_total{flow=\"tlsmsg/1\"} 4\n",
        "\ntlsmsg_duplicates_total 5\n",
        "\ntlsmsg_set_back_total 1\n",
        "\ntlsmsg_bye_total{code=\"412\"} 8\n",
        "\ntlsmsg_certificate_not_after_timestamp_seconds 4102444800\n",
        "tlsmsg_build_info{version=\"1.2.3\",transport=\"TLS, OpenSSL 3.0.19\"} 1\n",
        "\ntlsmsg_reply_seconds_bucket{le=\"0.0001\"} 4\n",
        "\ntlsmsg_reply_seconds_bucket{le=\"0.00025\"} 6\n",
        "\ntlsmsg_reply_seconds_bucket{le=\"+Inf\"} 7\n",
        "\ntlsmsg_reply_seconds_sum 0.001500\n",
        "\ntlsmsg_reply_seconds_count 7\n",
    };
    struct tlsmsg_stats stats = {.conversations = 10,
                                 .numbered = 4,
                                 .duplicates = 5,
                                 .set_back = 1,
                                 .byes = {[2] = 8},
                                 .messages = 7,
                                 .queued_bytes = 12,
                                 .latency_sum_us = 1500};
    char *text;

    (void)state;
    stats.closed[TLSMSG_CLOSE_TRUNCATED] = 2;
    stats.events[TLSMSG_CAUSE_LIMIT] = 3;
    stats.latency[0] = 4;
    stats.latency[1] = 2;
    stats.latency[TLSMSG_LATENCY_BUCKETS - 1] = 1;
    text = metrics_print(&stats, &facts);
    assert_non_null(text);
    for (size_t i = 0; i < COUNT_OF(lines); i++) {
        if (strstr(text, lines[i]) == NULL) {
            fail_msg("missing: %s", lines[i]);
        }
    }
    free(text);
}

/* Every line is a comment or "name{labels} value"; every name has HELP and TYPE before it. */
static void test_text_keeps_the_format(void **state)
{
    struct tlsmsg_stats stats = {0};
    char *text = metrics_print(&stats, &facts);
    char *rest = text;
    char *line;

    (void)state;
    assert_int_equal(text[strlen(text) - 1], '\n');
    while ((line = strsep(&rest, "\n")) != NULL && *line != '\0') {
        char name[64];
        double value;
        const char *space = strrchr(line, ' ');

        if (line[0] == '#') {
            assert_true(strncmp(line, "# HELP tlsmsg_", 14) == 0 ||
                        strncmp(line, "# TYPE tlsmsg_", 14) == 0);
            continue;
        }
        assert_int_equal(sscanf(line, "tlsmsg_%63[a-z0-9_]", name), 1);
        assert_non_null(space);
        assert_int_equal(sscanf(space, "%lf", &value), 1);
    }
    free(text);
}

static void test_no_certificate_no_line(void **state)
{
    struct tlsmsg_stats stats = {0};
    struct metrics_about none = facts;
    char *text;

    (void)state;
    none.ends_unix_s[TLSMSG_EXPIRY_CERTIFICATE] = 0;
    text = metrics_print(&stats, &none);
    assert_null(strstr(text, "certificate_not_after"));
    free(text);
}

/* A store has lines of its own; without one there are none. */
static void test_store(void **state)
{
    static const char *const lines[] = {
        "\ntlsmsg_store_promise{promise=\"disk\"} 1\n",
        "\ntlsmsg_store_batches_total 1\n",
        "\ntlsmsg_store_messages_total 2\n",
        "\ntlsmsg_store_duplicates_total 3\n",
        "\ntlsmsg_store_no_room_total 4\n",
        "\ntlsmsg_store_away_total 5\n",
        "\ntlsmsg_store_pruned_total 6\n",
        "\ntlsmsg_store_log_bytes 7\n",
    };
    struct tlsmsg_stats stats = {0};
    struct metrics_about about = facts;
    char *text = metrics_print(&stats, &about);

    (void)state;
    assert_null(strstr(text, "tlsmsg_store_"));
    free(text);
    about.has_store = true;
    about.promise = STORE_PROMISE_DISK;
    about.store = (struct store_stats){.batches = 1,
                                       .taken = 2,
                                       .duplicates = 3,
                                       .no_room = 4,
                                       .away = 5,
                                       .pruned = 6,
                                       .log_bytes = 7};
    text = metrics_print(&stats, &about);
    for (size_t i = 0; i < COUNT_OF(lines); i++) {
        if (strstr(text, lines[i]) == NULL) {
            fail_msg("missing: %s", lines[i]);
        }
    }
    free(text);
}

static void test_bounds_grow(void **state)
{
    (void)state;
    for (unsigned i = 1; i + 1 < TLSMSG_LATENCY_BUCKETS; i++) {
        assert_true(tlsmsg_latency_bound_us(i) > tlsmsg_latency_bound_us(i - 1));
    }
    assert_int_equal(tlsmsg_latency_bound_us(TLSMSG_LATENCY_BUCKETS - 1), -1);
    assert_int_equal(tlsmsg_latency_bound_us(1000), -1);
}

static void test_file_is_replaced_whole(void **state)
{
    char folder[] = "/tmp/tlsmsg-metrics-XXXXXX";
    char path[64];
    char bad[96];
    char buf[16] = {0};
    struct tlsmsg_error err = {0};
    struct stat info;
    FILE *file;

    (void)state;
    assert_non_null(mkdtemp(folder));
    (void)snprintf(path, sizeof(path), "%s/tlsmsg.prom", folder);
    assert_int_equal(metrics_write(path, "old\n", &err), TLSMSG_OK);
    assert_int_equal(metrics_write(path, "new\n", &err), TLSMSG_OK);
    file = fopen(path, "r");
    assert_non_null(file);
    assert_int_equal(fread(buf, 1, sizeof(buf) - 1, file), 4);
    (void)fclose(file);
    assert_string_equal(buf, "new\n");
    assert_int_equal(stat(path, &info), 0);
    assert_int_equal(info.st_mode & 0777, 0644);
    (void)snprintf(bad, sizeof(bad), "%s/missing/tlsmsg.prom", folder);
    assert_int_equal(metrics_write(bad, "x", &err), TLSMSG_ERR_CONFIG);
    assert_non_null(strstr(err.text, "No such file"));
    (void)unlink(path);
    assert_int_equal(rmdir(folder), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_text_holds_the_numbers),
        cmocka_unit_test(test_text_keeps_the_format),
        cmocka_unit_test(test_no_certificate_no_line),
        cmocka_unit_test(test_bounds_grow),
        cmocka_unit_test(test_store),
        cmocka_unit_test(test_file_is_replaced_whole),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
