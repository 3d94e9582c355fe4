/* A folder of a test's own, removed with all that is in it. */
#ifndef SUPPORT_TEST_FOLDER_H
#define SUPPORT_TEST_FOLDER_H

#define TEST_PATH_MAX 256

struct test_folder {
    char path[TEST_PATH_MAX / 2];
};

/* Makes it under $TMPDIR or /tmp; aborts on failure. */
void test_folder_make(struct test_folder *folder);

/* Removes it and the plain files in it. */
void test_folder_remove(const struct test_folder *folder);

/* The path of a file in it. Returns out. */
const char *test_folder_file(const struct test_folder *folder, const char *name,
                             char out[TEST_PATH_MAX]);

#endif
