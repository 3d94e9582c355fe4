/* The verbs of the TLS transport where something is wrong: out of turn, with a source that fails or
 * ends at a bad moment. Whole texts and numbers; conversations are in tests/contract. */
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "support/tls_ends.h"
#include "support/unit.h"
#include "transport/tls/internal.h"

#define SILENT " (perhaps it speaks plaintext, not TLS)"

static struct tls_files files;
static struct transport_config *server_config;
static struct transport_config *client_config;

static int set_up(void **state)
{
    (void)state;
    tls_files_make(&files);
    server_config = tls_config(&files, TLSMSG_ROLE_SERVER, TLSMSG_OPT_CERT, "server.crt",
                               TLSMSG_OPT_KEY, "server.key", TLSMSG_OPT_COUNT);
    client_config =
        tls_config(&files, TLSMSG_ROLE_CLIENT, TLSMSG_OPT_CA, "ca.crt", TLSMSG_OPT_COUNT);
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    transport_config_unref(server_config);
    transport_config_unref(client_config);
    tls_files_remove(&files);
    return 0;
}

static void join(struct pair *p)
{
    pair_init(p, server_config, client_config, "localhost");
}

static void open_pair(struct pair *p)
{
    join(p);
    assert_true(pair_open(p, TLS_STEPS));
    assert_int_equal(p->client.code, TLSMSG_OK);
}

static void expect(struct tlsmsg_error *err, enum tlsmsg_code code, int sys_errno, const char *text)
{
    assert_string_equal(err->text, text);
    assert_string_equal(tlsmsg_code_name(err->code), tlsmsg_code_name(code));
    assert_int_equal(err->sys_errno, sys_errno);
    tlsmsg_error_clear(err);
}

static void expect_misuse(struct transport *t, const char *text)
{
    struct tlsmsg_error err = {.code = TLSMSG_OK};
    char buf[16] = "x";
    size_t moved = 99;

    assert_int_equal(transport_recv(t, buf, sizeof(buf), &moved, &err), TRANSPORT_ERROR);
    expect(&err, TLSMSG_ERR_STATE, 0, text);
    assert_int_equal(moved, 0);
    moved = 99;
    assert_int_equal(transport_send(t, buf, 1, &moved, &err), TRANSPORT_ERROR);
    expect(&err, TLSMSG_ERR_STATE, 0, text);
    assert_int_equal(moved, 0);
}

static void calls_out_of_turn(void **state)
{
    struct pair p;
    struct tlsmsg_error err = {.code = TLSMSG_OK};
    unsigned calls;

    (void)state;
    join(&p);
    expect_misuse(p.client.transport, "the handshake is not finished");
    assert_int_equal(p.client_source.calls, 0);
    pair_fini(&p);

    open_pair(&p);
    calls = p.client_source.calls;
    assert_int_equal(transport_handshake(p.client.transport, &err), TRANSPORT_OK); /* again */
    assert_int_equal(p.client_source.calls, calls);
    memory_pipe_put(&p.to_client, "no record at all", 16);
    assert_int_equal(pair_recv(&p.client), TRANSPORT_ERROR);
    assert_true(p.client.transport->broken);
    expect_misuse(p.client.transport, "the TLS session has failed before");
    assert_int_equal(transport_shutdown(p.client.transport, &err), TRANSPORT_ERROR);
    expect(&err, TLSMSG_ERR_STATE, 0, "the TLS session has failed before");
    assert_int_equal(transport_shutdown(p.client.transport, &err), TRANSPORT_OK); /* it is said */
    pair_fini(&p);

    join(&p);
    memory_pipe_put(&p.to_server, "GET / HTTP/1.1\r\n", 16);
    assert_int_equal(transport_handshake(p.server.transport, &err), TRANSPORT_ERROR);
    tlsmsg_error_clear(&err);
    assert_int_equal(transport_handshake(p.server.transport, &err), TRANSPORT_ERROR);
    expect(&err, TLSMSG_ERR_STATE, 0, "the TLS session has failed before");
    pair_fini(&p);
}

struct bad_start {
    const char *name;
    bool is_server;    /* who meets it */
    const char *bytes; /* that came before */
    size_t len;
    int read_errno; /* then: 0 for the end of the file */
    int write_errno;
    enum tlsmsg_code code;
    int sys_errno;
    const char *text;
};

#define BYTES(text) text, sizeof(text) - 1
/* The begin of a record of the handshake. */
#define CUT BYTES("\x16\x03\x01\x00\x50")

static const struct bad_start bad_starts[] = {
    {"HTTP", true, BYTES("GET / HTTP/1.1\r\n"), 0, 0, TLSMSG_ERR_NOT_TLS, 0,
     "the peer speaks HTTP, not TLS"},
    {"plaintext", true, BYTES("hello"), 0, 0, TLSMSG_ERR_NOT_TLS, 0,
     "the peer speaks plaintext, not TLS"},
    {"an HTTP server", false, BYTES("HTTP/1.1 400 Bad Request\r\n"), 0, 0, TLSMSG_ERR_NOT_TLS, 0,
     "the peer speaks HTTP, not TLS"},
    {"a hello too long", true, BYTES("\x16\x03\x01\x40\x00\x01\x00\x80\x01"), 0, 0,
     TLSMSG_ERR_HANDSHAKE, 0, "the ClientHello is longer than 32768 bytes"},
    {"a client that goes at once", true, BYTES(""), 0, 0, TLSMSG_ERR_TRUNCATED, 0,
     "the client closed the connection before it sent anything"},
    {"a client that goes in the middle", true, CUT, 0, 0, TLSMSG_ERR_TRUNCATED, 0,
     "the client closed the connection in the middle of the handshake"},
    {"a server that goes at once", false, BYTES(""), 0, 0, TLSMSG_ERR_TRUNCATED, 0,
     "the server closed the connection before it sent anything" SILENT},
    {"a server that goes in the middle", false, CUT, 0, 0, TLSMSG_ERR_TRUNCATED, 0,
     "the server closed the connection in the middle of the handshake"},
    {"a client that resets at once", true, BYTES(""), ECONNRESET, 0, TLSMSG_ERR_RESET, ECONNRESET,
     "the peer reset the connection"},
    {"a server that resets at once", false, BYTES(""), ECONNRESET, 0, TLSMSG_ERR_RESET, ECONNRESET,
     "the peer reset the connection" SILENT},
    {"a server that resets in the middle", false, CUT, ECONNRESET, 0, TLSMSG_ERR_RESET, ECONNRESET,
     "the peer reset the connection"},
    {"a server that is lost", false, CUT, ETIMEDOUT, 0, TLSMSG_ERR_RESET, ETIMEDOUT,
     "the connection was lost: Connection timed out"},
    {"a server that nothing can be written to", false, BYTES(""), EAGAIN, EPIPE, TLSMSG_ERR_RESET,
     EPIPE, "the peer reset the connection"},
    {"a server that can't be reached any more", false, BYTES(""), EAGAIN, EHOSTUNREACH,
     TLSMSG_ERR_RESET, EHOSTUNREACH, "the connection was lost: No route to host"},
    {"a close_notify in the middle", false, BYTES("\x15\x03\x03\x00\x02\x01\x00"), EAGAIN, 0,
     TLSMSG_ERR_HANDSHAKE, 0, "the peer closed the connection in the middle of the handshake"},
};

/* EAGAIN: nothing more comes, and no end. */
static void tells_what_ended_the_handshake(void **state)
{
    const struct bad_start *row = *state;
    struct tlsmsg_error err = {.code = TLSMSG_OK};
    enum transport_result result;
    struct transport *t;
    struct pair p;

    join(&p);
    t = row->is_server ? p.server.transport : p.client.transport;
    if (row->len > 0) {
        memory_pipe_put(row->is_server ? &p.to_server : &p.to_client, row->bytes, row->len);
    }
    if (row->read_errno != EAGAIN) {
        struct memory_pipe *in = row->is_server ? &p.to_server : &p.to_client;

        in->cut_at = in->total;
        in->cut_errno = row->read_errno;
    }
    p.client_source.write_errno = row->write_errno;
    result = transport_handshake(t, &err);
    for (unsigned i = 0; i < 10 && result == TRANSPORT_WANT_READ && !t->broken; i++) {
        result = transport_handshake(t, &err);
    }
    assert_int_equal(result, TRANSPORT_ERROR);
    expect(&err, row->code, row->sys_errno, row->text);
    assert_true(t->broken);
    assert_false(t->state.is_open);
    pair_fini(&p);
}

/* --- an open connection ---------------------------------------------------------------------------- */

static void tells_who_left_without_a_word(void **state)
{
    struct tlsmsg_error err = {.code = TLSMSG_OK};
    char buf[16];
    size_t got = 99;
    struct pair p;

    (void)state;
    open_pair(&p);
    p.to_client.is_shut = p.to_server.is_shut = true;
    while (transport_recv(p.client.transport, buf, sizeof(buf), &got, &err) ==
           TRANSPORT_WANT_READ) {
    }
    expect(&err, TLSMSG_ERR_TRUNCATED, 0, "the server dropped the connection (no close_notify)");
    assert_int_equal(got, 0);
    assert_int_equal(transport_recv(p.server.transport, buf, sizeof(buf), &got, &err),
                     TRANSPORT_ERROR);
    expect(&err, TLSMSG_ERR_TRUNCATED, 0, "the client dropped the connection (no close_notify)");
    assert_false(p.server.transport->broken); /* replies still leave */
    pair_fini(&p);
}

/* Nothing of it has left, whatever OpenSSL believes; and what came before can still be read. */
static void a_failed_write_is_told_and_reading_goes_on(void **state)
{
    struct tlsmsg_error err = {.code = TLSMSG_OK};
    size_t sent = 99;
    struct pair p;

    (void)state;
    open_pair(&p);
    assert_int_equal(transport_send(p.client.transport, "hello", 5, &sent, &err), TRANSPORT_OK);
    assert_int_equal(sent, 5);
    p.server_source.write_errno = EPIPE;
    assert_int_equal(transport_send(p.server.transport, "hi", 2, &sent, &err), TRANSPORT_ERROR);
    expect(&err, TLSMSG_ERR_RESET, EPIPE, "the peer reset the connection");
    assert_int_equal(sent, 0);
    assert_false(p.server.transport->broken);
    assert_int_equal(pair_recv(&p.server), TRANSPORT_OK);
    assert_memory_equal(p.server.in, "hello", 5);
    assert_int_equal(transport_shutdown(p.server.transport, &err), TRANSPORT_ERROR);
    expect(&err, TLSMSG_ERR_RESET, EPIPE, "the peer reset the connection");
    assert_true(p.to_client.is_shut);
    pair_fini(&p);
}

/* OpenSSL isn't asked for what can't be there. */
static void a_dry_source_is_not_read(void **state)
{
    struct tlsmsg_error err = {.code = TLSMSG_OK};
    char buf[16];
    size_t got = 99;
    unsigned calls;
    struct pair p;

    (void)state;
    open_pair(&p);
    assert_int_equal(transport_send(p.client.transport, "hello", 5, &got, &err), TRANSPORT_OK);
    calls = p.server_source.calls;
    p.server_source.base.dry = true;
    assert_int_equal(transport_recv(p.server.transport, buf, sizeof(buf), &got, &err),
                     TRANSPORT_WANT_READ);
    assert_int_equal(got, 0);
    assert_int_equal(p.server_source.calls, calls);
    p.server_source.base.dry = false;
    assert_int_equal(transport_recv(p.server.transport, buf, 2, &got, &err), TRANSPORT_OK);
    assert_int_equal(got, 2);
    p.server_source.base.dry = true; /* the rest is here already */
    assert_int_equal(transport_recv(p.server.transport, buf, sizeof(buf), &got, &err),
                     TRANSPORT_OK);
    assert_int_equal(got, 3);
    assert_memory_equal(buf, "llo", 3);
    assert_false(p.server.transport->receiving);
    pair_fini(&p);
}

/* A key update would have to be answered in the middle of a record; a client takes that chance. */
static void a_server_does_not_read_into_a_half_sent_record(void **state)
{
    struct tlsmsg_error err = {.code = TLSMSG_OK};
    char buf[16];
    size_t moved = 99;
    unsigned calls;
    struct pair p;

    (void)state;
    open_pair(&p);
    p.to_client.cap = p.to_client.len + 3;
    p.to_server.cap = p.to_server.len + 3;
    assert_int_equal(transport_send(p.server.transport, "hello", 5, &moved, &err),
                     TRANSPORT_WANT_WRITE);
    assert_int_equal(moved, 0);
    assert_int_equal(transport_send(p.client.transport, "hello", 5, &moved, &err),
                     TRANSPORT_WANT_WRITE);
    calls = p.server_source.calls;
    assert_int_equal(transport_recv(p.server.transport, buf, sizeof(buf), &moved, &err),
                     TRANSPORT_WANT_WRITE);
    assert_int_equal(p.server_source.calls, calls);
    while (transport_recv(p.client.transport, buf, sizeof(buf), &moved, &err) ==
               TRANSPORT_WANT_READ &&
           p.to_client.len > 0) {
    }
    assert_int_equal(p.to_client.len, 0);

    /* Nor can it be closed in order then, and nothing follows. */
    assert_int_equal(transport_shutdown(p.server.transport, &err), TRANSPORT_ERROR);
    expect(&err, TLSMSG_ERR_STATE, 0, "the end of a message was not sent");
    assert_true(p.to_client.is_shut);
    assert_true(p.server.transport->write_is_shut);
    assert_int_equal(transport_shutdown(p.server.transport, &err), TRANSPORT_OK);
    pair_fini(&p);
}

/* With the first reply goes a ticket, in one segment; what it takes to make it is given back without a
 * look at what the client has sent meanwhile. */
static void a_ticket_goes_with_the_first_reply(void **state)
{
    struct tlsmsg_error err = {.code = TLSMSG_OK};
    size_t sent = 0;
    unsigned calls;
    unsigned writes;
    unsigned corked;
    struct pair p;

    (void)state;
    open_pair(&p);
    assert_true(p.server.transport->wants_ticket);
    assert_false(p.client.transport->wants_ticket);
    assert_int_equal(transport_send(p.client.transport, "hello", 5, &sent, &err), TRANSPORT_OK);
    while (pair_recv(&p.server) == TRANSPORT_WANT_READ) {
    }
    assert_int_equal(transport_send(p.client.transport, "more", 4, &sent, &err), TRANSPORT_OK);
    calls = p.server_source.calls;
    writes = p.to_client.writes;
    corked = p.to_client.corked;
    assert_int_equal(transport_send(p.server.transport, "hi", 2, &sent, &err), TRANSPORT_OK);
    assert_int_equal(p.to_client.writes, writes + 2);
    assert_int_equal(p.to_client.corked, corked + 1);
    assert_int_equal(p.server_source.calls, calls + 2);
    assert_false(p.server.transport->link.muted);
    assert_false(p.server.transport->wants_ticket);
    assert_int_equal(transport_send(p.server.transport, "yes", 3, &sent, &err), TRANSPORT_OK);
    assert_int_equal(p.to_client.writes, writes + 3);
    assert_int_equal(p.to_client.corked, corked + 1);
    assert_int_equal(pair_recv(&p.server), TRANSPORT_OK);
    assert_memory_equal(p.server.in + 5, "more", 4);
    pair_fini(&p);
}

/* What came with the message before stays for the next recv, which counts what is no data. */
static void a_ticket_leaves_what_is_pending(void **state)
{
    struct tlsmsg_error err = {.code = TLSMSG_OK};
    char buf[16];
    size_t moved = 0;
    struct pair p;

    (void)state;
    open_pair(&p);
    assert_int_equal(transport_send(p.client.transport, "hello", 5, &moved, &err), TRANSPORT_OK);
    assert_int_equal(SSL_key_update(p.client.transport->ssl, SSL_KEY_UPDATE_NOT_REQUESTED), 1);
    assert_int_equal(transport_send(p.client.transport, "more", 4, &moved, &err), TRANSPORT_OK);
    assert_int_equal(transport_recv(p.server.transport, buf, sizeof(buf), &moved, &err),
                     TRANSPORT_OK);
    assert_int_equal(moved, 5);
    assert_int_equal(transport_idle_records(p.server.transport), 0);
    assert_true(p.server.transport->wants_ticket);
    assert_int_equal(transport_send(p.server.transport, "hi", 2, &moved, &err), TRANSPORT_OK);
    assert_int_equal(transport_recv(p.server.transport, buf, sizeof(buf), &moved, &err),
                     TRANSPORT_OK);
    assert_int_equal(moved, 4);
    assert_memory_equal(buf, "more", 4);
    assert_int_equal(transport_idle_records(p.server.transport), 1);
    pair_fini(&p);
}

/* A last word that doesn't fit waits. */
static void a_last_word_waits_for_room(void **state)
{
    struct tlsmsg_error err = {.code = TLSMSG_OK};
    struct pair p;

    (void)state;
    open_pair(&p);
    p.to_server.cap = p.to_server.len;
    assert_int_equal(transport_shutdown(p.client.transport, &err), TRANSPORT_WANT_WRITE);
    assert_false(p.to_server.is_shut);
    p.to_server.cap = PAIR_PIPE_BYTES;
    assert_int_equal(transport_shutdown(p.client.transport, &err), TRANSPORT_OK);
    assert_true(p.to_server.is_shut);
    assert_int_equal(pair_recv(&p.server), TRANSPORT_CLOSED);
    pair_fini(&p);

    /* Before there is a session nothing has to be said. */
    join(&p);
    assert_int_equal(transport_shutdown(p.client.transport, &err), TRANSPORT_OK);
    assert_true(p.to_server.is_shut);
    assert_int_equal(p.to_server.total, 0);
    assert_int_equal(err.code, TLSMSG_OK);
    pair_fini(&p);
}

static void padding_hides_lengths(void **state)
{
    struct transport_config *config =
        tls_config(&files, TLSMSG_ROLE_SERVER, TLSMSG_OPT_CERT, "server.crt", TLSMSG_OPT_KEY,
                   "server.key", TLSMSG_OPT_PAD, "512", TLSMSG_OPT_COUNT);
    static const struct {
        size_t len;
        size_t record; /* with its header, its type and its tag */
    } rows[] = {{1, 5 + 512 + 16}, {511, 5 + 512 + 16}, {512, 5 + 1024 + 16}};
    static const char message[512];
    struct tlsmsg_error err = {.code = TLSMSG_OK};
    size_t sent;
    size_t before;
    struct pair p;

    (void)state;
    pair_init(&p, config, client_config, "localhost");
    assert_true(pair_open(&p, TLS_STEPS));
    assert_int_equal(transport_send(p.server.transport, message, 1, &sent, &err), TRANSPORT_OK);
    for (size_t i = 0; i < COUNT_OF(rows); i++) {
        before = p.to_client.total;
        assert_int_equal(transport_send(p.server.transport, message, rows[i].len, &sent, &err),
                         TRANSPORT_OK);
        assert_int_equal(p.to_client.total - before, rows[i].record);
    }
    pair_fini(&p);
    transport_config_unref(config);
    open_pair(&p);
    before = p.to_server.total;
    assert_int_equal(transport_send(p.client.transport, message, 1, &sent, &err), TRANSPORT_OK);
    assert_int_equal(p.to_server.total - before, 5 + 2 + 16);
    pair_fini(&p);
}

static void says_what_is_linked(void **state)
{
    char text[128];

    (void)state;
    (void)snprintf(text, sizeof(text), "TLS, OpenSSL %s", OpenSSL_version(OPENSSL_VERSION_STRING));
    assert_string_equal(transport_name(), text);
    assert_ptr_equal(transport_name(), transport_name());
}

int main(void)
{
    static const struct CMUnitTest tests[] = {
        cmocka_unit_test(calls_out_of_turn),
        cmocka_unit_test(tells_who_left_without_a_word),
        cmocka_unit_test(a_failed_write_is_told_and_reading_goes_on),
        cmocka_unit_test(a_dry_source_is_not_read),
        cmocka_unit_test(a_server_does_not_read_into_a_half_sent_record),
        cmocka_unit_test(a_ticket_goes_with_the_first_reply),
        cmocka_unit_test(a_ticket_leaves_what_is_pending),
        cmocka_unit_test(a_last_word_waits_for_room),
        cmocka_unit_test(padding_hides_lengths),
        cmocka_unit_test(says_what_is_linked),
    };
    int failed = 0;

    (void)set_up(NULL);
    RUN_ROWS(failed, tells_what_ended_the_handshake, bad_starts);
    failed += cmocka_run_group_tests(tests, NULL, NULL);
    (void)tear_down(NULL);
    return failed;
}
