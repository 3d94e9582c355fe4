/* The file keeper: a process of its own that opens and replaces the files which the server writes by
 * name, so that the process which serves peers needs no right to write in any folder.
 *
 * A folder that is made anew can only be written to by who may write beside it, where keys and
 * certificates may lie: the kernel gives such a right for a folder and all below it. The keeper has
 * it, and nothing else: it is forked before a key is read and a peer is heard, knows its names by
 * then, has no other descriptor, and reads no file. It ends with the other end of its socket. Main
 * thread. */
#ifndef APP_SERVER_KEEPER_H
#define APP_SERVER_KEEPER_H

#include <stdbool.h>
#include <sys/types.h>

#include <tlsmsg/error.h>

#include "app/server/sandbox.h"

#define KEEPER_TEXT_MAX (64 * 1024) /* bytes of the metrics */

enum keeper_file { KEEPER_METRICS, KEEPER_TRANSCRIPT, KEEPER_KEY_LOG };

#define KEEPER_FILES 3

struct keeper {
    const char *names[KEEPER_FILES]; /* by enum keeper_file; borrowed, NULL: no such file */
    pid_t pid;                       /* 0: no process runs, and what is asked is done here */
    int fd;                          /* to the process; -1: there was none, or it has ended */
    bool awaits;                     /* an answer to the last request */
    bool is_lost;                    /* it has ended, which was not told yet */
};

/* Without a process: what is asked is done by the caller's. names: borrowed. */
void keeper_init(struct keeper *keeper, const char *const names[KEEPER_FILES]);

/* Starts the process where the sandbox will restrict files, and there are any. No other thread may
 * run, and no secret should be in memory. user: as in sandbox_enter, which it calls; sandbox: where
 * the files are, and told that this process writes none of them itself; argv: main's, for ps(1) to
 * tell the two apart, or NULL.
 * TLSMSG_OK, or why not. */
enum tlsmsg_code keeper_start(struct keeper *keeper, const char *user, struct sandbox *sandbox,
                              char *const *argv, struct tlsmsg_error *err);

bool keeper_has(const struct keeper *keeper, enum keeper_file file);

/* As metrics_write, transcript_file_open, and open(2) of a key log to append to, which is made with
 * mode 0600 and is not a link. *fd is the caller's to close.
 * The causes are theirs; or that the keeper has ended, or that it didn't answer within 5 s. */
enum tlsmsg_code keeper_write_metrics(struct keeper *keeper, const char *text,
                                      struct tlsmsg_error *err);
enum tlsmsg_code keeper_open(struct keeper *keeper, enum keeper_file file, int *fd,
                             struct tlsmsg_error *err);

/* To be polled for reading; -1 for none. */
int keeper_fd(const struct keeper *keeper);

/* To be called after a poll. True when the process was found to have ended, once. */
bool keeper_look(struct keeper *keeper);

/* Ends the process in order, and leaves no zombie. */
void keeper_fini(struct keeper *keeper);

/* What the process does, on its end of the socket, until the other one is closed. */
void keeper_serve(int fd, const char *const names[KEEPER_FILES]);

#endif
