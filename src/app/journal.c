/* Journal: see journal.h. Workers' threads and the main thread meet here, under one lock.
 *
 * The lock is held over the write, so that no other turn's lines come between; a write never
 * waits for a reader. Holds are counted and ended under the same lock, so that the end of one
 * can't be taken for the end of the next. */
#include "app/journal.h"

#include <errno.h>
#include <stdlib.h>
#include <unistd.h>

#include "base/error.h"
#include "base/wake.h"

/* A worker that holds its replies reads no more messages, so a turn or two of each is all that
 * can come together here. */
#define WAITING_MAX_BYTES ((size_t)1 << 30)

enum tlsmsg_code journal_init(struct journal *journal, int fd, struct tlsmsg_error *err)
{
    *journal = (struct journal){.wake_fd = -1};
    journal->wake_fd = wake_open();
    if (journal->wake_fd < 0) {
        return error_set(err, TLSMSG_ERR_SYSTEM, errno, "cannot make an event descriptor");
    }
    (void)pthread_mutex_init(&journal->lock, NULL);
    queue_init(&journal->waiting, WAITING_MAX_BYTES);
    output_init(&journal->output, fd);
    return TLSMSG_OK;
}

void journal_fini(struct journal *journal)
{
    if (journal->wake_fd < 0) {
        return;
    }
    (void)close(journal->wake_fd);
    (void)pthread_mutex_destroy(&journal->lock);
    queue_fini(&journal->waiting);
    output_fini(&journal->output);
    free(journal->holds);
    *journal = (struct journal){.wake_fd = -1};
}

enum tlsmsg_code journal_set_workers(struct journal *journal, unsigned workers)
{
    journal->holds = calloc(workers, sizeof(*journal->holds));
    if (journal->holds == NULL) {
        return TLSMSG_ERR_NOMEM;
    }
    journal->workers = workers;
    return TLSMSG_OK;
}

static void fail(struct journal *journal, int cause)
{
    if (journal->cause == 0) {
        journal->cause = cause;
        wake_raise(journal->wake_fd);
    }
}

/* Under the lock: writes what is accepted now, or queues it behind what waits. */
static bool accept_lines(struct journal *journal, const char *data, size_t len)
{
    size_t done = 0;

    if (journal->cause != 0 || len == 0) {
        return journal->cause == 0;
    }
    if (journal->waiting.len == 0) {
        int cause = output_write(&journal->output, data, len, &done);

        journal->written += done;
        if (cause != 0) {
            fail(journal, cause);
            return false;
        }
    }
    if (done < len) {
        if (journal->waiting.len == 0) {
            wake_raise(journal->wake_fd);
        }
        if (queue_append(&journal->waiting, data + done, len - done) != TLSMSG_OK) {
            fail(journal, ENOMEM);
            return false;
        }
    }
    journal->accepted += len;
    return true;
}

bool journal_add(struct journal *journal, const char *data, size_t len)
{
    bool accepted;

    (void)pthread_mutex_lock(&journal->lock);
    accepted = accept_lines(journal, data, len);
    (void)pthread_mutex_unlock(&journal->lock);
    return accepted;
}

enum tlsmsg_turn journal_end_turn(struct journal *journal, unsigned worker, const char *data,
                                  size_t len)
{
    struct journal_hold *hold = &journal->holds[worker];
    enum tlsmsg_turn turn = TLSMSG_TURN_RELEASE;

    (void)pthread_mutex_lock(&journal->lock);
    if (!accept_lines(journal, data, len)) {
        turn = TLSMSG_TURN_FAIL;
    } else if (len > 0 && journal->waiting.len > 0) {
        hold->mark = journal->accepted;
        turn = TLSMSG_TURN_HOLD;
    } else if (hold->count > 0) {
        turn = TLSMSG_TURN_HOLD; /* nothing to write, but earlier lines still wait */
    }
    if (turn == TLSMSG_TURN_HOLD) {
        hold->count++;
    }
    (void)pthread_mutex_unlock(&journal->lock);
    return turn;
}

/* Under the lock. */
static void write_waiting(struct journal *journal)
{
    size_t done;
    int cause;

    if (journal->cause != 0 || journal->waiting.len == 0) {
        return;
    }
    cause =
        output_write(&journal->output, queue_head(&journal->waiting), journal->waiting.len, &done);
    journal->written += done;
    queue_consume(&journal->waiting, done);
    if (cause != 0) {
        fail(journal, cause);
    }
}

/* Under the lock: ends every hold whose lines are out, or all of them after a failure. */
static void end_holds(struct journal *journal, journal_release *release, void *user)
{
    bool failed = journal->cause != 0;
    unsigned i;

    for (i = 0; i < journal->workers; i++) {
        struct journal_hold *hold = &journal->holds[i];

        while (hold->count > 0 && (failed || hold->mark <= journal->written)) {
            hold->count--;
            release(i, failed, user);
        }
    }
    if (failed && !journal->cause_told && journal->workers > 0) {
        journal->cause_told = true;
        release(0, true, user); /* perhaps no worker held */
    }
}

bool journal_go_on(struct journal *journal, journal_release *release, void *user, int *fd)
{
    bool waits;

    wake_clear(journal->wake_fd);
    (void)pthread_mutex_lock(&journal->lock);
    write_waiting(journal);
    end_holds(journal, release, user);
    waits = journal->cause == 0 && journal->waiting.len > 0;
    *fd = journal->output.fd;
    (void)pthread_mutex_unlock(&journal->lock);
    return waits;
}

int journal_wake_fd(const struct journal *journal)
{
    return journal->wake_fd;
}

int journal_cause(struct journal *journal)
{
    int cause;

    (void)pthread_mutex_lock(&journal->lock);
    cause = journal->cause;
    (void)pthread_mutex_unlock(&journal->lock);
    return cause;
}

void journal_abandon(struct journal *journal, int cause)
{
    (void)pthread_mutex_lock(&journal->lock);
    fail(journal, cause);
    (void)pthread_mutex_unlock(&journal->lock);
}

size_t journal_waiting_bytes(struct journal *journal)
{
    size_t bytes;

    (void)pthread_mutex_lock(&journal->lock);
    bytes = journal->waiting.len;
    (void)pthread_mutex_unlock(&journal->lock);
    return bytes;
}
