/* A store in a file in a folder of a test's own, and what tests do with it. */
#ifndef SUPPORT_SQLITE_SCENE_H
#define SUPPORT_SQLITE_SCENE_H

#include <stddef.h>
#include <stdint.h>

#include <tlsmsg/error.h>

#include "store/backend.h"
#include "support/test_folder.h"

struct sqlite_scene {
    struct test_folder folder;
    char path[TEST_PATH_MAX]; /* of the store */
    struct tlsmsg_error err;
};

extern struct sqlite_scene scene;

/* For cmocka: the folder, without a store, and no error. */
int scene_set_up(void **state);
int scene_tear_down(void **state);

/* Opens the store, makes it where there is none, and begins a run. */
struct store_backend *scene_open(void);

/* Two hashes. */
extern const unsigned char scene_hash_a[STORE_HASH_BYTES];
extern const unsigned char scene_hash_b[STORE_HASH_BYTES];

/* A message "hello" of CN=alice, on connection 1, that came 1000 + seq ms after 1970 began. */
struct store_item scene_item(const char *producer, uint64_t seq, const unsigned char *hash);

/* Has them decided in one batch. */
enum store_result scene_try(struct store_backend *backend, struct store_item *items, size_t count,
                            bool take_new);

/* The same, and it has to be done. */
void scene_append(struct store_backend *backend, struct store_item *items, size_t count,
                  bool take_new);

/* A number asked of the file by another connection, which may change it as well. */
int64_t scene_ask(const char *sql);

/* Fails unless the error is that one, to the letter. */
void scene_assert_error(enum tlsmsg_code code, int sys_errno, const char *text);

/* The same of an error whose text names the store's path between these two parts. */
void scene_assert_path_error(enum tlsmsg_code code, int sys_errno, const char *first,
                             const char *then);

/* Descriptors that are open. */
int scene_descriptors(void);

#endif
