/* The file of a store when the system refuses something, or when it is not one that a promise can be
 * kept in: what is told, in whole texts, and that nothing stays open. */
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

/* All of it is closed, and told so. */
static void assert_closed(void)
{
    assert_int_equal(file.fd, -1);
    assert_int_equal(file.folder_fd, -1);
    assert_int_equal(file.lock_fd, -1);
    assert_null(file.real);
    assert_int_equal(scene_descriptors(), descriptors);
}

static void test_what_is_opened_is_ours_alone(void **state)
{
    struct stat status;
    char real[PATH_MAX];

    (void)state;
    file_scene_make();
    assert_int_equal(sqlite_file_lock(&file, &scene.err), TLSMSG_OK);
    assert_int_equal(fstat(file.fd, &status), 0);
    assert_int_equal(status.st_mode & 07777, 0600);
    assert_int_equal(fcntl(file.fd, F_GETFL) & O_ACCMODE, O_RDWR);
    assert_int_equal(fcntl(file.fd, F_GETFD), FD_CLOEXEC);
    assert_int_equal(fcntl(file.folder_fd, F_GETFD), FD_CLOEXEC);
    assert_int_equal(fcntl(file.lock_fd, F_GETFD), FD_CLOEXEC);
    assert_string_equal(file.real, realpath(scene.path, real));
    assert_string_equal(file.path, scene.path);
    assert_string_equal(file.what, "spool");
    assert_true(sqlite_file_is_same(&file));
    sqlite_file_close(&file);
    assert_closed();
    sqlite_file_close(&file);
    assert_closed();
}

static const struct open_row {
    const char *name;
    enum system_call call;
    unsigned nth;
    int sys_errno;
    enum tlsmsg_code code;
    const char *cause;
} open_rows[] = {
    {"the folder", SYSTEM_OPEN, 1, EACCES, TLSMSG_ERR_CONFIG, "Permission denied"},
    {"the file", SYSTEM_OPEN, 2, EACCES, TLSMSG_ERR_CONFIG, "Permission denied"},
    {"a full disk", SYSTEM_OPEN, 2, ENOSPC, TLSMSG_ERR_SYSTEM, "No space left on device"},
    {"a full quota", SYSTEM_OPEN, 2, EDQUOT, TLSMSG_ERR_SYSTEM, "Disk quota exceeded"},
    {"what it is", SYSTEM_FSTAT, 1, EIO, TLSMSG_ERR_CONFIG, "Input/output error"},
    {"where it is", SYSTEM_FSTATFS, 1, EIO, TLSMSG_ERR_CONFIG, "Input/output error"},
    {"its name", SYSTEM_REALPATH, 1, ENOENT, TLSMSG_ERR_CONFIG, "No such file or directory"},
    {"its true folder", SYSTEM_OPEN, 3, EMFILE, TLSMSG_ERR_CONFIG, "Too many open files"},
};

/* Where there is no room, that can be helped. */
static void test_open_fails(void **state)
{
    const struct open_row *row = *state;
    const bool is_full = row->code == TLSMSG_ERR_SYSTEM;
    char then[100];

    (void)file_scene_begin(state);
    system_fault_at(row->call, row->nth, row->sys_errno);
    assert_int_equal(file_scene_open(true), row->code);
    assert_int_equal(system_fault_left(row->call), 0);
    (void)snprintf(then, sizeof(then), "'%s: %s", is_full ? " (try: make room)" : "", row->cause);
    scene_assert_path_error(row->code, row->sys_errno, "cannot open spool '", then);
    assert_closed();
    assert_int_equal(file_scene_end(state), 0);
}

static void test_a_link_that_is_not_followed(void **state)
{
    (void)state;
    system_fault_at(SYSTEM_OPEN, 2, ELOOP);
    assert_int_equal(file_scene_open(true), TLSMSG_ERR_CONFIG);
    assert_int_equal(system_fault_left(SYSTEM_OPEN), 0);
    scene_assert_path_error(TLSMSG_ERR_CONFIG, 0, "spool '",
                            "' is a link, and root follows none (try: name the file itself)");
    assert_closed();
}

static const struct place_row {
    const char *name;
    uint32_t magic;
    const char *system; /* NULL: it is taken */
} place_rows[] = {
    {"NFS", 0x6969, "NFS"},           {"CIFS", 0xFF534D42, "CIFS"},
    {"SMB2", 0xFE534D42, "SMB2"},     {"SMB", 0x517B, "SMB"},
    {"AFS", 0x5346414F, "AFS"},       {"the kernel's AFS", 0x6B414653, "AFS"},
    {"Coda", 0x73757245, "Coda"},     {"NCP", 0x564C, "NCP"},
    {"Ceph", 0x00C36400, "Ceph"},     {"9P", 0x01021997, "9P"},
    {"Lustre", 0x0BD00BD0, "Lustre"}, {"GPFS", 0x47504653, "GPFS"},
    {"BeeGFS", 0x19830326, "BeeGFS"}, {"GFS2", 0x01161970, "GFS2"},
    {"OCFS2", 0x7461636F, "OCFS2"},   {"a disk", 0xEF53, NULL},
};

/* Of a network's file systems each is refused, and told which one it is. */
static void test_place(void **state)
{
    const struct place_row *row = *state;
    char then[200];

    (void)file_scene_begin(state);
    system_file_system(row->magic);
    if (row->system == NULL) {
        assert_int_equal(file_scene_open(true), TLSMSG_OK);
    } else {
        assert_int_equal(file_scene_open(true), TLSMSG_ERR_CONFIG);
        (void)snprintf(then, sizeof(then),
                       "' is on a network file system (%s), where SQLite can't keep its promise "
                       "(try: a local disk)",
                       row->system);
        scene_assert_path_error(TLSMSG_ERR_CONFIG, 0, "spool '", then);
        assert_closed();
    }
    assert_int_equal(file_scene_end(state), 0);
}

static void test_what_is_no_file_of_one_name(void **state)
{
    char second[TEST_PATH_MAX];

    (void)state;
    assert_int_equal(mkfifo(scene.path, 0600), 0);
    assert_int_equal(file_scene_open(true), TLSMSG_ERR_CONFIG);
    scene_assert_path_error(TLSMSG_ERR_CONFIG, 0, "spool '", "' is not a regular file");
    tlsmsg_error_clear(&scene.err);
    assert_int_equal(unlink(scene.path), 0);
    file_scene_make();
    sqlite_file_close(&file);
    assert_int_equal(link(scene.path, test_folder_file(&scene.folder, "second", second)), 0);
    assert_int_equal(file_scene_open(true), TLSMSG_ERR_CONFIG);
    scene_assert_path_error(
        TLSMSG_ERR_CONFIG, 0, "spool '",
        "' has a second name (a hard link), under which its log would be another one (try: "
        "a copy by tlsmsg-store backup)");
    assert_closed();
}

static void test_a_name_that_is_too_long(void **state)
{
    static char name[PATH_MAX + 10];
    size_t len;

    (void)state;
    for (len = PATH_MAX - 1; len <= PATH_MAX; len++) {
        char *at = name;

        memset(name, '/', len);
        while (at + 2 < name + len) {
            at[1] = '.';
            at += 2;
        }
        name[len - 1] = 'x';
        name[len] = '\0';
        tlsmsg_error_clear(&scene.err);
        /* One byte less fails, too, but in the folder, where it is not ours to make. */
        if (sqlite_file_open(&file, name, "store", false, &scene.err) == TLSMSG_OK) {
            fail_msg("it was opened");
        }
        assert_int_equal(scene.err.code, TLSMSG_ERR_CONFIG);
        assert_int_equal(scene.err.sys_errno, len == PATH_MAX ? ENAMETOOLONG : ENOENT);
    }
    assert_closed();
}

static void test_whose_file_it_is(void **state)
{
    (void)state;
    file_scene_make();
    assert_int_equal(sqlite_file_expect_own(&file, &scene.err), TLSMSG_OK);
    system_fault_at(SYSTEM_FSTAT, 1, EIO);
    assert_int_equal(sqlite_file_expect_own(&file, &scene.err), TLSMSG_ERR_CONFIG);
    scene_assert_path_error(TLSMSG_ERR_CONFIG, 0, "'",
                            "' is another user's file (try: a file of your own)");
}

/* ---- --check */

static void test_check_of_what_can_not_be_read(void **state)
{
    char missing[TEST_PATH_MAX];
    char text[TEST_PATH_MAX + 100];

    (void)state;
    assert_int_equal(
        sqlite_db_check(test_folder_file(&scene.folder, "missing/store.db", missing), &scene.err),
        TLSMSG_ERR_CONFIG);
    (void)snprintf(text, sizeof(text), "cannot make store '%s': No such file or directory",
                   missing);
    scene_assert_error(TLSMSG_ERR_CONFIG, ENOENT, text);
    tlsmsg_error_clear(&scene.err);
    file_scene_make();
    sqlite_file_close(&file);
    system_fault_at(SYSTEM_PREAD, 1, EIO);
    assert_int_equal(sqlite_db_check(scene.path, &scene.err), TLSMSG_ERR_CONFIG);
    scene_assert_path_error(TLSMSG_ERR_CONFIG, EIO, "cannot read store '", "': Input/output error");
    tlsmsg_error_clear(&scene.err);
    system_fault_at(SYSTEM_OPEN, 2, EACCES);
    assert_int_equal(sqlite_db_check(scene.path, &scene.err), TLSMSG_ERR_CONFIG);
    scene_assert_path_error(TLSMSG_ERR_CONFIG, EACCES, "cannot open store '",
                            "': Permission denied");
    tlsmsg_error_clear(&scene.err);
    /* A full disk is no fault of the command line. */
    system_fault_at(SYSTEM_OPEN, 2, ENOSPC);
    assert_int_equal(sqlite_db_check(scene.path, &scene.err), TLSMSG_ERR_SYSTEM);
    scene_assert_path_error(TLSMSG_ERR_SYSTEM, ENOSPC, "cannot open store '",
                            "' (try: make room): No space left on device");
    assert_int_equal(scene_descriptors(), descriptors);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_what_is_opened_is_ours_alone, file_scene_begin,
                                        file_scene_end),
        cmocka_unit_test_setup_teardown(test_a_link_that_is_not_followed, file_scene_begin,
                                        file_scene_end),
        cmocka_unit_test_setup_teardown(test_what_is_no_file_of_one_name, file_scene_begin,
                                        file_scene_end),
        cmocka_unit_test_setup_teardown(test_a_name_that_is_too_long, file_scene_begin,
                                        file_scene_end),
        cmocka_unit_test_setup_teardown(test_whose_file_it_is, file_scene_begin, file_scene_end),
        cmocka_unit_test_setup_teardown(test_check_of_what_can_not_be_read, file_scene_begin,
                                        file_scene_end),
    };
    int failed = cmocka_run_group_tests(tests, NULL, NULL);

    RUN_ROWS(failed, test_open_fails, open_rows);
    RUN_ROWS(failed, test_place, place_rows);
    return failed;
}
