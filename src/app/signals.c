/* Signals: read as data by the main thread, so that nothing runs in a handler.
 *
 * Workers inherit the mask or block signals themselves; a signal to the process therefore waits
 * for the descriptor. Main thread. */
#include "app/signals.h"

#include <errno.h>
#include <pthread.h>
#include <signal.h>

#include "app/signal_fd.h"
#include "base/error.h"

void signals_prepare(void)
{
    sigset_t later;

    (void)sigemptyset(&later);
    (void)sigaddset(&later, SIGHUP);
    (void)sigaddset(&later, SIGUSR1);
    (void)pthread_sigmask(SIG_BLOCK, &later, NULL);
}

static void stop_signals(sigset_t *set)
{
    (void)sigemptyset(set);
    (void)sigaddset(set, SIGTERM);
    (void)sigaddset(set, SIGINT);
}

enum tlsmsg_code signals_open(int *fd, struct tlsmsg_error *err)
{
    sigset_t all;

    stop_signals(&all);
    (void)sigaddset(&all, SIGHUP);
    (void)sigaddset(&all, SIGUSR1);
    (void)pthread_sigmask(SIG_BLOCK, &all, NULL);
    *fd = signal_fd_open(&all);
    if (*fd < 0) {
        return error_set(err, TLSMSG_ERR_SYSTEM, errno, "cannot make a descriptor for signals");
    }
    return TLSMSG_OK;
}

void signals_restore_stop(void)
{
    sigset_t stop;

    /* Also where they were ignored from the start, as in a shell's background job. */
    (void)signal(SIGTERM, SIG_DFL);
    (void)signal(SIGINT, SIG_DFL);
    stop_signals(&stop);
    (void)pthread_sigmask(SIG_UNBLOCK, &stop, NULL);
}
