/* Leaves ones where the next call has its variables: one that it forgets to fill is not zero by
 * chance. */
#ifndef SUPPORT_DIRTY_STACK_H
#define SUPPORT_DIRTY_STACK_H

#include <stddef.h>

__attribute__((noinline, unused)) static void dirty_stack(void)
{
    volatile unsigned char room[8192];

    for (size_t i = 0; i < sizeof(room); i++) {
        room[i] = 0xff;
    }
}

#endif
