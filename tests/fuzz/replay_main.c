/* Runs a target over files and folders of inputs, one after the other: for compilers without
 * libFuzzer, and so that the corpus is a test of every build. */
#include "fuzz.h"

#include <dirent.h>
#include <string.h>
#include <sys/stat.h>

#define INPUT_BYTES_MAX (1024 * 1024)
#define PATH_BYTES_MAX 4096

static unsigned long inputs;

static void replay_file(const char *path)
{
    static uint8_t bytes[INPUT_BYTES_MAX];
    FILE *file = fopen(path, "rb");
    size_t len;

    if (file == NULL) {
        perror(path);
        exit(2);
    }
    len = fread(bytes, 1, sizeof(bytes), file);
    if (ferror(file) || !feof(file)) {
        (void)fprintf(stderr, "%s: can't be read, or is too long\n", path);
        exit(2);
    }
    (void)fclose(file);
    (void)fprintf(stderr, "%s\n", path);
    (void)LLVMFuzzerTestOneInput(bytes, len);
    inputs++;
}

static void replay(const char *path)
{
    struct stat about;
    struct dirent *entry;
    DIR *folder;

    if (stat(path, &about) == 0 && !S_ISDIR(about.st_mode)) {
        replay_file(path);
        return;
    }
    folder = opendir(path);
    if (folder == NULL) {
        perror(path);
        exit(2);
    }
    while ((entry = readdir(folder)) != NULL) {
        char inner[PATH_BYTES_MAX];

        if (entry->d_name[0] != '.') {
            (void)snprintf(inner, sizeof(inner), "%s/%s", path, entry->d_name);
            replay_file(inner);
        }
    }
    (void)closedir(folder);
}

int main(int argc, char **argv)
{
    (void)LLVMFuzzerInitialize(&argc, &argv);
    for (int i = 1; i < argc; i++) {
        replay(argv[i]);
    }
    (void)fprintf(stderr, "%lu inputs\n", inputs);
    return inputs > 0 ? 0 : 1;
}
