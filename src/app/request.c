/* Requests: see request.h. Read as data, so that nothing runs in a handler and no wait is cut
 * short half-way. Blocked before the connection begins: who asks early gets the answer later.
 * Main thread. */
#include "app/request.h"

#include <pthread.h>
#include <signal.h>

#include "app/signal_fd.h"

int request_open(void)
{
    sigset_t set;

    (void)sigemptyset(&set);
    (void)sigaddset(&set, SIGUSR1);
    (void)pthread_sigmask(SIG_BLOCK, &set, NULL);
    return signal_fd_open(&set);
}

bool request_take(int fd)
{
    return signal_fd_next(fd) != 0;
}
