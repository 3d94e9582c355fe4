/* Standard descriptors: see descriptors.h. Main thread, first of all. */
#include "app/descriptors.h"

#include <errno.h>
#include <fcntl.h>
#include <unistd.h>

void descriptors_fill(void)
{
    /* Opened for reading, so that a write to it fails. */
    static const int modes[] = {O_RDONLY, O_RDONLY, O_WRONLY};
    int fd;

    for (fd = STDIN_FILENO; fd <= STDERR_FILENO; fd++) {
        if (fcntl(fd, F_GETFD) < 0 && errno == EBADF) {
            (void)open("/dev/null", modes[fd]); /* gets the lowest free number: this one */
        }
    }
}
