/* See system_faults.h. */
#include "support/system_faults.h"

#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <sys/vfs.h>
#include <unistd.h>

static struct {
    unsigned nth[SYSTEM_CALLS]; /* 0: none */
    int sys_errno[SYSTEM_CALLS];
    uint32_t file_system;
} plan;

int __wrap_open(const char *path, int flags, ...);
int __real_open(const char *path, int flags, ...);
int __wrap_open64(const char *path, int flags, ...);
int __wrap_fstat(int fd, struct stat *out);
int __real_fstat(int fd, struct stat *out);
int __wrap_fstat64(int fd, struct stat *out);
int __wrap_fstatfs(int fd, struct statfs *out);
int __real_fstatfs(int fd, struct statfs *out);
int __wrap_fstatfs64(int fd, struct statfs *out);
char *__wrap_realpath(const char *path, char *out);
char *__real_realpath(const char *path, char *out);
int __wrap_flock(int fd, int operation);
int __real_flock(int fd, int operation);
int __wrap_ftruncate(int fd, off_t len);
int __real_ftruncate(int fd, off_t len);
int __wrap_ftruncate64(int fd, off_t len);
ssize_t __wrap_pread(int fd, void *bytes, size_t len, off_t at);
ssize_t __real_pread(int fd, void *bytes, size_t len, off_t at);
ssize_t __wrap_pread64(int fd, void *bytes, size_t len, off_t at);
ssize_t __wrap_pwrite(int fd, const void *bytes, size_t len, off_t at);
ssize_t __real_pwrite(int fd, const void *bytes, size_t len, off_t at);
ssize_t __wrap_pwrite64(int fd, const void *bytes, size_t len, off_t at);
int __wrap_fsync(int fd);
int __real_fsync(int fd);
int __wrap_getentropy(void *bytes, size_t len);
int __real_getentropy(void *bytes, size_t len);

void system_faults_end(void)
{
    memset(&plan, 0, sizeof(plan));
}

void system_fault_at(enum system_call call, unsigned nth, int sys_errno)
{
    plan.nth[call] = nth;
    plan.sys_errno[call] = sys_errno;
}

unsigned system_fault_left(enum system_call call)
{
    return plan.nth[call];
}

void system_file_system(uint32_t magic)
{
    plan.file_system = magic;
}

static bool fails(enum system_call call)
{
    if (plan.nth[call] == 0 || --plan.nth[call] > 0) {
        return false;
    }
    errno = plan.sys_errno[call];
    return true;
}

static int open_as_planned(const char *path, int flags, va_list more)
{
    mode_t mode = (flags & O_CREAT) != 0 ? va_arg(more, mode_t) : 0;

    return fails(SYSTEM_OPEN) ? -1 : __real_open(path, flags, mode);
}

int __wrap_open(const char *path, int flags, ...)
{
    va_list more;
    int fd;

    va_start(more, flags);
    fd = open_as_planned(path, flags, more);
    va_end(more);
    return fd;
}

int __wrap_open64(const char *path, int flags, ...)
{
    va_list more;
    int fd;

    va_start(more, flags);
    fd = open_as_planned(path, flags, more);
    va_end(more);
    return fd;
}

int __wrap_fstat(int fd, struct stat *out)
{
    return fails(SYSTEM_FSTAT) ? -1 : __real_fstat(fd, out);
}

int __wrap_fstat64(int fd, struct stat *out)
{
    return __wrap_fstat(fd, out);
}

int __wrap_fstatfs(int fd, struct statfs *out)
{
    int result = fails(SYSTEM_FSTATFS) ? -1 : __real_fstatfs(fd, out);

    if (result == 0 && plan.file_system != 0) {
        out->f_type = plan.file_system;
    }
    return result;
}

int __wrap_fstatfs64(int fd, struct statfs *out)
{
    return __wrap_fstatfs(fd, out);
}

char *__wrap_realpath(const char *path, char *out)
{
    return fails(SYSTEM_REALPATH) ? NULL : __real_realpath(path, out);
}

int __wrap_flock(int fd, int operation)
{
    return fails(SYSTEM_FLOCK) ? -1 : __real_flock(fd, operation);
}

int __wrap_ftruncate(int fd, off_t len)
{
    return fails(SYSTEM_FTRUNCATE) ? -1 : __real_ftruncate(fd, len);
}

int __wrap_ftruncate64(int fd, off_t len)
{
    return __wrap_ftruncate(fd, len);
}

ssize_t __wrap_pread(int fd, void *bytes, size_t len, off_t at)
{
    return fails(SYSTEM_PREAD) ? -1 : __real_pread(fd, bytes, len, at);
}

ssize_t __wrap_pread64(int fd, void *bytes, size_t len, off_t at)
{
    return __wrap_pread(fd, bytes, len, at);
}

ssize_t __wrap_pwrite(int fd, const void *bytes, size_t len, off_t at)
{
    if (fails(SYSTEM_PWRITE)) {
        return errno == 0 ? __real_pwrite(fd, bytes, len - 1, at) : -1;
    }
    return __real_pwrite(fd, bytes, len, at);
}

ssize_t __wrap_pwrite64(int fd, const void *bytes, size_t len, off_t at)
{
    return __wrap_pwrite(fd, bytes, len, at);
}

int __wrap_fsync(int fd)
{
    return fails(SYSTEM_FSYNC) ? -1 : __real_fsync(fd);
}

int __wrap_getentropy(void *bytes, size_t len)
{
    return fails(SYSTEM_GETENTROPY) ? -1 : __real_getentropy(bytes, len);
}
