/* What is linked: the library's version, and the transport's own word on itself. */
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
