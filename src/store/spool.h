/* A client's spool: messages that wait for a server, kept on disk before they are sent.
 *
 * It is a store with one producer, the spool itself, which has a name of its own and numbers what is
 * kept 1, 2, 3 ... A message leaves once the server has answered it. So `tlsmsg-store list` shows
 * what waits. One program at a time; all functions from one thread. */
#ifndef STORE_SPOOL_H
#define STORE_SPOOL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <tlsmsg/error.h>

#include "store/store.h"

struct spool;

struct spool_message {
    uint64_t number; /* spool_keep gives it */
    const char *body;
    size_t len;
    const unsigned char *hash; /* SHA-256 of the body, STORE_HASH_BYTES; borrowed as body is */
};

/* Opens a spool, makes it where it is missing, and recovers what a crash has left. Once it returns,
 * no message that it shows may still be lost, and so none of its numbers be given again.
 * path, version: borrowed; version is the program's. out: owned by the caller.
 * TLSMSG_OK, TLSMSG_ERR_CONFIG (not a spool; used by another program, which is told), or
 * TLSMSG_ERR_SYSTEM or TLSMSG_ERR_NOMEM. */
enum tlsmsg_code spool_open(const char *path, const char *version, struct spool **out,
                            struct tlsmsg_error *err);

/* Who numbers its messages: the producer of tlsmsg/1. Borrowed until spool_close. */
const char *spool_producer(const struct spool *spool);

/* The last number that was given; 0: none was. */
uint64_t spool_last(const struct spool *spool);

/* Keeps messages, all or none, and gives each its number. sends: they may be sent without another
 * call of spool_will_send. With TLSMSG_OK they are on the disk.
 * TLSMSG_ERR_LIMIT: there is no room now, or another program writes, and nothing was kept.
 * TLSMSG_ERR_SYSTEM: the spool has failed and must be closed; whether they were kept is unknown. */
enum tlsmsg_code spool_keep(struct spool *spool, struct spool_message *messages, size_t count,
                            bool sends, struct tlsmsg_error *err);

/* All that wait may be sent from here on, which the spool remembers: see spool_meet. Codes as
 * spool_keep's. */
enum tlsmsg_code spool_will_send(struct spool *spool, struct tlsmsg_error *err);

/* The first message that waits behind a number (0: the first of all). out->number 0: none does.
 * Its body and hash are borrowed until the next call. TLSMSG_OK or TLSMSG_ERR_SYSTEM. */
enum tlsmsg_code spool_next(struct spool *spool, uint64_t after, struct spool_message *out,
                            struct tlsmsg_error *err);

/* The server has answered up to a number: those messages leave. TLSMSG_OK; TLSMSG_ERR_LIMIT: not even
 * that has room now, and they leave with a later call; TLSMSG_ERR_SYSTEM as spool_keep's. */
enum tlsmsg_code spool_answered(struct spool *spool, uint64_t number, struct tlsmsg_error *err);

/* Holds the server's last number against the spool's own: what is to be sent first (0: nothing
 * waits). The message under `last` comes again where it is here, so that its bytes are compared.
 * TLSMSG_OK; TLSMSG_ERR_CONFIG: the server has a number that this spool has never sent, since it was
 * set back or copied; TLSMSG_ERR_SYSTEM. */
enum tlsmsg_code spool_meet(struct spool *spool, uint64_t last, uint64_t *first,
                            struct tlsmsg_error *err);

/* How many messages wait. TLSMSG_OK or TLSMSG_ERR_SYSTEM. */
enum tlsmsg_code spool_waiting(struct spool *spool, uint64_t *count, struct tlsmsg_error *err);

/* NULL: nothing is done. */
void spool_close(struct spool *spool);

#endif
