/* eventfd(2) behind wake.h: the one file that knows it. A pipe would do as well, with a descriptor
 * more and a buffer that can fill. */
#include "base/wake.h"

#include <errno.h>
#include <stdint.h>
#include <sys/eventfd.h>
#include <unistd.h>

int wake_open(void)
{
    return eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
}

void wake_raise(int fd)
{
    const uint64_t one = 1;
    int saved = errno;

    /* A full counter (EAGAIN) polls readable already. */
    (void)!write(fd, &one, sizeof(one));
    errno = saved;
}

void wake_clear(int fd)
{
    uint64_t count;

    (void)!read(fd, &count, sizeof(count));
}
