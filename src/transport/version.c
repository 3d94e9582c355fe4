/* What runs. Nothing here may need a configuration, so that --version works on a machine without
 * any. */
#include <tlsmsg/tlsmsg.h>

#include "transport/transport.h"

const char *tlsmsg_version(void)
{
    return TLSMSG_VERSION;
}

const char *tlsmsg_transport(void)
{
    return transport_name();
}
