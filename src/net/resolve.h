/* Name lookup with a deadline: getaddrinfo(3) has none of its own. */
#ifndef NET_RESOLVE_H
#define NET_RESOLVE_H

#include "net/address.h"

/* More addresses than any name has in earnest, and than a server has listening sockets. */
#define RESOLVE_MAX 64

/* All addresses of a name, in the order getaddrinfo(3) gives (RFC 6724). A literal is converted
 * without a lookup; any other name is looked up on a thread of its own that is left behind when
 * the deadline (clock_now_ns() based, 0 = none) passes. *count receives 1 to cap, RESOLVE_MAX at
 * most; what a name has beyond that is left out.
 * TLSMSG_ERR_CONNECT (unknown), TLSMSG_ERR_TIMEOUT, TLSMSG_ERR_SYSTEM (no thread),
 * TLSMSG_ERR_NOMEM. */
enum tlsmsg_code resolve_name(const struct address_name *name, int64_t deadline_ns,
                              struct address *out, size_t cap, size_t *count,
                              struct tlsmsg_error *err);

#endif
