/* The heap behind timers.h: smallest heap_ns first, places kept in the timers themselves. */
#include "net/timers.h"

#include <stdlib.h>

void timers_init(struct timers *timers)
{
    *timers = (struct timers){0};
}

void timers_fini(struct timers *timers)
{
    free(timers->heap);
    timers_init(timers);
}

bool timers_reserve(struct timers *timers, size_t n)
{
    struct timer **heap;
    size_t cap = timers->cap > 0 ? timers->cap : 64;

    if (n <= timers->cap) {
        return true;
    }
    while (cap < n) {
        cap *= 2;
    }
    heap = realloc(timers->heap, cap * sizeof(struct timer *));
    if (heap == NULL) {
        return false;
    }
    timers->heap = heap;
    timers->cap = cap;
    return true;
}

static void put(struct timers *timers, size_t i, struct timer *timer)
{
    timers->heap[i] = timer;
    timer->place = i + 1;
}

static void sift_up(struct timers *timers, size_t i)
{
    struct timer *timer = timers->heap[i];

    while (i > 0) {
        size_t parent = (i - 1) / 2;

        if (timers->heap[parent]->heap_ns <= timer->heap_ns) {
            break;
        }
        put(timers, i, timers->heap[parent]);
        i = parent;
    }
    put(timers, i, timer);
}

static void sift_down(struct timers *timers, size_t i)
{
    struct timer *timer = timers->heap[i];

    for (;;) {
        size_t child = 2 * i + 1;

        if (child >= timers->count) {
            break;
        }
        if (child + 1 < timers->count &&
            timers->heap[child + 1]->heap_ns < timers->heap[child]->heap_ns) {
            child++;
        }
        if (timer->heap_ns <= timers->heap[child]->heap_ns) {
            break;
        }
        put(timers, i, timers->heap[child]);
        i = child;
    }
    put(timers, i, timer);
}

void timers_remove(struct timers *timers, struct timer *timer)
{
    struct timer *last;
    size_t i;

    timer->due_ns = 0;
    if (timer->place == 0) {
        return;
    }
    i = timer->place - 1;
    timer->place = 0;
    last = timers->heap[--timers->count];
    if (last != timer) {
        put(timers, i, last);
        sift_up(timers, i);
        sift_down(timers, last->place - 1);
    }
}

void timers_set(struct timers *timers, struct timer *timer, int64_t due_ns)
{
    timer->due_ns = due_ns;
    if (timer->place != 0) {
        /* Later, or none: noted, and put right when its old time comes. */
        if (due_ns != 0 && due_ns < timer->heap_ns) {
            timer->heap_ns = due_ns;
            sift_up(timers, timer->place - 1);
        }
        return;
    }
    if (due_ns != 0) {
        timer->heap_ns = due_ns;
        put(timers, timers->count, timer);
        timers->count++;
        sift_up(timers, timers->count - 1);
    }
}

int64_t timers_next_ns(const struct timers *timers)
{
    return timers->count > 0 ? timers->heap[0]->heap_ns : 0;
}

struct timer *timers_pop(struct timers *timers, int64_t now_ns)
{
    while (timers->count > 0 && timers->heap[0]->heap_ns <= now_ns) {
        struct timer *timer = timers->heap[0];
        bool due;

        if (timer->due_ns > now_ns) {
            timer->heap_ns = timer->due_ns;
            sift_down(timers, 0);
            continue;
        }
        due = timer->due_ns != 0;
        timers_remove(timers, timer);
        if (due) {
            return timer;
        }
    }
    return NULL;
}
