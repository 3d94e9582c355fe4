/* Facts about the build that the options need; CMake links one of build_tls.c, build_plain.c. */
#ifndef OPTIONS_BUILD_H
#define OPTIONS_BUILD_H

#include <stdbool.h>
#include <stddef.h>

extern const bool build_has_tls;           /* options marked T are accepted */
extern const size_t build_recv_size_bytes; /* default of TLSMSG_OPT_RECV_SIZE: 16384 or 1024 */
extern const int build_accept;             /* default of TLSMSG_OPT_ACCEPT: 0 or 1 */
extern const int build_workers;            /* default of TLSMSG_OPT_WORKERS: 0 or 1 */

#endif
