/* Contract: messages arrive whole and in order, however the bytes travel. */
#include "contract/contract.h"

#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

static void test_messages_come_back(void **state)
{
    struct pair p;

    (void)state;
    contract_pair(&p);
    pair_client_says(&p, "hello", 5);
    contract_assert_clean(&p, "hello", 5);
    pair_fini(&p);
}

static void test_a_silent_client_is_closed_in_order(void **state)
{
    struct pair p;

    (void)state;
    contract_pair(&p);
    contract_assert_clean(&p, "", 0);
    pair_fini(&p);
}

static void test_sockets_carry_a_conversation(void **state)
{
    struct socket_source server;
    struct socket_source client;
    struct pair p;
    int fds[2];
    int i;

    (void)state;
    assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, fds), 0);
    socket_source_init(&server, fds[0]);
    socket_source_init(&client, fds[1]);
    contract_pair(&p);
    transport_free(p.server.transport);
    transport_free(p.client.transport);
    assert_int_equal(transport_new(contract_server, &server.base, NULL, &p.server.transport, NULL),
                     TLSMSG_OK);
    assert_int_equal(
        transport_new(contract_client, &client.base, "localhost", &p.client.transport, NULL),
        TLSMSG_OK);
    pair_client_says(&p, "over sockets", 12);
    for (i = 0; i < STEPS && (p.server.phase != PAIR_DONE || p.client.phase != PAIR_DONE); i++) {
        socket_source_ready(&server);
        socket_source_ready(&client);
        pair_step(&p.client);
        pair_step(&p.server);
    }
    assert_int_equal(p.server.code, TLSMSG_OK);
    assert_int_equal(p.client.code, TLSMSG_OK);
    assert_int_equal(p.client.in_len, 12);
    assert_memory_equal(p.client.in, "over sockets", 12);
    pair_fini(&p);
    close(fds[0]);
    close(fds[1]);
}

struct granularity {
    const char *name;
    size_t read_max;
    size_t write_max;
    size_t recv_cap;
    unsigned one_in;
};

static void test_any_granularity(void **state)
{
    const struct granularity *row = *state;
    char text[3000];
    struct pair p;

    contract_fill(text, sizeof(text));
    contract_pair(&p);
    p.server_source.read_max = p.client_source.read_max = row->read_max;
    p.server_source.write_max = p.client_source.write_max = row->write_max;
    p.server_source.one_in = p.client_source.one_in = row->one_in;
    p.server.recv_cap = p.client.recv_cap = row->recv_cap;
    pair_client_says(&p, text, sizeof(text));
    contract_assert_clean(&p, text, sizeof(text));
    pair_fini(&p);
}

static const struct granularity granularities[] = {
    {.name = "one byte a read", .read_max = 1},
    {.name = "one byte a write", .write_max = 1},
    {.name = "one byte a read and a write", .read_max = 1, .write_max = 1},
    {.name = "seven bytes a read, five a write", .read_max = 7, .write_max = 5},
    {.name = "half of the calls say try again", .one_in = 2},
    {.name = "a third of the calls say try again, one byte a read", .one_in = 3, .read_max = 1},
    {.name = "one byte a recv", .recv_cap = 1},
    {.name = "three bytes a recv, two a read", .recv_cap = 3, .read_max = 2},
};

static void test_a_slow_reader_gets_everything(void **state)
{
    size_t len = 1024 * 1024;
    char *text = malloc(len);
    struct pair p;

    (void)state;
    assert_non_null(text);
    contract_fill(text, len);
    contract_pair(&p);
    p.to_client.cap = 3000;
    p.client_source.read_max = 700;
    pair_client_says(&p, text, len);
    contract_assert_clean(&p, text, len);
    pair_fini(&p);
    free(text);
}

static void test_an_interrupted_send_may_move_and_grow(void **state)
{
    char first[9000];
    char second[12000];
    struct tlsmsg_error err = {.code = TLSMSG_OK};
    enum transport_result result;
    struct pair p;
    size_t sent = 0;
    size_t total = 0;
    int i;

    (void)state;
    contract_fill(second, sizeof(second));
    memcpy(first, second, sizeof(first));
    contract_open(&p);
    p.to_server.cap = 1000;
    do {
        result =
            transport_send(p.client.transport, first + total, sizeof(first) - total, &sent, &err);
        total += sent;
    } while (result == TRANSPORT_OK && total < sizeof(first));
    assert_int_equal(result, TRANSPORT_WANT_WRITE);
    memset(first, 'x', sizeof(first));
    for (i = 0; i < STEPS && p.server.in_len < sizeof(second); i++) {
        if (total < sizeof(second)) {
            result = transport_send(p.client.transport, second + total, sizeof(second) - total,
                                    &sent, &err);
            assert_int_not_equal(result, TRANSPORT_ERROR);
            total += sent;
        }
        assert_int_not_equal(pair_recv(&p.server), TRANSPORT_ERROR);
    }
    assert_int_equal(p.server.in_len, sizeof(second));
    assert_memory_equal(p.server.in, second, sizeof(second));
    pair_fini(&p);
}

static void test_one_recv_is_one_record(void **state)
{
    char buf[100];
    struct tlsmsg_error err = {.code = TLSMSG_OK};
    struct pair p;
    size_t n;

    (void)state;
    contract_open(&p);
    contract_send(&p.client, "first");
    contract_send(&p.client, "second");
    assert_int_equal(transport_recv(p.server.transport, buf, sizeof(buf), &n, &err), TRANSPORT_OK);
    assert_int_equal(n, fixture_is_tls ? 5 : 11);
    assert_int_equal(transport_idle_records(p.server.transport), 0);
    if (fixture_is_tls) {
        assert_int_equal(transport_recv(p.server.transport, buf, 2, &n, &err), TRANSPORT_OK);
        assert_int_equal(n, 2);
        assert_int_equal(transport_recv(p.server.transport, buf, sizeof(buf), &n, &err),
                         TRANSPORT_OK);
        assert_int_equal(n, 4);
        assert_memory_equal(buf, "cond", 4);
    }
    assert_int_equal(transport_recv(p.server.transport, buf, sizeof(buf), &n, &err),
                     TRANSPORT_WANT_READ);
    assert_int_equal(n, 0);
    pair_fini(&p);
}

static void test_facts_and_hearing(void **state)
{
    struct tlsmsg_certificate shown;
    struct tlsmsg_tls tls;
    struct pair p;

    (void)state;
    contract_pair(&p);
    assert_false(transport_peer_certificate(p.server.transport, 0, &shown));
    assert_false(transport_heard(p.server.transport));
    pair_client_says(&p, "x", 1);
    assert_true(pair_open(&p, STEPS));
    assert_int_equal(transport_describe(p.server.transport, &tls), fixture_is_tls);
    assert_false(tls.resumed);
    assert_null(tls.identity);
    if (fixture_is_tls) {
        assert_string_equal(tls.version, "TLSv1.3");
        assert_non_null(tls.cipher);
        assert_non_null(tls.group);
    } else {
        assert_null(tls.version);
        assert_null(tls.cipher);
        assert_null(tls.group);
    }
    contract_assert_clean(&p, "x", 1);
    assert_true(transport_heard(p.server.transport));
    assert_true(transport_heard(p.client.transport));
    pair_fini(&p);
}

static void fail_if_told(const char *text, void *user)
{
    (void)user;
    fail_msg("%s", text);
}

/* In plaintext there is nothing that could be wrong, or end. */
static void test_facts_of_a_configuration(void **state)
{
    static const enum tlsmsg_expiry kinds[] = {TLSMSG_EXPIRY_CERTIFICATE, TLSMSG_EXPIRY_CA,
                                               TLSMSG_EXPIRY_CRL};
    char pin[TRANSPORT_PIN_MAX];
    struct pair p;

    (void)state;
    contract_pair(&p);
    assert_false(transport_ask_user(p.client.transport, pin));
    pair_fini(&p);
    if (fixture_is_tls) {
        return;
    }
    assert_int_equal(transport_config_warning_count(contract_server), 0);
    assert_null(transport_config_warning(contract_server, 0));
    for (size_t i = 0; i < COUNT_OF(kinds); i++) {
        assert_true(transport_config_expiry(contract_server, kinds[i]) == 0);
    }
    assert_true(transport_config_tell_ends(contract_server, 0, INT64_MAX, fail_if_told, NULL) == 0);
    assert_string_equal(transport_name(), "plaintext");
}

int contract_exchange(void)
{
    static const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_messages_come_back),
        cmocka_unit_test(test_a_silent_client_is_closed_in_order),
        cmocka_unit_test(test_sockets_carry_a_conversation),
        cmocka_unit_test(test_a_slow_reader_gets_everything),
        cmocka_unit_test(test_an_interrupted_send_may_move_and_grow),
        cmocka_unit_test(test_one_recv_is_one_record),
        cmocka_unit_test(test_facts_and_hearing),
        cmocka_unit_test(test_facts_of_a_configuration),
    };
    int failed = cmocka_run_group_tests_name("exchange", tests, NULL, NULL);

    RUN_ROWS(failed, test_any_granularity, granularities);
    return failed;
}
