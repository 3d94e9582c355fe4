/* Servers that cannot start, and why; and what nobody listens to any more once one has stopped. */
#include "support/unit.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <stdio.h>
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

static void expect_error(const struct tlsmsg_error *err, enum tlsmsg_code code, const char *text)
{
    assert_int_equal(err->code, code);
    assert_int_equal(err->sys_errno, 0);
    assert_string_equal(err->text, text);
}

static void test_a_client_s_options(void **state)
{
    struct tlsmsg_options *client = NULL;
    struct tlsmsg_options *o = server_options("127.0.0.1:0");
    struct tlsmsg_server *server = NULL;
    struct tlsmsg_error err = {0};

    (void)state;
    assert_int_equal(tlsmsg_options_new(TLSMSG_ROLE_CLIENT, &client, NULL), TLSMSG_OK);
    assert_int_equal(tlsmsg_server_new(client, NULL, &server, &err), TLSMSG_ERR_CONFIG);
    assert_null(server);
    expect_error(&err, TLSMSG_ERR_CONFIG, "these are a client's options");
    tlsmsg_error_clear(&err);
    assert_int_equal(tlsmsg_server_check(client, NULL, &err), TLSMSG_ERR_CONFIG);
    expect_error(&err, TLSMSG_ERR_CONFIG, "these are a client's options");
    tlsmsg_error_clear(&err);
    assert_int_equal(tlsmsg_server_new(o, NULL, &server, &err), TLSMSG_OK);
    assert_int_equal(tlsmsg_server_reload(server, client, &err), TLSMSG_ERR_CONFIG);
    expect_error(&err, TLSMSG_ERR_CONFIG, "these are a client's options");
    tlsmsg_server_free(server);
    tlsmsg_server_free(NULL);
    tlsmsg_options_free(o);
    tlsmsg_options_free(client);
}

static void test_no_address(void **state)
{
    struct tlsmsg_options *o = server_options("nonsense:port");
    struct tlsmsg_server *server = NULL;
    struct tlsmsg_error err = {0};
    struct tlsmsg_error again = {0};

    (void)state;
    assert_int_equal(tlsmsg_server_check(o, NULL, &err), TLSMSG_ERR_CONFIG);
    assert_non_null(strstr(err.text, "--listen"));
    assert_non_null(strstr(err.text, "nonsense:port"));
    assert_int_equal(tlsmsg_server_new(o, NULL, &server, &again), TLSMSG_ERR_CONFIG);
    expect_error(&again, TLSMSG_ERR_CONFIG, err.text);
    tlsmsg_options_free(o);
}

/* What is overlapping is seen before a socket is opened, wherever it stands. */
static void test_overlapping_addresses(void **state)
{
    static const struct {
        const char *listen[4];
        const char *text; /* NULL: nothing overlaps */
    } cases[] = {
        {{"127.0.0.1:4711", "127.0.0.1:4712", "[::1]:4711"}, NULL},
        {{"127.0.0.1:4711", "127.0.0.1:4711"},
         "--listen 127.0.0.1:4711 overlaps 127.0.0.1:4711, which this server listens on already "
         "(try: without one of the two)"},
        {{"127.0.0.1:4711", "[::1]:4711", "127.0.0.2:4711", "[::1]:4711"},
         "--listen [::1]:4711 overlaps [::1]:4711, which this server listens on already "
         "(try: without one of the two)"},
        {{"127.0.0.1:4711", "*:4711", "127.0.0.2:0"},
         "--listen *:4711 overlaps 127.0.0.1:4711, which this server listens on already "
         "(try: without one of the two)"},
    };

    (void)state;
    for (size_t i = 0; i < COUNT_OF(cases); i++) {
        struct tlsmsg_options *o = server_options(NULL);
        struct tlsmsg_error err = {0};

        for (size_t k = 0; k < 4 && cases[i].listen[k] != NULL; k++) {
            assert_int_equal(tlsmsg_options_set(o, TLSMSG_OPT_LISTEN, cases[i].listen[k], NULL),
                             TLSMSG_OK);
        }
        if (cases[i].text == NULL) {
            assert_int_equal(tlsmsg_server_check(o, NULL, &err), TLSMSG_OK);
        } else {
            assert_int_equal(tlsmsg_server_check(o, NULL, &err), TLSMSG_ERR_CONFIG);
            expect_error(&err, TLSMSG_ERR_CONFIG, cases[i].text);
        }
        tlsmsg_options_free(o);
    }
}

/* As many as there is room for, and one more. */
static void test_more_addresses_than_there_is_room_for(void **state)
{
    struct tlsmsg_options *o = server_options(NULL);
    struct tlsmsg_error err = {0};
    char at[32];

    (void)state;
    for (int i = 0; i < 33; i++) { /* 32 sockets, as the public header says */
        assert_int_equal(tlsmsg_server_check(o, NULL, &err), TLSMSG_OK);
        (void)snprintf(at, sizeof(at), "127.0.0.1:%d", 4000 + i);
        assert_int_equal(tlsmsg_options_set(o, TLSMSG_OPT_LISTEN, at, NULL), TLSMSG_OK);
    }
    assert_int_equal(tlsmsg_server_check(o, NULL, &err), TLSMSG_ERR_CONFIG);
    expect_error(&err, TLSMSG_ERR_CONFIG, "more than 32 listening sockets");
    tlsmsg_options_free(o);
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
    expect_error(&err, TLSMSG_ERR_CONFIG, "more than 32 listening sockets");
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

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_a_client_s_options),
        cmocka_unit_test(test_no_address),
        cmocka_unit_test(test_overlapping_addresses),
        cmocka_unit_test(test_more_addresses_than_there_is_room_for),
        cmocka_unit_test(test_more_sockets_than_there_is_room_for),
        cmocka_unit_test(test_nobody_listens_after_a_stop),
    };

    return cmocka_run_group_tests(tests, ends_identity_setup, ends_identity_teardown);
}
