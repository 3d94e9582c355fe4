/* Ties the store to the server: a message is stored before its reply leaves.
 *
 * A worker's turn goes line, commit, reply: its lines are out before its messages are handed to the
 * store, and its replies are held until these are decided. What could not be stored is taken back,
 * and that conversation ends in order. CMake links storing_none.c where nothing can be stored. */
#ifndef APP_SERVER_STORING_H
#define APP_SERVER_STORING_H

#include <tlsmsg/server.h>

#include "app/server/log.h"
#include "store/store.h"

struct storing;

struct storing_settings {
    const char *target; /* NULL: nothing is stored */
    int64_t keep_ms;    /* 0: for ever */
    uint64_t min_free;
    int64_t timeout_ms; /* 0: for ever */
};

#define STORING_DEFAULTS                                                                           \
    ((struct storing_settings){.min_free = (uint64_t)64 * 1024 * 1024, .timeout_ms = 5000})

/* Whether the store could be opened; nothing is made or changed. TLSMSG_OK for none. */
enum tlsmsg_code storing_check(const struct storing_settings *settings, struct tlsmsg_error *err);

/* Fills in what the sandbox must leave to a store in a database. user: whom the server becomes, or
 * NULL. reach: to be freed with store_reach_fini, in any case. TLSMSG_OK, or a code with its cause. */
enum tlsmsg_code storing_reach(const struct storing_settings *settings, const char *user,
                               struct store_reach *reach, struct tlsmsg_error *err);
void storing_reach_fini(struct store_reach *reach);

/* Opens the store, for a server that has not started yet and that outlives it; both are borrowed. With no
 * target *out is NULL, which all functions below take.
 * TLSMSG_OK, or a code with its cause. */
enum tlsmsg_code storing_open(const struct storing_settings *settings, struct tlsmsg_server *server,
                              struct log *log, struct storing **out, struct tlsmsg_error *err);

/* The handler's message and hello. The latter is the handler's only where there is a store. */
void storing_message(struct storing *storing, struct tlsmsg_message *message);
void storing_closed(struct storing *storing, const struct tlsmsg_closed *closed, unsigned worker);
void storing_hello(struct storing *storing, const struct tlsmsg_hello *hello);

/* The handler's turn_end, with what the transcript has decided. */
enum tlsmsg_turn storing_turn_end(struct storing *storing, unsigned worker, enum tlsmsg_turn lines);

/* In place of tlsmsg_server_release once a turn's lines are out. Main thread. */
void storing_lines_out(struct storing *storing, struct tlsmsg_server *server, unsigned worker,
                       bool fail);

/* Why the store has failed, NULL when it hasn't. Main thread. */
const char *storing_failure(struct storing *storing);

/* Numbers of the store and what its OK means. False: there is none. Any thread. */
bool storing_stats(struct storing *storing, struct store_stats *stats, enum store_promise *promise);

/* Once the server has ended. */
void storing_close(struct storing *storing);

#endif
