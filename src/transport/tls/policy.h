/* The TLS policy: versions, suites, groups and options of every context, whoever it serves. */
#ifndef TRANSPORT_TLS_POLICY_H
#define TRANSPORT_TLS_POLICY_H

#include <openssl/ssl.h>

#include "options/options.h"

/* A context for the settings' role with the whole policy applied, owned by the caller.
 * TLSMSG_ERR_CONFIG where the library lacks something that can't be done without. */
enum tlsmsg_code policy_context_new(const struct tls_settings *settings, SSL_CTX **out,
                                    struct tlsmsg_error *err);

/* A group's name as in the policy ("P-256") for the library's own ("secp256r1"); others as they are. */
const char *policy_group_name(const char *library_name);

#endif
