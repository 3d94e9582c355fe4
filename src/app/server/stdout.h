/* Where the transcript leaves the program: one place for all workers, in order, never waiting.
 *
 * Whole lines of one turn go out in one write. What a slow stdout doesn't take waits here, and the
 * workers whose turns it belongs to hold their replies (TLSMSG_TURN_HOLD) until the main thread,
 * which polls stdout, has written it. */
#ifndef APP_SERVER_STDOUT_H
#define APP_SERVER_STDOUT_H

#include <pthread.h>
#include <stdbool.h>
#include <stdint.h>

#include <tlsmsg/server.h>

#include "app/server/backlog.h"

/* ---- a descriptor that is never waited for
 *
 * O_NONBLOCK belongs to the open file description, which a shell and other programs share with
 * us, so it is never set on the descriptor that we were given. */

enum stdout_kind {
    STDOUT_FILE,     /* never makes a writer wait for a reader: written directly */
    STDOUT_REOPENED, /* a description of our own, with O_NONBLOCK */
    STDOUT_SOCKET,   /* sent with MSG_DONTWAIT */
    STDOUT_POLLED    /* can't be opened again: pieces that fit, after a look at poll(2) */
};

struct stdout_target {
    int fd;
    enum stdout_kind kind;
    bool owns_fd;
};

/* Looks at what fd is and chooses the way to write to it; always succeeds. */
void stdout_target_init(struct stdout_target *target, int fd);
void stdout_target_fini(struct stdout_target *target);

/* Writes as much as is taken without waiting; *done receives how much that was. Returns 0, or an
 * errno value after which nothing more can be written. */
int stdout_target_write(const struct stdout_target *target, const char *data, size_t len,
                        size_t *done);

/* ---- the writer */

/* What one worker waits for. */
struct stdout_hold {
    uint64_t mark;  /* its replies may leave once this many bytes are written */
    unsigned count; /* TLSMSG_TURN_HOLDs not yet ended */
    bool has_long;  /* its turn has a long line */
};

/* Told, under the writer's lock, by how many bytes what waits has grown or shrunk. */
typedef void stdout_change(int64_t delta_bytes, void *user);

struct stdout_writer {
    struct stdout_target target;
    pthread_mutex_t lock;
    struct backlog backlog; /* accepted, not yet written */
    size_t told_bytes;      /* of it, as on_change knows it */
    stdout_change *on_change;
    void *on_change_user;
    uint64_t accepted; /* bytes ever */
    uint64_t written;
    struct stdout_hold *holds; /* by worker; owned */
    unsigned workers;
    int cause;       /* errno of the first failure, 0: none */
    bool cause_told; /* the server knows of it */
    int wake_fd;     /* base/wake.h: the main thread has something to do */
};

/* Ends holds: one call for each, with fail when the transcript can't be written any more. */
typedef void stdout_release(unsigned worker, bool fail, void *user);

/* fd is borrowed; -1: stdout_writer_set_file follows. TLSMSG_OK or TLSMSG_ERR_SYSTEM. */
enum tlsmsg_code stdout_writer_init(struct stdout_writer *writer, int fd, struct tlsmsg_error *err);
void stdout_writer_fini(struct stdout_writer *writer);

/* Has changes of what waits told, from now on; before any worker runs. */
void stdout_writer_on_change(struct stdout_writer *writer, stdout_change *on_change, void *user);

/* From now on lines go to fd, which the writer closes. What waits goes there, too. Any thread. */
void stdout_writer_set_file(struct stdout_writer *writer, int fd);

/* Makes room for the workers; before any of them runs. TLSMSG_OK or TLSMSG_ERR_NOMEM. */
enum tlsmsg_code stdout_writer_set_workers(struct stdout_writer *writer, unsigned workers);

/* Writes or keeps whole lines. False once the writer has failed. Any thread. */
bool stdout_writer_add(struct stdout_writer *writer, const char *data, size_t len);

/* The same for one long line of a worker's turn, which is copied; the turn will hold. */
bool stdout_writer_add_long(struct stdout_writer *writer, unsigned worker,
                            const struct stdout_line *line);

/* The same for the last lines of a worker's turn (len 0: it has none), and what that turn has to
 * do. */
enum tlsmsg_turn stdout_writer_end_turn(struct stdout_writer *writer, unsigned worker,
                                        const char *data, size_t len);

/* Main thread: writes on, and ends holds whose lines are out. Returns true while lines wait, and
 * then *fd receives the descriptor to poll for POLLOUT. */
bool stdout_writer_continue(struct stdout_writer *writer, stdout_release *release, void *user,
                            int *fd);

/* Main thread: has stdout_writer_continue called soon when it polls readable; drained by that. */
int stdout_writer_wake_fd(const struct stdout_writer *writer);

/* errno of the failure, 0 for none. */
int stdout_writer_cause(struct stdout_writer *writer);

/* Gives up what waits, with a cause of our own (an errno value). */
void stdout_writer_abandon(struct stdout_writer *writer, int cause);

/* Bytes that wait at the moment. */
size_t stdout_writer_waiting_bytes(struct stdout_writer *writer);

#endif
