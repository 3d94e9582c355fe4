/* How texts name the scripts that come with the programs. Any thread. */
#ifndef BASE_TOOLS_H
#define BASE_TOOLS_H

#include <stdbool.h>

/* Names, and what hints say with them. */
struct tools {
    const char *certs;
    const char *makes_cert;
    const char *makes_crl;
    const char *makes_ticket_keys;
};

/* tlsmsg-certs and its like where the running program is an installed one, else the scripts of
 * the source tree. Never NULL; static. */
const struct tools *tools(void);

/* Whether the program of this path is an installed one: it is in the folder that was configured,
 * or, as in a tree that was moved, has tlsmsg-certs beside it. */
bool tools_are_installed(const char *program_path);

#endif
