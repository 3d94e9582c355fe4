/* Contract: whatever happens at whichever byte, both ends come to an end and say the right thing. */
#include "contract/contract.h"

#include <errno.h>
#include <string.h>

static const char said[] = "three short messages in one";
#define SAID_LEN (sizeof(said) - 1)

static void talk(struct pair *p)
{
    contract_pair(p);
    pair_client_says(p, said, SAID_LEN);
}

/* Calls and bytes of an undisturbed conversation, for the loops below. */
static void measure(unsigned *server_calls, unsigned *client_calls, size_t *to_server,
                    size_t *to_client)
{
    struct pair p;

    talk(&p);
    contract_assert_clean(&p, said, SAID_LEN);
    *server_calls = p.server_source.calls;
    *client_calls = p.client_source.calls;
    *to_server = p.to_server.total;
    *to_client = p.to_client.total;
    pair_fini(&p);
}

static void test_try_again_at_each_step(void **state)
{
    unsigned server_calls;
    unsigned client_calls;
    size_t to_server;
    size_t to_client;
    unsigned i;

    (void)state;
    measure(&server_calls, &client_calls, &to_server, &to_client);
    for (i = 1; i <= server_calls || i <= client_calls; i++) {
        struct pair p;

        talk(&p);
        p.server_source.again_at = i;
        contract_assert_clean(&p, said, SAID_LEN);
        pair_fini(&p);
        talk(&p);
        p.client_source.again_at = i;
        contract_assert_clean(&p, said, SAID_LEN);
        pair_fini(&p);
    }
}

/* Lets the bytes up to a cut through, steps until nothing moves, then lets the rest through. */
static void run_with_pause(struct pair *p, struct memory_pipe *pipe, size_t at)
{
    pipe->stop_at = at;
    (void)pair_run(p, 20);
    pipe->stop_at = MEMORY_NEVER;
    contract_assert_clean(p, said, SAID_LEN);
}

static void test_a_pause_at_each_byte(void **state)
{
    unsigned calls[2];
    size_t to_server;
    size_t to_client;
    size_t at;

    (void)state;
    measure(&calls[0], &calls[1], &to_server, &to_client);
    for (at = 0; at <= to_server; at++) {
        struct pair p;

        talk(&p);
        run_with_pause(&p, &p.to_server, at);
        pair_fini(&p);
    }
    for (at = 0; at <= to_client; at++) {
        struct pair p;

        talk(&p);
        run_with_pause(&p, &p.to_client, at);
        pair_fini(&p);
    }
}

static void assert_ended(struct pair *p, size_t at)
{
    if (!pair_run(p, STEPS)) {
        fail_msg("cut at byte %zu: client stuck in phase %d, server in phase %d", at,
                 (int)p->client.phase, (int)p->server.phase);
    }
}

/* Signatures differ in length, so a cut near the end can miss; not one in the first nine tenths. */
static bool was_cut(const struct memory_pipe *pipe, size_t at, size_t expected_total)
{
    if (at < expected_total / 10 * 9) {
        assert_true(pipe->lost > 0);
    }
    return pipe->lost > 0;
}

/* The client's bytes end at some byte: a bare end of file is truncation under TLS. */
static void test_end_of_file_at_each_byte(void **state)
{
    unsigned calls[2];
    size_t to_server;
    size_t to_client;
    size_t at;

    (void)state;
    measure(&calls[0], &calls[1], &to_server, &to_client);
    for (at = 0; at < to_server; at++) {
        struct pair p;

        talk(&p);
        p.to_server.cut_at = at;
        assert_ended(&p, at);
        assert_int_equal(p.server.code, was_cut(&p.to_server, at, to_server) && fixture_is_tls
                                            ? TLSMSG_ERR_TRUNCATED
                                            : TLSMSG_OK);
        assert_int_equal(transport_heard(p.server.transport), at > 0);
        if (p.server.opened) {
            /* What came is answered, and the goodbye is said all the same. */
            assert_int_equal(p.server.out_head, p.server.in_len);
            assert_int_equal(p.server.shutdown_result, TRANSPORT_OK);
        }
        assert_true(p.to_client.is_shut);
        pair_fini(&p);
    }
    for (at = 0; at < to_client; at++) {
        struct pair p;

        talk(&p);
        p.to_client.cut_at = at;
        assert_ended(&p, at);
        assert_int_equal(p.client.code, was_cut(&p.to_client, at, to_client) && fixture_is_tls
                                            ? TLSMSG_ERR_TRUNCATED
                                            : TLSMSG_OK);
        pair_fini(&p);
    }
}

static void test_a_reset_at_each_byte(void **state)
{
    unsigned calls[2];
    size_t to_server;
    size_t to_client;
    size_t at;

    (void)state;
    measure(&calls[0], &calls[1], &to_server, &to_client);
    for (at = 0; at < to_server; at++) {
        struct pair p;

        talk(&p);
        p.to_server.cut_at = at;
        p.to_server.cut_errno = ECONNRESET;
        assert_ended(&p, at);
        if (was_cut(&p.to_server, at, to_server)) {
            assert_int_equal(p.server.code, TLSMSG_ERR_RESET);
            assert_non_null(strstr(p.server.error.text, "reset"));
        }
        pair_fini(&p);
    }
    for (at = 0; at < to_client; at++) {
        struct pair p;

        talk(&p);
        p.to_client.cut_at = at;
        p.to_client.cut_errno = ECONNRESET;
        assert_ended(&p, at);
        if (was_cut(&p.to_client, at, to_client)) {
            assert_int_equal(p.client.code, TLSMSG_ERR_RESET);
        }
        pair_fini(&p);
    }
}

static void test_other_errors_are_named(void **state)
{
    struct pair p;

    (void)state;
    talk(&p);
    p.to_server.cut_at = 0;
    p.to_server.cut_errno = ETIMEDOUT;
    assert_ended(&p, 0);
    assert_int_equal(p.server.code, TLSMSG_ERR_RESET);
    assert_int_equal(p.server.error.sys_errno, ETIMEDOUT);
    assert_non_null(strstr(p.server.error.text, strerror(ETIMEDOUT)));
    pair_fini(&p);
}

/* A failed write: what the peer said before can still be read, so that its word is the cause. */
static void test_after_a_failed_write_reading_goes_on(void **state)
{
    char buf[100];
    struct tlsmsg_error err = {.code = TLSMSG_OK};
    struct pair p;
    size_t n;

    (void)state;
    contract_pair(&p);
    assert_true(pair_open(&p, STEPS));
    assert_int_equal(transport_send(p.server.transport, "last words", 10, &n, &err), TRANSPORT_OK);
    assert_int_equal(transport_shutdown(p.server.transport, &err), TRANSPORT_OK);
    p.client_source.write_errno = EPIPE;
    assert_int_equal(transport_send(p.client.transport, "hello?", 6, &n, &err), TRANSPORT_ERROR);
    assert_int_equal(n, 0);
    assert_int_equal(err.code, TLSMSG_ERR_RESET);
    assert_int_equal(err.sys_errno, EPIPE);
    tlsmsg_error_clear(&err);
    assert_int_equal(transport_recv(p.client.transport, buf, sizeof(buf), &n, &err), TRANSPORT_OK);
    assert_int_equal(n, 10);
    assert_int_equal(transport_recv(p.client.transport, buf, sizeof(buf), &n, &err),
                     TRANSPORT_CLOSED);
    assert_int_equal(transport_send(p.client.transport, "hello?", 6, &n, &err), TRANSPORT_ERROR);
    assert_int_equal(transport_shutdown(p.client.transport, &err),
                     fixture_is_tls ? TRANSPORT_ERROR : TRANSPORT_OK);
    assert_true(p.to_server.is_shut);
    pair_fini(&p);
}

/* Bytes altered on their way are an error under TLS, never a message. */
static void test_altered_bytes_are_refused(void **state)
{
    char buf[100];
    struct tlsmsg_error err = {.code = TLSMSG_OK};
    struct pair p;
    size_t n;

    (void)state;
    if (!fixture_is_tls) {
        skip();
    }
    contract_pair(&p);
    assert_true(pair_open(&p, STEPS));
    assert_int_equal(transport_recv(p.server.transport, buf, sizeof(buf), &n, &err),
                     TRANSPORT_WANT_READ);
    assert_int_equal(transport_send(p.client.transport, "hello", 5, &n, &err), TRANSPORT_OK);
    p.to_server.data[p.to_server.head + p.to_server.len - 1] ^= 1;
    assert_int_equal(transport_recv(p.server.transport, buf, sizeof(buf), &n, &err),
                     TRANSPORT_ERROR);
    assert_int_equal(err.code, TLSMSG_ERR_PROTOCOL);
    tlsmsg_error_clear(&err);
    assert_int_equal(transport_send(p.server.transport, "x", 1, &n, &err), TRANSPORT_ERROR);
    assert_int_equal(err.code, TLSMSG_ERR_STATE);
    /* The other side hears of it. */
    tlsmsg_error_clear(&err);
    assert_int_equal(transport_recv(p.client.transport, buf, sizeof(buf), &n, &err),
                     TRANSPORT_ERROR);
    assert_int_equal(err.code, TLSMSG_ERR_PROTOCOL);
    assert_non_null(strstr(err.text, "bad record mac"));
    pair_fini(&p);
}

int contract_faults(void)
{
    static const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_try_again_at_each_step),
        cmocka_unit_test(test_a_pause_at_each_byte),
        cmocka_unit_test(test_end_of_file_at_each_byte),
        cmocka_unit_test(test_a_reset_at_each_byte),
        cmocka_unit_test(test_other_errors_are_named),
        cmocka_unit_test(test_after_a_failed_write_reading_goes_on),
        cmocka_unit_test(test_altered_bytes_are_refused),
    };

    return cmocka_run_group_tests_name("faults", tests, NULL, NULL);
}
