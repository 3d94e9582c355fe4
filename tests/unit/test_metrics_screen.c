/* The screen that SIGUSR1 asks a server for, from counters of the test's own. */
#include "support/unit.h"

#include <stdio.h>
#include <string.h>

#include "app/server/metrics.h"

static struct tlsmsg_stats counters;
static const char *const two[] = {"127.0.0.1:12345", "[::1]:12345"};
static const char *const many[] = {"a:1", "b:2", "c:3", "d:4", "e:5", "f:6", "g:7", "h:8", "i:9"};
static const char *const *addresses = two;
static size_t address_count = COUNT_OF(two);

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
    return i < address_count ? addresses[i] : NULL;
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

static void test_a_server_with_a_store(void **state)
{
    static const struct store_stats refused[] = {
        {.no_room = 3}, {.away = 3}, {.no_room = 2, .away = 2}};
    struct metrics_screen about = {
        .program = "prog",
        .has_store = true,
        .store = {.taken = 12, .batches = 5},
        .ends_unix_s = {4102444800, 4102444800 + 86400, 4102444800 + 2 * 86400 - 1}};
    char screen[1024];

    (void)state;
    counters = (struct tlsmsg_stats){0};
    (void)metrics_print_screen(screen, sizeof(screen), &about);
    assert_string_equal(strstr(screen, " bytes wait\n"),
                        " bytes wait\n"
                        "  ends first:    certificate on 2100-01-01, CA on 2100-01-02, revocation "
                        "list on 2100-01-02\n"
                        "  store:         12 messages in 5 commits\n");
    for (size_t i = 0; i < COUNT_OF(refused); i++) {
        about.store.no_room = refused[i].no_room;
        about.store.away = refused[i].away;
        (void)metrics_print_screen(screen, sizeof(screen), &about);
        assert_string_equal(strstr(screen, "  store:"),
                            i + 1 < COUNT_OF(refused)
                                ? "  store:         12 messages in 5 commits, 3 not taken\n"
                                : "  store:         12 messages in 5 commits, 4 not taken\n");
    }
    about.has_store = false;
    about.ends_unix_s[TLSMSG_EXPIRY_CERTIFICATE] = 0;
    about.ends_unix_s[TLSMSG_EXPIRY_CRL] = 0;
    (void)metrics_print_screen(screen, sizeof(screen), &about);
    assert_string_equal(strstr(screen, " bytes wait\n"),
                        " bytes wait\n  ends first:    CA on 2100-01-02\n");
}

static void test_of_many_addresses_the_first(void **state)
{
    const struct metrics_screen about = {.program = "prog"};
    char screen[1024];

    (void)state;
    counters = (struct tlsmsg_stats){0};
    addresses = many;
    address_count = COUNT_OF(many);
    (void)metrics_print_screen(screen, sizeof(screen), &about);
    addresses = two;
    address_count = COUNT_OF(two);
    assert_non_null(strstr(screen, "listening on a:1 b:2 c:3 d:4 e:5 f:6 g:7 h:8\n"));
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
    memset(screen, 'X', sizeof(screen));
    assert_int_equal(metrics_print_screen(screen, 0, &about), 0);
    assert_int_equal(screen[0], 'X');
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_a_quiet_server),
        cmocka_unit_test(test_screen),
        cmocka_unit_test(test_a_server_with_a_store),
        cmocka_unit_test(test_of_many_addresses_the_first),
        cmocka_unit_test(test_every_end_is_listed),
        cmocka_unit_test(test_every_cause_is_listed),
        cmocka_unit_test(test_cut),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
