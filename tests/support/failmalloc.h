/* Allocations that fail on request, and blocks that are counted.
 *
 * The linker sends every call of malloc and its kin in the test and the library to failmalloc.c
 * (ld's --wrap; FAILMALLOC in tests/unit/CMakeLists.txt); calls inside the C library and cmocka
 * go their usual way. Works under sanitizers and valgrind too. Any thread.
 *
 * The loop that tries every allocation of a scenario:
 *     for (n = 1; failmalloc_try(n, scenario, state); n++) {
 *     }
 */
#ifndef SUPPORT_FAILMALLOC_H
#define SUPPORT_FAILMALLOC_H

#include <stdbool.h>
#include <stddef.h>

/* Counts anew and lets the nth allocation from now fail (once); 0: none fails. */
void failmalloc_at(size_t n);

/* From now on the allocations of this thread alone are counted and can fail; not: those of all. */
void failmalloc_of_this_thread(bool alone);

/* Allocations since the last failmalloc_at, failed ones included. */
size_t failmalloc_count(void);

/* Blocks that were allocated and are not freed. Its absolute value says nothing, since the C
 * library allocates and frees on its own; that it is the same afterwards tells that nothing of
 * ours is left. */
long failmalloc_live(void);

/* Called with each block before it is freed; NULL: nobody is. */
extern void (*failmalloc_on_free)(void *block);

/* Runs a scenario, which checks itself, with its nth allocation failing.
 * Returns false when it needed fewer than n: then nothing failed. */
bool failmalloc_try(size_t n, void (*scenario)(void *state), void *state);

#endif
