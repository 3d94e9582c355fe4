/* Limits at the door: each one's edge, places given back, the rate with a clock of the test's. */
#include "support/unit.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <stdio.h>
#include <string.h>

#include "base/clock.h"
#include "server/limits.h"

static struct address v4(uint32_t host)
{
    struct address a = {.len = sizeof(struct sockaddr_in)};
    struct sockaddr_in *in = (struct sockaddr_in *)&a.storage;

    in->sin_family = AF_INET;
    in->sin_addr.s_addr = htonl(host);
    in->sin_port = htons(4000);
    return a;
}

static void set_up(struct limits *a, enum tlsmsg_option option, int64_t value)
{
    struct tlsmsg_options *o = NULL;
    struct server_settings settings;

    assert_int_equal(tlsmsg_options_new(TLSMSG_ROLE_SERVER, &o, NULL), TLSMSG_OK);
    assert_int_equal(tlsmsg_options_set_number(o, option, value, NULL), TLSMSG_OK);
    options_server(o, &settings);
    assert_int_equal(limits_init(a, &settings, 32, NULL), TLSMSG_OK);
    tlsmsg_options_free(o);
}

static void test_total(void **state)
{
    struct limits a;
    struct address peer = v4(1);

    (void)state;
    set_up(&a, TLSMSG_OPT_MAX_CONNECTIONS, 2);
    assert_int_equal(limits_enter(&a, &peer, 1), LIMIT_NONE);
    assert_int_equal(limits_enter(&a, &peer, 1), LIMIT_NONE);
    assert_int_equal(limits_enter(&a, &peer, 1), LIMIT_CONNECTIONS);
    limits_leave(&a, &peer);
    assert_int_equal(limits_enter(&a, &peer, 1), LIMIT_NONE);
    assert_string_equal(limit_option(LIMIT_CONNECTIONS), "--max-connections");
    assert_int_equal(limit_value(&a, LIMIT_CONNECTIONS), 2);
    limits_fini(&a);
}

static void test_default_comes_from_the_descriptor_limit(void **state)
{
    struct limits a;

    (void)state;
    set_up(&a, TLSMSG_OPT_MAX_CONNECTIONS, 0);
    assert_true(a.max_connections > 0);
    limits_fini(&a);
}

static void test_per_address(void **state)
{
    struct limits a;
    struct address one = v4(1);
    struct address two = v4(2);

    (void)state;
    set_up(&a, TLSMSG_OPT_MAX_PER_ADDRESS, 1);
    assert_int_equal(limits_enter(&a, &one, 1), LIMIT_NONE);
    assert_int_equal(limits_enter(&a, &one, 1), LIMIT_PER_ADDRESS);
    assert_int_equal(limits_enter(&a, &two, 1), LIMIT_NONE);
    limits_leave(&a, &one);
    assert_int_equal(limits_enter(&a, &one, 1), LIMIT_NONE);
    /* What was refused took no place of the other limits. */
    assert_int_equal(atomic_load(&a.connections), 2);
    limits_fini(&a);
}

#define S CLOCK_NS_PER_S

static void test_rate_and_its_recovery(void **state)
{
    struct limits a;
    struct address peer = v4(1);
    struct address other = v4(2);
    int64_t now = 100 * (int64_t)S;

    (void)state;
    set_up(&a, TLSMSG_OPT_HANDSHAKE_RATE, 4);
    for (int i = 0; i < 4; i++) {
        assert_int_equal(limits_enter(&a, &peer, now), LIMIT_NONE);
        limits_leave(&a, &peer);
    }
    assert_int_equal(limits_enter(&a, &peer, now), LIMIT_RATE);
    assert_int_equal(limits_enter(&a, &other, now), LIMIT_NONE);
    assert_int_equal(limits_enter(&a, &peer, now + S / 4), LIMIT_NONE);
    assert_int_equal(limits_enter(&a, &peer, now + S / 4), LIMIT_RATE);
    limits_fini(&a);
}

static void test_handshakes_at_once(void **state)
{
    struct limits a;
    struct address peer = v4(1);

    (void)state;
    set_up(&a, TLSMSG_OPT_MAX_HANDSHAKES, 1);
    assert_int_equal(limits_enter(&a, &peer, 1), LIMIT_NONE);
    assert_int_equal(limits_enter(&a, &peer, 1), LIMIT_HANDSHAKES);
    limits_handshake_done(&a);
    assert_int_equal(limits_enter(&a, &peer, 1), LIMIT_NONE);
    limits_fini(&a);
}

/* Passers-by from many addresses must not fill the memory. */
static void test_table_forgets_passers_by(void **state)
{
    struct limits a;

    (void)state;
    set_up(&a, TLSMSG_OPT_HANDSHAKE_RATE, 1);
    for (uint32_t i = 0; i < 20000; i++) {
        struct address peer = v4(i);

        assert_int_equal(limits_enter(&a, &peer, 1 + i), LIMIT_NONE);
        limits_leave(&a, &peer);
    }
    struct address last = v4(1u << 30);

    assert_int_equal(limits_enter(&a, &last, 100 * (int64_t)S), LIMIT_NONE);
    assert_int_equal(a.entries, 1);
    limits_fini(&a);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_total),
        cmocka_unit_test(test_default_comes_from_the_descriptor_limit),
        cmocka_unit_test(test_per_address),
        cmocka_unit_test(test_rate_and_its_recovery),
        cmocka_unit_test(test_handshakes_at_once),
        cmocka_unit_test(test_table_forgets_passers_by),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
