/* Servers that cannot start, and why; and what nobody listens to any more once one has stopped. */
#include "support/unit.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include <tlsmsg/tlsmsg.h>

#include "support/ends_identity.h"

/* listen: where, NULL: nowhere yet. */
static struct tlsmsg_options *server_options(const char *listen)
{
    struct tlsmsg_options *o = NULL;

    assert_int_equal(tlsmsg_options_new(TLSMSG_ROLE_SERVER, &o, NULL), TLSMSG_OK);
    ends_identity_of_server(o, false);
    if (listen != NULL) {
        assert_int_equal(tlsmsg_options_set(o, TLSMSG_OPT_LISTEN, listen, NULL), TLSMSG_OK);
    }
    return o;
}

static void test_what_cannot_start(void **state)
{
    struct tlsmsg_options *client = NULL;
    struct tlsmsg_options *o = server_options("127.0.0.1:0");
    struct tlsmsg_server *server = NULL;
    struct tlsmsg_error err = {0};

    (void)state;
    assert_int_equal(tlsmsg_options_new(TLSMSG_ROLE_CLIENT, &client, NULL), TLSMSG_OK);
    assert_int_equal(tlsmsg_server_new(client, NULL, &server, &err), TLSMSG_ERR_CONFIG);
    assert_null(server);
    tlsmsg_error_clear(&err);
    assert_int_equal(tlsmsg_server_check(client, NULL, &err), TLSMSG_ERR_CONFIG);
    tlsmsg_error_clear(&err);
    assert_int_equal(tlsmsg_server_check(o, NULL, &err), TLSMSG_OK);
    assert_int_equal(tlsmsg_options_set(o, TLSMSG_OPT_LISTEN, "nonsense:port", NULL), TLSMSG_OK);
    assert_int_equal(tlsmsg_server_check(o, NULL, &err), TLSMSG_ERR_CONFIG);
    tlsmsg_error_clear(&err);
    assert_int_equal(tlsmsg_server_new(o, NULL, &server, &err), TLSMSG_ERR_CONFIG);
    tlsmsg_options_free(o);
    /* The same twice is seen before a socket is opened. */
    o = server_options("127.0.0.1:4711");
    assert_int_equal(tlsmsg_options_set(o, TLSMSG_OPT_LISTEN, "127.0.0.1:4712", NULL), TLSMSG_OK);
    tlsmsg_error_clear(&err);
    assert_int_equal(tlsmsg_server_check(o, NULL, &err), TLSMSG_OK);
    assert_int_equal(tlsmsg_options_set(o, TLSMSG_OPT_LISTEN, "127.0.0.1:4711", NULL), TLSMSG_OK);
    assert_int_equal(tlsmsg_server_check(o, NULL, &err), TLSMSG_ERR_CONFIG);
    assert_non_null(strstr(err.text, "127.0.0.1:4711"));
    tlsmsg_options_free(o);
    tlsmsg_options_free(client);
    tlsmsg_server_free(NULL);
}

static void test_address_in_use(void **state)
{
    struct tlsmsg_options *o = NULL;
    struct tlsmsg_server *one = NULL;
    struct tlsmsg_server *two = NULL;
    struct tlsmsg_error err = {0};

    (void)state;
    o = server_options("127.0.0.1:0");
    assert_int_equal(tlsmsg_server_new(o, NULL, &one, &err), TLSMSG_OK);
    tlsmsg_options_free(o);
    o = server_options(NULL);
    assert_int_equal(tlsmsg_options_set(o, TLSMSG_OPT_LISTEN, tlsmsg_server_address(one, 0), NULL),
                     TLSMSG_OK);
    assert_null(tlsmsg_server_address(one, 1));
    assert_int_equal(tlsmsg_server_new(o, NULL, &two, &err), TLSMSG_ERR_SYSTEM);
    assert_non_null(strstr(err.text, "in use"));
    tlsmsg_options_free(o);
    tlsmsg_server_free(one);
}

/* Sockets that were handed over leave no room for one that is asked for besides. */
static void test_more_sockets_than_there_is_room_for(void **state)
{
    struct tlsmsg_options *o = server_options("127.0.0.1:0");
    struct tlsmsg_server *server = NULL;
    struct tlsmsg_error err = {0};
    struct sockaddr_in any = {.sin_family = AF_INET};
    int listener = socket(AF_INET, SOCK_STREAM, 0);

    (void)state;
    any.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    assert_int_equal(bind(listener, (struct sockaddr *)&any, sizeof(any)), 0);
    assert_int_equal(listen(listener, 5), 0);
    for (int i = 0; i < 32; i++) { /* as the public header says */
        assert_int_equal(tlsmsg_options_add_listener(o, listener, NULL), TLSMSG_OK);
    }
    assert_int_equal(tlsmsg_server_new(o, NULL, &server, &err), TLSMSG_ERR_CONFIG);
    assert_string_equal(err.text, "more than 32 listening sockets");
    tlsmsg_options_free(o);
    (void)close(listener);
}

/* The last of several workers that leaves closes the sockets, before the server is freed. */
static void test_nobody_listens_after_a_stop(void **state)
{
    struct tlsmsg_options *o = server_options("127.0.0.1:0");
    struct tlsmsg_server *server = NULL;
    struct sockaddr_in at = {.sin_family = AF_INET};
    int fd = socket(AF_INET, SOCK_STREAM, 0);

    (void)state;
    assert_int_equal(tlsmsg_options_set_number(o, TLSMSG_OPT_WORKERS, 2, NULL), TLSMSG_OK);
    assert_int_equal(tlsmsg_server_new(o, NULL, &server, NULL), TLSMSG_OK);
    tlsmsg_options_free(o);
    at.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    at.sin_port = htons((uint16_t)atoi(strchr(tlsmsg_server_address(server, 0), ':') + 1));
    assert_int_equal(tlsmsg_server_start(server, NULL), TLSMSG_OK);
    tlsmsg_server_stop(server);
    assert_int_equal(tlsmsg_server_wait(server, NULL), TLSMSG_OK);
    assert_int_equal(connect(fd, (struct sockaddr *)&at, sizeof(at)), -1);
    assert_int_equal(errno, ECONNREFUSED);
    tlsmsg_server_free(server);
    (void)close(fd);
}

static int set_up(void **state)
{
    (void)state;
    ends_identity_setup();
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    ends_identity_teardown();
    return 0;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_what_cannot_start),
        cmocka_unit_test(test_address_in_use),
        cmocka_unit_test(test_more_sockets_than_there_is_room_for),
        cmocka_unit_test(test_nobody_listens_after_a_stop),
    };

    return cmocka_run_group_tests(tests, set_up, tear_down);
}
