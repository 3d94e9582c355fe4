/* The sandbox's rules on files and ports (landlock(7)), where the kernel has them. Main thread, before
 * there is another. */
#ifndef APP_SERVER_LANDLOCK_H
#define APP_SERVER_LANDLOCK_H

#include "app/server/sandbox.h"

/* The version of the kernel's interface; below 1: there is none. */
long landlock_abi(void);

/* Restricts this process for good, as sandbox_restrict says. abi: landlock_abi's, at least 1.
 * TLSMSG_OK, or TLSMSG_ERR_SYSTEM. */
enum tlsmsg_code landlock_enter(const struct sandbox *sandbox, long abi, struct tlsmsg_error *err);

#endif
