/* The metrics' text by Prometheus' rules, and the file's replacement. */
#include "support/unit.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "app/server/metrics.h"
#include "support/test_folder.h"

static const struct metrics_about facts = {
    .version = "1.2.3",
    .transport = "TLS, OpenSSL 3.0.19",
    .started_unix_s = 1000,
    .ends_unix_s = {4102444800, 4102444801, 4102444802},
};

/* ---- the text */

static const char *const whole_text[] = {
    "# HELP tlsmsg_build_info The version and transport that run.",
    "# TYPE tlsmsg_build_info gauge",
    "tlsmsg_build_info{version=\"1.2.3\",transport=\"TLS, OpenSSL 3.0.19\"} 1",
    "# HELP tlsmsg_start_time_seconds When the server started, since the epoch.",
    "# TYPE tlsmsg_start_time_seconds gauge",
    "tlsmsg_start_time_seconds 1000",
    "# HELP tlsmsg_certificate_not_after_timestamp_seconds When the first of the server's "
    "certificates or of their issuers ends, since the epoch.",
    "# TYPE tlsmsg_certificate_not_after_timestamp_seconds gauge",
    "tlsmsg_certificate_not_after_timestamp_seconds 4102444800",
    "# HELP tlsmsg_ca_not_after_timestamp_seconds When the first CA that verifies clients ends, "
    "since the epoch.",
    "# TYPE tlsmsg_ca_not_after_timestamp_seconds gauge",
    "tlsmsg_ca_not_after_timestamp_seconds 4102444801",
    "# HELP tlsmsg_crl_next_update_timestamp_seconds When the first revocation list ends, since "
    "the epoch.",
    "# TYPE tlsmsg_crl_next_update_timestamp_seconds gauge",
    "tlsmsg_crl_next_update_timestamp_seconds 4102444802",
    "# HELP tlsmsg_connections_accepted_total Connections accepted.",
    "# TYPE tlsmsg_connections_accepted_total counter",
    "tlsmsg_connections_accepted_total 101",
    "# HELP tlsmsg_connections_open Connections open now.",
    "# TYPE tlsmsg_connections_open gauge",
    "tlsmsg_connections_open 102",
    "# HELP tlsmsg_handshakes_open Connections whose handshake is not finished.",
    "# TYPE tlsmsg_handshakes_open gauge",
    "tlsmsg_handshakes_open 103",
    "# HELP tlsmsg_conversations_total Conversations begun.",
    "# TYPE tlsmsg_conversations_total counter",
    "tlsmsg_conversations_total 110",
    "# HELP tlsmsg_conversations_resumed_total Conversations with a resumed session.",
    "# TYPE tlsmsg_conversations_resumed_total counter",
    "tlsmsg_conversations_resumed_total 105",
    "# HELP tlsmsg_conversations_tls12_total Conversations over TLS 1.2.",
    "# TYPE tlsmsg_conversations_tls12_total counter",
    "tlsmsg_conversations_tls12_total 106",
    "# HELP tlsmsg_messages_total Messages received.",
    "# TYPE tlsmsg_messages_total counter",
    "tlsmsg_messages_total 107",
    "# HELP tlsmsg_replies_total Replies handed to the kernel whole.",
    "# TYPE tlsmsg_replies_total counter",
    "tlsmsg_replies_total 108",
    "# HELP tlsmsg_received_bytes_total Bytes of messages received.",
    "# TYPE tlsmsg_received_bytes_total counter",
    "tlsmsg_received_bytes_total 109",
    "# HELP tlsmsg_sent_bytes_total Bytes of replies sent.",
    "# TYPE tlsmsg_sent_bytes_total counter",
    "tlsmsg_sent_bytes_total 111",
    "# HELP tlsmsg_queued_bytes Bytes of replies that wait to be sent.",
    "# TYPE tlsmsg_queued_bytes gauge",
    "tlsmsg_queued_bytes 112",
    "# HELP tlsmsg_buffered_bytes Bytes held because of messages.",
    "# TYPE tlsmsg_buffered_bytes gauge",
    "tlsmsg_buffered_bytes 113",
    "# HELP tlsmsg_closed_total Connections ended, by how.",
    "# TYPE tlsmsg_closed_total counter",
    "tlsmsg_closed_total{how=\"clean\"} 200",
    "tlsmsg_closed_total{how=\"truncated\"} 201",
    "tlsmsg_closed_total{how=\"reset\"} 202",
    "tlsmsg_closed_total{how=\"handshake\"} 203",
    "tlsmsg_closed_total{how=\"timeout\"} 204",
    "tlsmsg_closed_total{how=\"invalid-utf8\"} 205",
    "tlsmsg_closed_total{how=\"drained\"} 206",
    "tlsmsg_closed_total{how=\"failed\"} 207",
    "tlsmsg_closed_total{how=\"refused\"} 208",
    "# HELP tlsmsg_events_total What an operator should know of, by cause.",
    "# TYPE tlsmsg_events_total counter",
    "tlsmsg_events_total{cause=\"plaintext-peer\"} 300",
    "tlsmsg_events_total{cause=\"tls-peer\"} 301",
    "tlsmsg_events_total{cause=\"handshake\"} 302",
    "tlsmsg_events_total{cause=\"refused\"} 303",
    "tlsmsg_events_total{cause=\"timeout\"} 304",
    "tlsmsg_events_total{cause=\"truncated\"} 305",
    "tlsmsg_events_total{cause=\"reset\"} 306",
    "tlsmsg_events_total{cause=\"invalid-utf8\"} 307",
    "tlsmsg_events_total{cause=\"probe\"} 308",
    "tlsmsg_events_total{cause=\"limit\"} 309",
    "tlsmsg_events_total{cause=\"descriptors\"} 310",
    "tlsmsg_events_total{cause=\"memory\"} 311",
    "tlsmsg_events_total{cause=\"certificate\"} 312",
    "tlsmsg_events_total{cause=\"other\"} 313",
    "# HELP tlsmsg_flow_conversations_total Conversations begun, by flow.",
    "# TYPE tlsmsg_flow_conversations_total counter",
    "tlsmsg_flow_conversations_total{flow=\"document\"} 70",
    "tlsmsg_flow_conversations_total{flow=\"tlsmsg/1\"} 40",
    "# HELP tlsmsg_duplicates_total Numbered messages that came again.",
    "# TYPE tlsmsg_duplicates_total counter",
    "tlsmsg_duplicates_total 114",
    "# HELP tlsmsg_set_back_total Clients that were promised more than is stored: an old backup "
    "came back.",
    "# TYPE tlsmsg_set_back_total counter",
    "tlsmsg_set_back_total 115",
    "# HELP tlsmsg_bye_total Numbered conversations that the server ended, by code.",
    "# TYPE tlsmsg_bye_total counter",
    "tlsmsg_bye_total{code=\"400\"} 400",
    "tlsmsg_bye_total{code=\"409\"} 401",
    "tlsmsg_bye_total{code=\"412\"} 402",
    "tlsmsg_bye_total{code=\"413\"} 403",
    "tlsmsg_bye_total{code=\"415\"} 404",
    "tlsmsg_bye_total{code=\"503\"} 405",
    "tlsmsg_bye_total{code=\"507\"} 406",
    "# HELP tlsmsg_reply_seconds From the receipt of a message to its reply's sending.",
    "# TYPE tlsmsg_reply_seconds histogram",
    "tlsmsg_reply_seconds_bucket{le=\"0.0001\"} 1",
    "tlsmsg_reply_seconds_bucket{le=\"0.00025\"} 3",
    "tlsmsg_reply_seconds_bucket{le=\"0.0005\"} 6",
    "tlsmsg_reply_seconds_bucket{le=\"0.001\"} 10",
    "tlsmsg_reply_seconds_bucket{le=\"0.0025\"} 15",
    "tlsmsg_reply_seconds_bucket{le=\"0.005\"} 21",
    "tlsmsg_reply_seconds_bucket{le=\"0.01\"} 28",
    "tlsmsg_reply_seconds_bucket{le=\"0.025\"} 36",
    "tlsmsg_reply_seconds_bucket{le=\"0.05\"} 45",
    "tlsmsg_reply_seconds_bucket{le=\"0.1\"} 55",
    "tlsmsg_reply_seconds_bucket{le=\"0.25\"} 66",
    "tlsmsg_reply_seconds_bucket{le=\"0.5\"} 78",
    "tlsmsg_reply_seconds_bucket{le=\"1\"} 91",
    "tlsmsg_reply_seconds_bucket{le=\"2.5\"} 105",
    "tlsmsg_reply_seconds_bucket{le=\"+Inf\"} 120",
    "tlsmsg_reply_seconds_sum 1.500001",
    "tlsmsg_reply_seconds_count 120",
};

static const char *const store_text[] = {
    "# HELP tlsmsg_store_promise 1 at what a reply means.",
    "# TYPE tlsmsg_store_promise gauge",
    "tlsmsg_store_promise{promise=\"disk\"} 1",
    "# HELP tlsmsg_store_batches_total Transactions committed, each with one sync.",
    "# TYPE tlsmsg_store_batches_total counter",
    "tlsmsg_store_batches_total 1",
    "# HELP tlsmsg_store_messages_total Messages stored.",
    "# TYPE tlsmsg_store_messages_total counter",
    "tlsmsg_store_messages_total 2",
    "# HELP tlsmsg_store_duplicates_total Messages that were stored before.",
    "# TYPE tlsmsg_store_duplicates_total counter",
    "tlsmsg_store_duplicates_total 3",
    "# HELP tlsmsg_store_no_room_total Messages not taken for want of room.",
    "# TYPE tlsmsg_store_no_room_total counter",
    "tlsmsg_store_no_room_total 4",
    "# HELP tlsmsg_store_away_total Messages not taken since the engine was away.",
    "# TYPE tlsmsg_store_away_total counter",
    "tlsmsg_store_away_total 5",
    "# HELP tlsmsg_store_pruned_total Messages deleted for their age.",
    "# TYPE tlsmsg_store_pruned_total counter",
    "tlsmsg_store_pruned_total 6",
    "# HELP tlsmsg_store_away 1 while the engine can't be reached.",
    "# TYPE tlsmsg_store_away gauge",
    "tlsmsg_store_away 1",
    "# HELP tlsmsg_store_log_bytes Bytes of the write-ahead log in use.",
    "# TYPE tlsmsg_store_log_bytes gauge",
    "tlsmsg_store_log_bytes 7",
};

/* All of these lines, each with its end, and nothing else. */
static void expect_lines(const char *text, const char *const *lines, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        size_t len = strlen(lines[i]);

        if (strncmp(text, lines[i], len) != 0 || text[len] != '\n') {
            fail_msg("%.*s instead of %s", (int)strcspn(text, "\n"), text, lines[i]);
        }
        text += len + 1;
    }
    assert_string_equal(text, "");
}

static const struct tlsmsg_stats numbers = {
    .accepted = 101,
    .open = 102,
    .handshaking = 103,
    .conversations = 110,
    .resumed = 105,
    .tls12 = 106,
    .messages = 107,
    .replies = 108,
    .bytes_in = 109,
    .bytes_out = 111,
    .queued_bytes = 112,
    .buffered_bytes = 113,
    .numbered = 40,
    .duplicates = 114,
    .set_back = 115,
    .latency_sum_us = 1500001,
};

static void test_the_whole_text(void **state)
{
    struct tlsmsg_stats stats = numbers;
    char *text;

    (void)state;
    for (unsigned i = 0; i < TLSMSG_CLOSE_COUNT; i++) {
        stats.closed[i] = 200 + i;
    }
    for (unsigned i = 0; i < TLSMSG_CAUSE_COUNT; i++) {
        stats.events[i] = 300 + i;
    }
    for (unsigned i = 0; i < COUNT_OF(stats.byes); i++) {
        stats.byes[i] = 400 + i;
    }
    for (unsigned i = 0; i < TLSMSG_LATENCY_BUCKETS; i++) {
        stats.latency[i] = 1 + i;
    }
    text = metrics_print(&stats, &facts);
    assert_non_null(text);
    expect_lines(text, whole_text, COUNT_OF(whole_text));
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

/* A store has lines of its own, behind all the others; without one there are none. */
static void test_store(void **state)
{
    struct tlsmsg_stats stats = {0};
    struct metrics_about about = facts;
    char *without = metrics_print(&stats, &about);
    char *text;
    size_t len;

    (void)state;
    assert_non_null(without);
    assert_null(strstr(without, "tlsmsg_store_"));
    len = strlen(without);
    about.has_store = true;
    about.promise = STORE_PROMISE_DISK;
    about.store = (struct store_stats){.batches = 1,
                                       .taken = 2,
                                       .duplicates = 3,
                                       .no_room = 4,
                                       .away = 5,
                                       .pruned = 6,
                                       .log_bytes = 7,
                                       .is_away = true};
    text = metrics_print(&stats, &about);
    assert_memory_equal(text, without, len);
    expect_lines(text + len, store_text, COUNT_OF(store_text));
    free(text);
    about.promise = STORE_PROMISE_REPLICATED;
    text = metrics_print(&stats, &about);
    assert_non_null(strstr(text + len, "\ntlsmsg_store_promise{promise=\"replicated\"} 1\n"));
    assert_null(strstr(text, "\"disk\""));
    free(text);
    free(without);
}

/* ---- no memory for it */

static enum { FAULT_NONE, FAULT_AT_OPEN, FAULT_AT_WRITE, FAULT_AT_CLOSE } fault;

FILE *__real_open_memstream(char **text, size_t *len);
FILE *__wrap_open_memstream(char **text, size_t *len);
int __real_ferror(FILE *file);
int __wrap_ferror(FILE *file);
int __real_fclose(FILE *file);
int __wrap_fclose(FILE *file);

FILE *__wrap_open_memstream(char **text, size_t *len)
{
    return fault == FAULT_AT_OPEN ? NULL : __real_open_memstream(text, len);
}

int __wrap_ferror(FILE *file)
{
    return fault == FAULT_AT_WRITE ? 1 : __real_ferror(file);
}

int __wrap_fclose(FILE *file)
{
    int result = __real_fclose(file);

    return fault == FAULT_AT_CLOSE ? EOF : result;
}

/* Half a text is none. */
static void test_no_memory_for_the_text(void **state)
{
    (void)state;
    for (fault = FAULT_AT_OPEN; fault <= FAULT_AT_CLOSE; fault++) {
        assert_null(metrics_print(&numbers, &facts));
    }
    fault = FAULT_NONE;
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

/* ---- the file */

enum kind { KIND_NONE, KIND_NOWHERE, KIND_FILE, KIND_LINK, KIND_DANGLING, KIND_FIFO, KIND_FOLDER };

static const struct row {
    const char *name;
    enum kind kind;
    const char *says; /* of the check; NULL: it is good */
    int sys_errno;
    const char *write_says; /* NULL: as the check */
} rows[] = {
    {"nothing is there", KIND_NONE, NULL, 0, NULL},
    {"a folder that comes later", KIND_NOWHERE, NULL, 0, ": No such file or directory"},
    {"a file", KIND_FILE, NULL, 0, NULL},
    {"a link to a file", KIND_LINK, ": it is not a regular file", 0, NULL},
    {"a link to nothing", KIND_DANGLING, ": it is not a regular file", 0, NULL},
    {"a FIFO", KIND_FIFO, ": it is not a regular file", 0, NULL},
    {"a folder", KIND_FOLDER, ": Is a directory", EISDIR, NULL},
};

static void lay(const struct test_folder *folder, enum kind kind, char path[TEST_PATH_MAX])
{
    char target[TEST_PATH_MAX];
    FILE *file = NULL;

    (void)test_folder_file(folder, "target", target);
    (void)test_folder_file(folder, kind == KIND_NOWHERE ? "no/m" : "m", path);
    if (kind == KIND_FILE || kind == KIND_LINK) {
        file = fopen(kind == KIND_LINK ? target : path, "w");
        assert_non_null(file);
        assert_true(fputs("a text that was there\n", file) >= 0);
        assert_int_equal(fclose(file), 0);
    }
    if (kind == KIND_LINK || kind == KIND_DANGLING) {
        assert_int_equal(symlink(target, path), 0);
    } else if (kind == KIND_FIFO) {
        assert_int_equal(mkfifo(path, 0600), 0);
    } else if (kind == KIND_FOLDER) {
        assert_int_equal(mkdir(path, 0700), 0);
    }
}

static void expect_outcome(enum tlsmsg_code code, const struct tlsmsg_error *err, const char *path,
                           const char *says)
{
    char text[TEST_PATH_MAX + 64] = "";

    if (says != NULL) {
        (void)snprintf(text, sizeof(text), "cannot write metrics '%s'%s", path, says);
    }
    assert_int_equal(code, says != NULL ? TLSMSG_ERR_CONFIG : TLSMSG_OK);
    assert_int_equal(err->code, code);
    assert_string_equal(err->text, text);
}

static void test_row(void **state)
{
    const struct row *row = *state;
    struct tlsmsg_error checked = {.code = TLSMSG_OK};
    struct tlsmsg_error err = {.code = TLSMSG_OK};
    struct test_folder folder;
    char path[TEST_PATH_MAX];
    char buf[32] = "";
    struct stat is;
    enum tlsmsg_code code;

    test_folder_make(&folder);
    lay(&folder, row->kind, path);
    code = metrics_check(path, &checked);
    expect_outcome(code, &checked, path, row->says);
    assert_int_equal(checked.sys_errno, row->sys_errno);
    code = metrics_write(path, "new\n", &err);
    expect_outcome(code, &err, path, row->write_says != NULL ? row->write_says : row->says);
    if (code == TLSMSG_OK) {
        FILE *file = fopen(path, "r");

        assert_non_null(file);
        assert_int_equal(fread(buf, 1, sizeof(buf) - 1, file), 4);
        (void)fclose(file);
        assert_string_equal(buf, "new\n");
        assert_int_equal(lstat(path, &is), 0);
        assert_int_equal(is.st_mode, S_IFREG | 0644);
    }
    if (row->kind == KIND_FOLDER) {
        (void)rmdir(path);
    }
    test_folder_remove(&folder);
}

static void test_no_file_is_checked(void **state)
{
    (void)state;
    assert_int_equal(metrics_check(NULL, NULL), TLSMSG_OK);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_the_whole_text),
        cmocka_unit_test(test_text_keeps_the_format),
        cmocka_unit_test(test_no_certificate_no_line),
        cmocka_unit_test(test_bounds_grow),
        cmocka_unit_test(test_store),
        cmocka_unit_test(test_no_memory_for_the_text),
        cmocka_unit_test(test_no_file_is_checked),
    };
    int failed = cmocka_run_group_tests(tests, NULL, NULL);

    RUN_ROWS(failed, test_row, rows);
    return failed;
}
