/* What both transports share: how TLS begins on the wire, and a connection that is gone, in the same
 * words over each. */
#ifndef TRANSPORT_COMMON_H
#define TRANSPORT_COMMON_H

#include "transport/transport.h"

/* The first byte of a record (RFC 8446 section 5.1). */
#define TLS_ALERT 0x15
#define TLS_HANDSHAKE 0x16
#define TLS_APPLICATION_DATA 0x17
#define TLS_CLIENT_HELLO 1 /* a type of handshake message */

/* Says what a socket's error means: records TLSMSG_ERR_RESET with its errno. Returns
 * TRANSPORT_ERROR. */
enum transport_result transport_socket_error(int sys_errno, struct tlsmsg_error *err);

#endif
