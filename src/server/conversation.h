/* The life of one connection, from accept to its end.
 *
 * It knows the transport and the worker that it belongs to for life, but not the poll:
 * waiting_interest says what it waits for, waiting_deadline until when, and
 * conversation_update hands both to the worker's loop. Only here do states move and ends get
 * reported; nothing here frees. Owning worker's thread. */
#ifndef SERVER_CONVERSATION_H
#define SERVER_CONVERSATION_H

#include "server/internal.h"

/* Goes on as far as possible without blocking; ready: what the poll said. */
void conversation_step(struct conversation *c, uint32_t ready);

/* After a step: puts the poll, the timer and the list of the paused in accord with c's state. */
void conversation_update(struct conversation *c);

/* The iteration's end was taken: its replies leave. */
void conversation_release(struct conversation *c);

/* The time of waiting_deadline has come. */
void conversation_expire(struct conversation *c);

/* The server stops: ends in order, replies that are due first. */
void conversation_drain(struct conversation *c);

/* Ends at once, nothing more is sent. reason: used where none is known yet. */
void conversation_abort(struct conversation *c, enum tlsmsg_close_reason reason);

/* What follows is of conversations in OPEN or FLUSH alone.
 *
 * The reply to a deferred message is there; data is taken. */
void conversation_answer(struct conversation *c, uint64_t message, char *data, size_t len);

/* A message (by its index; 0: the greeting) can't be answered: ends in order, without the replies
 * that are held for it and what follows it. */
void conversation_refuse(struct conversation *c, uint64_t message, unsigned code);

/* The handler has answered the greeting. */
void conversation_greet(struct conversation *c, uint64_t last, enum tlsmsg_promise promise);

/* Something that its flow waited for has come, or a later connection takes its place. */
void conversation_wake(struct conversation *c);
/* Memory is short: it ends, and gives back the part of a message that it keeps. */
void conversation_shed(struct conversation *c);
void conversation_take_over(struct conversation *c);

/* Whether a move is allowed. */
bool conversation_may_move(enum conversation_state from, enum conversation_state to);

#endif
