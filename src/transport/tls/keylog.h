/* The file that --keylog-file names: session secrets for whoever debugs with a packet analyser. */
#ifndef TRANSPORT_TLS_KEYLOG_H
#define TRANSPORT_TLS_KEYLOG_H

#include <openssl/ssl.h>

#include "options/options.h"

/* Opens the file (0600, appended to, never through a symbolic link) and has the context's sessions
 * log into it. *fd receives the descriptor, owned by the caller, who closes it after the context;
 * -1 where the option is unset. TLSMSG_ERR_CONFIG. */
enum tlsmsg_code keylog_open(const struct tls_settings *settings, int *fd,
                             struct tlsmsg_error *err);

/* Installs it; fd is read through session_of() from the configuration. */
void keylog_install(SSL_CTX *ctx);

#endif
