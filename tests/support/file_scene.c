/* See file_scene.h. */
#include "support/file_scene.h"

#include "support/unit.h"

struct sqlite_file file;
int descriptors;

int file_scene_begin(void **state)
{
    (void)scene_set_up(state);
    system_faults_end();
    file = SQLITE_FILE_CLOSED;
    descriptors = scene_descriptors();
    return 0;
}

int file_scene_end(void **state)
{
    system_faults_end();
    sqlite_file_close(&file);
    (void)scene_tear_down(state);
    return scene_descriptors() == descriptors ? 0 : 1;
}

enum tlsmsg_code file_scene_open(bool create)
{
    return sqlite_file_open(&file, scene.path, "spool", create, &scene.err);
}

void file_scene_make(void)
{
    assert_int_equal(file_scene_open(true), TLSMSG_OK);
}
