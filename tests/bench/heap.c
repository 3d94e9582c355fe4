/* Counts OpenSSL's allocations: see heap.h. One thread, so a plain counter will do. */
#include "heap.h"

#include <malloc.h>
#include <openssl/crypto.h>
#include <stdlib.h>

#define BLOCK_OVERHEAD 8U

static uint64_t held_bytes;

static uint64_t weight(void *block)
{
    return block == NULL ? 0 : (uint64_t)malloc_usable_size(block) + BLOCK_OVERHEAD;
}

static void *watched_malloc(size_t size, const char *file, int line)
{
    void *block = malloc(size);

    (void)file;
    (void)line;
    held_bytes += weight(block);
    return block;
}

static void *watched_realloc(void *old, size_t size, const char *file, int line)
{
    uint64_t before = weight(old);
    void *block = realloc(old, size);

    (void)file;
    (void)line;
    if (block != NULL || size == 0) {
        held_bytes += weight(block) - before;
    }
    return block;
}

static void watched_free(void *block, const char *file, int line)
{
    (void)file;
    (void)line;
    held_bytes -= weight(block);
    free(block);
}

bool heap_watch(void)
{
    return CRYPTO_set_mem_functions(watched_malloc, watched_realloc, watched_free) == 1;
}

uint64_t heap_bytes(void)
{
    return held_bytes;
}
