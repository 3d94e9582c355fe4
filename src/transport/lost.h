/* A connection that is gone, in the same words over every transport. */
#ifndef TRANSPORT_LOST_H
#define TRANSPORT_LOST_H

#include "transport/transport.h"

/* Records TLSMSG_ERR_RESET with the source's errno. Returns TRANSPORT_ERROR. */
enum transport_result transport_lost(int sys_errno, struct tlsmsg_error *err);

#endif
