/* What a conversation waits for, and until when: computed from its state alone, never set. Pure. */
#ifndef SERVER_WAITING_H
#define SERVER_WAITING_H

#include "server/internal.h"

/* LOOP_READ and LOOP_WRITE. */
uint32_t waiting_interest(const struct conversation *c);

/* On the monotonic clock; 0: for ever. */
int64_t waiting_deadline(const struct conversation *c);

/* Replies wait for the peer to take them, or OpenSSL's own answer to a key update does. */
bool waiting_is_writing(const struct conversation *c);

/* Nothing more is read from the peer, and the next reply to leave is one that the handler took for
 * later. Not where it was our own end that stopped the reading: that has the drain timeout. */
bool waiting_awaits_handler(const struct conversation *c);

/* The server stops, and what it waited for from this conversation has not come in time. */
bool waiting_is_drained(const struct conversation *c);

#endif
