/* A transport's configuration from options, in one call. */
#ifndef SUPPORT_CONFIG_H
#define SUPPORT_CONFIG_H

#include "options/options.h"
#include "transport/transport.h"

/* As transport_config_new does from settings; a client's records of first use name its server as
 * TLSMSG_OPT_ADDRESS has it. */
static inline enum tlsmsg_code config_from_options(const struct tlsmsg_options *options,
                                                   struct transport_config *previous,
                                                   struct transport_config **out,
                                                   struct tlsmsg_error *err)
{
    struct tls_settings settings;

    options_tls(options, &settings);
    settings.server = tlsmsg_options_text(options, TLSMSG_OPT_ADDRESS, 0);
    return transport_config_new(&settings, previous, out, err);
}

#endif
