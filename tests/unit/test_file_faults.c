/* Files where calls of the kernel fail, are interrupted or do half: what is read is whole, what is written
 * is whole or as it was, and nothing stays open or behind. */
#include "support/unit.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/file.h"
#include "support/failmalloc.h"
#include "support/test_folder.h"

static struct test_folder folder;
static char path[TEST_PATH_MAX];

/* ---- the kernel's answers */

#define NOTHING (-1) /* 0, and an errno of long ago that stands for nothing */
#define LAST (-2)    /* the end of a script: the truth from here on */

struct script {
    const int *answers; /* an errno, 0 for the truth, or the above; NULL: the truth */
    unsigned calls;
};

static struct {
    struct script poll;
    struct script read;
    struct script write;
    struct script fsync;
    struct script fchown;
    struct script fchmod;
    struct script close;
    size_t write_max;  /* bytes that a write takes; 0: all */
    int writer;        /* of a pipe: it ends with the first read; 0: nobody does */
    size_t first_read; /* for how many bytes the first read had room */
} on;

static int answer_of(struct script *script)
{
    int answer = 0;

    script->calls++;
    if (script->answers != NULL && *script->answers != LAST) {
        answer = *script->answers++;
    }
    errno = answer > 0 ? answer : EINTR;
    return answer;
}

int __real_poll(struct pollfd *entries, nfds_t count, int timeout_ms);
int __wrap_poll(struct pollfd *entries, nfds_t count, int timeout_ms);
ssize_t __real_read(int fd, void *buf, size_t cap);
ssize_t __wrap_read(int fd, void *buf, size_t cap);
ssize_t __wrap___read_chk(int fd, void *buf, size_t cap, size_t room);
ssize_t __real_write(int fd, const void *buf, size_t len);
ssize_t __wrap_write(int fd, const void *buf, size_t len);
int __wrap_fsync(int fd);
int __real_fchown(int fd, uid_t uid, gid_t gid);
int __wrap_fchown(int fd, uid_t uid, gid_t gid);
int __real_fchmod(int fd, mode_t mode);
int __wrap_fchmod(int fd, mode_t mode);
int __real_close(int fd);
int __wrap_close(int fd);

int __wrap_poll(struct pollfd *entries, nfds_t count, int timeout_ms)
{
    int answer = answer_of(&on.poll);

    return answer == 0 ? __real_poll(entries, count, timeout_ms) : answer == NOTHING ? 0 : -1;
}

ssize_t __wrap_read(int fd, void *buf, size_t cap)
{
    int answer = answer_of(&on.read);

    if (on.writer > 0) {
        (void)__real_close(on.writer);
        on.writer = 0;
    }
    on.first_read = on.read.calls == 1 ? cap : on.first_read;
    return answer == 0 ? __real_read(fd, buf, cap) : answer == NOTHING ? 0 : -1;
}

ssize_t __wrap___read_chk(int fd, void *buf, size_t cap, size_t room)
{
    (void)room;
    return __wrap_read(fd, buf, cap);
}

ssize_t __wrap_write(int fd, const void *buf, size_t len)
{
    int answer = answer_of(&on.write);

    len = on.write_max > 0 && len > on.write_max ? on.write_max : len;
    return answer == 0 ? __real_write(fd, buf, len) : answer == NOTHING ? 0 : -1;
}

int __wrap_fsync(int fd)
{
    assert_true(fcntl(fd, F_GETFD) != -1);
    return answer_of(&on.fsync) != 0 ? -1 : 0;
}

int __wrap_fchown(int fd, uid_t uid, gid_t gid)
{
    return answer_of(&on.fchown) != 0 ? -1 : __real_fchown(fd, uid, gid);
}

int __wrap_fchmod(int fd, mode_t mode)
{
    return answer_of(&on.fchmod) != 0 ? -1 : __real_fchmod(fd, mode);
}

/* What fails is closed all the same, as in Linux. */
int __wrap_close(int fd)
{
    int result = __real_close(fd);

    return answer_of(&on.close) != 0 ? -1 : result;
}

static const int fails[] = {EIO, LAST};

/* ---- each test: nothing is left open, allocated or beside */

static int first_fd;
static long blocks;

static int next_fd(void)
{
    int fd = open("/dev/null", O_RDONLY | O_CLOEXEC);

    assert_int_equal(__real_close(fd), 0);
    return fd;
}

static int set_up(void **state)
{
    (void)state;
    test_folder_make(&folder);
    (void)test_folder_file(&folder, "file", path);
    memset(&on, 0, sizeof(on));
    first_fd = next_fd();
    blocks = failmalloc_live();
    return 0;
}

static int tear_down(void **state)
{
    char beside[TEST_PATH_MAX];

    (void)state;
    assert_int_equal(next_fd(), first_fd);
    assert_int_equal(failmalloc_live(), blocks);
    assert_int_equal(access(test_folder_file(&folder, "file.new", beside), F_OK), -1);
    memset(&on, 0, sizeof(on));
    test_folder_remove(&folder);
    return 0;
}

static void put(const char *name, const char *data, size_t len)
{
    int fd = open(name, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);

    assert_true(fd >= 0);
    assert_int_equal(__real_write(fd, data, len), len);
    assert_int_equal(__real_close(fd), 0);
}

static void assert_holds(const char *name, const char *want)
{
    char got[64] = "";
    int fd = open(name, O_RDONLY | O_CLOEXEC);

    assert_true(fd >= 0);
    assert_true(__real_read(fd, got, sizeof(got) - 1) >= 0);
    assert_int_equal(__real_close(fd), 0);
    assert_string_equal(got, want);
}

static void assert_reads(const char *name, size_t max, int failed)
{
    struct file file;

    on.read.calls = 0;
    on.poll.calls = 0;
    assert_int_equal(file_read(&file, name, max, 0), failed);
    if (failed != 0) {
        assert_null(file.bytes);
        assert_int_equal(file.len, 0);
    }
    file_fini(&file);
    assert_null(file.bytes);
    assert_int_equal(file.len, 0);
}

/* ---- reading */

static void test_known_size_is_read_at_once(void **state)
{
    static char data[100000];

    (void)state;
    put(path, data, sizeof(data));
    assert_reads(path, FILE_MAX_BYTES, 0);
    assert_int_equal(on.first_read, sizeof(data) + 1);
    assert_int_equal(on.read.calls, 2);
    assert_int_equal(on.poll.calls, 0);
    assert_reads(path, sizeof(data), 0);
    assert_reads(path, sizeof(data) - 1, EFBIG);
    assert_int_equal(on.read.calls, 0);
    assert_reads(path, 0, EFBIG);
}

static void test_unknown_size_is_read_in_steps(void **state)
{
    (void)state;
    put(path, "", 0);
    assert_reads(path, FILE_MAX_BYTES, 0);
    assert_int_equal(on.first_read, 16 * 1024);
    assert_int_equal(on.read.calls, 1);
    assert_reads(path, 100, 0);
    assert_int_equal(on.first_read, 101);
    assert_reads(path, 0, 0);
    assert_int_equal(on.first_read, 1);
}

/* Makes a pipe that holds so much, with a writer. */
static void hold(size_t len)
{
    static char data[32 * 1024];
    int reader;

    (void)unlink(path);
    assert_int_equal(mkfifo(path, 0600), 0);
    reader = open(path, O_RDONLY | O_NONBLOCK | O_CLOEXEC);
    on.writer = open(path, O_WRONLY | O_CLOEXEC);
    assert_int_equal(__real_write(on.writer, data, len), len);
    assert_int_equal(__real_close(reader), 0);
}

/* The last step has less room than the ones before. */
static void test_pipe_up_to_the_limit(void **state)
{
    static const size_t lens[] = {16383, 16384, 16385, 17000, 20000};

    (void)state;
    for (size_t i = 0; i < COUNT_OF(lens); i++) {
        hold(lens[i]);

        assert_reads(path, 20000, 0);
        hold(lens[i]);
        assert_reads(path, lens[i], 0);
        hold(lens[i]);
        assert_reads(path, lens[i] - 1, EFBIG);
    }
}

static void test_interrupted_reading_goes_on(void **state)
{
    static const int polls[] = {EINTR, EINTR, 0, LAST};
    static const int reads[] = {EINTR, 0, EINTR, 0, LAST};
    (void)state;
    hold(3);
    on.poll.answers = polls;
    on.read.answers = reads;
    assert_reads(path, 100, 0);
    assert_int_equal(on.poll.calls, 4);
    assert_int_equal(on.read.calls, 4);
}

static void test_waiting_that_fails_is_over(void **state)
{
    static const int nothing[] = {NOTHING, LAST};
    static const int *const scripts[] = {fails, nothing};

    (void)state;
    for (size_t i = 0; i < COUNT_OF(scripts); i++) {
        hold(3);
        on.poll.answers = scripts[i];
        assert_reads(path, 100, EAGAIN);
        assert_int_equal(on.poll.calls, 1);
        assert_int_equal(on.read.calls, 0);
        assert_int_equal(__real_close(on.writer), 0);
        on.writer = 0;
    }
}

static void test_reading_that_fails(void **state)
{
    static const int later[] = {0, EIO, LAST};
    static const int ends[] = {NOTHING, LAST};

    (void)state;
    put(path, "text", 4);
    on.read.answers = fails;
    assert_reads(path, 100, EIO);
    on.read.answers = later;
    assert_reads(path, 100, EIO);
    on.read.answers = ends; /* it was cut meanwhile */
    assert_reads(path, 100, EIO);
    assert_int_equal(on.read.calls, 1);
}

/* ---- writing */

static const struct file_replacement plainly = {.mode = 0640};
static const struct file_replacement with_care = {
    .mode = 0600, .keeps_access = true, .follows_link = true, .syncs = true};

static void test_writing_in_pieces(void **state)
{
    static const int writes[] = {EINTR, 0, EINTR, EINTR, LAST};

    (void)state;
    on.write.answers = writes;
    on.write_max = 3;
    assert_int_equal(file_replace(path, &plainly, "0123456789", 10), 0);
    assert_int_equal(on.write.calls, 7);
    assert_holds(path, "0123456789");
}

static void test_writing_that_fails(void **state)
{
    static const int later[] = {0, ENOSPC, LAST};
    static const int nothing[] = {NOTHING, LAST};
    static const struct {
        const int *answers;
        int failed;
    } rows[] = {{fails, EIO}, {later, ENOSPC}, {nothing, EIO}};

    (void)state;
    put(path, "old", 3);
    on.write_max = 1;
    for (size_t i = 0; i < COUNT_OF(rows); i++) {
        on.write.answers = rows[i].answers;
        assert_int_equal(file_replace(path, &with_care, "new", 3), rows[i].failed);
        assert_int_equal(on.fsync.calls, 0);
        assert_holds(path, "old");
    }
}

/* A step that fails leaves the old file; the first cause is told. */
static void test_each_step_that_fails(void **state)
{
    static const int disk[] = {ENOSPC, LAST};
    struct script *const steps[] = {&on.fchown, &on.fsync, &on.close};

    (void)state;
    put(path, "old", 3);
    for (size_t i = 0; i < COUNT_OF(steps); i++) {
        memset(&on, 0, sizeof(on));
        on.close.answers = fails;
        steps[i]->answers = disk;
        assert_int_equal(file_replace(path, &with_care, "new", 3), ENOSPC);
        assert_int_equal(steps[i]->calls, 1);
        assert_holds(path, "old");
    }
    memset(&on, 0, sizeof(on));
    assert_int_equal(chmod(path, 0640), 0);
    on.fchmod.answers = disk;
    assert_int_equal(file_replace(path, &with_care, "new", 3), ENOSPC);
    assert_holds(path, "old");
}

/* A confined server may not change modes, and need not where they are right. */
static void test_access_is_changed_only_where_it_must(void **state)
{
    struct stat is;

    (void)state;
    assert_int_equal(file_replace(path, &with_care, "1", 1), 0);
    assert_int_equal(on.fchmod.calls, 0);
    assert_int_equal(on.fchown.calls, 0); /* there is nobody's to keep */
    assert_int_equal(on.fsync.calls, 1);
    assert_int_equal(file_replace(path, &with_care, "2", 1), 0);
    assert_int_equal(on.fchmod.calls, 0);
    assert_int_equal(on.fchown.calls, 1);
    assert_int_equal(chmod(path, 0604), 0);
    assert_int_equal(file_replace(path, &with_care, "3", 1), 0);
    assert_int_equal(on.fchmod.calls, 1);
    assert_int_equal(on.fchown.calls, 2);
    assert_int_equal(on.fsync.calls, 3);
    assert_int_equal(stat(path, &is), 0);
    assert_int_equal(is.st_mode & 07777, 0604);
    assert_int_equal(file_replace(path, &plainly, "4", 1), 0);
    assert_int_equal(on.fchown.calls, 2);
    assert_int_equal(on.fsync.calls, 3);
    assert_int_equal(stat(path, &is), 0);
    assert_int_equal(is.st_mode & 07777, 0640);
}

static void test_first_descriptor(void **state)
{
    int saved = dup(STDIN_FILENO);
    int failed;

    (void)state;
    assert_int_equal(__real_close(STDIN_FILENO), 0);
    failed = file_replace(path, &plainly, "new", 3);
    if (failed == 0) {
        assert_reads(path, 100, 0);
    }
    assert_int_equal(fcntl(STDIN_FILENO, F_GETFD), -1);
    assert_int_equal(dup2(saved, STDIN_FILENO), STDIN_FILENO);
    assert_int_equal(__real_close(saved), 0);
    assert_int_equal(failed, 0);
    assert_holds(path, "new");
}

static void test_as_many_links_as_are_followed(void **state)
{
    char link[TEST_PATH_MAX];
    char name[32];

    (void)state;
    for (int i = 0; i <= FILE_LINKS_MAX; i++) {
        (void)snprintf(name, sizeof(name), "link%d", i);
        assert_int_equal(symlink(i == 0 ? "file" : strrchr(link, '/') + 1,
                                 test_folder_file(&folder, name, (char[TEST_PATH_MAX]){0})),
                         0);
        (void)test_folder_file(&folder, name, link);
        assert_int_equal(file_replace(link, &with_care, "new", 3),
                         i < FILE_LINKS_MAX ? 0 : EOPNOTSUPP);
    }
    assert_holds(path, "new");
}

/* Nothing of a shortened name is made. */
static void test_no_room_for_the_name_beside(void **state)
{
    static char name[PATH_MAX];
    char shortened[TEST_PATH_MAX];
    char here[PATH_MAX];
    size_t len = sizeof(name) - sizeof("file") - 2;

    (void)state;
    assert_non_null(getcwd(here, sizeof(here)));
    assert_int_equal(chdir(folder.path), 0);
    memset(name, '/', len);
    name[0] = '.';
    memcpy(name + len, "file", sizeof("file"));
    assert_int_equal(file_replace(name, &plainly, "new", 3), ENAMETOOLONG);
    assert_int_equal(access(path, F_OK), -1);
    assert_int_equal(access(test_folder_file(&folder, "file.n", shortened), F_OK), -1);
    assert_int_equal(chdir(here), 0);
}

#define TEST(test) cmocka_unit_test_setup_teardown(test, set_up, tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(test_known_size_is_read_at_once),
        TEST(test_unknown_size_is_read_in_steps),
        TEST(test_pipe_up_to_the_limit),
        TEST(test_interrupted_reading_goes_on),
        TEST(test_waiting_that_fails_is_over),
        TEST(test_reading_that_fails),
        TEST(test_writing_in_pieces),
        TEST(test_writing_that_fails),
        TEST(test_each_step_that_fails),
        TEST(test_access_is_changed_only_where_it_must),
        TEST(test_first_descriptor),
        TEST(test_as_many_links_as_are_followed),
        TEST(test_no_room_for_the_name_beside),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
