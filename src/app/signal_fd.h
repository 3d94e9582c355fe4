/* Signals as something to poll and read, so that nothing runs in a handler. */
#ifndef APP_SIGNAL_FD_H
#define APP_SIGNAL_FD_H

#include <signal.h>

/* Polls readable while one of these signals is pending; the caller has blocked them. Non-blocking,
 * closed on exec; the caller closes it. -1 with errno where there is none. */
int signal_fd_open(const sigset_t *signals);

/* Takes the next one that is pending: its number, or 0 for none. */
int signal_fd_next(int fd);

#endif
