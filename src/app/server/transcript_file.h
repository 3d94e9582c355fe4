/* The file of --transcript: opened to be appended to, at start and again on SIGHUP. */
#ifndef APP_SERVER_TRANSCRIPT_FILE_H
#define APP_SERVER_TRANSCRIPT_FILE_H

#include <tlsmsg/error.h>

/* Mode of a file that is made. The program's umask leaves it as it is. */
#define TRANSCRIPT_FILE_MODE 0640

/* Opens a regular file, or the one that a link points to, for appending; made where it is missing.
 * Never waits for the other end of a FIFO. *fd is the caller's to close, -1 after a failure.
 * TLSMSG_OK, or TLSMSG_ERR_CONFIG. */
enum tlsmsg_code transcript_file_open(const char *path, int *fd, struct tlsmsg_error *err);

/* Whether transcript_file_open would do it, without making the file. path: NULL for none. */
enum tlsmsg_code transcript_file_check(const char *path, struct tlsmsg_error *err);

#endif
