/* Where the transcript leaves the program: one place for all workers, in order, never waiting.
 *
 * Whole lines of one turn go out in one write. What a slow stdout doesn't take waits here, and
 * the workers whose turns it belongs to hold their replies (TLSMSG_TURN_HOLD) until the main
 * thread, which polls stdout, has written it. */
#ifndef APP_JOURNAL_H
#define APP_JOURNAL_H

#include <pthread.h>
#include <stdint.h>

#include <tlsmsg/server.h>

#include "app/output.h"
#include "base/queue.h"

/* What one worker waits for. */
struct journal_hold {
    uint64_t mark;  /* its replies may leave once this many bytes are written */
    unsigned count; /* TLSMSG_TURN_HOLDs not yet ended */
};

struct journal {
    struct output output;
    pthread_mutex_t lock;
    struct queue waiting; /* accepted, not yet written */
    uint64_t accepted;    /* bytes ever */
    uint64_t written;
    struct journal_hold *holds; /* by worker; owned */
    unsigned workers;
    int cause;       /* errno of the first failure, 0: none */
    bool cause_told; /* the server knows of it */
    int wake_fd;     /* base/wake.h: the main thread has something to do */
};

/* Ends holds: one call for each, with fail when the transcript can't be written any more. */
typedef void journal_release(unsigned worker, bool fail, void *user);

/* fd is borrowed. TLSMSG_OK or TLSMSG_ERR_SYSTEM. */
enum tlsmsg_code journal_init(struct journal *journal, int fd, struct tlsmsg_error *err);
void journal_fini(struct journal *journal);

/* Makes room for the workers; before any of them runs. TLSMSG_OK or TLSMSG_ERR_NOMEM. */
enum tlsmsg_code journal_set_workers(struct journal *journal, unsigned workers);

/* Writes or keeps whole lines. False once the journal has failed. Any thread. */
bool journal_add(struct journal *journal, const char *data, size_t len);

/* The same for the last lines of a worker's turn (len 0: it has none), and what that turn has to
 * do. */
enum tlsmsg_turn journal_end_turn(struct journal *journal, unsigned worker, const char *data,
                                  size_t len);

/* Main thread: writes on, and ends holds whose lines are out. Returns true while lines wait, and
 * then *fd receives the descriptor to poll for POLLOUT. */
bool journal_go_on(struct journal *journal, journal_release *release, void *user, int *fd);

/* Main thread: has journal_go_on called soon when it polls readable; drained by journal_go_on. */
int journal_wake_fd(const struct journal *journal);

/* errno of the failure, 0 for none. */
int journal_cause(struct journal *journal);

/* Gives up what waits, with a cause of our own (an errno value). */
void journal_abandon(struct journal *journal, int cause);

/* Bytes that wait at the moment. */
size_t journal_waiting_bytes(struct journal *journal);

#endif
