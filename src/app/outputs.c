/* See outputs.h. */
#include "app/outputs.h"

#include <libgen.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#include "base/error.h"
#include "base/escape.h"
#include "base/file.h"

static bool is_same(const struct stat *is, const struct stat *other)
{
    return is->st_dev == other->st_dev && is->st_ino == other->st_ino;
}

/* Cuts a path into its folder and the name in it; the folder's status. False: there is none. */
static bool look_at_folder(const char *path, char copy[PATH_MAX], const char **name,
                           struct stat *folder)
{
    const char *slash = strrchr(path, '/');

    *name = slash != NULL ? slash + 1 : path;
    return snprintf(copy, PATH_MAX, "%s", path) < PATH_MAX && stat(dirname(copy), folder) == 0;
}

/* Whether two paths name one regular file: one that is there, or one that would be made. */
static bool name_one_file(const char *path, const char *other)
{
    char copy[PATH_MAX];
    const char *names[2];
    struct stat is[2];
    bool is_there = stat(path, &is[0]) == 0;

    if (is_there != (stat(other, &is[1]) == 0)) {
        return false;
    }
    if (is_there) {
        return S_ISREG(is[0].st_mode) && is_same(&is[0], &is[1]);
    }
    if (strcmp(path, other) == 0) {
        return true; /* its folder may come later */
    }
    return look_at_folder(path, copy, &names[0], &is[0]) &&
           look_at_folder(other, copy, &names[1], &is[1]) && strcmp(names[0], names[1]) == 0 &&
           is_same(&is[0], &is[1]);
}

void outputs_add(struct outputs *outputs, const char *option, const char *path, bool is_written)
{
    if (path != NULL && outputs->count < OUTPUTS_MAX) {
        outputs->files[outputs->count++] = (struct outputs_file){option, path, is_written};
    }
}

void outputs_add_option(struct outputs *outputs, const struct tlsmsg_options *options,
                        enum tlsmsg_option option, bool is_written)
{
    size_t count = tlsmsg_options_count(options, option);

    for (size_t i = 0; i < count; i++) {
        outputs_add(outputs, tlsmsg_option_name(option), tlsmsg_options_text(options, option, i),
                    is_written);
    }
}

enum tlsmsg_code outputs_check(const struct outputs *outputs, struct tlsmsg_error *err)
{
    char shown[FILE_NAME_MAX];

    for (size_t i = 0; i < outputs->count; i++) {
        const struct outputs_file *written = &outputs->files[i];

        for (size_t k = 0; k < outputs->count && written->is_written; k++) {
            const struct outputs_file *other = &outputs->files[k];

            if (k != i && name_one_file(written->path, other->path)) {
                return error_set(err, TLSMSG_ERR_CONFIG, 0,
                                 "--%s and --%s name the same file '%s' (try: a file of its own "
                                 "for --%s)",
                                 written->option, other->option,
                                 escape_name(shown, sizeof(shown), written->path), written->option);
            }
        }
    }
    return TLSMSG_OK;
}
