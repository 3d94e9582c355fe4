/* What both transports share. */
#include "transport/common.h"

#include <errno.h>

#include "base/error.h"

/* A reset shows as a broken pipe to whoever writes; any other error (a time-out of the kernel's, a
 * route that is gone) ends the connection just as much. */
enum transport_result transport_socket_error(int sys_errno, struct tlsmsg_error *err)
{
    bool is_reset = sys_errno == ECONNRESET || sys_errno == EPIPE;
    bool is_first = err != NULL && err->code == TLSMSG_OK;

    if (is_reset) {
        error_set(err, TLSMSG_ERR_RESET, 0, "the peer reset the connection");
    } else {
        error_set(err, TLSMSG_ERR_RESET, sys_errno, "the connection was lost");
    }
    if (is_first) {
        err->sys_errno = sys_errno;
    }
    return TRANSPORT_ERROR;
}
