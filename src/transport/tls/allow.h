/* Which identities may talk: --allow and --allow-file. */
#ifndef TRANSPORT_TLS_ALLOW_H
#define TRANSPORT_TLS_ALLOW_H

#include <stdbool.h>

#include "options/options.h"

struct allow_list;

/* Reads the names. *out receives the list, NULL where neither option is set: then everybody whose
 * certificate verifies may talk. TLSMSG_ERR_CONFIG: a name without its type (CN=, DNS:, email:,
 * URI:), a file that can't be read, or no --client-ca to verify identities with. */
enum tlsmsg_code allow_load(const struct tls_settings *settings, struct allow_list **out,
                            struct tlsmsg_error *err);
void allow_free(struct allow_list *list);

/* True where list is NULL or holds identity (as identity_of() gives it, NULL: none). "DNS:*.suffix"
 * stands for one label before the suffix; DNS names compare without case, all else exactly. */
bool allow_holds(const struct allow_list *list, const char *identity);

#endif
