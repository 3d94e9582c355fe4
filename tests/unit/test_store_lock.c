/* The lock and the log beside a store's file: whose lock it is, what is left of an older one, and a log
 * that is made what it seems to be; each with what the system may refuse. */
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <sys/vfs.h>
#include <unistd.h>

#include "base/error.h"
#include "store/sqlite_db.h"
#include "support/file_scene.h"
#include "support/unit.h"

/* ---- the lock */

static char lock_path[TEST_PATH_MAX];

static void write_lock(const char *text)
{
    FILE *out = fopen(test_folder_file(&scene.folder, "store.db-lock", lock_path), "wb");

    assert_non_null(out);
    assert_int_equal(fwrite(text, 1, strlen(text), out), strlen(text));
    assert_int_equal(fclose(out), 0);
}

static void assert_lock(const char *text)
{
    char found[64] = "";
    FILE *in = fopen(test_folder_file(&scene.folder, "store.db-lock", lock_path), "rb");
    size_t got;

    assert_non_null(in);
    got = fread(found, 1, sizeof(found) - 1, in);
    (void)fclose(in);
    found[got] = '\0';
    assert_string_equal(found, text);
}

/* The number of who has it, and no digit of a longer one that was there. */
static void test_the_lock_tells_its_owner(void **state)
{
    struct stat status;
    char pid[32];

    (void)state;
    write_lock("4000000000\nand more\n");
    file_scene_make();
    assert_int_equal(sqlite_file_lock(&file, &scene.err), TLSMSG_OK);
    (void)snprintf(pid, sizeof(pid), "%ld\n", (long)getpid());
    assert_lock(pid);
    assert_int_equal(unlink(lock_path), 0);
    sqlite_file_close(&file);
    file_scene_make();
    assert_int_equal(sqlite_file_lock(&file, &scene.err), TLSMSG_OK);
    assert_int_equal(stat(lock_path, &status), 0);
    assert_int_equal(status.st_mode & 07777, 0600);
}

static const struct owner_row {
    const char *name;
    const char *lock;
    const char *then;
} owner_rows[] = {
    {"a number", "4711\n", "' is in use by process 4711"},
    {"the number one", "1", "' is in use by process 1"},
    {"no number", "none", "' is in use by another process"},
    {"nothing", "", "' is in use by another process"},
    {"zero", "0\n", "' is in use by another process"},
};

static void test_owner(void **state)
{
    const struct owner_row *row = *state;
    int fd;

    (void)file_scene_begin(state);
    file_scene_make();
    write_lock(row->lock);
    fd = open(lock_path, O_RDWR);
    assert_int_equal(flock(fd, LOCK_EX | LOCK_NB), 0);
    assert_int_equal(sqlite_file_lock(&file, &scene.err), TLSMSG_ERR_SYSTEM);
    scene_assert_path_error(TLSMSG_ERR_SYSTEM, 0, "spool '", row->then);
    assert_int_equal(file.lock_fd, -1);
    assert_lock(row->lock);
    (void)close(fd);
    assert_int_equal(file_scene_end(state), 0);
}

static const struct lock_row {
    const char *name;
    enum system_call call;
    int sys_errno;
    enum tlsmsg_code code;
    const char *first;
    const char *then;
} lock_rows[] = {
    {"no access", SYSTEM_OPEN, EACCES, TLSMSG_ERR_CONFIG, "'",
     "-lock' can't be the spool's lock: Permission denied"},
    {"no room", SYSTEM_OPEN, ENOSPC, TLSMSG_ERR_SYSTEM, "'",
     "-lock' can't be the spool's lock (try: make room): No space left on device"},
    {"nothing known of it", SYSTEM_FSTAT, EIO, TLSMSG_ERR_CONFIG, "'",
     "-lock' can't be the spool's lock"},
    {"no locks", SYSTEM_FLOCK, ENOLCK, TLSMSG_ERR_SYSTEM, "cannot lock '",
     "-lock': No locks available"},
};

static void test_lock_fails(void **state)
{
    const struct lock_row *row = *state;
    int before;

    (void)file_scene_begin(state);
    file_scene_make();
    before = scene_descriptors();
    system_fault_at(row->call, 1, row->sys_errno);
    assert_int_equal(sqlite_file_lock(&file, &scene.err), row->code);
    /* Of what is no plain file no system's error is told. */
    scene_assert_path_error(row->code, row->call == SYSTEM_FSTAT ? 0 : row->sys_errno, row->first,
                            row->then);
    assert_int_equal(file.lock_fd, -1);
    assert_int_equal(scene_descriptors(), before);
    tlsmsg_error_clear(&scene.err);
    assert_int_equal(sqlite_file_lock(&file, &scene.err), TLSMSG_OK);
    assert_int_equal(file_scene_end(state), 0);
}

static void test_a_lock_that_is_no_file(void **state)
{
    int before;

    (void)state;
    file_scene_make();
    before = scene_descriptors();
    assert_int_equal(mkfifo(test_folder_file(&scene.folder, "store.db-lock", lock_path), 0600), 0);
    assert_int_equal(sqlite_file_lock(&file, &scene.err), TLSMSG_ERR_CONFIG);
    scene_assert_path_error(TLSMSG_ERR_CONFIG, 0, "'", "-lock' can't be the spool's lock");
    assert_int_equal(scene_descriptors(), before);
    tlsmsg_error_clear(&scene.err);
    assert_int_equal(unlink(lock_path), 0);
    assert_int_equal(symlink("elsewhere", lock_path), 0);
    assert_int_equal(sqlite_file_lock(&file, &scene.err), TLSMSG_ERR_CONFIG);
    scene_assert_path_error(TLSMSG_ERR_CONFIG, ELOOP, "'",
                            "-lock' can't be the spool's lock: Too many levels of symbolic links");
}

/* The number is for people alone: a disk that takes none keeps nobody from the store, unless an older
 * one stays there. */
static void test_a_lock_without_a_number(void **state)
{
    (void)state;
    write_lock("4711\n");
    file_scene_make();
    system_fault_at(SYSTEM_PWRITE, 1, ENOSPC);
    assert_int_equal(sqlite_file_lock(&file, &scene.err), TLSMSG_OK);
    assert_lock("");
    sqlite_file_close(&file);
    file_scene_make();
    system_fault_at(SYSTEM_PWRITE, 1, 0);
    assert_int_equal(sqlite_file_lock(&file, &scene.err), TLSMSG_OK);
    assert_lock("");
    sqlite_file_close(&file);
    file_scene_make();
    system_fault_at(SYSTEM_PWRITE, 1, ENOSPC);
    system_fault_at(SYSTEM_FTRUNCATE, 2, EIO);
    assert_int_equal(sqlite_file_lock(&file, &scene.err), TLSMSG_ERR_SYSTEM);
    scene_assert_path_error(TLSMSG_ERR_SYSTEM, EIO, "cannot write '", "-lock': Input/output error");
    assert_int_equal(file.lock_fd, -1);
    assert_int_equal(system_fault_left(SYSTEM_FTRUNCATE), 0);
}

/* ---- names, and the log */

static void make_log(size_t len, char fill)
{
    char name[TEST_PATH_MAX];
    FILE *out = fopen(test_folder_file(&scene.folder, "store.db-wal", name), "wb");
    size_t i;

    assert_non_null(out);
    for (i = 0; i < len; i++) {
        assert_int_equal(fputc(fill + (int)(i % 7), out), fill + (int)(i % 7));
    }
    assert_int_equal(fclose(out), 0);
}

static void test_names_that_lead_elsewhere(void **state)
{
    char log[TEST_PATH_MAX];
    char other[TEST_PATH_MAX];

    (void)state;
    file_scene_make();
    sqlite_file_note_log(&file);
    assert_false(file.has_log);
    assert_int_equal(sqlite_file_in_place(&file, &scene.err), TLSMSG_OK);
    /* A log that comes later is nobody's business. */
    make_log(10, 'a');
    assert_int_equal(sqlite_file_in_place(&file, &scene.err), TLSMSG_OK);
    sqlite_file_note_log(&file);
    assert_true(file.has_log);
    assert_int_equal(sqlite_file_in_place(&file, &scene.err), TLSMSG_OK);
    (void)test_folder_file(&scene.folder, "store.db-wal", log);
    assert_int_equal(rename(log, test_folder_file(&scene.folder, "other", other)), 0);
    make_log(10, 'a');
    assert_int_equal(sqlite_file_in_place(&file, &scene.err), TLSMSG_ERR_SYSTEM);
    scene_assert_path_error(
        TLSMSG_ERR_SYSTEM, 0, "spool '",
        "' or its log was removed, moved or replaced while it is in use (try: stop the "
        "program that uses it first)");
    tlsmsg_error_clear(&scene.err);
    assert_int_equal(rename(other, log), 0);
    assert_int_equal(sqlite_file_in_place(&file, &scene.err), TLSMSG_OK);
    assert_int_equal(rename(scene.path, other), 0);
    assert_false(sqlite_file_is_same(&file));
    assert_int_equal(sqlite_file_in_place(&file, &scene.err), TLSMSG_ERR_SYSTEM);
    tlsmsg_error_clear(&scene.err);
    assert_int_equal(rename(other, scene.path), 0);
    system_fault_at(SYSTEM_FSTAT, 1, EIO);
    assert_false(sqlite_file_is_same(&file));
}

static void assert_log(size_t len, char fill)
{
    char name[TEST_PATH_MAX];
    FILE *in = fopen(test_folder_file(&scene.folder, "store.db-wal", name), "rb");
    size_t i;

    assert_non_null(in);
    for (i = 0; i < len; i++) {
        assert_int_equal(fgetc(in), fill + (int)(i % 7));
    }
    assert_int_equal(fgetc(in), EOF);
    (void)fclose(in);
}

static void test_a_log_is_written_over_itself(void **state)
{
    enum { LONG = 3 * 65536 + 5 };
    struct stat before;
    struct stat after;
    char name[TEST_PATH_MAX];

    (void)state;
    file_scene_make();
    assert_int_equal(sqlite_file_rewrite_log(&file, &scene.err), TLSMSG_OK);
    make_log(LONG, 'a');
    assert_int_equal(stat(test_folder_file(&scene.folder, "store.db-wal", name), &before), 0);
    system_fault_at(SYSTEM_PWRITE, 5, EIO);
    system_fault_at(SYSTEM_FSYNC, 2, EIO);
    assert_int_equal(sqlite_file_rewrite_log(&file, &scene.err), TLSMSG_OK);
    /* Each block once, and one sync. */
    assert_int_equal(system_fault_left(SYSTEM_PWRITE), 1);
    assert_int_equal(system_fault_left(SYSTEM_FSYNC), 1);
    assert_log(LONG, 'a');
    assert_int_equal(stat(name, &after), 0);
    assert_int_equal(before.st_ino, after.st_ino);
}

static const struct log_row {
    const char *name;
    enum system_call call;
    unsigned nth;
    int sys_errno;
    const char *then;
} log_rows[] = {
    {"open", SYSTEM_OPEN, 1, EACCES, "': Permission denied"},
    {"read", SYSTEM_PREAD, 2, EIO, "': Input/output error"},
    {"write", SYSTEM_PWRITE, 2, ENOSPC, "': No space left on device"},
    {"a short write", SYSTEM_PWRITE, 2, 0, "': Input/output error"},
    {"sync", SYSTEM_FSYNC, 1, EDQUOT, "': Disk quota exceeded"},
};

static void test_log_fails(void **state)
{
    const struct log_row *row = *state;
    int before;

    (void)file_scene_begin(state);
    file_scene_make();
    make_log(70000, 'a');
    before = scene_descriptors();
    system_fault_at(row->call, row->nth, row->sys_errno);
    assert_int_equal(sqlite_file_rewrite_log(&file, &scene.err), TLSMSG_ERR_SYSTEM);
    scene_assert_path_error(TLSMSG_ERR_SYSTEM, row->sys_errno == 0 ? EIO : row->sys_errno,
                            "cannot recover spool '", row->then);
    assert_int_equal(scene_descriptors(), before);
    assert_int_equal(file_scene_end(state), 0);
}

static void test_the_folders_sync(void **state)
{
    (void)state;
    file_scene_make();
    assert_int_equal(sqlite_file_sync_folder(&file, &scene.err), TLSMSG_OK);
    system_fault_at(SYSTEM_FSYNC, 1, EIO);
    assert_int_equal(sqlite_file_sync_folder(&file, &scene.err), TLSMSG_ERR_SYSTEM);
    scene_assert_path_error(TLSMSG_ERR_SYSTEM, EIO, "cannot sync the folder of spool '",
                            "': Input/output error");
}

/* A program without stdin gets its number for what it opens next. */
static void test_descriptor_0_is_like_any_other(void **state)
{
    int before = dup(STDIN_FILENO);

    (void)state;
    (void)close(STDIN_FILENO);
    file_scene_make();
    assert_int_equal(file.folder_fd, 0);
    sqlite_file_close(&file);
    assert_int_equal(fcntl(0, F_GETFD), -1);
    assert_int_equal(dup2(before, STDIN_FILENO), STDIN_FILENO);
    file_scene_make();
    make_log(10, 'a');
    (void)close(STDIN_FILENO);
    assert_int_equal(sqlite_file_rewrite_log(&file, &scene.err), TLSMSG_OK);
    assert_int_equal(fcntl(0, F_GETFD), -1);
    assert_int_equal(mkfifo(test_folder_file(&scene.folder, "store.db-lock", lock_path), 0600), 0);
    assert_int_equal(sqlite_file_lock(&file, &scene.err), TLSMSG_ERR_CONFIG);
    assert_int_equal(fcntl(0, F_GETFD), -1);
    assert_int_equal(unlink(lock_path), 0);
    tlsmsg_error_clear(&scene.err);
    assert_int_equal(sqlite_file_lock(&file, &scene.err), TLSMSG_OK);
    assert_int_equal(file.lock_fd, 0);
    sqlite_file_close(&file);
    assert_int_equal(fcntl(0, F_GETFD), -1);
    assert_int_equal(dup2(before, STDIN_FILENO), STDIN_FILENO);
    (void)close(before);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_the_lock_tells_its_owner, file_scene_begin,
                                        file_scene_end),
        cmocka_unit_test_setup_teardown(test_a_lock_that_is_no_file, file_scene_begin,
                                        file_scene_end),
        cmocka_unit_test_setup_teardown(test_a_lock_without_a_number, file_scene_begin,
                                        file_scene_end),
        cmocka_unit_test_setup_teardown(test_names_that_lead_elsewhere, file_scene_begin,
                                        file_scene_end),
        cmocka_unit_test_setup_teardown(test_a_log_is_written_over_itself, file_scene_begin,
                                        file_scene_end),
        cmocka_unit_test_setup_teardown(test_the_folders_sync, file_scene_begin, file_scene_end),
        cmocka_unit_test_setup_teardown(test_descriptor_0_is_like_any_other, file_scene_begin,
                                        file_scene_end),
    };
    int failed = cmocka_run_group_tests(tests, NULL, NULL);

    RUN_ROWS(failed, test_owner, owner_rows);
    RUN_ROWS(failed, test_lock_fails, lock_rows);
    RUN_ROWS(failed, test_log_fails, log_rows);
    return failed;
}
