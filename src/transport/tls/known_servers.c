/* Pins, and the file of first-use records. Pins are compared as text, since the base64 of 32 bytes
 * has one form only, and nothing about a pin is secret.
 *
 * The lock is a file of its own beside the records, since the records' file is replaced by a
 * rename, which a lock on it would not survive. */
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

#include <openssl/evp.h>

#include "base/clock.h"
#include "base/error.h"
#include "base/escape.h"
#include "base/file.h"
#include "base/tools.h"
#include "transport/tls/errors.h"
#include "transport/tls/x509_text.h"

#define PREFIX "sha256//"
#define PIN_BYTES 32
#define BASE64_LEN 44 /* of a digest */
#define WHAT "known servers file"
#define LINE_MAX_BYTES 1024
#define LOCK_WAIT_MS 5000
#define LOCK_STEP_MS 20

bool pin_is_valid(const char *text)
{
    const char *base64 = text + strlen(PREFIX);
    unsigned char bytes[BASE64_LEN] = {0};
    unsigned char again[BASE64_LEN + 1];

    if (strncmp(text, PREFIX, strlen(PREFIX)) != 0 || strlen(base64) != BASE64_LEN) {
        return false;
    }
    /* EVP_DecodeBlock(3) also takes blanks around it, other letters in place of '=' and bits that
     * mean nothing. What it gives has one form alone, which is compared, and which no text has that
     * it can't read. */
    (void)EVP_DecodeBlock(bytes, (const unsigned char *)base64, BASE64_LEN);
    tls_error_begin();
    (void)EVP_EncodeBlock(again, bytes, PIN_BYTES);
    return strcmp((const char *)again, base64) == 0;
}

enum tlsmsg_code pin_parse(const char *text, struct pin *out, struct tlsmsg_error *err)
{
    char shown[96];

    if (!pin_is_valid(text)) {
        return error_set(err, TLSMSG_ERR_CONFIG, 0,
                         "'%s' is not a pin: --pin wants sha256// and the base64 of 32 bytes, as "
                         "%s show prints it",
                         escape_name(shown, sizeof(shown), text), tools()->certs);
    }
    (void)snprintf(out->text, sizeof(out->text), "%s", text);
    return TLSMSG_OK;
}

bool pin_of(X509 *cert, struct pin *out)
{
    x509_text_pin(cert, out->text);
    return pin_is_valid(out->text);
}

bool pin_equal(const struct pin *a, const struct pin *b)
{
    return strcmp(a->text, b->text) == 0;
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

/* A file that isn't there is empty, with bytes NULL. */
static enum tlsmsg_code read_records(const char *path, struct file *out, struct tlsmsg_error *err)
{
    int failed = file_read(out, path, FILE_MAX_BYTES, 0);

    return failed == 0 || failed == ENOENT ? TLSMSG_OK
                                           : file_error(path, "read", WHAT, failed, err);
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

/* As this client writes it: another form, by hand or as ssh has it, would never match. */
static bool is_port(const char *text)
{
    size_t digits = strspn(text, "0123456789");

    return digits > 0 && digits <= 5 && text[digits] == '\0' && text[0] != '0' &&
           strtol(text, NULL, 10) <= 65535;
}

/* "host:port" in visible letters: what is not, or never matches, would make a known server look like
 * a new one. */
static bool is_server(const char *text)
{
    const char *colon = strrchr(text, ':');
    size_t len = colon != NULL ? (size_t)(colon - text) : 0;
    bool in_brackets = len > 2 && text[0] == '[' && text[len - 1] == ']';

    for (size_t i = 0; i < len; i++) {
        if (text[i] <= ' ' || text[i] > '~' || strchr(",*|/@#\"'\\?", text[i]) != NULL ||
            (!in_brackets && strchr(":[]", text[i]) != NULL)) {
            return false;
        }
    }
    return len > 0 && is_port(colon + 1);
}

/* Names compare without case and without the dot at their end, which DNS has and people leave out. */
static bool is_same_server(const char *a, const char *b)
{
    const char *port_a = strrchr(a, ':');
    const char *port_b = strrchr(b, ':');
    size_t len_a = port_a != NULL ? (size_t)(port_a - a) : 0;
    size_t len_b = port_b != NULL ? (size_t)(port_b - b) : 0;

    len_a -= len_a > 1 && a[len_a - 1] == '.';
    len_b -= len_b > 1 && b[len_b - 1] == '.';
    return len_a > 0 && len_a == len_b && strncasecmp(a, b, len_a) == 0 &&
           strcmp(port_a, port_b) == 0;
}

/* Takes one line apart; false where it is not a record. */
static bool parse_line(char *line, char **server, struct known_record *record)
{
    char *pin;
    char *date;

    *server = line;
    pin = strchr(line, ' ');
    date = pin == NULL ? NULL : strchr(pin + 1, ' ');
    if (date == NULL || pin == line) {
        return false;
    }
    *pin++ = '\0';
    *date++ = '\0';
    if (!is_server(line) || !pin_is_valid(pin) || !is_date(date)) {
        return false;
    }
    (void)snprintf(record->pin.text, sizeof(record->pin.text), "%s", pin);
    (void)snprintf(record->date, sizeof(record->date), "%s", date);
    return true;
}

/* Looks a server up in the file's bytes, which it cuts into lines. */
static enum tlsmsg_code search(struct file *file, const char *server, const struct pin *pin,
                               enum known_answer *answer, struct known_record *record,
                               struct tlsmsg_error *err)
{
    struct file_lines lines;
    char *line;

    *answer = KNOWN_NOT;
    if (file->bytes == NULL) {
        return TLSMSG_OK;
    }
    if (file_check_text(file, WHAT, err) != TLSMSG_OK) {
        return TLSMSG_ERR_CONFIG;
    }
    (void)file_lines_begin(&lines, file);
    while ((line = file_lines_next_entry(&lines)) != NULL) {
        struct known_record found;
        char *who;

        if (!parse_line(line, &who, &found)) {
            return error_set(
                err, TLSMSG_ERR_CONFIG, 0,
                "known servers file '%s', line %u: not 'host:port sha256//... "
                "YYYY-MM-DD'; try: mend the line (without it, its server would be a new one)",
                file->name, lines.number);
        }
        if (!is_same_server(who, server) || *answer == KNOWN_SAME) {
            continue;
        }
        *answer = pin_equal(&found.pin, pin) ? KNOWN_SAME : KNOWN_OTHER;
        *record = found;
    }
    return TLSMSG_OK;
}

enum tlsmsg_code known_servers_find(const char *path, const char *server, const struct pin *pin,
                                    enum known_answer *answer, struct known_record *record,
                                    struct tlsmsg_error *err)
{
    struct file file;
    enum tlsmsg_code code = read_records(path, &file, err);

    if (code == TLSMSG_OK) {
        code = search(&file, server, pin, answer, record, err);
    }
    file_fini(&file);
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

/* Writes the lines that there are, and a new one behind them. */
static enum tlsmsg_code append_line(const char *path, const char *line, struct tlsmsg_error *err)
{
    const struct file_replacement how = {.mode = 0600, .follows_link = true, .syncs = true};
    struct buffer contents;
    struct file file;
    char shown[FILE_NAME_MAX];
    struct stat info;
    enum tlsmsg_code code;
    int failed = 0;

    /* Nobody may write it, root included: so it is meant. A rename would not ask. */
    if (stat(path, &info) == 0 && (info.st_mode & 0222) == 0) {
        return error_set(err, TLSMSG_ERR_CONFIG, 0,
                         "cannot write " WHAT " '%s': its mode lets nobody; try: chmod 600",
                         escape_name(shown, sizeof(shown), path));
    }
    code = read_records(path, &file, err);
    if (code != TLSMSG_OK) {
        return code;
    }
    buffer_init(&contents, SIZE_MAX, 0);
    if (buffer_append(&contents, file.bytes, file.len) != TLSMSG_OK ||
        (file.len > 0 && file.bytes[file.len - 1] != '\n' &&
         buffer_append(&contents, "\n", 1) != TLSMSG_OK) ||
        buffer_append(&contents, line, strlen(line)) != TLSMSG_OK) {
        failed = ENOMEM;
    } else {
        failed = file_replace(path, &how, buffer_head(&contents), contents.len);
    }
    buffer_fini(&contents);
    file_fini(&file);
    return failed == 0 ? TLSMSG_OK : file_error(path, "write", WHAT, failed, err);
}

static enum tlsmsg_code add_locked(const char *path, const char *server, const struct pin *pin,
                                   struct tlsmsg_error *err)
{
    struct known_record record;
    enum known_answer answer;
    char line[LINE_MAX_BYTES];
    char today[40];
    enum tlsmsg_code code = known_servers_find(path, server, pin, &answer, &record, err);

    if (code != TLSMSG_OK || answer == KNOWN_SAME) {
        return code;
    }
    if (answer == KNOWN_OTHER) {
        return error_set(err, TLSMSG_ERR_UNTRUSTED, 0,
                         "server '%s' was recorded with another key meanwhile: recorded %s, shown "
                         "%s",
                         server, record.pin.text, pin->text);
    }
    clock_print_wall(today, sizeof(today));
    if (snprintf(line, sizeof(line), "%s %s %.10s\n", server, pin->text, today) >=
        (int)sizeof(line)) {
        return file_error(path, "write", WHAT, ENAMETOOLONG, err);
    }
    return append_line(path, line, err);
}

enum tlsmsg_code known_servers_add(const char *path, const char *server, const struct pin *pin,
                                   struct tlsmsg_error *err)
{
    enum tlsmsg_code code;
    int fd;

    make_folders(path);
    fd = lock(path);
    if (fd < 0) {
        char shown[FILE_NAME_MAX];

        return error_set(err, TLSMSG_ERR_CONFIG, errno, "cannot lock " WHAT " '%s'",
                         escape_name(shown, sizeof(shown), path));
    }
    code = add_locked(path, server, pin, err);
    (void)close(fd);
    return code;
}
