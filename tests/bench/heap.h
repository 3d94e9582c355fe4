/*
 * How many bytes of heap OpenSSL holds at the moment, by standing between it and the C library.
 */
#ifndef BENCH_HEAP_H
#define BENCH_HEAP_H

#include <stdbool.h>
#include <stdint.h>

/* Call once, before anything of OpenSSL is used (CRYPTO_set_mem_functions(3)); false when late. */
bool heap_watch(void);

/* Bytes held now, each block with the 8 bytes that the allocator keeps for itself; 0 unwatched. */
uint64_t heap_bytes(void);

#endif
