/* Options: sockets that listen already and are handed over to a server. */
#include "support/unit.h"

#include <fcntl.h>
#include <stdbool.h>
#include <string.h>
#include <sys/socket.h>

#include "net/socket.h"
#include "options/options.h"
#include "support/loopback.h"

#define LISTENERS_MAX 32 /* as the public header says */

static struct tlsmsg_options *new_options(enum tlsmsg_role role)
{
    struct tlsmsg_options *o = NULL;

    assert_int_equal(tlsmsg_options_new(role, &o, NULL), TLSMSG_OK);
    assert_non_null(o);
    return o;
}

static void test_listeners_are_kept_and_copied(void **state)
{
    struct tlsmsg_options *o = new_options(TLSMSG_ROLE_SERVER);
    struct tlsmsg_options *copy;
    struct address bound;
    struct server_settings set;
    int fds[2] = {loopback_listen(&bound), loopback_listen(&bound)};

    (void)state;
    options_server(o, &set);
    assert_int_equal(set.listener_count, 0);
    assert_int_equal(set.listen.count, 1);
    assert_int_equal(tlsmsg_options_add_listener(o, fds[0], NULL), TLSMSG_OK);
    assert_int_equal(tlsmsg_options_add_listener(o, fds[1], NULL), TLSMSG_OK);
    copy = options_copy(o);
    assert_non_null(copy);
    tlsmsg_options_free(o);
    options_server(copy, &set);
    assert_int_equal(set.listener_count, 2);
    assert_memory_equal(set.listeners, fds, sizeof(fds));
    /* The default address isn't listened on beside them; one that was asked for is. */
    assert_int_equal(set.listen.count, 0);
    assert_int_equal(tlsmsg_options_set(copy, TLSMSG_OPT_LISTEN, "1", NULL), TLSMSG_OK);
    options_server(copy, &set);
    assert_int_equal(set.listen.count, 1);
    assert_string_equal(text_list_at(&set.listen, 0), "1");
    tlsmsg_options_free(copy);
    loopback_close(fds, 2); /* they were only borrowed: still open */
}

static void test_listeners_have_a_limit(void **state)
{
    struct tlsmsg_options *o = new_options(TLSMSG_ROLE_SERVER);
    struct tlsmsg_error err = {0};
    struct address bound;
    int fd = loopback_listen(&bound);
    struct server_settings set;
    int i;

    (void)state;
    for (i = 0; i < LISTENERS_MAX; i++) {
        assert_int_equal(tlsmsg_options_add_listener(o, fd, NULL), TLSMSG_OK);
    }
    assert_int_equal(tlsmsg_options_add_listener(o, fd, &err), TLSMSG_ERR_LIMIT);
    assert_string_equal(err.text, "more than 32 listening sockets");
    options_server(o, &set);
    assert_int_equal(set.listener_count, LISTENERS_MAX);
    tlsmsg_options_free(o);
    loopback_close(&fd, 1);
}

static void test_clients_take_none(void **state)
{
    struct tlsmsg_options *o = new_options(TLSMSG_ROLE_CLIENT);
    struct tlsmsg_error err = {0};
    struct address bound;
    int fd = loopback_listen(&bound);

    (void)state;
    assert_int_equal(tlsmsg_options_add_listener(o, fd, &err), TLSMSG_ERR_CONFIG);
    assert_string_equal(err.text, "a client has no listening sockets");
    tlsmsg_options_free(o);
    loopback_close(&fd, 1);
}

/* What else a service manager could pass by mistake. */
struct wrong_row {
    const char *name;
    int domain; /* 0: no socket at all */
    int type;
    bool listens;
};

static const struct wrong_row wrong_rows[] = {
    {"a closed descriptor", 0, 0, false},
    {"a file", 0, 1, false},
    {"a TCP socket that doesn't listen", AF_INET, SOCK_STREAM, false},
    {"a UDP socket", AF_INET, SOCK_DGRAM, false},
    {"a listening local socket", AF_UNIX, SOCK_STREAM, true},
};

static void test_other_descriptors_are_refused(void **state)
{
    const struct wrong_row *row = *state;
    struct tlsmsg_options *o = new_options(TLSMSG_ROLE_SERVER);
    struct tlsmsg_error err = {0};
    sa_family_t unnamed = AF_UNIX; /* autobind: a free abstract name */
    struct server_settings set;
    int fd = -1;

    if (row->domain != 0) {
        fd = socket(row->domain, row->type | SOCK_CLOEXEC, 0);
        assert_true(fd >= 0);
    } else if (row->type != 0) {
        fd = open("/dev/null", O_RDWR | O_CLOEXEC);
        assert_true(fd >= 0);
    }
    if (row->listens) {
        assert_int_equal(bind(fd, (const struct sockaddr *)&unnamed, sizeof(unnamed)), 0);
        assert_int_equal(listen(fd, 1), 0);
    }
    assert_int_equal(tlsmsg_options_add_listener(o, fd, &err), TLSMSG_ERR_CONFIG);
    assert_non_null(strstr(err.text, "is not a listening TCP socket"));
    options_server(o, &set);
    assert_int_equal(set.listener_count, 0);
    tlsmsg_options_free(o);
    if (fd >= 0) {
        loopback_close(&fd, 1);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_listeners_are_kept_and_copied),
        cmocka_unit_test(test_listeners_have_a_limit),
        cmocka_unit_test(test_clients_take_none),
    };
    int failed = 0;

    RUN_ROWS(failed, test_other_descriptors_are_refused, wrong_rows);
    failed += cmocka_run_group_tests_name("options_listeners", tests, NULL, NULL);
    return failed;
}
