/* A folder for one test: see test_folder.h. */
#include "support/test_folder.h"

#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

void test_folder_make(struct test_folder *folder)
{
    const char *parent = getenv("TMPDIR");
    int n = snprintf(folder->path, sizeof(folder->path), "%s/tlsmsg-test-XXXXXX",
                     parent != NULL ? parent : "/tmp");

    if (n < 0 || (size_t)n >= sizeof(folder->path) || mkdtemp(folder->path) == NULL) {
        perror("test folder");
        abort();
    }
}

const char *test_folder_file(const struct test_folder *folder, const char *name,
                             char out[TEST_PATH_MAX])
{
    int n = snprintf(out, TEST_PATH_MAX, "%s/%s", folder->path, name);

    if (n < 0 || n >= TEST_PATH_MAX) {
        abort();
    }
    return out;
}

void test_folder_remove(const struct test_folder *folder)
{
    char path[TEST_PATH_MAX];
    DIR *dir = opendir(folder->path);
    const struct dirent *entry;

    if (dir == NULL) {
        return;
    }
    while ((entry = readdir(dir)) != NULL) {
        if (strcmp(entry->d_name, ".") != 0 && strcmp(entry->d_name, "..") != 0 &&
            strlen(entry->d_name) < TEST_PATH_MAX / 2) {
            (void)unlink(test_folder_file(folder, entry->d_name, path));
        }
    }
    closedir(dir);
    (void)rmdir(folder->path);
}
