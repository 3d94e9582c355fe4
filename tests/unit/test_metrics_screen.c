/* The screen that SIGUSR1 asks a server for, from counters of the test's own. */
#include "support/unit.h"

#include <stdio.h>
#include <string.h>

#include "app/server/metrics.h"

static struct tlsmsg_stats counters;
static const char *const addresses[] = {"127.0.0.1:12345", "[::1]:12345"};

void __wrap_tlsmsg_server_stats(const struct tlsmsg_server *server, struct tlsmsg_stats *out);
unsigned __wrap_tlsmsg_server_workers(const struct tlsmsg_server *server);
const char *__wrap_tlsmsg_server_address(const struct tlsmsg_server *server, size_t i);

void __wrap_tlsmsg_server_stats(const struct tlsmsg_server *server, struct tlsmsg_stats *out)
{
    (void)server;
    assert_int_equal(out->size, sizeof(*out));
    *out = counters;
}

unsigned __wrap_tlsmsg_server_workers(const struct tlsmsg_server *server)
{
    (void)server;
    return 3;
}

const char *__wrap_tlsmsg_server_address(const struct tlsmsg_server *server, size_t i)
{
    (void)server;
    return i < COUNT_OF(addresses) ? addresses[i] : NULL;
}

/* The screen without its first line, which has the library's version. */
static const char *body(const char *screen)
{
    const char *end = strchr(screen, '\n');

    assert_non_null(end);
    return end + 1;
}

static void test_a_quiet_server(void **state)
{
    const struct metrics_screen about = {.program = "prog"};
    char screen[1024];
    char head[128];
    size_t len;

    (void)state;
    counters = (struct tlsmsg_stats){0};
    len = metrics_print_screen(screen, sizeof(screen), &about);
    assert_int_equal(len, strlen(screen));
    (void)snprintf(head, sizeof(head), "prog %s (%s)\n", tlsmsg_version(), tlsmsg_transport());
    assert_memory_equal(screen, head, strlen(head));
    assert_string_equal(body(screen),
                        "  up 0 d 00:00:00, workers: 3, listening on 127.0.0.1:12345 [::1]:12345\n"
                        "  connections:   0 open (0 in handshake), 0 accepted\n"
                        "  conversations: 0 begun\n"
                        "  messages:      0 in 0 bytes\n"
                        "  replies:       0 in 0 bytes, 0 bytes wait\n");
}

static void test_screen(void **state)
{
    const struct metrics_screen about = {
        .program = "prog",
        .up_ms = (((INT64_C(2) * 24 + 3) * 60 + 4) * 60 + 5) * 1000 + 999,
        .has_transcript = true,
        .waiting_bytes = 77,
        .stopping = true,
    };
    char screen[1024];

    (void)state;
    counters = (struct tlsmsg_stats){
        .accepted = 1,
        .open = 2,
        .handshaking = 3,
        .conversations = 4,
        .resumed = 5,
        .tls12 = 6,
        .messages = 7,
        .replies = 8,
        .bytes_in = 9,
        .bytes_out = 10,
        .queued_bytes = 11,
        .closed = {[TLSMSG_CLOSE_CLEAN] = 12, [TLSMSG_CLOSE_FAILED] = 13},
        .events = {[TLSMSG_CAUSE_PLAINTEXT_PEER] = 14, [TLSMSG_CAUSE_OTHER] = 15},
    };
    (void)metrics_print_screen(screen, sizeof(screen), &about);
    assert_non_null(strstr(screen, "), stopping\n"));
    assert_string_equal(body(screen),
                        "  up 2 d 03:04:05, workers: 3, listening on 127.0.0.1:12345 [::1]:12345\n"
                        "  connections:   2 open (3 in handshake), 1 accepted\n"
                        "  conversations: 4 begun, 5 resumed, 6 in TLS 1.2\n"
                        "  messages:      7 in 9 bytes\n"
                        "  replies:       8 in 10 bytes, 11 bytes wait\n"
                        "  ended:         12 clean, 13 failed\n"
                        "  noticed:       14 plaintext-peer, 15 other\n"
                        "  transcript:    77 bytes wait for stdout\n");
}

/* One counter of a kind at a time, the only one that is not 0. */
static void assert_told(uint64_t *counter, const char *label, const char *name)
{
    const struct metrics_screen about = {.program = "prog"};
    char screen[1024];
    char line[128];

    *counter = 42;
    (void)metrics_print_screen(screen, sizeof(screen), &about);
    *counter = 0;
    (void)snprintf(line, sizeof(line), "\n  %-14s 42 %s\n", label, name);
    assert_non_null(strstr(screen, line));
}

static void test_every_end_is_listed(void **state)
{
    (void)state;
    counters = (struct tlsmsg_stats){0};
    for (size_t i = 0; i < TLSMSG_CLOSE_COUNT; i++) {
        assert_told(&counters.closed[i],
                    "ended:", tlsmsg_close_reason_name((enum tlsmsg_close_reason)i));
    }
}

static void test_every_cause_is_listed(void **state)
{
    (void)state;
    counters = (struct tlsmsg_stats){0};
    for (size_t i = 0; i < TLSMSG_CAUSE_COUNT; i++) {
        assert_told(&counters.events[i], "noticed:", tlsmsg_cause_name((enum tlsmsg_cause)i));
    }
}

/* What doesn't fit is left out at the end; nothing is written past the buffer. */
static void test_cut(void **state)
{
    const struct metrics_screen about = {.program = "prog"};
    char whole[1024];
    char screen[1024];
    size_t len;

    (void)state;
    counters = (struct tlsmsg_stats){0};
    len = metrics_print_screen(whole, sizeof(whole), &about);
    for (size_t cap = 1; cap <= len; cap++) {
        memset(screen, 'X', sizeof(screen));
        assert_int_equal(metrics_print_screen(screen, cap, &about), cap - 1);
        assert_memory_equal(screen, whole, cap - 1);
        assert_int_equal(screen[cap], 'X');
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_a_quiet_server),
        cmocka_unit_test(test_screen),
        cmocka_unit_test(test_every_end_is_listed),
        cmocka_unit_test(test_every_cause_is_listed),
        cmocka_unit_test(test_cut),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
