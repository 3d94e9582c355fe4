/* Limits at the door: each one's edge, places given back, the rate with a clock of the test's. */
#include "support/unit.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <stdio.h>
#include <string.h>
#include <sys/random.h>
#include <sys/resource.h>

#include "base/clock.h"
#include "server/limits.h"
#include "support/failmalloc.h"

/* What the kernel says. */
static rlim_t descriptors;
static int getrlimit_result;
static bool has_randomness;

/* Which of both names the C library's header uses is its own affair. */
int __wrap_getrlimit(int resource, struct rlimit *limit);
int __wrap_getrlimit64(int resource, struct rlimit *limit);
ssize_t __wrap_getrandom(void *buf, size_t len, unsigned flags);

int __wrap_getrlimit(int resource, struct rlimit *limit)
{
    assert_int_equal(resource, RLIMIT_NOFILE);
    limit->rlim_cur = descriptors;
    return getrlimit_result;
}

int __wrap_getrlimit64(int resource, struct rlimit *limit)
{
    return __wrap_getrlimit(resource, limit);
}

ssize_t __wrap_getrandom(void *buf, size_t len, unsigned flags)
{
    assert_int_equal(flags, GRND_NONBLOCK);
    memset(buf, 0x5a, len);
    return has_randomness ? (ssize_t)len : -1;
}

static int fresh(void **state)
{
    (void)state;
    descriptors = 1024;
    getrlimit_result = 0;
    has_randomness = true;
    return 0;
}

static struct address v4(uint32_t host)
{
    struct address a = {.len = sizeof(struct sockaddr_in)};
    struct sockaddr_in *in = &a.socket.v4;

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

/* Nobody has a place, or so many have. */
static void expect_places(const struct limits *a, uint64_t connections, uint64_t handshakes)
{
    assert_int_equal(atomic_load(&a->connections), connections);
    assert_int_equal(atomic_load(&a->handshakes), handshakes);
}

static void test_total(void **state)
{
    struct limits a;
    struct address peer = v4(1);

    (void)state;
    set_up(&a, TLSMSG_OPT_MAX_CONNECTIONS, 2);
    assert_null(a.buckets);
    assert_int_equal(limits_enter(&a, &peer, 1), LIMIT_NONE);
    assert_int_equal(limits_enter(&a, &peer, 1), LIMIT_NONE);
    assert_int_equal(limits_enter(&a, &peer, 1), LIMIT_CONNECTIONS);
    expect_places(&a, 2, 2);
    limits_leave(&a, &peer);
    expect_places(&a, 1, 2);
    assert_int_equal(limits_enter(&a, &peer, 1), LIMIT_NONE);
    limits_fini(&a);
}

static void test_names_and_values(void **state)
{
    static const struct limits a = {
        .max_connections = 1, .max_per_address = 2, .max_handshakes = 3, .handshake_rate = 4};
    static const char *const names[] = {"", "--max-connections", "--max-per-address",
                                        "--max-handshakes", "--handshake-rate"};
    static const enum limit all[] = {LIMIT_NONE, LIMIT_CONNECTIONS, LIMIT_PER_ADDRESS,
                                     LIMIT_HANDSHAKES, LIMIT_RATE};

    (void)state;
    for (size_t i = 0; i < COUNT_OF(all); i++) {
        assert_string_equal(limit_option(all[i]), names[i]);
        assert_int_equal(limit_value(&a, all[i]), i);
    }
}

/* Some descriptors are for other things than connections; where there are few, half of them. */
static void test_default_comes_from_the_descriptor_limit(void **state)
{
    struct limits a;

    (void)state;
    set_up(&a, TLSMSG_OPT_MAX_CONNECTIONS, 0);
    assert_int_equal(a.max_connections, 1024 - 32);
    limits_fini(&a);
    descriptors = 90;
    assert_int_equal(limits_allowed(32), 58);
    descriptors = 65;
    assert_int_equal(limits_allowed(32), 33);
    descriptors = 64;
    assert_int_equal(limits_allowed(32), 33);
    descriptors = 40;
    assert_int_equal(limits_allowed(32), 21);
    descriptors = RLIM_INFINITY;
    assert_int_equal(limits_allowed(32), UINT64_MAX);
    descriptors = 40;
    getrlimit_result = -1;
    assert_int_equal(limits_allowed(32), UINT64_MAX);
}

static void test_per_address(void **state)
{
    struct limits a;
    struct address one = v4(1);
    struct address two = v4(2);

    (void)state;
    set_up(&a, TLSMSG_OPT_MAX_PER_ADDRESS, 2);
    assert_int_equal(limits_enter(&a, &one, 1), LIMIT_NONE);
    assert_int_equal(limits_enter(&a, &one, 1), LIMIT_NONE);
    assert_int_equal(limits_enter(&a, &one, 1), LIMIT_PER_ADDRESS);
    assert_int_equal(limits_enter(&a, &two, 1), LIMIT_NONE);
    /* What was refused took no place of the other limits. */
    expect_places(&a, 3, 3);
    limits_leave(&a, &one);
    assert_int_equal(limits_enter(&a, &one, 1), LIMIT_NONE);
    assert_int_equal(limits_enter(&a, &one, 1), LIMIT_PER_ADDRESS);
    expect_places(&a, 3, 4);
    assert_int_equal(a.entries, 2);
    limits_fini(&a);
}

/* What is over one limit takes nothing of the other. */
static void test_both_limits_of_an_address(void **state)
{
    struct limits a;
    struct address peer = v4(1);

    (void)state;
    set_up(&a, TLSMSG_OPT_MAX_PER_ADDRESS, 1);
    a.handshake_rate = 2;
    assert_int_equal(limits_enter(&a, &peer, 1), LIMIT_NONE);
    assert_int_equal(limits_enter(&a, &peer, 1), LIMIT_PER_ADDRESS);
    limits_leave(&a, &peer);
    assert_int_equal(limits_enter(&a, &peer, 1), LIMIT_NONE);
    limits_leave(&a, &peer);
    assert_int_equal(limits_enter(&a, &peer, 1), LIMIT_RATE);
    assert_int_equal(limits_enter(&a, &peer, 1), LIMIT_RATE);
    expect_places(&a, 0, 2);
    limits_fini(&a);
}

/* Nothing but the table itself is needed from the heap at the start, and an entry of it later. */
static void test_no_memory(void **state)
{
    struct server_settings settings = {.max_per_address = 1};
    struct tlsmsg_error err = {.code = TLSMSG_OK};
    struct address peer = v4(1);
    struct limits a;

    (void)state;
    failmalloc_at(1);
    assert_int_equal(limits_init(&a, &settings, 32, &err), TLSMSG_ERR_NOMEM);
    failmalloc_at(0);
    assert_int_equal(err.code, TLSMSG_ERR_NOMEM);
    assert_int_equal(err.sys_errno, 0);
    assert_string_equal(err.text, "out of memory");
    limits_fini(&a);
    assert_int_equal(limits_init(&a, &settings, 32, &err), TLSMSG_OK);
    failmalloc_at(1);
    assert_int_equal(limits_enter(&a, &peer, 1), LIMIT_MEMORY);
    failmalloc_at(0);
    assert_int_equal(a.entries, 0);
    expect_places(&a, 0, 0);
    /* Of one that was never counted nothing is taken back. */
    assert_int_equal(limits_enter(&a, &peer, 1), LIMIT_NONE);
    limits_leave(&a, &peer);
    atomic_fetch_add(&a.connections, 1);
    limits_leave(&a, &peer);
    assert_int_equal(limits_enter(&a, &peer, 1), LIMIT_NONE);
    assert_int_equal(limits_enter(&a, &peer, 1), LIMIT_PER_ADDRESS);
    limits_fini(&a);
}

/* Clients choose their addresses: the hash is seeded, if need be with an address of ours. */
static void test_seed(void **state)
{
    struct limits a;

    (void)state;
    set_up(&a, TLSMSG_OPT_HANDSHAKE_RATE, 1);
    assert_int_equal(a.hash_seed, 0x5a5a5a5a5a5a5a5a);
    limits_fini(&a);
    has_randomness = false;
    set_up(&a, TLSMSG_OPT_HANDSHAKE_RATE, 1);
    assert_int_equal(a.hash_seed, (uintptr_t)a.buckets);
    limits_fini(&a);
}

#define BUCKETS 4096

/* As many addresses as there are buckets: by chance alone about 1,500 of these stay empty. */
static void test_addresses_are_spread(void **state)
{
    struct limits a;
    unsigned empty = 0;

    (void)state;
    descriptors = 65536;
    set_up(&a, TLSMSG_OPT_MAX_PER_ADDRESS, 1);
    for (uint32_t i = 0; i < BUCKETS; i++) {
        struct address peer = v4(0x0a000000 + 256 * i);

        assert_int_equal(limits_enter(&a, &peer, 1), LIMIT_NONE);
    }
    for (size_t i = 0; i < BUCKETS; i++) {
        empty += list_is_empty(&a.buckets[i]) ? 1 : 0;
    }
    assert_in_range(empty, 0, 2000);
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
    set_up(&a, TLSMSG_OPT_MAX_HANDSHAKES, 2);
    assert_int_equal(limits_enter(&a, &peer, 1), LIMIT_NONE);
    assert_int_equal(limits_enter(&a, &peer, 1), LIMIT_NONE);
    assert_int_equal(limits_enter(&a, &peer, 1), LIMIT_HANDSHAKES);
    expect_places(&a, 2, 2);
    limits_handshake_done(&a);
    assert_int_equal(limits_enter(&a, &peer, 1), LIMIT_NONE);
    expect_places(&a, 3, 2);
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

static void enter_and_leave(struct limits *a, uint32_t host, int64_t now)
{
    struct address peer = v4(host);

    assert_int_equal(limits_enter(a, &peer, now), LIMIT_NONE);
    limits_leave(a, &peer);
}

/* The table is looked through every ten seconds; who is connected, or has used up its rate, stays. */
static void test_table_keeps_what_says_something(void **state)
{
    struct limits a;
    struct address stays = v4(1);
    int64_t now = 100 * (int64_t)S;

    (void)state;
    set_up(&a, TLSMSG_OPT_HANDSHAKE_RATE, 2);
    assert_int_equal(limits_enter(&a, &stays, now), LIMIT_NONE);
    enter_and_leave(&a, 2, now);
    enter_and_leave(&a, 3, now + 10 * (int64_t)S - 1);
    assert_int_equal(a.entries, 3);
    enter_and_leave(&a, 4, now + 10 * (int64_t)S);
    assert_int_equal(a.entries, 3); /* 2 is forgotten */
    limits_leave(&a, &stays);
    enter_and_leave(&a, 5, now + 20 * (int64_t)S - 1);
    assert_int_equal(a.entries, 4);
    enter_and_leave(&a, 6, now + 20 * (int64_t)S);
    assert_int_equal(a.entries, 2); /* 5 has not recovered */
    limits_fini(&a);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(test_total, fresh),
        cmocka_unit_test_setup(test_default_comes_from_the_descriptor_limit, fresh),
        cmocka_unit_test_setup(test_names_and_values, fresh),
        cmocka_unit_test_setup(test_per_address, fresh),
        cmocka_unit_test_setup(test_both_limits_of_an_address, fresh),
        cmocka_unit_test_setup(test_no_memory, fresh),
        cmocka_unit_test_setup(test_seed, fresh),
        cmocka_unit_test_setup(test_addresses_are_spread, fresh),
        cmocka_unit_test_setup(test_rate_and_its_recovery, fresh),
        cmocka_unit_test_setup(test_handshakes_at_once, fresh),
        cmocka_unit_test_setup(test_table_forgets_passers_by, fresh),
        cmocka_unit_test_setup(test_table_keeps_what_says_something, fresh),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
