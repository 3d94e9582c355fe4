/* See fuzz_identity.h: in plaintext nobody has an identity. */
#include "fuzz_identity.h"

void fuzz_identity_make(struct tlsmsg_options *options)
{
    (void)options;
}

void fuzz_identity_remove(void)
{
}
