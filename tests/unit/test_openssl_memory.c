/* Every nth allocation of OpenSSL's fails while a conversation is held. A program of its own,
 * because OpenSSL takes another allocator only before it has used its own. */
#include "support/unit.h"

#include <stdlib.h>

#include <openssl/crypto.h>

#include "support/memory_scene.h"

static unsigned long counted;
static unsigned long failing; /* 0: none */
static bool paused = true;

static bool fails_now(void)
{
    return !paused && ++counted == failing;
}

static void *allocate(size_t size, const char *file, int line)
{
    (void)file;
    (void)line;
    return fails_now() ? NULL : malloc(size);
}

static void *reallocate(void *old, size_t size, const char *file, int line)
{
    (void)file;
    (void)line;
    return fails_now() ? NULL : realloc(old, size);
}

static void release(void *memory, const char *file, int line)
{
    (void)file;
    (void)line;
    free(memory);
}

static void arm(unsigned long n)
{
    counted = 0;
    failing = n;
    paused = false;
}

static void pause_counting(bool is_paused)
{
    paused = is_paused;
}

static unsigned long disarm(void)
{
    paused = true;
    failing = 0;
    return counted;
}

static const struct memory_fault openssl_memory = {
    .arm = arm,
    .pause = pause_counting,
    .disarm = disarm,
};

static void test_every_allocation(void **state)
{
    unsigned long n = 1;

    (void)state;
    while (memory_scene_play(&openssl_memory, n)) {
        n += scene_stride();
    }
    assert_true(n > 100);
}

static int set_up(void **state)
{
    (void)state;
    memory_scene_setup();
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    memory_scene_teardown();
    return 0;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_every_allocation),
    };

    if (CRYPTO_set_mem_functions(allocate, reallocate, release) != 1) {
        return 1;
    }
    return cmocka_run_group_tests(tests, set_up, tear_down);
}
