/* Runs the contract's groups against the transport that is linked. */
#include "contract/contract.h"
#include "support/config.h"

#include <stdio.h>
#include <string.h>

struct transport_config *contract_server;
struct transport_config *contract_client;

static void make(enum tlsmsg_role role, struct tlsmsg_options **out)
{
    assert_int_equal(tlsmsg_options_new(role, out, NULL), TLSMSG_OK);
}

static void configure(const struct tlsmsg_options *options, struct transport_config **out)
{
    struct tlsmsg_error err = {.code = TLSMSG_OK};

    if (config_from_options(options, NULL, out, &err) != TLSMSG_OK) {
        fail_msg("%s", err.text);
    }
}

void contract_pair(struct pair *p)
{
    pair_init(p, contract_server, contract_client, "localhost");
}

void contract_open(struct pair *p)
{
    contract_pair(p);
    assert_true(pair_open(p, STEPS));
}

void contract_send(struct pair_end *end, const char *text)
{
    struct tlsmsg_error err = {.code = TLSMSG_OK};
    size_t n;

    assert_int_equal(transport_send(end->transport, text, strlen(text), &n, &err), TRANSPORT_OK);
    assert_int_equal(n, strlen(text));
    assert_int_equal(err.code, TLSMSG_OK);
}

static void receive(struct pair_end *end, enum transport_result expected, const char *text)
{
    struct tlsmsg_error err = {.code = TLSMSG_OK};
    char buf[1000];
    size_t n;

    assert_int_equal(transport_recv(end->transport, buf, sizeof(buf), &n, &err), expected);
    assert_int_equal(n, strlen(text));
    assert_memory_equal(buf, text, n);
    assert_int_equal(err.code, TLSMSG_OK);
}

void contract_receive(struct pair_end *end, const char *text)
{
    receive(end, TRANSPORT_OK, text);
}

void contract_receive_end(struct pair_end *end)
{
    receive(end, TRANSPORT_CLOSED, "");
}

void contract_shutdown(struct pair_end *end)
{
    struct tlsmsg_error err = {.code = TLSMSG_OK};

    assert_int_equal(transport_shutdown(end->transport, &err), TRANSPORT_OK);
    assert_int_equal(err.code, TLSMSG_OK);
}

void contract_fill(char *text, size_t len)
{
    size_t i;

    for (i = 0; i < len; i++) {
        text[i] = (char)('!' + i % 251 % 90);
    }
}

void contract_assert_clean(struct pair *p, const void *said, size_t len)
{
    if (!pair_run(p, STEPS)) {
        fail_msg("stuck: client in phase %d, server in phase %d", (int)p->client.phase,
                 (int)p->server.phase);
    }
    assert_string_equal(p->client.error.text, "");
    assert_string_equal(p->server.error.text, "");
    assert_int_equal(p->client.code, TLSMSG_OK);
    assert_int_equal(p->server.code, TLSMSG_OK);
    assert_int_equal(p->server.in_len, len);
    assert_memory_equal(p->server.in, said, len);
    assert_int_equal(p->client.in_len, len);
    assert_memory_equal(p->client.in, said, len);
    assert_true(p->to_server.is_shut);
    assert_true(p->to_client.is_shut);
}

int main(void)
{
    struct tlsmsg_options *server;
    struct tlsmsg_options *client;
    int failed = 0;

    make(TLSMSG_ROLE_SERVER, &server);
    make(TLSMSG_ROLE_CLIENT, &client);
    fixture_set_up(server, client);
    configure(server, &contract_server);
    configure(client, &contract_client);
    (void)printf("transport: %s\n", transport_name());

    failed += contract_exchange();
    failed += contract_faults();
    failed += contract_closing();
    failed += contract_strangers();

    transport_config_unref(contract_server);
    transport_config_unref(contract_client);
    fixture_tear_down();
    tlsmsg_options_free(server);
    tlsmsg_options_free(client);
    return failed;
}
