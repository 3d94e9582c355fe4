/* See sqlite_scene.h. */
#include "support/sqlite_scene.h"

#include <dirent.h>
#include <stdbool.h>
#include <stdio.h>

#include <sqlite3.h>

#include "base/error.h"
#include "store/sqlite.h"
#include "support/unit.h"

#define ITEMS_MAX 512

struct sqlite_scene scene;

const unsigned char scene_hash_a[STORE_HASH_BYTES] = "a";
const unsigned char scene_hash_b[STORE_HASH_BYTES] = "b";

int scene_set_up(void **state)
{
    (void)state;
    test_folder_make(&scene.folder);
    (void)test_folder_file(&scene.folder, "store.db", scene.path);
    tlsmsg_error_clear(&scene.err);
    return 0;
}

int scene_tear_down(void **state)
{
    (void)state;
    test_folder_remove(&scene.folder);
    return 0;
}

struct store_backend *scene_open(void)
{
    struct store_backend *backend = NULL;

    if (sqlite_backend_open(scene.path, SQLITE_CHECKPOINT_PAGES, &backend, &scene.err) !=
            TLSMSG_OK ||
        backend->ops->begin_run(backend, "@run", "1", &scene.err) != TLSMSG_OK) {
        fail_msg("%s", scene.err.text);
    }
    return backend;
}

struct store_item scene_item(const char *producer, uint64_t seq, const unsigned char *hash)
{
    return (struct store_item){.identity = "CN=alice",
                               .producer = producer,
                               .peer = "127.0.0.1:1",
                               .hash = hash,
                               .body = "hello",
                               .body_len = 5,
                               .seq = seq,
                               .connection = 1,
                               .time_ms = 1000 + (int64_t)seq};
}

enum store_result scene_try(struct store_backend *backend, struct store_item *items, size_t count,
                            bool take_new)
{
    struct store_item *list[ITEMS_MAX];
    struct store_batch batch = {.items = list, .count = count, .take_new = take_new};
    size_t i;

    assert_true(count <= ITEMS_MAX);
    for (i = 0; i < count; i++) {
        list[i] = &items[i];
    }
    return backend->ops->append(backend, &batch, &scene.err);
}

void scene_append(struct store_backend *backend, struct store_item *items, size_t count,
                  bool take_new)
{
    if (scene_try(backend, items, count, take_new) != STORE_RESULT_DONE) {
        fail_msg("%s", scene.err.text);
    }
}

int64_t scene_ask(const char *sql)
{
    sqlite3_stmt *statement = NULL;
    sqlite3 *db;
    int64_t value;

    assert_int_equal(sqlite3_open(scene.path, &db), SQLITE_OK);
    (void)sqlite3_busy_timeout(db, 5000);
    if (sqlite3_prepare_v2(db, sql, -1, &statement, NULL) != SQLITE_OK ||
        sqlite3_step(statement) != SQLITE_ROW) {
        fail_msg("%s: %s", sql, sqlite3_errmsg(db));
    }
    value = sqlite3_column_int64(statement, 0);
    (void)sqlite3_finalize(statement);
    (void)sqlite3_close(db);
    return value;
}

void scene_assert_error(enum tlsmsg_code code, int sys_errno, const char *text)
{
    assert_string_equal(scene.err.text, text);
    assert_int_equal(scene.err.code, code);
    assert_int_equal(scene.err.sys_errno, sys_errno);
}

void scene_assert_path_error(enum tlsmsg_code code, int sys_errno, const char *first,
                             const char *then)
{
    char text[2 * TEST_PATH_MAX + 200];

    (void)snprintf(text, sizeof(text), "%s%s%s", first, scene.path, then);
    scene_assert_error(code, sys_errno, text);
}

int scene_descriptors(void)
{
    DIR *folder = opendir("/proc/self/fd");
    int count = 0;

    assert_non_null(folder);
    while (readdir(folder) != NULL) {
        count++;
    }
    (void)closedir(folder);
    return count;
}
