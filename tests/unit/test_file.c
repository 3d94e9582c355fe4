/* Files: read whole or refused, replaced whole or left alone, and lines as editors leave them. */
#include "support/unit.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/file.h"
#include "support/failmalloc.h"
#include "support/test_folder.h"

static struct test_folder folder;
static char path[TEST_PATH_MAX];

static int set_up(void **state)
{
    (void)state;
    test_folder_make(&folder);
    (void)test_folder_file(&folder, "file", path);
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    test_folder_remove(&folder);
    return 0;
}

static void write_file(const char *name, const char *data, size_t len)
{
    int fd = open(name, O_WRONLY | O_CREAT | O_TRUNC, 0600);

    assert_true(fd >= 0);
    assert_int_equal(file_write_all(fd, data, len), 0);
    assert_int_equal(close(fd), 0);
}

static void assert_contents(const char *name, const char *want)
{
    struct file file;

    assert_int_equal(file_read(&file, name, FILE_MAX_BYTES, 0), 0);
    assert_int_equal(file.len, strlen(want));
    assert_string_equal(file.bytes, want);
    file_fini(&file);
}

/* What reads meet, instead of the kernel's answer; see the linker's --wrap. */
static enum { READ_AS_IT_IS, READ_INTERRUPTED, READ_ENDS_EARLY, READ_FAILS } reading;

ssize_t __real_read(int fd, void *buf, size_t len);
ssize_t __wrap_read(int fd, void *buf, size_t len);
ssize_t __wrap___read_chk(int fd, void *buf, size_t len, size_t cap);

ssize_t __wrap_read(int fd, void *buf, size_t len)
{
    switch (reading) {
    case READ_INTERRUPTED:
        reading = READ_AS_IT_IS;
        errno = EINTR;
        return -1;
    case READ_ENDS_EARLY:
        return 0;
    case READ_FAILS:
        errno = EIO;
        return -1;
    case READ_AS_IT_IS:
        break;
    }
    return __real_read(fd, buf, len);
}

ssize_t __wrap___read_chk(int fd, void *buf, size_t len, size_t cap)
{
    (void)cap;
    return __wrap_read(fd, buf, len);
}

static void test_read_whole(void **state)
{
    struct file file;

    (void)state;
    write_file(path, "one\0two", 7);
    reading = READ_INTERRUPTED;
    assert_int_equal(file_read(&file, path, 7, 0), 0);
    assert_int_equal(reading, READ_AS_IT_IS);
    assert_int_equal(file.len, 7);
    assert_memory_equal(file.bytes, "one\0two\0", 8);
    assert_string_equal(file.name, path);
    assert_int_equal(file.status.st_mode & 0777, 0600);
    file_fini(&file);
    assert_null(file.bytes);

    write_file(path, "", 0);
    assert_int_equal(file_read(&file, path, 7, 0), 0);
    assert_int_equal(file.len, 0);
    assert_string_equal(file.bytes, "");
    file_fini(&file);
}

/* Names no size, as all of /proc. */
static void test_file_without_a_size(void **state)
{
    struct file file;

    (void)state;
    assert_int_equal(file_read(&file, "/proc/self/status", FILE_MAX_BYTES, 0), 0);
    assert_memory_equal(file.bytes, "Name:", 5);
    assert_int_equal(strlen(file.bytes), file.len);
    file_fini(&file);
    assert_int_equal(file_read(&file, "/proc/self/status", 10, 0), EFBIG);
    file_fini(&file);
}

static void test_refused(void **state)
{
    struct file file;

    (void)state;
    assert_int_equal(file_read(&file, path, 100, 0), ENOENT);
    file_fini(&file);
    assert_int_equal(file_read(&file, folder.path, 100, 0), EISDIR);
    file_fini(&file);
    write_file(path, "12345678", 8);
    assert_int_equal(file_read(&file, path, 7, 0), EFBIG);
    assert_null(file.bytes);
    file_fini(&file);
    reading = READ_ENDS_EARLY;
    assert_int_equal(file_read(&file, path, 8, 0), EIO);
    file_fini(&file);
    reading = READ_FAILS;
    assert_int_equal(file_read(&file, path, 8, 0), EIO);
    reading = READ_AS_IT_IS;
    file_fini(&file);
}

static void test_fifo_without_a_writer(void **state)
{
    static const int waits_ms[] = {0, 30};
    struct file file;

    (void)state;
    assert_int_equal(mkfifo(path, 0600), 0);
    for (size_t i = 0; i < COUNT_OF(waits_ms); i++) {
        int64_t before_ns = clock_now_ns();

        assert_int_equal(file_read(&file, path, 100, waits_ms[i]), EAGAIN);
        file_fini(&file);
        assert_true(clock_now_ns() - before_ns >= waits_ms[i] * (int64_t)CLOCK_NS_PER_MS);
    }
}

/* More than a pipe holds, so that the writer and the reader wait for each other. */
static void test_fifo_with_a_writer(void **state)
{
    enum { LEN = 300000 };
    static char data[LEN];
    struct file file;
    pid_t writer;
    int status;

    (void)state;
    memset(data, 'x', sizeof(data));
    assert_int_equal(mkfifo(path, 0600), 0);
    writer = fork();
    assert_true(writer >= 0);
    if (writer == 0) {
        int fd = open(path, O_WRONLY);

        _exit(fd < 0 ? 1 : file_write_all(fd, data, sizeof(data)));
    }
    assert_int_equal(file_read(&file, path, LEN, 10000), 0);
    assert_int_equal(file.len, LEN);
    assert_memory_equal(file.bytes, data, LEN);
    file_fini(&file);
    assert_int_equal(waitpid(writer, &status, 0), writer);
    assert_int_equal(status, 0);
}

static void scenario_read(void *state)
{
    struct file file;
    int failed = file_read(&file, path, 100, 0);

    (void)state;
    assert_true(failed == 0 || failed == ENOMEM);
    assert_int_equal(failed == 0, file.bytes != NULL);
    file_fini(&file);
}

static void test_read_without_memory(void **state)
{
    size_t n;

    (void)state;
    write_file(path, "text", 4);
    for (n = 1; failmalloc_try(n, scenario_read, NULL); n++) {
    }
    assert_true(n >= 2);
}

struct error_row {
    const char *name;
    int sys_errno;
    enum tlsmsg_code code;
    const char *text;
};

static const struct error_row error_rows[] = {
    {"missing", ENOENT, TLSMSG_ERR_CONFIG, "cannot read key 'a\\nb': No such file or directory"},
    {"no memory", ENOMEM, TLSMSG_ERR_NOMEM, "cannot read key 'a\\nb': Cannot allocate memory"},
    {"descriptors", EMFILE, TLSMSG_ERR_CONFIG,
     "cannot read key 'a\\nb' (try: a higher LimitNOFILE= or ulimit -n): Too many open files"},
    {"silent pipe", EAGAIN, TLSMSG_ERR_CONFIG,
     "cannot read key 'a\\nb': it is a pipe, and nothing came out of it"},
    {"other kind", EOPNOTSUPP, TLSMSG_ERR_CONFIG,
     "cannot read key 'a\\nb': it is not a regular file"},
};

static void test_error(void **state)
{
    const struct error_row *row = *state;
    struct tlsmsg_error err = {0};

    assert_int_equal(file_error("a\nb", "read", "key", row->sys_errno, &err), row->code);
    assert_int_equal(err.code, row->code);
    assert_string_equal(err.text, row->text);
}

static const struct file_replacement plainly = {.mode = 0644};
static const struct file_replacement with_care = {
    .mode = 0600, .keeps_access = true, .follows_link = true, .syncs = true};

static void assert_mode(const char *name, unsigned want)
{
    struct stat info;

    assert_int_equal(lstat(name, &info), 0);
    assert_true(S_ISREG(info.st_mode));
    assert_int_equal(info.st_mode & 07777, want);
}

static void assert_nothing_beside(void)
{
    char beside[TEST_PATH_MAX];

    assert_int_equal(access(test_folder_file(&folder, "file.new", beside), F_OK), -1);
}

static void test_new_file_has_its_mode(void **state)
{
    mode_t before = umask(077);

    (void)state;
    assert_int_equal(file_replace(path, &plainly, "new", 3), 0);
    (void)umask(before);
    assert_contents(path, "new");
    assert_mode(path, 0644);
    assert_nothing_beside();
}

static void test_old_file_is_replaced(void **state)
{
    (void)state;
    write_file(path, "old", 3);
    assert_int_equal(file_replace(path, &plainly, "", 0), 0);
    assert_contents(path, "");
    assert_mode(path, 0644);
    assert_int_equal(chmod(path, 0640), 0);
    assert_int_equal(file_replace(path, &with_care, "kept", 4), 0);
    assert_contents(path, "kept");
    assert_mode(path, 0640);
    assert_nothing_beside();
}

/* The administrator may write to any file, so this is tried as somebody else. */
static void test_read_only_file_is_left_alone(void **state)
{
    const uid_t nobody = 65534;
    bool is_root = geteuid() == 0;
    int careful;
    int plain;

    (void)state;
    write_file(path, "old", 3);
    assert_int_equal(chmod(path, 0444), 0);
    if (is_root) {
        assert_int_equal(chown(folder.path, nobody, (gid_t)-1), 0);
        assert_int_equal(chown(path, nobody, (gid_t)-1), 0);
        assert_int_equal(seteuid(nobody), 0);
    }
    careful = file_replace(path, &with_care, "1", 1);
    plain = file_replace(path, &plainly, "2", 1);
    if (is_root) {
        assert_int_equal(seteuid(0), 0);
    }
    assert_int_equal(careful, EACCES);
    assert_int_equal(plain, 0);
    assert_contents(path, "2");
}

static void test_links(void **state)
{
    char target[TEST_PATH_MAX];
    struct stat info;

    (void)state;
    (void)test_folder_file(&folder, "target", target);
    assert_int_equal(symlink("target", path), 0);
    assert_int_equal(file_replace(path, &with_care, "made", 4), 0); /* where it led nowhere */
    assert_contents(target, "made");
    write_file(target, "old", 3);
    assert_int_equal(file_replace(path, &plainly, "new", 3), EOPNOTSUPP);
    assert_contents(target, "old");
    assert_int_equal(file_replace(path, &with_care, "new", 3), 0);
    assert_contents(target, "new");
    assert_int_equal(lstat(path, &info), 0);
    assert_true(S_ISLNK(info.st_mode));
    assert_int_equal(unlink(path), 0);
    assert_int_equal(symlink("file", path), 0); /* to itself */
    assert_int_equal(file_replace(path, &with_care, "new", 3), EOPNOTSUPP);
}

static void test_other_kinds_are_left_alone(void **state)
{
    struct stat info;

    (void)state;
    assert_int_equal(mkfifo(path, 0600), 0);
    assert_int_equal(file_replace(path, &plainly, "new", 3), EOPNOTSUPP);
    assert_int_equal(lstat(path, &info), 0);
    assert_true(S_ISFIFO(info.st_mode));
    assert_int_equal(file_replace(folder.path, &plainly, "new", 3), EISDIR);
    assert_int_equal(file_replace("/dev/null", &plainly, "new", 3), EOPNOTSUPP);
}

/* What lies where the new contents are written is removed: not followed, not waited for. */
static void test_traps_beside(void **state)
{
    char beside[TEST_PATH_MAX];
    char victim[TEST_PATH_MAX];

    (void)state;
    (void)test_folder_file(&folder, "file.new", beside);
    (void)test_folder_file(&folder, "victim", victim);
    write_file(victim, "safe", 4);
    assert_int_equal(symlink(victim, beside), 0);
    assert_int_equal(file_replace(path, &plainly, "1", 1), 0);
    assert_contents(path, "1");
    assert_contents(victim, "safe");
    assert_int_equal(mkfifo(beside, 0600), 0);
    assert_int_equal(file_replace(path, &plainly, "2", 1), 0);
    assert_contents(path, "2");
}

static void test_failed_write_changes_nothing(void **state)
{
    struct rlimit before;
    struct rlimit small;
    int failed;

    (void)state;
    write_file(path, "old", 3);
    assert_int_equal(getrlimit(RLIMIT_FSIZE, &before), 0);
    small = (struct rlimit){.rlim_cur = 2, .rlim_max = before.rlim_max};
    assert_true(signal(SIGXFSZ, SIG_IGN) != SIG_ERR);
    assert_int_equal(setrlimit(RLIMIT_FSIZE, &small), 0);
    failed = file_replace(path, &plainly, "much longer", 11);
    assert_int_equal(setrlimit(RLIMIT_FSIZE, &before), 0);
    assert_int_equal(failed, EFBIG);
    assert_contents(path, "old");
    assert_nothing_beside();
}

static void test_folder_that_is_missing(void **state)
{
    char deep[TEST_PATH_MAX];

    (void)state;
    (void)test_folder_file(&folder, "no/file", deep);
    assert_int_equal(file_replace(deep, &with_care, "new", 3), ENOENT);
}

struct lines_row {
    const char *name;
    const char *text;
    const char *lines;   /* each in brackets */
    const char *entries; /* with its number */
};

static const struct lines_row lines_rows[] = {
    {"nothing", "", "", ""},
    {"one line", "a\n", "[a]", "1a;"},
    {"no end of line", "a\nb", "[a][b]", "1a;2b;"},
    {"empty lines", "\n\na\n\n", "[][][a][]", "3a;"},
    {"CR LF", "a\r\nb\r\n", "[a][b]", "1a;2b;"},
    {"CR LF, cut", "a\r\nb\r", "[a][b]", "1a;2b;"},
    {"one CR belongs to the end", "a\r\r\n", "[a\r]", "1a;"},
    {"a mark alone", "\xef\xbb\xbf", "[]", ""},
    {"files put together, each with a mark",
     "\xef\xbb\xbf"
     "a\n\xef\xbb\xbf"
     "b\n",
     "[a][b]", "1a;2b;"},
    {"a mark within a line", "a\xef\xbb\xbf\n", "[a\xef\xbb\xbf]", "1a\xef\xbb\xbf;"},
    {"a mark and a line", "\xef\xbb\xbf#c\na\n", "[#c][a]", "2a;"},
    {"two marks", "\xef\xbb\xbf\xef\xbb\xbfx", "[\xef\xbb\xbfx]", "1\xef\xbb\xbfx;"},
    {"a cut mark is no mark", "\xef\xbbx", "[\xef\xbbx]", "1\xef\xbbx;"},
    {"blanks at the end", "a b \t \n \t\n", "[a b \t ][ \t]", "1a b;"},
    {"blanks before CR LF", "a \r\n", "[a ]", "1a;"},
    {"blanks in front stay", "  a\n", "[  a]", "1  a;"},
    {"comments", "#x\na#b\n #c\n", "[#x][a#b][ #c]", "2a#b;3 #c;"},
};

static void begin_lines(struct file_lines *lines, struct file *file, char *text, size_t len)
{
    *file = (struct file){.bytes = text, .len = len};
    assert_true(file_lines_begin(lines, file));
}

static void test_lines(void **state)
{
    const struct lines_row *row = *state;
    char text[64];
    char got[128] = "";
    size_t used = 0;
    struct file_lines lines;
    struct file file;
    const char *line;

    (void)snprintf(text, sizeof(text), "%s", row->text);
    begin_lines(&lines, &file, text, strlen(row->text));
    while ((line = file_lines_next(&lines)) != NULL) {
        used += (size_t)snprintf(got + used, sizeof(got) - used, "[%s]", line);
    }
    assert_string_equal(got, row->lines);
    got[0] = '\0';
    used = 0;
    (void)snprintf(text, sizeof(text), "%s", row->text);
    begin_lines(&lines, &file, text, strlen(row->text));
    while ((line = file_lines_next_entry(&lines)) != NULL) {
        used += (size_t)snprintf(got + used, sizeof(got) - used, "%u%s;", lines.number, line);
    }
    assert_string_equal(got, row->entries);
}

static void test_zero_byte_is_no_text(void **state)
{
    char text[] = "a\0b\n";
    struct file file = {.bytes = text, .len = 4};
    struct file_lines lines;

    (void)state;
    assert_false(file_lines_begin(&lines, &file));
    file.len = 1;
    assert_true(file_lines_begin(&lines, &file));
}

#define WITH_FOLDER(test) cmocka_unit_test_setup_teardown(test, set_up, tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        WITH_FOLDER(test_read_whole),
        WITH_FOLDER(test_file_without_a_size),
        WITH_FOLDER(test_refused),
        WITH_FOLDER(test_fifo_without_a_writer),
        WITH_FOLDER(test_fifo_with_a_writer),
        WITH_FOLDER(test_read_without_memory),
        WITH_FOLDER(test_new_file_has_its_mode),
        WITH_FOLDER(test_old_file_is_replaced),
        WITH_FOLDER(test_read_only_file_is_left_alone),
        WITH_FOLDER(test_links),
        WITH_FOLDER(test_other_kinds_are_left_alone),
        WITH_FOLDER(test_traps_beside),
        WITH_FOLDER(test_failed_write_changes_nothing),
        WITH_FOLDER(test_folder_that_is_missing),
        cmocka_unit_test(test_zero_byte_is_no_text),
    };
    int failed = cmocka_run_group_tests(tests, NULL, NULL);

    RUN_ROWS(failed, test_error, error_rows);
    RUN_ROWS(failed, test_lines, lines_rows);
    return failed;
}
