/* What --spool adds to a client: each message is kept on disk before it is sent, and leaves once the
 * server has answered it.
 *
 * Messages are gathered and kept together, so that many share one sync. Those of earlier runs go
 * first. What belongs to the screen alone (prompts) is remembered beside them, for this run.
 * CMake links spooling_none.c where nothing can be kept. Main thread. */
#ifndef APP_CLIENT_SPOOLING_H
#define APP_CLIENT_SPOOLING_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <tlsmsg/error.h>

struct spooling;

/* A message that is to be sent. */
struct spooling_message {
    uint64_t number;  /* in the spool and in tlsmsg/1; 0: there is none */
    uint64_t seq;     /* from 1, of this run's messages; 0: of an earlier run */
    const char *data; /* borrowed until the next call */
    size_t len;
};

/* What is printed once a message is answered. */
struct spooling_print {
    unsigned prompts; /* behind the reply */
    bool is_silent;   /* no reply */
};

/* Opens the spool, makes it where it is missing, and recovers it. path: borrowed. TLSMSG_OK, or a code
 * with its cause. */
enum tlsmsg_code spooling_open(const char *path, struct spooling **out, struct tlsmsg_error *err);
void spooling_close(struct spooling *spooling); /* NULL is a no-op */

/* Its name at servers; borrowed. */
const char *spooling_producer(const struct spooling *spooling);

/* The lowest number that may still have to be sent. */
uint64_t spooling_first(const struct spooling *spooling);

/* How many messages wait, those of earlier runs included, once what was answered has left.
 * TLSMSG_OK or a code with its cause. */
enum tlsmsg_code spooling_waiting(struct spooling *spooling, uint64_t *count,
                                  struct tlsmsg_error *err);

/* ---- keeping */

/* Gathers a message, of at least 1 byte; kept by spooling_keep. False: out of memory. */
bool spooling_add(struct spooling *spooling, const char *data, size_t len,
                  const struct spooling_print *print);

/* One prompt more behind the last message of this run. False: that one is answered or there is none,
 * and the prompt belongs on the screen at once. */
bool spooling_add_prompt(struct spooling *spooling);

/* Whether enough is gathered for one sync. */
bool spooling_is_gathered(const struct spooling *spooling);

/* Keeps what was gathered, all or none. connected: it may be sent at once; count: receives how many
 * that were, but for silent ones. TLSMSG_OK: it is on the disk. TLSMSG_ERR_LIMIT: no room, it stays gathered. Else the
 * spool has failed. */
enum tlsmsg_code spooling_keep(struct spooling *spooling, bool connected, size_t *count,
                               struct tlsmsg_error *err);

/* ---- sending */

/* The next message that is to be sent. TLSMSG_OK or a code with its cause. */
enum tlsmsg_code spooling_next(struct spooling *spooling, struct spooling_message *out,
                               struct tlsmsg_error *err);

/* The message that spooling_next has handed out last is the next one again. */
void spooling_put_back(struct spooling *spooling);

/* Whether something is kept that spooling_next hasn't handed out. */
bool spooling_has_next(const struct spooling *spooling);

/* A server has greeted for the first time in this run, with the last number that it has: *first
 * receives what is to be sent first, and spooling_next begins there. TLSMSG_OK, TLSMSG_ERR_CONFIG where
 * the spool was set back or copied, or a code with its cause. */
enum tlsmsg_code spooling_meet(struct spooling *spooling, uint64_t last, uint64_t *first,
                               struct tlsmsg_error *err);

/* A server has greeted: what waits may be sent from here on. TLSMSG_OK or a code with its cause. */
enum tlsmsg_code spooling_will_send(struct spooling *spooling, struct tlsmsg_error *err);

/* The server has answered a message, and those before it. Returns what is to be printed. */
struct spooling_print spooling_answered(struct spooling *spooling, uint64_t number);

/* Lets leave what was answered: now, or once it is worth a sync. TLSMSG_OK or a code with its
 * cause; that there is no room for it is none, since it would only be sent again. */
enum tlsmsg_code spooling_settle(struct spooling *spooling, bool now, struct tlsmsg_error *err);

#endif
