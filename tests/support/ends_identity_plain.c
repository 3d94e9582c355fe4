/* See ends_identity.h: in plaintext nobody has an identity. */
#include "support/ends_identity.h"

int ends_identity_setup(void **state)
{
    (void)state;
    return 0;
}

int ends_identity_teardown(void **state)
{
    (void)state;
    return 0;
}

void ends_identity_of_server(struct tlsmsg_options *options, bool strict)
{
    (void)options;
    (void)strict;
}

void ends_identity_trusted_by(struct tlsmsg_options *options)
{
    (void)options;
}

const char *ends_identity_ca(void)
{
    return NULL;
}

const char *ends_identity_cert(void)
{
    return NULL;
}

const char *ends_identity_key(void)
{
    return NULL;
}
