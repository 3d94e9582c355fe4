/* Connecting, a step at a time: addresses that answer by script, their share of the time, the
 * handshake, and what is known once it is done. */
#include <errno.h>
#include <netinet/in.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "support/unit.h"

#include "base/build.h"
#include "base/error.h"
#include "client/internal.h"
#include "support/client_ends.h"
#include "support/scripted_transport.h"
#include "support/test_clock.h"

/* --- a network by script ----------------------------------------------------------------------- */

/* How an attempt begins: with an errno, pending, or connected. */
#define PENDING 0
#define CONNECTED (-1)

static struct {
    size_t address_count; /* of the name, 192.0.2.1:1 and so on */
    enum tlsmsg_code lookup_code;
    int64_t lookup_deadline_ns;
    int begins[RESOLVE_MAX];
    int result; /* of the pending attempt once it is writable */
    size_t attempts;
    unsigned last; /* the address tried last */
    int64_t keepalive_ms;
} network;

enum tlsmsg_code __wrap_resolve_name(const struct address_name *name, int64_t deadline_ns,
                                     struct address *out, size_t cap, size_t *count,
                                     struct tlsmsg_error *error);
int __wrap_socket_connect_start(const struct address *a, bool *done, int *sys_errno);
int __wrap_socket_connect_result(int fd);
void __wrap_socket_keepalive(int fd, int64_t timeout_ms);

enum tlsmsg_code __wrap_resolve_name(const struct address_name *name, int64_t deadline_ns,
                                     struct address *out, size_t cap, size_t *count,
                                     struct tlsmsg_error *error)
{
    assert_string_equal(name->host, "127.0.0.1");
    assert_int_equal(cap, RESOLVE_MAX);
    network.lookup_deadline_ns = deadline_ns;
    *count = network.address_count;
    for (size_t i = 0; i < network.address_count; i++) {
        struct sockaddr_in at = {.sin_family = AF_INET,
                                 .sin_port = htons((uint16_t)(i + 1)),
                                 .sin_addr.s_addr = htonl(0xc0000201 + (uint32_t)i)};

        memcpy(&out[i].socket, &at, sizeof(at));
        out[i].len = sizeof(at);
    }
    return network.lookup_code == TLSMSG_OK
               ? TLSMSG_OK
               : error_set(error, network.lookup_code, 0, "cannot look it up");
}

/* An event counter is writable unless it is full. */
int __wrap_socket_connect_start(const struct address *a, bool *done, int *sys_errno)
{
    int begins = network.begins[network.attempts++];
    uint64_t full = UINT64_MAX - 1;
    struct sockaddr_in at;
    int fd;

    memcpy(&at, &a->socket, sizeof(at));
    network.last = ntohs(at.sin_port);
    *done = begins == CONNECTED;
    if (begins > 0) {
        *sys_errno = begins;
        return -1;
    }
    fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    assert_true(fd >= 0);
    if (begins == PENDING) {
        assert_int_equal(write(fd, &full, sizeof(full)), sizeof(full));
    }
    return fd;
}

int __wrap_socket_connect_result(int fd)
{
    assert_true(fd >= 0);
    return network.result;
}

void __wrap_socket_keepalive(int fd, int64_t timeout_ms)
{
    assert_true(fd >= 0);
    network.keepalive_ms = timeout_ms;
}

/* The pending attempt comes to its end. */
static void settle(int result)
{
    uint64_t full;

    network.result = result;
    assert_int_equal(read(tlsmsg_client_fd(client), &full, sizeof(full)), sizeof(full));
}

static int forget(void **state)
{
    memset(&network, 0, sizeof(network));
    network.address_count = 1;
    network.begins[0] = CONNECTED;
    return scripted_forget(state);
}

/* --- addresses ---------------------------------------------------------------------------------- */

static void looks_up_in_time(void **state)
{
    (void)state;
    scripted_client();
    network.lookup_code = TLSMSG_ERR_TIMEOUT;
    assert_int_equal(tlsmsg_client_connect(client, &err), TLSMSG_CLIENT_ERROR);
    scripted_expect_bare(TLSMSG_ERR_TIMEOUT, "127.0.0.1: cannot look it up");
    assert_int_equal(network.lookup_deadline_ns, in_ms(5000));
    assert_int_equal(network.attempts, 0);
    assert_int_equal(client->state, CLIENT_FAILED);
    assert_true(client->timed_out);

    tlsmsg_client_reset(client);
    client->settings.timeout_ms = 0;
    network.lookup_code = TLSMSG_OK;
    network.begins[0] = PENDING;
    assert_int_equal(tlsmsg_client_connect(client, &err), TLSMSG_CLIENT_AGAIN);
    assert_int_equal(network.lookup_deadline_ns, 0);
    assert_int_equal(client->deadline_ns, 0);
    test_clock_advance(1000000);
    assert_int_equal(tlsmsg_client_connect(client, &err), TLSMSG_CLIENT_AGAIN);
    scripted_finish();
}

/* An equal share for each that is still to come; the last has all that is left. */
static void each_address_has_its_share(void **state)
{
    int fd;

    (void)state;
    scripted_client();
    client->settings.timeout_ms = 9000;
    client->settings.keepalive_ms = 77000;
    network.address_count = 3;
    network.begins[0] = PENDING;
    assert_int_equal(tlsmsg_client_connect(client, &err), TLSMSG_CLIENT_AGAIN);
    assert_int_equal(client->state, CLIENT_CONNECTING);
    assert_int_equal(tlsmsg_client_events(client), POLLOUT);
    assert_int_equal(client->deadline_ns, in_ms(3000));
    assert_int_equal(network.keepalive_ms, 77000);
    fd = tlsmsg_client_fd(client);
    test_clock_advance(2999);
    assert_int_equal(tlsmsg_client_connect(client, &err), TLSMSG_CLIENT_AGAIN);
    assert_int_equal(network.last, 1);
    test_clock_advance(1);
    assert_int_equal(tlsmsg_client_connect(client, &err), TLSMSG_CLIENT_AGAIN);
    assert_int_equal(network.last, 2);
    assert_int_equal(client->deadline_ns, in_ms(3000));
    assert_int_equal(tlsmsg_client_fd(client), fd); /* the number is free again */
    test_clock_advance(1000);
    settle(ECONNREFUSED);
    assert_int_equal(tlsmsg_client_connect(client, &err), TLSMSG_CLIENT_AGAIN);
    assert_int_equal(network.last, 3);
    assert_int_equal(client->deadline_ns, in_ms(5000));
    assert_int_equal(tlsmsg_client_fd(client), fd);
    test_clock_advance(5000);
    assert_int_equal(tlsmsg_client_connect(client, &err), TLSMSG_CLIENT_ERROR);
    assert_int_equal(err.code, TLSMSG_ERR_TIMEOUT);
    assert_int_equal(network.attempts, 3);
    scripted_finish();
}

static void nothing_is_left_of_time_that_has_passed(void **state)
{
    (void)state;
    scripted_client();
    network.address_count = 2;
    network.begins[0] = PENDING;
    assert_int_equal(tlsmsg_client_connect(client, &err), TLSMSG_CLIENT_AGAIN);
    test_clock_advance(60000);
    assert_int_equal(tlsmsg_client_connect(client, &err), TLSMSG_CLIENT_AGAIN);
    assert_int_equal(client->deadline_ns, in_ms(0));
    settle(0);
    assert_int_equal(tlsmsg_client_connect(client, &err), TLSMSG_CLIENT_OK); /* it came in time */
    scripted_finish();
}

/* Where a program has closed its standard input. */
static void a_connection_may_be_descriptor_0(void **state)
{
    int input = dup(STDIN_FILENO);

    (void)state;
    scripted_client();
    network.begins[0] = PENDING;
    (void)close(STDIN_FILENO);
    assert_int_equal(tlsmsg_client_connect(client, &err), TLSMSG_CLIENT_AGAIN);
    assert_int_equal(tlsmsg_client_fd(client), STDIN_FILENO);
    assert_int_equal(network.attempts, 1);
    tlsmsg_client_reset(client);
    assert_int_equal(close(STDIN_FILENO), -1);
    if (input >= 0) {
        assert_int_equal(dup2(input, STDIN_FILENO), STDIN_FILENO);
        assert_int_equal(close(input), 0);
    }
    scripted_finish();
}

/* What the last attempt met, of how many. */
static void tells_what_the_last_address_met(void **state)
{
    static const struct {
        size_t addresses;
        int64_t timeout_ms;
        int sys_errno;
        enum tlsmsg_code code;
        const char *text; /* its begin */
    } rows[] = {
        {1, 5000, ECONNREFUSED, TLSMSG_ERR_CONNECT,
         "cannot connect to 192.0.2.1:1: Connection refused"},
        {2, 5000, EHOSTUNREACH, TLSMSG_ERR_CONNECT,
         "cannot connect to 192.0.2.2:2: No route to host"},
        {1, 5000, ETIMEDOUT, TLSMSG_ERR_TIMEOUT,
         "cannot connect to 192.0.2.1:1: no answer within 5 s"},
        {2, 5000, ETIMEDOUT, TLSMSG_ERR_TIMEOUT,
         "cannot connect to 192.0.2.2:2: no answer within 5 s"},
        {1, 0, ETIMEDOUT, TLSMSG_ERR_CONNECT,
         "cannot connect to 192.0.2.1:1: Connection timed out"},
    };

    (void)state;
    for (unsigned late = 0; late < 2; late++) { /* at once, or after a while */
        for (size_t i = 0; i < COUNT_OF(rows); i++) {
            char text[256];

            scripted_client();
            (void)snprintf(text, sizeof(text), "%s", rows[i].text);
            if (rows[i].addresses > 1) {
                (void)snprintf(text, sizeof(text), "%s (the last of 2 addresses of %s)",
                               rows[i].text, peer->address);
            }
            client->settings.timeout_ms = rows[i].timeout_ms;
            network.address_count = rows[i].addresses;
            for (size_t n = 0; n < rows[i].addresses; n++) {
                network.begins[n] = late ? PENDING : rows[i].sys_errno;
            }
            for (size_t n = 0; late && n < rows[i].addresses; n++) {
                assert_int_equal(tlsmsg_client_connect(client, &err), TLSMSG_CLIENT_AGAIN);
                settle(rows[i].sys_errno);
            }
            assert_int_equal(tlsmsg_client_connect(client, &err), TLSMSG_CLIENT_ERROR);
            assert_string_equal(err.text, text);
            assert_int_equal(err.code, rows[i].code);
            assert_int_equal(err.sys_errno, rows[i].sys_errno);
            assert_int_equal(network.attempts, rows[i].addresses);
            assert_int_equal(client->state, CLIENT_FAILED);
            assert_int_equal(tlsmsg_client_fd(client), -1);
            scripted_finish();
            (void)forget(NULL);
        }
    }
}

/* --- the handshake ------------------------------------------------------------------------------ */

static void the_handshake_has_what_is_left_of_the_time(void **state)
{
    (void)state;
    scripted_client();
    network.address_count = 2;
    network.begins[0] = PENDING;
    FOLLOW(on_handshake, WANTS_READ, WANTS_WRITE, WANTS_WRITE);
    assert_int_equal(tlsmsg_client_connect(client, &err), TLSMSG_CLIENT_AGAIN);
    test_clock_advance(1000);
    settle(0);
    assert_int_equal(tlsmsg_client_connect(client, &err), TLSMSG_CLIENT_AGAIN);
    assert_int_equal(client->state, CLIENT_HANDSHAKE);
    assert_true(client->source.sticky);
    assert_string_equal(scripted.server_name, "127.0.0.1");
    assert_string_equal(scripted.accepted, ""); /* nobody was asked */
    assert_int_equal(client->deadline_ns, in_ms(4000));
    assert_int_equal(tlsmsg_client_events(client), POLLIN);
    client->source.budget_bytes = 0;
    assert_int_equal(tlsmsg_client_connect(client, &err), TLSMSG_CLIENT_AGAIN);
    assert_int_equal(client->source.budget_bytes, SOCKET_SOURCE_BUDGET_BYTES);
    assert_int_equal(tlsmsg_client_events(client), POLLOUT);
    assert_int_equal(client->deadline_ns, in_ms(4000));
    test_clock_advance(4000);
    assert_int_equal(tlsmsg_client_connect(client, &err), TLSMSG_CLIENT_ERROR);
    assert_string_equal(err.text, "192.0.2.1:1: the TLS handshake was not finished within 5 s");
    assert_int_equal(err.code, TLSMSG_ERR_TIMEOUT);
    assert_int_equal(network.attempts, 1); /* no other address is tried */
    scripted_finish();
}

static void the_users_name_for_the_server_counts(void **state)
{
    (void)state;
    scripted_client();
    client->settings.server_name = "server.test";
    assert_int_equal(tlsmsg_client_connect(client, &err), TLSMSG_CLIENT_OK);
    assert_string_equal(scripted.server_name, "server.test");
    assert_int_equal(client->deadline_ns, 0);
    assert_true(client->opened);
    client->settings.server_name = NULL;
    scripted_finish();
}

static void tells_why_there_is_no_session(void **state)
{
    static const struct {
        struct script_step step; /* of the handshake */
        enum tlsmsg_code cannot_be_made;
        enum tlsmsg_code code;
        const char *text;
    } rows[] = {
        {DONE, TLSMSG_ERR_NOMEM, TLSMSG_ERR_NOMEM, SCRIPT_TEXT},
        {CLOSES, TLSMSG_OK, TLSMSG_ERR_TRUNCATED,
         "the server closed the connection during the handshake"},
        {FAILS(TLSMSG_ERR_UNTRUSTED), TLSMSG_OK, TLSMSG_ERR_UNTRUSTED, SCRIPT_TEXT},
    };

    (void)state;
    for (size_t i = 0; i < COUNT_OF(rows); i++) {
        char text[128];

        scripted_client();
        (void)snprintf(text, sizeof(text), "192.0.2.1:1: %s", rows[i].text);
        scripted.cannot_be_made = rows[i].cannot_be_made;
        on_handshake =
            (struct script){.steps = &rows[i].step, .count = rows[i].cannot_be_made == TLSMSG_OK};
        network.address_count = 2; /* and no other is tried */
        assert_int_equal(tlsmsg_client_connect(client, &err), TLSMSG_CLIENT_ERROR);
        assert_string_equal(err.text, text);
        assert_int_equal(err.code, rows[i].code);
        assert_int_equal(network.attempts, 1);
        assert_int_equal(client->state, CLIENT_FAILED);
        assert_false(client->opened);
        scripted_finish();
        (void)forget(NULL);
    }
}

/* The user takes his time; then the same address is met anew, and held to what was shown. */
static void asks_about_an_unknown_server(void **state)
{
    (void)state;
    scripted_client();
    scripted.pin = "sha256/of-the-key";
    network.address_count = 2;
    network.begins[0] = PENDING;
    FOLLOW(on_handshake, FAILS(TLSMSG_ERR_UNTRUSTED), WANTS_READ);
    assert_int_equal(tlsmsg_client_connect(client, &err), TLSMSG_CLIENT_AGAIN);
    test_clock_advance(1000);
    settle(0);
    assert_int_equal(tlsmsg_client_connect(client, &err), TLSMSG_CLIENT_AGAIN);
    assert_int_equal(err.code, TLSMSG_OK);
    assert_int_equal(network.attempts, 2);
    assert_int_equal(network.last, 1);
    assert_int_equal(scripted.made, 1);
    assert_int_equal(scripted.freed, 1);
    assert_null(client->transport);
    assert_int_equal(client->connect_ns, in_ms(5000));
    assert_int_equal(client->deadline_ns, in_ms(2500));
    assert_int_equal(client->state, CLIENT_CONNECTING);
    settle(0);
    assert_int_equal(tlsmsg_client_connect(client, &err), TLSMSG_CLIENT_AGAIN);
    assert_string_equal(scripted.accepted, "sha256/of-the-key");
    assert_int_equal(tlsmsg_client_connect(client, &err), TLSMSG_CLIENT_OK);
    assert_int_equal(scripted.made, 2);
    scripted_finish();
}

/* --- what is known then -------------------------------------------------------------------------- */

static void the_protocol_chooses_the_flow(void **state)
{
    static const struct {
        const char *protocol;
        const char *producer;
        enum tlsmsg_code code;
    } rows[] = {
        {NULL, NULL, TLSMSG_OK},
        {FRAME_PROTOCOL, NULL, TLSMSG_OK},
        {FRAME_PROTOCOL, "job", TLSMSG_OK},
        {NULL, "~", TLSMSG_OK}, /* a name for this client's own use */
        {NULL, "job", TLSMSG_ERR_NOT_NUMBERED},
    };

    (void)state;
    for (size_t i = 0; i < COUNT_OF(rows); i++) {
        bool is_numbered = rows[i].protocol != NULL;

        scripted_client();
        scripted.protocol = rows[i].protocol;
        client->settings.producer = rows[i].producer;
        assert_int_equal(tlsmsg_client_connect(client, &err),
                         rows[i].code == TLSMSG_OK ? TLSMSG_CLIENT_OK : TLSMSG_CLIENT_ERROR);
        assert_int_equal(client->has_numbers, is_numbered);
        assert_ptr_equal(client->flow, is_numbered ? &client_numbered_flow : &client_exchange_flow);
        if (rows[i].code != TLSMSG_OK) {
            assert_string_equal(err.text, "192.0.2.1:1: the server does not speak tlsmsg/1");
            assert_int_equal(client->state, CLIENT_FAILED);
        }
        assert_int_equal(err.code, rows[i].code);
        client->settings.producer = NULL;
        scripted_finish();
        (void)forget(NULL);
    }
}

/* Our last words of the handshake never left: nothing can be sent to a server that has gone. */
static void a_handshake_that_nobody_heard_has_failed(void **state)
{
    static const struct {
        struct script_step last;
        enum tlsmsg_code code;
        int sys_errno;
        const char *text;
    } rows[] = {
        {CLOSES, TLSMSG_ERR_RESET, BUILD_HAS_TLS ? 0 : ECONNRESET,
         BUILD_HAS_TLS ? "192.0.2.1:1: the server closed the connection during the handshake"
                       : "192.0.2.1:1: the connection is broken: Connection reset by peer"},
        {FAILS(TLSMSG_ERR_REFUSED), TLSMSG_ERR_REFUSED, SCRIPT_ERRNO, "192.0.2.1:1: " SCRIPT_TEXT},
        {WANTS_READ, TLSMSG_ERR_RESET, ECONNRESET,
         "192.0.2.1:1: the connection is broken: Connection reset by peer"},
    };

    (void)state;
    for (size_t i = 0; i < COUNT_OF(rows); i++) {
        scripted_client();
        FOLLOW(on_handshake, {.result = TRANSPORT_OK, .write_errno = ECONNRESET});
        on_recv = (struct script){.steps = &rows[i].last, .count = 1};
        assert_int_equal(tlsmsg_client_connect(client, &err), TLSMSG_CLIENT_ERROR);
        assert_string_equal(err.text, rows[i].text);
        assert_int_equal(err.code, rows[i].code);
        assert_int_equal(err.sys_errno, rows[i].sys_errno);
        assert_int_equal(client->state, CLIENT_FAILED);
        assert_true(client->end_told);
        scripted_finish();
        (void)forget(NULL);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(looks_up_in_time, forget),
        cmocka_unit_test_setup(each_address_has_its_share, forget),
        cmocka_unit_test_setup(nothing_is_left_of_time_that_has_passed, forget),
        cmocka_unit_test_setup(a_connection_may_be_descriptor_0, forget),
        cmocka_unit_test_setup(tells_what_the_last_address_met, forget),
        cmocka_unit_test_setup(the_handshake_has_what_is_left_of_the_time, forget),
        cmocka_unit_test_setup(the_users_name_for_the_server_counts, forget),
        cmocka_unit_test_setup(tells_why_there_is_no_session, forget),
        cmocka_unit_test_setup(asks_about_an_unknown_server, forget),
        cmocka_unit_test_setup(the_protocol_chooses_the_flow, forget),
        cmocka_unit_test_setup(a_handshake_that_nobody_heard_has_failed, forget),
    };
    return cmocka_run_group_tests(tests, ends_setup, ends_teardown);
}
