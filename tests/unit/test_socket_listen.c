/* Listening: on all addresses of a name, on ports that are free, taken or forbidden. */
#include "support/unit.h"

#include <errno.h>
#include <fcntl.h>
#include <netdb.h>
#include <netinet/in.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "net/resolve.h"
#include "net/socket.h"
#include "support/fake_lookup.h"
#include "support/loopback.h"
#include "support/socket_script.h"

#define FDS_MAX 8
#define MANY (RESOLVE_MAX + 40)

static bool has_ipv6(void)
{
    const struct address_name n = loopback_name("::1", 0);
    struct address bound;
    size_t count;
    int fd;

    if (socket_listen(&n, &fd, &bound, 1, &count, NULL) != TLSMSG_OK) {
        return false;
    }
    (void)close(fd);
    return true;
}

static void test_port_in_use_is_told(void **state)
{
    struct address bound;
    int listener = loopback_listen(&bound);
    struct address_name n = loopback_name("127.0.0.1", loopback_port(&bound));
    struct address again;
    struct tlsmsg_error err = {0};
    size_t count = 99;
    int free_fd = loopback_next_fd();
    int fd;

    (void)state;
    assert_int_equal(socket_listen(&n, &fd, &again, 1, &count, &err), TLSMSG_ERR_SYSTEM);
    assert_int_equal(loopback_next_fd(), free_fd);
    assert_int_equal(count, 0);
    assert_int_equal(err.sys_errno, EADDRINUSE);
    assert_non_null(strstr(err.text, "cannot listen on 127.0.0.1:"));
    assert_non_null(strstr(err.text, "another program holds that port"));
    loopback_close(&listener, 1);
}

/* A server that closed first leaves its port in TIME_WAIT; a restart must get it. */
static void test_port_can_be_taken_again_at_once(void **state)
{
    struct address bound;
    struct address peer;
    int listener = loopback_listen(&bound);
    struct address_name n = loopback_name("127.0.0.1", loopback_port(&bound));
    size_t count;
    int sys_errno;
    bool done;
    char byte;
    int client = socket_connect_start(&bound, &done, &sys_errno);
    int server;

    (void)state;
    assert_true(loopback_is_readable(listener));
    server = socket_accept(listener, &peer);
    assert_true(server >= 0);
    loopback_close((int[]){server, listener}, 2);
    assert_true(loopback_is_readable(client));
    assert_int_equal(recv(client, &byte, 1, 0), 0);
    loopback_close(&client, 1);
    assert_int_equal(socket_listen(&n, &listener, &bound, 1, &count, NULL), TLSMSG_OK);
    loopback_close(&listener, 1);
}

static void test_foreign_address_is_told(void **state)
{
    struct address_name n = loopback_name("192.0.2.1", 0); /* RFC 5737: nobody's */
    struct address bound;
    struct tlsmsg_error err = {0};
    size_t count = 99;
    int fd;

    (void)state;
    assert_int_equal(socket_listen(&n, &fd, &bound, 1, &count, &err), TLSMSG_ERR_SYSTEM);
    assert_int_equal(count, 0);
    assert_int_equal(err.sys_errno, EADDRNOTAVAIL);
    assert_non_null(strstr(err.text, "cannot listen on 192.0.2.1:0"));
    assert_non_null(strstr(err.text, "it is not an address of this machine"));
}

static void test_unknown_name_is_told(void **state)
{
    struct address_name n = loopback_name("nowhere.test", 0);
    struct address bound;
    struct tlsmsg_error err = {0};
    size_t count = 99;
    int fd;

    (void)state;
    fake_lookup_set("nowhere.test", NULL, 0, EAI_NONAME);
    assert_int_equal(socket_listen(&n, &fd, &bound, 1, &count, &err), TLSMSG_ERR_CONFIG);
    assert_int_equal(count, 0);
    assert_non_null(strstr(err.text, "cannot listen: cannot look up 'nowhere.test'"));
}

static void test_name_listens_on_all_its_addresses(void **state)
{
    static const char *const literals[] = {"127.0.0.1", "127.0.0.2", "127.0.0.1", "127.0.0.3"};
    struct address_name n = loopback_name("several.test", 0);
    struct address bound[FDS_MAX];
    int fds[FDS_MAX];
    size_t count;
    size_t i;

    (void)state;
    fake_lookup_set("several.test", literals, COUNT_OF(literals), 0);
    assert_int_equal(socket_listen(&n, fds, bound, FDS_MAX, &count, NULL), TLSMSG_OK);
    assert_int_equal(count, 3);
    for (i = 0; i < count; i++) {
        bool done;
        int sys_errno;
        int client = socket_connect_start(&bound[i], &done, &sys_errno);

        assert_true(client >= 0);
        assert_true(loopback_is_readable(fds[i]));
        loopback_close(&client, 1);
    }
    loopback_close(fds, count);
    assert_int_equal(socket_listen(&n, fds, bound, 3, &count, NULL), TLSMSG_OK);
    assert_int_equal(count, 3);
    loopback_close(fds, count);
}

/* None is left out silently: not for want of room, and not where the lookup itself had to stop. */
static void test_too_many_addresses_are_refused(void **state)
{
    static char texts[MANY][16];
    static const char *literals[MANY];
    static struct address bound[MANY];
    static const struct {
        size_t addresses;
        size_t cap;
        bool fits;
    } cases[] = {
        {3, 2, false},   {31, 32, true},    {32, 32, true},
        {33, 32, false}, {MANY, 32, false}, {MANY, MANY, false},
    };
    struct address_name n = loopback_name("many.test", 0);
    int fds[MANY];
    size_t i;

    (void)state;
    for (i = 0; i < COUNT_OF(texts); i++) {
        (void)snprintf(texts[i], sizeof(texts[i]), "127.0.1.%zu", i + 1);
        literals[i] = texts[i];
    }
    for (i = 0; i < COUNT_OF(cases); i++) {
        struct tlsmsg_error err = {0};
        size_t count = 99;

        fake_lookup_set("many.test", literals, cases[i].addresses, 0);
        if (cases[i].fits) {
            assert_int_equal(socket_listen(&n, fds, bound, cases[i].cap, &count, &err), TLSMSG_OK);
            assert_int_equal(count, cases[i].addresses);
            loopback_close(fds, count);
            continue;
        }
        assert_int_equal(socket_listen(&n, fds, bound, cases[i].cap, &count, &err),
                         TLSMSG_ERR_CONFIG);
        assert_int_equal(count, 0);
        assert_non_null(strstr(err.text, "cannot listen on 'many.test': it has more addresses"));
    }
}

/* The first address picks the port; the second listens there too. */
static void test_port_0_is_shared_where_it_can_be(void **state)
{
    static const char *const literals[] = {"127.0.0.1", "127.0.0.2"};
    struct address_name n = loopback_name("several.test", 0);
    struct address bound[FDS_MAX];
    int fds[FDS_MAX];
    size_t count;
    int attempt;
    bool shared = false;

    (void)state;
    fake_lookup_set("several.test", literals, COUNT_OF(literals), 0);
    for (attempt = 0; attempt < 5 && !shared; attempt++) {
        assert_int_equal(socket_listen(&n, fds, bound, FDS_MAX, &count, NULL), TLSMSG_OK);
        assert_int_equal(count, 2);
        assert_true(loopback_port(&bound[0]) != 0 && loopback_port(&bound[1]) != 0);
        shared = loopback_port(&bound[0]) == loopback_port(&bound[1]);
        loopback_close(fds, count);
    }
    assert_true(shared); /* five foreign sockets on just those ports would be odd */
}

/* The second address's turn at the first's port fails; it gets one of its own. */
static void test_port_0_is_own_where_it_must_be(void **state)
{
    static const char *const literals[] = {"127.0.0.1", "127.0.0.2"};
    static const int answers[] = {0, EADDRINUSE, 0};
    struct address_name n = loopback_name("several.test", 0);
    struct address bound[FDS_MAX];
    int fds[FDS_MAX];
    size_t count;

    (void)state;
    fake_lookup_set("several.test", literals, COUNT_OF(literals), 0);
    socket_script_follow(&on_bind, answers);
    assert_int_equal(socket_listen(&n, fds, bound, FDS_MAX, &count, NULL), TLSMSG_OK);
    assert_int_equal(on_bind.calls, 3);
    assert_int_equal(count, 2);
    assert_true(loopback_port(&bound[1]) != 0);
    loopback_close(fds, count);
}

static void test_absent_addresses_of_a_name_are_passed_over(void **state)
{
    static const char *const literals[] = {"192.0.2.1", "127.0.0.1"};
    struct address_name n = loopback_name("partly.test", 0);
    struct address bound[FDS_MAX];
    struct tlsmsg_error err = {0};
    char text[ADDRESS_TEXT_MAX];
    int fds[FDS_MAX];
    size_t count;

    (void)state;
    fake_lookup_set("partly.test", literals, 2, 0);
    assert_int_equal(socket_listen(&n, fds, bound, FDS_MAX, &count, &err), TLSMSG_OK);
    assert_int_equal(count, 1);
    assert_int_equal(err.code, TLSMSG_OK);
    address_print(&bound[0], text, sizeof(text));
    assert_memory_equal(text, "127.0.0.1:", 10);
    loopback_close(fds, count);
    fake_lookup_set("partly.test", literals, 1, 0);
    assert_int_equal(socket_listen(&n, fds, bound, FDS_MAX, &count, &err), TLSMSG_ERR_SYSTEM);
    assert_int_equal(count, 0);
    assert_int_equal(err.code, TLSMSG_ERR_SYSTEM);
}

static void test_family_that_is_switched_off_is_passed_over(void **state)
{
    static const char *const literals[] = {"::1", "127.0.0.1"};
    static const int answers[] = {EAFNOSUPPORT, 0};
    struct address_name n = loopback_name("localhost.test", 0);
    struct address bound[FDS_MAX];
    int fds[FDS_MAX];
    size_t count;

    (void)state;
    fake_lookup_set("localhost.test", literals, COUNT_OF(literals), 0);
    socket_script_follow(&on_socket, answers);
    assert_int_equal(socket_listen(&n, fds, bound, FDS_MAX, &count, NULL), TLSMSG_OK);
    assert_int_equal(count, 1);
    assert_int_equal(bound[0].socket.any.sa_family, AF_INET);
    loopback_close(fds, count);
}

static void test_refused_privilege_is_told(void **state)
{
    static const int answers[] = {EACCES};
    struct address_name n = loopback_name("127.0.0.1", 80);
    struct address bound;
    struct tlsmsg_error err = {0};
    size_t count;
    int fd;

    (void)state;
    socket_script_follow(&on_bind, answers);
    assert_int_equal(socket_listen(&n, &fd, &bound, 1, &count, &err), TLSMSG_ERR_SYSTEM);
    assert_int_equal(err.sys_errno, EACCES);
    assert_non_null(strstr(err.text, "cannot listen on 127.0.0.1:80: "));
    assert_non_null(strstr(err.text, "need a privilege"));
}

static void test_failure_of_one_address_closes_the_others(void **state)
{
    static const char *const literals[] = {"127.0.0.2", "127.0.0.1"};
    struct address held;
    int holder = loopback_listen(&held);
    struct address_name n = loopback_name("several.test", loopback_port(&held));
    struct address bound[FDS_MAX];
    int fds[FDS_MAX] = {-1, -1};
    size_t count;

    (void)state;
    fake_lookup_set("several.test", literals, COUNT_OF(literals), 0);
    assert_int_equal(socket_listen(&n, fds, bound, FDS_MAX, &count, NULL), TLSMSG_ERR_SYSTEM);
    assert_int_equal(count, 0);
    if (fds[0] >= 0) {
        assert_int_equal(fcntl(fds[0], F_GETFD), -1);
    }
    loopback_close(&holder, 1);
}

static void test_v6_is_v6_only(void **state)
{
    struct address_name v6 = loopback_name("::", 0);
    struct address_name v4 = loopback_name("0.0.0.0", 0);
    struct address bound;
    size_t count;
    int fds[2];
    int attempt;
    bool beside = false;

    (void)state;
    if (!has_ipv6()) {
        print_message("IPv6 is switched off on this machine\n");
        skip();
    }
    /* A port that is free in v6 can be another program's in v4. */
    for (attempt = 0; attempt < 5 && !beside; attempt++) {
        assert_int_equal(socket_listen(&v6, &fds[0], &bound, 1, &count, NULL), TLSMSG_OK);
        assert_int_equal(loopback_option(fds[0], IPPROTO_IPV6, IPV6_V6ONLY), 1);
        v4.port = loopback_port(&bound);
        beside = socket_listen(&v4, &fds[1], &bound, 1, &count, NULL) == TLSMSG_OK;
        loopback_close(fds, beside ? 2 : 1);
    }
    assert_true(beside);
}

/* As a service manager passes it: blocking, and kept open by whoever passed it. */
static void test_adopted_socket_is_a_nonblocking_duplicate(void **state)
{
    struct address original;
    struct address bound;
    int listener = loopback_listen(&original);
    int adopted;

    (void)state;
    assert_int_equal(fcntl(listener, F_SETFL, 0), 0);
    adopted = socket_adopt(listener, &bound, NULL);
    assert_true(adopted >= 0 && adopted != listener);
    assert_int_equal(loopback_port(&bound), loopback_port(&original));
    assert_true((fcntl(adopted, F_GETFL) & O_NONBLOCK) != 0);
    assert_true((fcntl(adopted, F_GETFD) & FD_CLOEXEC) != 0);
    assert_int_equal(socket_accept(adopted, &original), -1);
    assert_int_equal(errno, EAGAIN);
    loopback_close((int[]){adopted, listener}, 2);
}

static void test_no_socket_is_adopted(void **state)
{
    struct tlsmsg_error err = {0};
    struct address bound;
    int file = open("/dev/null", O_RDWR | O_CLOEXEC);
    int free_fd = loopback_next_fd();

    (void)state;
    assert_int_equal(socket_adopt(-1, &bound, &err), -1);
    assert_int_equal(err.code, TLSMSG_ERR_SYSTEM);
    assert_string_equal(err.text, "cannot take over descriptor -1: Bad file descriptor");
    assert_true(file >= 0);
    tlsmsg_error_clear(&err);
    assert_int_equal(socket_adopt(file, &bound, &err), -1);
    assert_int_equal(err.sys_errno, ENOTSOCK);
    assert_int_equal(loopback_next_fd(), free_fd);
    loopback_close(&file, 1);
}

/* Where all that a name stands for is absent here, the first cause is told. */
static void test_nothing_to_listen_on(void **state)
{
    static const int answers[] = {EAFNOSUPPORT, EAFNOSUPPORT, EAFNOSUPPORT};
    const struct address_name n = loopback_name("127.0.0.1", 0);
    struct tlsmsg_error err = {0};
    struct address bound;
    size_t count;
    int fd;

    (void)state;
    socket_script_follow(&on_socket, answers);
    assert_int_equal(socket_listen(&n, &fd, &bound, 1, &count, NULL), TLSMSG_ERR_SYSTEM);
    assert_int_equal(socket_listen(&n, &fd, &bound, 1, &count, &err), TLSMSG_ERR_SYSTEM);
    assert_int_equal(err.sys_errno, EAFNOSUPPORT);
    assert_int_equal(count, 0);
    err.code = TLSMSG_ERR_LIMIT;
    err.sys_errno = 0;
    assert_int_equal(socket_listen(&n, &fd, &bound, 1, &count, &err), TLSMSG_ERR_SYSTEM);
    assert_int_equal(err.code, TLSMSG_ERR_LIMIT);
    assert_int_equal(err.sys_errno, 0);
}

/* Where stdin is closed it is a socket like others. */
static void test_first_descriptor(void **state)
{
    const struct address_name n = loopback_name("127.0.0.1", 0);
    struct address bound;
    struct address peer;
    int listener = loopback_listen(&bound);
    int saved = dup(STDIN_FILENO);
    int got[4] = {-1, -1, -1, -1};
    int sys_errno;
    size_t count;
    int client;
    bool done;

    (void)state;
    (void)close(STDIN_FILENO);
    errno = EADDRNOTAVAIL; /* of long ago */
    (void)socket_listen(&n, &got[0], &peer, 1, &count, NULL);
    (void)close(STDIN_FILENO);
    got[1] = socket_adopt(listener, &peer, NULL);
    (void)close(STDIN_FILENO);
    got[2] = socket_connect_start(&bound, &done, &sys_errno);
    client = dup(STDIN_FILENO);
    (void)close(STDIN_FILENO);
    if (loopback_is_readable(listener)) {
        got[3] = socket_accept(listener, &peer);
    }
    assert_int_equal(dup2(saved, STDIN_FILENO), STDIN_FILENO);
    for (size_t i = 0; i < COUNT_OF(got); i++) {
        assert_int_equal(got[i], STDIN_FILENO);
    }
    assert_int_equal(count, 1);
    loopback_close((int[]){client, listener, saved}, 3);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_port_in_use_is_told),
        cmocka_unit_test(test_port_can_be_taken_again_at_once),
        cmocka_unit_test(test_foreign_address_is_told),
        cmocka_unit_test(test_unknown_name_is_told),
        cmocka_unit_test(test_name_listens_on_all_its_addresses),
        cmocka_unit_test(test_too_many_addresses_are_refused),
        cmocka_unit_test(test_port_0_is_shared_where_it_can_be),
        cmocka_unit_test_teardown(test_port_0_is_own_where_it_must_be, socket_script_forget),
        cmocka_unit_test(test_absent_addresses_of_a_name_are_passed_over),
        cmocka_unit_test_teardown(test_family_that_is_switched_off_is_passed_over,
                                  socket_script_forget),
        cmocka_unit_test_teardown(test_refused_privilege_is_told, socket_script_forget),
        cmocka_unit_test(test_failure_of_one_address_closes_the_others),
        cmocka_unit_test(test_v6_is_v6_only),
        cmocka_unit_test(test_adopted_socket_is_a_nonblocking_duplicate),
        cmocka_unit_test(test_no_socket_is_adopted),
        cmocka_unit_test_teardown(test_nothing_to_listen_on, socket_script_forget),
        cmocka_unit_test(test_first_descriptor),
    };

    return cmocka_run_group_tests_name("socket_listen", tests, NULL, NULL);
}
