/* Deadlines of many owners: a binary heap of timers that are embedded in them.
 *
 * Moving a deadline later, which every message does under an idle timeout,
 * only notes the new time: the heap is put right when the old time comes. One
 * thread uses a set of timers. */
#ifndef NET_TIMERS_H
#define NET_TIMERS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct timer {
    int64_t due_ns;  /* wanted; 0: none */
    int64_t heap_ns; /* where it stands in the heap; never later than due_ns */
    size_t place;    /* index in the heap + 1; 0: not in it */
};

struct timers {
    struct timer **heap;
    size_t count;
    size_t cap;
};

void timers_init(struct timers *timers);
void timers_fini(struct timers *timers); /* the timers themselves belong to their owners */

/* Makes room for n timers, so that timers_set can't fail. False when out of memory. */
bool timers_reserve(struct timers *timers, size_t n);

/* Sets a timer's deadline (clock_now_ns() based), 0 clears it. Room must be reserved. */
void timers_set(struct timers *timers, struct timer *timer, int64_t due_ns);

/* Takes a timer out of the set, before its owner is freed. */
void timers_remove(struct timers *timers, struct timer *timer);

/* The time at which timers_pop should be called next; 0 when there is none. May be early. */
int64_t timers_next_ns(const struct timers *timers);

/* A timer whose deadline has passed, cleared and out of the set; NULL when none is left. */
struct timer *timers_pop(struct timers *timers, int64_t now_ns);

#endif
