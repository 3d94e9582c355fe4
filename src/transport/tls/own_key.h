/* Private keys, encrypted ones included. */
#ifndef TRANSPORT_TLS_OWN_KEY_H
#define TRANSPORT_TLS_OWN_KEY_H

#include <openssl/evp.h>

#include "options/options.h"
#include "transport/tls/pem_file.h"

/* The first private key in the file, owned by the caller. An encrypted one is opened with the
 * first line of --key-password-file or by asking. TLSMSG_ERR_CONFIG or _NOMEM. */
enum tlsmsg_code own_key_read(const struct pem_file *file, const struct tls_settings *settings,
                              EVP_PKEY **out, struct tlsmsg_error *err);

#endif
