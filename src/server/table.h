/* A worker's conversations: made, found by their slot, and freed. Owning worker's thread. */
#ifndef SERVER_TABLE_H
#define SERVER_TABLE_H

#include "server/internal.h"

/* Makes a conversation for an accepted socket, which it owns from then on, and takes it into the
 * table. NULL when out of memory; the descriptor then stays the caller's. */
struct conversation *table_add(struct worker *w, int fd, const struct address *peer, uint64_t id);

/* Takes the configuration of the last reload, for connections that have not begun. */
void table_follow_reload(struct worker *w);

/* The conversation in a slot when it still is the one with this number, else NULL. */
struct conversation *table_find(const struct worker *w, uint32_t slot, uint64_t id);

/* Marks c as closed: it is watched no more, is on no list, and is freed after dispatch. */
void table_mark_closed(struct worker *w, struct conversation *c);

/* Frees what is marked; the only place that does, after dispatch. */
void table_reap(struct worker *w);

/* Frees all conversations, and the table. */
void table_fini(struct worker *w);

/* The conversations that the lists and the loop point into. */
struct conversation *table_of_watch(struct loop_watch *watch);
struct conversation *table_of_timer(struct timer *timer);

#endif
