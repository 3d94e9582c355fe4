/* See signals.h: the one file that knows signalfd(2). Main thread. */
#include "app/signals.h"

#include <errno.h>
#include <pthread.h>
#include <sys/signalfd.h>
#include <unistd.h>

#include "base/error.h"

int signals_open(const sigset_t *signals)
{
    return signalfd(-1, signals, SFD_NONBLOCK | SFD_CLOEXEC);
}

int signals_next(int fd)
{
    struct signalfd_siginfo info;

    return read(fd, &info, sizeof(info)) == (ssize_t)sizeof(info) ? (int)info.ssi_signo : 0;
}

void signals_keep_for_server(void)
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

enum tlsmsg_code signals_open_for_server(int *fd, struct tlsmsg_error *err)
{
    sigset_t all;

    stop_signals(&all);
    (void)sigaddset(&all, SIGHUP);
    (void)sigaddset(&all, SIGUSR1);
    (void)pthread_sigmask(SIG_BLOCK, &all, NULL);
    *fd = signals_open(&all);
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

static int open_one(int number)
{
    sigset_t set;

    (void)sigemptyset(&set);
    (void)sigaddset(&set, number);
    (void)pthread_sigmask(SIG_BLOCK, &set, NULL);
    return signals_open(&set);
}

int signals_open_for_client(void)
{
    return open_one(SIGUSR1);
}

int signals_open_for_prompt(void)
{
    return open_one(SIGCONT);
}
