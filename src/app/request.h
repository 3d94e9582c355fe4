/* A person's request for the facts of the connection: SIGUSR1. */
#ifndef APP_REQUEST_H
#define APP_REQUEST_H

#include <stdbool.h>

/* From now on SIGUSR1 waits to be read; it never ends the program. Returns a descriptor that polls
 * readable once it has come (app/signal_fd.h; the caller closes it), or -1 where there
 * is none; then SIGUSR1 does nothing. */
int request_open(void);

/* Takes what has come. True: there was a request; several at once are one. */
bool request_take(int fd);

#endif
