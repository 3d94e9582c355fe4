/* The kernel's capset(2), spelled out here because no C library declares it, and kernel headers
 * are not within reach of every one (musl's wrapper for gcc hides them). Values are the kernel's
 * and fixed (<linux/capability.h>). */
#ifndef APP_CAPABILITY_ABI_H
#define APP_CAPABILITY_ABI_H

#include <stdint.h>

#define CAPABILITY_VERSION_3 0x20080522u /* 64 capabilities, in two sets of 32 */

struct capability_header {
    uint32_t version;
    int32_t pid; /* 0: the calling thread */
};

struct capability_data {
    uint32_t effective;
    uint32_t permitted;
    uint32_t inheritable;
};

#endif
