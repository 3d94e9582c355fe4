/* The allocator's reserve: memory that was freed, but not given back to the system.
 *
 * CMake links memory_trim.c where the C library can be asked (malloc_trim(3)), else memory_keep.c. */
#ifndef BASE_MEMORY_H
#define BASE_MEMORY_H

/* Gives back what it can; costs a walk over the free memory. Any thread. */
void memory_give_back(void);

#endif
