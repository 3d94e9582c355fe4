/* Key log lines in NSS's format, each in one write so that workers' lines never mix. */
#include "transport/tls/keylog.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <unistd.h>

#include "base/error.h"
#include "base/escape.h"
#include "transport/tls/config.h"
#include "transport/tls/session.h"

enum tlsmsg_code keylog_open(const struct tls_settings *settings, int *fd, struct tlsmsg_error *err)
{
    const char *path = settings->keylog_file;
    char shown[160];
    struct stat info;

    *fd = -1;
    if (path == NULL) {
        return TLSMSG_OK;
    }
    (void)escape_name(shown, sizeof(shown), path);
    *fd = open(path, O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK, 0600);
    if (*fd < 0) {
        return error_set(err, TLSMSG_ERR_CONFIG, errno, "cannot open key log '%s'%s", shown,
                         errno == ELOOP ? " (a symbolic link is not followed)" : "");
    }
    /* One that was there already may be open to others; secrets don't go into it. */
    if (fstat(*fd, &info) != 0 || !S_ISREG(info.st_mode) || (info.st_mode & 077) != 0) {
        (void)close(*fd);
        *fd = -1;
        return error_set(err, TLSMSG_ERR_CONFIG, 0,
                         "key log '%s' is not a plain file of mode 0600 (chmod 600 mends the mode)",
                         shown);
    }
    return TLSMSG_OK;
}

/* SSL_CTX_set_keylog_callback(3). */
static void log_line(const SSL *ssl, const char *line)
{
    int fd = session_of(ssl)->config->keylog_fd;
    char end[] = "\n";
    struct iovec parts[] = {
        {.iov_base = (void *)(uintptr_t)line, .iov_len = strlen(line)},
        {.iov_base = end, .iov_len = 1},
    };

    if (writev(fd, parts, 2) < 0) {
        /* A full disk costs the debugger a line, not the peers their conversation. */
    }
}

void keylog_install(SSL_CTX *ctx)
{
    SSL_CTX_set_keylog_callback(ctx, log_line);
}
