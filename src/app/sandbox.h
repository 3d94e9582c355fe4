/* What the server's process may still do once it serves: read the files that a reload reads,
 * write its own output files, and nothing else.
 *
 * Landlock (landlock(7)) where the kernel has it, no new privileges, no capabilities, and with
 * --user no root. Applied by the main thread before any worker starts, since threads inherit it
 * and others would not get it. */
#ifndef APP_SANDBOX_H
#define APP_SANDBOX_H

#include <stdbool.h>
#include <stddef.h>

#include <tlsmsg/error.h>

#define SANDBOX_PATHS_MAX 128

struct sandbox {
    const char *read[SANDBOX_PATHS_MAX]; /* files that are read again on reload; borrowed */
    size_t read_count;
    const char *write[SANDBOX_PATHS_MAX]; /* files that are written or replaced; borrowed */
    size_t write_count;
};

/* Notes a file. NULL is ignored. False when there are too many. */
bool sandbox_may_read(struct sandbox *sandbox, const char *path);
bool sandbox_may_write(struct sandbox *sandbox, const char *path);

/* Becomes another user for good: groups, group, user, and no way back.
 * TLSMSG_ERR_CONFIG: no such user; TLSMSG_ERR_SYSTEM: not permitted. */
enum tlsmsg_code sandbox_become(const char *user, struct tlsmsg_error *err);

/* The first noted file that this process can't read any more, or NULL: a reload would fail. */
const char *sandbox_unreadable(const struct sandbox *sandbox);

/* Applies the rules. Rules are on the directories of the files, and of what they resolve to now:
 * a rule on a file itself would not follow its atomic replacement. held receives a line about
 * what holds and what this kernel lacks. TLSMSG_ERR_SYSTEM where the kernel has the rules and
 * refuses them. */
enum tlsmsg_code sandbox_enter(const struct sandbox *sandbox, char *held, size_t cap,
                               struct tlsmsg_error *err);

#endif
