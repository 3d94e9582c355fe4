/* The file of --transcript: what is opened, with which mode, and what is refused without waiting. */
#include "support/unit.h"

#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "app/server/transcript_file.h"
#include "support/test_folder.h"

enum kind {
    KIND_NONE,
    KIND_FILE,
    KIND_LINK,
    KIND_DANGLING,
    KIND_FIFO,
    KIND_FOLDER,
    KIND_NOWHERE,
    KIND_LOOP
};

static const struct row {
    const char *name;
    enum kind kind;
    const char *says; /* behind the file's name; NULL: it is opened */
    int sys_errno;
} rows[] = {
    {"nothing is there", KIND_NONE, NULL, 0},
    {"a file", KIND_FILE, NULL, 0},
    {"a link to a file", KIND_LINK, NULL, 0},
    {"a link to nothing", KIND_DANGLING, NULL, 0},
    {"a FIFO", KIND_FIFO, ": it is not a regular file", 0},
    {"a folder", KIND_FOLDER, ": Is a directory", EISDIR},
    {"a folder that is missing", KIND_NOWHERE, ": No such file or directory", ENOENT},
    {"a link to itself", KIND_LOOP, ": Too many levels of symbolic links", ELOOP},
};

static void lay(const struct test_folder *folder, enum kind kind, char path[TEST_PATH_MAX])
{
    char target[TEST_PATH_MAX];
    int fd = -1;

    (void)test_folder_file(folder, "target", target);
    (void)test_folder_file(folder, kind == KIND_NOWHERE ? "no/t" : "t", path);
    switch (kind) {
    case KIND_FILE:
        fd = open(path, O_WRONLY | O_CREAT, 0604);
        break;
    case KIND_LINK:
        fd = open(target, O_WRONLY | O_CREAT, 0604);
        assert_int_equal(symlink(target, path), 0);
        break;
    case KIND_DANGLING:
        assert_int_equal(symlink(target, path), 0);
        break;
    case KIND_LOOP:
        assert_int_equal(symlink(path, path), 0);
        break;
    case KIND_FIFO:
        assert_int_equal(mkfifo(path, 0600), 0);
        break;
    case KIND_FOLDER:
        assert_int_equal(mkdir(path, 0700), 0);
        break;
    case KIND_NONE:
    case KIND_NOWHERE:
        break;
    }
    if (fd >= 0) {
        assert_int_equal(write(fd, "old\n", 4), 4);
        (void)close(fd);
    }
}

static void test_row(void **state)
{
    const struct row *row = *state;
    struct test_folder folder;
    struct tlsmsg_error err = {.code = TLSMSG_OK};
    struct tlsmsg_error checked = {.code = TLSMSG_OK};
    char path[TEST_PATH_MAX];
    char says[TEST_PATH_MAX + 64];
    struct stat is;
    int fd;

    (void)umask(022); /* as the server has it */
    test_folder_make(&folder);
    lay(&folder, row->kind, path);
    assert_int_equal(transcript_file_check(path, &checked),
                     row->says == NULL ? TLSMSG_OK : TLSMSG_ERR_CONFIG);
    assert_int_equal(transcript_file_open(path, &fd, &err),
                     row->says == NULL ? TLSMSG_OK : TLSMSG_ERR_CONFIG);
    if (row->says != NULL) {
        (void)snprintf(says, sizeof(says), "cannot open transcript '%s'%s", path, row->says);
        assert_string_equal(err.text, says);
        assert_string_equal(checked.text, says);
        assert_int_equal(err.code, TLSMSG_ERR_CONFIG);
        assert_int_equal(err.sys_errno, row->sys_errno);
        assert_int_equal(checked.sys_errno, row->sys_errno);
        assert_int_equal(fd, -1);
    } else {
        bool is_old = row->kind == KIND_FILE || row->kind == KIND_LINK;

        assert_int_equal(write(fd, "new\n", 4), 4);
        assert_int_equal(fstat(fd, &is), 0);
        assert_int_equal(is.st_size, is_old ? 8 : 4);
        assert_int_equal(is.st_mode & 07777, is_old ? 0604 : TRANSCRIPT_FILE_MODE);
        assert_int_equal(fcntl(fd, F_GETFD), FD_CLOEXEC);
        (void)close(fd);
        assert_int_equal(lstat(path, &is), 0);
        assert_int_equal(S_ISLNK(is.st_mode), row->kind == KIND_LINK || row->kind == KIND_DANGLING);
    }
    if (row->kind == KIND_FOLDER) {
        (void)rmdir(path);
    }
    test_folder_remove(&folder);
}

/* --check leaves nothing behind. */
static void test_check_makes_nothing(void **state)
{
    struct test_folder folder;
    struct tlsmsg_error err = {.code = TLSMSG_OK};
    char path[TEST_PATH_MAX];

    (void)state;
    test_folder_make(&folder);
    assert_int_equal(transcript_file_check(test_folder_file(&folder, "t", path), &err), TLSMSG_OK);
    assert_int_equal(access(path, F_OK), -1);
    assert_int_equal(transcript_file_check(NULL, &err), TLSMSG_OK);
    test_folder_remove(&folder);
}

/* ---- a device that comes there between the look and the opening */

static bool comes_later;

/* With files of any size glibc's stat(2) has the second name, which other C libraries lack. */
int __real_stat(const char *path, struct stat *is);
int __wrap_stat(const char *path, struct stat *is);
int __real_stat64(const char *path, struct stat *is) __attribute__((weak));
int __wrap_stat64(const char *path, struct stat *is);

int __wrap_stat(const char *path, struct stat *is)
{
    errno = ENOENT;
    return comes_later ? -1 : __real_stat(path, is);
}

int __wrap_stat64(const char *path, struct stat *is)
{
    errno = ENOENT;
    return comes_later ? -1 : __real_stat64(path, is);
}

/* Nobody reads a FIFO that comes later: that is not waited for either. */
static void test_a_fifo_that_comes_later(void **state)
{
    struct tlsmsg_error err = {.code = TLSMSG_OK};
    char says[TEST_PATH_MAX + 64];
    struct test_folder folder;
    char path[TEST_PATH_MAX];
    int fd = 7;

    (void)state;
    test_folder_make(&folder);
    assert_int_equal(mkfifo(test_folder_file(&folder, "t", path), 0600), 0);
    comes_later = true;
    assert_int_equal(transcript_file_open(path, &fd, &err), TLSMSG_ERR_CONFIG);
    comes_later = false;
    (void)snprintf(says, sizeof(says), "cannot open transcript '%s': it is not a regular file",
                   path);
    assert_string_equal(err.text, says);
    assert_int_equal(fd, -1);
    test_folder_remove(&folder);
}

/* Descriptor 0 is one as any other. */
static void test_the_lowest_descriptor(void **state)
{
    int saved = dup(STDIN_FILENO);
    struct test_folder folder;
    char path[TEST_PATH_MAX];
    int fd = -1;

    (void)state;
    test_folder_make(&folder);
    (void)test_folder_file(&folder, "t", path);
    assert_int_equal(close(STDIN_FILENO), 0);
    assert_int_equal(transcript_file_open(path, &fd, NULL), TLSMSG_OK);
    assert_int_equal(fd, STDIN_FILENO);
    assert_int_equal(close(fd), 0);
    assert_int_equal(transcript_file_check(path, NULL), TLSMSG_OK);
    assert_int_equal(fcntl(STDIN_FILENO, F_GETFD), -1);
    assert_int_equal(dup2(saved, STDIN_FILENO), STDIN_FILENO);
    (void)close(saved);
    test_folder_remove(&folder);
}

/* A check leaves no descriptor open. */
static void test_a_check_opens_nothing(void **state)
{
    struct test_folder folder;
    char path[TEST_PATH_MAX];
    int next = dup(STDOUT_FILENO); /* the lowest that is free */

    (void)state;
    assert_int_equal(close(next), 0);
    test_folder_make(&folder);
    lay(&folder, KIND_FILE, path);
    assert_int_equal(transcript_file_check(path, NULL), TLSMSG_OK);
    assert_int_equal(fcntl(next, F_GETFD), -1);
    test_folder_remove(&folder);
}

static void test_a_device_that_comes_later(void **state)
{
    struct tlsmsg_error err = {.code = TLSMSG_OK};
    int next = dup(STDOUT_FILENO); /* the lowest that is free */
    int fd = 7;

    (void)state;
    assert_int_equal(close(next), 0);
    comes_later = true;
    assert_int_equal(transcript_file_open("/dev/null", &fd, &err), TLSMSG_ERR_CONFIG);
    comes_later = false;
    assert_string_equal(err.text, "cannot open transcript '/dev/null': it is not a regular file");
    assert_int_equal(fd, -1);
    assert_int_equal(fcntl(next, F_GETFD), -1); /* closed again */
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_check_makes_nothing),
        cmocka_unit_test(test_the_lowest_descriptor),
        cmocka_unit_test(test_a_check_opens_nothing),
        cmocka_unit_test(test_a_fifo_that_comes_later),
        cmocka_unit_test(test_a_device_that_comes_later),
    };
    int failed = cmocka_run_group_tests(tests, NULL, NULL);

    RUN_ROWS(failed, test_row, rows);
    return failed;
}
