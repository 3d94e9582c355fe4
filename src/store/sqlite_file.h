/* The file of an SQLite store or spool, before SQLite sees it: judged, locked, its folder synced. */
#ifndef STORE_SQLITE_FILE_H
#define STORE_SQLITE_FILE_H

#include <stdbool.h>
#include <sys/types.h>

#include <tlsmsg/error.h>

#define NAME_MAX_SHOWN 256 /* of a file, in an error */

struct sqlite_file {
    const char *path; /* as it was given, for errors; borrowed */
    const char *what; /* so is this: what whoever gave it calls it, "store" or "spool" */
    char *real;       /* without links: SQLite's log and our lock lie beside the file itself */
    dev_t log_device; /* the write-ahead log's, once it was noted */
    ino_t log_inode;
    bool has_log;
    int fd; /* of the database, kept open: to close it would drop SQLite's own locks */
    int folder_fd;
    int lock_fd; /* -1: not locked */
};

#define SQLITE_FILE_CLOSED ((struct sqlite_file){.fd = -1, .folder_fd = -1, .lock_fd = -1})

/* Whether an errno value means that the disk, or the user's share of it, is full. */
bool sqlite_file_lacks_room(int sys_errno);

/* Opens path and judges what was opened: a regular file on a file system of this machine. what: its
 * name in errors; a literal. create: makes it (0600) where it is missing. As root no link is followed.
 * TLSMSG_OK, TLSMSG_ERR_CONFIG or TLSMSG_ERR_SYSTEM; on failure all is closed again. */
enum tlsmsg_code sqlite_file_open(struct sqlite_file *file, const char *path, const char *what,
                                  bool create, struct tlsmsg_error *err);

/* Refuses a file of another user, who could read and change what is kept there. TLSMSG_OK or
 * TLSMSG_ERR_CONFIG. */
enum tlsmsg_code sqlite_file_expect_own(const struct sqlite_file *file, struct tlsmsg_error *err);

/* Takes the lock of a writer: one server at a time. Its owner's number is told where another one
 * has it. Codes as above; file stays open. */
enum tlsmsg_code sqlite_file_lock(struct sqlite_file *file, struct tlsmsg_error *err);

/* Whether the name still leads to what was judged. */
bool sqlite_file_is_same(const struct sqlite_file *file);

/* Notes which file the write-ahead log is now: SQLite keeps it while it has the store open. */
void sqlite_file_note_log(struct sqlite_file *file);

/* Whether file and noted log still have their names. What is written to others is lost once they
 * are closed. TLSMSG_OK or TLSMSG_ERR_SYSTEM. */
enum tlsmsg_code sqlite_file_in_place(const struct sqlite_file *file, struct tlsmsg_error *err);

/* Makes the names in the folder durable. */
enum tlsmsg_code sqlite_file_sync_folder(const struct sqlite_file *file, struct tlsmsg_error *err);

/* Writes the bytes of the write-ahead log over themselves and syncs them. After a sync that failed
 * the machine's memory shows a log that the disk doesn't have, and that no later sync would bring
 * there. The caller keeps others from writing to the log meanwhile. No log: nothing to do. */
enum tlsmsg_code sqlite_file_rewrite_log(const struct sqlite_file *file, struct tlsmsg_error *err);

void sqlite_file_close(struct sqlite_file *file);

#endif
