/* What stands around the file keeper in a test: calls of the kernel that follow a script, the sandbox,
 * which is not entered, and what the process saw.
 *
 * Needs WRAP ${keeper_wraps} in tests/unit/app.cmake. One thread; the process has a copy of the scripts. */
#ifndef SUPPORT_KEEPER_ENDS_H
#define SUPPORT_KEEPER_ENDS_H

#include <poll.h>
#include <stdbool.h>
#include <stddef.h>
#include <sys/socket.h>

#include "app/server/keeper.h"
#include "support/test_folder.h"

/* Answers, call by call: an errno, 0 for the truth, or one of these. */
#define NOTHING (-1) /* 0, and an errno of long ago that stands for nothing */
#define LAST (-2)    /* the end of a script: the truth from here on */

struct script {
    const int *answers; /* NULL: the truth */
    unsigned calls;
};

extern struct keeper_ends {
    struct script fork;
    struct script socketpair;
    struct script dup2;
    struct script poll;
    struct script recv;
    struct script recvmsg;
    struct script sendmsg;
    unsigned waits;  /* of waitpid */
    int stale_errno; /* which calls leave that don't fail */

    int replies_by; /* who puts a reply into the socket as soon as a request has left; 0: nobody */
    struct tlsmsg_error reply;
    size_t reply_len;

    enum tlsmsg_code enters_with; /* what comes of the sandbox */
} on;

/* What the process saw before its first word, in memory that both have. */
extern struct seen {
    bool std_lead_nowhere;
    bool has_no_more; /* descriptors than these and the socket */
    bool blocks_signals;
    char name[16];
    char title[64];
    struct sandbox entered;
    bool has_user; /* "somebody" */
} * seen;

extern char metrics[TEST_PATH_MAX];
extern char key_log[TEST_PATH_MAX];
extern const char *const names[KEEPER_FILES];
extern char *const command_line[];

/* Of each test; they make and remove a folder for the files. */
int keeper_ends_set_up(void **state);
int keeper_ends_tear_down(void **state);

/* Forgets scripts, and what was counted. */
void keeper_ends_forget(void);

/* The least descriptor that is free: the same afterwards where none was left open. */
int next_fd(void);

/* A pair without a script. */
void connect_ends(int ends[2]);

/* Takes descriptor 0 away, and gives it back. Returns what is to be given back. */
int take_stdin(void);
void give_stdin(int saved);

int __real_poll(struct pollfd *entries, nfds_t count, int timeout_ms);
ssize_t __real_recv(int fd, void *buf, size_t cap, int flags);
ssize_t __real_recvmsg(int fd, struct msghdr *packet, int flags);
ssize_t __real_sendmsg(int fd, const struct msghdr *packet, int flags);

#endif
