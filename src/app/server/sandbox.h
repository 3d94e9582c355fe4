/* What the server's process may still do once it serves: read the files that a reload reads,
 * write its own output files, and nothing else.
 *
 * Landlock (landlock(7)) where the kernel has it, no new privileges, no capabilities, and with
 * --user no root. Applied by the main thread before any worker starts, since threads inherit it
 * and others would not get it. */
#ifndef APP_SERVER_SANDBOX_H
#define APP_SERVER_SANDBOX_H

#include <stdbool.h>
#include <stddef.h>

#include <tlsmsg/error.h>
#include <tlsmsg/options.h>

#define SANDBOX_PATHS_MAX 128

struct store_reach;

/* How the process reaches the files of sandbox_may_write. */
enum sandbox_writes {
    SANDBOX_WRITES_IN_FOLDERS, /* where they lie now */
    SANDBOX_WRITES_ANEW,       /* there, and where they come to lie when a folder is made anew */
    SANDBOX_WRITES_NOTHING     /* not at all: another process does it */
};

struct sandbox {
    const char *read[SANDBOX_PATHS_MAX]; /* files that are read again on reload; borrowed */
    size_t read_count;
    const char *write[SANDBOX_PATHS_MAX]; /* files that are written or replaced; borrowed */
    size_t write_count;
    enum sandbox_writes writes;
    const char *store; /* a file that is written beside others of its own, whose folder is synced */
    bool connects;     /* the store is reached over the network, or by a socket */
    const struct store_reach *reach; /* how; borrowed, filled in before the sandbox is entered */
};

/* Adds a file. NULL is ignored. False when there are too many. */
bool sandbox_may_read(struct sandbox *sandbox, const char *path);
bool sandbox_may_write(struct sandbox *sandbox, const char *path);

/* What came of it, for the log. */
struct sandbox_report {
    char held[384];    /* what holds and what this kernel lacks */
    char warning[512]; /* a file that a reload could not read any more; "" for none */
};

/* Whether --user can be followed at all; before anything is opened. user: NULL for none.
 * options: are told whose the process will be.
 * TLSMSG_ERR_CONFIG: no such user, or another one while this process is not root's. */
enum tlsmsg_code sandbox_check_user(const char *user, struct tlsmsg_options *options,
                                    struct tlsmsg_error *err);

/* The files of a reload that root alone can read, "'a.key', 'b.key'"; "" for none; cut with "...". */
void sandbox_print_roots_own(const struct sandbox *sandbox, char *out, size_t cap);

/* Becomes user (NULL: stays), restricts itself where the build does (BUILD_HAS_SANDBOX), and looks
 * whether the files of a reload are still within reach. All files and sockets must be open, and no
 * other thread may run.
 * TLSMSG_ERR_CONFIG or TLSMSG_ERR_SYSTEM, after which the process should end. */
enum tlsmsg_code sandbox_enter(const char *user, const struct sandbox *sandbox,
                               struct sandbox_report *report, struct tlsmsg_error *err);

/* Whether sandbox_enter will restrict files: neither every build nor every kernel does. */
bool sandbox_restricts_files(void);

/* Applies the rules, in any build. They are on the directories of the files, and of what they resolve
 * to now: a rule on a file itself would not follow its atomic replacement. A folder may be replaced
 * as well, and a link on the way may come to point to another beside the old one, so the folder above
 * each may be read too, unless that one is wide: "/", what lies directly in it, somebody's home.
 * SANDBOX_WRITES_ANEW allows writing, but not reading, below the nearest folder that is never made
 * anew: a home, or one that every system has, such as /run or /var/lib.
 * held, cap: as above.
 * TLSMSG_ERR_SYSTEM where the kernel has the rules and refuses them. */
enum tlsmsg_code sandbox_restrict(const struct sandbox *sandbox, char *held, size_t cap,
                                  struct tlsmsg_error *err);

#endif
