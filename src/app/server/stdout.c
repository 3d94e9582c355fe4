/* See stdout.h. Workers' threads and the main thread meet here, under one lock.
 *
 * The lock is held over the write, so that no other turn's lines come between; a write never
 * waits for a reader, save as a disk does. Holds are counted and ended under the same lock, so that
 * the end of one can't be taken for the end of the next. */
#include "app/server/stdout.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/error.h"
#include "base/wake.h"

/* Bytes that are written before others have the lock. */
#define PORTION_BYTES ((size_t)1024 * 1024)

/* ---- a descriptor that is never waited for */

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

void stdout_target_init(struct stdout_target *target, int fd)
{
    struct stat is;
    int copy;

    *target = (struct stdout_target){.fd = fd, .kind = STDOUT_POLLED};
    if (fstat(fd, &is) != 0 || S_ISREG(is.st_mode) || S_ISBLK(is.st_mode)) {
        target->kind = STDOUT_FILE;
        return;
    }
    if (S_ISSOCK(is.st_mode)) {
        target->kind = STDOUT_SOCKET;
        return;
    }
    copy = reopen(fd, &is);
    if (copy >= 0) {
        *target = (struct stdout_target){.fd = copy, .kind = STDOUT_REOPENED, .owns_fd = true};
    }
}

void stdout_target_fini(struct stdout_target *target)
{
    if (target->owns_fd) {
        (void)close(target->fd);
    }
    *target = (struct stdout_target){.fd = -1};
}

/* One write, as far as it can be without waiting: bytes written, or -1 with errno. */
static ssize_t write_piece(const struct stdout_target *target, const char *data, size_t len)
{
    struct pollfd entry = {.fd = target->fd, .events = POLLOUT};

    switch (target->kind) {
    case STDOUT_SOCKET:
        return send(target->fd, data, len, MSG_DONTWAIT | MSG_NOSIGNAL);
    case STDOUT_POLLED:
        /* POLLOUT on a pipe means room for PIPE_BUF bytes (pipe(7)). */
        if (poll(&entry, 1, 0) == 0) {
            errno = EAGAIN;
            return -1;
        }
        return write(target->fd, data, len < PIPE_BUF ? len : PIPE_BUF);
    case STDOUT_FILE:
    case STDOUT_REOPENED:
        break;
    }
    return write(target->fd, data, len);
}

int stdout_target_write(const struct stdout_target *target, const char *data, size_t len,
                        size_t *done)
{
    *done = 0;
    while (*done < len) {
        ssize_t n = write_piece(target, data + *done, len - *done);

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

/* ---- the writer */

enum tlsmsg_code stdout_writer_init(struct stdout_writer *writer, int fd, struct tlsmsg_error *err)
{
    *writer = (struct stdout_writer){.wake_fd = -1};
    writer->wake_fd = wake_open();
    if (writer->wake_fd < 0) {
        return error_set(err, TLSMSG_ERR_SYSTEM, errno, "cannot make an event descriptor");
    }
    (void)pthread_mutex_init(&writer->lock, NULL);
    backlog_init(&writer->backlog);
    stdout_target_init(&writer->target, fd);
    return TLSMSG_OK;
}

void stdout_writer_fini(struct stdout_writer *writer)
{
    if (writer->wake_fd < 0) {
        return;
    }
    (void)close(writer->wake_fd);
    (void)pthread_mutex_destroy(&writer->lock);
    backlog_fini(&writer->backlog);
    stdout_target_fini(&writer->target);
    free(writer->holds);
    *writer = (struct stdout_writer){.wake_fd = -1};
}

void stdout_writer_on_change(struct stdout_writer *writer, stdout_change *on_change, void *user)
{
    writer->on_change = on_change;
    writer->on_change_user = user;
}

void stdout_writer_set_file(struct stdout_writer *writer, int fd)
{
    (void)pthread_mutex_lock(&writer->lock);
    stdout_target_fini(&writer->target);
    stdout_target_init(&writer->target, fd);
    writer->target.owns_fd = true;
    (void)pthread_mutex_unlock(&writer->lock);
}

enum tlsmsg_code stdout_writer_set_workers(struct stdout_writer *writer, unsigned workers)
{
    writer->holds = calloc(workers, sizeof(*writer->holds));
    if (writer->holds == NULL) {
        return TLSMSG_ERR_NOMEM;
    }
    writer->workers = workers;
    return TLSMSG_OK;
}

static void fail(struct stdout_writer *writer, int cause)
{
    if (writer->cause == 0) {
        writer->cause = cause;
        wake_raise(writer->wake_fd);
    }
}

/* Under the lock, after each change. */
static void tell_change(struct stdout_writer *writer)
{
    int64_t delta = (int64_t)writer->backlog.bytes - (int64_t)writer->told_bytes;

    writer->told_bytes = writer->backlog.bytes;
    if (delta != 0 && writer->on_change != NULL) {
        writer->on_change(delta, writer->on_change_user);
    }
}

/* Under the lock: something was kept for later, or there was no memory for it. */
static bool keep(struct stdout_writer *writer, bool is_kept)
{
    if (!is_kept) {
        fail(writer, ENOMEM);
    } else if (writer->told_bytes == 0) {
        wake_raise(writer->wake_fd);
    }
    return is_kept;
}

/* Under the lock: writes what is accepted now, or queues it behind what waits. */
static bool accept_lines(struct stdout_writer *writer, const char *data, size_t len)
{
    size_t done = 0;

    if (writer->cause != 0 || len == 0) {
        return writer->cause == 0;
    }
    if (writer->backlog.bytes == 0) {
        int cause = stdout_target_write(&writer->target, data, len, &done);

        writer->written += done;
        if (cause != 0) {
            fail(writer, cause);
            return false;
        }
    }
    if (done < len && !keep(writer, backlog_add(&writer->backlog, data + done, len - done))) {
        return false;
    }
    writer->accepted += len;
    tell_change(writer);
    return true;
}

bool stdout_writer_add(struct stdout_writer *writer, const char *data, size_t len)
{
    bool accepted;

    (void)pthread_mutex_lock(&writer->lock);
    accepted = accept_lines(writer, data, len);
    (void)pthread_mutex_unlock(&writer->lock);
    return accepted;
}

bool stdout_writer_add_long(struct stdout_writer *writer, unsigned worker,
                            const struct stdout_line *line)
{
    size_t len = backlog_line_len(line);
    bool accepted;

    (void)pthread_mutex_lock(&writer->lock);
    accepted = writer->cause == 0 && keep(writer, backlog_add_long(&writer->backlog, line));
    writer->accepted += accepted ? len : 0;
    writer->holds[worker].has_long = true;
    tell_change(writer);
    (void)pthread_mutex_unlock(&writer->lock);
    return accepted;
}

enum tlsmsg_turn stdout_writer_end_turn(struct stdout_writer *writer, unsigned worker,
                                        const char *data, size_t len)
{
    struct stdout_hold *hold = &writer->holds[worker];
    enum tlsmsg_turn turn = TLSMSG_TURN_RELEASE;

    (void)pthread_mutex_lock(&writer->lock);
    if (!accept_lines(writer, data, len)) {
        turn = TLSMSG_TURN_FAIL;
    } else if ((len > 0 || hold->has_long) && writer->backlog.bytes > 0) {
        hold->mark = writer->accepted;
        turn = TLSMSG_TURN_HOLD;
    } else if (hold->count > 0) {
        turn = TLSMSG_TURN_HOLD; /* nothing to write, but earlier lines still wait */
    }
    if (turn == TLSMSG_TURN_HOLD) {
        hold->count++;
    }
    hold->has_long = false;
    (void)pthread_mutex_unlock(&writer->lock);
    return turn;
}

/* Under the lock: as much as stdout takes, and not more than a portion. */
static void write_waiting(struct stdout_writer *writer)
{
    size_t left = PORTION_BYTES;
    bool takes = true;

    while (writer->cause == 0 && takes && left > 0) {
        size_t len;
        const char *data = backlog_next(&writer->backlog, &len);
        size_t done;
        int cause;

        if (len == 0) {
            break;
        }
        len = len < left ? len : left;
        cause = stdout_target_write(&writer->target, data, len, &done);
        writer->written += done;
        backlog_written(&writer->backlog, done);
        left -= done;
        takes = done == len;
        if (cause != 0) {
            fail(writer, cause);
        }
    }
    tell_change(writer);
}

/* Under the lock: ends every hold whose lines are out, or all of them after a failure. */
static void end_holds(struct stdout_writer *writer, stdout_release *release, void *user)
{
    bool failed = writer->cause != 0;
    unsigned i;

    for (i = 0; i < writer->workers; i++) {
        struct stdout_hold *hold = &writer->holds[i];

        while (hold->count > 0 && (failed || hold->mark <= writer->written)) {
            hold->count--;
            release(i, failed, user);
        }
    }
    if (failed && !writer->cause_told && writer->workers > 0) {
        writer->cause_told = true;
        release(0, true, user); /* perhaps no worker held */
    }
}

bool stdout_writer_continue(struct stdout_writer *writer, stdout_release *release, void *user,
                            int *fd)
{
    bool waits;

    wake_clear(writer->wake_fd);
    (void)pthread_mutex_lock(&writer->lock);
    write_waiting(writer);
    end_holds(writer, release, user);
    waits = writer->cause == 0 && writer->backlog.bytes > 0;
    *fd = writer->target.fd;
    (void)pthread_mutex_unlock(&writer->lock);
    return waits;
}

int stdout_writer_wake_fd(const struct stdout_writer *writer)
{
    return writer->wake_fd;
}

int stdout_writer_cause(struct stdout_writer *writer)
{
    int cause;

    (void)pthread_mutex_lock(&writer->lock);
    cause = writer->cause;
    (void)pthread_mutex_unlock(&writer->lock);
    return cause;
}

void stdout_writer_abandon(struct stdout_writer *writer, int cause)
{
    (void)pthread_mutex_lock(&writer->lock);
    fail(writer, cause);
    (void)pthread_mutex_unlock(&writer->lock);
}

size_t stdout_writer_waiting_bytes(struct stdout_writer *writer)
{
    size_t bytes;

    (void)pthread_mutex_lock(&writer->lock);
    bytes = writer->backlog.bytes;
    (void)pthread_mutex_unlock(&writer->lock);
    return bytes;
}
