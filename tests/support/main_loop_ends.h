/* What the server's main loop talks to, as a test's own: the server, the store, the log, the service
 * manager and the clock. Nothing waits: a poll(2) that finds nothing ready lets its time pass at once.
 * Needs WRAP ${main_loop_wraps} in tests/unit/app.cmake. One thread. */
#ifndef SUPPORT_MAIN_LOOP_ENDS_H
#define SUPPORT_MAIN_LOOP_ENDS_H

#include <poll.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <tlsmsg/server.h>

#include "app/server/main_loop.h"

#define LOOP_EVENTS_MAX 4
#define LOOP_POLLS_MAX 16
#define LOOP_TEXT_MAX 2048
#define LOOP_ENTRIES 5 /* signals, the server's end, the transcript's wake, stdout, the keeper */

struct loop_ends {
    /* what happens */
    bool goes_on;        /* the server ends with loop_server_ends, not with its stop */
    bool fails;          /* ... badly */
    bool reload_fails;   /* the next reload */
    size_t addresses;    /* of the server's two */
    const char *failure; /* the store's */
    bool has_store;
    bool keeper_is_lost; /* found once */
    /* Called by each poll of the loop before it looks, with how many there were before. */
    void (*on_poll)(unsigned polls);
    void (*on_wait)(void); /* called where the server's end is taken */
    /* what was seen */
    unsigned stops;
    unsigned reloads;
    unsigned answers; /* of the events */
    unsigned event_count;
    struct {
        enum tlsmsg_log_level level;
        enum tlsmsg_cause cause;
        char text[256];
    } events[LOOP_EVENTS_MAX];
    unsigned polls;
    int timeouts_ms[LOOP_POLLS_MAX]; /* of the first of them */
    struct pollfd entries[LOOP_POLLS_MAX][LOOP_ENTRIES];
    unsigned released[2]; /* by worker */
    unsigned failed[2];
    char said[LOOP_TEXT_MAX]; /* on stderr */
    char told[LOOP_TEXT_MAX]; /* to the service manager, a line behind each datagram */
    int64_t took_ms;          /* by the clock, from the loop's begin to its end */
};

extern struct loop_ends ends;

/* For cmocka: all as at first, and the signals blocked, as in the program. */
int loop_ends_reset(void **state);

/* Runs the loop, which must end, with what is set in it; server, systemd and signal_fd are the
 * test's own, and so are log and keeper where there are none. Returns what it returned. */
bool loop_run(struct main_loop *loop);

/* SIGTERM comes, once: the next one would end the test. */
void loop_stop(void);

/* The server ends now. */
void loop_server_ends(void);

/* The descriptor that says so. */
int loop_done_fd(void);

/* So much time passes. */
void loop_time_passes(int64_t ms);

#endif
