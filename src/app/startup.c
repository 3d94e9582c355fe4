/* See startup.h. Main thread, but for startup_warn. */
#include "app/startup.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

#define WARNING_MAX 2048

void startup_descriptors(void)
{
    /* Opened for reading, so that a write to it fails. */
    static const int modes[] = {O_RDONLY, O_RDONLY, O_WRONLY};
    int fd;

    (void)signal(SIGPIPE, SIG_IGN);
    (void)signal(SIGXFSZ, SIG_IGN);
    for (fd = STDIN_FILENO; fd <= STDERR_FILENO; fd++) {
        if (fcntl(fd, F_GETFD) < 0 && errno == EBADF) {
            (void)open("/dev/null", modes[fd]); /* gets the lowest free number: this one */
        }
    }
}

void startup_raise_descriptor_limit(void)
{
    struct rlimit limit;

    if (getrlimit(RLIMIT_NOFILE, &limit) == 0 && limit.rlim_cur < limit.rlim_max) {
        limit.rlim_cur = limit.rlim_max;
        (void)setrlimit(RLIMIT_NOFILE, &limit);
    }
}

void startup_warn(const char *program, const char *format, ...)
{
    char line[WARNING_MAX];
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

/* One row a code: while starting, while connecting, while talking. */
static const enum exit_code exit_codes[][3] = {
    [TLSMSG_OK] = {EXIT_DONE, EXIT_DONE, EXIT_DONE},
    [TLSMSG_ERR_NOMEM] = {EXIT_OTHER, EXIT_OTHER, EXIT_OTHER},
    [TLSMSG_ERR_SYSTEM] = {EXIT_OTHER, EXIT_NO_CONNECTION, EXIT_CUT},
    [TLSMSG_ERR_CONFIG] = {EXIT_USAGE, EXIT_USAGE, EXIT_USAGE},
    [TLSMSG_ERR_STATE] = {EXIT_OTHER, EXIT_OTHER, EXIT_OTHER},
    [TLSMSG_ERR_CONNECT] = {EXIT_OTHER, EXIT_NO_CONNECTION, EXIT_CUT},
    [TLSMSG_ERR_HANDSHAKE] = {EXIT_OTHER, EXIT_NO_CONNECTION, EXIT_CUT},
    [TLSMSG_ERR_NOT_TLS] = {EXIT_OTHER, EXIT_NO_CONNECTION, EXIT_CUT},
    [TLSMSG_ERR_IS_TLS] = {EXIT_OTHER, EXIT_NO_CONNECTION, EXIT_CUT},
    [TLSMSG_ERR_UNTRUSTED] = {EXIT_OTHER, EXIT_UNTRUSTED, EXIT_UNTRUSTED},
    [TLSMSG_ERR_REFUSED] = {EXIT_OTHER, EXIT_REFUSED, EXIT_REFUSED},
    [TLSMSG_ERR_TRUNCATED] = {EXIT_OTHER, EXIT_NO_CONNECTION, EXIT_CUT},
    [TLSMSG_ERR_RESET] = {EXIT_OTHER, EXIT_NO_CONNECTION, EXIT_CUT},
    [TLSMSG_ERR_TIMEOUT] = {EXIT_OTHER, EXIT_NO_CONNECTION, EXIT_CUT},
    [TLSMSG_ERR_PROTOCOL] = {EXIT_OTHER, EXIT_NO_CONNECTION, EXIT_CUT},
    [TLSMSG_ERR_UTF8] = {EXIT_OTHER, EXIT_NO_CONNECTION, EXIT_CUT},
    [TLSMSG_ERR_LIMIT] = {EXIT_OTHER, EXIT_NO_CONNECTION, EXIT_CUT},
    [TLSMSG_ERR_CLOSED] = {EXIT_OTHER, EXIT_NO_CONNECTION, EXIT_CUT},
    [TLSMSG_ERR_KEY_CHANGED] = {EXIT_OTHER, EXIT_UNTRUSTED, EXIT_UNTRUSTED},
    [TLSMSG_ERR_NOT_NUMBERED] = {EXIT_OTHER, EXIT_NO_CONNECTION, EXIT_CUT},
    [TLSMSG_ERR_BYE] = {EXIT_OTHER, EXIT_CUT, EXIT_CUT},
};

enum exit_code exit_code_for(enum tlsmsg_code code, enum exit_phase phase)
{
    if ((size_t)code >= sizeof(exit_codes) / sizeof(exit_codes[0])) {
        return EXIT_OTHER;
    }
    return exit_codes[code][phase];
}

enum exit_code startup_flush_stdout(const char *program)
{
    errno = 0;
    if (fflush(stdout) == 0 && ferror(stdout) == 0) {
        return EXIT_DONE;
    }
    startup_warn(program, "cannot write to stdout: %s", strerror(errno != 0 ? errno : EIO));
    return EXIT_OTHER;
}

bool startup_holds_password(const char *value)
{
    const char *host = value != NULL ? strstr(value, "://") : NULL;
    const char *at;
    const char *colon;

    if (host == NULL) {
        return value != NULL && strstr(value, "password=") != NULL;
    }
    host += 3;
    at = strchr(host, '@');
    colon = strchr(host, ':');
    return (at != NULL && colon != NULL && colon < at) || strstr(host, "password=") != NULL;
}

char *startup_hide_password(char *const *argv, const char *value)
{
    char *copy = NULL;

    for (; *argv != NULL && copy == NULL && startup_holds_password(value); argv++) {
        size_t len = strlen(*argv);

        if (value >= *argv && value < *argv + len) {
            copy = strdup(value);
            if (copy != NULL) {
                memset(*argv + (value - *argv), '*', strlen(value));
            }
        }
    }
    return copy;
}

void startup_set_title(char *const *argv, const char *title)
{
    char *line = *argv;
    size_t room = 0;

    /* The kernel laid the words one behind the other. */
    for (; *argv != NULL; argv++) {
        room += *argv == line + room ? strlen(*argv) + 1 : 0;
    }
    if (line != NULL) {
        memset(line, 0, room);
        (void)snprintf(line, room, "%s", title);
    }
}
