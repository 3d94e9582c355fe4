/* What the server gives up before it serves: being root, and all that sandbox.h takes. */
#ifndef APP_CONFINEMENT_H
#define APP_CONFINEMENT_H

#include "app/sandbox.h"

struct confinement {
    char held[256];    /* what holds, for the log */
    char warning[512]; /* a file that a reload could not read any more; "" for none */
};

/* False in a build with sanitizers or line counting: they read and write files of their own up to
 * the end. CMake links confinement_on.c or confinement_off.c. */
extern const bool confinement_has_sandbox;

/* Whether --user can be followed at all; before anything is opened. user: NULL for none.
 * TLSMSG_ERR_CONFIG: no such user, or another one while this process is not root's. */
enum tlsmsg_code confinement_check(const char *user, struct tlsmsg_error *err);

/* Becomes user (NULL: stays), enters the sandbox and looks whether the files of a reload are still
 * within reach. All files and sockets must be open, and no other thread may run.
 * TLSMSG_ERR_CONFIG or TLSMSG_ERR_SYSTEM, after which the process should end. */
enum tlsmsg_code confinement_enter(const char *user, const struct sandbox *sandbox,
                                   struct confinement *out, struct tlsmsg_error *err);

#endif
