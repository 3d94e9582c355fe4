/* SQLite's file: see sqlite_file.h. Everything is decided on descriptors, so that a name that
 * changes its meaning meanwhile changes nothing of what was decided. */
#include "store/sqlite_file.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <libgen.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <sys/vfs.h>
#include <unistd.h>

#include "base/decimal.h"
#include "base/error.h"
#include "base/escape.h"

#define LOCK_SUFFIX "-lock"
#define LOG_SUFFIX "-wal"
#define REWRITE_BYTES 65536

/* Of statfs(2): locks and mapped memory there are another machine's business. */
static const struct {
    uint32_t magic;
    const char *name;
} network_file_systems[] = {
    {0x6969, "NFS"},        {0xFF534D42, "CIFS"}, {0xFE534D42, "SMB2"},   {0x517B, "SMB"},
    {0x5346414F, "AFS"},    {0x6B414653, "AFS"},  {0x73757245, "Coda"},   {0x564C, "NCP"},
    {0x00C36400, "Ceph"},   {0x01021997, "9P"},   {0x0BD00BD0, "Lustre"}, {0x47504653, "GPFS"},
    {0x19830326, "BeeGFS"}, {0x01161970, "GFS2"}, {0x7461636F, "OCFS2"},
};

static const char *network_file_system(uint32_t magic)
{
    size_t i;

    for (i = 0; i < sizeof(network_file_systems) / sizeof(network_file_systems[0]); i++) {
        if (network_file_systems[i].magic == magic) {
            return network_file_systems[i].name;
        }
    }
    return NULL;
}

/* A link that somebody else planted must not lead root to a file of his choice. */
static int no_follow(void)
{
    return geteuid() == 0 ? O_NOFOLLOW : 0;
}

bool sqlite_file_lacks_room(int sys_errno)
{
    return sys_errno == ENOSPC || sys_errno == EDQUOT;
}

static enum tlsmsg_code cannot_open(const struct sqlite_file *file, int cause,
                                    struct tlsmsg_error *err)
{
    char name[NAME_MAX_SHOWN];

    if (cause == ELOOP) {
        return error_set(err, TLSMSG_ERR_CONFIG, 0,
                         "%s '%s' is a link, and root follows none (try: name the file itself)",
                         file->what, escape_name(name, sizeof(name), file->path));
    }
    if (sqlite_file_lacks_room(cause)) {
        return error_set(err, TLSMSG_ERR_SYSTEM, cause, "cannot open %s '%s' (try: make room)",
                         file->what, escape_name(name, sizeof(name), file->path));
    }
    return error_set(err, TLSMSG_ERR_CONFIG, cause, "cannot open %s '%s'", file->what,
                     escape_name(name, sizeof(name), file->path));
}

static enum tlsmsg_code judge(const struct sqlite_file *file, struct tlsmsg_error *err)
{
    char name[NAME_MAX_SHOWN];
    struct stat status;
    struct statfs system;
    const char *network;

    if (fstat(file->fd, &status) != 0 || fstatfs(file->fd, &system) != 0) {
        return cannot_open(file, errno, err);
    }
    (void)escape_name(name, sizeof(name), file->path);
    if (!S_ISREG(status.st_mode)) {
        return error_set(err, TLSMSG_ERR_CONFIG, 0, "%s '%s' is not a regular file", file->what,
                         name);
    }
    if (status.st_nlink > 1) {
        return error_set(err, TLSMSG_ERR_CONFIG, 0,
                         "%s '%s' has a second name (a hard link), under which its log would be "
                         "another one (try: a copy by tlsmsg-store backup)",
                         file->what, name);
    }
    network = network_file_system((uint32_t)system.f_type);
    if (network != NULL) {
        return error_set(err, TLSMSG_ERR_CONFIG, 0,
                         "%s '%s' is on a network file system (%s), where SQLite can't keep its "
                         "promise (try: a local disk)",
                         file->what, name, network);
    }
    return TLSMSG_OK;
}

/* The folder that path is in. */
static int open_folder(const char *path)
{
    char copy[PATH_MAX];
    size_t len = strlen(path);

    if (len >= sizeof(copy)) {
        errno = ENAMETOOLONG;
        return -1;
    }
    memcpy(copy, path, len + 1);
    return open(dirname(copy), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
}

/* Of what was opened: the name without links, and the folder that this one is in. */
static enum tlsmsg_code find_place(struct sqlite_file *file, struct tlsmsg_error *err)
{
    file->real = realpath(file->path, NULL);
    if (file->real == NULL) {
        return cannot_open(file, errno, err);
    }
    (void)close(file->folder_fd);
    file->folder_fd = open_folder(file->real);
    return file->folder_fd < 0 ? cannot_open(file, errno, err) : TLSMSG_OK;
}

enum tlsmsg_code sqlite_file_open(struct sqlite_file *file, const char *path, const char *what,
                                  bool create, struct tlsmsg_error *err)
{
    /* Neither a pipe nor a terminal may hold us or become ours before it is judged. */
    int flags = O_RDWR | O_CLOEXEC | O_NONBLOCK | O_NOCTTY | no_follow() | (create ? O_CREAT : 0);
    enum tlsmsg_code code;

    *file = SQLITE_FILE_CLOSED;
    file->path = path;
    file->what = what;
    file->folder_fd = open_folder(path);
    file->fd = file->folder_fd < 0 ? -1 : open(path, flags, 0600);
    code = file->fd < 0 ? cannot_open(file, errno, err) : judge(file, err);
    if (code == TLSMSG_OK) {
        code = find_place(file, err);
    }
    if (code != TLSMSG_OK) {
        sqlite_file_close(file);
    }
    return code;
}

enum tlsmsg_code sqlite_file_expect_own(const struct sqlite_file *file, struct tlsmsg_error *err)
{
    char name[NAME_MAX_SHOWN];
    struct stat status;

    if (fstat(file->fd, &status) == 0 && status.st_uid == geteuid()) {
        return TLSMSG_OK;
    }
    return error_set(err, TLSMSG_ERR_CONFIG, 0,
                     "'%s' is another user's file (try: a file of your own)",
                     escape_name(name, sizeof(name), file->path));
}

/* Who has the lock. */
static enum tlsmsg_code tell_owner(const struct sqlite_file *file, int fd, struct tlsmsg_error *err)
{
    char name[NAME_MAX_SHOWN];
    char text[32];
    ssize_t got = pread(fd, text, sizeof(text), 0);
    uint64_t pid = 0;

    if (got > 0) {
        (void)decimal_digits(text, (size_t)got, &pid);
    }
    (void)escape_name(name, sizeof(name), file->path);
    if (pid > 0) {
        return error_set(err, TLSMSG_ERR_SYSTEM, 0, "%s '%s' is in use by process %" PRIu64,
                         file->what, name, pid);
    }
    return error_set(err, TLSMSG_ERR_SYSTEM, 0, "%s '%s' is in use by another process", file->what,
                     name);
}

enum tlsmsg_code sqlite_file_lock(struct sqlite_file *file, struct tlsmsg_error *err)
{
    char name[NAME_MAX_SHOWN];
    char path[PATH_MAX];
    char pid[32];
    struct stat status;
    int n = snprintf(path, sizeof(path), "%s" LOCK_SUFFIX, file->real);
    int len = snprintf(pid, sizeof(pid), "%ld\n", (long)getpid());
    int fd;

    if (n < 0 || (size_t)n >= sizeof(path)) {
        return cannot_open(file, ENAMETOOLONG, err);
    }
    fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC | O_NONBLOCK | O_NOCTTY | O_NOFOLLOW, 0600);
    if (fd < 0 || fstat(fd, &status) != 0 || !S_ISREG(status.st_mode)) {
        int cause = fd < 0 ? errno : 0;
        bool is_full = sqlite_file_lacks_room(cause);
        enum tlsmsg_code code =
            error_set(err, is_full ? TLSMSG_ERR_SYSTEM : TLSMSG_ERR_CONFIG, cause,
                      "'%s' can't be the %s's lock%s", escape_name(name, sizeof(name), path),
                      file->what, is_full ? " (try: make room)" : "");

        if (fd >= 0) {
            (void)close(fd);
        }
        return code;
    }
    if (flock(fd, LOCK_EX | LOCK_NB) != 0) {
        enum tlsmsg_code code = errno == EWOULDBLOCK
                                    ? tell_owner(file, fd, err)
                                    : error_set(err, TLSMSG_ERR_SYSTEM, errno, "cannot lock '%s'",
                                                escape_name(name, sizeof(name), path));

        (void)close(fd);
        return code;
    }
    /* The number is for people: a full disk, which may refuse it, must not keep the store shut. Of
     * an older number nothing is left over in any case. */
    if (ftruncate(fd, 0) == 0 && pwrite(fd, pid, (size_t)len, 0) != len && ftruncate(fd, 0) != 0) {
        (void)close(fd);
        return error_set(err, TLSMSG_ERR_SYSTEM, errno, "cannot write '%s'",
                         escape_name(name, sizeof(name), path));
    }
    file->lock_fd = fd;
    return TLSMSG_OK;
}

bool sqlite_file_is_same(const struct sqlite_file *file)
{
    struct stat ours;
    struct stat named;

    return fstat(file->fd, &ours) == 0 && stat(file->real, &named) == 0 &&
           ours.st_dev == named.st_dev && ours.st_ino == named.st_ino;
}

static bool stat_log(const struct sqlite_file *file, struct stat *status)
{
    char path[PATH_MAX];
    int n = snprintf(path, sizeof(path), "%s" LOG_SUFFIX, file->real);

    return n > 0 && (size_t)n < sizeof(path) && stat(path, status) == 0;
}

void sqlite_file_note_log(struct sqlite_file *file)
{
    struct stat status;

    file->has_log = stat_log(file, &status);
    if (file->has_log) {
        file->log_device = status.st_dev;
        file->log_inode = status.st_ino;
    }
}

enum tlsmsg_code sqlite_file_in_place(const struct sqlite_file *file, struct tlsmsg_error *err)
{
    char name[NAME_MAX_SHOWN];
    struct stat log;

    if (sqlite_file_is_same(file) &&
        (!file->has_log || (stat_log(file, &log) && log.st_dev == file->log_device &&
                            log.st_ino == file->log_inode))) {
        return TLSMSG_OK;
    }
    return error_set(err, TLSMSG_ERR_SYSTEM, 0,
                     "%s '%s' or its log was removed, moved or replaced while it is in use (try: "
                     "stop the program that uses it first)",
                     file->what, escape_name(name, sizeof(name), file->path));
}

enum tlsmsg_code sqlite_file_sync_folder(const struct sqlite_file *file, struct tlsmsg_error *err)
{
    char name[NAME_MAX_SHOWN];

    if (fsync(file->folder_fd) != 0) {
        return error_set(err, TLSMSG_ERR_SYSTEM, errno, "cannot sync the folder of %s '%s'",
                         file->what, escape_name(name, sizeof(name), file->path));
    }
    return TLSMSG_OK;
}

static int rewrite_log(int fd)
{
    char block[REWRITE_BYTES];
    off_t at = 0;
    ssize_t got;

    while ((got = pread(fd, block, sizeof(block), at)) > 0) {
        ssize_t put = pwrite(fd, block, (size_t)got, at);

        if (put != got) {
            return put < 0 ? errno : EIO;
        }
        at += got;
    }
    return got < 0 || fsync(fd) != 0 ? errno : 0;
}

enum tlsmsg_code sqlite_file_rewrite_log(const struct sqlite_file *file, struct tlsmsg_error *err)
{
    char name[NAME_MAX_SHOWN];
    char path[PATH_MAX];
    int n = snprintf(path, sizeof(path), "%s" LOG_SUFFIX, file->real);
    int fd = n < 0 || (size_t)n >= sizeof(path) ? -1 : open(path, O_RDWR | O_CLOEXEC | O_NOFOLLOW);
    int cause;

    if (fd < 0 && errno == ENOENT) {
        return TLSMSG_OK;
    }
    cause = fd < 0 ? errno : rewrite_log(fd);
    if (fd >= 0) {
        (void)close(fd);
    }
    if (cause != 0) {
        return error_set(err, TLSMSG_ERR_SYSTEM, cause, "cannot recover %s '%s'", file->what,
                         escape_name(name, sizeof(name), file->path));
    }
    return TLSMSG_OK;
}

void sqlite_file_close(struct sqlite_file *file)
{
    const int fds[] = {file->fd, file->folder_fd, file->lock_fd};
    size_t i;

    for (i = 0; i < sizeof(fds) / sizeof(fds[0]); i++) {
        if (fds[i] >= 0) {
            (void)close(fds[i]);
        }
    }
    free(file->real);
    *file = SQLITE_FILE_CLOSED;
}
