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

/* The two ways, by whom they lead to. */
enum { TO_SERVER, TO_CLIENT, WAYS };

static struct memory_pipe *way_to(struct pair *p, int whom)
{
    return whom == TO_SERVER ? &p->to_server : &p->to_client;
}

static struct pair_end *end_of(struct pair *p, int whom)
{
    return whom == TO_SERVER ? &p->server : &p->client;
}

/* Calls and bytes of an undisturbed conversation, for the loops below. */
struct measured {
    unsigned server_calls;
    unsigned client_calls;
    size_t bytes[WAYS];
};

static struct measured measure(void)
{
    struct measured found;
    struct pair p;

    talk(&p);
    contract_assert_clean(&p, said, SAID_LEN);
    found = (struct measured){.server_calls = p.server_source.calls,
                              .client_calls = p.client_source.calls,
                              .bytes = {p.to_server.total, p.to_client.total}};
    pair_fini(&p);
    return found;
}

static void test_try_again_at_each_step(void **state)
{
    const struct measured whole = measure();

    (void)state;
    for (unsigned i = 1; i <= whole.server_calls || i <= whole.client_calls; i++) {
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
static void run_with_pause(int whom, size_t at)
{
    struct pair p;

    talk(&p);
    way_to(&p, whom)->stop_at = at;
    (void)pair_run(&p, 20);
    way_to(&p, whom)->stop_at = MEMORY_NEVER;
    contract_assert_clean(&p, said, SAID_LEN);
    pair_fini(&p);
}

static void test_a_pause_at_each_byte(void **state)
{
    const struct measured whole = measure();

    (void)state;
    for (int whom = 0; whom < WAYS; whom++) {
        for (size_t at = 0; at <= whole.bytes[whom]; at++) {
            run_with_pause(whom, at);
        }
    }
}

/* A conversation whose bytes end there, with an end of file (0) or an errno. */
static void talk_cut(struct pair *p, int whom, size_t at, int sys_errno)
{
    talk(p);
    way_to(p, whom)->cut_at = at;
    way_to(p, whom)->cut_errno = sys_errno;
    if (!pair_run(p, STEPS)) {
        fail_msg("cut at byte %zu: client stuck in phase %d, server in phase %d", at,
                 (int)p->client.phase, (int)p->server.phase);
    }
}

/* Signatures differ in length, so a cut near the end can miss; not one in the first nine tenths. */
static bool was_cut(struct pair *p, int whom, size_t at, size_t expected_total)
{
    if (at < expected_total / 10 * 9) {
        assert_true(way_to(p, whom)->lost > 0);
    }
    return way_to(p, whom)->lost > 0;
}

/* A bare end of file is truncation under TLS. The server's goodbye is said all the same. */
static void test_end_of_file_at_each_byte(void **state)
{
    const struct measured whole = measure();

    (void)state;
    for (int whom = 0; whom < WAYS; whom++) {
        for (size_t at = 0; at < whole.bytes[whom]; at++) {
            struct pair p;

            talk_cut(&p, whom, at, 0);
            assert_int_equal(end_of(&p, whom)->code,
                             was_cut(&p, whom, at, whole.bytes[whom]) && fixture_is_tls
                                 ? TLSMSG_ERR_TRUNCATED
                                 : TLSMSG_OK);
            if (whom == TO_SERVER) {
                assert_int_equal(transport_heard(p.server.transport), at > 0);
                assert_true(p.to_client.is_shut);
            }
            if (whom == TO_SERVER && p.server.opened) { /* what came is answered */
                assert_int_equal(p.server.out_head, p.server.in_len);
                assert_int_equal(p.server.shutdown_result, TRANSPORT_OK);
            }
            pair_fini(&p);
        }
    }
}

static void test_a_reset_at_each_byte(void **state)
{
    const struct measured whole = measure();

    (void)state;
    for (int whom = 0; whom < WAYS; whom++) {
        for (size_t at = 0; at < whole.bytes[whom]; at++) {
            struct pair p;

            talk_cut(&p, whom, at, ECONNRESET);
            if (was_cut(&p, whom, at, whole.bytes[whom])) {
                assert_int_equal(end_of(&p, whom)->code, TLSMSG_ERR_RESET);
                assert_non_null(strstr(end_of(&p, whom)->error.text, "reset"));
            }
            pair_fini(&p);
        }
    }
}

static void test_other_errors_are_named(void **state)
{
    struct pair p;

    (void)state;
    talk_cut(&p, TO_SERVER, 0, ETIMEDOUT);
    assert_int_equal(p.server.code, TLSMSG_ERR_RESET);
    assert_int_equal(p.server.error.sys_errno, ETIMEDOUT);
    assert_non_null(strstr(p.server.error.text, strerror(ETIMEDOUT)));
    pair_fini(&p);
}

/* A failed write: what the peer said before can still be read, so that its word is the cause. */
static void test_after_a_failed_write_reading_goes_on(void **state)
{
    struct tlsmsg_error err = {.code = TLSMSG_OK};
    struct pair p;
    size_t n;

    (void)state;
    contract_open(&p);
    contract_send(&p.server, "last words");
    contract_shutdown(&p.server);
    p.client_source.write_errno = EPIPE;
    assert_int_equal(transport_send(p.client.transport, "hello?", 6, &n, &err), TRANSPORT_ERROR);
    assert_int_equal(n, 0);
    assert_int_equal(err.code, TLSMSG_ERR_RESET);
    assert_int_equal(err.sys_errno, EPIPE);
    tlsmsg_error_clear(&err);
    contract_receive(&p.client, "last words");
    contract_receive_end(&p.client);
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
    contract_open(&p);
    assert_int_equal(transport_recv(p.server.transport, buf, sizeof(buf), &n, &err),
                     TRANSPORT_WANT_READ);
    contract_send(&p.client, "hello");
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
