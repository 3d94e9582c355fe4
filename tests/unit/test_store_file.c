/* The file of a store: what is refused at the start, and where it may lie. */
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <sqlite3.h>

#include "base/error.h"
#include "store/sqlite.h"
#include "store/sqlite_db.h"
#include "support/sqlite_scene.h"
#include "support/unit.h"

#define NOBODY 65534

static void test_one_server_at_a_time(void **state)
{
    struct store_backend *backend = scene_open();
    struct store_backend *second;
    char pid[64];

    (void)state;
    (void)snprintf(pid, sizeof(pid), "is in use by process %ld", (long)getpid());
    assert_int_equal(sqlite_backend_open(scene.path, 1000, &second, &scene.err), TLSMSG_ERR_SYSTEM);
    assert_non_null(strstr(scene.err.text, pid));
    backend->ops->close(backend, false);
    backend = scene_open();
    backend->ops->close(backend, false);
}

static void make_file(const char *contents)
{
    int fd = open(scene.path, O_WRONLY | O_CREAT, 0644);

    assert_true(fd >= 0);
    assert_int_equal(write(fd, contents, strlen(contents)), strlen(contents));
    (void)close(fd);
}

static void make_foreign(void)
{
    sqlite3 *db;

    assert_int_equal(sqlite3_open(scene.path, &db), SQLITE_OK);
    assert_int_equal(sqlite3_exec(db, "CREATE TABLE t(a)", NULL, NULL, NULL), SQLITE_OK);
    (void)sqlite3_close(db);
}

static void make_newer(void)
{
    struct store_backend *backend = scene_open();
    sqlite3 *db;

    backend->ops->close(backend, false);
    assert_int_equal(sqlite3_open(scene.path, &db), SQLITE_OK);
    assert_int_equal(sqlite3_exec(db, "PRAGMA user_version = 2", NULL, NULL, NULL), SQLITE_OK);
    (void)sqlite3_close(db);
}

static void make_second_name(void)
{
    char second[TEST_PATH_MAX];
    struct store_backend *backend = scene_open();

    backend->ops->close(backend, false);
    assert_int_equal(link(scene.path, test_folder_file(&scene.folder, "second.db", second)), 0);
}

static void make_text(void)
{
    make_file("what somebody wrote long ago and still needs, in a file that is longer than a "
              "header of a database is, so that all of it can be read\n");
}

static void make_folder(void)
{
    assert_int_equal(mkdir(scene.path, 0700), 0);
}

static void make_fifo(void)
{
    assert_int_equal(mkfifo(scene.path, 0600), 0);
}

static const struct refusal_row {
    const char *name;
    void (*make)(void);
    const char *text;
} refusals[] = {
    {"text", make_text, "not a"},
    {"another program's database", make_foreign, "not a store of tlsmsg"},
    {"a later schema", make_newer, "schema 2"},
    {"a second name", make_second_name, "a hard link"},
    {"a folder", make_folder, "irectory"},
    {"a pipe", make_fifo, "not a regular file"},
};

/* Refused at the start and by --check alike, and left as it was. */
static void test_refusal(void **state)
{
    const struct refusal_row *row = *state;
    struct store_backend *backend;
    struct stat before;
    struct stat after;

    assert_int_equal(scene_set_up(NULL), 0);
    row->make();
    assert_int_equal(lstat(scene.path, &before), 0);
    assert_int_equal(sqlite_db_check(scene.path, &scene.err), TLSMSG_ERR_CONFIG);
    assert_non_null(strstr(scene.err.text, row->text));
    tlsmsg_error_clear(&scene.err);
    assert_int_equal(sqlite_backend_open(scene.path, 1000, &backend, &scene.err),
                     TLSMSG_ERR_CONFIG);
    assert_non_null(strstr(scene.err.text, row->text));
    assert_int_equal(lstat(scene.path, &after), 0);
    assert_int_equal(before.st_size, after.st_size);
    assert_int_equal(before.st_mtim.tv_nsec, after.st_mtim.tv_nsec);
    assert_int_equal(before.st_mode, after.st_mode);
    (void)rmdir(scene.path);
    (void)scene_tear_down(NULL);
}

static void test_a_device_comes_to_no_harm(void **state)
{
    struct store_backend *backend;

    (void)state;
    assert_int_equal(sqlite_backend_open("/dev/null", 1000, &backend, &scene.err),
                     TLSMSG_ERR_CONFIG);
    assert_non_null(strstr(scene.err.text, "not a regular file"));
    assert_int_not_equal(access("/dev/null-lock", F_OK), 0);
}

static void test_root_follows_no_link(void **state)
{
    char link[TEST_PATH_MAX];
    struct store_backend *backend = scene_open();

    (void)state;
    backend->ops->close(backend, false);
    if (geteuid() != 0) {
        skip();
    }
    assert_int_equal(symlink(scene.path, test_folder_file(&scene.folder, "link", link)), 0);
    assert_int_equal(sqlite_backend_open(link, 1000, &backend, &scene.err), TLSMSG_ERR_CONFIG);
    assert_non_null(strstr(scene.err.text, "is a link"));
}

/* SQLite's log lies beside the file itself, and so does all that is ours. Root, who follows no link,
 * is somebody else for a while. */
static void test_a_link_leads_to_one_place(void **state)
{
    char link[TEST_PATH_MAX];
    char lock[TEST_PATH_MAX];
    const bool is_root = geteuid() == 0;
    struct store_backend *backend;
    struct store_backend *second;

    (void)state;
    if (is_root) {
        assert_int_equal(chown(scene.folder.path, NOBODY, NOBODY), 0);
        assert_int_equal(seteuid(NOBODY), 0);
    }
    backend = scene_open();
    assert_int_equal(symlink(scene.path, test_folder_file(&scene.folder, "link", link)), 0);
    assert_int_equal(sqlite_backend_open(link, 1000, &second, &scene.err), TLSMSG_ERR_SYSTEM);
    assert_non_null(strstr(scene.err.text, "is in use by process"));
    assert_int_not_equal(access(test_folder_file(&scene.folder, "link-lock", lock), F_OK), 0);
    backend->ops->close(backend, false);
    if (is_root) {
        assert_int_equal(seteuid(0), 0);
    }
}

static void take_away(const char *suffix)
{
    char from[TEST_PATH_MAX];
    char to[TEST_PATH_MAX];

    (void)snprintf(from, sizeof(from), "%.*s%s", TEST_PATH_MAX - 10, scene.path, suffix);
    assert_int_equal(rename(from, test_folder_file(&scene.folder, "away", to)), 0);
}

/* What is written to a file that has lost its name is gone when it is closed. */
static void test_nothing_is_promised_without_its_names(void **state)
{
    static const char *const suffixes[] = {"", "-wal"};
    size_t i;

    (void)state;
    for (i = 0; i < COUNT_OF(suffixes); i++) {
        struct store_backend *backend = scene_open();
        struct store_item once = scene_item("p", i + 1, scene_hash_a);
        struct store_item then = scene_item("p", i + 2, scene_hash_a);
        struct store_item *list[] = {&once};
        struct store_batch batch = {.items = list, .count = 1, .take_new = true};

        assert_int_equal(backend->ops->append(backend, &batch, &scene.err), STORE_RESULT_DONE);
        take_away(suffixes[i]);
        list[0] = &then;
        assert_int_equal(backend->ops->append(backend, &batch, &scene.err), STORE_RESULT_FAILED);
        assert_non_null(strstr(scene.err.text, "was removed, moved or replaced"));
        backend->ops->close(backend, true);
        test_folder_remove(&scene.folder);
        (void)scene_set_up(NULL);
    }
}

static void test_check_makes_nothing(void **state)
{
    char missing[TEST_PATH_MAX];

    (void)state;
    assert_int_equal(sqlite_db_check(scene.path, &scene.err), TLSMSG_OK);
    assert_int_not_equal(access(scene.path, F_OK), 0);
    assert_int_equal(
        sqlite_db_check(test_folder_file(&scene.folder, "missing/store.db", missing), &scene.err),
        TLSMSG_ERR_CONFIG);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_one_server_at_a_time, scene_set_up, scene_tear_down),
        cmocka_unit_test_setup_teardown(test_a_device_comes_to_no_harm, scene_set_up,
                                        scene_tear_down),
        cmocka_unit_test_setup_teardown(test_root_follows_no_link, scene_set_up, scene_tear_down),
        cmocka_unit_test_setup_teardown(test_a_link_leads_to_one_place, scene_set_up,
                                        scene_tear_down),
        cmocka_unit_test_setup_teardown(test_nothing_is_promised_without_its_names, scene_set_up,
                                        scene_tear_down),
        cmocka_unit_test_setup_teardown(test_check_makes_nothing, scene_set_up, scene_tear_down),
    };
    int failed = cmocka_run_group_tests(tests, NULL, NULL);

    RUN_ROWS(failed, test_refusal, refusals);
    return failed;
}
