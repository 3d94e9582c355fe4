/* See transcript_file.h. Main thread. */
#include "app/server/transcript_file.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/error.h"
#include "base/file.h"

static enum tlsmsg_code fail(const char *path, int cause, struct tlsmsg_error *err)
{
    return file_error(path, "open", "transcript", cause, err);
}

/* 0, or an errno value. A device is not even opened, which can have effects of its own. */
static int open_regular(const char *path, int flags, int *fd)
{
    struct stat is;

    *fd = -1;
    if (stat(path, &is) == 0 && !S_ISREG(is.st_mode)) {
        return S_ISDIR(is.st_mode) ? EISDIR : EOPNOTSUPP;
    }
    *fd = open(path, flags | O_WRONLY | O_APPEND | O_NONBLOCK | O_NOCTTY | O_CLOEXEC,
               TRANSCRIPT_FILE_MODE);
    if (*fd < 0) {
        return errno == ENXIO ? EOPNOTSUPP : errno;
    }
    if (fstat(*fd, &is) != 0 || !S_ISREG(is.st_mode)) {
        (void)close(*fd);
        *fd = -1;
        return EOPNOTSUPP;
    }
    return 0;
}

enum tlsmsg_code transcript_file_open(const char *path, int *fd, struct tlsmsg_error *err)
{
    int failed = open_regular(path, O_CREAT, fd);

    return failed == 0 ? TLSMSG_OK : fail(path, failed, err);
}

enum tlsmsg_code transcript_file_check(const char *path, struct tlsmsg_error *err)
{
    int failed;
    int fd;

    if (path == NULL) {
        return TLSMSG_OK;
    }
    failed = open_regular(path, 0, &fd);
    if (fd >= 0) {
        (void)close(fd);
    }
    if (failed == ENOENT) {
        failed = file_may_make(path);
    }
    return failed == 0 ? TLSMSG_OK : fail(path, failed, err);
}
