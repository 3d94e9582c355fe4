/* Both ends of storing, the store and the server, as a test's own: what each answers, and what it was told.
 * Needs the WRAPs of storing_calls in tests/unit/app.cmake. */
#ifndef SUPPORT_STORING_ENDS_H
#define SUPPORT_STORING_ENDS_H

#include <tlsmsg/server.h>

#include "app/server/storing.h"
#include "store/store.h"
#include "support/storing_message.h"

#define STORING_WORKERS 2

struct storing_seen {
    /* the store */
    struct store_settings settings;
    enum tlsmsg_code opened;
    enum tlsmsg_code put;
    unsigned parts;
    size_t undecided[STORING_WORKERS];
    enum store_promise promise;
    bool decides_at_once; /* each part, while it is handed over */
    bool failed;
    struct store_record record;
    unsigned worker;
    unsigned puts;
    unsigned turn_ends;
    unsigned handed;
    unsigned closes;
    uint64_t ended;       /* a connection */
    uint64_t promised_to; /* a connection */
    const char *home;     /* of store_reach */
    const char *target;   /* of store_reach and store_check */
    /* the server */
    enum tlsmsg_code hello;
    enum tlsmsg_code refuse;
    struct tlsmsg_token token;
    uint64_t last;
    enum tlsmsg_promise told_promise;
    unsigned code;
    unsigned hellos;
    unsigned refusals;
    unsigned releases;
    unsigned released_worker;
    bool released_failed;
    int64_t buffered;
    unsigned buffered_calls;
    /* the log */
    struct tlsmsg_event event;
    unsigned events;
    bool no_workers; /* no memory for them */
};

extern struct storing_seen seen;

extern struct store *const storing_store;
extern struct tlsmsg_server *const storing_server;
extern struct log *const storing_log;
extern struct storing *storing; /* what is tested */

/* All of them as at first, and storing_message_reset. */
void storing_ends_reset(void);

/* Gives storing a decision of the store's on that message, or on a greeting (0). Its slot is 0xABCDEF,
 * the producer's last number 42. */
void storing_decide(enum store_verdict verdict, uint64_t message, bool failed);

#endif
