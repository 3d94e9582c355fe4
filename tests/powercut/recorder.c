/* Recorder: preloaded into a program, it writes down whatever that does to the files of one folder,
 * and what it tells its clients, in one order.
 *
 *   POWERCUT_FOLDER      the folder, as realpath(3) gives it
 *   POWERCUT_LOG         the file to append events to
 *   POWERCUT_PROMISES    a descriptor whose bytes are promises
 *   POWERCUT_SOCKETS     1: note how far each TCP connection's bytes had gone
 *   POWERCUT_FAIL_SYNC   n: the nth sync of a file fails with EIO, and isn't done
 *   POWERCUT_KILL_SYNC   n: SIGKILL in place of the nth
 *   POWERCUT_ROOM        bytes that all files of the folder may hold
 *   POWERCUT_LIE         1: syncs do nothing and succeed (a planted fault)
 *   POWERCUT_RETRY_SYNC  1: a sync that fails is tried again (a planted fault)
 *
 * powercut_add_room (for dlsym) bounds the bytes of all files of the folder to so many more than now:
 * beyond it writes are short, then fail with ENOSPC, and fstatvfs(2) says how much is left. The file
 * "-shm" is left out: it's mapped, and no power cut leaves anything of it that SQLite would use.
 *
 * A change by a call that is not caught here shows in the end: the folder then holds something else
 * than the recording says, and the replay refuses it. One lock is held over each call and its record,
 * so that the order is true. */
#include <arpa/inet.h>
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <sys/uio.h>
#include <unistd.h>

#include "powercut/event.h"

#define FDS 4096
#define FILES 64
#define EXPORT __attribute__((visibility("default")))

enum fd_kind { FD_OTHER, FD_FILE, FD_FOLDER, FD_SOCKET };

static struct {
    enum fd_kind kind;
    uint64_t file;
    uint64_t sent; /* of a socket */
    unsigned port;
} fds[FDS];

/* Sizes, for the bound on room. */
static struct {
    uint64_t file;
    uint64_t size;
} sizes[FILES];

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static char folder[4096];
static size_t folder_len;
static int log_fd = -1;
static int promise_fd = -1;
static bool sockets, lies, retries;
static long fail_sync, kill_sync, syncs;
static uint64_t room = UINT64_MAX;

EXPORT void powercut_add_room(uint64_t bytes);

/* The next definition of a function: libc's. */
#define REAL(name) ((__typeof__(&name))real(#name))

static void *real(const char *name)
{
    void *function = dlsym(RTLD_NEXT, name);

    if (function == NULL) {
        abort();
    }
    return function;
}

static void must_write(const void *data, size_t len)
{
    const char *p = data;

    while (len > 0) {
        ssize_t n = REAL(write)(log_fd, p, len);

        if (n <= 0) {
            abort();
        }
        p += n;
        len -= (size_t)n;
    }
}

static void record(enum event_kind kind, uint64_t file, uint64_t offset, int64_t result,
                   const char *name, const void *data, size_t data_len)
{
    struct event event = {.mark = EVENT_MARK,
                          .kind = (uint16_t)kind,
                          .name_len = (uint16_t)strlen(name),
                          .result = result,
                          .file = file,
                          .offset = offset,
                          .data_len = data_len};
    int saved = errno;

    must_write(&event, sizeof(event));
    must_write(name, event.name_len);
    must_write(data, data_len);
    errno = saved;
}

static long number(const char *name)
{
    const char *text = getenv(name);

    return text != NULL ? strtol(text, NULL, 10) : 0;
}

__attribute__((constructor)) static void begin(void)
{
    const char *path = getenv("POWERCUT_LOG");
    const char *text = getenv("POWERCUT_FOLDER");

    if (path == NULL || text == NULL) {
        return;
    }
    folder_len = strlen(text);
    if (folder_len >= sizeof(folder)) {
        abort();
    }
    memcpy(folder, text, folder_len + 1);
    promise_fd = getenv("POWERCUT_PROMISES") != NULL ? (int)number("POWERCUT_PROMISES") : -1;
    sockets = number("POWERCUT_SOCKETS") != 0;
    lies = number("POWERCUT_LIE") != 0;
    retries = number("POWERCUT_RETRY_SYNC") != 0;
    fail_sync = number("POWERCUT_FAIL_SYNC");
    kill_sync = number("POWERCUT_KILL_SYNC");
    room = number("POWERCUT_ROOM") != 0 ? (uint64_t)number("POWERCUT_ROOM") : UINT64_MAX;
    log_fd = REAL(open)(path, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600);
    if (log_fd < 0) {
        abort();
    }
}

static void enter(void)
{
    (void)pthread_mutex_lock(&lock);
}

static void leave(void)
{
    int saved = errno;

    (void)pthread_mutex_unlock(&lock);
    errno = saved;
}

static bool is_file(int fd)
{
    return fd >= 0 && fd < FDS && fds[fd].kind == FD_FILE;
}

/* The name inside the folder, NULL for what isn't there. */
static const char *name_in_folder(const char *path)
{
    if (strncmp(path, folder, folder_len) != 0 || path[folder_len] != '/') {
        return NULL;
    }
    return path + folder_len + 1;
}

static bool is_left_out(const char *name)
{
    size_t len = strlen(name);

    return len >= 4 && strcmp(name + len - 4, "-shm") == 0;
}

/* path as an absolute one without links in its folder. */
static bool resolve(const char *path, char out[8192])
{
    char parent[4096];
    char whole[4096];
    const char *slash = strrchr(path, '/');
    size_t len = slash == NULL ? 0 : (size_t)(slash - path);

    if (log_fd < 0 || len >= sizeof(parent)) {
        return false;
    }
    memcpy(parent, path, len);
    parent[len] = '\0';
    if (realpath(slash == NULL ? "." : len == 0 ? "/" : parent, whole) == NULL) {
        return false;
    }
    (void)snprintf(out, 8192, "%s/%s", whole, slash == NULL ? path : slash + 1);
    return true;
}

static uint64_t *size_of(uint64_t file)
{
    for (size_t i = 0; i < FILES; i++) {
        if (sizes[i].file == file || sizes[i].file == 0) {
            sizes[i].file = file;
            return &sizes[i].size;
        }
    }
    abort();
}

static uint64_t all_sizes(void)
{
    uint64_t sum = 0;
    size_t i;

    for (i = 0; i < FILES; i++) {
        sum += sizes[i].size;
    }
    return sum;
}

void powercut_add_room(uint64_t bytes)
{
    (void)pthread_mutex_lock(&lock);
    room = all_sizes() + bytes;
    (void)pthread_mutex_unlock(&lock);
}

static void record_found(int fd, uint64_t file, const char *name, uint64_t size)
{
    char *data = malloc(size + 1);

    if (data == NULL || pread(fd, data, size, 0) != (ssize_t)size) {
        abort();
    }
    record(EVENT_FOUND, file, 0, 0, name, data, size);
    free(data);
}

static void opened(int fd, const char *path, int flags, bool existed)
{
    struct stat status;
    const char *name = name_in_folder(path);

    if (fd < 0 || fd >= FDS) {
        return;
    }
    fds[fd].kind = FD_OTHER;
    if (fstat(fd, &status) != 0) {
        return;
    }
    if (S_ISDIR(status.st_mode)) {
        fds[fd].kind = strcmp(path, folder) == 0 ? FD_FOLDER : FD_OTHER;
        return;
    }
    if (name == NULL || is_left_out(name)) {
        return;
    }
    fds[fd].kind = FD_FILE;
    fds[fd].file = status.st_ino;
    *size_of(status.st_ino) = (uint64_t)status.st_size;
    if (!existed) {
        record(EVENT_CREATE, status.st_ino, 0, 0, name, "", 0);
    } else if ((flags & O_TRUNC) != 0) {
        record(EVENT_TRUNCATE, status.st_ino, 0, 0, name, "", 0);
    } else if ((flags & O_ACCMODE) != O_RDONLY) {
        record_found(fd, status.st_ino, name, (uint64_t)status.st_size);
    }
}

static int do_open(const char *path, int flags, mode_t mode)
{
    char whole[8192];
    struct stat status;
    bool watched = resolve(path, whole);
    bool existed;
    int fd;

    if (!watched) {
        return REAL(openat)(AT_FDCWD, path, flags, mode);
    }
    enter();
    existed = lstat(path, &status) == 0;
    fd = REAL(openat)(AT_FDCWD, path, flags, mode);
    if (fd >= 0 && strcmp(path, ".") == 0) {
        (void)realpath(path, whole);
    }
    opened(fd, whole, flags, existed);
    leave();
    return fd;
}

#define OPEN_MODE(flags)                                                                           \
    mode_t mode = 0;                                                                               \
    if (((flags) & (O_CREAT | O_TMPFILE)) != 0) {                                                  \
        va_list args;                                                                              \
        va_start(args, flags);                                                                     \
        mode = va_arg(args, mode_t);                                                               \
        va_end(args);                                                                              \
    }

EXPORT int open(const char *path, int flags, ...)
{
    OPEN_MODE(flags)
    return do_open(path, flags, mode);
}

EXPORT int close(int fd)
{
    int result;

    enter();
    if (fd >= 0 && fd < FDS) {
        fds[fd].kind = FD_OTHER;
        fds[fd].sent = 0;
        fds[fd].port = 0;
    }
    result = REAL(close)(fd);
    leave();
    return result;
}

/* How many of len bytes at offset still have room; under the lock. */
static size_t fits(uint64_t file, uint64_t offset, size_t len)
{
    uint64_t size = *size_of(file);
    uint64_t others = all_sizes() - size;
    uint64_t bound = room > others ? room - others : 0;

    if (offset + len <= size || offset + len <= bound) {
        return len;
    }
    bound = bound > size ? bound : size;
    return bound > offset ? (size_t)(bound - offset) : 0;
}

/* What is left of the bound. */
EXPORT int fstatvfs(int fd, struct statvfs *system)
{
    int result = REAL(fstatvfs)(fd, system);
    uint64_t left;

    enter();
    if (result == 0 && is_file(fd) && room != UINT64_MAX) {
        left = all_sizes() < room ? (room - all_sizes()) / system->f_frsize : 0;
        system->f_bavail = left < system->f_bavail ? left : system->f_bavail;
    }
    leave();
    return result;
}

static ssize_t write_file(int fd, const void *data, size_t len, uint64_t offset)
{
    size_t can = fits(fds[fd].file, offset, len);
    ssize_t n;

    if (can == 0 && len > 0) {
        errno = ENOSPC;
        return -1;
    }
    n = REAL(pwrite)(fd, data, can, (off_t)offset);
    if (n > 0) {
        uint64_t *size = size_of(fds[fd].file);

        record(EVENT_WRITE, fds[fd].file, offset, n, "", data, (size_t)n);
        *size = offset + (uint64_t)n > *size ? offset + (uint64_t)n : *size;
    }
    return n;
}

EXPORT ssize_t pwrite(int fd, const void *data, size_t len, off_t offset)
{
    ssize_t n;

    enter();
    n = is_file(fd) ? write_file(fd, data, len, (uint64_t)offset)
                    : REAL(pwrite)(fd, data, len, offset);
    leave();
    return n;
}

/* What left by a TCP connection; under the lock. */
static void sent(int fd, ssize_t n)
{
    struct sockaddr_in peer;
    socklen_t len = sizeof(peer);

    if (!sockets || n <= 0 || fd < 0 || fd >= FDS || fd == log_fd) {
        return;
    }
    if (fds[fd].port == 0 && getpeername(fd, (struct sockaddr *)&peer, &len) == 0 &&
        peer.sin_family == AF_INET) {
        fds[fd].port = ntohs(peer.sin_port);
        fds[fd].sent = 0;
    }
    if (fds[fd].port != 0) {
        fds[fd].sent += (uint64_t)n;
        record(EVENT_SENT, fds[fd].port, fds[fd].sent, 0, "", "", 0);
    }
}

EXPORT ssize_t write(int fd, const void *data, size_t len)
{
    ssize_t n;

    if (log_fd < 0) {
        return REAL(write)(fd, data, len);
    }
    enter();
    if (is_file(fd)) {
        off_t offset = lseek(fd, 0, SEEK_CUR);

        n = write_file(fd, data, len, (uint64_t)offset);
        if (n > 0) {
            (void)lseek(fd, offset + n, SEEK_SET);
        }
    } else {
        n = REAL(write)(fd, data, len);
        if (fd == promise_fd && n > 0) {
            record(EVENT_PROMISE, 0, 0, 0, "", data, (size_t)n);
        }
        sent(fd, n);
    }
    leave();
    return n;
}

static void unknown(int fd, const char *call)
{
    enter();
    if (is_file(fd)) {
        record(EVENT_UNKNOWN, fds[fd].file, 0, 0, call, "", 0);
    }
    leave();
}

/* Calls that store nothing today. One that came into use unseen would spoil the proof. */
#define UNKNOWN(result, name, parameters, arguments)                                               \
    EXPORT result name parameters                                                                  \
    {                                                                                              \
        unknown(fd, #name);                                                                        \
        return REAL(name) arguments;                                                               \
    }

UNKNOWN(ssize_t, pwritev, (int fd, const struct iovec *v, int n, off_t o), (fd, v, n, o))
UNKNOWN(ssize_t, pwritev2, (int fd, const struct iovec *v, int n, off_t o, int f), (fd, v, n, o, f))
UNKNOWN(int, fallocate, (int fd, int mode, off_t o, off_t n), (fd, mode, o, n))
UNKNOWN(int, posix_fallocate, (int fd, off_t o, off_t n), (fd, o, n))
UNKNOWN(int, sync_file_range, (int fd, off_t o, off_t n, unsigned f), (fd, o, n, f))
UNKNOWN(int, dup, (int fd), (fd))

EXPORT ssize_t writev(int fd, const struct iovec *parts, int count)
{
    ssize_t n;

    unknown(fd, "writev");
    enter();
    n = REAL(writev)(fd, parts, count);
    sent(fd, n);
    leave();
    return n;
}

#define SENDS(name, parameters, arguments)                                                         \
    EXPORT ssize_t name parameters                                                                 \
    {                                                                                              \
        ssize_t n;                                                                                 \
        enter();                                                                                   \
        n = REAL(name) arguments;                                                                  \
        sent(fd, n);                                                                               \
        leave();                                                                                   \
        return n;                                                                                  \
    }

SENDS(send, (int fd, const void *data, size_t len, int flags), (fd, data, len, flags))
SENDS(sendmsg, (int fd, const struct msghdr *message, int flags), (fd, message, flags))

EXPORT void *mmap(void *at, size_t len, int protection, int flags, int fd, off_t offset)
{
    if ((flags & MAP_SHARED) != 0 && (protection & PROT_WRITE) != 0) {
        unknown(fd, "mmap");
    }
    return REAL(mmap)(at, len, protection, flags, fd, offset);
}

EXPORT int ftruncate(int fd, off_t len)
{
    int result;

    enter();
    result = REAL(ftruncate)(fd, len);
    if (result == 0 && is_file(fd)) {
        record(EVENT_TRUNCATE, fds[fd].file, (uint64_t)len, 0, "", "", 0);
        *size_of(fds[fd].file) = (uint64_t)len;
    }
    leave();
    return result;
}

/* A sync of a file or of the folder; under the lock. */
static int sync_one(int fd)
{
    enum event_kind kind = fds[fd].kind == FD_FOLDER ? EVENT_SYNC_FOLDER : EVENT_SYNC;

    if (lies) {
        return 0;
    }
    syncs++;
    if (syncs == kill_sync) {
        (void)raise(SIGKILL);
    }
    if (syncs == fail_sync) {
        record(kind, fds[fd].file, 0, -1, "", "", 0);
        if (!retries) {
            errno = EIO;
            return -1;
        }
    }
    /* What the machine's own disk does takes no part in this. */
    record(kind, fds[fd].file, 0, 0, "", "", 0);
    return 0;
}

static int do_sync(int fd, int (*real_sync)(int))
{
    int result;

    enter();
    if (fd >= 0 && fd < FDS && (fds[fd].kind == FD_FILE || fds[fd].kind == FD_FOLDER)) {
        result = sync_one(fd);
    } else {
        result = real_sync(fd);
    }
    leave();
    return result;
}

EXPORT int fsync(int fd)
{
    return do_sync(fd, REAL(fsync));
}

EXPORT int fdatasync(int fd)
{
    return do_sync(fd, REAL(fdatasync));
}

EXPORT int unlink(const char *path)
{
    char whole[8192];
    bool watched = resolve(path, whole);
    const char *name = watched ? name_in_folder(whole) : NULL;
    struct stat status = {0};
    int result;

    enter();
    (void)lstat(path, &status);
    result = REAL(unlink)(path);
    if (result == 0 && name != NULL && !is_left_out(name)) {
        record(EVENT_UNLINK, status.st_ino, 0, 0, name, "", 0);
        *size_of(status.st_ino) = 0;
    }
    leave();
    return result;
}

EXPORT int rename(const char *from, const char *to)
{
    char whole_from[8192];
    char whole_to[8192];
    const char *name_from = resolve(from, whole_from) ? name_in_folder(whole_from) : NULL;
    const char *name_to = resolve(to, whole_to) ? name_in_folder(whole_to) : NULL;
    int result;

    enter();
    result = REAL(rename)(from, to);
    if (result == 0 && name_from != NULL && name_to != NULL) {
        record(EVENT_RENAME, 0, 0, 0, name_from, name_to, strlen(name_to));
    } else if (result == 0 && (name_from != NULL || name_to != NULL)) {
        record(EVENT_UNKNOWN, 0, 0, 0, "rename", "", 0);
    }
    leave();
    return result;
}

/* The same under the names for offsets of 64 bits, which are what off_t has here. */
#define SAME_AS(name) __attribute__((visibility("default"), alias(name)))

int open64(const char *path, int flags, ...) SAME_AS("open");
ssize_t pwrite64(int fd, const void *data, size_t len, off_t offset) SAME_AS("pwrite");
int ftruncate64(int fd, off_t len) SAME_AS("ftruncate");
int posix_fallocate64(int fd, off_t offset, off_t len) SAME_AS("posix_fallocate");
void *mmap64(void *at, size_t len, int protection, int flags, int fd, off_t offset) SAME_AS("mmap");
/* Its header has a struct of its own for the second name. */
int fstatvfs_64(int fd, struct statvfs *system) __asm__("fstatvfs64") SAME_AS("fstatvfs");
