/* Contract: closing, in every state and from either side. */
#include "contract/contract.h"

#include <string.h>

static void test_shutdown_is_idempotent(void **state)
{
    struct pair p;
    size_t total;

    (void)state;
    contract_open(&p);
    contract_shutdown(&p.server);
    total = p.to_client.total;
    assert_true(p.to_client.is_shut);
    p.to_client.is_shut = false;
    contract_shutdown(&p.server);
    assert_false(p.to_client.is_shut); /* the source isn't asked again */
    assert_int_equal(p.to_client.total, total);
    pair_fini(&p);
}

static void test_shutdown_before_a_byte(void **state)
{
    struct pair p;

    (void)state;
    contract_pair(&p);
    contract_shutdown(&p.server);
    assert_int_equal(p.to_client.total, 0);
    assert_true(p.to_client.is_shut);
    pair_fini(&p);
}

static void test_shutdown_in_the_middle_of_a_handshake(void **state)
{
    struct pair p;

    (void)state;
    contract_pair(&p);
    pair_step(&p.client);
    pair_step(&p.server);
    contract_shutdown(&p.server);
    contract_shutdown(&p.client);
    assert_true(p.to_client.is_shut);
    assert_true(p.to_server.is_shut);
    pair_fini(&p);
}

static void test_a_full_pipe_delays_the_goodbye(void **state)
{
    char text[500];
    char buf[1000];
    struct tlsmsg_error err = {.code = TLSMSG_OK};
    enum transport_result result;
    struct pair p;
    size_t n;
    int i;

    (void)state;
    contract_fill(text, sizeof(text));
    contract_open(&p);
    /* Room for what is sent and not a byte more. */
    assert_int_equal(transport_send(p.client.transport, text, sizeof(text), &n, &err),
                     TRANSPORT_OK);
    p.to_server.cap = p.to_server.len;
    result = transport_shutdown(p.client.transport, &err);
    assert_int_equal(result, fixture_is_tls ? TRANSPORT_WANT_WRITE : TRANSPORT_OK);
    assert_int_equal(p.to_server.is_shut, !fixture_is_tls);
    assert_int_equal(transport_recv(p.server.transport, buf, sizeof(buf), &n, &err), TRANSPORT_OK);
    for (i = 0; i < 10 && result == TRANSPORT_WANT_WRITE; i++) {
        result = transport_shutdown(p.client.transport, &err);
    }
    assert_int_equal(result, TRANSPORT_OK);
    contract_receive_end(&p.server);
    pair_fini(&p);
}

/* The server still has replies for a client that will send nothing more. */
static void assert_the_reply_comes(struct pair *p)
{
    contract_send(&p->server, "reply");
    contract_shutdown(&p->server);
    contract_receive(&p->client, "reply");
    contract_receive_end(&p->client);
}

static void test_closed_stays_closed_and_sending_goes_on(void **state)
{
    struct pair p;

    (void)state;
    contract_open(&p);
    contract_send(&p.client, "hello");
    contract_shutdown(&p.client);
    contract_receive(&p.server, "hello");
    contract_receive_end(&p.server);
    contract_receive_end(&p.server);
    assert_the_reply_comes(&p);
    pair_fini(&p);
}

/* A client that only shuts its socket is truncated, and gets its replies all the same. */
static void test_a_half_close_without_a_goodbye_still_gets_replies(void **state)
{
    char buf[100];
    struct tlsmsg_error err = {.code = TLSMSG_OK};
    struct pair p;
    size_t n;

    (void)state;
    contract_open(&p);
    contract_send(&p.client, "hello");
    p.to_server.is_shut = true;
    contract_receive(&p.server, "hello");
    assert_int_equal(transport_recv(p.server.transport, buf, sizeof(buf), &n, &err),
                     fixture_is_tls ? TRANSPORT_ERROR : TRANSPORT_CLOSED);
    assert_int_equal(err.code, fixture_is_tls ? TLSMSG_ERR_TRUNCATED : TLSMSG_OK);
    assert_the_reply_comes(&p);
    pair_fini(&p);
}

static void test_shutdown_with_a_half_sent_record(void **state)
{
    char text[5000];
    struct tlsmsg_error err = {.code = TLSMSG_OK};
    struct pair p;
    size_t n;

    (void)state;
    contract_fill(text, sizeof(text));
    contract_open(&p);
    p.to_server.cap = 100;
    if (fixture_is_tls) {
        assert_int_equal(transport_send(p.client.transport, text, sizeof(text), &n, &err),
                         TRANSPORT_WANT_WRITE);
        assert_int_equal(transport_shutdown(p.client.transport, &err), TRANSPORT_ERROR);
        assert_int_equal(err.code, TLSMSG_ERR_STATE);
    } else {
        assert_int_equal(transport_send(p.client.transport, text, sizeof(text), &n, &err),
                         TRANSPORT_OK);
        contract_shutdown(&p.client);
    }
    assert_true(p.to_server.is_shut);
    pair_fini(&p);
}

static void test_verbs_before_the_handshake(void **state)
{
    char buf[10];
    struct tlsmsg_error err = {.code = TLSMSG_OK};
    struct pair p;
    size_t n = 7;

    (void)state;
    contract_pair(&p);
    assert_int_equal(transport_recv(p.server.transport, buf, sizeof(buf), &n, &err),
                     fixture_is_tls ? TRANSPORT_ERROR : TRANSPORT_WANT_READ);
    assert_int_equal(err.code, fixture_is_tls ? TLSMSG_ERR_STATE : TLSMSG_OK);
    assert_int_equal(n, 0);
    n = 7;
    assert_int_equal(transport_send(p.server.transport, "x", 1, &n, NULL),
                     fixture_is_tls ? TRANSPORT_ERROR : TRANSPORT_OK);
    assert_int_equal(n, fixture_is_tls ? 0 : 1);
    pair_fini(&p);
}

static void test_frees_take_null(void **state)
{
    (void)state;
    transport_free(NULL);
    transport_config_unref(NULL);
}

int contract_closing(void)
{
    static const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_shutdown_is_idempotent),
        cmocka_unit_test(test_shutdown_before_a_byte),
        cmocka_unit_test(test_shutdown_in_the_middle_of_a_handshake),
        cmocka_unit_test(test_a_full_pipe_delays_the_goodbye),
        cmocka_unit_test(test_closed_stays_closed_and_sending_goes_on),
        cmocka_unit_test(test_a_half_close_without_a_goodbye_still_gets_replies),
        cmocka_unit_test(test_shutdown_with_a_half_sent_record),
        cmocka_unit_test(test_verbs_before_the_handshake),
        cmocka_unit_test(test_frees_take_null),
    };

    return cmocka_run_group_tests_name("closing", tests, NULL, NULL);
}
