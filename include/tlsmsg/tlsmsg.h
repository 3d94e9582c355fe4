/* libtlsmsg: a message server and its client, over TLS or in plaintext. See tlsmsg(3). */
#ifndef TLSMSG_TLSMSG_H
#define TLSMSG_TLSMSG_H

#include <tlsmsg/client.h>
#include <tlsmsg/error.h>
#include <tlsmsg/options.h>
#include <tlsmsg/server.h>
#include <tlsmsg/tls.h>

/* The version of these headers; the build, the packages and --version all take it from here. */
#define TLSMSG_VERSION "0.2.0"

#ifdef __cplusplus
extern "C" {
#endif

/* The version of the library that runs, such as "0.2.0".
 * Returns a static string. Thread rule: any thread; never blocks. */
TLSMSG_API const char *tlsmsg_version(void);

/* The transport that is linked and the TLS library that runs: "TLS, OpenSSL 3.0.19" or
 * "plaintext". Returns a static string. Thread rule: any thread; never blocks. */
TLSMSG_API const char *tlsmsg_transport(void);

#ifdef __cplusplus
}
#endif

#endif
