/* What the programs' exit codes mean. */
#ifndef APP_EXIT_CODES_H
#define APP_EXIT_CODES_H

#include <tlsmsg/error.h>

enum exit_code {
    EXIT_DONE = 0,
    EXIT_OTHER = 1,         /* bind failed, stdout gone, a line refused */
    EXIT_USAGE = 2,         /* usage or configuration */
    EXIT_NO_CONNECTION = 3, /* before the handshake is done, and neither of the next two */
    EXIT_UNTRUSTED = 4,     /* the server is not to be trusted */
    EXIT_REFUSED = 5,       /* the server refused us */
    EXIT_CUT = 6            /* the conversation was cut */
};

/* How far a program had come when something failed. */
enum exit_phase {
    EXIT_WHILE_STARTING,
    EXIT_WHILE_CONNECTING, /* up to the end of the handshake */
    EXIT_WHILE_TALKING
};

enum exit_code exit_code_for(enum tlsmsg_code code, enum exit_phase phase);

#endif
