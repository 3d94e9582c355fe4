/* Plaintext needs no files. */
#include "contract/contract.h"

const bool fixture_is_tls = false;

void fixture_set_up(struct tlsmsg_options *server, struct tlsmsg_options *client)
{
    (void)server;
    (void)client;
}

void fixture_tear_down(void)
{
}
