/* Runs the contract's groups against the transport that is linked. */
#include "contract/contract.h"
#include "support/config.h"

#include <stdio.h>

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
