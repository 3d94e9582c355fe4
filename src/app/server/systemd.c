/* Environment variables and datagrams; see systemd.h. */
#include "app/server/systemd.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/decimal.h"

#define NOTIFY_MAX 1024
#define PASSED_MAX 64

/* The value of a variable as a whole number from 1 to max; 0 where it isn't one. */
static uint64_t number_from(const char *name, uint64_t max)
{
    const char *text = getenv(name);
    uint64_t value = 0;

    return text != NULL && decimal_parse(text, strlen(text), 1, max, &value) ? value : 0;
}

static bool is_for_us(const char *pid_variable)
{
    return number_from(pid_variable, INT32_MAX) == (uint64_t)getpid();
}

static unsigned take_sockets(void)
{
    unsigned n = 0;

    if (is_for_us("LISTEN_PID")) {
        n = (unsigned)number_from("LISTEN_FDS", PASSED_MAX);
    }
    for (unsigned i = 0; i < n; i++) {
        (void)fcntl(SYSTEMD_FIRST_FD + (int)i, F_SETFD, FD_CLOEXEC);
    }
    (void)unsetenv("LISTEN_PID");
    (void)unsetenv("LISTEN_FDS");
    (void)unsetenv("LISTEN_FDNAMES");
    return n;
}

static int64_t watchdog_interval_ns(void)
{
    uint64_t usec = number_from("WATCHDOG_USEC", INT64_MAX / 1000);
    bool ours = getenv("WATCHDOG_PID") == NULL || is_for_us("WATCHDOG_PID");

    (void)unsetenv("WATCHDOG_USEC");
    (void)unsetenv("WATCHDOG_PID");
    /* Twice as often as asked for, as sd_watchdog_enabled(3) advises. */
    return ours ? (int64_t)usec * 1000 / 2 : 0;
}

/* Connects to the manager's socket: a path, or with @ a name in the abstract namespace. */
static int open_notify_socket(const char *path)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    size_t len = strlen(path);
    int fd;

    if ((path[0] != '/' && path[0] != '@') || len < 2 || len >= sizeof(address.sun_path)) {
        return -1;
    }
    memcpy(address.sun_path, path, len);
    if (path[0] == '@') {
        address.sun_path[0] = '\0';
    }
    fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    if (fd >= 0 && connect(fd, (struct sockaddr *)&address,
                           (socklen_t)(offsetof(struct sockaddr_un, sun_path) + len)) != 0) {
        (void)close(fd);
        fd = -1;
    }
    return fd;
}

void systemd_open(struct systemd *systemd)
{
    const char *path = getenv("NOTIFY_SOCKET");

    *systemd = (struct systemd){.notify_fd = -1};
    systemd->passed_sockets = take_sockets();
    if (path != NULL) {
        systemd->notify_fd = open_notify_socket(path);
        (void)unsetenv("NOTIFY_SOCKET");
    }
    systemd->watchdog_ns = watchdog_interval_ns();
    if (systemd->notify_fd < 0) {
        systemd->watchdog_ns = 0;
    }
}

void systemd_close(struct systemd *systemd)
{
    if (systemd->notify_fd >= 0) {
        (void)close(systemd->notify_fd);
        systemd->notify_fd = -1;
    }
}

void systemd_notify(const struct systemd *systemd, const char *format, ...)
{
    char text[NOTIFY_MAX];
    va_list args;
    int len;

    if (systemd->notify_fd < 0) {
        return;
    }
    va_start(args, format);
    len = vsnprintf(text, sizeof(text), format, args);
    va_end(args);
    if (len > 0) {
        size_t bytes = (size_t)len < sizeof(text) ? (size_t)len : sizeof(text) - 1;

        (void)send(systemd->notify_fd, text, bytes, MSG_NOSIGNAL | MSG_DONTWAIT);
    }
}

void systemd_notify_reloading(const struct systemd *systemd)
{
    systemd_notify(systemd, "RELOADING=1\nMONOTONIC_USEC=%" PRId64, clock_now_ns() / 1000);
}

int64_t systemd_watchdog(struct systemd *systemd, int64_t now_ns)
{
    if (systemd->watchdog_ns == 0) {
        return 0;
    }
    if (now_ns >= systemd->next_beat_ns) {
        systemd_notify(systemd, "WATCHDOG=1");
        systemd->next_beat_ns = now_ns + systemd->watchdog_ns;
    }
    return systemd->next_beat_ns;
}
