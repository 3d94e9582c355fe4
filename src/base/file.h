/* Small files, read and replaced whole, and the lines of text files. Blocks for the disk, and for
 * the other end of a pipe only as long as the caller says. Any thread. */
#ifndef BASE_FILE_H
#define BASE_FILE_H

#include <limits.h>
#include <stdbool.h>
#include <stddef.h>
#include <sys/stat.h>

#include "base/buffer.h"

#define FILE_NAME_MAX 160
#define FILE_LINKS_MAX 16                        /* on the way to a file, each to the next */
#define FILE_MAX_BYTES ((size_t)4 * 1024 * 1024) /* of what options name */

/* The contents of a file. They may be secret, so their memory is wiped when it is given back. */
struct file {
    const char *path;         /* borrowed */
    char name[FILE_NAME_MAX]; /* path, escaped for texts */
    struct stat status;       /* of what was opened: mode, owner, kind */
    struct buffer contents;   /* writing a NUL behind them is allowed, and done */
    char *bytes;              /* they, NUL-terminated; never NULL after success */
    size_t len;
};

/* Reads a file of at most max_bytes. A pipe (a FIFO, bash's <(...)) is waited for at most wait_ms
 * altogether, -1 for ever: a FIFO that nobody writes to must not stop a server at a reload.
 * Returns 0, or an errno value for file_error: EFBIG where it is too large, EAGAIN where a pipe
 * gave nothing in time, EIO where the file was cut while it was read. The caller calls file_fini
 * in either case. */
int file_read(struct file *file, const char *path, size_t max_bytes, int wait_ms);

void file_fini(struct file *file);

/* "cannot read key 'x.key': No such file or directory", for what file_read and file_replace
 * return. verb: "read"; what: the kind of file, "key".
 * Returns TLSMSG_ERR_NOMEM for ENOMEM, else TLSMSG_ERR_CONFIG. */
enum tlsmsg_code file_error(const char *path, const char *verb, const char *what, int sys_errno,
                            struct tlsmsg_error *err);

/* Whether this process could make a file in its folder, by modes alone: 0, or an errno value. Nothing is
 * made. */
int file_may_make(const char *path);

/* Where the link at a path points to, as a path; false where it is not a link. */
bool file_follow(const char *path, char out[PATH_MAX]);

/* How a file is replaced. */
struct file_replacement {
    unsigned mode;     /* permissions of a new file, whatever the umask */
    bool keeps_access; /* a file that exists keeps mode and owner, and must be writable */
    bool follows_link; /* the file that a link points to is replaced or made, not the link */
    bool syncs;        /* after a power cut there is the old or the new file, whole */
};

/* Replaces a file by a rename, so that a reader sees the old or the new contents, whole. The new
 * ones are written to PATH.new first; one that is there already is removed, so two writers must
 * not do this at once.
 * Returns 0, or an errno value for file_error: EOPNOTSUPP for what exists and is not a regular
 * file, such as a link that is not followed. Then the old contents stand. */
int file_replace(const char *path, const struct file_replacement *how, const char *data,
                 size_t len);

/* Writes all of it to a descriptor. 0, or an errno value. */
int file_write_all(int fd, const char *data, size_t len);

/* TLSMSG_ERR_CONFIG where the contents are not text: UTF-16 or UTF-32, as some editors save it, with
 * a zero byte, or with lines that end in CR alone. what: the kind of file, "allow file". */
enum tlsmsg_code file_check_text(const struct file *file, const char *what,
                                 struct tlsmsg_error *err);

/* Blank, tab and the other controls that editors leave at the end of a line, CR among them. */
bool file_is_blank(char c);

/* The lines of a text file as editors leave them: a byte order mark at the begin, also of a line where
 * files were put together, "\n" or "\r\n" at the ends, with or without one after the last line. */
struct file_lines {
    char *rest;
    char *end;
    unsigned number; /* of the line given last, from 1 */
};

/* Begins with the contents of a file, in which the line ends are overwritten.
 * False: they hold a zero byte, and are not text. */
bool file_lines_begin(struct file_lines *lines, struct file *file);

/* The next line without its end, NUL-terminated; NULL after the last. */
char *file_lines_next(struct file_lines *lines);

/* The next line that says something: blanks at its end are cut, empty lines and those
 * that begin with "#" are left out. */
char *file_lines_next_entry(struct file_lines *lines);

#endif
