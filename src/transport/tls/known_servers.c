/* First-use records on disk. The lock is a file of its own beside the records, since the records'
 * file is replaced by a rename, which a lock on it would not survive. */
#include "transport/tls/known_servers.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/error.h"
#include "base/escape.h"

#define FILE_MAX_BYTES (4 * 1024 * 1024)
#define LINE_MAX_BYTES 1024
#define LOCK_WAIT_MS 5000
#define LOCK_STEP_MS 20
#define SHOWN_MAX 160

struct contents {
    char *bytes; /* NUL-terminated; NULL while there is no file */
    size_t len;
};

static enum tlsmsg_code cannot(struct tlsmsg_error *err, const char *what, const char *path,
                               int sys_errno)
{
    char shown[SHOWN_MAX];

    return error_set(err, TLSMSG_ERR_CONFIG, sys_errno, "cannot %s known servers file '%s'", what,
                     escape_name(shown, sizeof(shown), path));
}

enum tlsmsg_code known_servers_default_path(char *out, size_t cap, struct tlsmsg_error *err)
{
    const char *state = getenv("XDG_STATE_HOME");
    const char *home = getenv("HOME");
    int len = -1;

    /* The base directory specification has relative values ignored. */
    if (state != NULL && state[0] == '/') {
        len = snprintf(out, cap, "%s/tlsmsg/known_servers", state);
    } else if (home != NULL && home[0] == '/') {
        len = snprintf(out, cap, "%s/.local/state/tlsmsg/known_servers", home);
    }
    if (len < 0 || (size_t)len >= cap) {
        return error_set(err, TLSMSG_ERR_CONFIG, 0,
                         "no place for first-use records: HOME is not set (--known-servers FILE "
                         "names one)");
    }
    return TLSMSG_OK;
}

static bool read_bytes(int fd, struct contents *out)
{
    struct stat info;

    if (fstat(fd, &info) != 0) {
        return false;
    }
    if (!S_ISREG(info.st_mode) || info.st_size > FILE_MAX_BYTES) {
        errno = S_ISDIR(info.st_mode) ? EISDIR : EFBIG;
        return false;
    }
    out->bytes = malloc((size_t)info.st_size + 1);
    if (out->bytes == NULL) {
        return false;
    }
    while (out->len < (size_t)info.st_size) {
        ssize_t n = read(fd, out->bytes + out->len, (size_t)info.st_size - out->len);

        if (n < 0 && errno == EINTR) {
            continue;
        }
        if (n <= 0) {
            /* A shortened file would make a known server look like a new one. */
            errno = n == 0 ? EIO : errno;
            return false;
        }
        out->len += (size_t)n;
    }
    out->bytes[out->len] = '\0';
    return true;
}

static enum tlsmsg_code read_file(const char *path, struct contents *out, struct tlsmsg_error *err)
{
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
    enum tlsmsg_code code = TLSMSG_OK;

    *out = (struct contents){0};
    if (fd < 0) {
        return errno == ENOENT ? TLSMSG_OK : cannot(err, "read", path, errno);
    }
    if (!read_bytes(fd, out)) {
        code = cannot(err, "read", path, errno);
    }
    (void)close(fd);
    return code;
}

static bool is_date(const char *text)
{
    static const char form[] = "dddd-dd-dd";

    for (size_t i = 0; i < sizeof(form); i++) {
        bool fits = form[i] == 'd' ? text[i] >= '0' && text[i] <= '9' : text[i] == form[i];

        if (!fits) {
            return false;
        }
    }
    return true;
}

/* Takes one line apart; false where it is not a record. */
static bool parse_line(char *line, char **server, struct known_record *record)
{
    char *pin;
    char *date;

    *server = line;
    pin = strchr(line, ' ');
    date = pin == NULL ? NULL : strchr(pin + 1, ' ');
    if (date == NULL || pin == line || strchr(line, ':') == NULL) {
        return false;
    }
    *pin++ = '\0';
    *date++ = '\0';
    if (!pin_is_valid(pin) || !is_date(date)) {
        return false;
    }
    (void)snprintf(record->pin.text, sizeof(record->pin.text), "%s", pin);
    (void)snprintf(record->date, sizeof(record->date), "%s", date);
    return true;
}

static enum tlsmsg_code search(char *bytes, const char *path, const char *server,
                               const struct pin *pin, enum known_answer *answer,
                               struct known_record *record, struct tlsmsg_error *err)
{
    char shown[SHOWN_MAX];
    char *rest = bytes;
    char *line;
    int number = 0;

    while ((line = strsep(&rest, "\n")) != NULL) {
        struct known_record found;
        char *who;

        number++;
        if (line[0] == '\0' || line[0] == '#') {
            continue;
        }
        if (!parse_line(line, &who, &found)) {
            return error_set(err, TLSMSG_ERR_CONFIG, 0,
                             "known servers file '%s', line %d: not 'host:port sha256//... "
                             "YYYY-MM-DD' (mend or remove the line)",
                             escape_name(shown, sizeof(shown), path), number);
        }
        if (strcasecmp(who, server) != 0 || *answer == KNOWN_SAME) {
            continue;
        }
        *answer = pin_equal(&found.pin, pin) ? KNOWN_SAME : KNOWN_OTHER;
        *record = found;
    }
    return TLSMSG_OK;
}

static enum tlsmsg_code find_in(const struct contents *contents, const char *path,
                                const char *server, const struct pin *pin,
                                enum known_answer *answer, struct known_record *record,
                                struct tlsmsg_error *err)
{
    char *copy;
    enum tlsmsg_code code;

    *answer = KNOWN_NOT;
    if (contents->bytes == NULL) {
        return TLSMSG_OK;
    }
    copy = strdup(contents->bytes);
    if (copy == NULL || strlen(copy) != contents->len) {
        free(copy);
        return cannot(err, "read", path, copy == NULL ? ENOMEM : EILSEQ);
    }
    code = search(copy, path, server, pin, answer, record, err);
    free(copy);
    return code;
}

enum tlsmsg_code known_servers_find(const char *path, const char *server, const struct pin *pin,
                                    enum known_answer *answer, struct known_record *record,
                                    struct tlsmsg_error *err)
{
    struct contents contents;
    enum tlsmsg_code code = read_file(path, &contents, err);

    if (code == TLSMSG_OK) {
        code = find_in(&contents, path, server, pin, answer, record, err);
    }
    free(contents.bytes);
    return code;
}

/* Makes the folders above a path, for the user alone. What fails shows when the file is opened. */
static void make_folders(const char *path)
{
    char folder[PATH_MAX];

    if (snprintf(folder, sizeof(folder), "%s", path) >= (int)sizeof(folder)) {
        return;
    }
    for (char *at = folder + 1; *at != '\0'; at++) {
        if (*at == '/') {
            *at = '\0';
            (void)mkdir(folder, 0700);
            *at = '/';
        }
    }
}

/* Opens and locks the lock file; -1 with errno. */
static int lock(const char *path)
{
    char name[PATH_MAX];
    const struct timespec step = {.tv_nsec = LOCK_STEP_MS * (long)CLOCK_NS_PER_MS};
    int fd;

    if (snprintf(name, sizeof(name), "%s.lock", path) >= (int)sizeof(name)) {
        errno = ENAMETOOLONG;
        return -1;
    }
    fd = open(name, O_WRONLY | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);
    for (int waited = 0; fd >= 0 && flock(fd, LOCK_EX | LOCK_NB) != 0; waited += LOCK_STEP_MS) {
        if (errno != EWOULDBLOCK || waited >= LOCK_WAIT_MS) {
            int saved = errno;

            (void)close(fd);
            errno = saved;
            return -1;
        }
        (void)nanosleep(&step, NULL);
    }
    return fd;
}

static bool write_all(int fd, const char *data, size_t len)
{
    while (len > 0) {
        ssize_t n = write(fd, data, len);

        if (n < 0 && errno == EINTR) {
            continue;
        }
        if (n <= 0) {
            return false;
        }
        data += n;
        len -= (size_t)n;
    }
    return true;
}

/* Writes the old lines and the new one beside the file and renames. */
static bool replace(const char *path, const struct contents *old, const char *line)
{
    char name[PATH_MAX];
    bool needs_end = old->len > 0 && old->bytes[old->len - 1] != '\n';
    bool ok;
    int fd;

    if (snprintf(name, sizeof(name), "%s.new", path) >= (int)sizeof(name)) {
        errno = ENAMETOOLONG;
        return false;
    }
    /* One that a killed client left behind is in nobody's use: we hold the lock. */
    (void)unlink(name);
    fd = open(name, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, 0600);
    if (fd < 0) {
        return false;
    }
    ok = (old->len == 0 || write_all(fd, old->bytes, old->len)) &&
         (!needs_end || write_all(fd, "\n", 1)) && write_all(fd, line, strlen(line)) &&
         fsync(fd) == 0;
    ok = close(fd) == 0 && ok && rename(name, path) == 0;
    if (!ok) {
        int saved = errno;

        (void)unlink(name);
        errno = saved;
    }
    return ok;
}

static enum tlsmsg_code add_locked(const char *path, const char *server, const struct pin *pin,
                                   struct tlsmsg_error *err)
{
    struct contents contents;
    struct known_record record;
    enum known_answer answer = KNOWN_NOT;
    char line[LINE_MAX_BYTES];
    char today[40];
    enum tlsmsg_code code = read_file(path, &contents, err);

    if (code == TLSMSG_OK) {
        code = find_in(&contents, path, server, pin, &answer, &record, err);
    }
    clock_print_wall(today, sizeof(today));
    if (code == TLSMSG_OK && answer == KNOWN_OTHER) {
        code = error_set(err, TLSMSG_ERR_UNTRUSTED, 0,
                         "server '%s' was recorded with another key meanwhile: recorded %s, shown "
                         "%s",
                         server, record.pin.text, pin->text);
    } else if (code == TLSMSG_OK && answer == KNOWN_NOT) {
        if (snprintf(line, sizeof(line), "%s %s %.10s\n", server, pin->text, today) >=
            (int)sizeof(line)) {
            code = cannot(err, "write", path, ENAMETOOLONG);
        } else if (!replace(path, &contents, line)) {
            code = cannot(err, "write", path, errno);
        }
    }
    free(contents.bytes);
    return code;
}

enum tlsmsg_code known_servers_add(const char *path, const char *server, const struct pin *pin,
                                   struct tlsmsg_error *err)
{
    enum tlsmsg_code code;
    int fd;

    make_folders(path);
    fd = lock(path);
    if (fd < 0) {
        return cannot(err, "lock", path, errno);
    }
    code = add_locked(path, server, pin, err);
    (void)close(fd);
    return code;
}
