/* What the options are told of the TLS build. */
#include "options/build.h"

const bool build_has_tls = true;
const size_t build_recv_size_bytes = 16384; /* one TLS record (RFC 8446 section 5.1) */
const int build_accept = 0;
const int build_workers = 0;
