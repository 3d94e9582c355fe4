/* Listening on every address of the machine: both families where there are both, on one port. */
#include "support/unit.h"

#include <errno.h>
#include <ifaddrs.h>
#include <netinet/in.h>
#include <stdbool.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "net/socket.h"
#include "support/loopback.h"
#include "support/socket_script.h"

/* The machine's addresses: none, one without an address, IPv4, IPv6; or they can't be told. */
static struct sockaddr v4 = {.sa_family = AF_INET};
static struct sockaddr v6 = {.sa_family = AF_INET6};
static struct ifaddrs with_v6[] = {
    {.ifa_next = &with_v6[1], .ifa_addr = NULL},
    {.ifa_next = &with_v6[2], .ifa_addr = &v4},
    {.ifa_next = NULL, .ifa_addr = &v6},
};
static struct ifaddrs without[] = {
    {.ifa_next = &without[1], .ifa_addr = NULL},
    {.ifa_next = NULL, .ifa_addr = &v4},
};
static struct ifaddrs *machine;
static bool cannot_be_told;
static unsigned given;
static unsigned freed;

int __wrap_getifaddrs(struct ifaddrs **all);
void __wrap_freeifaddrs(struct ifaddrs *all);

int __wrap_getifaddrs(struct ifaddrs **all)
{
    if (cannot_be_told) {
        errno = ENOMEM;
        return -1;
    }
    given++;
    *all = machine;
    return 0;
}

void __wrap_freeifaddrs(struct ifaddrs *all)
{
    assert_ptr_equal(all, machine);
    freed++;
}

static int forget(void **state)
{
    machine = with_v6;
    cannot_be_told = false;
    given = freed = 0;
    return socket_script_forget(state);
}

static enum tlsmsg_code listen_on_any(uint16_t port, int *fds, struct address *bound, size_t *count,
                                      struct tlsmsg_error *err)
{
    const struct address_name n = loopback_name(ADDRESS_ANY, port);

    return socket_listen(&n, fds, bound, 2, count, err);
}

static bool machine_has_v6(void)
{
    int fd = socket(AF_INET6, SOCK_STREAM, 0);
    const struct sockaddr_in6 any = {.sin6_family = AF_INET6, .sin6_addr = IN6ADDR_ANY_INIT};
    bool has = fd >= 0 && bind(fd, (const struct sockaddr *)&any, sizeof(any)) == 0;

    if (fd >= 0) {
        (void)close(fd);
    }
    return has;
}

static void assert_is_any(const struct address *a, int family)
{
    static const struct in6_addr none = IN6ADDR_ANY_INIT;

    assert_int_equal(a->socket.any.sa_family, family);
    if (family == AF_INET6) {
        assert_memory_equal(&a->socket.v6.sin6_addr, &none, sizeof(none));
    } else {
        assert_int_equal(a->socket.v4.sin_addr.s_addr, htonl(INADDR_ANY));
    }
}

static void test_both_families_share_a_port(void **state)
{
    struct address bound[2];
    int fds[2];
    size_t count = 0;

    (void)state;
    if (!machine_has_v6()) {
        skip();
    }
    for (unsigned i = 0; i < 2; i++) {
        cannot_be_told = i == 1; /* then the sockets tell */
        assert_int_equal(listen_on_any(0, fds, bound, &count, NULL), TLSMSG_OK);
        assert_int_equal(count, 2);
        assert_is_any(&bound[0], AF_INET6);
        assert_is_any(&bound[1], AF_INET);
        assert_int_not_equal(loopback_port(&bound[0]), 0);
        assert_int_equal(loopback_port(&bound[0]), loopback_port(&bound[1]));
        loopback_close(fds, count);
    }
    assert_int_equal(freed, given);
}

/* Sockets of a family that is switched off can be made, and nobody can reach them. */
static void test_a_machine_without_ipv6_listens_on_ipv4(void **state)
{
    struct address bound[2];
    int fds[2];
    size_t count = 0;

    (void)state;
    machine = without;
    assert_int_equal(listen_on_any(0, fds, bound, &count, NULL), TLSMSG_OK);
    assert_int_equal(count, 1);
    assert_is_any(&bound[0], AF_INET);
    assert_int_equal(given, 1);
    assert_int_equal(freed, 1);
    loopback_close(fds, count);
}

/* A free port of the one family may be taken in the other: then another one is tried. */
static void test_a_port_that_only_one_family_has_is_given_back(void **state)
{
    /* And the truth from there on: the next one may be taken, too. */
    static const int answers[64] = {0, EADDRINUSE};
    struct address bound[2];
    int fds[2];
    size_t count = 0;
    int next = dup(STDERR_FILENO);

    (void)state;
    if (!machine_has_v6()) {
        (void)close(next);
        skip();
    }
    (void)close(next);
    socket_script_follow(&on_bind, answers);
    assert_int_equal(listen_on_any(0, fds, bound, &count, NULL), TLSMSG_OK);
    assert_true(on_bind.calls >= 5);
    assert_int_equal(count, 2);
    assert_int_equal(loopback_port(&bound[0]), loopback_port(&bound[1]));
    assert_int_equal(fds[0], next); /* those before are closed */
    loopback_close(fds, count);
}

/* After so many tries two ports are better than none. */
static void test_it_is_not_tried_for_ever(void **state)
{
    enum { TRIES = 17 };
    int answers[3 * TRIES];
    struct address bound[2];
    int fds[2];
    size_t count = 0;

    (void)state;
    if (!machine_has_v6()) {
        skip();
    }
    for (size_t i = 0; i < COUNT_OF(answers); i++) {
        answers[i] = i % 3 == 1 ? EADDRINUSE : 0;
    }
    socket_script_follow(&on_bind, answers);
    assert_int_equal(listen_on_any(0, fds, bound, &count, NULL), TLSMSG_OK);
    assert_int_equal(on_bind.calls, COUNT_OF(answers));
    assert_int_equal(count, 2);
    loopback_close(fds, count);
}

static void test_a_port_in_use_is_told_at_once(void **state)
{
    static const int answers[] = {EADDRINUSE, EADDRINUSE};
    struct address bound[2];
    struct tlsmsg_error err = {.code = TLSMSG_OK};
    int fds[2];
    size_t count = 99;

    (void)state;
    machine = without;
    socket_script_follow(&on_bind, answers);
    assert_int_equal(listen_on_any(4433, fds, bound, &count, &err), TLSMSG_ERR_SYSTEM);
    assert_int_equal(on_bind.calls, 1);
    assert_int_equal(count, 0);
    assert_int_equal(err.code, TLSMSG_ERR_SYSTEM);
    assert_int_equal(err.sys_errno, EADDRINUSE);
    assert_string_equal(err.text, "cannot listen on 0.0.0.0:4433: Address already in use (another "
                                  "program holds that port; try: another one, or 0 for any that is "
                                  "free)");
    assert_is_any(&bound[0], AF_INET);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(test_both_families_share_a_port, forget),
        cmocka_unit_test_setup(test_a_machine_without_ipv6_listens_on_ipv4, forget),
        cmocka_unit_test_setup(test_a_port_that_only_one_family_has_is_given_back, forget),
        cmocka_unit_test_setup(test_it_is_not_tried_for_ever, forget),
        cmocka_unit_test_setup(test_a_port_in_use_is_told_at_once, forget),
    };
    int failed = cmocka_run_group_tests(tests, NULL, NULL);

    (void)socket_script_forget(NULL);
    return failed;
}
