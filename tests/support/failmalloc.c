/* Allocations that fail on request; see failmalloc.h. */
#include "support/failmalloc.h"

#include <errno.h>
#include <stdatomic.h>
#include <stdlib.h>

static atomic_size_t count;
static atomic_size_t failing; /* 0: none */

void *__real_malloc(size_t size);
void *__real_calloc(size_t n, size_t size);
void *__real_realloc(void *old, size_t size);
void *__real_reallocarray(void *old, size_t n, size_t size);
char *__real_strdup(const char *s);
char *__real_strndup(const char *s, size_t n);

void *__wrap_malloc(size_t size);
void *__wrap_calloc(size_t n, size_t size);
void *__wrap_realloc(void *old, size_t size);
void *__wrap_reallocarray(void *old, size_t n, size_t size);
char *__wrap_strdup(const char *s);
char *__wrap_strndup(const char *s, size_t n);

void failmalloc_at(size_t n)
{
    atomic_store(&count, 0);
    atomic_store(&failing, n);
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
    size_t n = atomic_fetch_add(&count, 1) + 1;

    if (n != atomic_load(&failing)) {
        return false;
    }
    errno = ENOMEM;
    return true;
}

void *__wrap_malloc(size_t size)
{
    return fails_now() ? NULL : __real_malloc(size);
}

void *__wrap_calloc(size_t n, size_t size)
{
    return fails_now() ? NULL : __real_calloc(n, size);
}

void *__wrap_realloc(void *old, size_t size)
{
    return fails_now() ? NULL : __real_realloc(old, size);
}

void *__wrap_reallocarray(void *old, size_t n, size_t size)
{
    return fails_now() ? NULL : __real_reallocarray(old, n, size);
}

char *__wrap_strdup(const char *s)
{
    return fails_now() ? NULL : __real_strdup(s);
}

char *__wrap_strndup(const char *s, size_t n)
{
    return fails_now() ? NULL : __real_strndup(s, n);
}
