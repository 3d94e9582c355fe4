/* Output: see output.h. Under the journal's lock; never blocks, save as a disk does. */
#include "app/output.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <poll.h>
#include <stdio.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

/* Another description of what fd is open on, or -1: no /proc, not allowed, or a pipe whose
 * reader has gone (ENXIO). */
static int reopen(int fd, const struct stat *is)
{
    char path[32];
    struct stat now;
    int flags = fcntl(fd, F_GETFL);
    int copy;

    if (flags < 0 || (flags & O_ACCMODE) == O_RDONLY) {
        return -1; /* what could not be written before must not become writable */
    }
    (void)snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
    copy = open(path, O_WRONLY | O_NONBLOCK | O_NOCTTY | O_CLOEXEC);
    if (copy < 0) {
        return -1;
    }
    if (fstat(copy, &now) != 0 || now.st_dev != is->st_dev || now.st_ino != is->st_ino) {
        (void)close(copy);
        return -1;
    }
    return copy;
}

void output_init(struct output *output, int fd)
{
    struct stat is;
    int copy;

    *output = (struct output){.fd = fd, .kind = OUTPUT_POLLED};
    if (fstat(fd, &is) != 0 || S_ISREG(is.st_mode) || S_ISBLK(is.st_mode)) {
        output->kind = OUTPUT_FILE;
        return;
    }
    if (S_ISSOCK(is.st_mode)) {
        output->kind = OUTPUT_SOCKET;
        return;
    }
    copy = reopen(fd, &is);
    if (copy >= 0) {
        *output = (struct output){.fd = copy, .kind = OUTPUT_REOPENED, .owns_fd = true};
    }
}

void output_fini(struct output *output)
{
    if (output->owns_fd) {
        (void)close(output->fd);
    }
    *output = (struct output){.fd = -1};
}

/* One write, as far as it can be without waiting: bytes written, or -1 with errno. */
static ssize_t write_piece(const struct output *output, const char *data, size_t len)
{
    struct pollfd entry = {.fd = output->fd, .events = POLLOUT};

    switch (output->kind) {
    case OUTPUT_SOCKET:
        return send(output->fd, data, len, MSG_DONTWAIT | MSG_NOSIGNAL);
    case OUTPUT_POLLED:
        /* POLLOUT on a pipe means room for PIPE_BUF bytes (pipe(7)). */
        if (poll(&entry, 1, 0) == 0) {
            errno = EAGAIN;
            return -1;
        }
        return write(output->fd, data, len < PIPE_BUF ? len : PIPE_BUF);
    case OUTPUT_FILE:
    case OUTPUT_REOPENED:
        break;
    }
    return write(output->fd, data, len);
}

int output_write(const struct output *output, const char *data, size_t len, size_t *done)
{
    *done = 0;
    while (*done < len) {
        ssize_t n = write_piece(output, data + *done, len - *done);

        if (n > 0) {
            *done += (size_t)n;
        } else if (n < 0 && (errno == EAGAIN || errno == EWOULDBLOCK)) {
            return 0;
        } else if (n < 0 && errno != EINTR) {
            return errno;
        } else if (n == 0) {
            return EIO; /* a device that takes nothing and says no cause */
        }
    }
    return 0;
}
