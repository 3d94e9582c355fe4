/* Every nth allocation of the library's own fails while a conversation is held. */
#include "support/unit.h"

#include "support/failmalloc.h"
#include "support/memory_scene.h"

static void arm(unsigned long n)
{
    failmalloc_at(n);
}

static unsigned long disarm(void)
{
    unsigned long count = failmalloc_count();

    failmalloc_at(0);
    return count;
}

/* Peers allocate nothing by the calls that fail here, so there is nothing to pause. */
static const struct memory_fault own_memory = {.arm = arm, .disarm = disarm};

static void test_every_allocation(void **state)
{
    unsigned long n = 1;

    (void)state;
    while (memory_scene_play(&own_memory, n)) {
        n++;
    }
    /* At least the conversation, two places for deferred replies, two answers with their texts. */
    assert_true(n > 7);
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

    return cmocka_run_group_tests(tests, set_up, tear_down);
}
