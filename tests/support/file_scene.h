/* The file of a store, of the scene of support/sqlite_scene.h, where the system may refuse something
 * (support/system_faults.h). */
#ifndef SUPPORT_FILE_SCENE_H
#define SUPPORT_FILE_SCENE_H

#include "store/sqlite_file.h"
#include "support/sqlite_scene.h"
#include "support/system_faults.h"

extern struct sqlite_file file; /* of a spool */
extern int descriptors;         /* that were open before it */

/* For cmocka: nothing is there. The second closes the file, and fails where anything stays open. */
int file_scene_begin(void **state);
int file_scene_end(void **state);

/* Opens it; the second where it can be opened, or made. */
enum tlsmsg_code file_scene_open(bool create);
void file_scene_make(void);

#endif
