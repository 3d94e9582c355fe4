/* A C library that gives back by itself, or can't be asked to. */
#include "base/memory.h"

void memory_give_back(void)
{
}
