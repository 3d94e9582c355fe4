/* signalfd(2) behind signal_fd.h: the one file that knows it. Any thread that has the signals
 * blocked, as all others must. */
#include "app/signal_fd.h"

#include <sys/signalfd.h>
#include <unistd.h>

int signal_fd_open(const sigset_t *signals)
{
    return signalfd(-1, signals, SFD_NONBLOCK | SFD_CLOEXEC);
}

int signal_fd_next(int fd)
{
    struct signalfd_siginfo info;

    return read(fd, &info, sizeof(info)) == (ssize_t)sizeof(info) ? (int)info.ssi_signo : 0;
}
