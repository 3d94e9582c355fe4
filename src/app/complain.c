/* Complaints: the bare lines of start-up, usage and final errors.
 *
 * Not the log of a running server, which has times and levels (log.c). One write a line, so that
 * lines of several processes on one terminal stay whole. Any thread. */
#include "app/complain.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

void complain(const char *program, const char *format, ...)
{
    char line[2048];
    int saved = errno;
    size_t cap = sizeof(line) - 1;
    size_t len;
    va_list args;

    (void)snprintf(line, cap, "%s: ", program);
    len = strlen(line);
    va_start(args, format);
    (void)vsnprintf(line + len, cap - len, format, args);
    va_end(args);
    len = strlen(line);
    line[len++] = '\n';
    if (write(STDERR_FILENO, line, len) < 0) {
        /* Nobody is left to tell. */
    }
    errno = saved;
}
