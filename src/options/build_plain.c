/* What the options are told of the plaintext build: the document's behaviour. */
#include "options/build.h"

const bool build_has_tls = false;
const size_t build_recv_size_bytes = 1024;
const int build_accept = 1;
const int build_workers = 1;
