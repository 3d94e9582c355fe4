/* Contract: peers that speak something else are named, and nothing is said to them. */
#include "contract/contract.h"

#include <string.h>

struct stranger {
    const char *name;
    const char *bytes;
    size_t len;
    size_t read_max;
    bool to_client;         /* the client hears it, else the server */
    enum tlsmsg_code tls;   /* what the TLS transport makes of it */
    enum tlsmsg_code plain; /* what the plaintext transport makes of it */
    const char *text;       /* part of the cause's text under TLS */
};

static enum transport_result drive(struct pair_end *end, struct tlsmsg_error *err)
{
    enum transport_result result = transport_handshake(end->transport, err);
    char buf[100];
    size_t n;

    return result != TRANSPORT_OK ? result
                                  : transport_recv(end->transport, buf, sizeof(buf), &n, err);
}

static void test_strangers(void **state)
{
    const struct stranger *row = *state;
    enum tlsmsg_code wanted = fixture_is_tls ? row->tls : row->plain;
    struct tlsmsg_error err = {.code = TLSMSG_OK};
    struct pair p;
    struct pair_end *end;
    const struct memory_pipe *answer;
    size_t before;
    enum transport_result result;
    int i;

    contract_pair(&p);
    end = row->to_client ? &p.client : &p.server;
    answer = row->to_client ? &p.to_server : &p.to_client;
    (row->to_client ? &p.client_source : &p.server_source)->read_max = row->read_max;
    (void)drive(end, NULL); /* a client speaks first */
    before = answer->total;
    memory_pipe_put(row->to_client ? &p.to_client : &p.to_server, row->bytes, row->len);
    result = TRANSPORT_WANT_READ;
    for (i = 0; i < 50 && (result == TRANSPORT_WANT_READ || result == TRANSPORT_OK); i++) {
        result = drive(end, &err);
    }
    assert_int_equal(err.code, wanted);
    assert_true(transport_heard(end->transport));
    if (wanted == TLSMSG_ERR_NOT_TLS) {
        assert_non_null(strstr(err.text, row->text));
    }
    if (wanted == TLSMSG_ERR_NOT_TLS || wanted == TLSMSG_ERR_IS_TLS) {
        assert_int_equal(result, TRANSPORT_ERROR);
        assert_int_equal(answer->total, before);
        /* Again: the same, or "it failed before"; never a message. */
        assert_int_equal(drive(end, NULL), TRANSPORT_ERROR);
        assert_int_not_equal(transport_shutdown(end->transport, NULL), TRANSPORT_WANT_WRITE);
        assert_int_equal(answer->total, before);
        assert_true(answer->is_shut);
    }
    pair_fini(&p);
}

#define BYTES(s) .bytes = (s), .len = sizeof(s) - 1

static const struct stranger strangers[] = {
    {.name = "HTTP to the server",
     BYTES("GET / HTTP/1.1\r\nHost: x\r\n\r\n"),
     .tls = TLSMSG_ERR_NOT_TLS,
     .text = "HTTP, not TLS"},
    {.name = "HTTP/2 to the server",
     BYTES("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"),
     .tls = TLSMSG_ERR_NOT_TLS,
     .text = "HTTP, not TLS"},
    {.name = "a message to the server",
     BYTES("hello"),
     .tls = TLSMSG_ERR_NOT_TLS,
     .text = "plaintext, not TLS"},
    {.name = "a message to the server, byte by byte",
     BYTES("hello"),
     .read_max = 1,
     .tls = TLSMSG_ERR_NOT_TLS,
     .text = "plaintext, not TLS"},
    {.name = "one byte to the server",
     BYTES("G"),
     .tls = TLSMSG_ERR_NOT_TLS,
     .text = "plaintext, not TLS"},
    {.name = "an alert to the server",
     BYTES("\x15\x03\x01\x00\x02\x02\x28"),
     .tls = TLSMSG_ERR_NOT_TLS,
     .text = "plaintext, not TLS"},
    {.name = "HTTP to the client",
     BYTES("HTTP/1.1 400 Bad Request\r\n\r\n"),
     .to_client = true,
     .tls = TLSMSG_ERR_NOT_TLS,
     .text = "HTTP, not TLS"},
    {.name = "a greeting to the client",
     BYTES("220 mail.example\r\n"),
     .to_client = true,
     .tls = TLSMSG_ERR_NOT_TLS,
     .text = "plaintext, not TLS"},
    {.name = "a TLS hello to the server",
     BYTES("\x16\x03\x01\x00\x05\x01\x00\x00\x01\x03"),
     .tls = TLSMSG_ERR_HANDSHAKE,
     .plain = TLSMSG_ERR_IS_TLS},
    {.name = "a TLS alert to the client",
     BYTES("\x15\x03\x03\x00\x02\x02\x28"),
     .to_client = true,
     .tls = TLSMSG_ERR_HANDSHAKE,
     .plain = TLSMSG_ERR_IS_TLS},
    {.name = "a TLS hello to the client",
     BYTES("\x16\x03\x03\x00\x04\x02\x00\x00\x00"),
     .to_client = true,
     .tls = TLSMSG_ERR_HANDSHAKE,
     .plain = TLSMSG_ERR_IS_TLS},
    {.name = "a TLS hello to the server, byte by byte",
     BYTES("\x16\x03\x01\x00\x05\x01\x00\x00\x01\x03"),
     .read_max = 1,
     .tls = TLSMSG_ERR_HANDSHAKE},
    {.name = "a hello of TLS 1.0 that is no hello",
     BYTES("\x16xxxxxxxxxxxxxxx"),
     .tls = TLSMSG_ERR_HANDSHAKE},
};

int contract_strangers(void)
{
    int failed = 0;

    RUN_ROWS(failed, test_strangers, strangers);
    return failed;
}
