/* What both transports share: a connection that is gone, in the same words over each. */
#ifndef TRANSPORT_COMMON_H
#define TRANSPORT_COMMON_H

#include "transport/transport.h"

/* Says what a socket's error means: records TLSMSG_ERR_RESET with its errno. Returns
 * TRANSPORT_ERROR. */
enum transport_result transport_socket_error(int sys_errno, struct tlsmsg_error *err);

#endif
