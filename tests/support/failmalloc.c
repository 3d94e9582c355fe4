/* Allocations that fail on request; see failmalloc.h. */
#include "support/failmalloc.h"

#include <errno.h>
#include <stdatomic.h>
#include <stdlib.h>

static atomic_size_t count;
static atomic_size_t failing; /* 0: none */
static atomic_long live;
static atomic_bool is_choosy;
static _Thread_local bool is_chosen;

void (*failmalloc_on_free)(void *block);

void *__real_malloc(size_t size);
void *__real_calloc(size_t n, size_t size);
void *__real_realloc(void *old, size_t size);
void *__real_reallocarray(void *old, size_t n, size_t size);
char *__real_strdup(const char *s);
char *__real_strndup(const char *s, size_t n);
void __real_free(void *block);

void *__wrap_malloc(size_t size);
void *__wrap_calloc(size_t n, size_t size);
void *__wrap_realloc(void *old, size_t size);
void *__wrap_reallocarray(void *old, size_t n, size_t size);
char *__wrap_strdup(const char *s);
char *__wrap_strndup(const char *s, size_t n);
void __wrap_free(void *block);

void failmalloc_at(size_t n)
{
    atomic_store(&count, 0);
    atomic_store(&failing, n);
}

void failmalloc_of_this_thread(bool alone)
{
    is_chosen = alone;
    atomic_store(&is_choosy, alone);
}

size_t failmalloc_count(void)
{
    return atomic_load(&count);
}

bool failmalloc_try(size_t n, void (*scenario)(void *state), void *state)
{
    size_t needed;

    failmalloc_at(n);
    scenario(state);
    needed = failmalloc_count();
    failmalloc_at(0);
    return needed >= n;
}

static bool fails_now(void)
{
    size_t n;

    if (atomic_load(&is_choosy) && !is_chosen) {
        return false;
    }
    n = atomic_fetch_add(&count, 1) + 1;
    if (n != atomic_load(&failing)) {
        return false;
    }
    errno = ENOMEM;
    return true;
}

/* Counts a block that is there now, in place of old. */
static void *counted(void *block, const void *old)
{
    if (block != NULL && old == NULL) {
        (void)atomic_fetch_add(&live, 1);
    }
    return block;
}

long failmalloc_live(void)
{
    return atomic_load(&live);
}

void *__wrap_malloc(size_t size)
{
    return fails_now() ? NULL : counted(__real_malloc(size), NULL);
}

void *__wrap_calloc(size_t n, size_t size)
{
    return fails_now() ? NULL : counted(__real_calloc(n, size), NULL);
}

void *__wrap_realloc(void *old, size_t size)
{
    return fails_now() ? NULL : counted(__real_realloc(old, size), old);
}

void *__wrap_reallocarray(void *old, size_t n, size_t size)
{
    return fails_now() ? NULL : counted(__real_reallocarray(old, n, size), old);
}

char *__wrap_strdup(const char *s)
{
    return fails_now() ? NULL : counted(__real_strdup(s), NULL);
}

char *__wrap_strndup(const char *s, size_t n)
{
    return fails_now() ? NULL : counted(__real_strndup(s, n), NULL);
}

void __wrap_free(void *block)
{
    if (block != NULL) {
        (void)atomic_fetch_sub(&live, 1);
        if (failmalloc_on_free != NULL) {
            failmalloc_on_free(block);
        }
    }
    __real_free(block);
}
