/* See file.h. Files are opened without waiting (O_NONBLOCK has no meaning for a regular file, but
 * open(2) of a FIFO would stand still until somebody writes to it). */
#include "base/file.h"

#include <errno.h>
#include <fcntl.h>
#include <libgen.h>
#include <limits.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/error.h"
#include "base/escape.h"

#define UNKNOWN_SIZE_BYTES ((size_t)16 * 1024) /* first step where a size is not known */

/* Waits until a pipe or a terminal has something. 0, or EAGAIN when the time is over. */
static int wait_readable(int fd, int64_t deadline_ns)
{
    struct pollfd entry = {.fd = fd, .events = POLLIN};
    int ready;

    do {
        ready = poll(&entry, 1, clock_poll_ms(clock_now_ns(), deadline_ns));
    } while (ready < 0 && errno == EINTR);
    return ready > 0 ? 0 : EAGAIN;
}

/* Reads once, behind what is there. Returns 0, or an errno value; *got is 0 at the end. */
static int read_some(int fd, struct file *file, int64_t deadline_ns, size_t *got)
{
    ssize_t n;
    int failed = 0;

    *got = 0;
    if (!S_ISREG(file->status.st_mode)) {
        failed = wait_readable(fd, deadline_ns);
    }
    if (failed != 0) {
        return failed;
    }
    do {
        n = read(fd, buffer_end(&file->contents), buffer_room(&file->contents));
    } while (n < 0 && errno == EINTR);
    if (n < 0) {
        return errno;
    }
    *got = (size_t)n;
    return 0;
}

static int read_all(int fd, struct file *file, int wait_ms)
{
    struct buffer *contents = &file->contents;
    bool has_size = S_ISREG(file->status.st_mode) && file->status.st_size > 0;
    size_t step = has_size ? (size_t)file->status.st_size + 1 : UNKNOWN_SIZE_BYTES;
    /* The time is over at once with 0, never with a negative one. */
    int64_t deadline_ns = wait_ms < 0 ? 0 : clock_now_ns() + (int64_t)wait_ms * CLOCK_NS_PER_MS;
    size_t got;
    int failed;

    if (has_size && (uint64_t)file->status.st_size >= contents->limit) {
        return EFBIG;
    }
    do {
        /* The limit is a byte over the most that is taken, which tells a longer file. */
        if (contents->len == contents->limit) {
            return EFBIG;
        }
        if (step > contents->limit - contents->len) {
            step = contents->limit - contents->len;
        }
        if (buffer_room(contents) == 0 && buffer_reserve(contents, step) != TLSMSG_OK) {
            return ENOMEM;
        }
        failed = read_some(fd, file, deadline_ns, &got);
        if (failed != 0) {
            return failed;
        }
        contents->len += got;
        step = UNKNOWN_SIZE_BYTES;
    } while (got > 0);
    /* A cut file could make a known server look like a new one. */
    return has_size && contents->len < (size_t)file->status.st_size ? EIO : 0;
}

int file_read(struct file *file, const char *path, size_t max_bytes, int wait_ms)
{
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
    int failed = fd < 0 ? errno : 0;

    *file = (struct file){.path = path};
    (void)escape_name(file->name, sizeof(file->name), path);
    buffer_init(&file->contents, max_bytes + 1, BUFFER_WIPE);
    if (fd < 0) {
        return failed == ENXIO ? EOPNOTSUPP : failed; /* a socket */
    }
    if (fstat(fd, &file->status) != 0) {
        failed = errno;
    } else if (S_ISDIR(file->status.st_mode)) {
        failed = EISDIR;
    } else {
        failed = read_all(fd, file, wait_ms);
    }
    (void)close(fd);
    if (failed != 0) {
        file_fini(file);
        return failed;
    }
    *buffer_end(&file->contents) = '\0'; /* the last read had room, and found nothing */
    file->bytes = buffer_head(&file->contents);
    file->len = file->contents.len;
    return 0;
}

void file_fini(struct file *file)
{
    buffer_fini(&file->contents);
    file->bytes = NULL;
    file->len = 0;
}

int file_may_make(const char *path)
{
    char folder[PATH_MAX];

    if (snprintf(folder, sizeof(folder), "%s", path) >= (int)sizeof(folder)) {
        return ENAMETOOLONG;
    }
    return faccessat(AT_FDCWD, dirname(folder), W_OK | X_OK, AT_EACCESS) == 0 ? 0 : errno;
}

/* Whether modes alone let a file be read; or written, and replaced in its folder. */
static bool modes_allow(const char *path, bool writes)
{
    if (!writes) {
        return faccessat(AT_FDCWD, path, R_OK, AT_EACCESS) == 0;
    }
    return (faccessat(AT_FDCWD, path, W_OK, AT_EACCESS) == 0 || errno == ENOENT) &&
           file_may_make(path) == 0;
}

/* Says whose doing a denial is. Landlock is asked when a file is opened, and modes alone here. */
static void blame_access(const char *path, bool writes, struct tlsmsg_error *err)
{
    if (modes_allow(path, writes)) {
        error_append(err,
                     " (its modes allow it: a sandbox is in the way, which knows the folders of "
                     "the start; try: a restart)");
    } else {
        error_append(err, " (its modes, or a folder's on the way, keep user %u out)",
                     (unsigned)geteuid());
    }
}

enum tlsmsg_code file_error(const char *path, const char *verb, const char *what, int sys_errno,
                            struct tlsmsg_error *err)
{
    enum tlsmsg_code code = sys_errno == ENOMEM ? TLSMSG_ERR_NOMEM : TLSMSG_ERR_CONFIG;
    char name[FILE_NAME_MAX];

    (void)escape_name(name, sizeof(name), path);
    if (sys_errno == EFBIG && strcmp(verb, "read") == 0) {
        return error_set(err, code, 0, "cannot read %s '%s': it is larger than %zu MiB", what, name,
                         FILE_MAX_BYTES / (1024 * 1024));
    }
    if (sys_errno == EACCES && err != NULL) {
        error_set(err, code, sys_errno, "cannot %s %s '%s'", verb, what, name);
        blame_access(path, strcmp(verb, "read") != 0, err);
        return code;
    }
    switch (sys_errno) {
    case EMFILE:
    case ENFILE:
        return error_set(err, code, sys_errno,
                         "cannot %s %s '%s' (try: a higher LimitNOFILE= or ulimit -n)", verb, what,
                         name);
    case EAGAIN:
        return error_set(err, code, 0,
                         "cannot %s %s '%s': it is a pipe, and nothing came out of it", verb, what,
                         name);
    case EOPNOTSUPP:
        return error_set(err, code, 0, "cannot %s %s '%s': it is not a regular file", verb, what,
                         name);
    default:
        return error_set(err, code, sys_errno, "cannot %s %s '%s'", verb, what, name);
    }
}

int file_write_all(int fd, const char *data, size_t len)
{
    while (len > 0) {
        ssize_t n = write(fd, data, len);

        if (n < 0 && errno == EINTR) {
            continue;
        }
        if (n <= 0) {
            return n < 0 ? errno : EIO;
        }
        data += n;
        len -= (size_t)n;
    }
    return 0;
}

/* Looks at what is replaced. *exists tells whether there is anything. */
static int look_at_old(const char *path, const struct file_replacement *how, struct stat *old,
                       bool *exists)
{
    *exists = lstat(path, old) == 0;
    if (!*exists) {
        return errno == ENOENT ? 0 : errno;
    }
    if (S_ISDIR(old->st_mode)) {
        return EISDIR;
    }
    if (!S_ISREG(old->st_mode)) {
        return EOPNOTSUPP;
    }
    if (how->keeps_access && faccessat(AT_FDCWD, path, W_OK, AT_EACCESS) != 0) {
        return errno;
    }
    return 0;
}

/* Gives the new file its mode and owner. The owner comes first, since changing it takes away
 * special bits of the mode; one that can't be given (another user's) is a failure, for the file
 * could be out of its readers' reach afterwards. */
static int set_access(int fd, const struct file_replacement *how, const struct stat *old,
                      bool exists)
{
    bool keeps = how->keeps_access && exists;
    mode_t mode = keeps ? old->st_mode & 07777 : (mode_t)how->mode;
    struct stat now;

    if (keeps && fchown(fd, old->st_uid, old->st_gid) != 0) {
        return errno;
    }
    /* Left alone where it is right: a confined server may not change modes. */
    if (fstat(fd, &now) == 0 && (now.st_mode & 07777) == mode) {
        return 0;
    }
    return fchmod(fd, mode) == 0 ? 0 : errno;
}

static int fill(int fd, const struct file_replacement *how, const struct stat *old, bool exists,
                const char *data, size_t len)
{
    int failed = file_write_all(fd, data, len);

    if (failed == 0) {
        failed = set_access(fd, how, old, exists);
    }
    if (failed == 0 && how->syncs && fsync(fd) != 0) {
        failed = errno;
    }
    if (close(fd) != 0 && failed == 0) {
        failed = errno;
    }
    return failed;
}

static int replace(const char *path, const struct file_replacement *how, const char *data,
                   size_t len)
{
    char beside[PATH_MAX];
    struct stat old;
    bool exists;
    int failed = look_at_old(path, how, &old, &exists);
    int fd;

    if (failed != 0) {
        return failed;
    }
    if (snprintf(beside, sizeof(beside), "%s.new", path) >= (int)sizeof(beside)) {
        return ENAMETOOLONG;
    }
    /* Left behind by who was killed meanwhile, or laid there by somebody else: a link or a FIFO
     * is removed, never followed or waited for. */
    (void)unlink(beside);
    fd = open(beside, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC,
              how->keeps_access ? 0600 : how->mode);
    if (fd < 0) {
        return errno;
    }
    failed = fill(fd, how, &old, exists, data, len);
    if (failed == 0 && rename(beside, path) != 0) {
        failed = errno;
    }
    if (failed != 0) {
        (void)unlink(beside);
    }
    return failed;
}

bool file_follow(const char *path, char out[PATH_MAX])
{
    char target[PATH_MAX];
    char folder[PATH_MAX];
    ssize_t len = readlink(path, target, sizeof(target) - 1);

    if (len <= 0) {
        return false;
    }
    target[len] = '\0';
    if (target[0] == '/') {
        (void)snprintf(out, PATH_MAX, "%s", target);
        return true;
    }
    return snprintf(folder, sizeof(folder), "%s", path) < PATH_MAX &&
           snprintf(out, PATH_MAX, "%s/%s", dirname(folder), target) < PATH_MAX;
}

int file_replace(const char *path, const struct file_replacement *how, const char *data, size_t len)
{
    char places[2][PATH_MAX];
    int links = 0;

    /* Where the last link leads nowhere, a file is made there, as open(2) would. */
    while (how->follows_link && links < FILE_LINKS_MAX && file_follow(path, places[links % 2])) {
        path = places[links++ % 2];
    }
    return replace(path, how, data, len);
}

/* "UTF-16", "UTF-32", or NULL. Without a mark, letters of ASCII show it. */
static const char *find_wide(const struct file *file)
{
    const unsigned char *bytes = (const unsigned char *)file->bytes;
    unsigned char zeros = 0; /* which of the first four bytes are, from the highest bit of four */

    if (file->len >= 4) {
        for (int i = 0; i < 4; i++) {
            zeros = (unsigned char)(zeros << 1 | (bytes[i] == 0));
        }
        if (zeros == 07 || zeros == 016 || zeros == 014 ||
            (zeros == 03 && bytes[0] == 0xFF && bytes[1] == 0xFE)) {
            return "UTF-32";
        }
        if (zeros == 05 || zeros == 012) {
            return "UTF-16";
        }
    }
    return file->len >= 2 && ((bytes[0] == 0xFF && bytes[1] == 0xFE) ||
                              (bytes[0] == 0xFE && bytes[1] == 0xFF))
               ? "UTF-16"
               : NULL;
}

/* As on computers of long ago: the file would be one line. One CR at its end is that line's. */
static bool ends_lines_in_cr(const struct file *file)
{
    return file->len > 0 && memchr(file->bytes, '\r', file->len - 1) != NULL &&
           memchr(file->bytes, '\n', file->len) == NULL;
}

enum tlsmsg_code file_check_text(const struct file *file, const char *what,
                                 struct tlsmsg_error *err)
{
    const char *wide = find_wide(file);

    if (wide != NULL) {
        return error_set(err, TLSMSG_ERR_CONFIG, 0,
                         "%s '%s' is %s; try: iconv -f %s -t UTF-8 '%s' >FILE", what, file->name,
                         wide, wide, file->name);
    }
    if (memchr(file->bytes, '\0', file->len) != NULL) {
        return error_set(err, TLSMSG_ERR_CONFIG, 0, "%s '%s' is not text: it holds a zero byte",
                         what, file->name);
    }
    if (ends_lines_in_cr(file)) {
        return error_set(err, TLSMSG_ERR_CONFIG, 0,
                         "%s '%s' ends its lines in CR alone; try: tr '\\r' '\\n' <'%s' >FILE",
                         what, file->name, file->name);
    }
    return TLSMSG_OK;
}

bool file_is_blank(char c)
{
    return c == ' ' || c == '\t' || c == '\r' || c == '\f' || c == '\v';
}

bool file_lines_begin(struct file_lines *lines, struct file *file)
{
    *lines = (struct file_lines){.rest = file->bytes, .end = file->bytes + file->len};
    return memchr(file->bytes, '\0', file->len) == NULL;
}

char *file_lines_next(struct file_lines *lines)
{
    static const char mark[] = "\xEF\xBB\xBF"; /* U+FEFF */
    char *line = lines->rest;
    char *end;

    if (line == lines->end) {
        return NULL;
    }
    end = memchr(line, '\n', (size_t)(lines->end - line));
    lines->rest = end == NULL ? lines->end : end + 1;
    end = end == NULL ? lines->end : end;
    if (end > line && end[-1] == '\r') {
        end--;
    }
    *end = '\0';
    lines->number++;
    return strncmp(line, mark, sizeof(mark) - 1) == 0 ? line + sizeof(mark) - 1 : line;
}

char *file_lines_next_entry(struct file_lines *lines)
{
    char *line;

    while ((line = file_lines_next(lines)) != NULL) {
        size_t len = strlen(line);

        while (len > 0 && file_is_blank(line[len - 1])) {
            len--;
        }
        line[len] = '\0';
        if (len > 0 && line[0] != '#') {
            break;
        }
    }
    return line;
}
